package eval

import (
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
	// Bridged is from a port of a bridge to another of its ports.
	Bridged Way = "bridged"
)

// Priorities of what the kernel itself has at the hooks (NF_IP_PRI_* of
// linux/netfilter_ipv4.h; the same numbers for IPv6).
const (
	priorityDefrag    = -400
	priorityConntrack = -200
	priorityDNAT      = -100
	prioritySNAT      = 100
)

// travel takes the packet along its way.
func (w *walk) travel() {
	w.attach()
	w.by = w.key()
	switch w.way {
	case Bridged:
		w.bridged()
	case In, Forward:
		w.arrive()
	default:
		w.leave()
	}
}

// attach takes a packet that is said to come or leave by a port as one of the
// bridge or bundle that the port belongs to.
func (w *walk) attach() {
	p := &w.packet
	master := func(name string) string {
		d, _ := w.facts(name)
		if m, ok := w.facts(d.Master); ok && (m.Kind == kindBridge || slices.Contains(bundles, m.Kind)) {
			return d.Master
		}
		return ""
	}
	if m := master(p.In); m != "" && p.InPort == "" {
		p.InPort, p.In, p.InIndex = p.In, m, w.deviceIndex(m)
	}
	if m := master(p.Out); m != "" && p.OutPort == "" {
		p.OutPort, p.Out, p.OutIndex = p.Out, m, w.deviceIndex(m)
	}
}

// leave is the way of a packet that this host sends.
func (w *walk) leave() {
	p := &w.packet
	out, port := p.Out, p.OutPort
	if p.Family == rules.ARP {
		w.between("", out, out)
		made := w.newFrame(out) // arp_create
		w.ahead = &made
		sent := w.pass(rules.Output)
		w.ahead = nil
		if sent {
			w.depart(out, port)
		}
		return
	}
	if w.looksTwice(out) {
		return
	}
	w.between("", out, "")
	if !w.pass(rules.Output) {
		return
	}
	w.stands = p.Out
	if !w.pass(rules.Postrouting) || !w.fits() || !w.depart(out, port) {
		return
	}
	if w.way == Through {
		w.arrive()
	}
}

// depart hands the packet to the device that it leaves by. A port that was given
// is that of the device that was, too.
func (w *walk) depart(out, port string) bool {
	p := &w.packet
	if p.OutPort = port; p.Out != out {
		p.OutPort = ""
	}
	if w.outUnknown != nil {
		if w.watched(rules.Egress, "lo") || w.bridges(rules.Output, rules.Postrouting) {
			return w.giveUpAt(w.outUnknown.expression, w.outUnknown.why)
		}
		return true
	}
	w.frame = w.newFrame(p.Out)
	return w.sink(p.Out, 0)
}

// looksTwice gives up on a VRF, which takes packets through hooks a second time
// with itself as the device (vrf_rcv_nfhook and vrf_ip_out in drivers/net/vrf.c).
func (w *walk) looksTwice(name string) bool {
	d, _ := w.facts(name)
	m, _ := w.facts(d.Master)
	if d.Kind == kindVRF || m.Kind == kindVRF {
		w.giveUpAt("vrf", "the hooks that a VRF runs a second time are not modelled")
		return true
	}
	return false
}

// arrive is the way of a packet that comes from a device, loopback included.
func (w *walk) arrive() {
	p := &w.packet
	w.arrived = true
	out, index := p.Out, p.OutIndex
	in := p.In
	if w.way == Through {
		in = out
		p.In, p.InIndex = out, index
		p.Link = loopbackHeader(p.Family)
	}
	w.frame, w.inUntold = w.arrivedFrame(), in == ""
	before := p.Address(true)
	if w.way != Through && w.looksTwice(in) || !w.rise(in, 0) {
		return
	}
	switch {
	case w.ruined && p.Family == rules.IP:
		w.lose() // ip_rcv_core looks at the checksum
	case p.Family == rules.ARP:
		w.pass(rules.Input)
	case p.Family == rules.IP, p.Family == rules.IP6:
		w.receive(before, out, index)
	}
}

// receive is the way of a packet that has come up from its device (ip_rcv,
// ipv6_rcv). What br_netfilter has taken through prerouting already doesn't meet
// it a second time (ip_sabotage_in).
func (w *walk) receive(before netip.Addr, out string, index uint32) {
	p := &w.packet
	p.trim()
	if w.takenOver {
		w.verdict, w.decided = Accept, nil
		if w.direct(before, out, index) {
			w.depart(p.Out, p.OutPort)
		}
		return
	}
	if !w.prerouted && !w.pass(rules.Prerouting) {
		return
	}
	if (w.way != Through || w.flow.unrouted) && !w.direct(before, out, index) {
		return
	}
	w.by = w.key()
	if w.way != Forward {
		// ip_local_deliver puts fragments together before the hook, ip6_input behind it.
		if p.Family == rules.IP6 || w.gather() {
			w.pass(rules.Input)
		}
		return
	}
	port := p.OutPort
	if p.Out != out {
		port = ""
	}
	if !w.hop() {
		return
	}
	if w.by = w.key(); !w.pass(rules.Forward) {
		return
	}
	w.stands = p.Out
	if w.pass(rules.Postrouting) && w.fits() {
		w.depart(p.Out, port)
	}
}

// hop is what forwarding does to a packet before the forward hook; false if it
// ends here (ip_forward in net/ipv4/ip_forward.c, ip6_forward in
// net/ipv6/ip6_output.c).
func (w *walk) hop() bool {
	if kind, b := w.packetType(); b == nil && kind != packetHost {
		return w.lose()
	}
	p, at := &w.packet, 8
	if p.Family == rules.IP6 {
		at = 7
		if src := p.Address(false); p.In != p.Out && src.IsValid() && (src.IsUnspecified() || src.IsMulticast() || src.IsLoopback() || src.IsLinkLocalUnicast()) {
			return w.lose()
		}
	} else if len(p.Data) >= 20 && w.sysctl("net/ipv4/ip_forward_update_priority") != "0" {
		p.Priority, w.priorityUnknown = [16]uint32{4: 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4}[p.Data[1]>>1&15], nil // ip_tos2prio
	}
	if at >= len(p.Data) || p.blind(at, at+1) != nil {
		return true
	}
	left := p.Data[at]
	if left <= 1 {
		return w.lose()
	}
	p.rewrite(at, []byte{left - 1})
	return true
}

// lose ends the walk of a packet that the host drops by no rule.
func (w *walk) lose() bool {
	w.table, w.chain, w.rule = nil, nil, nil
	w.verdict, w.decided = Drop, nil
	return false
}

// sysctl is a setting, empty if it isn't known.
func (w *walk) sysctl(key string) string {
	if ask := w.m.host.Sysctl; ask != nil {
		if v, ok := ask(key); ok {
			return v
		}
	}
	return ""
}

// leastMTU is what a device that carries IPv6 has at least.
const leastMTU = 1280

// fits gives up on a packet that may be cut up for its device where rules will
// meet the pieces (ip_finish_output in net/ipv4/ip_output.c).
func (w *walk) fits() bool {
	if w.way != Through && !w.watched(rules.Egress) {
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
	if ask := w.m.host.AddressType; w.flow.unrouted && ask != nil && p.Family == rules.IP {
		// No packet of this host's own may come in again without its route
		// (fib_validate_source in net/ipv4/fib_frontend.c).
		if kind, ok := ask(p.Address(false), "", false); ok && kind == Local {
			return w.lose()
		}
	}
	if now == before && now.IsMulticast() && p.Family == rules.IP6 {
		return true // by the way that was asked for: the kernel tells no route for it
	}
	if now.IsMulticast() && p.Family == rules.IP && w.martianToMany() {
		return w.lose()
	}
	if route, ok := w.route(p.In, ""); ok {
		switch route.Type {
		case Local, Broadcast:
			if w.way != Through {
				w.way = In
			}
		case Unicast:
			w.way = Forward
			p.Out = route.Out
			p.OutIndex = w.deviceIndex(route.Out)
		case Multicast:
			// By the way that was asked for.
		default:
			return w.lose()
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

// martianToMany reports whether nobody may send from the packet's source to many
// (ip_mc_validate_source in net/ipv4/route.c).
func (w *walk) martianToMany() bool {
	src, igmp := w.packet.Address(false), uint8(2)
	protocol, _ := w.packet.Protocol()
	switch {
	case !src.Is4():
		return false
	case src.IsMulticast(), src == broadcastAll:
		return true
	case src.IsLoopback():
		for _, of := range []string{"all", w.packet.In} {
			if w.sysctl("net/ipv4/conf/"+of+"/route_localnet") == "1" {
				return false
			}
		}
		return true
	case src.As4()[0] == 0:
		return !w.packet.Address(true).IsLinkLocalMulticast() && protocol != igmp
	}
	return false
}

// turn is where a new routing decision at OUTPUT leads. The chains that the
// packet has still to meet there see the device that it came with.
type turn struct {
	out   string
	index uint32
	way   Way
	blame *blame // why it isn't known
}

// reroute is the routing decision for a packet of this host whose header or
// mark was changed at OUTPUT (ip_route_me_harder in net/ipv4/netfilter.c,
// ip6_route_me_harder); without a route the packet is lost.
func (w *walk) reroute(why string) bool {
	w.rerouted, w.by = true, w.key()
	if a := w.packet.Address(true); a.IsLoopback() {
		w.turned = &turn{out: "lo", index: w.deviceIndex("lo"), way: Through}
		return true
	}
	route, ok := w.route("", "")
	if !ok {
		w.turned = w.someTurn(blame{"route", why})
		return true
	}
	switch route.Type {
	case Local:
		w.turned = &turn{out: route.Out, index: w.deviceIndex(route.Out), way: Through}
	case Broadcast, Unicast, Multicast:
		w.turned = &turn{out: route.Out, index: w.deviceIndex(route.Out), way: Out}
	default:
		return w.lose()
	}
	return true
}

// someTurn is a routing decision that isn't known. That a packet is for this host
// is known by its destination alone; if it isn't, both ways are followed.
func (w *walk) someTurn(b blame) *turn {
	now := turn{out: w.packet.Out, index: w.packet.OutIndex, way: w.way}
	if w.turned != nil {
		now = *w.turned
	}
	now.blame = &b
	to := w.packet.Address(true)
	if ask := w.m.host.AddressType; ask != nil && to.IsValid() {
		if kind, ok := ask(to, "", false); ok {
			if now.way = Out; kind == Local {
				return &turn{out: "lo", index: w.deviceIndex("lo"), way: Through}
			}
			return &now
		}
	}
	if now.way = Out; w.choose(2, b) == 1 {
		return &turn{out: "lo", index: w.deviceIndex("lo"), way: Through}
	}
	return &now
}

// take goes where a new routing decision leads.
func (w *walk) take() {
	if t := w.turned; t != nil {
		w.turned = nil
		w.packet.Out, w.packet.OutIndex, w.way, w.outUnknown = t.out, t.index, t.way, t.blame
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
