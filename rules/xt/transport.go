package xt

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_tcpudp.h, xt_sctp.h, xt_dccp.h, xt_multiport.h, ip_tables.h
// (ipt_icmp) and ip6_tables.h (ip6t_icmp).

func portOptions(inv int, src, dst int) []option {
	return []option{
		{names: []string{"--sport", "--source-port"}, value: ports(src, src+2), not: bits8(inv, 1), shown: notAllPorts(src, src+2)},
		{names: []string{"--dport", "--destination-port"}, value: ports(dst, dst+2), not: bits8(inv, 2), shown: notAllPorts(dst, dst+2)},
	}
}

func allPorts(b *blob) {
	b.put(2, 2, 0xffff)
	b.put(6, 2, 0xffff)
}

var transportMatches = []extension{
	{name: "tcp", size: 12, init: allPorts, options: append(portOptions(11, 0, 4),
		option{names: []string{"--tcp-option"}, value: integerIn(8, 1, 1, 255), not: bits8(11, 8), shown: either(unless(8, 1, 0), func(b *blob) bool { return b.d[11]&8 != 0 })},
		option{names: []string{"--tcp-flags"}, value: tcpFlagsValue, not: bits8(11, 4), shown: either(unless(9, 1, 0), func(b *blob) bool { return b.d[11]&4 != 0 })},
		option{names: []string{"--syn"}, value: value{parse: func(b *blob, _ bool, _ []string) error {
			b.d[9], b.d[10] = 0x17, 0x02
			return nil
		}}, not: bits8(11, 4), hidden: true},
	)},
	{name: "udp", size: 10, init: allPorts, options: portOptions(8, 0, 4)},
	{name: "udplite", size: 10, init: allPorts, options: portOptions(8, 0, 4)},
	{name: "multiport", rev: 0, size: 32, old: true, options: multiportOptions(bit{})},
	{name: "multiport", rev: 1, size: 48, options: multiportOptions(bits8(47, 1)), finish: func(b *blob) error {
		if bits.OnesCount64(b.given) != 1 {
			return fmt.Errorf("it takes one of --sports, --dports and --ports")
		}
		return nil
	}},
	{name: "icmp", family: rules.IP, size: 4, init: func(b *blob) { b.d[0], b.d[2] = 0xff, 0xff }, options: []option{
		{names: []string{"--icmp-type"}, value: icmpValue(icmpTypes), not: bits8(3, 1), shown: always, need: true}}},
	{name: "icmp6", family: rules.IP6, size: 4, init: func(b *blob) { b.d[2] = 0xff }, options: []option{
		{names: []string{"--icmpv6-type"}, value: icmpValue(icmp6Types), not: bits8(3, 1), shown: always, need: true}}},
}

var tcpFlagNames = []name{{"NONE", 0}, {"FIN", 1}, {"SYN", 2}, {"RST", 4}, {"PSH", 8}, {"ACK", 16}, {"URG", 32}}

var tcpFlagsValue = value{2, func(b *blob, _ bool, w []string) error {
	for i, list := range w {
		b.d[9+i] = 0
		for s := range strings.SplitSeq(list, ",") {
			v := uint64(0x3f)
			if !strings.EqualFold(s, "ALL") {
				var err error
				if v, err = named(tcpFlagNames, s); err != nil {
					return err
				}
			}
			b.d[9+i] |= byte(v)
		}
	}
	return nil
}, func(b *blob) (string, bool) {
	mask, ok1 := flagText(tcpFlagNames, uint64(b.d[9]))
	cmp, ok2 := flagText(tcpFlagNames, uint64(b.d[10]))
	return mask + " " + cmp, ok1 && ok2
}}

// multiportOptions: XT_MULTIPORT_SOURCE, _DESTINATION and _EITHER.
func multiportOptions(not bit) []option {
	return []option{
		{names: []string{"--sports", "--source-ports"}, value: multiportValue(0), not: not, shown: equals(0, 1, 0)},
		{names: []string{"--dports", "--destination-ports"}, value: multiportValue(1), not: not, shown: equals(0, 1, 1)},
		{names: []string{"--ports"}, value: multiportValue(2), not: not, shown: equals(0, 1, 2)},
	}
}

func multiportValue(kind byte) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		b.d[0] = kind
		n := 0
		add := func(s string, ranged bool) error {
			if n == 15 {
				return fmt.Errorf("more than 15 ports")
			}
			p, err := port(s)
			b.put(2+2*n, 2, uint64(p))
			if ranged {
				b.d[32+n] = 1
			}
			n++
			return err
		}
		for s := range strings.SplitSeq(w[0], ",") {
			from, to, ranged := strings.Cut(s, ":")
			if err := add(from, ranged); err != nil {
				return err
			}
			if !ranged {
				continue
			}
			if err := add(to, false); err != nil {
				return err
			}
			if b.u16(2*n-2) >= b.u16(2*n) {
				return fmt.Errorf("%s ends before it starts", s)
			}
		}
		b.d[1] = byte(n)
		return nil
	}, func(b *blob) (string, bool) {
		n := int(b.d[1])
		if n < 1 || n > 15 {
			return "", false
		}
		s := ""
		for i := range n {
			s += strconv.Itoa(int(b.u16(2 + 2*i)))
			switch {
			case i == n-1:
			case len(b.d) >= 48 && b.d[32+i] != 0:
				s += ":"
			default:
				s += ","
			}
		}
		return s, len(b.d) < 48 || b.d[32+n-1] == 0
	}}
}

// TCP is what xt_tcp has. Ports are From to To; Flags are the mask and what the
// masked flags must be, as bits of the TCP header. Option is the option's kind,
// 0 for any packet.
type TCP struct {
	SourceFrom, SourceTo, DestFrom, DestTo  uint16
	Option, FlagMask, Flags                 uint8
	NotSource, NotDest, NotFlags, NotOption bool
}

// DecodeTCP reads the match tcp.
func DecodeTCP(m *rules.Match) (TCP, bool) {
	b, ok := decode(m, "tcp", 0, 16)
	if !ok {
		return TCP{}, false
	}
	inv := b.d[11]
	return TCP{b.u16(0), b.u16(2), b.u16(4), b.u16(6), b.d[8], b.d[9], b.d[10], inv&1 != 0, inv&2 != 0, inv&4 != 0, inv&8 != 0}, true
}

// UDP is what xt_udp has.
type UDP struct {
	SourceFrom, SourceTo, DestFrom, DestTo uint16
	NotSource, NotDest                     bool
}

// DecodeUDP reads the matches udp and udplite.
func DecodeUDP(m *rules.Match) (UDP, bool) {
	b, ok := decode(m, "udp", 0, 16)
	if !ok {
		if b, ok = decode(m, "udplite", 0, 16); !ok {
			return UDP{}, false
		}
	}
	return UDP{b.u16(0), b.u16(2), b.u16(4), b.u16(6), b.d[8]&1 != 0, b.d[8]&2 != 0}, true
}

// PortRange is From to To, both inclusive.
type PortRange struct{ From, To uint16 }

// Multiport is what xt_multiport and xt_multiport_v1 have. Source and Dest say
// which port is looked up; both mean that either may match.
type Multiport struct {
	Source, Dest, Not bool
	Ports             []PortRange
}

// DecodeMultiport reads the match multiport.
func DecodeMultiport(m *rules.Match) (Multiport, bool) {
	b, ok := decode(m, "multiport", 1, 48)
	old, ok0 := decode(m, "multiport", 0, 32)
	if ok0 {
		b = old
	}
	if !ok && !ok0 || b.d[0] > 2 || b.d[1] > 15 {
		return Multiport{}, false
	}
	v := Multiport{Source: b.d[0] != 1, Dest: b.d[0] != 0, Not: ok && b.d[47] != 0}
	for i := 0; i < int(b.d[1]); i++ {
		r := PortRange{b.u16(2 + 2*i), b.u16(2 + 2*i)}
		if ok && b.d[32+i] != 0 {
			if i++; i >= int(b.d[1]) {
				return Multiport{}, false
			}
			r.To = b.u16(2 + 2*i)
		}
		v.Ports = append(v.Ports, r)
	}
	return v, true
}

// ICMP is what ipt_icmp and ip6t_icmp have. In IPv4 the Type 255 is any type.
type ICMP struct {
	Type, CodeFrom, CodeTo uint8
	Not                    bool
}

// DecodeICMP reads the matches icmp and icmp6.
func DecodeICMP(m *rules.Match) (ICMP, bool) {
	b, ok := decode(m, "icmp", 0, 8)
	if !ok {
		if b, ok = decode(m, "icmp6", 0, 8); !ok {
			return ICMP{}, false
		}
	}
	return ICMP{b.d[0], b.d[1], b.d[2], b.d[3]&1 != 0}, true
}

// decode is m's structure, if it is that revision of ext and as long.
func decode(m *rules.Match, ext string, rev uint8, size int) (*blob, bool) {
	return decodeData(m.Ext == ext && m.Rev == rev, m.Data, m.Sets, size)
}

func decodeTarget(t *rules.Target, ext string, rev uint8, size int) (*blob, bool) {
	return decodeData(t.Ext == ext && t.Rev == rev, t.Data, t.Sets, size)
}

func decodeData(is bool, data []byte, sets []string, size int) (*blob, bool) {
	return &blob{d: data, sets: sets}, is && len(data) == size
}
