package eval

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// header6Matchers are the matches on extension headers of IPv6.
var header6Matchers = map[string][]matcher{
	"ah":         {{family: rules.IP6, size: 14, run: matchAH6}},
	"rt":         {{family: rules.IP6, size: 280, run: matchRouting}},
	"frag":       {{family: rules.IP6, size: 14, run: matchFragment}},
	"hbh":        {{family: rules.IP6, size: 39, run: matchOptions}},
	"dst":        {{family: rules.IP6, size: 39, run: matchOptions}},
	"ipv6header": {{family: rules.IP6, size: 3, run: matchHeaders}},
	"eui64":      {{family: rules.IP6, size: 0, run: matchEUI64}},
	"srh":        {{rev: 0, family: rules.IP6, size: 10, run: matchSegments}, {rev: 1, family: rules.IP6, size: 108, run: matchSegments}},
}

// Numbers of extension headers (NEXTHDR_*).
const (
	nextHop         = 0
	nextRouting     = 43
	nextFragment    = 44
	protocolESP     = 50
	protocolAH      = 51
	nextNone        = 59
	nextDestination = 60
)

// isExtension is ipv6_ext_hdr of net/ipv6/exthdrs_core.c.
func isExtension(next uint8) bool {
	switch next {
	case nextHop, nextRouting, nextFragment, protocolAH, nextNone, nextDestination:
		return true
	}
	return false
}

// lookup6 is how the search for an extension header ends.
type lookup6 uint8

const (
	absent lookup6 = iota
	present
	broken // the chain of headers is cut off
)

// find6 is ipv6_find_hdr of net/ipv6/exthdrs_core.c for one header.
func (p *Packet) find6(wanted uint8) (int, lookup6) {
	d := p.Data
	for at, next := 40, d[6]; ; {
		if !isExtension(next) || next == nextNone {
			if next == wanted {
				return at, present
			}
			return 0, absent
		}
		if at+2 > len(d) || (next == nextRouting || next == nextFragment) && at+4 > len(d) {
			return 0, broken
		}
		if next == wanted {
			return at, present
		}
		size := (int(d[at+1]) + 1) * 8
		switch next {
		case nextFragment:
			if size = 8; binary.BigEndian.Uint16(d[at+2:])&^7 != 0 {
				return 0, absent
			}
		case protocolAH:
			size = (int(d[at+1]) + 2) * 4
		}
		next = d[at]
		at += size
	}
}

// extension finds a header of which least bytes must be there, and its length as
// it tells; without it a chain that is cut off loses the packet.
func (x *probe) extension(wanted uint8, least int) (at, size int, ok bool) {
	d := x.packet.Data
	at, how := x.packet.find6(wanted)
	if how != present {
		x.hotdrop = how == broken
		return 0, 0, false
	}
	if at+least > len(d) {
		x.hotdrop = true
		return 0, 0, false
	}
	size = (int(d[at+1]) + 1) * 8
	if wanted == protocolAH {
		size = (int(d[at+1]) + 2) * 4
	}
	if wanted != nextFragment && at+size > len(d) {
		x.hotdrop = true
		return 0, 0, false
	}
	return at, size, true
}

// matchAH6 is ah_mt6 of ip6t_ah.c.
func matchAH6(x *probe) answer {
	const notSPI, notLength = 1, 2
	at, size, ok := x.extension(protocolAH, 12)
	if !ok {
		return isNot
	}
	inv := x.d[13]
	return all(
		x.field(at+4, 4).in(x.arg32(0), x.arg32(4)).unless(inv&notSPI != 0),
		when(x.arg32(8) != 0, holds(x.arg32(8) == uint32(size)).unless(inv&notLength != 0)),
		when(x.d[12] != 0, x.field(at+2, 2).is(0, 0xffff)))
}

// matchFragment is frag_mt6 of ip6t_frag.c.
func matchFragment(x *probe) answer {
	const reserved, first, more, last = 4, 8, 16, 32
	at, _, ok := x.extension(nextFragment, 8)
	if !ok {
		return isNot
	}
	flags, offset := x.d[12], x.field(at+2, 2)
	return all(
		x.field(at+4, 4).in(x.arg32(0), x.arg32(4)).unless(x.d[13]&1 != 0),
		when(flags&reserved != 0, all(x.field(at+1, 1).is(0, 0xff), offset.is(0, 6))),
		when(flags&first != 0, offset.is(0, 0xfff8)),
		when(flags&more != 0, offset.is(1, 1)),
		when(flags&last != 0, offset.is(0, 1)))
}

// matchRouting is rt_mt6 of ip6t_rt.c.
func matchRouting(x *probe) answer {
	const byType, byLength, reserved, addresses, anywhere = 1, 4, 8, 0x10, 0x20
	const notType, notSegments, notLength = 1, 2, 4
	at, size, ok := x.extension(nextRouting, 4)
	if !ok {
		return isNot
	}
	d := x.packet.Data
	flags, inv := x.d[16], x.d[17]
	a := all(
		x.field(at+3, 1).in(x.arg32(4), x.arg32(8)).unless(inv&notSegments != 0),
		when(flags&byLength != 0, holds(x.arg32(12) == uint32(size)).unless(inv&notLength != 0)),
		when(flags&byType != 0, x.field(at+2, 1).is(x.arg32(0), 0xff).unless(inv&notType != 0)))
	if a != isNot && flags&reserved != 0 {
		a = all(a, x.field(at+4, 4).is(0, 0xffffffff))
	}
	if flags&addresses == 0 {
		return a
	}
	wanted, there := min(int(x.d[276]), 16), (size-8)/16
	if wanted > there {
		return isNot
	}
	found := 0
	for i := 0; i < there && found < wanted; i++ {
		// Both the header and its addresses lie within the packet.
		same := bytes.Equal(d[at+8+16*i:at+24+16*i], x.d[20+16*found:36+16*found])
		if same {
			found++
		} else if flags&anywhere == 0 {
			break
		}
	}
	if found < wanted || flags&anywhere == 0 && wanted != there {
		return isNot
	}
	return a
}

// matchOptions is hbh_mt6 of ip6t_hbh.c, for the matches hbh and dst.
func matchOptions(x *probe) answer {
	const byLength, options, anyLength = 1, 2, 0xff
	wanted := uint8(nextHop)
	if x.ext == "dst" {
		wanted = nextDestination
	}
	at, size, ok := x.extension(wanted, 2)
	if !ok {
		return isNot
	}
	flags, d := x.d[4], x.packet.Data
	a := when(flags&byLength != 0, holds(x.arg32(0) == uint32(size)).unless(x.d[5]&1 != 0))
	if flags&options == 0 {
		return a
	}
	n := min(int(x.d[38]), 16)
	at, left := at+2, size-2
	for i := range n {
		option := x.arg16(6 + 2*i)
		if left < 1 || at >= len(d) || d[at] != byte(option>>8) {
			return isNot
		}
		step := 1
		if d[at] != 0 {
			if left < 2 || at+1 >= len(d) || byte(option) != anyLength && byte(option) != d[at+1] {
				return isNot
			}
			step = int(d[at+1]) + 2
		}
		if i < n-1 && (at > len(d)-step || left < step) {
			return isNot
		}
		at, left = at+step, left-step
	}
	return a
}

// matchHeaders is ipv6header_mt6 of ip6t_ipv6header.c.
func matchHeaders(x *probe) answer {
	const none, transport, esp = 2, 1, 4
	bits := map[uint8]byte{nextHop: 128, nextDestination: 64, nextRouting: 32, nextFragment: 16, protocolAH: 8}
	d := x.packet.Data
	next, at := d[6], 40
	var found byte
walk:
	for isExtension(next) || next == protocolESP {
		if next == nextNone {
			found |= none
			break
		}
		if len(d)-at < 2 {
			return isNot
		}
		size := (int(d[at+1]) + 1) * 8
		switch next {
		case protocolESP:
			found |= esp
			break walk
		case nextFragment:
			size = 8
		case protocolAH:
			size = (int(d[at+1]) + 2) * 4
		}
		found |= bits[next]
		next = d[at]
		if at += size; at > len(d) {
			break
		}
	}
	if next != nextNone && next != protocolESP {
		found |= transport
	}
	wanted, inv := x.d[0], x.d[1]
	if x.d[2] != 0 { // soft: others may be there as well
		return holds((found^wanted^inv)&wanted == 0)
	}
	return holds((found == wanted) != (inv != 0))
}

// matchEUI64 is eui64_mt6 of ip6t_eui64.c: the address has the sender's MAC.
func matchEUI64(x *probe) answer {
	ether, why := x.ethernet()
	if why != "" {
		return unsure(why)
	}
	if !ether {
		return isNot
	}
	p := &x.packet
	if b := p.blind(16, 24); b != nil {
		return unsure(b.why)
	}
	mac := p.Link[6:12]
	id := []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
	return holds(p.Data[0]>>4 == 6 && bytes.Equal(p.Data[16:24], id))
}

// matchSegments is srh_mt6 and srh1_mt6 of ip6t_srh.c. It never loses a packet.
func matchSegments(x *probe) answer {
	const fixed, sourceRouting = 8, 4
	d := x.packet.Data
	at, how := x.packet.find6(nextRouting)
	if how != present || at+fixed > len(d) || at+(int(d[at+1])+1)*8 > len(d) || d[at+2] != sourceRouting || d[at+3] > d[at+4] {
		return isNot
	}
	flags, inv := x.arg16(6), x.arg16(8)
	if x.rev == 1 {
		flags, inv = x.arg16(104), x.arg16(106)
	}
	left, last := int(d[at+3]), int(d[at+4])
	for i, yes := range []bool{
		d[at] == x.d[0],
		d[at+1] == x.d[1], d[at+1] > x.d[1], d[at+1] < x.d[1],
		d[at+3] == x.d[2], d[at+3] > x.d[2], d[at+3] < x.d[2],
		d[at+4] == x.d[3], d[at+4] > x.d[3], d[at+4] < x.d[3],
		bytes.Equal(d[at+6:at+8], x.d[4:6]),
	} {
		if bit := uint32(1) << i; flags&bit != 0 && yes == (inv&bit != 0) {
			return isNot
		}
	}
	if x.rev == 0 {
		return isSo
	}
	for i, segment := range []struct {
		there bool
		nth   int
	}{{left != last, left + 1}, {left != 0, left - 1}, {true, 0}} {
		bit := uint32(0x800) << i
		if flags&bit == 0 {
			continue
		}
		start := at + fixed + 16*segment.nth
		if !segment.there || start+16 > len(d) || masked(d[start:start+16], x.d[8+16*i:], x.d[56+16*i:]) == (inv&bit != 0) {
			return isNot
		}
	}
	return isSo
}
