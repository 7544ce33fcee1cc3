package eval

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/rules"
)

// A chain that is looked through by its rules' heads first does what it does rule
// by rule: a counter before each head keeps the second ruleset from that.
func TestHeadsChangeNothing(t *testing.T) {
	skimmed := 0
	rapid.Check(t, func(t *rapid.T) {
		first, second := &rules.Table{Family: rules.IP, Name: "t", Backend: rules.IptablesLegacy}, &rules.Table{Family: rules.IP, Name: "t", Backend: rules.IptablesLegacy}
		const chains = 3
		for c := range chains {
			a, b := &rules.Chain{Name: fmt.Sprint("c", c)}, &rules.Chain{Name: fmt.Sprint("c", c)}
			if c == 0 {
				a.Hook, a.Type, a.Policy = rules.Input, "filter", "accept"
				b.Hook, b.Type, b.Policy = a.Hook, a.Type, a.Policy
			}
			for n := range rapid.IntRange(headsLeast-8, headsLeast+40).Draw(t, "rules") {
				exprs := append(rules.Exprs{randomHead(t)}, randomEnd(t, c, chains)...)
				a.Rules = append(a.Rules, &rules.Rule{Number: int32(n + 1), Exprs: rules.ListOf(exprs...)})
				b.Rules = append(b.Rules, &rules.Rule{Number: int32(n + 1), Exprs: rules.ListOf(append(rules.Exprs{&rules.Counter{}}, exprs...)...)})
			}
			first.Chains, second.Chains = append(first.Chains, a), append(second.Chains, b)
		}
		one, other := Compile(&rules.Ruleset{Tables: []*rules.Table{first}}, Host{}), Compile(&rules.Ruleset{Tables: []*rules.Table{second}}, Host{})
		for range 4 {
			p := packet()
			p.Data[12+3], p.Data[16+3] = rapid.Byte().Draw(t, "source")&3, rapid.Byte().Draw(t, "destination")&3
			p.In = "eth0"
			got, want := one.Hook(rules.Input, p), other.Hook(rules.Input, p)
			if g, w := told(got), told(want); !reflect.DeepEqual(g, w) {
				t.Fatalf("%v\nwant %v", g, w)
			}
		}
		skimmed += len(one.heads)
	})
	if skimmed == 0 {
		t.Error("no chain was ever looked through")
	}
}

func randomHead(t *rapid.T) *rules.IPTables {
	h := &rules.IPTables{Src: make([]byte, 4), SrcMask: make([]byte, 4), Dst: make([]byte, 4), DstMask: make([]byte, 4)}
	if rapid.IntRange(0, 9).Draw(t, "source") > 0 {
		h.Src, h.SrcMask = []byte{0, 0, 0, rapid.Byte().Draw(t, "from") & 3}, []byte{0, 0, 0, 3}
	}
	if rapid.Bool().Draw(t, "destination") {
		h.Dst, h.DstMask = []byte{0, 0, 0, rapid.Byte().Draw(t, "to") & 3}, []byte{0, 0, 0, 3}
	}
	h.Inv = rapid.SampledFrom([]uint8{0, 0, 0, invSrc, invDst, invProto}).Draw(t, "inverted")
	h.Proto = rapid.SampledFrom([]uint16{0, 6, 17}).Draw(t, "protocol")
	h.In = rapid.SampledFrom([]string{"", "", "eth0", "eth1"}).Draw(t, "device")
	return h
}

// randomEnd is what a rule does: nothing, a mark, a verdict, a jump to a later chain.
func randomEnd(t *rapid.T, chain, chains int) rules.Exprs {
	to := func(kind rules.VerdictKind) rules.Exprs {
		if chain+1 == chains {
			return rules.Exprs{&rules.Counter{}}
		}
		return rules.Exprs{&rules.Immediate{Verdict: &rules.Verdict{Kind: kind, Chain: fmt.Sprint("c", chain+1)}}}
	}
	switch rapid.IntRange(0, 30).Draw(t, "end") {
	case 0:
		return rules.Exprs{accept}
	case 1:
		return rules.Exprs{drop}
	case 2:
		return rules.Exprs{&rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Return}}}
	case 3, 4:
		return to(rules.Jump)
	case 5:
		return to(rules.Goto)
	case 6:
		return rules.Exprs{&rules.Immediate{Dest: 8, Data: []byte{1, 0, 0, 0}}, &rules.Meta{Key: metaMark, Reg: 0, Write: true}}
	}
	return rules.Exprs{&rules.Counter{}}
}

// told is a result by the places of its rules.
func told(r Result) []string {
	list := []string{string(r.Verdict), fmt.Sprint(r.Packet.Mark, len(r.Doubts))}
	for _, s := range r.Steps {
		number := 0
		if s.Rule != nil {
			number = int(s.Rule.Number)
		}
		list = append(list, fmt.Sprint(s.Chain.Name, number, s.Effect))
	}
	return list
}
