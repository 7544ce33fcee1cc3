package xtables

import "github.com/portwhy/portwhy/rules"

// layout is where the fields of struct ipt_entry, ip6t_entry and arpt_entry are
// (linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h,
// linux/netfilter_arp/arp_tables.h), and the hooks in the order of their numbers.
type layout struct {
	address               int // size of an address: source, destination and their masks come first
	devices               int // names of both, then masks of both
	proto, tos, flags     int // tos is 0 where there is none
	inv, target, counters int
	size                  int
	leaves                uint8 // the flag of a goto
	hooks                 []rules.Hook
}

var layouts = map[rules.Family]layout{
	rules.IP: {address: 4, devices: 16, proto: 80, flags: 82, inv: 83, target: 88, counters: 96, size: 112,
		leaves: flagGoto4, hooks: ipHooks},
	rules.IP6: {address: 16, devices: 64, proto: 128, tos: 130, flags: 131, inv: 132, target: 140, counters: 152, size: 168,
		leaves: flagGoto6, hooks: ipHooks},
	rules.ARP: {target: 164, counters: 176, size: 192, hooks: []rules.Hook{rules.Input, rules.Output, rules.Forward}},
}

var ipHooks = []rules.Hook{rules.Prerouting, rules.Input, rules.Forward, rules.Output, rules.Postrouting}

// InfoSize is the size of struct ipt_getinfo, ip6t_getinfo or arpt_getinfo.
func InfoSize(f rules.Family) int { return 44 + 8*len(layouts[f].hooks) }

const (
	deviceSize = 16 // IFNAMSIZ
	headSize   = 32 // of struct xt_entry_match and xt_entry_target
	nameSize   = 29 // XT_EXTENSION_MAXNAMELEN
)
