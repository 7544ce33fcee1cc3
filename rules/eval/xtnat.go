package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// natTargets map addresses.
var natTargets = map[string][]actor{
	"SNAT":       {{rev: 0, family: rules.IP, size: 20, run: targetSNAT}, {rev: 1, size: 40, run: targetSNAT}, {rev: 2, size: 44, run: targetSNAT}},
	"DNAT":       {{rev: 0, family: rules.IP, size: 20, run: targetDNAT}, {rev: 1, size: 40, run: targetDNAT}, {rev: 2, size: 44, run: targetDNAT}},
	"MASQUERADE": {{family: rules.IP, size: 20, run: targetMasquerade}, {family: rules.IP6, size: 40, run: targetMasquerade}},
	"REDIRECT":   {{family: rules.IP, size: 20, run: targetRedirect}, {family: rules.IP6, size: 40, run: targetRedirect}},
	"NETMAP":     {{family: rules.IP, size: 20, run: targetNetmap}, {family: rules.IP6, size: 40, run: targetNetmap}},
	"SNPT":       {{family: rules.IP6, size: 34, run: targetSNPT}},
	"DNPT":       {{family: rules.IP6, size: 34, run: targetDNPT}},
}

// natRange reads the target's range: nf_nat_ipv4_multi_range_compat, nf_nat_range
// or nf_nat_range2 of linux/netfilter/nf_nat.h.
func (x *probe) natRange() natRange {
	port := func(at int) uint16 { return binary.BigEndian.Uint16(x.d[at:]) }
	switch {
	case x.packet.Family == rules.IP && x.rev == 0:
		return natRange{flags: x.arg32(4), min: x.d[8:12], max: x.d[12:16], portMin: port(16), portMax: port(18)}
	case x.packet.Family == rules.IP:
		r := natRange{flags: x.arg32(0), min: x.d[4:8], max: x.d[20:24], portMin: port(36), portMax: port(38)}
		if x.rev == 2 {
			r.portBase = port(40)
		}
		return r
	}
	r := natRange{flags: x.arg32(0), min: x.d[4:20], max: x.d[20:36], portMin: port(36), portMax: port(38)}
	if x.rev == 2 {
		r.portBase = port(40)
	}
	return r
}

// targetSNAT and targetDNAT are xt_snat_target_v0 to _v2 and xt_dnat_target_v0
// to _v2 of xt_nat.c.
func targetSNAT(x *probe) rules.VerdictKind { return x.mapTo(false, x.natRange()) }
func targetDNAT(x *probe) rules.VerdictKind { return x.mapTo(true, x.natRange()) }

// targetMasquerade is masquerade_tg and masquerade_tg6 of xt_MASQUERADE.c.
func targetMasquerade(x *probe) rules.VerdictKind { return x.masquerade(x.natRange()) }

// targetRedirect is redirect_tg4 and redirect_tg6 of xt_REDIRECT.c.
func targetRedirect(x *probe) rules.VerdictKind { return x.redirect(x.natRange()) }

// targetNetmap is netmap_tg4 and netmap_tg6 of xt_NETMAP.c: the network is
// mapped, the host's part stays.
func targetNetmap(x *probe) rules.VerdictKind {
	destination := natPriority(x.hook) == priorityDNAT
	from, to, _ := x.packet.addressSpan(destination)
	hidden := x.packet.blind(from, to)
	r := x.natRange()
	r.flags |= rangeMapIPs | rangeNetmap
	v := x.mapTo(destination, r)
	if hidden != nil {
		x.packet.hide(from, to, *hidden)
	}
	return v
}

// targetSNPT and targetDNPT are ip6t_snpt_tg and ip6t_dnpt_tg of ip6t_NPT.c.
// They change a prefix, and one word behind it such that checksums stay right.
func targetSNPT(x *probe) rules.VerdictKind { return x.prefix(8, 24) }
func targetDNPT(x *probe) rules.VerdictKind { return x.prefix(24, 8) }

// prefix translates the address at an offset of the header; in an error also
// the other address of the packet that it is about.
func (x *probe) prefix(at, bounced int) rules.VerdictKind {
	p := &x.packet
	x.changed = true
	if b := p.blind(at, at+16); b != nil {
		p.hide(at, at+16, *b)
	} else if !x.mapPrefix(p.Data[at : at+16]) {
		return rules.Drop
	}
	inner := x.transport + 8
	if p.Data[6] != protocolICMP6 || !x.headed || inner+40 > len(p.Data) {
		return rules.Continue
	}
	if kind := p.Data[x.transport]; kind < 1 || kind > 4 {
		return rules.Continue
	}
	address := p.Data[inner+bounced : inner+bounced+16]
	if hasPrefix(address, x.d[:16], int(x.d[32])) {
		x.mapPrefix(address)
	}
	return rules.Continue
}

func hasPrefix(a, prefix []byte, bits int) bool {
	for i := range a {
		mask := byte(0xff)
		if rest := bits - 8*i; rest < 8 {
			mask = ^byte(0xff >> max(rest, 0))
		}
		if a[i]&mask != prefix[i] {
			return false
		}
	}
	return true
}

// mapPrefix is ip6t_npt_map_pfx. It is false for an address that can't be
// translated.
func (x *probe) mapPrefix(a []byte) bool {
	n := int(max(x.d[32], x.d[33]))
	to := x.d[16:32]
	for i := 0; i < 16 && 8*(i/4*4) < n; i++ {
		mask := byte(0)
		if rest := n - 8*i; rest < 8 {
			mask = 0xff >> max(rest, 0)
		}
		a[i] = a[i]&mask | to[i]&^mask
	}
	word := 3
	if n > 48 {
		for word = 4; word < 8 && a[2*word] == 0xff && a[2*word+1] == 0xff; word++ {
		}
		if word == 8 {
			return false
		}
	}
	// The kernel keeps the difference of both prefixes' sums in the structure,
	// but doesn't tell it.
	difference := fold(sumOf(x.d[:16]) + uint64(^fold(sumOf(to))))
	sum := fold(uint64(binary.BigEndian.Uint16(a[2*word:])) + uint64(difference))
	if sum == 0xffff {
		sum = 0
	}
	binary.BigEndian.PutUint16(a[2*word:], sum)
	return true
}

// sumOf adds words up, fold makes the sum one of ones' complement.
func sumOf(b []byte) uint64 {
	var sum uint64
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint64(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
