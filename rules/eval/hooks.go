package eval

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// place is where base chains stand: at a hook of a protocol family. Those of
// devices, ingress and egress, are of family netdev.
type place struct {
	hook   rules.Hook
	family rules.Family
}

// entry is a base chain with its table, at the priority at which it runs.
type entry struct {
	table    *rules.Table
	chain    *rules.Chain
	priority int32
	early    bool // it runs before what the kernel itself has at its priority
	floats   bool // it is idle, and which of its priority run before it isn't known
}

// before reports whether it runs before what the kernel itself has at a priority.
func (e entry) before(priority int32) bool {
	return e.priority < priority || e.priority == priority && e.early
}

// at lists the base chains of a place. Of several with the same priority the one
// that was registered last runs first (nf_hook_entries_grow in
// net/netfilter/core.c); the ruleset has them in the order of registration, as
// far as the kernel tells it.
func (m *Machine) at(hook rules.Hook, family rules.Family) []entry {
	key := place{hook, family}
	if list, ok := m.hooks[key]; ok {
		return list
	}
	var list []entry
	for _, t := range m.set.Tables {
		if t.Dormant() || !meets(t.Family, family, hook) {
			continue
		}
		for _, c := range t.Chains {
			if c.Hook == hook {
				list = append(list, entry{table: t, chain: c, priority: standing(c)})
			}
		}
	}
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(late(a.chain), late(b.chain)), compareNAT(a.chain, b.chain), cmp.Compare(legacy(a), legacy(b)))
	})
	float(list, hook)
	m.hooks[key] = list
	return list
}

// meets reports whether a table's chains at a hook are called by a family.
func meets(table, family rules.Family, hook rules.Hook) bool {
	if family == rules.Netdev {
		return table == rules.Netdev || table == rules.Inet && hook == rules.Ingress
	}
	return table == family || table == rules.Inet && (family == rules.IP || family == rules.IP6)
}

// standing is the priority at which a chain runs. Those of type nat run where
// NAT stands, whatever their own priority is: that orders them among themselves
// (nf_nat_register_fn in net/netfilter/nf_nat_core.c).
func standing(c *rules.Chain) int32 {
	switch {
	case c.Type != "nat":
		return c.Priority
	case c.Hook == rules.Prerouting || c.Hook == rules.Output:
		return priorityDNAT
	}
	return prioritySNAT
}

// late puts NAT's chains before others at NAT's own priority.
func late(c *rules.Chain) int {
	if c.Type == "nat" {
		return 0
	}
	return 1
}

// window is a range of priorities.
type window struct{ from, to int32 }

var allPriorities = window{math.MinInt32, math.MaxInt32}

func (v window) has(priority int32) bool { return v.from <= priority && priority <= v.to }

// HookOf runs a packet through the base chains of one hook of a family, as
// [Machine.Hook] does for the packet's own: of a bridge, the packet's In and Out
// are then ports.
func (m *Machine) HookOf(family rules.Family, hook rules.Hook, p *Packet) Result {
	return m.explore(p, func(w *walk) { w.alone(family, hook) })
}

// alone takes the packet through one hook that is no part of a way.
func (w *walk) alone(family rules.Family, hook rules.Hook) bool {
	if hook != rules.Output || family == rules.Bridge {
		w.frame = w.arrivedFrame()
	}
	p := &w.packet
	w.stands = p.In
	if hook == rules.Postrouting || hook == rules.Egress || family == rules.Bridge && p.Out != "" {
		w.stands = p.Out
	}
	return w.passAs(family, hook, allPriorities)
}

// pass takes the packet through a hook of its own family, or of its device.
func (w *walk) pass(hook rules.Hook) bool {
	family := w.packet.Family
	if hook == rules.Ingress || hook == rules.Egress {
		family = rules.Netdev
	}
	if w.way == "" {
		return w.alone(family, hook)
	}
	return w.passAs(family, hook, allPriorities)
}

// passAs takes the packet through a hook of a family: its base chains by
// priority, conntrack and NAT between them. It reports whether the packet goes on.
func (w *walk) passAs(family rules.Family, hook rules.Hook, within window) bool {
	w.hook, w.family = hook, family
	duties := w.m.duties[family]
	enters := hook == rules.Prerouting || hook == rules.Output && family != rules.Bridge
	gathers := enters && duties.gathers && family != rules.Bridge && within.has(priorityDefrag)
	tracks := enters && duties.tracks && within.has(priorityConntrack)
	maps := duties.maps && hook != rules.Forward && family != rules.Bridge
	at := natPriority(hook)
	list := w.order(family, hook, tracks, maps)
	defer w.take()
	for i := 0; i < len(list) || gathers || tracks || maps; {
		end := i == len(list)
		if gathers && (end || list[i].priority >= priorityDefrag) {
			gathers = false
			if !w.gather() {
				return false
			}
			continue
		}
		if tracks && (end || !list[i].before(priorityConntrack)) {
			tracks = false
			if family == rules.Bridge && !w.gather() {
				return false
			}
			if f := w.packet.Family; f != rules.IP && f != rules.IP6 {
				w.flow.state = Untracked // nf_ct_bridge_pre
			} else if !w.track() {
				return false
			}
			continue
		}
		if maps && (end || !list[i].before(at)) {
			maps = false
			n := i
			for n < len(list) && list[n].chain.Type == "nat" && list[n].priority == at {
				n++
			}
			if !w.nat(list[i:n]) {
				return false
			}
			i = n
			continue
		}
		if end {
			break
		}
		e := list[i]
		i++
		if e.chain.Type == "nat" && !duties.maps || !within.has(e.priority) || !w.onDevice(e) {
			continue
		}
		before := w.key()
		if !w.base(e) {
			return false
		}
		if w.brouted && hook == rules.Prerouting {
			return true // what follows isn't asked (nf_hook_bridge_pre)
		}
		// Chains of type route, and the mangle table of iptables-legacy, have the
		// packet routed anew if they have changed what routing looks at.
		routes := e.chain.Type == "route" || e.table.Backend == rules.IptablesLegacy && e.table.Name == "mangle"
		if hook == rules.Output && routes && w.key() != before && !w.reroute("it is routed anew after OUTPUT has changed it") {
			return false
		}
	}
	return true
}

func natPriority(hook rules.Hook) int32 {
	if hook == rules.Prerouting || hook == rules.Output {
		return priorityDNAT
	}
	return prioritySNAT
}

// onDevice reports whether a chain that is bound to devices sees the packet.
// One of family inet sees only what that family is of.
func (w *walk) onDevice(e entry) bool {
	if w.family != rules.Netdev {
		return true
	}
	name, unknown := w.packet.In, w.inBlame()
	if w.hook == rules.Egress {
		name, unknown = w.packet.Out, w.outBlame()
	}
	if unknown != nil {
		return w.choose(2, *unknown) == 1
	}
	f := w.packet.Family
	return boundTo(e.chain, name) && (e.table.Family == rules.Netdev || f == rules.IP || f == rules.IP6)
}

// boundTo reports whether a chain is bound to a device. A name that ends in a
// star stands for all that start so, of kernels that can do that.
func boundTo(c *rules.Chain, name string) bool {
	return slices.ContainsFunc(c.Devices, func(d string) bool {
		prefix, star := strings.CutSuffix(d, "*")
		return d == name || star && strings.HasPrefix(name, prefix)
	})
}

// routed is what a chain may change for the packet to be routed anew
// (nf_route_table_hook4 and _hook6 in net/netfilter/nft_chain_route.c).
type routed struct {
	src, dst netip.Addr
	mark     uint32
	flow     [4]byte // of IPv6: class and label
	other    byte    // type of service, or hop limit
	unknown  bool
}

func (w *walk) key() routed {
	p := &w.packet
	k := routed{src: p.Address(false), dst: p.Address(true), mark: p.Mark, unknown: w.markUnknown != nil}
	if p.Family == rules.IP6 && len(p.Data) >= 8 {
		k.flow, k.other = [4]byte(p.Data), p.Data[7]
	} else if len(p.Data) > 1 {
		k.other = p.Data[1]
	}
	return k
}
