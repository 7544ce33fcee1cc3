package eval

import (
	"bytes"

	"github.com/portwhy/portwhy/rules"
)

// headerMatchers are the matches on the network header, and on bytes wherever
// they stand.
var headerMatchers = map[string][]matcher{
	"length":  {{rev: 0, size: 5, run: matchLength}},
	"ttl":     {{rev: 0, family: rules.IP, size: 2, run: matchHops}},
	"hl":      {{rev: 0, family: rules.IP6, size: 2, run: matchHops}},
	"dscp":    {{rev: 0, size: 2, run: matchDSCP}},
	"tos":     {{rev: 1, size: 3, run: matchTOS}},
	"ecn":     {{rev: 0, size: 4, run: matchECN}},
	"string":  {{rev: 1, size: 150, run: matchString}},
	"u32":     {{rev: 0, size: 1982, run: matchU32}},
	"iprange": {{rev: 1, size: 65, run: matchIPRange}},
}

// matchLength is length_mt and length_mt6 of xt_length.c: in IPv4 by the header.
func matchLength(x *probe) answer {
	n := known(uint32(len(x.packet.Data)))
	if x.packet.Family == rules.IP {
		if n = x.field(2, 2); n.why == "" && n.v == 0 {
			n.v = uint32(len(x.packet.Data))
		}
	} else if b := x.packet.lengthBlind(); b != nil {
		n = field{why: b.why, most: 0xffff}
	}
	return n.in(x.arg16(0), x.arg16(2)).unless(x.d[4] != 0)
}

// matchHops is ttl_mt and hl_mt6 of xt_hl.c.
func matchHops(x *probe) answer {
	const equal, unequal, less, greater = 0, 1, 2, 3
	at := 8
	if x.packet.Family == rules.IP6 {
		at = 7
	}
	have, want := x.field(at, 1), x.arg8(1)
	switch x.d[0] {
	case equal:
		return have.is(want, 0xff)
	case unequal:
		return have.is(want, 0xff).unless(true)
	case less:
		return have.in(0, want-1).unlessNone(want == 0)
	case greater:
		return have.in(want+1, 0xff)
	}
	return isNot
}

// unlessNone is for a range that has nothing in it.
func (a answer) unlessNone(none bool) answer {
	if none {
		return isNot
	}
	return a
}

// matchDSCP is dscp_mt and dscp_mt6 of xt_dscp.c, matchTOS tos_mt.
func matchDSCP(x *probe) answer {
	return x.dsField().is(x.arg8(0)<<2, 0xfc).unless(x.d[1] != 0)
}

func matchTOS(x *probe) answer {
	return x.dsField().is(x.arg8(1), x.arg8(0)).unless(x.d[2] != 0)
}

// matchECN is ecn_mt4 and ecn_mt6 of xt_ecn.c.
func matchECN(x *probe) answer {
	const inIP, ece, cwr = 0x01, 0x10, 0x20
	operation, inv := x.d[0], x.d[1]
	a := when(operation&inIP != 0, x.dsField().is(x.arg8(2), 3).unless(inv&inIP != 0))
	if operation&(ece|cwr) == 0 || a == isNot {
		return a
	}
	if x.transport+20 > len(x.packet.Data) {
		return isNot
	}
	// A later fragment's bytes are read as if they were a header.
	flags := x.field(x.transport+13, 1)
	return all(a,
		when(operation&ece != 0, flags.is(0x40, 0x40).unless(inv&ece != 0)),
		when(operation&cwr != 0, flags.is(0x80, 0x80).unless(inv&cwr != 0)))
}

// matchIPRange is iprange_mt4 and iprange_mt6 of xt_iprange.c.
func matchIPRange(x *probe) answer {
	const source, destination, notSource, notDestination = 1, 2, 16, 32
	flags := x.d[64]
	side := func(to bool, at int, not bool) answer {
		from, end, _ := x.packet.addressSpan(to)
		if b := x.packet.blind(from, end); b != nil {
			return unsure(b.why)
		}
		n := end - from
		return holds(between(x.packet.Data[from:end], x.d[at:at+n], x.d[at+16:at+16+n])).unless(not)
	}
	return all(
		when(flags&source != 0, side(false, 0, flags&notSource != 0)),
		when(flags&destination != 0, side(true, 32, flags&notDestination != 0)))
}

// matchString is string_mt of xt_string.c: the text must end before the second
// offset. The kernel looks from the network header on.
func matchString(x *probe) answer {
	const inverted, ignoreCase = 1, 2
	from, to := int(x.arg16(0)), int(x.arg16(2))
	algorithm, _, _ := bytes.Cut(x.d[4:20], []byte{0})
	n, flags := int(x.d[148]), x.d[149]
	if s := string(algorithm); s != "bm" && s != "kmp" {
		return unsure("its algorithm is not modelled")
	}
	if n == 0 || n > 128 {
		return unsure("it looks for nothing")
	}
	pattern, d := x.d[20:20+n], x.packet.Data
	if flags&ignoreCase != 0 {
		pattern, d = upper(pattern), upper(d)
	}
	// What begins before the end but reaches beyond it is not found.
	at := -1
	if from <= len(d) && from < to {
		at = bytes.Index(d[from:], pattern)
	}
	found := at >= 0 && at+n <= to-from
	if found && x.packet.blind(from+at, from+at+n) == nil {
		return isSo.unless(flags&inverted != 0)
	}
	if b := x.packet.mayHave(d, pattern, from, to); b != nil {
		return unsure(b.why)
	}
	return holds(found).unless(flags&inverted != 0)
}

// mayHave is the reason for which a pattern may stand between two places of the
// packet: bytes that are not known, among those that it would cover. It is nil if
// the bytes that are known say no.
func (p *Packet) mayHave(d, pattern []byte, from, to int) *blame {
	for _, s := range p.hidden {
		for at := max(from, s.from-len(pattern)+1); at < s.to && at+len(pattern) <= min(to, len(d)); at++ {
			fits := true
			for i := 0; fits && i < len(pattern); i++ {
				fits = d[at+i] == pattern[i] || p.blind(at+i, at+i+1) != nil
			}
			if fits {
				return &s.blame
			}
		}
	}
	return nil
}

// upper is toupper of linux/ctype.h, which has the letters of Latin-1.
func upper(b []byte) []byte {
	u := make([]byte, len(b))
	for i, c := range b {
		if 'a' <= c && c <= 'z' || c >= 0xdf && c != 0xf7 {
			c -= 'a' - 'A'
		}
		u[i] = c
	}
	return u
}

// matchU32 is u32_match_it of xt_u32.c: tests of 180 bytes each, with eleven
// places, eleven ranges, and how many of both count.
func matchU32(x *probe) answer {
	const size, places = 180, 11
	a := isSo
	tests := int(x.d[1980])
	for i := 0; i < tests && i < places; i++ {
		a = all(a, x.u32Test(size*i))
		if a == isNot {
			break
		}
	}
	return a.unless(x.d[1981] != 0)
}

func (x *probe) u32Test(at int) answer {
	const and, left, right, offset, places = 0, 1, 2, 3, 11
	numbers, values := min(int(x.d[at+176]), places), min(int(x.d[at+177]), places)
	length := uint64(len(x.packet.Data))
	base, place := uint64(0), uint64(x.arg32(at))
	if place+4 > length {
		return isNot
	}
	v := x.field(int(place), 4)
	for i := 1; i < numbers; i++ {
		number := x.arg32(at + 8*i)
		switch x.d[at+8*i+4] {
		case and:
			v.v &= number
		case left:
			v.v <<= number & 31
		case right:
			v.v >>= number & 31
		case offset:
			if v.why != "" {
				return unsure(v.why)
			}
			if base += uint64(v.v); base > 0xffffffff {
				return isNot
			}
			if base+uint64(number)+4 > length {
				return isNot
			}
			v = x.field(int(base+uint64(number)), 4)
		}
	}
	found := isNot
	for i := range values {
		found = anyOf(found, v.in(x.arg32(at+88+8*i), x.arg32(at+92+8*i)))
	}
	return found
}
