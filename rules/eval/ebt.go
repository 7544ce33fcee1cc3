package eval

import (
	"encoding/binary"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// Extensions of ebtables, of revision 0, by structures of
// linux/netfilter_bridge/ebt_*.h. Some share a name with one of iptables.

// bridgeMatchers are the matches, and how long their structures are.
var bridgeMatchers = map[string]matcher{
	"802_3": {size: 6, run: ebt8023}, "arp": {size: 50, run: ebtARP}, "ip": {size: 28, run: ebtIP}, "ip6": {size: 76, run: ebtIP6},
	"mark_m": {size: 18, run: ebtMark}, "pkttype": {size: 2, run: ebtPacketType}, "vlan": {size: 8, run: ebtVLAN},
}

// bridgeTargets are the targets; log and nflog only tell of the packet.
var bridgeTargets = map[string]actor{
	"arpreply": {size: 12, run: ebtReply}, "dnat": {size: 12, run: ebtDNAT}, "mark": {size: 12, run: ebtSetMark},
	"redirect": {size: 4, run: ebtRedirect}, "snat": {size: 12, run: ebtSNAT},
	"log": {run: ebtGoesOn}, "nflog": {run: ebtGoesOn},
}

// bridgeMatch runs a match of ebtables.
func (w *walk) bridgeMatch(m *rules.Match) rules.VerdictKind {
	b := blame{"match " + m.Ext, notModelled}
	c, ok := bridgeMatchers[m.Ext]
	switch {
	case m.Ext == "limit":
		b.why = past
		return w.perhaps(b)
	case !ok || m.Rev != 0:
		return w.perhaps(b)
	case len(m.Data) < c.size:
		b.why = tooShort
		return w.perhaps(b)
	}
	a := c.run(&probe{walk: w, ext: m.Ext, d: m.Data})
	if a.why == "" {
		return matched(a.yes)
	}
	b.why = a.why
	return w.perhaps(b)
}

// bridgeTarget runs a target of ebtables.
func (w *walk) bridgeTarget(t *rules.Target) rules.VerdictKind {
	c, ok := bridgeTargets[t.Ext]
	switch {
	case !ok || t.Rev != 0:
		return w.either(blame{"target " + t.Ext, notModelled})
	case len(t.Data) < c.size:
		return w.either(blame{"target " + t.Ext, tooShort})
	}
	return c.run(&probe{walk: w, ext: t.Ext, d: t.Data})
}

// verdict is one of ebtables' numbers (EBT_ACCEPT and so on), in whose lower four
// bits it is all the same.
func (x *probe) verdict(at int) rules.VerdictKind {
	switch int32(x.arg32(at) | ^uint32(15)) {
	case -1:
		return rules.Accept
	case -2:
		return rules.Drop
	case -3:
		return rules.Continue
	case -4:
		return rules.Return
	}
	return x.either(blame{"target " + x.ext, "its verdict is not known"})
}

// tests are those of a structure that has a bit for each that is to be made, and
// one for each that is inverted.
type tests struct {
	asked, inverted byte
	result          answer
}

func (t *tests) add(bit byte, a answer) {
	if t.asked&bit != 0 {
		t.result = all(t.result, a.unless(t.inverted&bit != 0))
	}
}

// bytesAre compares bytes of the packet under a mask.
func (x *probe) bytesAre(at int, want, mask []byte) answer {
	a := isSo
	for i := range want {
		a = all(a, x.field(at+i, 1).is(uint32(want[i]&mask[i]), uint32(mask[i])))
		if want[i]&^mask[i] != 0 {
			return isNot
		}
	}
	return a
}

// ebtIP is ebt_ip_mt.
func ebtIP(x *probe) answer {
	const source, destination, tos, protocol, sport, dport, icmp, igmp = 1, 2, 4, 8, 16, 32, 64, 128
	d := x.packet.Data
	if len(d) < 20 {
		return isNot
	}
	t := tests{x.d[18], x.d[19], isSo}
	t.add(tos, x.field(1, 1).in(x.arg8(16), x.arg8(16)))
	t.add(source, x.bytesAre(12, x.d[:4], x.d[8:12]))
	t.add(destination, x.bytesAre(16, x.d[4:8], x.d[12:16]))
	if t.asked&protocol == 0 {
		return t.result
	}
	t.add(protocol, x.field(9, 1).in(x.arg8(17), x.arg8(17)))
	if t.asked&(sport|dport|icmp|igmp) == 0 {
		return t.result
	}
	at := int(d[0]&15) * 4
	if d[6]&0x1f != 0 || d[7] != 0 || at+4 > len(d) {
		return isNot
	}
	x.ebtPorts(&t, at, 20, dport, sport)
	t.add(icmp, all(x.field(at, 1).in(x.arg8(20), x.arg8(21)), x.field(at+1, 1).in(x.arg8(24), x.arg8(25))))
	t.add(igmp, x.field(at, 1).in(x.arg8(20), x.arg8(21)))
	return t.result
}

// ebtPorts are ranges of ports, of which the source's stand first.
func (x *probe) ebtPorts(t *tests, at, ranges int, dport, sport byte) {
	t.add(dport, x.field(at+2, 2).in(x.arg16(ranges+4), x.arg16(ranges+6)))
	t.add(sport, x.field(at, 2).in(x.arg16(ranges), x.arg16(ranges+2)))
}

// ebtIP6 is ebt_ip6_mt.
func ebtIP6(x *probe) answer {
	const source, destination, class, protocol, sport, dport, icmp = 1, 2, 4, 8, 16, 32, 64
	d := x.packet.Data
	if len(d) < 40 {
		return isNot
	}
	t := tests{x.d[66], x.d[67], isSo}
	t.add(class, holds(x.d[64] == d[0]<<4|d[1]>>4))
	t.add(source, x.bytesAre(8, x.d[:16], x.d[32:48]))
	t.add(destination, x.bytesAre(24, x.d[16:32], x.d[48:64]))
	if t.asked&protocol == 0 {
		return t.result
	}
	inside := Packet{Family: rules.IP6, Data: d}
	at, number, found, header := inside.transport6(false)
	switch {
	case !found:
		return isNot
	case !header:
		return unsure("what ebtables takes for the protocol of a later fragment is not modelled")
	}
	t.add(protocol, holds(x.d[65] == number))
	if t.asked&(sport|dport|icmp) == 0 {
		return t.result
	}
	if at+4 > len(d) {
		return isNot
	}
	x.ebtPorts(&t, at, 68, dport, sport)
	t.add(icmp, all(x.field(at, 1).in(x.arg8(68), x.arg8(69)), x.field(at+1, 1).in(x.arg8(72), x.arg8(73))))
	return t.result
}

// ebtARP is ebt_arp_mt.
func ebtARP(x *probe) answer {
	const opcode, hardware, protocol, sourceIP, destinationIP, sourceMAC, destinationMAC, gratuitous = 1, 2, 4, 8, 16, 32, 64, 128
	d := x.packet.Data
	if len(d) < 8 {
		return isNot
	}
	t := tests{x.d[48], x.d[49], isSo}
	whole := []byte{0xff, 0xff}
	t.add(opcode, x.bytesAre(6, x.d[4:6], whole))
	t.add(hardware, x.bytesAre(0, x.d[:2], whole))
	t.add(protocol, x.bytesAre(2, x.d[2:4], whole))
	hardwareLen, addressLen := int(d[4]), int(d[5])
	if t.asked&(sourceIP|destinationIP|gratuitous) != 0 {
		from, to := 8+hardwareLen, 12+2*hardwareLen
		if addressLen != 4 || binary.BigEndian.Uint16(d[2:]) != etherIP || to+4 > len(d) {
			return isNot
		}
		t.add(sourceIP, x.bytesAre(from, x.d[8:12], x.d[12:16]))
		t.add(destinationIP, x.bytesAre(to, x.d[16:20], x.d[20:24]))
		t.add(gratuitous, holds(slices.Equal(d[from:from+4], d[to:to+4])))
	}
	if t.asked&(sourceMAC|destinationMAC) != 0 {
		to := 8 + hardwareLen + addressLen
		if hardwareLen != macLen || d[0] != 0 || d[1] != typeEthernet || to+macLen > len(d) {
			return isNot
		}
		t.add(sourceMAC, x.bytesAre(8, x.d[24:30], x.d[30:36]))
		t.add(destinationMAC, x.bytesAre(to, x.d[36:42], x.d[42:48]))
	}
	return t.result
}

// ebtVLAN is ebt_vlan_mt.
func ebtVLAN(x *probe) answer {
	const id, priority, encapsulated = 1, 2, 4
	f := &x.frame
	if f.why != "" {
		return unsure(f.why)
	}
	if !f.tagged() {
		return unsure("what ebtables takes for the tag of a frame without one is not modelled")
	}
	if b := spanAt(f.hidden, typeAt, len(f.data)); b != nil {
		return unsure(b.why)
	}
	tag := binary.BigEndian.Uint16(f.data[typeAt+2:])
	t := tests{x.d[6], x.d[7], isSo}
	t.add(id, holds(uint32(tag&0xfff) == x.arg16(0)))
	t.add(priority, holds(uint32(tag>>13) == x.arg8(2)))
	t.add(encapsulated, holds(slices.Equal(f.data[typeAt+tagLen:typeAt+tagLen+2], x.d[4:6])))
	return t.result
}

// ebt8023 is ebt_802_3_mt: of frames that have a length where others have their
// type, and the header of LLC behind it.
func ebt8023(x *probe) answer {
	const sap, kind, snap = 1, 2, 0xaa
	d := x.packet.Data
	if len(d) < 10 {
		return unsure("the frame is too short for a header of LLC")
	}
	if b := x.packet.blind(0, 10); b != nil {
		return unsure(b.why)
	}
	name := d[6:8] // behind one byte of control, or two
	if d[2]&3 == 0 {
		name = d[8:10]
	}
	t := tests{x.d[4], x.d[5], isSo}
	t.add(sap, holds(d[1] == x.d[0]))
	t.add(sap, holds(d[0] == x.d[0]))
	if t.asked&kind != 0 && (d[0] != snap || d[1] != snap) {
		return isNot
	}
	t.add(kind, holds(slices.Equal(name, x.d[2:4])))
	return t.result
}

// ebtMark is ebt_mark_mt, over longs of 64 bits.
func ebtMark(x *probe) answer {
	const anyBit = 2
	if x.markUnknown != nil {
		return unsure(x.markUnknown.why)
	}
	mark, mask, have := binary.NativeEndian.Uint64(x.d), binary.NativeEndian.Uint64(x.d[8:]), uint64(x.packet.Mark)
	if x.d[17]&anyBit != 0 {
		return holds(have&mask != 0).unless(x.d[16] != 0)
	}
	return holds(have&mask == mark).unless(x.d[16] != 0)
}

// ebtPacketType is ebt_pkttype_mt.
func ebtPacketType(x *probe) answer {
	kind, why := x.packetType()
	if why != nil {
		return unsure(why.why)
	}
	return holds(kind == x.d[0]).unless(x.d[1] != 0)
}

// ebtSetMark is ebt_mark_tg.
func ebtSetMark(x *probe) rules.VerdictKind {
	const set, or, and = -16, -32, -48
	mark := x.arg32(0)
	action := int32(x.arg32(8)) &^ 15
	x.changed = true
	switch {
	case action == set:
		x.markUnknown, x.packet.Mark = nil, mark
	case x.markUnknown != nil: // and is still unknown
	case action == or:
		x.packet.Mark |= mark
	case action == and:
		x.packet.Mark &= mark
	default:
		x.packet.Mark ^= mark
	}
	return x.verdict(8)
}

// address changes one of the frame's addresses; false if the frame isn't known.
func (x *probe) address(at int, mac []byte) bool {
	f := &x.frame
	x.changed = true
	if f.why != "" || len(f.data) < frameLen {
		return false
	}
	f.data, f.hidden = slices.Clone(f.data), without(slices.Clone(f.hidden), at, at+macLen)
	copy(f.data[at:], mac)
	return true
}

// ebtSNAT is ebt_snat_tg: it changes the sender's address, and that within ARP
// unless it is told not to.
func ebtSNAT(x *probe) rules.VerdictKind {
	const notInARP = 16
	x.address(macLen, x.d[:macLen])
	p := &x.packet
	if x.arg32(8)&notInARP == 0 && p.Family == rules.ARP {
		switch {
		case len(p.Data) < 8:
			return rules.Drop
		case p.Data[4] != macLen:
		case len(p.Data) < 8+macLen:
			return rules.Drop
		default:
			copy(p.Data[8:], x.d[:macLen])
			p.show(8, 8+macLen)
		}
	}
	return x.verdict(8)
}

// ebtDNAT is ebt_dnat_tg. Where the frame then goes is seen when it has passed
// prerouting.
func ebtDNAT(x *probe) rules.VerdictKind {
	if !x.address(0, x.d[:macLen]) {
		return x.either(blame{"target dnat", x.frame.why})
	}
	if d, _ := x.facts(x.bridge); x.hook == rules.Prerouting {
		x.forHost = slices.Equal(d.MAC, x.d[:macLen])
	}
	return x.verdict(8)
}

// ebtRedirect is ebt_redirect_tg: the frame is for the host.
func ebtRedirect(x *probe) rules.VerdictKind {
	d, _ := x.facts(x.bridge)
	if len(d.MAC) != macLen {
		return x.either(blame{"target redirect", "the link address of the bridge is not known"})
	}
	if !x.address(0, d.MAC) {
		return x.either(blame{"target redirect", x.frame.why})
	}
	x.forHost = true
	return x.verdict(0)
}

// ebtReply is ebt_arpreply_tg: it answers a request itself, and goes on or not as
// it is told.
func ebtReply(x *probe) rules.VerdictKind {
	d := x.packet.Data
	switch {
	case len(d) < 8:
		return rules.Drop
	case d[6] != 0 || d[7] != 1 || d[4] != macLen || binary.BigEndian.Uint16(d[2:]) != etherIP || d[5] != 4:
		return rules.Continue
	case len(d) < 28:
		return rules.Drop
	}
	return x.verdict(8)
}

func ebtGoesOn(*probe) rules.VerdictKind { return rules.Continue }
