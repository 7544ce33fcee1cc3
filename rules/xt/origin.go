package xt

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_addrtype.h, xt_iprange.h, xt_mac.h, xt_comment.h and
// xt_owner.h: where a packet comes from and goes to.

var originMatches = []extension{
	{name: "addrtype", rev: 0, size: 12, old: true, options: []option{
		{names: []string{"--src-type"}, value: flagList(0, 2, addrTypes), not: bits32(4, 1), shown: unless(0, 2, 0)},
		{names: []string{"--dst-type"}, value: flagList(2, 2, addrTypes), not: bits32(8, 1), shown: unless(2, 2, 0)}}},
	{name: "addrtype", rev: 1, size: 8, finish: func(b *blob) error {
		if !b.gave("--src-type") && !b.gave("--dst-type") {
			return fmt.Errorf("it needs --src-type or --dst-type")
		}
		if b.u32(4)&12 == 12 {
			return fmt.Errorf("--limit-iface-in and --limit-iface-out exclude each other")
		}
		return nil
	}, options: []option{
		{names: []string{"--src-type"}, value: flagList(0, 2, addrTypes), not: bits32(4, 1), shown: unless(0, 2, 0)},
		{names: []string{"--dst-type"}, value: flagList(2, 2, addrTypes), not: bits32(4, 2), shown: unless(2, 2, 0)},
		{names: []string{"--limit-iface-in"}, on: bits32(4, 4)},
		{names: []string{"--limit-iface-out"}, on: bits32(4, 8)}}},
	{name: "iprange", rev: 1, size: 65, options: []option{
		{names: []string{"--src-range"}, value: addresses(0, 16), on: bits8(64, 1), not: bits8(64, 16)},
		{names: []string{"--dst-range"}, value: addresses(32, 48), on: bits8(64, 2), not: bits8(64, 32)}},
		finish: atLeastOne},
	{name: "mac", size: 12, options: []option{{names: []string{"--mac-source"}, value: mac(0), not: bits32(8, 1), shown: always, need: true}}},
	{name: "comment", size: 256, options: []option{{names: []string{"--comment"}, value: quoted(0, 256), shown: always, need: true}}},
	{name: "owner", rev: 1, size: 18, finish: atLeastOne, options: []option{
		{names: []string{"--socket-exists"}, on: bits8(16, 4), not: bits8(17, 4)},
		{names: []string{"--uid-owner"}, value: owner(0), on: bits8(16, 1), not: bits8(17, 1)},
		{names: []string{"--gid-owner"}, value: owner(8), on: bits8(16, 2), not: bits8(17, 2)},
		{names: []string{"--suppl-groups"}, on: bits8(16, 8)}}},
}

func atLeastOne(b *blob) error {
	if b.given == 0 {
		return fmt.Errorf("it needs an option")
	}
	return nil
}

var addrTypes = []name{{"UNSPEC", 1}, {"UNICAST", 2}, {"LOCAL", 4}, {"BROADCAST", 8}, {"ANYCAST", 16}, {"MULTICAST", 32},
	{"BLACKHOLE", 64}, {"UNREACHABLE", 128}, {"PROHIBIT", 256}, {"THROW", 512}, {"NAT", 1024}, {"XRESOLVE", 2048}}

// owner is a user's or group's number, or a range of them. Names are not looked
// up: the rules may be another host's.
func owner(at int) value {
	v := spanAt(at, at+4, 4, "-")
	numbers := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		if strings.HasPrefix(w[0], "-") || strings.HasSuffix(w[0], "-") {
			return fmt.Errorf("%q is not a range", w[0])
		}
		if err := numbers(b, not, w); err != nil {
			return fmt.Errorf("%w (names are not looked up)", err)
		}
		return nil
	}
	return v
}

// AddrType is what addrtype has: bits of 1<<RTN_* for the types, 0 for any.
type AddrType struct {
	Source, Dest       uint16
	NotSource, NotDest bool
	LimitIn, LimitOut  bool
}

// DecodeAddrType reads the match addrtype.
func DecodeAddrType(m *rules.Match) (AddrType, bool) {
	if b, ok := decode(m, "addrtype", 0, 16); ok {
		return AddrType{Source: b.u16(0), Dest: b.u16(2), NotSource: b.u32(4) != 0, NotDest: b.u32(8) != 0}, true
	}
	b, ok := decode(m, "addrtype", 1, 8)
	if !ok {
		return AddrType{}, false
	}
	f := b.u32(4)
	return AddrType{b.u16(0), b.u16(2), f&1 != 0, f&2 != 0, f&4 != 0, f&8 != 0}, true
}

// IPRange is what iprange has. An address without a range is invalid.
type IPRange struct {
	SourceFrom, SourceTo, DestFrom, DestTo netip.Addr
	NotSource, NotDest                     bool
}

// DecodeIPRange reads the match iprange; the family says what its addresses are.
func DecodeIPRange(family rules.Family, m *rules.Match) (IPRange, bool) {
	b, ok := decode(m, "iprange", 1, 72)
	if !ok {
		return IPRange{}, false
	}
	b.family = family
	f := b.d[64]
	r := IPRange{NotSource: f&16 != 0, NotDest: f&32 != 0}
	if f&1 != 0 {
		r.SourceFrom, r.SourceTo = b.addr(0), b.addr(16)
	}
	if f&2 != 0 {
		r.DestFrom, r.DestTo = b.addr(32), b.addr(48)
	}
	return r, true
}

func (b *blob) addr(at int) netip.Addr {
	a, _ := netip.AddrFromSlice(b.d[at : at+b.addressLen()])
	return a
}

// MAC is what mac has.
type MAC struct {
	Source [6]byte
	Not    bool
}

// DecodeMAC reads the match mac.
func DecodeMAC(m *rules.Match) (MAC, bool) {
	b, ok := decode(m, "mac", 0, 16)
	if !ok {
		return MAC{}, false
	}
	return MAC{[6]byte(b.d[:6]), b.u32(8) != 0}, true
}

// DecodeComment is the text of the match comment.
func DecodeComment(m *rules.Match) (string, bool) {
	b, ok := decode(m, "comment", 0, 256)
	if !ok {
		return "", false
	}
	return b.string(0, 256), true
}

// Owner is what owner has. Has and Not are XT_OWNER_* bits: 1 user, 2 group,
// 4 that there is a socket, 8 that supplementary groups count too.
type Owner struct {
	UIDFrom, UIDTo, GIDFrom, GIDTo uint32
	Has, Not                       uint8
}

// DecodeOwner reads the match owner.
func DecodeOwner(m *rules.Match) (Owner, bool) {
	b, ok := decode(m, "owner", 1, 24)
	if !ok {
		return Owner{}, false
	}
	return Owner{b.u32(0), b.u32(4), b.u32(8), b.u32(12), b.d[16], b.d[17]}, true
}
