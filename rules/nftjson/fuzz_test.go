package nftjson_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nftjson"
)

// lines are those of a file of testdata: what nft 1.0.6 listed of the rules and
// tables in the printer's testdata.
func lines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// around has what the statements of testdata refer to.
func around(family, statements string) string {
	in := `{"family": "` + family + `", "table": "t", "name": `
	return `{"nftables": [{"table": {"family": "` + family + `", "name": "t"}}, {"set": ` + in + `"s4", "type": "ipv4_addr"}},
{"set": ` + in + `"s6", "type": "ipv6_addr"}}, {"set": ` + in + `"ports", "type": "inet_service"}},
{"set": ` + in + `"iv", "type": "ipv4_addr", "flags": ["interval"]}}, {"set": ` + in + `"names", "type": "ifname"}},
{"set": ` + in + `"dyn4", "type": "ipv4_addr"}}, {"set": ` + in + `"dyn6", "type": "ipv6_addr"}},
{"map": ` + in + `"verdicts", "type": "inet_service", "map": "verdict"}}, {"map": ` + in + `"marks", "type": "inet_service", "map": "mark"}},
{"map": ` + in + `"dynmap", "type": "ipv4_addr", "map": "mark"}}, {"chain": ` + in + `"c"}},
{"counter": ` + in + `"c1", "packets": 0, "bytes": 0}}, {"quota": ` + in + `"q1", "bytes": 9, "used": 0, "inv": false}},
{"limit": ` + in + `"l1", "rate": 1, "per": "second", "burst": 5}},
{"rule": {"family": "` + family + `", "table": "t", "chain": "c", "expr": [` + statements + `]}}]}`
}

// check says what is wrong with what was read: it is a ruleset, or an error
// that says where.
func check(t *testing.T, set *rules.Ruleset, err error) {
	t.Helper()
	if err != nil {
		var wrong *rules.SyntaxError
		if set != nil || !errors.As(err, &wrong) || wrong.Line < 1 || wrong.Column < 1 {
			t.Fatal(err)
		}
		return
	}
	for _, table := range set.Tables {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				for _, e := range r.Exprs.All() {
					if o, ok := e.(*rules.Opaque); e == nil || ok && o.Why == "" {
						t.Fatalf("%+v", r)
					}
				}
			}
		}
		for _, s := range table.Sets {
			if s.Known != (s.Count >= 0) || s.Known && s.Count != s.Elements.Len() {
				t.Fatalf("%+v", s)
			}
		}
	}
}

func FuzzStatements(f *testing.F) {
	for _, l := range lines(f, "statements.txt") {
		family, statements, _ := strings.Cut(l, " ")
		f.Add(family, statements)
	}
	f.Fuzz(func(t *testing.T, family, statements string) {
		set, err := nftjson.Parse("f", strings.NewReader(around(family, statements)), compile.Options{})
		check(t, set, err)
	})
}

func FuzzParse(f *testing.F) {
	f.Add(`{"nftables": [` + strings.Join(lines(f, "things.txt"), ",\n") + "]}")
	for _, l := range lines(f, "things.txt") {
		f.Add(`{"nftables": [{"table": {"family": "inet", "name": "sets"}}, ` + l + "]}")
	}
	f.Add(document(acceptSSH))
	f.Fuzz(func(t *testing.T, text string) {
		set, err := nftjson.Parse("f", strings.NewReader(text), compile.Options{})
		check(t, set, err)
	})
}

// All of what nft listed is understood.
func TestListed(t *testing.T) {
	for _, l := range lines(t, "statements.txt") {
		family, statements, _ := strings.Cut(l, " ")
		for _, e := range parse(t, around(family, statements)).Tables[0].Chains[0].Rules[0].Exprs.All() {
			if o, ok := e.(*rules.Opaque); ok && !strings.Contains(o.Why, "time zone") {
				t.Errorf("%s: %s: %s", l, o.Kind, o.Why)
			}
		}
	}
	for _, table := range parse(t, `{"nftables": [`+strings.Join(lines(t, "things.txt"), ",\n")+"]}").Tables {
		for _, s := range table.Sets {
			if !s.Known {
				t.Errorf("set %s is not known", s.Name)
			}
		}
	}
}
