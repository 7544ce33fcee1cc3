//go:build linux

package linux

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
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
	"ip: ip protocol tcp tcp dport 22 accept":                      lostInJSON["ip: ip protocol tcp tcp dport 22 accept"],
	"inet: meta l4proto ipv6-icmp icmpv6 type echo-request accept": lostInJSON["inet: meta l4proto ipv6-icmp icmpv6 type echo-request accept"],
	"bridge: vlan id { 1, 2-7 } accept":                            "a set of one, which nft reads as no set",
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
						handleless(r)
					}
				}
			}
		}
		if same := compareRules(t, live, written, lines, nil); same != total {
			t.Errorf("%d of %d rules of the file are equal", same, total)
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

var (
	textSeed  = flag.Uint64("text-seed", 1, "seed of the random rules that are read as text")
	textRules = flag.Int("text-rules", 150, "how many of them")
)

// Rules put together at random from the words of the printer's tests: those that
// nft takes are read from their text as what it loaded.
func TestNFTTextRandom(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	r := rand.New(rand.NewPCG(*textSeed, 0))
	inOwnNamespace(t, func() {
		file, lines := corpus(t)
		tables, _, _ := strings.Cut(file, "add rule")
		file = tables
		run(t, tables, "nft", "-f", "-")
		var chains []string
		var pool [][]string
		for chain, list := range lines {
			chains = append(chains, chain)
			for _, l := range list {
				_, rule, _ := strings.Cut(l, ": ")
				pool = append(pool, strings.Fields(rule))
			}
		}
		slices.Sort(chains)
		slices.SortFunc(pool, slices.Compare)
		taken, refused := map[string][]string{}, 0
		for range *textRules {
			var words []string
			for range 1 + r.IntN(3) {
				x := pool[r.IntN(len(pool))]
				if last := x[len(x)-1]; len(x) > 1 && (last == "accept" || last == "drop") {
					x = x[:len(x)-1]
				}
				words = append(words, x...)
			}
			if r.IntN(4) == 0 {
				x := pool[r.IntN(len(pool))]
				words[r.IntN(len(words))] = x[r.IntN(len(x))]
			}
			chain, rule := chains[r.IntN(len(chains))], strings.Join(words, " ")
			line := "add rule " + strings.Replace(chain, " ", " t ", 1) + " " + rule + "\n"
			c := exec.Command("nft", "-f", "-")
			c.Stdin = strings.NewReader(line)
			if c.Run() != nil {
				continue
			}
			// nft takes some words that mean nothing: a protocol as a flag of TCP.
			if _, err := nfttext.Parse("rule", tables+line, nfttext.Options{}); err != nil {
				t.Logf("%s%v", line, err)
				refused++
				line, rule = "add rule "+strings.Replace(chain, " ", " t ", 1)+" continue\n", ""
			}
			file += line
			taken[chain] = append(taken[chain], rule)
		}
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		live, err := h.ReadNFT(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		same, unsure := 0, 0
		if refused > *textRules/100 {
			t.Errorf("%d of %d rules are refused", refused, *textRules)
		}
		for i, b := range fromText(t, "file", file).Tables {
			a := live.Tables[i]
			for _, c := range a.Chains {
				for n, rule := range taken[a.Family.String()+" "+c.Name] {
					if rule == "" {
						continue
					}
					handleless(c.Rules[n])
					x, y := describe(a, c.Rules[n]), describe(b, b.Chain(c.Name).Rules[n])
					switch {
					case x == y:
						same++
					case strings.Contains(y, "Why="):
						unsure++
					default:
						t.Errorf("%s: %s\n kernel %s\n read   %s", a.Family, rule, x, y)
					}
				}
			}
		}
		t.Logf("%d rules are equal, %d are not told by their text", same, unsure)
		if same < *textRules/3 || unsure > same/20 {
			t.Errorf("%d rules are equal, %d are not told by their text", same, unsure)
		}
	})
}

func fromText(t *testing.T, name, text string) *rules.Ruleset {
	t.Helper()
	read, err := nfttext.Parse(name, text, nfttext.Options{Options: compile.Options{Location: time.Local, Unequal: compile.UnequalMerged}})
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

// handleless takes a rule's handle away.
func handleless(r *rules.Rule) {
	about := r.About()
	about.Handle = 0
	r.Tell(about)
}
