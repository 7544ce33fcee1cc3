package xtables

import (
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// place is where a built-in chain stands.
type place struct {
	hook     rules.Hook
	priority int32
}

// builtin are the built-in chains of each table in the order in which the
// kernel keeps them, with the priorities of linux/netfilter_ipv4.h and
// netfilter_ipv6.h, which are the same (iptable_*.c, ip6table_*.c and
// iptable_nat.c in net/ipv4/netfilter and net/ipv6/netfilter). The raw table's
// -450 of the module's parameter raw_before_defrag can't be seen from a table.
var builtin = map[string][]place{
	"raw": {{rules.Prerouting, -300}, {rules.Output, -300}},
	"mangle": {{rules.Prerouting, -150}, {rules.Input, -150}, {rules.Forward, -150},
		{rules.Output, -150}, {rules.Postrouting, -150}},
	"nat":      {{rules.Prerouting, -100}, {rules.Input, 100}, {rules.Output, -100}, {rules.Postrouting, 100}},
	"filter":   {{rules.Input, 0}, {rules.Forward, 0}, {rules.Output, 0}},
	"security": {{rules.Input, 50}, {rules.Forward, 50}, {rules.Output, 50}},
}

// arpBuiltin is builtin for arptables (net/ipv4/netfilter/arptable_filter.c).
var arpBuiltin = map[string][]place{"filter": {{rules.Input, 0}, {rules.Output, 0}, {rules.Forward, 0}}}

// BuiltIn reports whether a table of ip or ip6 has a chain that stands at the hook
// and priority, and what it is called.
func BuiltIn(table string, hook rules.Hook, priority int32) (chain string, ok bool) {
	return strings.ToUpper(string(hook)), slices.Contains(builtin[table], place{hook, priority})
}

// Known reports whether a family has a table of this name. Others are not in
// Linux itself: where their chains stand is not known.
func Known(family rules.Family, name string) bool {
	if family == rules.ARP {
		return arpBuiltin[name] != nil
	}
	return builtin[name] != nil
}

// newTable makes a table as the kernel makes it: with its built-in chains,
// which accept; nil if there is no such table.
func newTable(backend rules.Backend, family rules.Family, name string) *rules.Table {
	if !Known(family, name) {
		return nil
	}
	places := builtin[name]
	if family == rules.ARP {
		places = arpBuiltin[name]
	}
	t := &rules.Table{Backend: backend, Family: family, Name: strings.Clone(name)}
	for _, p := range places {
		t.Chains = append(t.Chains, &rules.Chain{
			Name: strings.ToUpper(string(p.hook)), Hook: p.hook, Priority: p.priority,
			Type: chainType(name, p.hook), Policy: "accept",
		})
	}
	return t
}

// chainType is what nft calls such a chain: one of type route looks for the
// route again after a change, as iptable_mangle.c does with what is sent.
func chainType(table string, hook rules.Hook) string {
	switch {
	case table == "nat":
		return "nat"
	case table == "mangle" && hook == rules.Output:
		return "route"
	}
	return "filter"
}
