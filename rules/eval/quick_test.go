package eval

import (
	"encoding/binary"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/rules"
)

// What quick decides, expr decides alike and leaves the walk alike.
func TestQuickIsExpr(t *testing.T) {
	decided := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range 100 {
			e := quickExpr(t)
			if compareQuick(t, e) {
				decided[e.Name()]++
			}
		}
	})
	for _, name := range []string{"cmp", "payload", "meta", "iptables", "match", "counter"} {
		if decided[name] == 0 {
			t.Errorf("%s was never decided: %v", name, decided)
		}
	}
}

// compareQuick reports whether quick decides an expression.
func compareQuick(t *rapid.T, e rules.Expr) bool {
	p, state := quickPacket(t), rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "registers")
	unknown := rapid.SampledFrom([]uint16{0, 0, 0, 1, 0x10}).Draw(t, "unknown")
	table := &rules.Table{Family: rapid.SampledFrom([]rules.Family{rules.IP, rules.Inet, rules.Bridge}).Draw(t, "table")}
	family := rapid.SampledFrom([]rules.Family{rules.IP, rules.IP6, rules.Inet, rules.Netdev}).Draw(t, "hook's family")
	fresh := func() walk {
		w := walk{m: &Machine{}, packet: p.copy(), verdict: Accept, table: table, chain: &rules.Chain{}, rule: &rules.Rule{},
			hook: rules.Input, family: family, way: In, arrived: true, unknown: unknown, rest: rules.ListOf(accept), choices: []choice{{1, 2}}}
		copy(w.registers[:], state)
		return w
	}
	quick, slow := fresh(), fresh()
	got, ok := quick.quick(e)
	quick.scratch = probe{}
	if !ok {
		if !reflect.DeepEqual(quick, slow) {
			t.Fatalf("%T was not decided and has changed the walk", e)
		}
		return false
	}
	if want := slow.expr(e); got != want {
		t.Fatalf("%+v on %+v: %d, expr says %d", e, p, got, want)
	}
	if !reflect.DeepEqual(quick, slow) {
		t.Fatalf("%+v on %+v: %+v\nexpr leaves %+v", e, p, quick, slow)
	}
	return true
}

// quickPacket is sound half of the time, and else cut off, with options, a
// fragment or with bytes that are not known.
func quickPacket(t *rapid.T) *Packet {
	p := &Packet{Family: rules.IP, In: "lo", InIndex: 1, Data: tcpPacket().Data}
	if rapid.Bool().Draw(t, "odd") {
		p.Data[rapid.SampledFrom([]int{0, 6, 7, 9, 32, 33}).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		p.Data = p.Data[:rapid.IntRange(0, len(p.Data)).Draw(t, "length")]
		p.Family = rapid.SampledFrom([]rules.Family{rules.IP, rules.IP, rules.IP6, rules.ARP}).Draw(t, "family")
	}
	if p.Data = append(p.Data, rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "more")...); rapid.IntRange(0, 2).Draw(t, "hidden") == 0 {
		from := rapid.SampledFrom([]int{9, 12, 16, 20, 22, 33, 60}).Draw(t, "from")
		p.hide(from, from+2, blame{"nat", "a test"})
	}
	if len(p.Data) > 20 && rapid.Bool().Draw(t, "udp") {
		p.Data[9] = 17
	}
	return p
}

func quickExpr(t *rapid.T) rules.Expr {
	reg := rules.Reg(rapid.SampledFrom([]int{0, 0, 1, 4, 15, 16, 255}).Draw(t, "register"))
	word := func(name string) []byte {
		return rapid.SampledFrom([][]byte{nil, {127, 0, 0, 1}, {127, 0, 0, 2}, {255, 255, 255, 255}, {255, 0, 0, 0}, {127, 0, 0, 0}, {0, 0, 0, 0}, {1}}).Draw(t, name)
	}
	small := func(name string, limit int) uint32 { return uint32(rapid.IntRange(0, limit).Draw(t, name)) }
	one := func(name string, of ...uint32) uint32 { return rapid.SampledFrom(of).Draw(t, name) }
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return &rules.Cmp{Source: reg, Op: small("op", 7), Data: rapid.SliceOfN(rapid.SampledFrom([]byte{0, 6, 127}), 0, 20).Draw(t, "data")}
	case 1:
		return &rules.Payload{Base: one("base", 0, 1, 1, 2, 2, 3), Offset: one("offset", 0, 2, 9, 12, 16, 22, 39, 1<<32-1), Len: one("len", 0, 1, 2, 2, 4, 4, 16), Reg: reg, Write: small("write", 9) == 0}
	case 2:
		return &rules.Meta{Key: small("key", 40), Reg: reg, Write: small("write", 9) == 0}
	case 3, 4:
		return &rules.IPTables{Src: word("src"), SrcMask: word("srcmask"), Dst: word("dst"), DstMask: word("dstmask"),
			In:    rapid.SampledFrom([]string{"", "", "lo", "+"}).Draw(t, "in"),
			Proto: uint16(one("proto", 0, 0, 6, 17, 300)), Flags: uint8(one("flags", 0, 0, 0, 1, 4)), Inv: uint8(one("inv", 0, 0, 0, 0, 1, 2, 8, 16, 32, 64, 127))}
	case 5:
		return quickMatchExpr(t)
	}
	return &rules.Counter{}
}

// quickMatchExpr has ports around those of the packet.
func quickMatchExpr(t *rapid.T) rules.Expr {
	m := &rules.Match{Ext: rapid.SampledFrom([]string{"tcp", "udp", "icmp"}).Draw(t, "ext"), Rev: uint8(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "rev"))}
	m.Data = make([]byte, rapid.SampledFrom([]int{16, 16, 8}).Draw(t, "size"))
	for at := 0; at < 8; at += 2 {
		binary.NativeEndian.PutUint16(m.Data[at:], uint16(rapid.SampledFrom([]int{0, 5000, 5001, 6000, 65535}).Draw(t, "port")))
	}
	for at := 8; at < min(12, len(m.Data)); at++ {
		m.Data[at] = rapid.SampledFrom([]byte{0, 0, 2, 1, 255}).Draw(t, "rest")
	}
	return m
}
