package xt

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of nf_nat.h. Three kinds have the same fields at other places:
// nf_nat_ipv4_multi_range_compat, nf_nat_range and nf_nat_range2.

// NF_NAT_RANGE_* flags.
const (
	natAddresses   = 1
	natPorts       = 2
	natRandom      = 4
	natPersistent  = 8
	natRandomFully = 16
	natOffset      = 32
)

// natLayout says where the fields are; base is 0 where there is none.
type natLayout struct{ size, flags, min, max, minPort, maxPort, base int }

var (
	natMulti  = natLayout{20, 4, 8, 12, 16, 18, 0}
	natRange  = natLayout{40, 0, 4, 20, 36, 38, 0}
	natRange2 = natLayout{42, 0, 4, 20, 36, 38, 40}
)

var natTargets = []extension{
	natTarget("SNAT", 0, rules.IP, natMulti, false),
	natTarget("SNAT", 1, rules.IP6, natRange, false),
	natTarget("SNAT", 1, rules.IP, natRange, true),
	natTarget("SNAT", 2, 0, natRange2, true),
	natTarget("DNAT", 0, rules.IP, natMulti, true),
	natTarget("DNAT", 1, 0, natRange, true),
	natTarget("DNAT", 2, 0, natRange2, false),
	natTarget("MASQUERADE", 0, rules.IP, natMulti, false),
	natTarget("MASQUERADE", 0, rules.IP6, natRange, false),
	natTarget("REDIRECT", 0, rules.IP, natMulti, false),
	natTarget("REDIRECT", 0, rules.IP6, natRange, false),
	{name: "NETMAP", rev: 0, family: rules.IP, size: 20, init: natMulti.init, options: netmapOptions(natMulti)},
	{name: "NETMAP", rev: 0, family: rules.IP6, size: 40, options: netmapOptions(natRange)},
}

func (l natLayout) init(b *blob) {
	if l == natMulti {
		b.put(0, 4, 1)
	}
}

func natTarget(target string, rev uint8, family rules.Family, l natLayout, old bool) extension {
	e := extension{name: target, rev: rev, family: family, size: l.size, old: old, init: l.init}
	if l == natMulti {
		e.is = func(b *blob) bool { return b.u32(0) == 1 }
	}
	flag := func(name string, f uint64) option { return option{names: []string{name}, on: bits32(l.flags, f)} }
	switch target {
	case "SNAT":
		e.options = []option{{names: []string{"--to-source"}, value: l.to(), shown: l.ranged, need: true}}
	case "DNAT":
		e.options = []option{{names: []string{"--to-destination"}, value: l.to(), shown: l.ranged, need: true}}
	default:
		e.options = []option{{names: []string{"--to-ports"}, value: l.toPorts(), shown: l.ranged}}
	}
	e.options = append(e.options, flag("--random", natRandom))
	fully, persistent := flag("--random-fully", natRandomFully), flag("--persistent", natPersistent)
	if target == "DNAT" || target == "REDIRECT" {
		fully.value.parse = func(*blob, bool, []string) error { return fmt.Errorf("%s can't", target) }
	}
	e.options = append(e.options, fully)
	if target == "SNAT" || target == "DNAT" {
		e.options = append(e.options, persistent)
	}
	return e
}

func (l natLayout) ranged(b *blob) bool {
	return b.u32(l.flags)&(natAddresses|natPorts) != 0
}

// to is [address[-address]][:port[-port[/base]]], an IPv6 address with ports in
// brackets.
func (l natLayout) to() value {
	return value{1, func(b *blob, _ bool, w []string) error {
		addrs, ports := w[0], ""
		hasPorts := false
		if rest, ok := strings.CutPrefix(addrs, "["); ok {
			var tail string
			if addrs, tail, ok = strings.Cut(rest, "]"); !ok || !b.is6() {
				return fmt.Errorf("%q is not an address", w[0])
			}
			if ports, hasPorts = strings.CutPrefix(tail, ":"); !hasPorts && tail != "" {
				return fmt.Errorf("%q is not an address and ports", w[0])
			}
		} else if strings.Count(addrs, ":") == 1 {
			addrs, ports, hasPorts = strings.Cut(addrs, ":")
		}
		if hasPorts {
			if err := l.putPorts(b, ports); err != nil {
				return err
			}
			if addrs == "" {
				return nil
			}
		}
		b.set(bits32(l.flags, natAddresses))
		from, to, dash := strings.Cut(addrs, "-")
		if !dash {
			to = from
		}
		if err := b.putAddress(l.min, from); err != nil {
			return err
		}
		return b.putAddress(l.max, to)
	}, func(b *blob) (string, bool) {
		s, f := "", b.u32(l.flags)
		if f&natAddresses != 0 {
			s = b.addressText(l.min)
			if to := b.addressText(l.max); to != s {
				s += "-" + to
			}
			if f&natPorts != 0 && b.is6() {
				s = "[" + s + "]"
			}
		}
		if f&natPorts != 0 {
			s += ":" + l.portsText(b)
		}
		return s, true
	}}
}

func (l natLayout) toPorts() value {
	return value{1, func(b *blob, _ bool, w []string) error {
		return l.putPorts(b, w[0])
	}, func(b *blob) (string, bool) {
		return l.portsText(b), b.u32(l.flags)&natAddresses == 0
	}}
}

func (l natLayout) putPorts(b *blob, s string) error {
	switch b.proto {
	case 6, 17, 33, 132, 1:
	default:
		return fmt.Errorf("ports need the protocol tcp, udp, sctp or dccp")
	}
	ports, base, based := strings.Cut(s, "/")
	from, to, dash := strings.Cut(ports, "-")
	lo, err := port(from)
	if err != nil {
		return err
	}
	hi := lo
	if dash {
		v, err := number(to, 0, 0xffff)
		if err != nil {
			return err
		}
		hi = uint16(v)
	}
	if lo > hi {
		return fmt.Errorf("%s ends before it starts", ports)
	}
	b.set(bits32(l.flags, natPorts))
	putNet16(b.d[l.minPort:], lo)
	putNet16(b.d[l.maxPort:], hi)
	if !based {
		return nil
	}
	p, err := port(base)
	if err != nil || p == 0 || l.base == 0 || !dash {
		return fmt.Errorf("%q can't be where a range of ports is shifted from", base)
	}
	b.set(bits32(l.flags, natOffset))
	putNet16(b.d[l.base:], p)
	return nil
}

func (l natLayout) portsText(b *blob) string {
	s := strconv.Itoa(int(b.net16(l.minPort)))
	if hi := b.net16(l.maxPort); hi != b.net16(l.minPort) {
		s += "-" + strconv.Itoa(int(hi))
	}
	if l.base != 0 && b.u32(l.flags)&natOffset != 0 {
		s += "/" + strconv.Itoa(int(b.net16(l.base)))
	}
	return s
}

// netmapOptions: NETMAP has its network as the first and last address.
func netmapOptions(l natLayout) []option {
	return []option{{names: []string{"--to"}, shown: always, need: true, value: value{1, func(b *blob, _ bool, w []string) error {
		addr, m, masked := strings.Cut(w[0], "/")
		if err := b.putAddress(l.min, addr); err != nil {
			return err
		}
		if !masked {
			m = strconv.Itoa(8 * b.addressLen())
		}
		if err := b.putMask(l.max, m); err != nil {
			return err
		}
		for i := range b.addressLen() {
			b.d[l.min+i] &= b.d[l.max+i]
			b.d[l.max+i] = b.d[l.min+i] | ^b.d[l.max+i]
		}
		b.set(bits32(l.flags, natAddresses))
		return nil
	}, func(b *blob) (string, bool) {
		mask := make([]byte, b.addressLen())
		for i := range mask {
			mask[i] = ^(b.d[l.min+i] ^ b.d[l.max+i])
		}
		if n, ok := prefixLen(mask); ok {
			return b.addressText(l.min) + "/" + strconv.Itoa(n), true
		}
		a, _ := netip.AddrFromSlice(mask)
		return b.addressText(l.min) + "/" + ipText(a), true
	}}}}
}

// NATRange is what SNAT, DNAT, MASQUERADE, REDIRECT and NETMAP have. Flags are
// NF_NAT_RANGE_*: 1 the addresses count, 2 the ports do, 4 random ports, 8 the
// same address for a client each time, 16 fully random, 32 ports are shifted by
// Base.
type NATRange struct {
	Flags            uint32
	From, To         netip.Addr
	FromPort, ToPort uint16
	Base             uint16
}

// DecodeNAT reads the targets that translate addresses.
func DecodeNAT(family rules.Family, t *rules.Target) (NATRange, bool) {
	for i := range natTargets {
		e := &natTargets[i]
		b := &blob{d: t.Data, family: family}
		if e.name != t.Ext || e.rev != t.Rev || !e.of(family) || len(t.Data) != padded(e.size) || e.is != nil && !e.is(b) {
			continue
		}
		l := map[int]natLayout{natMulti.size: natMulti, natRange.size: natRange, natRange2.size: natRange2}[e.size]
		r := NATRange{Flags: b.u32(l.flags), From: b.addr(l.min), To: b.addr(l.max), FromPort: b.net16(l.minPort), ToPort: b.net16(l.maxPort)}
		if l.base != 0 {
			r.Base = b.net16(l.base)
		}
		return r, true
	}
	return NATRange{}, false
}
