// Table: where the structures of iptables' and ebtables' extensions hold addresses.

package redact

import "github.com/portwhy/portwhy/rules"

// field is an address in a structure of the kernel.
type field struct {
	at   int
	kind kind
	mask int // where its mask is; 0 for none
	to   int // where the end of its range is; 0 for none
	// network: only the network's part of the range is used (NETMAP), or the
	// prefix whose length is at this place.
	network, length int
}

// structure adds the addresses of a kernel structure.
func (t *tracker) structure(data []byte, fields []field) {
	for _, f := range fields {
		n := f.kind.size()
		p := place{kind: f.kind, data: cut(data, f.at, n)}
		if p.data == nil {
			continue
		}
		if f.mask > 0 {
			p.mask = maskOf(cut(data, f.mask, n), n)
		}
		if f.to > 0 {
			p.to = cut(data, f.to, n)
		}
		switch {
		case f.network > 0 && p.to != nil:
			p.network = min(common(p.bitsAt(p.data), p.bitsAt(p.to)), 8*n)
		case f.length > 0 && f.length < len(data):
			p.network = min(int(data[f.length]), 8*n)
		}
		t.add(p)
	}
}

// arpHead is struct arpt_arp of linux/netfilter_arp/arp_tables.h.
var arpHead = []field{{at: 0, kind: ip4, mask: 8}, {at: 4, kind: ip4, mask: 12}, {at: 18, kind: mac, mask: 34}, {at: 50, kind: mac, mask: 66}}

// matchPlaces are those of matches: structures of linux/netfilter/xt_*.h,
// netfilter_ipv6/ip6t_*.h and netfilter_bridge/ebt_*.h.
func matchPlaces(ext string, rev uint8, family rules.Family) []field {
	k := kindOf(family)
	if family == rules.Bridge {
		switch ext {
		case "ip":
			return []field{{at: 0, kind: ip4, mask: 8}, {at: 4, kind: ip4, mask: 12}}
		case "ip6":
			return []field{{at: 0, kind: ip6, mask: 32}, {at: 16, kind: ip6, mask: 48}}
		case "arp":
			return []field{{at: 8, kind: ip4, mask: 12}, {at: 16, kind: ip4, mask: 20}, {at: 24, kind: mac, mask: 30}, {at: 36, kind: mac, mask: 42}}
		}
		return nil
	}
	if k == noAddress {
		return nil
	}
	switch ext {
	case "iprange":
		if rev == 0 {
			return []field{{at: 0, kind: ip4, to: 4}, {at: 8, kind: ip4, to: 12}}
		}
		return []field{{at: 0, kind: k, to: 16}, {at: 32, kind: k, to: 48}}
	case "conntrack":
		if rev > 0 {
			return []field{{at: 0, kind: k, mask: 16}, {at: 32, kind: k, mask: 48}, {at: 64, kind: k, mask: 80}, {at: 96, kind: k, mask: 112}}
		}
	case "mac":
		return []field{{at: 0, kind: mac}}
	case "policy":
		var list []field
		for i := range 4 {
			list = append(list, field{at: 76 * i, kind: k, mask: 76*i + 16}, field{at: 76*i + 32, kind: k, mask: 76*i + 48})
		}
		return list
	case "rt":
		var list []field
		for i := range 16 {
			list = append(list, field{at: 20 + 16*i, kind: ip6})
		}
		return list
	case "srh":
		if rev == 1 {
			return []field{{at: 8, kind: ip6, mask: 56}, {at: 24, kind: ip6, mask: 72}, {at: 40, kind: ip6, mask: 88}}
		}
	}
	return nil
}

// targetPlaces are those of targets.
func targetPlaces(ext string, rev uint8, family rules.Family) []field {
	k := kindOf(family)
	if family == rules.Bridge {
		switch ext {
		case "snat", "dnat", "arpreply":
			return []field{{at: 0, kind: mac}}
		}
		return nil
	}
	if k == noAddress {
		return nil
	}
	switch ext {
	case "SNAT", "DNAT":
		if rev == 0 && k == ip4 {
			return []field{{at: 8, kind: ip4, to: 12}}
		}
		return []field{{at: 4, kind: k, to: 20}}
	case "NETMAP":
		if k == ip4 {
			return []field{{at: 8, kind: ip4, to: 12, network: 1}}
		}
		return []field{{at: 4, kind: k, to: 20, network: 1}}
	case "SNPT", "DNPT":
		return []field{{at: 0, kind: ip6, length: 32}, {at: 16, kind: ip6, length: 33}}
	case "TEE":
		return []field{{at: 0, kind: k}}
	case "TPROXY":
		return []field{{at: 8, kind: k}}
	case "CLUSTERIP":
		return []field{{at: 4, kind: mac}}
	case "mangle":
		return []field{{at: 32, kind: ip4}, {at: 36, kind: ip4}, {at: 0, kind: mac}, {at: 16, kind: mac}}
	}
	return nil
}
