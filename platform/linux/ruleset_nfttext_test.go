//go:build linux

package linux

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/text"
)

// lostInText are the rules that nft 1.0.6 prints other than the kernel has
// them, and what becomes of them.
var lostInText = map[string]string{
	"ip: ip protocol tcp tcp dport 22 accept":                                          lostInJSON["ip: ip protocol tcp tcp dport 22 accept"],
	"inet: meta l4proto ipv6-icmp icmpv6 type echo-request accept":                     lostInJSON["inet: meta l4proto ipv6-icmp icmpv6 type echo-request accept"],
	"bridge: vlan id { 1, 2-7 } accept":                                                "a set of one, which nft reads as no set",
	"ip: tcp sport != 1 tcp dport != 2 accept":                                         "differs by nft's version",
	"bridge: ether saddr != 02:00:00:00:00:01 ether daddr != 02:00:00:00:00:02 accept": "differs by nft's version",
}

// lostInFile are the rules of which nft 1.0.6 makes something else than they say.
var lostInFile = map[string]string{
	"ip: tcp sport != 1 tcp dport != 2 accept":                                         "differs by nft's version",
	"bridge: ether saddr != 02:00:00:00:00:01 ether daddr != 02:00:00:00:00:02 accept": "differs by nft's version",
	"ip: tcp sport 1 counter tcp dport 2 accept":                                       "later versions don't count before the first is compared",
}

// What nft prints of the rules in the kernel is read as what the kernel holds,
// down to the registers, and printed it is the same text again. The file that
// was loaded is read as the same rules, too.
func TestNFTTextIsTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		file, lines := corpus(t)
		live, _ := fromBoth(t, file)
		read := fromText(t, "nft -a list ruleset", string(run(t, "", "nft", "-a", "list", "ruleset")))
		total := 0
		for _, l := range lines {
			total += len(l)
		}
		if same := compareRules(t, live, read, lines, lostInText); same+len(lostInText) != total || total < 450 {
			t.Errorf("%d of %d rules are equal, %d can't be", same, total, len(lostInText))
		}
		compareTables(t, live, read)
		printedAgain(t)

		written := fromText(t, "file", file)
		for _, set := range []*rules.Ruleset{live, written} {
			for _, table := range set.Tables {
				for _, c := range table.Chains {
					for _, r := range c.Rules {
						r.Handle = 0
					}
				}
			}
		}
		if same := compareRules(t, live, written, lines, lostInFile); same+len(lostInFile) != total {
			t.Errorf("%d of %d rules of the file are equal, %d can't be", same, total, len(lostInFile))
		}

		for _, name := range []string{"chains", "sets"} {
			b, err := os.ReadFile("../../rules/text/testdata/tables/" + name + ".nft")
			if err != nil {
				t.Error(err)
				return
			}
			live, _ := fromBoth(t, string(b))
			compareTables(t, live, fromText(t, name, string(run(t, "", "nft", "-a", "list", "ruleset"))))
			printedAgain(t)
		}
	})
}

func fromText(t *testing.T, name, text string) *rules.Ruleset {
	t.Helper()
	read, err := nfttext.Parse(name, text, nfttext.Options{Options: compile.Options{Location: time.Local}})
	if err != nil {
		line := ""
		if e, ok := err.(*rules.SyntaxError); ok {
			line = strings.Split(text, "\n")[e.Line-1]
		}
		t.Fatalf("%v: %s", err, line)
	}
	return read
}

// printedAgain prints what was read of nft's listing.
func printedAgain(t *testing.T) {
	t.Helper()
	list := string(run(t, "", "nft", "list", "ruleset"))
	p := text.Printer{Interface: func(index uint32) string { return map[uint32]string{1: "lo"}[index] }}
	got, want := strings.Split(p.Ruleset(fromText(t, "nft list ruleset", list)), "\n"), strings.Split(list, "\n")
	for i := range min(len(got), len(want)) {
		// nft prints sets of bits in no order; the set of one is a range.
		if got[i] != want[i] && !strings.Contains(want[i], "{ syn | ack, syn") && !strings.Contains(want[i], "vlan id { 1-7 }") &&
			!strings.Contains(got[i], "which nft this is from") {
			t.Errorf("line %d\n nft:  %s\n ours: %s", i+1, want[i], got[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, not %d", len(got), len(want))
	}
}
