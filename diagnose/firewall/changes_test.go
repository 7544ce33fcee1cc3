package firewall

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/text"
)

// page is that of a saved ruleset, read back from its JSON.
func page(t *testing.T, name, rules string) *Page {
	t.Helper()
	set, err := files.Parse(name, rules, files.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPage(set, &text.Printer{}, nil, time.Time{}, "")
	p.Seal(set)
	doc, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadPage(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	if read.State() != p.Fingerprint {
		t.Errorf("%s: another fingerprint after it was saved", name)
	}
	return read
}

const state = `table inet t {
	set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
	set d { type ipv4_addr; flags dynamic,timeout; timeout 1m; elements = { 10.0.0.1 expires 5s } }
	chain in {
		type filter hook input priority 0; policy accept;
		tcp dport 22 counter packets 5 bytes 6 accept
		ip saddr @s quota 10 mbytes used 2 mbytes drop
		tcp dport { 80, 443 } jump web
	}
	chain web { accept; }
}
`

func TestChanges(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"what packets change", "packets 5 bytes 6", "packets 7 bytes 8", ""},
		{"what is used of a quota", "used 2 mbytes", "used 3 mbytes", ""},
		{"entries that come and go", "10.0.0.1 expires 5s", "10.0.0.2 expires 9s", ""},
		{"a rule is gone", "		tcp dport { 80, 443 } jump web\n", "", "rule removed inet t in: tcp dport { 80, 443 } jump web"},
		{"a rule twice", "dport 22 counter packets 5 bytes 6 accept\n", "dport 22 counter accept\ntcp dport 22 counter accept\n", "rule added inet t in: tcp dport 22 counter packets 0 bytes 0 accept"},
		{"an element", "10.0.0.0/8", "10.0.0.0/9", "set changed inet t s: "},
		{"a policy", "policy accept", "policy drop", "chain changed inet t in: policy accept, now policy drop"},
		{"a chain", "chain web { accept; }", "chain web { accept; }\nchain more { drop; }", "chain added inet t more: 1 rule; rule added inet t more: drop"},
		{"a set", "set d {", "set e { type ipv4_addr; }\nset d {", "set added inet t e: "},
		{"a dormant table", "table inet t {", "table inet t { flags dormant;", `table changed inet t: flags "", now "dormant"`},
		{"a table", "", "", "table added inet u: 0 chains"},
	} {
		after := strings.Replace(state, c.from, c.to, 1)
		if c.name == "a table" {
			after += "table inet u { }\n"
		}
		was, is := page(t, "was", state), page(t, c.name, after)
		var got []string
		for _, x := range Changes(was, is) {
			got = append(got, fmt.Sprintf("%s %s: %s", x.What, x.Where, x.Text))
		}
		if line := strings.Join(got, "; "); !strings.HasPrefix(line, c.want) || c.want == "" && line != "" {
			t.Errorf("%s: got %q, want %q", c.name, line, c.want)
		}
		if same := was.State() == is.State(); same != (c.want == "") {
			t.Errorf("%s: the fingerprints say changed: %v", c.name, !same)
		}
	}
}

func TestRulesThatMoved(t *testing.T) {
	a := page(t, "a", "table ip t { chain c { tcp dport 1 drop; tcp dport 2 drop; }; }")
	b := page(t, "b", "table ip t { chain c { tcp dport 2 drop; tcp dport 1 drop; }; }")
	if list := Changes(a, b); len(list) != 1 || list[0].What != "rules in another order" || a.State() == b.State() {
		t.Errorf("%+v", list)
	}
}

// Tables are the same in any order, as a boot may make them.
func TestOrderOfTables(t *testing.T) {
	a := page(t, "a", "table ip a { }\ntable ip b { }\n")
	b := page(t, "b", "table ip b { }\ntable ip a { }\n")
	if a.State() != b.State() || len(Changes(a, b)) > 0 {
		t.Error("the order of tables counts")
	}
}

func TestReadPageRefuses(t *testing.T) {
	for _, doc := range []string{"", "{}", "[]", `{"schema":"portwhy.report/v1"}`, `{"schema":"portwhy.rules/v1","tables":5}`} {
		if _, err := ReadPage(doc); err == nil {
			t.Errorf("%q was taken", doc)
		}
	}
}

func FuzzChanges(f *testing.F) {
	f.Add(`{"schema":"portwhy.rules/v1","tables":[{"family":"ip","chains":[{"name":"a","rules":[{"text":"counter packets 1 bytes 2"}]}],"sets":[{"name":"s","elements":1,"digest":"x"}]}],"ipsets":[{"name":"x"}]}`)
	f.Add(`{"schema":"portwhy.rules/v1","tables":[{},{}],"ipsets":[{},{}]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		p, err := ReadPage(doc)
		if err != nil {
			return
		}
		if list := Changes(p, p); len(list) > 0 {
			t.Fatalf("differs from itself: %+v", list)
		}
		Changes(p, &Page{})
		Changes(&Page{}, p)
	})
}
