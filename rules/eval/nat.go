package eval

import (
	"bytes"
	"encoding/binary"
	"maps"

	"github.com/portwhy/portwhy/rules"
)

// Flags of a NAT range (NF_NAT_RANGE_* of linux/netfilter/nf_nat.h).
const (
	rangeMapIPs      = 1
	rangeProto       = 2
	rangeRandom      = 4
	rangePersistent  = 8
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
	blame            *blame // why the address is not known
}

// nat is the NAT core at a hook (nf_nat_inet_fn): the flow's first packet goes
// through the chains until one has mapped it, every packet is then changed by
// the flow's mapping. It reports whether the packet goes on.
func (w *walk) nat(chains []entry) bool {
	f := &w.flow
	if w.way == "" { // one hook alone
		switch w.packet.State {
		case New, Related:
			w.enter()
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
	if f.answers {
		return w.unmap()
	}
	side := w.side()
	if side.set {
		// Mapped where the packet came from. Every hook changes it anew, as rules
		// may have written to it since.
		if side.nat || side.unsure {
			before := w.packet.Address(true)
			w.packet.become(&f.now, natPriority(w.hook) == priorityDNAT)
			// Loopback's packets have a route already, unless NAT changes where they
			// go (nf_nat_ipv4_pre_routing, nf_nat_ipv6_in).
			f.unrouted = w.hook == rules.Prerouting && w.packet.Address(true) != before
		}
		return true
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
	} else if len(chains) > 0 && !w.inherit(chains, side) {
		return false
	}
	side.set = true
	if w.hook == rules.Output && w.packet.Address(true) != dst {
		return w.reroute("it is routed anew after NAT has changed its destination")
	}
	return true
}

// unmap takes NAT's work back from an answer: where destinations are changed it
// goes to whom the flow came from, where sources are changed it comes from whom
// the flow went to (nf_nat_packet).
func (w *walk) unmap() bool {
	f, p := &w.flow, &w.packet
	destination := natPriority(w.hook) == priorityDNAT
	side, address, port := f.source.nat, f.original.src, f.original.sport
	if !destination {
		side, address, port = f.destination.nat, f.original.dst, f.original.dport
	}
	if !side {
		return true
	}
	if proto := f.original.protocol; proto == protocolICMP || proto == protocolICMP6 {
		port = f.original.sport
	}
	before := p.Address(true)
	if from, _, ok := p.addressSpan(destination); ok {
		p.rewrite(from, address)
	}
	if at, ok := p.mappedPort(destination); ok && w.given.tuple().protocol == f.original.protocol {
		p.rewrite(at, port)
	}
	if p.Address(true) == before {
		return true
	}
	f.unrouted = w.hook == rules.Prerouting
	return w.hook != rules.Output || w.reroute("it is routed anew after NAT has changed its destination")
}

// inherit gives a flow that exists the mapping that its first packet would get
// on its way now, or what the chains here would make of this one if they would
// drop that before.
func (w *walk) inherit(chains []entry, side *mapping) bool {
	if w.asked == "" {
		return w.assume(chains, side)
	}
	if w.first == nil {
		w.first = &walk{m: w.m, packet: w.given.copy(), given: w.given, way: w.asked, asked: w.asked, verdict: Accept}
		w.first.packet.State = New
		w.first.travel()
	}
	was := &w.first.flow.source
	if side == &w.flow.destination {
		was = &w.first.flow.destination
	}
	switch {
	case w.first.made > 0:
		w.table, w.chain, w.rule = chains[0].table, chains[0].chain, nil
		return w.giveUp("nat", "how the flow was mapped is not known")
	case !was.set:
		return w.assume(chains, side)
	}
	if side == &w.flow.source && w.hook == rules.Postrouting && w.leavesElsewhere() {
		return w.lose()
	}
	*side, w.flow.now = *was, w.first.flow.now
	if side.nat || side.unsure {
		w.packet.become(&w.flow.now, side == &w.flow.destination)
	}
	return true
}

// leavesElsewhere reports whether a masqueraded flow leaves by another device than
// its first packet did: then the kernel drops the packet (nf_nat_oif_changed of
// net/netfilter/nf_nat_core.c).
func (w *walk) leavesElsewhere() bool {
	out := w.first.flow.leaves
	return out != "" && w.outBlame() == nil && out != w.packet.Out
}

// assume gives a flow that exists the mapping that the rules would give its
// first packet now. Nothing else of what these rules do is done to this packet.
func (w *walk) assume(chains []entry, side *mapping) bool {
	before := *w
	before.packet = w.packet.copy()
	before.touched = maps.Clone(w.touched)
	w.flow.state, w.flow.fresh = New, true
	for _, e := range chains {
		if !w.base(e) || side.set {
			break
		}
	}
	became, now, doubted := *side, w.flow.now, len(w.doubts) > len(before.doubts)
	before.choices, before.made, before.doubts, before.ran = w.choices, w.made, w.doubts, w.ran
	*w = before
	if doubted && (became.nat || became.unsure) {
		w.table, w.chain, w.rule = chains[0].table, chains[0].chain, nil
		return w.giveUp("nat", "how the flow was mapped is not known")
	}
	*side, w.flow.now = became, now
	if side.nat || side.unsure {
		w.packet.become(&now, side == &w.flow.destination)
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

// mapTo changes a side of the packet as nf_nat_setup_info and nf_nat_packet do,
// where no other flow has what it is to become (get_unique_tuple in
// net/netfilter/nf_nat_core.c). What the kernel picks by chance is hidden.
func (w *walk) mapTo(destination bool, r natRange) rules.VerdictKind {
	side := &w.flow.source
	if destination {
		side = &w.flow.destination
	}
	if !w.flow.tracked || side.set {
		return rules.Accept
	}
	side.set, w.mapped, w.changed = true, true, true
	if len(r.max) == 0 {
		r.max = r.min
	}
	p := &w.flow.now
	before, hidden := bytes.Clone(p.Data), len(p.hidden)
	if keeps, why := p.keeps(destination, r); why != nil {
		p.hideSide(destination, *why)
	} else if !keeps {
		p.mapAddress(destination, r, w.flow.zone)
		p.mapPort(destination, r)
	}
	side.nat = !bytes.Equal(before, p.Data)
	side.unsure = len(p.hidden) > hidden
	if side.nat || side.unsure {
		w.packet.become(p, destination)
	}
	return rules.Accept
}

// become gives the packet a side of what its flow's packets become
// (nf_nat_manip_pkt in net/netfilter/nf_nat_proto.c).
func (p *Packet) become(now *Packet, destination bool) {
	set := func(from, to int) {
		if b := now.blind(from, to); b != nil {
			p.hide(from, to, *b)
			p.hideSums(from, *b)
		} else if to <= len(now.Data) {
			p.rewrite(from, bytes.Clone(now.Data[from:to]))
		}
	}
	if from, to, ok := now.addressSpan(destination); ok {
		set(from, to)
	}
	if at, ok := now.mappedPort(destination); ok {
		set(at, at+2)
	}
}

// hideSums says that the checksums over a byte that was changed are not known: see rewrite.
func (p *Packet) hideSums(at int, why blame) {
	offset, protocol, _, header := p.transport()
	if p.Family == rules.IP && at < offset {
		p.hide(10, 12, why)
	}
	if !header || at < offset && (protocol == protocolSCTP || protocol == protocolICMP) {
		return
	}
	sum, size := 0, 2
	switch protocol {
	case protocolTCP:
		sum = 16
	case protocolUDP, protocolUDPLite, protocolDCCP:
		sum = 6
	case protocolSCTP:
		sum, size = 8, 4
	case protocolICMP, protocolICMP6:
		sum = 2
	default:
		return
	}
	p.hide(offset+sum, offset+sum+size, why)
}

// keeps reports whether a source is in the range already: then it stays as it is.
func (p *Packet) keeps(destination bool, r natRange) (bool, *blame) {
	if destination || r.flags&(rangeRandom|rangeFullyRandom) != 0 {
		return false, nil
	}
	if r.blame != nil {
		return false, r.blame
	}
	if from, to, ok := p.addressSpan(false); ok && r.flags&rangeMapIPs != 0 && len(r.min) == to-from {
		if why := p.blind(from, to); why != nil {
			return false, why
		}
		if !between(p.Data[from:to], r.min, r.max) {
			return false, nil
		}
	}
	if at, ok := p.mappedPort(false); ok && r.flags&rangeProto != 0 {
		if why := p.blind(at, at+2); why != nil {
			return false, why
		}
		old := binary.BigEndian.Uint16(p.Data[at:])
		return r.portMin <= old && old <= r.portMax, nil
	}
	return true, nil
}

// hideSide says that what a side was mapped to is not known.
func (p *Packet) hideSide(destination bool, why blame) {
	if from, to, ok := p.addressSpan(destination); ok {
		p.hide(from, to, why)
	}
	if at, ok := p.mappedPort(destination); ok {
		p.hide(at, at+2, why)
	}
}

// mapAddress is find_best_ips_proto.
func (p *Packet) mapAddress(destination bool, r natRange, zone uint16) {
	from, to, ok := p.addressSpan(destination)
	if ok && r.blame != nil {
		p.hide(from, to, *r.blame)
		return
	}
	if !ok || r.flags&rangeMapIPs == 0 || len(r.min) != to-from || len(r.max) != to-from {
		return
	}
	if r.flags&rangeNetmap != 0 {
		mapped := make([]byte, len(r.min))
		for i := range mapped {
			mask := ^(r.min[i] ^ r.max[i])
			mapped[i] = p.Data[from+i]&^mask | r.min[i]&mask
		}
		p.rewrite(from, mapped)
		return
	}
	if bytes.Equal(r.min, r.max) {
		p.rewrite(from, r.min)
		return
	}
	src, dst := p.Address(false), p.Address(true)
	if !src.IsValid() || !dst.IsValid() {
		p.hide(from, to, blame{"nat", "the kernel picks from a range by the packet's addresses"})
		return
	}
	p.rewrite(from, r.pick(src.AsSlice(), dst.AsSlice(), zone))
}

// pick spreads flows over a range of addresses by a hash of their own.
func (r *natRange) pick(src, dst []byte, zone uint16) []byte {
	persistent := r.flags&rangePersistent != 0
	key := make([]byte, 16) // union nf_inet_addr
	copy(key, src)
	seed := uint32(0)
	if !persistent {
		seed = binary.NativeEndian.Uint32(dst[len(dst)-4:]) ^ uint32(zone)
	}
	j := jhash(key, seed)
	picked := make([]byte, len(r.min))
	full := false
	for i := 0; i < len(picked); i += 4 {
		low, distance := uint32(0), ^uint32(0)
		if !full {
			low = binary.BigEndian.Uint32(r.min[i:])
			distance = binary.BigEndian.Uint32(r.max[i:]) - low + 1
		}
		binary.BigEndian.PutUint32(picked[i:], low+uint32(uint64(j)*uint64(distance)>>32))
		if !bytes.Equal(picked[i:i+4], r.max[i:i+4]) {
			full = true
		}
		if !persistent {
			j ^= binary.NativeEndian.Uint32(dst[i:])
		}
	}
	return picked
}

// mappedPort is where the port stands that a mapping changes: of ICMP's
// requests the identifier, on either side.
func (p *Packet) mappedPort(destination bool) (int, bool) {
	offset, protocol, _, header := p.transport()
	if !header || offset+8 > len(p.Data) {
		return 0, false
	}
	kind := p.Data[offset]
	switch {
	case protocol == protocolICMP && (kind == 0 || kind == 8 || kind >= 13 && kind <= 18),
		protocol == protocolICMP6 && (kind == 128 || kind == 129):
		return offset + 4, true
	}
	return p.portAt(destination)
}

// mapPort is nf_nat_l4proto_unique_tuple, for a port that no other flow has.
func (p *Packet) mapPort(destination bool, r natRange) {
	at, ok := p.mappedPort(destination)
	if !ok {
		return
	}
	reason := blame{"nat", "the kernel picks from a range of ports"}
	if p.blind(at, at+2) != nil && (r.flags&rangeProto == 0 || r.portMin != r.portMax) {
		return // it stays hidden
	}
	old := binary.BigEndian.Uint16(p.Data[at:])
	random := r.flags&(rangeRandom|rangeFullyRandom) != 0
	_, ports := p.portAt(destination)
	switch {
	case r.flags&rangeProto == 0:
		// The port is kept if it is free, and at random if so asked: a
		// destination's never, but ICMP's identifier on either side.
		if random && (!destination || !ports) {
			p.hide(at, at+2, reason)
		}
	case r.flags&rangeProtoOffset != 0 && r.portMax >= r.portMin:
		p.rewrite(at, binary.BigEndian.AppendUint16(nil, r.portMin+(old-r.portBase)%(r.portMax-r.portMin+1)))
	case r.portMin == r.portMax:
		p.rewrite(at, binary.BigEndian.AppendUint16(nil, r.portMin))
	case !random && old >= r.portMin && old <= r.portMax:
		// Kept, as it is in the range.
	case destination && !random && r.portMin < r.portMax:
		p.rewrite(at, binary.BigEndian.AppendUint16(nil, r.portMin)) // the search starts there
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
			if sum := p.Data[offset+6 : offset+8]; sum[0] == 0 && sum[1] == 0 {
				sum[0], sum[1] = 0xff, 0xff // 0 would say that there is no checksum
			}
		}
	case protocolDCCP:
		p.mend(offset+6, old, data, at)
	case protocolSCTP:
		if !inHeader {
			p.seal(offset)
		}
	case protocolICMP:
		if !inHeader {
			p.mend(offset+2, old, data, at)
		}
	case protocolICMP6:
		p.mend(offset+2, old, data, at)
	}
}

// mend updates a checksum for bytes that were changed (RFC 1624).
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
			total += uint32(v ^ flip) // to flip all 16 bits is to subtract
		}
	}
	add(old, 0xffff)
	add(now, 0)
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	binary.BigEndian.PutUint16(p.Data[sum:], ^uint16(total))
}
