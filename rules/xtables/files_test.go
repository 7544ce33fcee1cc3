package xtables

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// TestFiles reads files as the tools write them that make most rules.
func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name    string
		family  rules.Family
		backend rules.Backend
		tables  int
		rules   int
		counted int
	}{
		{"docker.rules", rules.IP, rules.IptablesLegacy, 3, 20, 0},
		{"ufw.rules", rules.IP, rules.IptablesLegacy, 1, 26, 0},
		{"fail2ban.rules", rules.IP, rules.IptablesNFT, 1, 11, 11},
		{"kubernetes.rules", rules.IP, rules.IptablesLegacy, 1, 23, 0},
		{"shorewall6.rules", rules.IP6, rules.IptablesLegacy, 3, 26, 0},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", c.name))
		if err != nil {
			t.Fatal(err)
		}
		set, err := Parse(c.name, text, 0)
		if err != nil {
			t.Error(err)
			continue
		}
		n, counted := 0, 0
		for _, table := range set.Tables {
			if table.Family != c.family || table.Backend != c.backend {
				t.Errorf("%s: table %s is of %s, %s", c.name, table.Name, table.Family, table.Backend)
			}
			for _, chain := range table.Chains {
				for _, r := range chain.Rules {
					if n++; r.About().Counted {
						counted++
					}
				}
			}
		}
		if len(set.Tables) != c.tables || n != c.rules || counted != c.counted {
			t.Errorf("%s: %d tables, %d rules, %d with counters", c.name, len(set.Tables), n, counted)
		}
	}
}
