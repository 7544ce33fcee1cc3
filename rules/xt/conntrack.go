package xt

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_conntrack.h (xt_conntrack_mtinfo1 to 3) and xt_state.h. The
// match state is conntrack with a flag that makes it print as state.

// The flags of conntrack: which criteria count.
const (
	ctState = 1 << iota
	ctProto
	ctOrigSrc
	ctOrigDst
	ctReplSrc
	ctReplDst
	ctStatus
	ctExpires
	ctOrigSrcPort
	ctOrigDstPort
	ctReplSrcPort
	ctReplDstPort
	ctDirection
	ctStateAlias
)

var conntrackMatches = []extension{
	conntrackRevision(1, 152, 1),
	conntrackRevision(2, 156, 2),
	conntrackRevision(3, 164, 2),
	stateRevision(1, 152, 1),
	stateRevision(2, 156, 2),
	stateRevision(3, 164, 2),
	{name: "state", rev: 0, size: 4, old: true, options: []option{
		{names: []string{"--state"}, value: flagList(0, 4, ctStates), shown: always}}},
}

var ctStates = []name{{"INVALID", 1}, {"NEW", 8}, {"RELATED", 4}, {"ESTABLISHED", 2}, {"UNTRACKED", 256}, {"SNAT", 64}, {"DNAT", 128}}

var ctStatuses = []name{{"NONE", 0}, {"EXPECTED", 1}, {"SEEN_REPLY", 2}, {"ASSURED", 4}, {"CONFIRMED", 8}}

// conntrackRevision is a revision of size bytes whose masks have maskSize bytes.
func conntrackRevision(rev uint8, size, maskSize int) extension {
	o := func(flag uint64, v value, names ...string) option {
		return option{names: names, value: v, on: bits16(146, flag), not: bits16(148, flag)}
	}
	port := func(flag uint64, low, high int, name string) option {
		v := ports(low, high)
		if rev < 3 {
			v = value{print: func(b *blob) (string, bool) { return strconv.Itoa(int(b.net16(low))), true }}
		} else {
			all := v.print
			v.print = func(b *blob) (string, bool) {
				if b.u16(high) == 0 {
					return strconv.Itoa(int(b.u16(low))), true
				}
				return all(b)
			}
		}
		return o(flag, v, name)
	}
	return extension{name: "conntrack", rev: rev, size: size, old: rev < 3, is: func(b *blob) bool { return b.u16(146)&ctStateAlias == 0 },
		options: []option{
			o(ctState, flagList(150, maskSize, ctStates), "--ctstate"),
			o(ctProto, protocol(136, 2), "--ctproto"),
			o(ctOrigSrc, network(0, 16), "--ctorigsrc"),
			o(ctOrigDst, network(32, 48), "--ctorigdst"),
			o(ctReplSrc, network(64, 80), "--ctreplsrc"),
			o(ctReplDst, network(96, 112), "--ctrepldst"),
			port(ctOrigSrcPort, 138, 154, "--ctorigsrcport"),
			port(ctOrigDstPort, 140, 156, "--ctorigdstport"),
			port(ctReplSrcPort, 142, 158, "--ctreplsrcport"),
			port(ctReplDstPort, 144, 160, "--ctrepldstport"),
			o(ctStatus, flagList(150+maskSize, maskSize, ctStatuses), "--ctstatus"),
			o(ctExpires, span(128, 4), "--ctexpire"),
			{names: []string{"--ctdir"}, on: bits16(146, ctDirection), value: value{1, func(b *blob, _ bool, w []string) error {
				v, err := named([]name{{"ORIGINAL", 0}, {"REPLY", ctDirection}}, w[0])
				b.set(bits16(148, v))
				return err
			}, func(b *blob) (string, bool) {
				if b.u16(148)&ctDirection != 0 {
					return "REPLY", true
				}
				return "ORIGINAL", true
			}}},
		}}
}

func stateRevision(rev uint8, size, maskSize int) extension {
	return extension{name: "state", ext: "conntrack", rev: rev, size: size, old: rev < 3,
		is: func(b *blob) bool { return b.u16(146)&ctStateAlias != 0 },
		options: []option{{names: []string{"--state"}, value: flagList(150, maskSize, ctStates), on: bits16(146, ctState|ctStateAlias),
			not: bits16(148, ctState), need: true}}}
}

// Conntrack is what the revisions of conntrack have. Has and Not are the XT_CONNTRACK_*
// flags: which criteria count, and which of them are inverted (for the
// direction: reply). States and Statuses are XT_CONNTRACK_STATE_* and IPS_* bits,
// Expires are seconds. Addresses are prefixes only where the masks are.
type Conntrack struct {
	Has, Not                   uint16
	States, Statuses           uint16
	Proto                      uint16
	OrigSrc, OrigDst           MaskedAddr
	ReplSrc, ReplDst           MaskedAddr
	OrigSrcPorts, OrigDstPorts PortRange
	ReplSrcPorts, ReplDstPorts PortRange
	ExpiresFrom, ExpiresTo     uint32
}

// MaskedAddr is an address and a mask, 16 bytes each; IPv4 is in the first 4.
type MaskedAddr struct{ Addr, Mask [16]byte }

// Contains reports whether a, masked, is the address.
func (m MaskedAddr) Contains(a netip.Addr) bool {
	for i, c := range a.Unmap().AsSlice() {
		if c&m.Mask[i] != m.Addr[i] {
			return false
		}
	}
	return true
}

func (b *blob) masked(addr, mask int) MaskedAddr {
	return MaskedAddr{[16]byte(b.d[addr : addr+16]), [16]byte(b.d[mask : mask+16])}
}

// DecodeConntrack reads the match conntrack, and so state.
func DecodeConntrack(m *rules.Match) (Conntrack, bool) {
	if b, ok := decode(m, "state", 0, 8); ok {
		return Conntrack{Has: ctState, States: uint16(b.u32(0))}, true
	}
	size := map[uint8]int{1: 152, 2: 160, 3: 168}[m.Rev]
	b, ok := decode(m, "conntrack", m.Rev, size)
	if !ok || size == 0 {
		return Conntrack{}, false
	}
	c := Conntrack{Has: b.u16(146), Not: b.u16(148), Proto: b.u16(136), ExpiresFrom: b.u32(128), ExpiresTo: b.u32(132),
		OrigSrc: b.masked(0, 16), OrigDst: b.masked(32, 48), ReplSrc: b.masked(64, 80), ReplDst: b.masked(96, 112)}
	if m.Rev == 1 {
		c.States, c.Statuses = uint16(b.d[150]), uint16(b.d[151])
	} else {
		c.States, c.Statuses = b.u16(150), b.u16(152)
	}
	for i, r := range []*PortRange{&c.OrigSrcPorts, &c.OrigDstPorts, &c.ReplSrcPorts, &c.ReplDstPorts} {
		if m.Rev == 3 {
			*r = PortRange{b.u16(138 + 2*i), b.u16(154 + 2*i)}
		} else {
			r.From = b.net16(138 + 2*i)
		}
		if r.To == 0 {
			r.To = r.From
		}
	}
	return c, true
}

// protocols are those that iptables knows without /etc/protocols, and the
// common ones of that file.
var protocols = []name{
	{"tcp", 6}, {"sctp", 132}, {"udp", 17}, {"udplite", 136}, {"icmp", 1}, {"icmpv6", 58}, {"ipv6-icmp", 58}, {"esp", 50}, {"ah", 51},
	{"ipv6-mh", 135}, {"mh", 135}, {"all", 0}, {"ip", 0}, {"igmp", 2}, {"ipencap", 4}, {"ipip", 94}, {"egp", 8}, {"gre", 47},
	{"ospf", 89}, {"pim", 103}, {"ipcomp", 108}, {"vrrp", 112}, {"l2tp", 115}, {"dccp", 33}, {"ipv6", 41}, {"ipv6-route", 43},
	{"ipv6-frag", 44}, {"ipv6-nonxt", 59}, {"ipv6-opts", 60}, {"rsvp", 46},
}

// protocol is a protocol's number or name, and printed as its number.
func protocol(at, size int) value {
	v := integer(at, size)
	v.parse = func(b *blob, _ bool, w []string) error {
		p, err := number(w[0], 0, 255)
		if err != nil {
			p, err = named(protocols, strings.ToLower(w[0]))
		}
		b.put(at, size, p)
		return err
	}
	return v
}
