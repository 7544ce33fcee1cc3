package nftjson_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nftjson"
)

// document is a ruleset of one chain and a rule with the given statements.
func document(statements string) string {
	return `{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "x", "json_schema_version": 1}},
{"table": {"family": "inet", "name": "t", "handle": 1}},
{"set": {"family": "inet", "table": "t", "name": "s", "type": "ipv4_addr", "handle": 2, "elem": ["10.0.0.1"]}},
{"chain": {"family": "inet", "table": "t", "name": "c", "handle": 3, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"rule": {"family": "inet", "table": "t", "chain": "c", "handle": 4, "expr": [` + statements + `]}}]}`
}

func parse(t *testing.T, text string) *rules.Ruleset {
	t.Helper()
	set, err := nftjson.Parse("f", strings.NewReader(text), compile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const acceptSSH = `{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}`

func TestParse(t *testing.T) {
	table := parse(t, document(acceptSSH)).Tables[0]
	c := table.Chain("c")
	if table.Handle != 1 || c.Hook != rules.Input || c.Policy != "drop" || c.Handle != 3 || len(c.Rules) != 1 {
		t.Fatalf("%+v %+v", table, c)
	}
	r := c.Rules[0]
	if r.About().Handle != 4 || r.Number != 1 || r.About().File != "f" || r.Line != 5 {
		t.Errorf("%+v", r)
	}
	var names []string
	for _, e := range r.Exprs.All() {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "meta cmp payload cmp immediate" {
		t.Errorf("%s", got)
	}
	if s := table.Set("s"); !s.Known || s.Count != 1 || string(s.Elements.Key(0)) != "\x0a\x00\x00\x01" {
		t.Errorf("%+v", s)
	}
}

// Where the document is no ruleset of nft's, the error says where and what was
// expected.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "f:1:1: { \"nftables\"",
		"[]":                               "f:1:1: { \"nftables\"",
		"{}":                               "f:1:2: property \"nftables\"",
		`{"nftables": [`:                   "f:1:15: ",
		`{"nftables": []} x`:               "f:1:18: the document should end here",
		"{\"nftables\": []}\x00":           "f:1:17: the document should end here",
		`{"nftables": [{}]}`:               "f:1:15: an object with one property",
		`{"nftables": [{"table": 1}]}`:     "f:1:25: an object was expected, not a number",
		`{"nftables": [{"nonsense": {}}]}`: "f:1:15: table, chain, rule",
		`{"nftables": [{"table": {}, }]}`:  "f:1:25: property",
		`{"nftables": [{"table": {"a": 1, "a": 2}}]}`:                             `f:1:34: property "a" is there twice`,
		"{\"nftables\": [{\"table\":\n {\"family\": \"ipx\", \"name\": \"t\"}}]}": `f:2:13: no family "ipx"`,
		`{"nftables": [{"metainfo": {"json_schema_version": 2}}]}`:                "version 1",
		`{"nftables": [{"rule": {"family": "ip", "table": "t", "chain": "c"}}]}`:  "f:1:15: no table ip t",
		`{"nftables": [` + strings.Repeat("[", 100) + `]}`:                        "an object was expected",
		`{"nftables": [{"table": ` + strings.Repeat("[", 100) + "}]}":             "nested more than",
		`{"nftables": [{"table": {"family": "ip", "name": "t", "handle": 1.5}}]}`: "a whole number",
		`{"nftables": [{"table": {"family": "ip", "name": "t", "handle": 012}}]}`: "a whole number",
		`{"nftables": [{"table": {"family": "ip", "name": "t", "handle": -1}}]}`:  "a number up to",
		`{"nftables": [{"table": {"family": "ip", "name": "\ud800"}}]}`:           "half a character",
		"{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"\xff\"}}]}": "not UTF-8",
		"{\"nftables\": [{\"table\": {\"family\": \"ip\", \"name\": \"a\nb\"}}]}": "isn't closed",
		`{"nftables": [{"delete": {"table": {"family": "ip", "name": "t"}}}]}`:    "not \"delete\"",
		document(`{"accept": null, "drop": null}`):                                "one property",
		document(`7`): "an object was expected",
		document(`{"match": {"op": "==", "left": {"meta": {"key": "mark"}}}}`): `property "right" was expected`,
	} {
		set, err := nftjson.Parse("f", strings.NewReader(text), compile.Options{})
		var wrong *rules.SyntaxError
		if set != nil || !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

// What can't be told is opaque, for a reason, and the rest of the rule is there.
func TestOpaque(t *testing.T) {
	for statement, want := range map[string]string{
		`{"xt": null}`: "iptables",
		`{"xt": {"type": "match", "name": "string"}}`:                           `match "string"`,
		`{"brandnew": {"a": 1}}`:                                                "is not known",
		`{"counter": {"packets": 1, "bytes": 2, "colour": "red"}}`:              "property colour",
		`"whatever this is"`:                                                    "no JSON for it",
		match(`{"meta": {"key": "mark"}}`, `"customers"`):                       "only known to its host",
		match(`{"meta": {"key": "skuid"}}`, `"alice"`):                          "only known to its host",
		match(`{"meta": {"key": "hour"}}`, `"09:00"`):                           "time zone",
		match(`{"fib": {"result": "oif", "flags": ["saddr"]}}`, `"eth0"`):       "index of device",
		match(`{"payload": {"protocol": "tcp", "field": "dport"}}`, `"nosuch"`): "services(5)",
		match(`{"payload": {"protocol": "tcp", "field": "dport"}}`, `70000`):    "more than 16 bits",
		match(`{"payload": {"protocol": "tcp", "field": "nosuch"}}`, `1`):       "no field",
		match(`{"newthing": {"key": "x"}}`, `1`):                                "is not known",
		match(`{"meta": {"key": "mark", "also": 1}}`, `1`):                      "property also",
		match(`{"socket": {"key": "cgroupv2"}}`, `"/a"`):                        "level",
		match(`{"payload": {"protocol": "gre", "field": "version"}}`, `0`):      "of gre",
	} {
		rs := parse(t, document(statement+`, {"accept": null}`)).Tables[0].Chains[0].Rules[0]
		o, ok := rs.Exprs.All()[0].(*rules.Opaque)
		if !ok || !strings.Contains(o.Why, want) || len(rs.Exprs.All()) != 2 {
			t.Errorf("%s: %+v %v, want %s", statement, rs.Exprs.All()[0], rs.Exprs.All(), want)
		}
	}
}

func match(left, right string) string {
	return fmt.Sprintf(`{"match": {"op": "==", "left": %s, "right": %s}}`, left, right)
}

// A device by index is compared by name, as only the host knows the index.
func TestDeviceByName(t *testing.T) {
	for right, want := range map[string]uint32{`"eth0"`: 6, `{"set": ["eth0", "lo"]}`: 6, `"lo"`: 4, `{"set": ["lo", "7"]}`: 4} {
		e := parse(t, document(match(`{"meta": {"key": "iif"}}`, right))).Tables[0].Chains[0].Rules[0].Exprs.All()[0]
		if m, ok := e.(*rules.Meta); !ok || m.Key != want {
			t.Errorf("%s: %+v, want key %d", right, e, want)
		}
	}
}

// Of what JSON leaves open about a chain, a first rule says so, and may leave it.
func TestDoubt(t *testing.T) {
	table := `{"table": {"family": "inet", "name": "t", "flags": %s}}, `
	chain := `{"chain": {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": %s, "prio": 0, "policy": "drop"%s}}`
	for _, c := range []struct {
		text  string
		doubt bool
	}{
		{fmt.Sprintf(table, `"dormant"`) + fmt.Sprintf(chain, `"input"`, ""), false},
		{fmt.Sprintf(table, `["dormant", "owner"]`) + fmt.Sprintf(chain, `"input"`, ""), false},
		{fmt.Sprintf(table, `"rules"`) + fmt.Sprintf(chain, `"input"`, ""), true},
		{fmt.Sprintf(table, `7`) + fmt.Sprintf(chain, `"input"`, ""), true},
		{fmt.Sprintf(table, `[]`) + fmt.Sprintf(chain, `"input"`, `, "newprop": 1`), true},
		{fmt.Sprintf(table, `[]`) + fmt.Sprintf(chain, `"ingress"`, ""), true},
		{fmt.Sprintf(table, `[]`) + fmt.Sprintf(chain, `"ingress"`, `, "dev": "eth0"`), false},
	} {
		got := parse(t, `{"nftables": [`+c.text+`]}`).Tables[0].Chains[0]
		if (len(got.Rules) == 1) != c.doubt {
			t.Errorf("%s: %+v", c.text, got)
			continue
		}
		if c.doubt {
			e := got.Rules[0].Exprs.All()
			if v, ok := e[1].(*rules.Immediate); !ok || e[0].Name() != "doubt" || v.Verdict.Kind != rules.Accept {
				t.Errorf("%s: %+v", c.text, e)
			}
		}
	}
}

// What is said of a set in another order, or by commands, is the same.
func TestSets(t *testing.T) {
	head := `{"nftables": [{"flush": {"ruleset": null}}, {"add": {"table": {"family": "ip", "name": "t"}}}, `
	for _, c := range []struct {
		text  string
		known bool
		count int
	}{
		{`{"set": {"elem": ["10.0.0.1", {"range": ["10.0.0.4", "10.0.0.9"]}], "family": "ip", "flags": ["interval"], "handle": 3, "name": "s", "table": "t", "type": "ipv4_addr"}}`, true, 5},
		{`{"set": {"family": "ip", "name": "s", "table": "t", "handle": 3, "type": "ipv4_addr", "elem": ["10.0.0.1"], "newprop": 1}}`, false, -1},
		{`{"set": {"family": "ip", "name": "s", "table": "t", "handle": 3, "type": "uid", "elem": [0, "alice"]}}`, false, -1},
		{`{"set": {"family": "ip", "name": "s", "table": "t", "handle": 3, "type": "integer", "elem": [1]}}`, false, -1},
		{`{"set": {"family": "ip", "name": "s", "table": "t", "handle": 3, "type": {"typeof": {"payload": {"protocol": "vlan", "field": "id"}}}, "elem": [1]}}`, true, 1},
		{`{"set": {"family": "ip", "name": "s", "table": "t", "handle": 3, "type": "mark", "elem": [7], "stmt": [{"counter": null}]}}`, true, 1},
		{`{"add": {"set": {"family": "ip", "name": "s", "table": "t", "type": "mark"}}}, {"add": {"element": {"family": "ip", "table": "t", "name": "s", "elem": [1, 2]}}}`, true, 2},
	} {
		s := parse(t, head+c.text+"]}").Tables[0].Set("s")
		if s.Known != c.known || s.Count != c.count {
			t.Errorf("%s: %+v", c.text, s)
		}
		if strings.Contains(c.text, "stmt") && len(s.Elements.At(0).Exprs) != 1 {
			t.Errorf("%+v", s)
		}
	}
}

// Of what type's name doesn't tell how long keys or values are, the rule that
// looks them up does.
func TestLengths(t *testing.T) {
	head := `{"nftables": [{"table": {"family": "bridge", "name": "t"}}, {"chain": {"family": "bridge", "table": "t", "name": "c"}},
{"set": {"family": "bridge", "table": "t", "name": "s", "type": "integer", "elem": [3, 4095]}},
{"map": {"family": "bridge", "table": "t", "name": "m", "type": "ifname", "map": "integer", "elem": [["eth0", 7]]}}`
	rule := `, {"rule": {"family": "bridge", "table": "t", "chain": "c", "expr": [`
	table := parse(t, head+rule+match(`{"payload": {"protocol": "vlan", "field": "id"}}`, `"@s"`)+`]}}`+rule+
		`{"mangle": {"key": {"ct": {"key": "zone"}}, "value": {"map": {"key": {"meta": {"key": "iifname"}}, "data": "@m"}}}}]}}]}`).Tables[0]
	s, m := table.Set("s"), table.Set("m")
	if s.KeyLen != 2 || !s.Known || string(s.Elements.Key(1)) != "\x0f\xff" {
		t.Errorf("%+v", s)
	}
	if m.KeyLen != 16 || m.DataLen != 2 || !m.Known || len(m.Elements.At(0).Data) != 2 {
		t.Errorf("%+v", m)
	}
	for _, s := range parse(t, head+"]}").Tables[0].Sets {
		if s.Known || s.Count != -1 {
			t.Errorf("%+v", s)
		}
	}
}

// Tables of iptables are told by their form, as those of the kernel are.
func TestBackend(t *testing.T) {
	for name, want := range map[string]rules.Backend{"INPUT": rules.IptablesNFT, "in": rules.NFT} {
		set := parse(t, `{"nftables": [{"table": {"family": "ip", "name": "filter"}}, {"chain": {"family": "ip", "table": "filter", "name": "`+
			name+`", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}]}`)
		if got := set.Tables[0].Backend; got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
