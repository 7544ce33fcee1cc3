package eval

import (
	"encoding/binary"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// writeTargets change bytes of the packet.
var writeTargets = map[string][]actor{
	"TTL":         {{family: rules.IP, size: 2, run: targetHops}},
	"HL":          {{family: rules.IP6, size: 2, run: targetHops}},
	"DSCP":        {{size: 1, run: targetDSCP}},
	"TOS":         {{rev: 1, size: 2, run: targetTOS}},
	"ECN":         {{family: rules.IP, size: 3, run: targetECN}},
	"TCPMSS":      {{size: 2, run: targetTCPMSS}},
	"TCPOPTSTRIP": {{size: 32, run: targetTCPOptStrip}},
}

// write changes bytes of the packet, with the checksums over them.
func (x *probe) write(at int, data ...byte) {
	x.changed = true
	x.packet.rewrite(at, data)
}

// targetHops is ttl_tg and hl_tg6 of xt_HL.c.
func targetHops(x *probe) rules.VerdictKind {
	const set, increase, decrease = 0, 1, 2
	at := 8
	if x.packet.Family == rules.IP6 {
		at = 7
	}
	have := x.field(at, 1)
	hops, by := int(have.v), int(x.d[1])
	switch x.d[0] {
	case set:
		hops = by
	case increase:
		hops = min(hops+by, 255)
	case decrease:
		hops = max(hops-by, 0)
	}
	if have.why == "" || x.d[0] == set {
		x.write(at, byte(hops))
	}
	return rules.Continue
}

// dsField is the byte that has DSCP and ECN: TOS of IPv4, the traffic class of IPv6.
func (x *probe) dsField() field {
	if x.packet.Family == rules.IP {
		return x.field(1, 1)
	}
	f := x.field(0, 2)
	f.v = f.v >> 4 & 0xff
	return f
}

// setDSField keeps the bits of a mask and sets the others by xor.
func (x *probe) setDSField(keep, value byte) {
	f := x.dsField()
	if f.why != "" && keep != 0 {
		return
	}
	v := byte(f.v)&keep ^ value
	if x.packet.Family == rules.IP {
		x.write(1, v)
		return
	}
	d := x.packet.Data
	x.write(0, d[0]&0xf0|v>>4, d[1]&0x0f|v<<4)
}

// targetDSCP is dscp_tg and dscp_tg6 of xt_DSCP.c, targetTOS tos_tg and tos_tg6.
func targetDSCP(x *probe) rules.VerdictKind {
	x.setDSField(3, x.d[0]<<2)
	return rules.Continue
}

func targetTOS(x *probe) rules.VerdictKind {
	x.setDSField(^x.d[1], x.d[0])
	return rules.Continue
}

// targetECN is ecn_tg of ipt_ECN.c.
func targetECN(x *probe) rules.VerdictKind {
	const inIP, ece, cwr = 0x01, 0x10, 0x20
	operation, p := x.d[0], &x.packet
	if operation&inIP != 0 {
		x.setDSField(^byte(3), x.d[1]&3)
	}
	if operation&(ece|cwr) == 0 || p.Data[9] != protocolTCP {
		return rules.Continue
	}
	at := x.transport + 13
	if x.transport+20 > len(p.Data) {
		return rules.Drop
	}
	if x.fragment != 0 {
		// The kernel writes to what stands there as if it were a header.
		p.hide(x.transport+12, x.transport+18, blame{"target ECN", "a later fragment has no TCP header"})
		x.changed = true
		return rules.Continue
	}
	flags := p.Data[at]
	if operation&ece != 0 {
		flags = flags&^0x40 | x.d[2]&1<<6
	}
	if operation&cwr != 0 {
		flags = flags&^0x80 | x.d[2]>>1&1<<7
	}
	x.write(at, flags)
	return rules.Continue
}

// targetTCPMSS is tcpmss_mangle_packet of xt_TCPMSS.c: an MSS is only ever
// lowered. Where a SYN without data has none, it is added.
func targetTCPMSS(x *probe) rules.VerdictKind {
	const clamp, kind, size = 0xffff, 2, 4
	p := &x.packet
	if x.fragment != 0 {
		return rules.Continue
	}
	if x.missing(20) {
		return rules.Drop
	}
	header := int(p.Data[x.transport+12]>>4) * 4
	if header < 20 || x.transport+header > len(p.Data) {
		return rules.Drop
	}
	mss, known := uint16(x.arg16(0)), x.arg16(0) != clamp
	unknown := blame{"target TCPMSS", "the MTU of the path is not known"}
	options := p.Data[x.transport : x.transport+header]
	for i := 20; i <= header-size; i += optionSize(options, i) {
		if options[i] != kind || options[i+1] != size {
			continue
		}
		at := x.transport + i + 2
		switch {
		case !known:
			x.changed = true
			p.hide(at, at+2, unknown)
		case p.blind(at, at+2) == nil && binary.BigEndian.Uint16(options[i+2:]) > mss:
			x.write(at, byte(mss>>8), byte(mss))
		}
		return rules.Continue
	}
	if x.transport+header < len(p.Data) || header >= 60 {
		return rules.Continue
	}
	least := uint16(536)
	if p.Family == rules.IP6 {
		least = 1220
	}
	mss = min(mss, least)
	x.insertOption(kind, size, byte(mss>>8), byte(mss))
	if !known {
		p.hide(x.transport+22, x.transport+24, unknown)
	}
	return rules.Continue
}

// insertOption puts four bytes in front of the options of TCP.
func (x *probe) insertOption(option ...byte) {
	p := &x.packet
	at := x.transport + 20
	length := uint16(len(p.Data) - x.transport)
	p.Data = slices.Insert(p.Data, at, option...)
	for i := range p.hidden {
		if s := &p.hidden[i]; s.from >= at {
			s.from, s.to = s.from+4, s.to+4
		}
	}
	word := func(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
	sum := x.transport + 16
	p.mend(sum, word(length), word(length+4), 0) // of the pseudo header
	p.mend(sum, []byte{0, 0, 0, 0}, option, at)
	x.write(x.transport+12, p.Data[x.transport+12]+1<<4)
	place := 2 // the total length of IPv4, the payload's of IPv6
	if p.Family == rules.IP6 {
		place = 4
	}
	p.rewrite(place, word(binary.BigEndian.Uint16(p.Data[place:])+4))
}

// optionSize is optlen of xt_TCPMSS.c and xt_TCPOPTSTRIP.c.
func optionSize(options []byte, i int) int {
	if options[i] <= 1 || options[i+1] == 0 {
		return 1
	}
	return int(options[i+1])
}

// targetTCPOptStrip is tcpoptstrip_mangle_packet of xt_TCPOPTSTRIP.c.
func targetTCPOptStrip(x *probe) rules.VerdictKind {
	const nothing = 1
	p := &x.packet
	if x.fragment != 0 {
		return rules.Continue
	}
	if x.missing(20) {
		return rules.Drop
	}
	header := int(p.Data[x.transport+12]>>4) * 4
	if header < 20 || x.transport+header > len(p.Data) {
		return rules.Drop
	}
	options := p.Data[x.transport : x.transport+header]
	for i := 20; i < header-1; {
		size := optionSize(options, i)
		if i+size > header {
			break
		}
		kind := int(options[i])
		if x.arg32(kind/32*4)&(1<<(kind%32)) != 0 {
			x.write(x.transport+i, slices.Repeat([]byte{nothing}, size)...)
		}
		i += size
	}
	return rules.Continue
}
