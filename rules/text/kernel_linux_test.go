package text_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules/text"
)

var setnsNumber = map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]

var chainOf = map[string]string{
	"ip": "{ type filter hook input priority 0; }", "ip6": "{ type filter hook input priority 0; }",
	"inet": "{ type filter hook input priority 0; }", "arp": "{ type filter hook input priority 0; }",
	"bridge": "{ type filter hook input priority 0; }", "netdev": `{ type filter hook ingress device "lo" priority 0; }`,
}

// loopback is the only device of a new namespace.
func loopback(index uint32) string {
	if index == 1 {
		return "lo"
	}
	return ""
}

// Each line of testdata/rules.txt is a family and a rule; nft's text of it and
// ours must be the same. Lines that end in a brace open a table of their own.
func TestRulesAreNFTs(t *testing.T) {
	if setnsNumber == 0 {
		t.Skip("the number of setns is not known here")
	}
	cases, err := os.ReadFile("testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	run := namespace(t, "hBtext")
	var load strings.Builder
	for family, chain := range chainOf {
		load.WriteString("table " + family + " t {\n set s4 { type ipv4_addr; }\n set s6 { type ipv6_addr; }\n set ports { type inet_service; }\n" +
			" set iv { type ipv4_addr; flags interval; }\n set names { type ifname; }\n" +
			" set dyn4 { type ipv4_addr; size 100; flags dynamic,timeout; }\n set dyn6 { type ipv6_addr; size 100; flags dynamic; }\n" +
			" map verdicts { type inet_service : verdict; }\n map marks { type inet_service : mark; }\n map dynmap { type ipv4_addr : mark; size 9; flags dynamic; }\n" +
			" counter c1 { }\n quota q1 { 25 mbytes }\n limit l1 { rate 1/second }\n" +
			" chain other { }\n chain c " + chain + "\n")
		if family == "ip" || family == "ip6" || family == "inet" {
			load.WriteString(" chain pre { type nat hook prerouting priority -100; }\n chain post { type nat hook postrouting priority 100; }\n" +
				" chain out { type filter hook output priority 0; }\n chain mangle { type filter hook prerouting priority -150; }\n")
		}
		load.WriteString("}\n")
	}
	count := 0
	for line := range strings.Lines(string(cases)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		head, rule, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("no rule in %q", line)
		}
		family, chain, ok := strings.Cut(head, " ")
		if !ok {
			chain = "c"
		}
		load.WriteString("add rule " + family + " t " + chain + " " + rule + "\n")
		count++
	}
	if count < 250 {
		t.Errorf("only %d rules", count)
	}
	if out, err := run(load.String(), "nft", "-f", "-"); err != nil {
		t.Fatalf("nft -f: %v\n%s", err, out)
	}
	compare(t, run, "hBtext")
}

// compare holds our listing of a namespace against nft's, line by line.
func compare(t *testing.T, run func(string, ...string) (string, error), netns string) {
	t.Helper()
	want, err := run("", "nft", "list", "ruleset")
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, want)
	}
	p := &text.Printer{Interface: loopback}
	got := p.Ruleset(live(t, netns))
	if got == want {
		return
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	bad := 0
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			t.Errorf("line %d\n nft:  %s\n ours: %s", i+1, x, y)
			if bad++; bad == 60 {
				break
			}
		}
	}
}

func TestTablesAreNFTs(t *testing.T) {
	if setnsNumber == 0 {
		t.Skip("the number of setns is not known here")
	}
	run := namespace(t, "hBtables")
	files, err := os.ReadDir("testdata/tables")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			b, err := os.ReadFile("testdata/tables/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if out, err := run("flush ruleset\n"+string(b), "nft", "-f", "-"); err != nil {
				t.Fatalf("nft -f: %v\n%s", err, out)
			}
			compare(t, run, "hBtables")
		})
	}
}
