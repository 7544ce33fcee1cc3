package eval

import (
	"encoding/binary"
	"net/netip"

	"github.com/portwhy/portwhy/rules"
)

// Flags of a NAT range (NF_NAT_RANGE_* of linux/netfilter/nf_nat.h).
const (
	rangeMapIPs      = 1
	rangeProto       = 2
	rangeRandom      = 4
	rangeProtoOffset = 32
	rangeNetmap      = 64
	rangeFullyRandom = 16
)

// natRange is struct nf_nat_range2: what a side of a flow is to become.
type natRange struct {
	flags            uint32
	min, max         []byte
	portMin, portMax uint16
	portBase         uint16
}

// nat is the NAT core at a hook (nf_nat_inet_fn): the flow's first packet goes
// through the chains until one has mapped it, every packet is then changed by
// the flow's mapping. It reports whether the packet goes on.
func (w *walk) nat(chains []entry) bool {
	f := &w.flow
	if w.way == "" { // one hook alone
		switch w.packet.State {
		case New, Related:
			f.tracked = true
		case 0:
			for _, e := range chains {
				if len(e.chain.Rules) > 0 {
					w.table, w.chain, w.rule = e.table, e.chain, nil
					return w.giveUp("nat", "the packet's conntrack state is not known")
				}
			}
		}
	}
	if !f.tracked {
		return true
	}
	side := w.side()
	if side.set {
		return true // mapped where the packet came from; it is changed already
	}
	dst := w.packet.Address(true)
	if state, _ := w.ctState(); state == New || state == Related {
		for _, e := range chains {
			if !w.base(e) {
				return false
			}
			if side.set {
				break
			}
		}
	} else if len(chains) > 0 && !w.assume(chains, side) {
		return false
	}
	side.set = true
	if w.hook == rules.Output && w.packet.Address(true) != dst {
		w.reroute("it is routed anew after NAT has changed its destination")
	}
	return true
}

// assume gives a flow that exists the mapping that the rules would give its
// first packet now. The rules that lead there are no steps of this packet.
func (w *walk) assume(chains []entry, side *mapping) bool {
	steps, verdict, decided, doubts := len(w.steps), w.verdict, w.decided, len(w.doubts)
	state := w.flow.state
	w.flow.state = New
	for _, e := range chains {
		if !w.base(e) {
			break
		}
		if side.set {
			break
		}
	}
	w.flow.state = state
	w.steps = w.steps[:steps]
	w.verdict, w.decided, w.reject = verdict, decided, nil
	if len(w.doubts) > doubts && side.nat {
		w.table, w.chain, w.rule = chains[0].table, chains[0].chain, nil
		return w.giveUp("nat", "how the flow was mapped is not known")
	}
	return true
}

// side is the mapping that this hook makes: destinations at PREROUTING and
// OUTPUT, sources at INPUT and POSTROUTING.
func (w *walk) side() *mapping {
	if natPriority(w.hook) == priorityDNAT {
		return &w.flow.destination
	}
	return &w.flow.source
}

// mapTo changes a side of the packet as nf_nat_setup_info and nf_nat_packet
// do. What the kernel picks from a range by chance or by what is free is hidden.
func (w *walk) mapTo(destination bool, r natRange) rules.VerdictKind {
	side := &w.flow.source
	if destination {
		side = &w.flow.destination
	}
	if !w.flow.tracked || side.set {
		return rules.Accept
	}
	side.set, side.nat, w.mapped, w.changed = true, true, true, true
	p := &w.packet
	reason := blame{"nat", "the kernel picks from a range"}
	if from, to, ok := p.addressSpan(destination); ok && r.flags&rangeMapIPs != 0 && len(r.min) == to-from {
		one := string(r.min) == string(r.max) || len(r.max) == 0
		switch {
		case r.flags&rangeNetmap != 0 && len(r.max) == len(r.min):
			mapped := make([]byte, len(r.min))
			for i := range mapped {
				mask := ^(r.min[i] ^ r.max[i])
				mapped[i] = p.Data[from+i]&^mask | r.min[i]&mask
			}
			p.rewrite(from, mapped)
		case one:
			p.rewrite(from, r.min)
		default:
			if !between(p.Data[from:to], r.min, r.max) || destination {
				p.hide(from, to, reason)
			}
		}
	}
	w.mapPort(destination, r, reason)
	return rules.Accept
}

// mapPort is nf_nat_l4proto_unique_tuple, for a port that no other flow has.
func (w *walk) mapPort(destination bool, r natRange, reason blame) {
	p := &w.packet
	at, ok := p.portAt(destination)
	if !ok {
		return
	}
	old := binary.BigEndian.Uint16(p.Data[at:])
	random := r.flags&(rangeRandom|rangeFullyRandom) != 0
	switch {
	case r.flags&rangeProto == 0:
		// The source's port is kept if it is free, and at random if so asked.
		if random && !destination {
			p.hide(at, at+2, reason)
		}
	case r.flags&rangeProtoOffset != 0 && r.portMax >= r.portMin:
		p.rewrite(at, binary.BigEndian.AppendUint16(nil, r.portMin+(old-r.portBase)%(r.portMax-r.portMin+1)))
	case r.portMin == r.portMax:
		p.rewrite(at, binary.BigEndian.AppendUint16(nil, r.portMin))
	case !random && old >= r.portMin && old <= r.portMax:
		// Kept, as it is in the range.
	default:
		p.hide(at, at+2, reason)
	}
}

func between(a, low, high []byte) bool {
	return string(low) <= string(a) && string(a) <= string(high)
}

// rewrite changes bytes of a header and mends the checksums over them.
func (p *Packet) rewrite(at int, data []byte) {
	if at < 0 || at+len(data) > len(p.Data) {
		return
	}
	old := append([]byte(nil), p.Data[at:at+len(data)]...)
	copy(p.Data[at:], data)
	p.show(at, at+len(data))
	offset, protocol, _, header := p.transport()
	inHeader := at < offset
	if p.Family == rules.IP && inHeader {
		p.mend(10, old, data, at)
	}
	if !header {
		return
	}
	address := inHeader && (p.Family == rules.IP && at >= 12 && at < 20 || p.Family == rules.IP6 && at >= 8 && at < 40)
	if !address && inHeader {
		return
	}
	switch protocol {
	case protocolTCP:
		p.mend(offset+16, old, data, at)
	case protocolUDP, protocolUDPLite:
		if offset+8 <= len(p.Data) && (p.Data[offset+6] != 0 || p.Data[offset+7] != 0) {
			p.mend(offset+6, old, data, at)
		}
	case protocolDCCP:
		p.mend(offset+6, old, data, at)
	case protocolICMP:
		if !inHeader {
			p.mend(offset+2, old, data, at)
		}
	case protocolICMP6:
		p.mend(offset+2, old, data, at)
	}
}

// mend updates a checksum for bytes that were changed at an even place (RFC 1624).
func (p *Packet) mend(sum int, old, now []byte, at int) {
	if sum+2 > len(p.Data) || at <= sum && sum < at+len(now) {
		return
	}
	total := uint32(^binary.BigEndian.Uint16(p.Data[sum:]))
	add := func(b []byte, flip uint16) {
		for i := range b {
			v := uint16(b[i])
			if (at+i)%2 == 0 {
				v <<= 8
			}
			if flip != 0 {
				mask := uint16(0xff)
				if (at+i)%2 == 0 {
					mask = 0xff00
				}
				v = ^v & mask
			}
			total += uint32(v)
		}
	}
	add(old, 1)
	add(now, 0)
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	binary.BigEndian.PutUint16(p.Data[sum:], ^uint16(total))
}

// masquerade is nf_nat_masquerade_ipv4 and _ipv6: the source becomes an address
// of the device that the packet leaves by.
func (w *walk) masquerade(r natRange) rules.VerdictKind {
	p := &w.packet
	if !w.flow.tracked || w.flow.source.set {
		return rules.Accept
	}
	var a netip.Addr
	known := false
	if ask := w.m.host.Source; ask != nil && w.outBlame() == nil {
		a, known = ask(p.Out, p.Address(true))
	}
	r.flags |= rangeMapIPs
	switch {
	case !known:
		from, to, ok := p.addressSpan(false)
		if ok {
			p.hide(from, to, blame{"masq", "the address of the device it leaves by is not known"})
		}
		r.flags &^= rangeMapIPs
	case !a.IsValid():
		return rules.Drop
	default:
		r.min = a.AsSlice()
		r.max = r.min
	}
	return w.mapTo(false, r)
}

// redirect is nf_nat_redirect_ipv4 and _ipv6: the destination becomes this
// host, loopback for what it sends itself, else the device's own address.
func (w *walk) redirect(r natRange) rules.VerdictKind {
	p := &w.packet
	if !w.flow.tracked || w.flow.destination.set {
		return rules.Accept
	}
	r.flags |= rangeMapIPs
	w.flow.redirected = true
	if w.hook == rules.Output {
		r.min = netip.AddrFrom4([4]byte{127, 0, 0, 1}).AsSlice()
		if p.Family == rules.IP6 {
			r.min = netip.IPv6Loopback().AsSlice()
		}
		r.max = r.min
		return w.mapTo(true, r)
	}
	ask := w.m.host.Device
	if ask == nil || w.inBlame() != nil {
		return w.redirectBlind(r)
	}
	d, ok := ask(p.In)
	if !ok {
		return w.redirectBlind(r)
	}
	for _, prefix := range d.Addresses {
		a := prefix.Addr()
		if a.Is4() == (p.Family == rules.IP) && (a.Is4() || sameScope(a, p.Address(true))) {
			r.min = a.AsSlice()
			r.max = r.min
			return w.mapTo(true, r)
		}
	}
	return rules.Drop
}

// sameScope is the scope that nf_nat_redirect_ipv6 asks for.
func sameScope(a, destination netip.Addr) bool {
	return a.IsLinkLocalUnicast() == destination.IsLinkLocalUnicast()
}

// redirectBlind redirects to an address of this host that is not known.
func (w *walk) redirectBlind(r natRange) rules.VerdictKind {
	p := &w.packet
	if from, to, ok := p.addressSpan(true); ok {
		p.hide(from, to, blame{"redir", "the address of the device it came by is not known"})
	}
	r.flags &^= rangeMapIPs
	return w.mapTo(true, r)
}
