package eval

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// other runs the expressions that are seldom met.
func (w *walk) other(e rules.Expr) rules.VerdictKind {
	switch e := e.(type) {
	case *rules.Redir:
		r, why := w.portRange(natRange{flags: e.Flags}, e.ProtoMin, e.HasProtoMin, e.ProtoMax, e.HasProtoMax)
		if why != nil {
			return w.either(*why)
		}
		return w.redirect(r)
	case *rules.Exthdr:
		return w.exthdr(e)
	case *rules.Fib:
		return w.fib(e)
	case *rules.RT:
		return w.rt(e)
	case *rules.Socket:
		return w.socket(e)
	case *rules.Hash:
		return w.hash(e)
	case *rules.Numgen:
		if e.Modulus == 1 {
			return w.load32(e.Dest, e.Offset)
		}
		return w.hide(e.Dest, 4, blame{"numgen", "it counts or draws anew for each packet"})
	case *rules.Dynset:
		return w.dynset(e)
	case *rules.ObjRef:
		return w.object(e)
	case *rules.QueueTo:
		return w.queueTo(e)
	case *rules.Synproxy:
		return w.synproxy()
	case *rules.TProxy:
		return w.tproxy()
	case *rules.Dup:
		return rules.Continue // the copy goes its own way
	case *rules.Fwd:
		return w.fwd(e)
	case *rules.FlowOffload:
		return w.offload()
	case *rules.XFRM:
		return w.xfrm(e)
	case *rules.Tunnel:
		return w.tunnel(e)
	case *rules.ARPTables:
		return w.arpHead(e)
	case *rules.Inner:
		return w.inner(e)
	case *rules.OSF:
		return w.osf(e)
	case *rules.Opaque:
		return w.either(blame{e.Kind, e.Why})
	}
	return w.either(blame{e.Name(), "it is not modelled"})
}

// natExpr is nft_nat_eval of net/netfilter/nft_nat.c; in a table of family inet
// it passes over packets of the family that it isn't for (nft_nat_inet_eval).
func (w *walk) natExpr(e *rules.NAT) rules.VerdictKind {
	if (e.Family == rules.IP || e.Family == rules.IP6) && e.Family != w.packet.Family {
		return rules.Continue
	}
	destination := e.Type == 1
	r := natRange{flags: e.Flags}
	if e.HasAddrMin {
		n := 4
		if e.Family == rules.IP6 {
			n = 16
		}
		high := e.AddrMin
		if e.HasAddrMax {
			high = e.AddrMax
		}
		r.flags |= rangeMapIPs
		r.min, r.max = w.register(e.AddrMin, n), w.register(high, n)
		if r.min == nil || r.max == nil {
			return w.either(blame{"nat", "it reads beyond the registers"})
		}
		for _, reg := range []rules.Reg{e.AddrMin, high} {
			if b := w.blind(reg, n); b != nil {
				return w.either(*b)
			}
		}
	}
	r, why := w.portRange(r, e.ProtoMin, e.HasProtoMin, e.ProtoMax, e.HasProtoMax)
	if why != nil {
		return w.either(*why)
	}
	return w.mapTo(destination, r)
}

// masqExpr is nft_masq_eval of net/netfilter/nft_masq.c.
func (w *walk) masqExpr(e *rules.Masq) rules.VerdictKind {
	r, why := w.portRange(natRange{flags: e.Flags}, e.ProtoMin, e.HasProtoMin, e.ProtoMax, e.HasProtoMax)
	if why != nil {
		return w.either(*why)
	}
	return w.masquerade(r)
}

// portRange reads a range of ports from registers.
func (w *walk) portRange(r natRange, low rules.Reg, hasLow bool, high rules.Reg, hasHigh bool) (natRange, *blame) {
	if !hasLow {
		return r, nil
	}
	if !hasHigh {
		high = low
	}
	a, b := w.register(low, 2), w.register(high, 2)
	if a == nil || b == nil {
		return r, &blame{"nat", "it reads beyond the registers"}
	}
	for _, reg := range []rules.Reg{low, high} {
		if why := w.blind(reg, 2); why != nil {
			return r, why
		}
	}
	r.flags |= rangeProto
	r.portMin, r.portMax = binary.BigEndian.Uint16(a), binary.BigEndian.Uint16(b)
	return r, nil
}

// payloadElsewhere loads from the link header, or from what the transport
// header carries (nft_payload_eval).
func (w *walk) payloadElsewhere(e *rules.Payload) rules.VerdictKind {
	p := &w.packet
	switch e.Base {
	case baseLink:
		return w.payloadLink(e)
	case baseInner:
		offset, b, ok := p.innerOffset()
		if !ok {
			return rules.Break
		}
		first := uint64(offset) + uint64(e.Offset)
		end := first + uint64(e.Len)
		if b == nil && len(p.hidden) > 0 && end <= uint64(len(p.Data)) {
			b = p.blind(int(first), int(end))
		}
		switch {
		case b != nil:
			return w.maybe(e.Reg, int(e.Len), *b)
		case end > uint64(len(p.Data)):
			return rules.Break
		}
		return w.load(e.Reg, p.Data[first:end])
	}
	return w.either(blame{"payload", "its base is not known"})
}

// store is nft_payload_set_eval: it changes the packet and mends its checksums.
func (w *walk) store(e *rules.Payload) rules.VerdictKind {
	if e.Base == baseLink {
		return w.storeLink(e)
	}
	p := &w.packet
	data := w.register(e.Reg, int(e.Len))
	if data == nil {
		return w.either(blame{"payload", "it reads beyond the registers"})
	}
	start := 0
	switch e.Base {
	case baseNetwork:
	case baseTransport:
		offset, _, _, header := p.upper()
		if !header {
			return rules.Break
		}
		start = offset
	case baseInner:
		offset, b, ok := p.innerOffset()
		switch {
		case !ok:
			return rules.Break
		case b != nil:
			return w.either(*b)
		}
		start = offset
	default:
		return w.either(blame{"payload", "its base is not known"})
	}
	first := uint64(start) + uint64(e.Offset)
	end := first + uint64(e.Len)
	if end > uint64(len(p.Data)) {
		return rules.Break
	}
	w.changed = true
	if b := w.blind(e.Reg, int(e.Len)); b != nil {
		p.hide(int(first), int(end), *b)
		return rules.Continue
	}
	const udpSum = 6
	if protocol, _ := p.Protocol(); e.Base == baseTransport && e.CsumType == 1 && protocol == protocolUDP && start+udpSum+2 <= len(p.Data) {
		w.spoiled = w.spoiled || p.Data[start+udpSum] == 0 && p.Data[start+udpSum+1] == 0
	}
	before := bytes.Clone(p.Data)
	if !p.store(e, start, data) {
		// It isn't written, but the header's checksum is mended already: wrong now,
		// unless the sum of the bytes is what it was.
		w.ruined = w.ruined || e.Base == baseNetwork && !bytes.Equal(before, p.Data)
		return rules.Break
	}
	return rules.Continue
}

// store writes bytes and mends the checksums that the rule says: the kernel
// mends no others. It reports whether the packet has them.
func (p *Packet) store(e *rules.Payload, start int, data []byte) bool {
	const inet, sctp, pseudoHeader = 1, 2, 1 // NFT_PAYLOAD_CSUM_INET, _SCTP, NFT_PAYLOAD_L4CSUM_PSEUDOHDR
	first := start + int(e.Offset)
	old := append([]byte(nil), p.Data[first:first+len(data)]...)
	if e.CsumType == inet {
		if uint64(start)+uint64(e.CsumOffset)+2 > uint64(len(p.Data)) {
			return false
		}
		p.mendNonzero(start+int(e.CsumOffset), old, data, first)
	}
	offset, protocol, _, header := p.upper()
	if e.CsumFlags&pseudoHeader != 0 && header && protocol != protocolUDP {
		if at, has := p.checksumAt(offset, protocol); !has && at > 0 {
			return false // it is cut off before its checksum, which is looked for last
		}
	}
	copy(p.Data[first:], data)
	p.show(first, first+len(data))
	if e.CsumFlags&pseudoHeader != 0 && header {
		if at, ok := p.checksumAt(offset, protocol); ok {
			p.mendNonzero(at, old, data, first)
		}
	}
	if at := offset + 8; e.CsumType == sctp && header && protocol == protocolSCTP && at+4 <= len(p.Data) {
		p.hide(at, at+4, blame{"payload", "the checksum of SCTP is not computed"})
	}
	return true
}

// checksumAt is where the transport header has its checksum, if it has one
// (nft_payload_l4csum_offset).
func (p *Packet) checksumAt(offset int, protocol uint8) (int, bool) {
	switch protocol {
	case protocolTCP:
		offset += 16
	case protocolUDP, protocolUDPLite:
		offset += 6
	case protocolICMP6:
		offset += 2
	default:
		return 0, false
	}
	there := offset+2 <= len(p.Data)
	return offset, there && (protocol != protocolUDP || p.Data[offset] != 0 || p.Data[offset+1] != 0)
}

// mendNonzero is mend for a checksum whose zero stands for none: the other form
// of zero takes its place (CSUM_MANGLED_0).
func (p *Packet) mendNonzero(sum int, old, now []byte, at int) {
	p.mend(sum, old, now, at)
	if sum+2 <= len(p.Data) && p.Data[sum] == 0 && p.Data[sum+1] == 0 {
		p.Data[sum], p.Data[sum+1] = 0xff, 0xff
	}
}

// dynset is nft_dynset_eval of net/netfilter/nft_dynset.c. It breaks off if the
// set is full or an expression of the element does. What it adds may be met by
// the same packet: the set can't be asked for sure from here on.
func (w *walk) dynset(e *rules.Dynset) rules.VerdictKind {
	x := w.index.set(e.Set)
	if x == nil {
		return w.either(blame{"dynset", "set " + e.Set + " is not in the ruleset"})
	}
	if w.touched == nil {
		w.touched = map[*rules.Set]bool{}
	}
	w.touched[x.set] = true
	const remove = 2
	if e.Op == remove {
		return rules.Continue
	}
	room := x.set.Size == 0 || x.set.Known && uint32(x.set.Elements.Len()) < x.set.Size
	if room && !conditional(e.Exprs) && !conditional(x.set.Exprs) {
		return matched(!e.Invert)
	}
	if w.rest.Empty() {
		return rules.Continue
	}
	return w.perhaps(blame{"dynset", "whether set " + e.Set + " takes the element depends on what has passed before"})
}

// Types of objects (NFT_OBJECT_*).
const (
	objectCounter   = 1
	objectQuota     = 2
	objectHelper    = 3
	objectLimit     = 4
	objectConnLimit = 5
	objectTunnel    = 6
	objectTimeout   = 7
	objectSecmark   = 8
	objectExpect    = 9
	objectSynproxy  = 10
)

// object is nft_objref_eval and nft_objref_map_eval of net/netfilter/nft_objref.c.
func (w *walk) object(e *rules.ObjRef) rules.VerdictKind {
	kind := e.Type
	if e.Set != "" {
		x := w.index.set(e.Set)
		if x == nil {
			return w.either(blame{"objref", "map " + e.Set + " is not in the ruleset"})
		}
		kind = x.set.ObjType
		key := w.register(e.Source, x.set.KeyLen)
		if key == nil {
			return w.either(blame{"objref", "it reads beyond the registers"})
		}
		if b := w.blind(e.Source, x.set.KeyLen); b != nil {
			return w.either(*b)
		}
		found, why := w.element(x, key)
		if why != "" {
			return w.either(blame{"objref", why})
		}
		if found == nil {
			return rules.Break
		}
	}
	switch kind {
	case objectCounter, objectSecmark:
		return rules.Continue
	case objectHelper, objectTimeout, objectExpect:
		return w.ofFlow(kind)
	case objectTunnel:
		w.keyed = true
		return rules.Continue
	case objectQuota:
		return w.perhaps(blame{"quota", past})
	case objectLimit:
		return w.perhaps(blame{"limit", past})
	case objectConnLimit:
		return w.perhaps(blame{"connlimit", past})
	case objectSynproxy:
		return w.synproxy()
	}
	return w.either(blame{"objref", "this kind of object is not known"})
}

// ofFlow is nft_ct_helper_obj_eval, nft_ct_timeout_obj_eval and
// nft_ct_expect_obj_eval of net/netfilter/nft_ct.c: they change what becomes of
// the flow and of those that follow it, not this packet. An expectation breaks
// the rule off where it has no flow to be of.
func (w *walk) ofFlow(kind uint32) rules.VerdictKind {
	if kind != objectExpect {
		return rules.Continue
	}
	switch state, why := w.ctState(); {
	case why != "":
		return w.either(blame{"ct expectation", why})
	case state != New && state != Related:
		return rules.Break
	}
	if w.choose(2, blame{"ct expectation", "whether another connection expects the same is not known"}) == 1 {
		return rules.Drop
	}
	return rules.Continue
}

// queueTo is nft_queue_eval and nft_queue_sreg_eval of net/netfilter/nft_queue.c.
func (w *walk) queueTo(e *rules.QueueTo) rules.VerdictKind {
	const bypass, bypassBit = 1, 0x8000
	number := uint32(e.Num)
	if e.HasSource {
		have := w.register(e.Source, 4)
		if have == nil {
			return w.either(blame{"queue", "it reads beyond the registers"})
		}
		if b := w.blind(e.Source, 4); b != nil {
			return w.either(*b)
		}
		number = binary.NativeEndian.Uint32(have)
	}
	w.code = number<<16 | uint32(rules.Queue)
	if e.Flags&bypass != 0 {
		w.code |= bypassBit
	}
	w.queues = max(1, int(e.Total))
	return rules.Queue
}

// synproxy is nft_synproxy_do_eval of net/netfilter/nft_synproxy.c: the kernel
// answers a SYN itself, and takes or drops the ACK that follows.
func (w *walk) synproxy() rules.VerdictKind {
	p := &w.packet
	offset, protocol, _, header := p.upper()
	if !header || protocol != protocolTCP {
		return rules.Break
	}
	if offset+20 > len(p.Data) {
		return rules.Drop
	}
	const syn, ack = 2, 16
	switch flags := p.Data[offset+13]; {
	case flags&syn != 0:
		return rules.Stolen
	case flags&ack != 0:
		if w.choose(2, blame{"synproxy", "whether the ACK answers a cookie is not known"}) == 1 {
			return rules.Stolen
		}
		return rules.Drop
	}
	return rules.Continue
}

// tproxy is nft_tproxy_eval of net/netfilter/nft_tproxy.c: it goes on if a
// transparent socket takes the packet, which is then delivered here.
func (w *walk) tproxy() rules.VerdictKind {
	if protocol, _ := w.packet.Protocol(); protocol != protocolTCP && protocol != protocolUDP {
		return rules.Break
	}
	if w.choose(2, blame{"tproxy", "whether a transparent socket listens is not known"}) == 1 {
		w.flow.diverted, w.changed = true, true
		return rules.Continue
	}
	return rules.Break
}
