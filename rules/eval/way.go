package eval

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// Way is the way of a packet through the host.
type Way string

// The ways: to this host, through it, from it to elsewhere, and from it to
// itself. Routing may turn one into another, as after a destination was changed.
const (
	In      Way = "in"
	Forward Way = "forward"
	Out     Way = "out"
	Through Way = "local"
)

// Priorities of what the kernel itself has at the hooks (NF_IP_PRI_* of
// linux/netfilter_ipv4.h; the same numbers for IPv6).
const (
	priorityDefrag    = -400
	priorityConntrack = -200
	priorityDNAT      = -100
	prioritySNAT      = 100
)

// place is where base chains stand.
type place struct {
	hook   rules.Hook
	family rules.Family
}

// entry is a base chain with its table, at the priority at which it runs.
type entry struct {
	table    *rules.Table
	chain    *rules.Chain
	priority int32
}

// at lists the base chains that a packet of a family meets at a hook.
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
				list = append(list, entry{t, c, standing(c)})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(late(a.chain), late(b.chain)), cmp.Compare(a.chain.Priority, b.chain.Priority))
	})
	m.hooks[key] = list
	return list
}

// meets reports whether a table's chains at a hook see packets of a family.
func meets(table, packet rules.Family, hook rules.Hook) bool {
	switch hook {
	case rules.Ingress, rules.Egress:
		return table == rules.Netdev || table == rules.Inet
	}
	return table == packet || table == rules.Inet && (packet == rules.IP || packet == rules.IP6)
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

// travel takes the packet along its way.
func (w *walk) travel() {
	if w.packet.Family == rules.ARP {
		switch w.way {
		case In:
			w.arrived = true
			_ = w.pass(rules.Ingress) && w.pass(rules.Input)
		default:
			_ = w.pass(rules.Output) && w.pass(rules.Egress)
		}
		return
	}
	switch w.way {
	case In, Forward:
		w.arrive()
	default:
		w.leave()
	}
}

// leave is the way of a packet that this host sends.
func (w *walk) leave() {
	if !w.pass(rules.Output) {
		return
	}
	if !w.pass(rules.Postrouting) || !w.fits() || !w.pass(rules.Egress) {
		return
	}
	if w.way == Through {
		p := &w.packet
		p.In, p.InIndex = p.Out, p.OutIndex
		p.Out, p.OutIndex = "", 0
		w.arrive()
	}
}

// arrive is the way of a packet that comes from a device, loopback included.
func (w *walk) arrive() {
	w.arrived = true
	local := w.way == Through
	if local {
		w.packet.Link = loopbackHeader(w.packet.Family)
	}
	out, index := w.packet.Out, w.packet.OutIndex
	if !local {
		w.packet.Out, w.packet.OutIndex = "", 0
	}
	before := w.packet.Address(true)
	if !w.pass(rules.Ingress) || !w.pass(rules.Prerouting) {
		return
	}
	if !local && !w.direct(before, out, index) {
		return
	}
	if w.way != Forward {
		// ip_local_deliver puts fragments together before the hook, ip6_input behind it.
		if w.packet.Family == rules.IP6 || w.gather() {
			w.pass(rules.Input)
		}
		return
	}
	_ = w.pass(rules.Forward) && w.pass(rules.Postrouting) && w.fits() && w.pass(rules.Egress)
}

// leastMTU is what a device that carries IPv6 has at least.
const leastMTU = 1280

// fits gives up on a packet that may be cut up for its device where rules will
// meet the pieces (ip_finish_output in net/ipv4/ip_output.c).
func (w *walk) fits() bool {
	if w.way != Through && len(w.m.at(rules.Egress, w.packet.Family)) == 0 {
		return true
	}
	mtu := uint32(leastMTU)
	if ask := w.m.host.Device; ask != nil {
		if d, ok := ask(w.packet.Out); ok && d.MTU != 0 {
			mtu = d.MTU
		}
	}
	if uint64(len(w.packet.Data)) <= uint64(mtu) {
		return true
	}
	w.table, w.chain, w.rule = nil, nil, nil
	return w.giveUp("fragment", "the packet may be cut up for its device, and what rules do with the pieces is not modelled")
}

// direct is the routing decision for a packet that has arrived; false ends the
// walk. A way that was asked for holds unless its destination was changed.
func (w *walk) direct(before netip.Addr, out string, index uint32) bool {
	p := &w.packet
	now := p.Address(true)
	if w.flow.diverted { // TPROXY has found its socket
		w.way = In
		return true
	}
	if route, ok := w.route(p.In, ""); ok {
		switch route.Type {
		case Local, Broadcast:
			w.way = In
		case Unicast:
			w.way = Forward
			p.Out = route.Out
			p.OutIndex = w.deviceIndex(route.Out)
		case Multicast:
			// By the way that was asked for.
		default:
			w.table, w.chain, w.rule = nil, nil, nil
			w.verdict, w.decided = Drop, nil
			return false
		}
		if route.Type != Multicast {
			return true
		}
	} else if now != before || !now.IsValid() {
		if now.IsValid() && w.flow.redirected {
			w.way = In
			return true
		}
		return w.giveUp("route", "where the changed destination leads is not known")
	}
	if w.way == Forward {
		p.Out, p.OutIndex = out, index
	}
	return true
}

// reroute is the routing decision for a packet of this host whose header or
// mark was changed at OUTPUT (ip_route_me_harder in net/ipv4/netfilter.c).
func (w *walk) reroute(why string) {
	p := &w.packet
	if a := p.Address(true); a.IsLoopback() {
		p.Out, p.OutIndex = "lo", w.deviceIndex("lo")
		w.way = Through
		return
	}
	route, ok := w.route("", "")
	if !ok {
		w.outUnknown = &blame{"route", why}
		return
	}
	switch route.Type {
	case Local, Broadcast, Unicast, Multicast:
		p.Out, p.OutIndex = route.Out, w.deviceIndex(route.Out)
		if w.way = Out; route.Type == Local {
			w.way = Through
		}
	}
}

// route asks the host for a route for the packet as it is now.
func (w *walk) route(in, out string) (Route, bool) {
	ask := w.m.host.Route
	p := &w.packet
	src, dst := p.Address(false), p.Address(true)
	if ask == nil || !dst.IsValid() || !src.IsValid() || w.markUnknown != nil {
		return Route{}, false
	}
	q := Query{Src: src, Dst: dst, In: in, Out: out, Mark: p.Mark, UID: p.UID, HasUID: p.HasOwner}
	q.Protocol, _ = p.Protocol()
	q.Sport, _ = p.Port(false)
	q.Dport, _ = p.Port(true)
	if p.Family == rules.IP {
		q.TOS = p.Data[1]
	} else {
		q.TOS = p.Data[0]<<4 | p.Data[1]>>4
	}
	return ask(q)
}

func (w *walk) deviceIndex(name string) uint32 {
	if ask := w.m.host.Device; ask != nil {
		if d, ok := ask(name); ok {
			return d.Index
		}
	}
	if name == "lo" {
		return 1
	}
	return 0
}

// loopbackHeader is the link header that loopback makes (eth_header, with zeros
// for a device without ARP).
func loopbackHeader(f rules.Family) []byte {
	h := make([]byte, 14)
	h[12], h[13] = byte(etherIP>>8), byte(etherIP&0xff)
	if f == rules.IP6 {
		h[12], h[13] = byte(etherIP6>>8), byte(etherIP6&0xff)
	}
	return h
}

// pass takes the packet through a hook: its base chains by priority, conntrack
// and NAT between them. It reports whether the packet goes on.
func (w *walk) pass(hook rules.Hook) bool {
	w.hook = hook
	list := w.m.at(hook, w.packet.Family)
	duties := w.m.duties[w.packet.Family]
	enters := hook == rules.Prerouting || hook == rules.Output
	gathers, tracks := enters && duties.gathers, enters && duties.tracks
	maps := duties.maps && hook != rules.Forward && hook != rules.Ingress && hook != rules.Egress
	at := natPriority(hook)
	before := w.key()
	for i := 0; i < len(list) || gathers || tracks || maps; {
		end := i == len(list)
		if gathers && (end || list[i].priority >= priorityDefrag) {
			gathers = false
			if !w.gather() {
				return false
			}
			continue
		}
		if tracks && (end || list[i].priority >= priorityConntrack) {
			tracks = false
			if !w.track() {
				return false
			}
			continue
		}
		if maps && (end || list[i].priority >= at) {
			maps = false
			n := i
			for n < len(list) && list[n].chain.Type == "nat" && list[n].priority == at {
				n++
			}
			if !w.nat(list[i:n]) {
				return false
			}
			i = n
			before = w.key()
			continue
		}
		if end {
			break
		}
		e := list[i]
		i++
		if e.chain.Type == "nat" && !duties.maps || !w.onDevice(e.chain) {
			continue
		}
		if !w.base(e) {
			return false
		}
		// Chains of type route, and the mangle table of iptables-legacy, have the
		// packet routed anew if they have changed what routing looks at.
		if hook == rules.Output && (e.chain.Type == "route" || e.table.Backend == rules.IptablesLegacy && e.table.Name == "mangle") {
			if after := w.key(); after != before {
				before = after
				w.reroute("it is routed anew after OUTPUT has changed it")
			}
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
func (w *walk) onDevice(c *rules.Chain) bool {
	if w.hook != rules.Ingress && w.hook != rules.Egress {
		return true
	}
	name, unknown := w.packet.In, w.inBlame()
	if w.hook == rules.Egress {
		name, unknown = w.packet.Out, w.outBlame()
	}
	if unknown != nil {
		return w.choose(2, *unknown) == 1
	}
	return slices.Contains(c.Devices, name)
}

// routed is what routing looks at of a packet.
type routed struct {
	src, dst netip.Addr
	mark     uint32
	tos      byte
	unknown  bool
}

func (w *walk) key() routed {
	p := &w.packet
	k := routed{src: p.Address(false), dst: p.Address(true), mark: p.Mark, unknown: w.markUnknown != nil}
	if len(p.Data) > 1 {
		k.tos = p.Data[1]
	}
	return k
}
