package text

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

const protoICMP, protoTCP, protoUDP, protoICMPv6 = 1, 6, 17, 58

// proto is the rule's transport protocol so far, 0 if it isn't sure.
func (x *translation) proto() uint16 {
	if x.head.Inv&notProto != 0 {
		return 0
	}
	return x.head.Proto
}

// transport reads a comparison with a field of the transport header. The tool
// puts all of them that are TCP's into one match.
func (x *translation) transport(e *rules.Cmp) bool {
	l, proto := &x.loaded, x.proto()
	switch {
	case proto == protoICMP && x.p.family == rules.IP:
		return x.icmp(e, "icmp")
	case proto == protoICMPv6 && x.p.family == rules.IP6:
		return x.icmp(e, "icmp6")
	case proto == protoTCP && l.at == 13 && len(e.Data) == 1:
		return x.flags(e)
	case l.mask != nil:
		return false
	case l.at == 0 && len(e.Data) == 4:
		return equality(e.Op) && x.port(e.Op, 0, binary.BigEndian.Uint16(e.Data)) && x.port(e.Op, 2, binary.BigEndian.Uint16(e.Data[2:]))
	case (l.at == 0 || l.at == 2) && len(e.Data) == 2:
		return x.port(e.Op, l.at, binary.BigEndian.Uint16(e.Data))
	}
	return false
}

// icmp is struct ipt_icmp or ip6t_icmp: type, first and last code.
func (x *translation) icmp(e *rules.Cmp, name string) bool {
	if x.loaded.at != 0 || x.loaded.mask != nil || len(e.Data) > 2 || e.Op != cmpEq {
		return false
	}
	m := x.match(name, 0, 4)
	m.Data[0], m.Data[2] = e.Data[0], 0xff
	if len(e.Data) == 2 {
		m.Data[1], m.Data[2] = e.Data[1], e.Data[1]
	}
	return true
}

// flags is of struct xt_tcp: the mask at 9, then what it must leave.
func (x *translation) flags(e *rules.Cmp) bool {
	mask := x.loaded.mask
	if mask == nil || mask[0]&0xc0 != 0 || !equality(e.Op) || !x.once(saidFlags) {
		return false
	}
	d := x.ports()
	d[9], d[10] = mask[0], e.Data[0]
	if e.Op == cmpNeq {
		d[11] |= 4
	}
	return true
}

// ports is the structure of the rule's match tcp or udp, which begins with the
// first and last source port, then destination port; nil for another protocol.
func (x *translation) ports() []byte {
	m, name, size := &x.tcp, "tcp", 12
	switch x.proto() {
	case protoTCP:
	case protoUDP:
		m, name, size = &x.udp, "udp", 10
	default:
		return nil
	}
	if *m == nil {
		*m = x.match(name, 0, size)
		copy((*m).Data, []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff})
	}
	return (*m).Data
}

// portSide is where a side's ports are, and the bit that inverts it.
func (x *translation) portSide(at uint32) (d []byte, inverts *byte, bit byte, low, high int) {
	d = x.ports()
	if d == nil {
		return nil, nil, 0, 0, 0
	}
	inverts = &d[8]
	if x.proto() == protoTCP {
		inverts = &d[11]
	}
	if at == 0 {
		return d[:4], inverts, 1, saidSportLow, saidSportHigh
	}
	return d[4:8], inverts, 2, saidDportLow, saidDportHigh
}

func (x *translation) port(op, at uint32, v uint16) bool {
	first, last := v, v
	bounds := [2]bool{true, true}
	switch op {
	case cmpEq, cmpNeq:
	case cmpLt:
		bounds[0] = false
		last--
	case cmpLte:
		bounds[0] = false
	case cmpGt:
		bounds[1] = false
		first++
	case cmpGte:
		bounds[1] = false
	default:
		return false
	}
	if op == cmpLt && v == 0 || op == cmpGt && v == 0xffff {
		return false
	}
	return x.setPorts(at, first, last, bounds, op == cmpNeq)
}

func (x *translation) portRange(e *rules.Range) bool {
	l := &x.loaded
	if l.kind != ofPayload || l.base != transportHeader || l.at != 0 && l.at != 2 || l.len != 2 || l.mask != nil || e.Source != l.reg ||
		len(e.From) != 2 || len(e.To) != 2 || e.Op > 1 {
		return false
	}
	l.used = true
	return x.setPorts(l.at, binary.BigEndian.Uint16(e.From), binary.BigEndian.Uint16(e.To), [2]bool{true, true}, e.Op == 1)
}

// setPorts writes the first, the last or both ports, in the host's order. None of
// them may have been said before.
func (x *translation) setPorts(at uint32, first, last uint16, bounds [2]bool, not bool) bool {
	d, inverts, bit, low, high := x.portSide(at)
	if d == nil || bounds[0] && !x.once(low) || bounds[1] && !x.once(high) {
		return false
	}
	if bounds[0] {
		binary.NativeEndian.PutUint16(d, first)
	}
	if bounds[1] {
		binary.NativeEndian.PutUint16(d[2:], last)
	}
	if not {
		*inverts |= bit
	}
	return true
}
