package eval

import (
	"encoding/binary"
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// Keys of ct: NFT_CT_* of linux/netfilter/nf_tables.h.
const (
	ctState = iota
	ctDirection
	ctStatus
	ctMark
	ctSecmark
	ctExpiration
	ctHelper
	ctL3
	ctSrc
	ctDst
	ctProtocol
	ctSport
	ctDport
	ctLabels
	ctPackets
	ctBytes
	ctAverage
	ctZone
	ctEvents
	ctSrc4
	ctDst4
	ctSrc6
	ctDst6
	ctID
)

// Bits of ct status (IPS_* of linux/netfilter/nf_conntrack_common.h).
const (
	statusConfirmed = 1 << 3
	statusSrcNAT    = 1 << 4
	statusDstNAT    = 1 << 5
	statusSrcDone   = 1 << 7
	statusDstDone   = 1 << 8
)

// ct is nft_ct_get_eval and nft_ct_set_eval of net/netfilter/nft_ct.c.
func (w *walk) ct(e *rules.CT) rules.VerdictKind {
	if e.Write {
		return w.setCT(e)
	}
	f := &w.flow
	if e.Key == ctState {
		state, why := w.ctState()
		if why != "" {
			return w.hide(e.Reg, 4, blame{"ct state", why})
		}
		return w.load32(e.Reg, state)
	}
	if w.way == "" {
		return w.maybe(e.Reg, 16, blame{"ct", "the packet's flow is not known"})
	}
	switch {
	case !f.tracked && !f.template:
		return rules.Break
	case !f.tracked && e.Key != ctZone:
		return w.maybe(e.Reg, 16, blame{"ct", "the packet has the template of an entry, and no entry yet"})
	}
	if f.fresh {
		switch e.Key {
		case ctDirection:
			return w.load8(e.Reg, 0)
		case ctStatus:
			if f.source.unsure && !f.source.nat || f.destination.unsure && !f.destination.nat {
				return w.hide(e.Reg, 4, blame{"ct status", "whether the mapping changed anything is not known"})
			}
			return w.load32(e.Reg, f.status(w.arrived && w.way == Through))
		case ctHelper:
			return rules.Break // only a connection that was expected has a master
		case ctSrc, ctDst, ctSport, ctDport, ctSrc4, ctDst4, ctSrc6, ctDst6:
			return w.ctTuple(e)
		}
	}
	if f.answers {
		switch e.Key {
		case ctDirection:
			return w.load8(e.Reg, 1)
		case ctSrc, ctDst, ctSport, ctDport, ctSrc4, ctDst4, ctSrc6, ctDst6:
			return w.ctTuple(e)
		}
	}
	told := blame{"ct", "the kernel's table of connections tells it, and it is not read"}
	switch e.Key {
	case ctMark:
		if f.markUnknown != nil {
			return w.hide(e.Reg, 4, *f.markUnknown)
		}
		return w.load32(e.Reg, f.mark)
	case ctLabels:
		if !f.labelsKnown {
			return w.hide(e.Reg, 16, told)
		}
		return w.load(e.Reg, f.labels[:])
	case ctL3:
		return w.load8(e.Reg, byte(w.packet.Family))
	case ctProtocol:
		return w.load8(e.Reg, f.original.protocol)
	case ctZone:
		var b [2]byte
		if e.Dir < 0 || f.zoneDir == 0 || f.zoneDir == e.Dir+1 {
			binary.NativeEndian.PutUint16(b[:], f.zone)
		}
		return w.load(e.Reg, b[:])
	case ctPackets, ctBytes, ctAverage:
		if ask := w.m.host.Sysctl; ask != nil {
			if v, ok := ask("net/netfilter/nf_conntrack_acct"); ok && v == "0" && f.fresh {
				return w.load(e.Reg, make([]byte, 8)) // flows aren't counted
			}
		}
		return w.hide(e.Reg, 8, blame{"ct", "what the flow has carried is not known"})
	case ctExpiration:
		return w.hide(e.Reg, 4, blame{"ct", "how long the flow is still kept is not known"})
	case ctID:
		return w.hide(e.Reg, 4, blame{"ct", "the kernel's number of the flow is not known"})
	case ctSecmark:
		return w.hide(e.Reg, 4, blame{"ct", "the number of a security context is not known"})
	case ctDirection:
		return w.hide(e.Reg, 1, told)
	case ctStatus:
		return w.hide(e.Reg, 4, told)
	case ctSrc, ctDst, ctSrc6, ctDst6:
		return w.hide(e.Reg, 16, told)
	case ctSport, ctDport, ctSrc4, ctDst4:
		return w.hide(e.Reg, 4, told)
	case ctHelper:
		return w.maybe(e.Reg, 16, told)
	}
	return w.either(blame{fmt.Sprintf("ct key %d", e.Key), "it is not known"})
}

// status is what is set of a new flow so far; confirmed after the last hook.
func (f *flow) status(confirmed bool) uint32 {
	var s uint32
	add := func(m mapping, done, changed uint32) {
		if m.set {
			s |= done
		}
		if m.nat {
			s |= changed
		}
	}
	add(f.source, statusSrcDone, statusSrcNAT)
	add(f.destination, statusDstDone, statusDstNAT)
	if confirmed {
		s |= statusConfirmed
	}
	return s
}

// ctTuple loads an address or port of the flow as it was seen first, or, in the
// other direction, as answers to it will be.
func (w *walk) ctTuple(e *rules.CT) rules.VerdictKind {
	t := w.flow.original
	family := w.packet.Family
	if e.Dir == 1 {
		p := &w.flow.now
		if len(p.hidden) > 0 {
			return w.hide(e.Reg, 16, p.hidden[0].blame)
		}
		if t = p.tuple(); !w.flow.answers {
			t = t.answer()
		}
	}
	var data []byte
	switch e.Key {
	case ctSrc, ctSrc4, ctSrc6:
		data = t.src
	case ctDst, ctDst4, ctDst6:
		data = t.dst
	case ctSport:
		data = t.sport
	case ctDport:
		data = t.dport
	}
	switch {
	case (e.Key == ctSrc4 || e.Key == ctDst4) && family != rules.IP,
		(e.Key == ctSrc6 || e.Key == ctDst6) && family != rules.IP6:
		return rules.Break
	}
	return w.load(e.Reg, data)
}

// setCT is nft_ct_set_eval and nft_ct_set_zone_eval; what has no entry can't be set.
func (w *walk) setCT(e *rules.CT) rules.VerdictKind {
	f := &w.flow
	have := w.register(e.Reg, 4)
	if have == nil {
		return w.either(blame{"ct", "it reads beyond the registers"})
	}
	b := w.blind(e.Reg, 4)
	if e.Key == ctZone {
		switch {
		case f.tracked, f.template:
			return rules.Continue
		case b != nil:
			return w.either(*b)
		case f.seen:
			return w.either(blame{"ct zone", "what a packet that conntrack has passed by is with the template of an entry is not modelled"})
		}
		f.zone, f.zoneDir = binary.NativeEndian.Uint16(have), e.Dir+1
		f.template, w.changed = true, true
		f.state = 0 // even if a rule has kept it from conntrack
		return rules.Continue
	}
	if !f.tracked {
		return rules.Continue
	}
	switch e.Key {
	case ctMark:
		w.changed = true
		f.markUnknown = nil
		if b != nil {
			reason := *b
			f.markUnknown = &reason
			return rules.Continue
		}
		f.mark = binary.NativeEndian.Uint32(have)
	case ctLabels:
		w.changed = true
		label := w.register(e.Reg, 16)
		if label == nil || w.blind(e.Reg, 16) != nil {
			f.labelsKnown = false
			return rules.Continue
		}
		for i := range f.labels {
			f.labels[i] |= label[i]
		}
	case ctEvents, ctSecmark:
	default:
		return w.either(blame{fmt.Sprintf("ct key %d", e.Key), "setting it is not known"})
	}
	return rules.Continue
}
