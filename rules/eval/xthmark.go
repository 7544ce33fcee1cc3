package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// hashTuple is struct hmark_tuple of xt_HMARK.c.
type hashTuple struct {
	src, dst []byte
	ports    []byte // two, in network order; nil where the protocol has none
	protocol uint8
}

// targetHMark is hmark_tg_v4 and hmark_tg_v6 of xt_HMARK.c: the mark becomes a
// hash of addresses, ports and protocol that is the same for both directions.
func targetHMark(x *probe) rules.VerdictKind {
	const byFlow, onlyAddresses = 1 << 12, 1 << 13
	flags := x.arg32(40)
	var t hashTuple
	var why string
	if flags&byFlow != 0 {
		entry := x.entry()
		if entry == isNot {
			return rules.Continue
		}
		t, why = x.hashFlow()
	} else {
		t, why = x.hashPacket()
	}
	if why != "" {
		x.forgetMark(blame{"target HMARK", why})
		return rules.Continue
	}
	if flags&onlyAddresses != 0 {
		t.ports, t.protocol = nil, 0
	}
	src, dst := x.hashAddress(t.src, 0), x.hashAddress(t.dst, 16)
	var words []byte
	for _, v := range []uint32{min(src, dst), max(src, dst), x.hashPorts(t.ports)} {
		words = binary.NativeEndian.AppendUint32(words, v)
	}
	hash := jhash(words, x.arg32(48)) ^ uint32(t.protocol)&x.arg16(44)
	x.setMark(uint32(uint64(hash)*uint64(x.arg32(52))>>32)+x.arg32(56), ^uint32(0))
	return rules.Continue
}

// hashFlow is hmark_ct_set_htuple: the source as it was first seen, and that of
// the answers.
func (x *probe) hashFlow() (hashTuple, string) {
	original, why := x.originalTuple()
	if why != "" {
		return hashTuple{}, why
	}
	reply, why := x.replyTuple()
	if why != "" {
		return hashTuple{}, why
	}
	t := hashTuple{src: original.src, dst: reply.src, protocol: original.protocol}
	if t.protocol != protocolICMP {
		t.ports = append(append([]byte(nil), original.sport...), reply.sport...)
	}
	return t, ""
}

// hashPacket is hmark_pkt_set_htuple_ipv4 and _ipv6, without the packets in
// errors and the extension headers.
func (x *probe) hashPacket() (hashTuple, string) {
	const unclear = "it takes the hash of a header that is not modelled"
	p := &x.packet
	if len(p.hidden) > 0 {
		return hashTuple{}, p.hidden[0].why
	}
	from, to, _ := p.addressSpan(false)
	t := hashTuple{src: p.Data[from:to], dst: p.Data[to : to+to-from]}
	if p.Family == rules.IP {
		t.protocol = p.Data[9]
	} else if t.protocol = p.Data[6]; isExtension(t.protocol) {
		return t, unclear
	}
	if p.Family == rules.IP && t.protocol == protocolICMP || p.Family == rules.IP6 && t.protocol == protocolICMP6 {
		if x.transport+8 <= len(p.Data) && p.icmpError(x.transport) {
			return t, unclear
		}
		return t, ""
	}
	at := x.transport
	switch t.protocol {
	case protocolTCP, protocolUDP, protocolDCCP, protocolSCTP, protocolUDPLite, protocolESP:
	case protocolAH:
		at += 4
	default:
		return t, ""
	}
	if !p.fragment() && at+4 <= len(p.Data) {
		t.ports = p.Data[at : at+4]
	}
	return t, ""
}

// hashAddress is hmark_addr_mask: IPv6 is folded to 32 bits.
func (x *probe) hashAddress(a []byte, mask int) uint32 {
	var v uint32
	for i := 0; i+4 <= len(a); i += 4 {
		v ^= binary.BigEndian.Uint32(a[i:]) & binary.BigEndian.Uint32(x.d[mask+i:])
	}
	return v
}

// hashPorts is hmark_swap_ports.
func (x *probe) hashPorts(ports []byte) uint32 {
	if ports == nil {
		return 0
	}
	var b [4]byte
	for i := range b {
		b[i] = ports[i]&x.d[32+i] | x.d[36+i]
	}
	src, dst := uint32(binary.BigEndian.Uint16(b[:])), uint32(binary.BigEndian.Uint16(b[2:]))
	return max(src, dst)<<16 | min(src, dst)
}

// icmpError reports whether the ICMP header at an offset carries a packet.
func (p *Packet) icmpError(at int) bool {
	kind := p.Data[at]
	if p.Family == rules.IP6 {
		return kind != 0 && kind < 128
	}
	switch kind {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}
