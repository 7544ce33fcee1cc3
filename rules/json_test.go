package rules

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"testing"
)

// Every type of expression is written and read back, whatever it holds.
func TestExprsJSON(t *testing.T) {
	var source []byte
	for _, name := range []string{"expr.go", "object.go"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, b...)
	}
	listed := map[string]bool{}
	var all Exprs
	for _, k := range kinds() {
		listed[reflect.TypeOf(k).Elem().Name()] = true
		fill(reflect.ValueOf(k).Elem())
		all = append(all, k)
	}
	for _, m := range regexp.MustCompile(`(?m)^func \(\w* ?\*(\w+)\) Name\(\) string`).FindAllStringSubmatch(string(source), -1) {
		if !listed[m[1]] {
			t.Errorf("kinds has no %s", m[1])
		}
	}
	set := Ruleset{Tables: []*Table{{Name: "t", Chains: []*Chain{{Name: "c", Rules: []*Rule{{Exprs: ListOf(all...)}}}},
		Sets: []*Set{{Exprs: all, Elements: ElementsOf(Element{Exprs: all})}}, Objects: []*Object{{Name: "o", Expr: all[0], Comment: "c"}, {Name: "none"}}}}}
	b, err := json.Marshal(&set)
	if err != nil {
		t.Fatal(err)
	}
	var back Ruleset
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(set, back) {
		t.Errorf("written and read back:\n%s", b)
	}
}

func TestExprsJSONErrors(t *testing.T) {
	for in, want := range map[string]string{
		`[{"nonsense":{}}]`:           `there is no expression "nonsense"`,
		`[{}]`:                        "an expression has one name, not 0",
		`[{"cmp":{},"meta":{}}]`:      "an expression has one name, not 2",
		`[{"cmp":{"Data":"not 64"}}]`: "expression cmp: illegal base64 data at input byte 3",
	} {
		var e Exprs
		if err := json.Unmarshal([]byte(in), &e); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

// fill gives every field a value that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[Exprs]() {
			v.Set(reflect.ValueOf(Exprs{&Counter{1, 2}}))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(200)
	default:
		v.SetInt(-3)
	}
}
