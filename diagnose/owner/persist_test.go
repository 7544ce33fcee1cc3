package owner

import (
	"slices"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/xtables"
)

func tables(s *Saved) []string {
	var list []string
	if s == nil {
		return nil
	}
	for _, t := range s.Rules.Tables {
		n := 0
		for _, c := range t.Chains {
			n += len(c.Rules)
		}
		list = append(list, t.Family.String()+" "+t.Name+" "+string(rune('0'+n)))
	}
	return list
}

func TestSavedTables(t *testing.T) {
	live, err := nfttext.Parse("live", "table inet a { chain c { type filter hook input priority 0; tcp dport 1 drop; tcp dport 2 drop; }; }\ntable inet b { chain c { tcp dport 3 drop; }; }\n", nfttext.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const one = "table inet a { chain c { type filter hook input priority 0; tcp dport 1 drop; }; }\n"
	for _, c := range []struct {
		name, text   string
		loads, known bool
		want         []string
	}{
		{"a file takes the place of its table", one, false, false, []string{"inet a 1", "inet b 1"}},
		{"one that flushes ends the others", "flush ruleset\n" + one, false, false, []string{"inet a 1"}},
		{"one that isn't loaded says nothing", "flush ruleset\n" + one, false, true, nil},
		{"a table that isn't there, loaded at boot", "table ip z { chain c { tcp dport 9 drop; }; }\n", true, true, []string{"inet a 2", "inet b 1", "ip z 1"}},
		{"a table that isn't there, and nobody knows", "table ip z { chain c { tcp dport 9 drop; }; }\n", false, false, nil},
		{"one that can't be read", "table inet a { what }\n", false, false, nil},
	} {
		f := Facts{Rules: live, Files: []host.File{{Path: "/etc/nftables.conf", Text: c.text}}}
		got := tables(f.Saved(func(string) (bool, bool) { return c.loads, c.known }, nil))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSavedIptablesKeepsOthersChains(t *testing.T) {
	live, err := xtables.Parse("live", "*filter\n:INPUT DROP [0:0]\n:f2b - [0:0]\n-A INPUT -j f2b\n-A INPUT -p tcp --dport 1 -j ACCEPT\n-A f2b -j RETURN\nCOMMIT\n", rules.IP)
	if err != nil {
		t.Fatal(err)
	}
	f := Facts{Rules: live, Files: []host.File{{Path: "/etc/iptables/rules.v4", Text: "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 2 -j ACCEPT\nCOMMIT\n"}}}
	s := f.Saved(func(string) (bool, bool) { return false, false }, nil)
	if s == nil {
		t.Fatal("the file was not taken")
	}
	input := s.Rules.Tables[0].Chain("INPUT")
	if len(input.Rules) != 2 || target(input.Rules[0]) != "f2b" || input.Rules[1].Number != 2 || s.Rules.Tables[0].Chain("f2b") == nil {
		t.Errorf("INPUT is %d rules: %+v", len(input.Rules), input.Rules)
	}
	if len(live.Tables[0].Chain("INPUT").Rules) != 2 {
		t.Error("the live rules were changed")
	}
}
