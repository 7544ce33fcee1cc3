package text_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/text"
	"github.com/portwhy/portwhy/rules/xtables"
)

// parsed reads a table of iptables-legacy.
func parsed(t interface{ Fatal(...any) }, family rules.Family, table string) *rules.Table {
	set, err := xtables.Parse("f", []byte(table), family)
	if err != nil {
		t.Fatal(err, table)
	}
	return set.Tables[0]
}

// corpus are the rules of testdata/iptables.txt, and of package xt's lines, for a
// table of a family.
func corpus(t testing.TB, family rules.Family, table string) (list []string) {
	t.Helper()
	digit := map[rules.Family]string{rules.IP: "4", rules.IP6: "6"}[family]
	for _, file := range []string{"testdata/iptables.txt", "../xt/testdata/lines.txt"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
			if len(f) == 3 && strings.Contains(f[0], digit) && f[1] == table {
				list = append(list, "-A "+f[2])
			}
		}
	}
	return list
}

// A rule is a line of iptables-save, in its order whatever the words' was.
func TestRulesOfIptables(t *testing.T) {
	for _, c := range []struct {
		family     rules.Family
		line, want string
	}{
		{rules.IP, "-A FORWARD -j DROP -m comment --comment hi -p tcp --dport 80 -i eth0 -s 10/8", "-A FORWARD -s 10.0.0.0/8 -i eth0 -p tcp -m comment --comment hi -m tcp --dport 80 -j DROP"},
		{rules.IP, "-A FORWARD ! -s 1.2.3.4 -d 1.2.3.4/255.0.255.0 ! -i wg+ -o a ! -f ! -p 58 -g c", "-A FORWARD ! -s 1.2.3.4/32 -d 1.0.3.0/255.0.255.0 ! -i wg+ -o a ! -p ipv6-icmp ! -f -g c"},
		{rules.IP, "-A FORWARD -s 0/0 -p 253 -j QUEUE", "-A FORWARD -p 253 -j QUEUE"},
		{rules.IP, "-A FORWARD ! -i + -d 128.0.0.0/1", "-A FORWARD -d 128.0.0.0/1 ! -i +"},
		{rules.IP6, "-A FORWARD -s ::1.2.3.4 ! -d 2001:DB8::/32 -p icmpv6 -j RETURN", "-A FORWARD -s ::1.2.3.4/128 ! -d 2001:db8::/32 -p ipv6-icmp -j RETURN"},
		{rules.IP6, "-A FORWARD -s ::ffff:1.2.3.4 -d 1::2/ffff::ffff -j c", "-A FORWARD -s ::ffff:1.2.3.4/128 -d 1::2/ffff::ffff -j c"},
		// What package xt doesn't know stays as it was written.
		{rules.IP, "-A FORWARD -m account --aaddr 1.2.3.4/8 -j ECHO --echo 1", "-A FORWARD -m account --aaddr 1.2.3.4/8 -j ECHO --echo 1"},
		{rules.IP, "-A FORWARD -p dccp --dccp-types DATA", "-A FORWARD -p dccp -m dccp --dccp-types DATA"},
	} {
		table := parsed(t, c.family, "*filter\n:c - [0:0]\n"+c.line+"\nCOMMIT\n")
		chain := table.Chain("FORWARD")
		if got := text.Rule(table, chain, chain.Rules[0]); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}

// What can't be said in iptables' words is there as bytes.
func TestNothingOfIptablesIsDropped(t *testing.T) {
	table := &rules.Table{Backend: rules.IptablesLegacy, Family: rules.IP, Name: "filter"}
	chain := &rules.Chain{Name: "c"}
	for want, exprs := range map[string]rules.Exprs{
		"-A c -m new [revision 7 0x0102]": {&rules.IPTables{}, &rules.Match{Ext: "new", Rev: 7, Data: []byte{1, 2}}},
		// A port list of 200 ports has no text.
		"-A c -p tcp -m multiport [revision 1 0x" + "01c8" + strings.Repeat("00", 46) + "] -j NEW": {&rules.IPTables{Proto: 6},
			&rules.Match{Ext: "multiport", Rev: 1, Data: append([]byte{1, 200}, make([]byte, 46)...)}, &rules.Target{Ext: "NEW"}},
		"-A c -s 0x01/0x":             {&rules.IPTables{Src: []byte{1}}},
		"-A c [iptables 0x6508]":      {&rules.IPTables{}, &rules.Opaque{Kind: "iptables", Data: []byte("e\x08")}},
		`-A c -m x\x0a --y\x1b -j a`:  {&rules.Opaque{Kind: "match:x\n", Data: []byte("--y\x1b")}, &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Jump, Chain: "a"}}},
		"-A c ! -s 0.0.0.0/0 -p 1000": {&rules.IPTables{Inv: 8, Proto: 1000}},
		"-A c -j TRACE":               {&rules.IPTables{}, &rules.Target{Ext: "TRACE"}},
	} {
		if got := text.Rule(table, chain, &rules.Rule{Exprs: rules.ListOf(exprs...)}); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// A table is as iptables-save writes it, and can be read again.
func TestTablesOfIptables(t *testing.T) {
	const saved = `# Rules of ip6tables-legacy
*filter
:INPUT DROP [3:4]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:z - [0:0]
:a - [0:0]
[7:8] -A INPUT -i lo -j ACCEPT
[0:0] -A INPUT -j z
COMMIT
# Rules of iptables-nft
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:a - [0:0]
:z - [0:0]
[0:0] -A a -p tcp -j z
COMMIT
`
	set, err := xtables.Parse("f", []byte(strings.Replace(saved, ":a - [0:0]\n:z - [0:0]", ":z - [0:0]\n:a - [0:0]", 1)), 0)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel has a chain of iptables-nft only from when it is needed.
	nat := set.Tables[1]
	nat.Chains = append(nat.Chains[3:], nat.Chains[0])
	if got := (&text.Printer{Counters: true}).Ruleset(set); got != saved {
		t.Errorf("%s", got)
	}
	if got := text.Ruleset(set); got != strings.NewReplacer("[7:8] ", "", "[0:0] -A", "-A").Replace(saved) {
		t.Errorf("%s", got)
	}
	(&text.Printer{Counters: true}).Rules(set.Tables[0])
	if got := set.Tables[0].Chains[0].Rules[0].Text; got != "-A INPUT -i lo -j ACCEPT" {
		t.Error(got)
	}
}

// Whatever is printed is read as what it was.
func TestPrintedIsReadAgain(t *testing.T) {
	for _, family := range []rules.Family{rules.IP, rules.IP6} {
		lines := corpus(t, family, "filter")
		pool := parsed(t, family, "*filter\n:c1 - [0:0]\n:c2 - [0:0]\n"+strings.Join(lines, "\n")+"\nCOMMIT\n").Chain("INPUT").Rules
		if len(pool) < 100 {
			t.Fatal(len(pool))
		}
		rapid.Check(t, func(t *rapid.T) { printedIsReadAgain(t, family, pool) })
	}
}

// printedIsReadAgain makes a rule of parts of others.
func printedIsReadAgain(t *rapid.T, family rules.Family, pool []*rules.Rule) {
	part := rapid.IntRange(0, len(pool)-1)
	first := pool[part.Draw(t, "first")]
	head := *first.Exprs.All()[0].(*rules.IPTables)
	size := 4
	if family == rules.IP6 {
		size = 16
	}
	network := func(name string) (address, mask []byte) {
		if !rapid.Bool().Draw(t, name) {
			return nil, nil
		}
		address = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0x20, 255}), size, size).Draw(t, name+" address")
		mask = rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, name+" mask")
		if rapid.Bool().Draw(t, name+" prefix") {
			n := rapid.IntRange(1, 8*size).Draw(t, name+" length")
			for i := range mask {
				mask[i] = ^byte(0xff >> min(max(n-8*i, 0), 8))
			}
		}
		mask[0] |= 0x80
		for i := range address {
			address[i] &= mask[i]
		}
		return address, mask
	}
	head.Src, head.SrcMask = network("source")
	head.Dst, head.DstMask = network("destination")
	head.In = rapid.SampledFrom([]string{"", "lo", "eth+", "a.b-c@1"}).Draw(t, "device")
	head.Inv = head.Inv&0x60 | uint8(rapid.IntRange(0, 31).Draw(t, "not"))&0x19
	if head.In == "" {
		head.Inv &^= 1
	}
	if head.Src == nil {
		head.Inv &^= 8
	}
	if head.Dst == nil {
		head.Inv &^= 16
	}
	exprs := rules.Exprs{&head}
	for range rapid.IntRange(0, 3).Draw(t, "matches") {
		for _, e := range pool[part.Draw(t, "match")].Exprs.All()[1:] {
			if m, ok := e.(*rules.Match); ok && !again[m.Ext] {
				exprs = append(exprs, m)
			}
		}
	}
	for _, e := range first.Exprs.All()[1:] {
		if _, match := e.(*rules.Match); !match {
			exprs = append(exprs, e)
		}
	}
	table := parsed(t, family, "*filter\n:c1 - [0:0]\n:c2 - [0:0]\nCOMMIT\n")
	chain := table.Chain("INPUT")
	chain.Rules = []*rules.Rule{{Number: 1, Exprs: rules.ListOf(exprs...)}}
	printed := text.Table(table)
	got := parsed(t, family, printed).Chain("INPUT").Rules[0]
	if !reflect.DeepEqual(got.Exprs.All(), exprs) {
		t.Fatalf("%s\n got %+v\nwant %+v", printed, got.Exprs.All(), exprs)
	}
	if line := text.Rule(table, chain, got); got.Text != line || !strings.Contains(printed, "\n"+line+"\n") {
		t.Fatalf("%s, then %s", got.Text, line)
	}
}

// again are matches whose text says less than their bytes (see unsaid in package
// xt's tests).
var again = map[string]bool{"recent": true, "connlimit": true, "tcp": true, "icmp": true}

// What iptables-nft makes of rules, and what it can't have made.
func TestRulesOfIptablesNFT(t *testing.T) {
	load := func(key uint32) rules.Expr { return &rules.Meta{Key: key} }
	field := func(base, at, n uint32) rules.Expr { return &rules.Payload{Base: base, Offset: at, Len: n} }
	equal := func(b ...byte) rules.Expr { return &rules.Cmp{Data: b} }
	unequal := func(b ...byte) rules.Expr { return &rules.Cmp{Op: 1, Data: b} }
	mask := func(b ...byte) rules.Expr {
		return &rules.Bitwise{Mask: b, Xor: make([]byte, len(b)), Len: uint32(len(b))}
	}
	mark := binary.NativeEndian.AppendUint32(nil, 7)
	accept := &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Accept}}
	count := &rules.Counter{}
	table := &rules.Table{Backend: rules.IptablesNFT, Family: rules.IP, Name: "filter"}
	chain := &rules.Chain{Name: "c"}
	for _, c := range []struct {
		want  string
		exprs rules.Exprs
	}{
		{"-A c -s 10.0.0.0/8 -i eth+ -p tcp -m tcp --dport 80 -j ACCEPT", rules.Exprs{load(6), equal('e', 't', 'h'), load(16), equal(6),
			field(1, 12, 1), equal(10), field(2, 2, 2), equal(0, 80), count, accept}},
		{"-A c ! -d 10.0.0.0/15 ! -o a", rules.Exprs{load(7), unequal('a', 0), field(1, 16, 4), mask(255, 254, 0, 0), unequal(10, 0, 0, 0)}},
		{"-A c -m mark ! --mark 0x7 -m comment --comment \"x y\" -j ACCEPT", rules.Exprs{load(3), unequal(mark...), count, accept}},
		{"-A c ! -i +", rules.Exprs{load(6), equal([]byte("INVAL/D\x00")...)}},
		{"-A c -f", rules.Exprs{load(6), field(1, 6, 2), mask(0x1f, 0xff), unequal(0, 0)}},
		{"-A c -j TRACE", rules.Exprs{count, &rules.Immediate{Data: []byte{1}}, &rules.Meta{Key: 12, Write: true}}},
		// Not iptables': written as nft does.
		{"ip saddr 10.1.1.1 accept accept", rules.Exprs{field(1, 12, 4), equal(10, 1, 1, 1), accept, accept}},
		{"tcp dport 80 tcp dport 81", rules.Exprs{load(16), equal(6), field(2, 2, 2), equal(0, 80), field(2, 2, 2), equal(0, 81)}},
		{`log prefix "a"`, rules.Exprs{&rules.Log{Prefix: "a", Level: 4}}},
		{`reject [ -m ttl --ttl-eq 5 ] [ -j NEW [revision 1 0x07] ]`, rules.Exprs{&rules.Reject{Code: 3},
			&rules.Match{Ext: "ttl", Data: []byte{0, 5, 0, 0, 0, 0, 0, 0}}, &rules.Target{Ext: "NEW", Rev: 1, Data: []byte{7}}}},
	} {
		r := &rules.Rule{Exprs: rules.ListOf(c.exprs...)}
		if strings.Contains(c.want, "comment") {
			r.Tell(rules.About{Comment: "x y"})
		}
		if got := text.Rule(table, chain, r); got != c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
	}
	if got := text.Table(&rules.Table{Backend: rules.IptablesNFT, Family: rules.IP, Name: "x", Flags: []string{"dormant"},
		Chains: []*rules.Chain{{Name: "c", Rules: []*rules.Rule{{Exprs: rules.ListOf(&rules.Notrack{})}}}}}); got !=
		"# flags dormant\n*x\n:c - [0:0]\n-A c [nft] notrack\nCOMMIT\n" {
		t.Error(got)
	}
}

// BenchmarkSavedNFT is BenchmarkSaved for iptables-nft.
func BenchmarkSavedNFT(b *testing.B) {
	conntrack := parsed(b, rules.IP, "*filter\n-A INPUT -m conntrack --ctstate NEW\nCOMMIT\n").Chain("INPUT").Rules[0].Exprs.All()[1]
	chain := &rules.Chain{Name: "INPUT", Hook: rules.Input, Policy: "accept"}
	for i := range 50_000 {
		chain.Rules = append(chain.Rules, &rules.Rule{Exprs: rules.ListOf(&rules.Meta{Key: 6}, &rules.Cmp{Data: []byte("eth0\x00")},
			&rules.Meta{Key: 16}, &rules.Cmp{Data: []byte{6}}, &rules.Payload{Base: 1, Offset: 12, Len: 4}, &rules.Cmp{Data: []byte{10, byte(i >> 16), byte(i >> 8), byte(i)}},
			&rules.Payload{Base: 2, Offset: 2, Len: 2}, &rules.Cmp{Data: []byte{byte(i >> 8), byte(i)}}, conntrack, &rules.Counter{},
			&rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Accept}})})
	}
	table := &rules.Table{Backend: rules.IptablesNFT, Family: rules.IP, Name: "filter", Chains: []*rules.Chain{chain}}
	b.ReportAllocs()
	for b.Loop() {
		text.Table(table)
	}
}

// BenchmarkSaved prints 50,000 rules of iptables-legacy; the aim is well under a
// second.
func BenchmarkSaved(b *testing.B) {
	var s strings.Builder
	s.WriteString("*filter\n")
	for i := range 50_000 {
		fmt.Fprintf(&s, "-A INPUT -s 10.%d.%d.%d/32 -i eth0 -p tcp -m tcp --dport %d -m comment --comment \"rule %d\" -m conntrack --ctstate NEW -j ACCEPT\n", i>>16&0xff, i>>8&0xff, i&0xff, 1+i%60000, i)
	}
	s.WriteString("COMMIT\n")
	table := parsed(b, rules.IP, s.String())
	b.ReportAllocs()
	for b.Loop() {
		text.Table(table)
	}
}
