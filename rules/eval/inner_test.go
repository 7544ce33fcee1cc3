package eval

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// header4 is a header of IPv4 of a packet of n bytes.
func header4(protocol byte, n int) []byte {
	h := make([]byte, 20)
	h[0], h[8], h[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(h[2:], uint16(20+n))
	copy(h[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	return h
}

func outer(protocol byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(header4(protocol, len(body)), body...)
}

// What the kernel finds in tunnels, by bytes.
func TestInner(t *testing.T) {
	udpHead := []byte{0, 1, 0x12, 0xb5, 0, 0, 0, 0}
	vxlan := []byte{8, 0, 0, 0, 0, 0, 7, 0}
	ether := append(bytes.Repeat([]byte{2}, 12), 8, 0)
	vlan := append(bytes.Repeat([]byte{2}, 12), 0x81, 0, 0, 5, 8, 0)
	inside := outer(17, []byte{0x13, 0x88, 0, 53, 0, 8, 0, 0})
	fragment := append([]byte(nil), inside...)
	fragment[7] = 1
	inside6 := append([]byte{0x60, 0, 0, 0, 0, 8, 17, 64}, make([]byte, 40)...)
	inside6[41] = 9
	geneve := []byte{1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 4} // with an option of 4 bytes
	load := func(base, offset, n uint32) rules.Expr { return &rules.Payload{Base: base, Offset: offset, Len: n} }
	protocol, l4 := &rules.Meta{Key: metaProtocol}, &rules.Meta{Key: metaL4}
	for _, c := range []struct {
		name   string
		kind   uint32
		flags  uint32
		packet []byte
		expr   rules.Expr
		want   []byte // nil: the rule breaks off
	}{
		{"vxlan's vni", 1, 15, outer(17, udpHead, vxlan, ether, inside), load(baseTunnel, 4, 3), []byte{0, 0, 7}},
		{"vxlan's link header", 1, 15, outer(17, udpHead, vxlan, ether, inside), load(baseLink, 6, 2), []byte{2, 2}},
		{"vxlan's network header", 1, 15, outer(17, udpHead, vxlan, ether, inside), load(baseNetwork, 12, 4), []byte{10, 0, 0, 1}},
		{"vxlan's transport header", 1, 15, outer(17, udpHead, vxlan, ether, inside), load(baseTransport, 0, 2), []byte{0x13, 0x88}},
		{"vxlan's protocol", 1, 15, outer(17, udpHead, vxlan, ether, inside), protocol, []byte{8, 0}},
		{"vxlan's transport protocol", 1, 15, outer(17, udpHead, vxlan, ether, inside), l4, []byte{17}},
		{"vxlan with a VLAN", 1, 15, outer(17, udpHead, vxlan, vlan, inside), protocol, []byte{0x81, 0}},
		{"vxlan with a VLAN, its port", 1, 15, outer(17, udpHead, vxlan, vlan, inside), load(baseTransport, 2, 2), []byte{0, 53}},
		{"vxlan of IPv6", 1, 15, outer(17, udpHead, vxlan, append(ether[:12:12], 0x86, 0xdd), inside6), load(baseTransport, 0, 2), []byte{0, 9}},
		{"vxlan of a later fragment", 1, 15, outer(17, udpHead, vxlan, ether, fragment), l4, nil},
		{"the network header of a later fragment", 1, 15, outer(17, udpHead, vxlan, ether, fragment), load(baseNetwork, 9, 1), []byte{17}},
		{"vxlan of ARP", 1, 15, outer(17, udpHead, vxlan, append(ether[:12:12], 8, 6), inside), protocol, nil},
		{"vxlan that is cut", 1, 15, outer(17, udpHead, vxlan[:4]), protocol, nil},
		{"not UDP", 1, 15, outer(6, make([]byte, 12), []byte{0x50}, make([]byte, 7)), protocol, nil},
		{"geneve with an option", 2, 15, outer(17, udpHead, geneve, ether, inside), load(baseNetwork, 16, 4), []byte{10, 0, 0, 2}},
		{"gre", 3, 12, outer(47, []byte{0, 0, 8, 0}, inside), load(baseNetwork, 12, 4), []byte{10, 0, 0, 1}},
		{"gre with a key", 3, 12, outer(47, []byte{0x20, 0, 8, 0, 0, 0, 0, 1}, inside), load(baseTransport, 2, 2), []byte{0, 53}},
		{"gre of version 1", 3, 12, outer(47, []byte{0, 1, 8, 0}, inside), protocol, nil},
		{"gre with routing", 3, 12, outer(47, []byte{0x40, 0, 8, 0}, inside), protocol, nil},
		{"gre has no link header", 3, 12, outer(47, []byte{0, 0, 8, 0}, inside), load(baseLink, 0, 2), nil},
		{"gre of ethernet", 4, 14, outer(47, []byte{0, 0, 0x65, 0x58}, ether, inside), load(baseLink, 0, 1), []byte{2}},
		{"the header of gre", 4, 15, outer(47, []byte{0, 0, 0x65, 0x58}, ether, inside), load(baseTunnel, 2, 2), []byte{0x65, 0x58}},
		{"IP in IP", 3, 12, outer(4, inside), load(baseNetwork, 12, 4), []byte{10, 0, 0, 1}},
		{"only a transport header", 3, 8, outer(17, udpHead, []byte{1, 2, 3, 4}), load(baseTransport, 2, 2), []byte{3, 4}},
		{"IPv6 in IPv4 is not looked into", 3, 12, outer(41, inside6), protocol, nil},
		{"a later fragment outside", 1, 15, func() []byte { b := outer(17, udpHead, vxlan, ether, inside); b[7] = 1; return b }(), protocol, nil},
	} {
		e := &rules.Inner{Type: c.kind, Flags: c.flags, HdrSize: 8, Exprs: rules.Exprs{c.expr}}
		test := rules.Expr(&rules.Counter{})
		if c.want != nil {
			test = &rules.Cmp{Data: c.want}
		}
		p := &Packet{Family: rules.IP, In: "lo", Data: c.packet}
		got := Compile(chains("accept", list{{e, test, drop}}), Host{}).Hook(rules.Input, p)
		if want := map[bool]Verdict{true: Drop, false: Accept}[c.want != nil]; got.Verdict != want {
			t.Errorf("%s: %q, want %q, doubts %v", c.name, got.Verdict, want, got.Doubts)
		}
	}
	for _, bad := range []*rules.Inner{{}, {Exprs: rules.Exprs{accept}, Flags: 8}, {Exprs: rules.Exprs{&rules.Meta{Key: metaMark}}, Flags: 8}} {
		p := &Packet{Family: rules.IP, In: "lo", Data: outer(17, udpHead, vxlan)}
		if got := Compile(chains("accept", list{{bad, drop}}), Host{}).Hook(rules.Input, p); got.Verdict != Unknown {
			t.Errorf("%+v: %q", bad, got.Verdict)
		}
	}
}

// What is behind other headers: payload of base inner, options of IPv4 and DCCP.
func TestWhatHeadersCarry(t *testing.T) {
	options := func(o ...byte) []byte {
		for len(o)%4 != 0 {
			o = append(o, 0)
		}
		h := append(header4(17, len(o)+8), o...)
		h[0] += byte(len(o) / 4)
		return append(h, make([]byte, 8)...)
	}
	option := func(kind byte, flags uint32) rules.Expr {
		return &rules.Exthdr{Op: exthdrIP, Type: kind, Offset: 1, Len: 1, Flags: flags}
	}
	dccp := func(kind byte, o ...byte) []byte {
		h := make([]byte, 24)
		h[4], h[8] = byte(24+len(o))/4, kind<<1
		return append(h, o...)
	}
	for _, c := range []struct {
		name   string
		packet []byte
		expr   rules.Expr
		want   []byte
		v      Verdict // that of what isn't compared
	}{
		{"behind GRE", outer(47, []byte{0, 0, 8, 0, 1, 2}), &rules.Payload{Base: baseInner, Len: 2}, []byte{1, 2}, Drop},
		{"behind IP in IP", outer(4, []byte{1, 2}), &rules.Payload{Base: baseInner, Len: 2}, []byte{1, 2}, Drop},
		{"behind ICMP", outer(1, make([]byte, 20)), &rules.Payload{Base: baseInner, Len: 2}, nil, Accept},
		{"router alert", options(148, 4, 0, 0), option(148, 0), []byte{4}, Drop},
		{"a router alert of another value", options(148, 4, 0, 1), option(148, 0), nil, Accept},
		{"loose route", options(1, 131, 7, 4, 1, 2, 3, 4), option(131, 0), []byte{7}, Drop},
		{"a loose route is no strict one", options(131, 7, 4, 1, 2, 3, 4, 0), option(137, 1), []byte{0}, Drop},
		{"recorded route", options(7, 7, 4, 0, 0, 0, 0, 0), option(7, 1), []byte{1}, Drop},
		{"behind the end", options(0, 148, 4, 0, 0), option(148, 1), []byte{0}, Drop},
		{"behind a broken one", options(7, 2, 148, 4, 0, 0), option(148, 1), []byte{0}, Drop},
		{"beside one that is not known", options(77, 4, 0, 0, 148, 4, 0, 0), option(148, 1), []byte{1}, Unknown},
		{"beside timestamps", options(68, 8, 5, 0, 0, 0, 0, 0, 148, 4, 0, 0), option(148, 1), []byte{1}, Drop},
		{"no options", options(), option(148, 0), nil, Accept},
		{"an option of DCCP", outer(33, dccp(1, 32, 4, 0, 0)), &rules.Exthdr{Op: exthdrDCCP, Type: 32, Len: 1, Flags: 1}, []byte{1}, Drop},
		{"a second option of DCCP", outer(33, dccp(1, 0, 0, 40, 4, 0, 0, 41, 2)), &rules.Exthdr{Op: exthdrDCCP, Type: 41, Len: 1, Flags: 1}, []byte{1}, Drop},
		{"no option of DCCP", outer(33, dccp(1, 40, 1, 41, 2)), &rules.Exthdr{Op: exthdrDCCP, Type: 41, Len: 1, Flags: 1}, []byte{0}, Drop},
	} {
		test := rules.Expr(&rules.Counter{})
		if c.want != nil {
			test = &rules.Cmp{Data: c.want}
		}
		p := &Packet{Family: rules.IP, In: "lo", Data: c.packet}
		if got := Compile(chains("accept", list{{c.expr, test, drop}}), Host{}).Hook(rules.Input, p); got.Verdict != c.v {
			t.Errorf("%s: %q, want %q, doubts %v", c.name, got.Verdict, c.v, got.Doubts)
		}
	}
}
