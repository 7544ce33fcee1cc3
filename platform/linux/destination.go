//go:build linux

package linux

import (
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// policy is the table by which addresses are ordered (RFC 6724, 2.1), with the
// values of glibc: it still gives IPv4 the lowest precedence but one, as in
// RFC 3484. gai.conf(5) may replace it.
type policy struct {
	precedence []policyEntry
	label      []policyEntry
}

type policyEntry struct {
	prefix netip.Prefix
	value  int
}

func glibcPolicy() policy {
	p := netip.MustParsePrefix
	return policy{
		precedence: []policyEntry{
			{p("::1/128"), 50}, {p("::/0"), 40}, {p("2002::/16"), 30}, {p("::/96"), 20}, {p("::ffff:0:0/96"), 10},
		},
		label: []policyEntry{
			{p("::1/128"), 0}, {p("::/0"), 1}, {p("2002::/16"), 2}, {p("::/96"), 3}, {p("::ffff:0:0/96"), 4},
			{p("fec0::/10"), 5}, {p("fc00::/7"), 6}, {p("2001::/32"), 7},
		},
	}
}

// parseGaiConf reads gai.conf(5): one precedence line replaces all of the
// default ones, and so does one label line; scopev4 lines are not read.
func parseGaiConf(data []byte) policy {
	result := glibcPolicy()
	var precedence, label []policyEntry
	for _, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) != 3 || len(precedence)+len(label) > 256 {
			continue
		}
		prefix, err := netip.ParsePrefix(words[1])
		value, bad := strconv.Atoi(words[2])
		if err != nil || bad != nil {
			continue
		}
		if prefix.Addr().Is4() {
			prefix = netip.PrefixFrom(netip.AddrFrom16(prefix.Addr().As16()), prefix.Bits()+96)
		}
		switch entry := (policyEntry{prefix.Masked(), value}); words[0] {
		case "precedence":
			precedence = append(precedence, entry)
		case "label":
			label = append(label, entry)
		}
	}
	if precedence != nil {
		result.precedence = precedence
	}
	if label != nil {
		result.label = label
	}
	return result
}

// lookup finds the value of the longest prefix.
func lookup(table []policyEntry, address netip.Addr) int {
	best, value := -1, 0
	wide := netip.AddrFrom16(address.As16()) // IPv4 as ::ffff:0:0/96
	for _, entry := range table {
		if entry.prefix.Bits() > best && contains(entry.prefix, wide) {
			best, value = entry.prefix.Bits(), entry.value
		}
	}
	return value
}

// contains is Prefix.Contains, but takes IPv4-mapped addresses for IPv6.
func contains(prefix netip.Prefix, wide netip.Addr) bool {
	return commonPrefix(prefix.Addr(), wide) >= prefix.Bits()
}

func commonPrefix(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if different := x[i] ^ y[i]; different != 0 {
			return 8*i + bits.LeadingZeros8(different)
		}
	}
	return 128
}

// scope is that of RFC 4007; IPv4 as in RFC 6724, 3.2.
func scope(a netip.Addr) int {
	const link, site, global = 2, 5, 14
	switch {
	case a.Is6() && a.IsMulticast():
		return int(a.As16()[1] & 0xf)
	case a.IsLoopback(), a.IsLinkLocalUnicast():
		return link
	case a.Is6() && a.As16()[0] == 0xfe && a.As16()[1]&0xc0 == 0xc0:
		return site
	}
	return global
}

// destination is an address to sort, with the source that the kernel would
// take; not valid if there is no way.
type destination struct {
	address, source netip.Addr
	bits            int // length of the source's subnet, 0 if not known
}

// matching is the length of the prefix that destination and source share. For
// IPv4 that means something within one subnet only, says glibc: name servers
// that rotate addresses shall not be undone.
func (d destination) matching() int {
	n := commonPrefix(d.address, d.source)
	if d.address.Is4() && (d.bits == 0 || n-96 < d.bits) {
		return 0
	}
	return n
}

// sortDestinations orders addresses as a client would try them: RFC 6724,
// section 6, rules 1, 2, 5, 6, 8 and 9. Rules 3 (deprecated sources), 4 (home
// addresses) and 7 (tunnels) are not applied.
func sortDestinations(list []destination, table policy) {
	slices.SortStableFunc(list, func(a, b destination) int {
		if a.source.IsValid() != b.source.IsValid() {
			if a.source.IsValid() {
				return -1
			}
			return 1
		}
		if a.source.IsValid() {
			if x, y := scope(a.address) == scope(a.source), scope(b.address) == scope(b.source); x != y {
				return first(x)
			}
			x := lookup(table.label, a.address) == lookup(table.label, a.source)
			y := lookup(table.label, b.address) == lookup(table.label, b.source)
			if x != y {
				return first(x)
			}
		}
		if x, y := lookup(table.precedence, a.address), lookup(table.precedence, b.address); x != y {
			return first(x > y)
		}
		if x, y := scope(a.address), scope(b.address); x != y {
			return first(x < y)
		}
		if a.source.IsValid() && a.address.Is4() == b.address.Is4() {
			if x, y := a.matching(), b.matching(); x != y {
				return first(x > y)
			}
		}
		return 0
	})
}

// first orders a before b if yes.
func first(yes bool) int {
	if yes {
		return -1
	}
	return 1
}
