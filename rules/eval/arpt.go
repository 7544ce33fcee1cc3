package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// Inversions of a head of arptables: ARPT_INV_* of linux/netfilter_arp/arp_tables.h.
const (
	arptIn = 1 << iota
	arptOut
	arptSource
	arptTarget
	arptSourceMAC
	arptTargetMAC
	arptOperation
	arptHardware
	arptProtocol
	arptLength
)

// arpHeadLen is how long struct arpt_arp is without what fills it up.
const arpHeadLen = 162

// arpHead is arp_packet_match of net/ipv4/netfilter/arp_tables.c. The kernel goes
// by the length of the device's addresses, not by that in the packet.
func (w *walk) arpHead(e *rules.ARPTables) rules.VerdictKind {
	p := &w.packet
	length := w.addressLen()
	switch {
	case len(e.Data) < arpHeadLen:
		return w.either(blame{"arptables", tooShort})
	case length < 0:
		return w.perhaps(blame{"arptables", "how long the addresses of device " + w.stands + " are is not known"})
	case len(p.Data) < 16+2*length:
		return rules.Drop
	}
	x := &probe{walk: w, d: e.Data}
	inverted := x.arg16(160)
	result := isSo
	test := func(bit uint32, a answer) { result = all(result, a.unless(inverted&bit != 0)) }
	test(arptOperation, x.bytesAre(6, x.d[82:84], x.d[84:86]))
	test(arptHardware, x.bytesAre(0, x.d[86:88], x.d[88:90]))
	test(arptProtocol, x.bytesAre(2, x.d[90:92], x.d[92:94]))
	test(arptLength, x.bytesAre(4, x.d[16:17], x.d[17:18]))
	source, target := 8+length, 12+2*length
	test(arptSourceMAC, x.bytesAre(8, x.d[18:18+length], x.d[34:34+length]))
	test(arptTargetMAC, x.bytesAre(source+4, x.d[50:50+length], x.d[66:66+length]))
	test(arptSource, x.bytesAre(source, x.d[0:4], x.d[8:12]))
	test(arptTarget, x.bytesAre(target, x.d[4:8], x.d[12:16]))
	test(arptIn, deviceIs(p.In, x.d[94:110], x.d[126:142]))
	test(arptOut, deviceIs(p.Out, x.d[110:126], x.d[142:158]))
	if result.why != "" {
		return w.perhaps(blame{"arptables", result.why})
	}
	return matched(result.yes)
}

// deviceIs compares a device's name under a mask.
func deviceIs(name string, want, mask []byte) answer {
	have := make([]byte, nameLen)
	copy(have, name)
	return holds(masked(have, want, mask))
}

// addressLen is how long the link addresses of the device are that the packet
// stands at, -1 if that isn't known.
func (w *walk) addressLen() int {
	d, ok := w.facts(w.stands)
	if w.stands == "lo" || ok && (d.Type == typeEthernet || d.Type == typeLoopback) {
		return macLen
	}
	return -1
}

// arpMangle is the target mangle of arptables (net/ipv4/netfilter/arpt_mangle.c).
func (w *walk) arpMangle(t *rules.Target) rules.VerdictKind {
	const size, device, sourceMAC, targetMAC, source, target = 48, 16, 1, 2, 4, 8
	p := &w.packet
	switch {
	case t.Rev != 0 || len(t.Data) < size:
		return w.either(blame{"target mangle", tooShort})
	case len(p.Data) < 8:
		return rules.Drop
	}
	hardware, address := int(p.Data[4]), int(p.Data[5])
	at := 8
	for _, part := range []struct {
		bit   byte
		n     int
		limit int
		from  int
	}{{sourceMAC, hardware, device, 0}, {source, address, 4, 32}, {targetMAC, hardware, device, 16}, {target, address, 4, 36}} {
		if t.Data[40]&part.bit != 0 {
			if part.n > part.limit || at+part.n > len(p.Data) {
				return rules.Drop
			}
			copy(p.Data[at:], t.Data[part.from:part.from+part.n])
			p.show(at, at+part.n)
			w.changed = true
		}
		at += part.n
	}
	switch v := int32(binary.NativeEndian.Uint32(t.Data[44:])); v {
	case -1: // XT_CONTINUE
		return rules.Continue
	case 0:
		return rules.Drop
	case 1:
		return rules.Accept
	}
	return w.either(blame{"target mangle", "its verdict is not known"})
}
