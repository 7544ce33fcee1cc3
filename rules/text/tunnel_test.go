package text_test

import (
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/text"
)

// What a rule reads of the packet in a tunnel, as nft 1.0.9 lists it (its
// tests/py/inet/vxlan.t and others have the same expressions).
func TestTunnels(t *testing.T) {
	in := func(kind uint32, e rules.Expr) rules.Expr {
		return &rules.Inner{Type: kind, Flags: 15, HdrSize: 8, Exprs: rules.Exprs{e}}
	}
	protocol, l4 := &rules.Meta{Key: 1}, &rules.Meta{Key: 16}
	is := func(b ...byte) rules.Expr { return &rules.Cmp{Data: b} }
	load := func(base, offset, n uint32) rules.Expr { return &rules.Payload{Base: base, Offset: offset, Len: n} }
	for _, c := range []struct {
		exprs []rules.Expr
		want  string
	}{
		{[]rules.Expr{in(1, load(4, 4, 3)), is(0, 0, 10)}, "vxlan vni 10"},
		{[]rules.Expr{in(1, protocol), is(8, 0), in(1, load(1, 12, 4)), is(10, 141, 11, 2)}, "vxlan ip saddr 10.141.11.2"},
		{[]rules.Expr{in(2, protocol), is(8, 0), in(2, load(1, 12, 3)), is(10, 141, 11)}, "geneve ip saddr 10.141.11.0/24"},
		{[]rules.Expr{in(1, l4), is(17), in(1, load(2, 0, 2)), is(0x22, 0xb8)}, "vxlan udp sport 8888"},
		{[]rules.Expr{in(3, load(0, 12, 2)), is(8, 0), in(3, l4), is(1), in(3, load(2, 0, 1)), is(0)}, "gre icmp type echo-reply"},
		{[]rules.Expr{in(4, load(0, 6, 6)), is(0x62, 0x87, 0x4d, 0xd6, 0x19, 0x05)}, "gretap ether saddr 62:87:4d:d6:19:05"},
		{[]rules.Expr{in(1, l4), is(17)}, "vxlan meta l4proto udp"},
		{[]rules.Expr{in(1, load(1, 12, 4)), is(1, 2, 3, 4)}, "vxlan @nh,96,32 0x1020304"},
		{[]rules.Expr{in(1, protocol), is(8, 0), in(2, load(1, 12, 4)), is(1, 2, 3, 4)}, "vxlan meta protocol ip geneve @nh,96,32 0x1020304"},
		{[]rules.Expr{in(9, protocol)}, "[ inner {Type:9"},
	} {
		rule := &rules.Rule{Exprs: rules.ListOf(c.exprs...)}
		got := text.Rule(&rules.Table{Family: rules.Inet}, &rules.Chain{}, rule)
		if len(got) < len(c.want) || got[:len(c.want)] != c.want || c.want[0] != '[' && got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
