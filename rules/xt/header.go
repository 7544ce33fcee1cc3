package xt

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// Structures of ipt_ttl.h, ip6t_hl.h, xt_length.h, xt_pkttype.h, xt_physdev.h,
// xt_rpfilter.h: a packet's header and the way it came.

var headerMatches = []extension{
	{name: "ttl", family: rules.IP, size: 2, options: hopOptions("--ttl-eq", "--ttl-lt", "--ttl-gt", "--ttl"), finish: oneOption},
	{name: "hl", family: rules.IP6, size: 2, options: hopOptions("--hl-eq", "--hl-lt", "--hl-gt", "--hl"), finish: oneOption},
	{name: "length", size: 6, options: []option{{names: []string{"--length"}, value: span(0, 2), not: bits8(4, 1), shown: always, need: true}}},
	{name: "pkttype", size: 8, options: []option{{names: []string{"--pkt-type"}, value: packetType, not: bits32(4, 1), shown: always, need: true}}},
	{name: "physdev", size: 66, finish: atLeastOne, options: []option{
		{names: []string{"--physdev-is-in"}, on: bits8(65, 8), not: bits8(64, 8)},
		{names: []string{"--physdev-in"}, value: device(0, 16), on: bits8(65, 1), not: bits8(64, 1)},
		{names: []string{"--physdev-is-out"}, on: bits8(65, 16), not: bits8(64, 16)},
		{names: []string{"--physdev-out"}, value: device(32, 48), on: bits8(65, 2), not: bits8(64, 2)},
		{names: []string{"--physdev-is-bridged"}, on: bits8(65, 4), not: bits8(64, 4)}}},
	{name: "rpfilter", size: 1, options: []option{
		{names: []string{"--loose"}, on: bits8(0, 1)},
		{names: []string{"--validmark"}, on: bits8(0, 2)},
		{names: []string{"--accept-local"}, on: bits8(0, 4)},
		{names: []string{"--invert"}, on: bits8(0, 8)}}},
	{name: "rt", family: rules.IP6, size: 277, init: func(b *blob) { b.put(8, 4, 0xffffffff) }, options: []option{
		{names: []string{"--rt-type"}, value: integer(0, 4), on: bits8(16, 1), not: bits8(17, 1)},
		{names: []string{"--rt-segsleft"}, value: span(4, 4), on: bits8(16, 2), not: bits8(17, 2), shown: either(unless(4, 4, 0), unless(8, 4, 0xffffffff))},
		{names: []string{"--rt-len"}, value: integer(12, 4), on: bits8(16, 4), not: bits8(17, 4)},
		{names: []string{"--rt-0-res"}, on: bits8(16, 8)},
		{names: []string{"--rt-0-addrs"}, value: addressList(20, 276), on: bits8(16, 16)},
		{names: []string{"--rt-0-not-strict"}, on: bits8(16, 32)},
	}, finish: func(b *blob) error {
		if b.d[16]&(8|16) != 0 && (b.d[16]&1 == 0 || b.u32(0) != 0 || b.d[17]&1 != 0) {
			return fmt.Errorf("--rt-0-res and --rt-0-addrs need --rt-type 0")
		}
		if b.d[16]&(16|32) == 32 {
			return fmt.Errorf("--rt-0-not-strict needs --rt-0-addrs")
		}
		return nil
	}},
}

// hopOptions: the modes equal, not equal, less and greater are 0 to 3.
func hopOptions(eq, lt, gt, alias string) []option {
	mode := func(m uint64) value {
		v := integer(1, 1)
		number := v.parse
		v.parse = func(b *blob, not bool, w []string) error {
			b.put(0, 1, m)
			if not {
				b.put(0, 1, 1)
			}
			return number(b, not, w)
		}
		return v
	}
	return []option{
		{names: []string{eq, alias}, value: mode(0), not: bits8(0, 1), shown: func(b *blob) bool { return b.d[0] < 2 }},
		{names: []string{lt}, value: mode(2), shown: equals(0, 1, 2)},
		{names: []string{gt}, value: mode(3), shown: equals(0, 1, 3)},
	}
}

// Hops is what ttl and hl have. Op is 0 equal, 1 not equal, 2 less, 3 greater.
type Hops struct{ Op, Hops uint8 }

// DecodeHops reads the matches ttl and hl.
func DecodeHops(m *rules.Match) (Hops, bool) {
	b, ok := decode(m, "ttl", 0, 8)
	if !ok {
		if b, ok = decode(m, "hl", 0, 8); !ok {
			return Hops{}, false
		}
	}
	return Hops{b.d[0], b.d[1]}, b.d[0] < 4
}

var packetType = choice(0, 4, []name{{"unicast", 0}, {"broadcast", 1}, {"multicast", 2}})

// PacketType is what pkttype has, PACKET_* of if_packet.h.
type PacketType struct {
	Type uint32
	Not  bool
}

// DecodePacketType reads the match pkttype.
func DecodePacketType(m *rules.Match) (PacketType, bool) {
	b, ok := decode(m, "pkttype", 0, 8)
	if !ok {
		return PacketType{}, false
	}
	return PacketType{b.u32(0), b.u32(4) != 0}, true
}

// Length is what length has: of the packet with its IP header.
type Length struct {
	From, To uint16
	Not      bool
}

// DecodeLength reads the match length.
func DecodeLength(m *rules.Match) (Length, bool) {
	b, ok := decode(m, "length", 0, 8)
	if !ok {
		return Length{}, false
	}
	return Length{b.u16(0), b.u16(2), b.d[4] != 0}, true
}

// Physdev is what physdev has: bridge ports, with a trailing + as a prefix. Has
// and Not are XT_PHYSDEV_OP_*: 1 in, 2 out, 4 bridged, 8 is in, 16 is out.
type Physdev struct {
	In, Out  string
	Has, Not uint8
}

// DecodePhysdev reads the match physdev.
func DecodePhysdev(m *rules.Match) (Physdev, bool) {
	b, ok := decode(m, "physdev", 0, 72)
	if !ok {
		return Physdev{}, false
	}
	return Physdev{b.string(0, 16), b.string(32, 16), b.d[65], b.d[64]}, true
}

// RPFilter is what rpfilter has.
type RPFilter struct{ Loose, ValidMark, AcceptLocal, Invert bool }

// DecodeRPFilter reads the match rpfilter.
func DecodeRPFilter(m *rules.Match) (RPFilter, bool) {
	b, ok := decode(m, "rpfilter", 0, 8)
	if !ok {
		return RPFilter{}, false
	}
	f := b.d[0]
	return RPFilter{f&1 != 0, f&2 != 0, f&4 != 0, f&8 != 0}, true
}

// device is a device's name with a mask of as many bytes as must be equal: all
// with the final NUL, or those before a +.
func device(at, mask int) value {
	v := word(at, 16)
	name := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		if err := name(b, not, w); err != nil {
			return err
		}
		n := len(w[0]) + 1
		if w[0][len(w[0])-1] == '+' {
			n -= 2
		}
		for i := range 16 {
			b.d[mask+i] = 0
			if i < n {
				b.d[mask+i] = 0xff
			}
		}
		return nil
	}
	return v
}
