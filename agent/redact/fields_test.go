package redact

import (
	"reflect"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// hasText reports whether a field can hold a text.
func hasText(t reflect.Type) bool {
	for {
		switch t.Kind() {
		case reflect.Slice, reflect.Pointer, reflect.Map, reflect.Array:
			t = t.Elem()
		default:
			return t.Kind() == reflect.String
		}
	}
}

// Every string that a host can answer with has its place in the table, so that
// nobody adds one without saying what it is.
func TestEveryFieldIsInTheTable(t *testing.T) {
	seen := map[string]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer, reflect.Map, reflect.Array:
			visit(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ.String()] || typ == reflect.TypeFor[rules.List]() || typ.PkgPath() == "net/netip" || typ.PkgPath() == "time" {
			return
		}
		seen[typ.String()] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := typ.String() + "." + f.Name
			if _, ok := fields()[name]; hasText(f.Type) && !ok {
				t.Errorf("%s is in no class: say in fields.go what it holds", name)
			}
			seen[name] = true
			visit(f.Type)
		}
	}
	asked := reflect.TypeFor[host.Host]()
	for i := range asked.NumMethod() {
		m := asked.Method(i).Type
		for j := range m.NumIn() {
			visit(m.In(j))
		}
		for j := range m.NumOut() {
			visit(m.Out(j))
		}
	}
	for _, e := range []rules.Expr{&rules.Immediate{}, &rules.Lookup{}, &rules.Dynset{}, &rules.Log{}, &rules.FlowOffload{}, &rules.ObjRef{}, &rules.IPTables{}, &rules.Match{},
		&rules.Target{}, &rules.Helper{}, &rules.Secmark{}, &rules.Opaque{}} {
		visit(reflect.TypeOf(e))
	}
	for name := range fields() {
		if !seen[name] && !strings.HasSuffix(name, ".Key") {
			t.Errorf("%s is in the table and does not exist", name)
		}
	}
}
