package nfttext_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nfttext"
)

// declared is what the rules of the printer's tests refer to.
const declared = `
	set s4 { type ipv4_addr; }
	set s6 { type ipv6_addr; }
	set ports { type inet_service; }
	set iv { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
	set c { type ipv4_addr . inet_service; flags interval; }
	set names { type ifname; }
	set dyn4 { type ipv4_addr; size 100; flags dynamic,timeout; }
	set dyn6 { type ipv6_addr; size 100; flags dynamic; }
	map verdicts { type inet_service : verdict; }
	map marks { type inet_service : mark; }
	map dynmap { type ipv4_addr : mark; size 9; flags dynamic; }
	map pairs { type ipv4_addr : ipv4_addr . inet_service; flags interval; }
	map objects { type inet_service : counter; }
	counter c1 { }
	quota q1 { 25 mbytes }
	limit l1 { rate 1/second }
	chain other { }
`

// corpusRules are the rules of the printer's tests, in words.
func corpusRules(t testing.TB) [][]string {
	b, err := os.ReadFile("../text/testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list [][]string
	for line := range strings.Lines(string(b)) {
		if head, rule, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && head[0] != '#' {
			list = append(list, strings.Fields(rule))
		}
	}
	return list
}

// Whatever words of rules are put together, it is read or there is an error
// that says where.
func TestSplicedRules(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	list := corpusRules(t)
	families := []string{"ip", "ip6", "inet", "bridge", "arp", "netdev"}
	read := 0
	const count = 5000
	for range count {
		var words []string
		for range 1 + r.IntN(3) {
			x := list[r.IntN(len(list))]
			from := r.IntN(len(x))
			words = append(words, x[from:from+1+r.IntN(len(x)-from)]...)
		}
		if r.IntN(2) == 0 {
			x := list[r.IntN(len(list))]
			words[r.IntN(len(words))] = x[r.IntN(len(x))]
		}
		text := "table " + families[r.IntN(len(families))] + " t {" + declared + "\tchain k {\n" + strings.Join(words, " ") + "\n}\n}\n"
		_, err := nfttext.Parse("file", text, nfttext.Options{})
		var syntax *rules.SyntaxError
		switch {
		case err == nil:
			read++
		case !errors.As(err, &syntax):
			t.Fatalf("%s: %v", words, err)
		}
	}
	if read < count/50 {
		t.Errorf("%d of %d are read", read, count)
	}
}
