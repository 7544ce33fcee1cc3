//go:build linux

package linux

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nftjson"
)

// lostInJSON are the rules that nft 1.0.6 lists as JSON other than the kernel
// has them, and what becomes of them.
var lostInJSON = map[string]string{
	"ip: ip protocol tcp tcp dport 22 accept":                      "nft leaves out the first match, which is then of meta l4proto",
	"inet: meta l4proto ipv6-icmp icmpv6 type echo-request accept": "nft leaves out the first match, which then names IPv6 as well",
}

// moreRules are rules that the printer's tests don't have.
const moreRules = `
ip: tcp sport != 1 tcp dport != 2 accept
ip: tcp flags syn tcp window 7 accept
ip: ip ttl 5 ip protocol 6 accept
ip: tcp dport 5 tcp sport 7 ip protocol 6 drop
ip: ip dscp @dscps accept
ip: meta mark . meta iif { 1-7 . 1 } accept
ip: meta l4proto . th dport { tcp . 22, udp . 53 } accept
ip out: tcp flags syn tcp option maxseg size set rt mtu
ip mangle: meta mark set ip dscp map { cs1 : 1, ef : 2 }
ip mangle: ip daddr 10.0.0.1 meta mark set ct mark and 0xff
ip pre: dnat to tcp dport map { 80 : 10.0.0.1-10.0.0.9, 81 : 10.0.1.0/24 }
ip6: ip6 saddr . tcp dport { fe80::/10 . 22, ::1 . 1-9 } accept
inet: meta iifname . ip saddr vmap { "eth0" . 10.0.0.1 : accept, "lo" . 127.0.0.1 : drop }
inet: ether saddr 02:00:00:00:00:01 tcp dport 22 accept
bridge: ether saddr != 02:00:00:00:00:01 ether daddr != 02:00:00:00:00:02 accept
`

// corpus is the rules of the printer's tests, and what they refer to, as nft
// reads them. The rules come back by family and chain as well.
func corpus(t *testing.T) (text string, lines map[string][]string) {
	t.Helper()
	file, err := os.ReadFile("../../rules/text/testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, family := range []string{"ip", "ip6", "inet", "arp", "bridge", "netdev"} {
		chain := "{ type filter hook input priority 0; }"
		if family == "netdev" {
			chain = `{ type filter hook ingress device "lo" priority 0; }`
		}
		b.WriteString("table " + family + " t {\n set s4 { type ipv4_addr; }\n set s6 { type ipv6_addr; }\n set ports { type inet_service; }\n" +
			" set iv { type ipv4_addr; flags interval; }\n set names { type ifname; }\n" +
			" set dyn4 { type ipv4_addr; size 100; flags dynamic,timeout; }\n set dyn6 { type ipv6_addr; size 100; flags dynamic; }\n" +
			" map verdicts { type inet_service : verdict; }\n map marks { type inet_service : mark; }\n map dynmap { type ipv4_addr : mark; size 9; flags dynamic; }\n" +
			" set dscps { type dscp; elements = { cs1, ef } }\n counter c1 { }\n quota q1 { 25 mbytes }\n limit l1 { rate 1/second }\n chain other { }\n chain c " + chain + "\n")
		if family == "ip" || family == "ip6" || family == "inet" {
			b.WriteString(" chain pre { type nat hook prerouting priority -100; }\n chain post { type nat hook postrouting priority 100; }\n" +
				" chain out { type filter hook output priority 0; }\n chain mangle { type filter hook prerouting priority -150; }\n")
		}
		b.WriteString("}\n")
	}
	lines = map[string][]string{}
	for line := range strings.Lines(string(file) + moreRules) {
		line = strings.TrimSpace(line)
		head, rule, ok := strings.Cut(line, ": ")
		if !ok || head[0] == '#' {
			continue
		}
		family, chain, ok := strings.Cut(head, " ")
		if !ok {
			chain = "c"
		}
		b.WriteString("add rule " + family + " t " + chain + " " + rule + "\n")
		lines[family+" "+chain] = append(lines[family+" "+chain], line)
	}
	return b.String(), lines
}

// fromBoth loads rules and reads them as the kernel has them, and as nft's JSON
// tells them.
func fromBoth(t *testing.T, text string) (live, read *rules.Ruleset) {
	t.Helper()
	if text != "" {
		run(t, "flush ruleset\n"+text, "nft", "-f", "-")
	}
	h, err := Open(Options{})
	if err == nil {
		live, err = h.ReadNFT(context.Background())
	}
	if err == nil {
		list := run(t, "", "nft", "-j", "list", "ruleset")
		read, err = nftjson.Parse("list.json", bytes.NewReader(list), compile.Options{Location: time.Local})
	}
	if err != nil { // not on the test's own goroutine
		t.Error(err)
		return &rules.Ruleset{}, &rules.Ruleset{}
	}
	return live, read
}

// The same ruleset read from the kernel and from nft's JSON is the same model,
// down to the registers.
func TestNFTJSONIsTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	text, lines := corpus(t)
	inOwnNamespace(t, func() {
		live, read := fromBoth(t, text)
		same := compareRules(t, live, read, lines, lostInJSON)
		total := 0
		for _, l := range lines {
			total += len(l)
		}
		if same+len(lostInJSON) != total || total < 450 {
			t.Errorf("%d of %d rules are equal, %d can't be", same, total, len(lostInJSON))
		}
		compareTables(t, live, read)
		for _, name := range []string{"chains", "sets"} {
			file, err := os.ReadFile("../../rules/text/testdata/tables/" + name + ".nft")
			if err != nil {
				t.Error(err)
				return
			}
			live, read := fromBoth(t, string(file))
			compareTables(t, live, read)
		}
	})
}

// What iptables made is told by its form, and what nft can't tell of it is opaque.
func TestNFTJSONOfIptables(t *testing.T) {
	for _, tool := range []string{"nft", "iptables-nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	inOwnNamespace(t, func() {
		for _, args := range []string{
			"-A INPUT -p tcp --dport 22 -j ACCEPT",
			"-A INPUT -m conntrack --ctstate NEW -j DROP",
			"-A INPUT -s 10.0.0.0/8 -i eth0 -j DROP",
			"-A INPUT -m comment --comment x -j LOG",
			"-t nat -A POSTROUTING -j MASQUERADE",
		} {
			run(t, "", append([]string{"iptables-nft"}, strings.Fields(args)...)...)
		}
		_, read := fromBoth(t, "")
		var got []string
		for _, table := range read.Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					text := string(table.Backend) + ":"
					for _, e := range r.Exprs.All() {
						text += " " + e.Name()
					}
					got = append(got, text)
				}
			}
		}
		want := []string{"iptables-nft: meta cmp payload cmp counter immediate", "iptables-nft: xt counter immediate",
			"iptables-nft: meta cmp payload cmp counter immediate", "iptables-nft: match counter target", "iptables-nft: counter xt"}
		if !slices.Equal(got, want) {
			t.Errorf("%q\nwant %q", got, want)
		}
	})
}

// A table that is asleep is told as such, or as one that may be.
func TestNFTJSONDormant(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		_, read := fromBoth(t, "table ip a { flags dormant; chain c { type filter hook input priority 0; policy drop; }; }\n"+
			"table ip b { chain c { type filter hook input priority 0; policy drop; }; }\n")
		if len(read.Tables) != 2 {
			return
		}
		asleep, awake := read.Tables[0], read.Tables[1]
		if c := asleep.Chain("c"); !asleep.Dormant() && len(c.Rules) == len(withoutDoubt(c)) {
			t.Errorf("%+v", asleep)
		}
		if c := awake.Chain("c"); awake.Dormant() || len(c.Rules) != 0 {
			t.Errorf("%+v", awake)
		}
	})
}

// withoutDoubt are a chain's rules, without one that says what isn't known of
// the chain.
func withoutDoubt(c *rules.Chain) []*rules.Rule {
	if len(c.Rules) > 0 && len(c.Rules[0].Exprs.All()) > 0 && c.Rules[0].Exprs.All()[0].Name() == "doubt" {
		return c.Rules[1:]
	}
	return c.Rules
}

// compareRules counts the rules that are equal. Those that are lost can't be.
func compareRules(t *testing.T, live, read *rules.Ruleset, lines map[string][]string, lost map[string]string) (same int) {
	t.Helper()
	for i, a := range live.Tables {
		if i == len(read.Tables) {
			t.Errorf("%d tables of %d", i, len(live.Tables))
			break
		}
		b := read.Tables[i]
		for _, chain := range a.Chains {
			texts := lines[a.Family.String()+" "+chain.Name]
			other := b.Chain(chain.Name)
			if len(texts) == 0 {
				continue
			}
			if other == nil || len(chain.Rules) != len(texts) || len(withoutDoubt(other)) != len(texts) {
				t.Errorf("%s %s: %d rules of %d", a.Family, chain.Name, len(chain.Rules), len(texts))
				continue
			}
			for n, r := range withoutDoubt(other) {
				x, y := describe(a, chain.Rules[n]), describe(b, r)
				_, gone := lost[texts[n]]
				switch {
				case x == y && !gone:
					same++
				case x != y && !gone:
					t.Errorf("%s\n kernel %s\n read   %s", texts[n], x, y)
				case x == y:
					t.Errorf("%s is not lost", texts[n])
				}
			}
		}
	}
	return same
}

// compareTables compares everything but rules.
func compareTables(t *testing.T, live, read *rules.Ruleset) {
	t.Helper()
	if len(live.Tables) != len(read.Tables) {
		t.Errorf("%d tables, not %d", len(read.Tables), len(live.Tables))
		return
	}
	for i, a := range live.Tables {
		b := read.Tables[i]
		for _, s := range a.Sets {
			if s.Anonymous {
				continue
			}
			other := b.Set(s.Name)
			if other == nil {
				t.Errorf("%s %s has no set %s", b.Family, b.Name, s.Name)
				continue
			}
			if x, y := describeSet(s), describeSet(other); x != y {
				t.Errorf("%s set %s\n kernel %s\n read   %s", a.Family, s.Name, x, y)
			}
		}
		if x, y := describeTable(a), describeTable(b); x != y {
			t.Errorf("table %s %s\n kernel %s\n read   %s", a.Family, a.Name, x, y)
		}
	}
}

// describe is a rule, with the sets and chains that have no name written out.
func describe(t *rules.Table, r *rules.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d ", r.About().Handle)
	describeRule(&b, t, r)
	return b.String()
}

func describeRule(b *strings.Builder, t *rules.Table, r *rules.Rule) {
	fmt.Fprintf(b, "%q %v %d %d", r.About().Comment, r.About().Counted, r.About().Packets, r.About().Bytes)
	for _, e := range r.Exprs.All() {
		b.WriteString("\n    " + describeExpr(t, e))
	}
}

func describeExpr(t *rules.Table, e rules.Expr) string {
	v := reflect.Indirect(reflect.ValueOf(e))
	var b strings.Builder
	b.WriteString(e.Name())
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).IsZero() {
			continue
		}
		switch x := v.Field(i).Interface().(type) {
		case []byte:
			fmt.Fprintf(&b, " %s=%x", name, x)
		case rules.Exprs:
			for _, sub := range x {
				fmt.Fprintf(&b, " {%s}", describeExpr(t, sub))
			}
		case *rules.Verdict:
			v := *x
			if c := t.Chain(v.Chain); c != nil && slices.Contains(c.Flags, "binding") {
				v.Chain = ""
				for _, r := range c.Rules {
					body := *r
					handleless(&body) // nft prints none here
					v.Chain += "\n      " + describe(t, &body)
				}
			}
			fmt.Fprintf(&b, " %+v", v)
		case string:
			if s := t.Set(x); name == "Set" && s != nil && s.Anonymous && !s.Dynamic {
				x = describeSet(s)
			}
			fmt.Fprintf(&b, " %s=%s", name, x)
		default:
			fmt.Fprintf(&b, " %s=%v", name, x)
		}
	}
	return b.String()
}

// describeSet leaves out what JSON doesn't tell: whether a set that no rule
// changes can be changed by one.
func describeSet(s *rules.Set) string {
	out := *s
	out.Elements, out.Exprs = rules.Elements{}, nil
	if s.Anonymous {
		out.Name, out.Handle = "", 0
	}
	const dynamic = 32 // NFT_SET_EVAL
	out.Dynamic, out.Flags = false, out.Flags&^dynamic
	var list []string
	none := &rules.Table{}
	for _, el := range s.Elements.All() {
		text := fmt.Sprintf("%x-%x %v %v %x %q %d %q", el.Key, el.KeyEnd, el.End, el.CatchAll, el.Data, el.Object, el.TimeoutMS, el.Comment)
		if el.Verdict != nil {
			text += fmt.Sprintf(" %+v", *el.Verdict)
		}
		for _, e := range el.Exprs {
			text += " " + describeExpr(none, e)
		}
		list = append(list, text)
	}
	slices.Sort(list)
	for _, e := range s.Exprs {
		list = append(list, describeExpr(none, e))
	}
	return fmt.Sprintf("%+v %s", out, strings.Join(list, "\n      "))
}

// describeTable leaves out chains without names, devices of chains and flags of
// tables, which JSON doesn't tell.
func describeTable(t *rules.Table) string {
	var b strings.Builder
	fmt.Fprint(&b, t.Backend, " ", t.Handle)
	for _, c := range t.Chains {
		if !strings.HasPrefix(c.Name, "__chain") {
			fmt.Fprintf(&b, "\n    %s %d %s %d %s %s", c.Name, c.Handle, c.Hook, c.Priority, c.Type, c.Policy)
		}
	}
	for _, o := range t.Objects {
		fmt.Fprintf(&b, "\n    %s %d %d %s", o.Name, o.Handle, o.Type, describeExpr(t, o.Expr))
	}
	for _, f := range t.Flowtables {
		fmt.Fprintf(&b, "\n    %+v", *f)
	}
	return b.String()
}
