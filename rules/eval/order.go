package eval

import (
	"cmp"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// order is what runs at a hook. Among those of one priority the kernel puts
// first what was registered last, which isn't known of nftables' chains and the
// tables of iptables-legacy, nor of a chain that stands just where conntrack or
// NAT does: where both have a say, all orders are followed.
func (w *walk) order(family rules.Family, hook rules.Hook, tracks, maps bool) []entry {
	list := w.m.at(hook, family)
	copied := false
	for i := range list {
		e := list[i]
		if idle(e) {
			continue
		}
		places := rivals(list, i) + 1
		why := "nftables has a chain of the same priority, and which of them runs first is not known"
		nat := maps && e.chain.Type != "nat" && e.priority == natPriority(hook)
		if nat || tracks && e.priority == priorityConntrack {
			places, why = 2, "what the kernel itself has stands at the same priority, and which of them runs first is not known"
		}
		if places == 1 {
			continue
		}
		w.table, w.chain, w.rule = e.table, e.chain, nil
		back := w.choose(places, blame{"priority", why})
		if back == 0 {
			continue
		}
		if !copied {
			list, copied = slices.Clone(list), true
		}
		if nat || tracks && e.priority == priorityConntrack {
			e.early = true
			back = i - slices.IndexFunc(list, func(o entry) bool { return !o.before(e.priority) })
		}
		copy(list[i-back+1:i+1], list[i-back:i])
		list[i-back] = e
	}
	return list
}

// rivals is how many chains of nftables that do anything stand before a table of
// iptables-legacy at its priority.
func rivals(list []entry, i int) int {
	n := 0
	for legacy(list[i]) == 1 && n < i && sameRank(list[i-n-1], list[i]) && !idle(list[i-n-1]) {
		n++
	}
	return n
}

// float puts the idle chains whose order isn't known before all others of their
// priority: those of nftables beside a table of iptables-legacy, such a table
// beside them, and those where NAT stands. They change nothing, so the other
// orders needn't be followed; but the kernel may come to what drops before.
func float(list []entry, hook rules.Hook) {
	maps := slices.ContainsFunc(list, func(e entry) bool { return e.chain.Type == "nat" })
	for i, e := range list {
		e.early = maps && e.chain.Type != "nat" && e.priority == natPriority(hook)
		mixed := slices.ContainsFunc(list, func(o entry) bool { return sameRank(o, e) && legacy(o) != legacy(e) })
		if !idle(e) || !mixed && !e.early {
			continue
		}
		e.floats = true
		first := slices.IndexFunc(list, func(o entry) bool { return sameRank(o, e) || e.early && o.priority == e.priority })
		copy(list[first+1:i+1], list[first:i])
		list[first] = e
	}
}

// compareNAT orders chains of type nat among themselves.
func compareNAT(a, b *rules.Chain) int { return cmp.Compare(a.Priority, b.Priority) }

// legacy puts the tables of iptables-legacy behind others at their priority.
func legacy(e entry) int {
	if e.table.Backend == rules.IptablesLegacy {
		return 1
	}
	return 0
}

func sameRank(a, b entry) bool {
	return a.priority == b.priority && late(a.chain) == late(b.chain) && compareNAT(a.chain, b.chain) == 0
}

// idle reports whether a base chain lets every packet pass.
func idle(e entry) bool { return len(e.chain.Rules) == 0 && e.chain.Policy != "drop" }
