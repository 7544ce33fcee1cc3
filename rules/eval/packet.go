package eval

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// Packet is a packet with what the kernel knows of it besides its bytes.
type Packet struct {
	Family rules.Family // what Data is: IP, IP6, ARP, or Bridge for another protocol that is bridged
	Data   []byte       // from the network header on
	// Link is the link header of a packet that arrived, as on the wire: with the
	// tag of a VLAN, if it has one. Nil if it isn't known.
	Link []byte
	// In and Out are the devices, empty and 0 where it has none (yet). What goes
	// from port to port of a bridge has the bridge as both.
	In, Out           string
	InIndex, OutIndex uint32
	// InPort and OutPort are the ports by which it comes and leaves where In and
	// Out are bridges, or bundles such as bond; empty if that isn't known.
	InPort, OutPort string
	Mark            uint32
	Priority        uint32
	// State is the conntrack state that the packet has when it has been tracked, a
	// bit of NF_CT_STATE_*. 0 takes it for the first packet of its flow. One of a
	// flow that exists is taken to go in the direction of the flow's first, which
	// the rules mapped as they would now.
	State uint32
	// First is the first packet of the flow, as it came, if this one answers it; nil
	// for one that goes in the flow's first direction.
	First *Packet
	// Zone is the zone of conntrack into which rules put the flow, of a First, and
	// FlowMark the mark that they gave the flow (ct mark), if FlowMarked.
	Zone       Zone
	FlowMark   uint32
	FlowMarked bool
	// Hands: a First hands its flow to what answers it, in whatever zone that is: a
	// reset or an error with which a rule rejects it (nf_ct_attach).
	Hands bool
	// UID and GID are the sending process's, if HasOwner.
	UID, GID uint32
	HasOwner bool

	hidden   []span // bytes of Data that are not known
	unmarked bool   // Mark is not known
}

// span is a range of bytes, and why they are not known.
type span struct {
	from, to int
	blame
}

// The bits of ct state (linux/netfilter/nf_conntrack_common.h).
const (
	Invalid     uint32 = 1
	Established uint32 = 2
	Related     uint32 = 4
	New         uint32 = 8
	Untracked   uint32 = 64
)

func (p *Packet) copy() Packet {
	c := *p
	c.Data = bytes.Clone(p.Data)
	c.hidden = slices.Clone(p.hidden)
	return c
}

// Forget says that bytes of Data are not known, and why: what rules ask of them
// is then undecided.
func (p *Packet) Forget(from, to int, why string) { p.hide(from, to, blame{"payload", why}) }

// hide says that bytes of the packet are not known from here on.
func (p *Packet) hide(from, to int, b blame) {
	p.hidden = append(p.hidden, span{from, to, b})
}

// show says that bytes are known: they have been written.
func (p *Packet) show(from, to int) { p.hidden = without(p.hidden, from, to) }

// without takes bytes out of spans.
func without(spans []span, from, to int) []span {
	var kept []span
	for _, s := range spans {
		if s.from < from {
			kept = append(kept, span{s.from, min(s.to, from), s.blame})
		}
		if s.to > to {
			kept = append(kept, span{max(s.from, to), s.to, s.blame})
		}
	}
	return kept
}

// trim cuts off what a link has filled the packet up with (ip_rcv_core).
func (p *Packet) trim() {
	if n := p.total(); n > 0 && n < len(p.Data) {
		p.Data = p.Data[:n]
	}
}

// total is how long the packet says that it is, 0 if it doesn't.
func (p *Packet) total() int {
	switch {
	case p.Family == rules.IP && len(p.Data) >= 20:
		return int(binary.BigEndian.Uint16(p.Data[2:]))
	case p.Family == rules.IP6 && len(p.Data) >= 40 && binary.BigEndian.Uint16(p.Data[4:]) > 0: // else a jumbogram
		return 40 + int(binary.BigEndian.Uint16(p.Data[4:]))
	}
	return 0
}

// blind is why one of the bytes is not known, nil if all are.
func (p *Packet) blind(from, to int) *blame { return spanAt(p.hidden, from, to) }

// spanAt is the first of some spans that covers one of the bytes.
func spanAt(spans []span, from, to int) *blame {
	for i := range spans {
		if s := &spans[i]; s.from < to && from < s.to {
			return &s.blame
		}
	}
	return nil
}

// MarkKnown reports whether Mark is known: one that rules took from what isn't
// known, or that differs between the ways, is not.
func (p *Packet) MarkKnown() bool { return !p.unmarked }

// Known reports whether the bytes of Data from one place to before another are
// known: what the kernel picks by chance, or from what isn't known, is not.
func (p *Packet) Known(from, to int) bool { return p.blind(from, to) == nil }

// addressSpan is where an address stands in the network header.
func (p *Packet) addressSpan(destination bool) (from, to int, ok bool) {
	switch {
	case p.Family == rules.IP && len(p.Data) >= 20:
		from, to = 12, 16
	case p.Family == rules.IP6 && len(p.Data) >= 40:
		from, to = 8, 24
	default:
		return 0, 0, false
	}
	if destination {
		from, to = to, to+to-from
	}
	return from, to, true
}

// Address is the packet's source or destination; invalid if it has none, or if
// it isn't known (after a change that can't be foretold).
func (p *Packet) Address(destination bool) netip.Addr {
	from, to, ok := p.addressSpan(destination)
	if !ok || p.blind(from, to) != nil {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(p.Data[from:to])
	return a
}

// Port is the source or destination port; false if the packet has none or it
// isn't known.
func (p *Packet) Port(destination bool) (uint16, bool) {
	at, ok := p.portAt(destination)
	if !ok || p.blind(at, at+2) != nil {
		return 0, false
	}
	return binary.BigEndian.Uint16(p.Data[at:]), true
}

// portAt is where a port stands in the packet.
func (p *Packet) portAt(destination bool) (int, bool) {
	offset, protocol, _, header := p.transport()
	if !header || !HasPorts(protocol) {
		return 0, false
	}
	if destination {
		offset += 2
	}
	return offset, offset+2 <= len(p.Data)
}

// HasPorts reports whether a transport protocol's header begins with two ports.
func HasPorts(protocol uint8) bool {
	switch protocol {
	case protocolTCP, protocolUDP, protocolDCCP, protocolSCTP, protocolUDPLite:
		return true
	}
	return false
}

// Protocol is the transport protocol; false if there is none to be found.
func (p *Packet) Protocol() (uint8, bool) {
	_, protocol, found, _ := p.transport()
	return protocol, found
}

// Protocol numbers (linux/in.h).
const (
	protocolICMP    = 1
	protocolTCP     = 6
	protocolUDP     = 17
	protocolDCCP    = 33
	protocolICMP6   = 58
	protocolSCTP    = 132
	protocolUDPLite = 136
)

// transport finds the transport header. A later fragment has a protocol
// (found) but no header (nft_set_pktinfo_ipv4_validate, _ipv6_validate).
func (p *Packet) transport() (offset int, protocol uint8, found, header bool) {
	switch {
	case p.Family == rules.IP && len(p.Data) >= 20 && p.Data[0]>>4 == 4:
		offset = int(p.Data[0]&15) * 4
		if offset < 20 || offset > len(p.Data) {
			return 0, 0, false, false
		}
		fragment := binary.BigEndian.Uint16(p.Data[6:]) & 0x1fff
		return offset, p.Data[9], true, fragment == 0
	case p.Family == rules.IP6 && len(p.Data) >= 40 && p.Data[0]>>4 == 6:
		return p.transport6(false)
	}
	return 0, 0, false, false
}

// upper is transport as nftables sees it (nft_set_pktinfo_ipv6): there the
// authentication header of IPv6 is a transport header.
func (p *Packet) upper() (offset int, protocol uint8, found, header bool) {
	if p.Family == rules.IP6 && len(p.Data) >= 40 && p.Data[0]>>4 == 6 {
		return p.transport6(true)
	}
	return p.transport()
}

// transport6 passes over the extension headers as ipv6_find_hdr does
// (net/ipv6/exthdrs_core.c). The header may begin beyond the packet's end; that
// of a later fragment is taken to be at the packet's start.
func (p *Packet) transport6(toAuthentication bool) (offset int, next uint8, found, header bool) {
	offset, next = 40, p.Data[6]
	for {
		if !isExtension(next) || next == nextNone {
			return offset, next, true, offset <= len(p.Data)
		}
		if offset+2 > len(p.Data) || (next == nextRouting || next == nextFragment) && offset+4 > len(p.Data) {
			return 0, 0, false, false
		}
		if next == protocolAH && toAuthentication {
			return offset, next, true, true
		}
		length := (int(p.Data[offset+1]) + 1) * 8
		switch next {
		case nextFragment:
			length = 8
			if binary.BigEndian.Uint16(p.Data[offset+2:])&^7 != 0 {
				next = p.Data[offset]
				return 0, next, !isExtension(next) || next == nextNone, false
			}
		case protocolAH:
			length = (int(p.Data[offset+1]) + 2) * 4
		}
		next = p.Data[offset]
		offset += length
	}
}

// fragment reports whether the packet is a part of one that was cut up.
func (p *Packet) fragment() bool {
	switch {
	case p.Family == rules.IP && len(p.Data) >= 20:
		return binary.BigEndian.Uint16(p.Data[6:])&0x3fff != 0
	case p.Family == rules.IP6 && len(p.Data) >= 48:
		for offset, next := 40, p.Data[6]; offset+8 <= len(p.Data); {
			switch next {
			case 0, 43, 60:
				next, offset = p.Data[offset], offset+(int(p.Data[offset+1])+1)*8
			case 44:
				return true
			default:
				return false
			}
		}
	}
	return false
}
