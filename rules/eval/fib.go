package eval

import (
	"net/netip"

	"github.com/portwhy/portwhy/rules"
)

// Flags and results of fib (NFTA_FIB_F_*, NFT_FIB_RESULT_*).
const (
	fibSource      = 1
	fibDestination = 2
	fibMark        = 4
	fibIif         = 8
	fibOif         = 16
	fibPresent     = 32

	fibResultOif     = 1
	fibResultOifName = 2
	fibResultType    = 3
)

// fib is nft_fib4_eval and nft_fib6_eval, and their _type (net/ipv4/netfilter/
// nft_fib_ipv4.c, net/ipv6/netfilter/nft_fib_ipv6.c).
func (w *walk) fib(e *rules.Fib) rules.VerdictKind {
	p := &w.packet
	n := 4
	if e.Result == fibResultOifName && e.Flags&fibPresent == 0 {
		n = nameLen
	}
	unknown := func(why string) rules.VerdictKind { return w.hide(e.Dest, n, blame{"fib", why}) }
	device := ""
	switch {
	case e.Flags&fibIif != 0:
		if device = p.In; w.inBlame() != nil {
			return unknown("the device it came by is not known")
		}
	case e.Flags&fibOif != 0:
		if device = p.Out; w.outBlame() != nil {
			return unknown("the device it leaves by is not known")
		}
	}
	asked := p.Address(e.Flags&fibDestination != 0)
	other := p.Address(e.Flags&fibDestination == 0)
	if !asked.IsValid() || !other.IsValid() {
		return unknown("the packet's address is not known")
	}
	if e.Result == fibResultType {
		ask := w.m.host.AddressType
		if ask == nil {
			return unknown("the host's addresses are not known")
		}
		kind, ok := ask(asked, device, device != "")
		if !ok {
			return unknown("the host's addresses are not known")
		}
		return w.load32(e.Dest, uint32(kind))
	}
	if p.In == "lo" && (w.hook == rules.Prerouting || w.hook == rules.Input || w.hook == rules.Ingress) {
		return w.fibDevice(e, p.In)
	}
	if other.Is4() && e.Flags&fibSource != 0 && asked.As4()[0] == 0 && (other.IsLinkLocalMulticast() || other == broadcastAll) {
		return w.fibDevice(e, p.In)
	}
	q := Query{Dst: asked, Src: other, In: "lo"}
	if other.Is4() && (other.IsMulticast() || other == broadcastAll || other.As4()[0] == 0) {
		q.Src = netip.Addr{}
	}
	if e.Flags&fibMark != 0 {
		if w.markUnknown != nil {
			return unknown("the mark is not known")
		}
		q.Mark = p.Mark
	}
	ask := w.m.host.Route
	if ask == nil {
		return unknown("the host's routes are not known")
	}
	if asked.Is6() {
		// The IPv6 lookup is one for the device, if the packet's is asked for.
		q.In = ""
		q.Out = device
	}
	route, ok := ask(q)
	switch {
	case !ok:
		return unknown("the host's routes are not known")
	case !leads(route.Type, asked.Is4()), device != "" && route.Out != device:
		return w.fibDevice(e, "")
	}
	return w.fibDevice(e, route.Out)
}

// leads reports whether a route of a type has a device to tell: IPv4 leaves out
// addresses of this host only, IPv6 anycast ones too.
func leads(kind uint8, v4 bool) bool {
	return kind == Unicast || kind == Multicast || v4 && (kind == Broadcast || kind == Anycast)
}

var broadcastAll = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// fibDevice is nft_fib_store_result.
func (w *walk) fibDevice(e *rules.Fib, device string) rules.VerdictKind {
	if e.Flags&fibPresent != 0 {
		if device != "" {
			return w.load32(e.Dest, 1)
		}
		return w.load32(e.Dest, 0)
	}
	if e.Result == fibResultOifName {
		return w.loadName(e.Dest, device)
	}
	index, why := w.indexOf(device, 0)
	if why != "" {
		return w.hide(e.Dest, 4, blame{"fib", why})
	}
	return w.load32(e.Dest, index)
}

// rt is nft_rt_get_eval of net/netfilter/nft_rt.c: of the route that the packet
// has; one that has just arrived has none yet.
func (w *walk) rt(e *rules.RT) rules.VerdictKind {
	const classID, nexthop4, nexthop6, mss, ipsec = 0, 1, 2, 3, 4
	if w.routeless() {
		return rules.Break
	}
	p := &w.packet
	switch e.Key {
	case classID:
		return w.realm(e.Dest, "rt classid")
	case nexthop4, nexthop6:
		if (e.Key == nexthop4) != (p.Family == rules.IP) {
			return rules.Break
		}
		if route, ok := w.routeNow(); ok {
			next := route.Gateway
			if !next.IsValid() {
				next = p.Address(true)
			}
			return w.load(e.Dest, next.AsSlice())
		}
		n := 4
		if e.Key == nexthop6 {
			n = 16
		}
		return w.hide(e.Dest, n, blame{"rt nexthop", "the packet's route is not known"})
	case mss:
		return w.hide(e.Dest, 2, blame{"rt mtu", "the largest segment that the route carries is not known"})
	case ipsec:
		return w.hide(e.Dest, 1, blame{"rt ipsec", "which packets are encrypted is not read"})
	}
	return w.either(blame{"rt", "this key is not known"})
}

// realm loads the realm of the packet's route (tclassid).
func (w *walk) realm(r rules.Reg, name string) rules.VerdictKind {
	if route, ok := w.routeNow(); ok && route.HasRealm {
		return w.load32(r, route.Realm)
	}
	return w.hide(r, 4, blame{name, "the realm of the packet's route is not known"})
}

// routeNow is the route that the packet has. What rules have changed since it was
// found has no effect on it.
func (w *walk) routeNow() (Route, bool) {
	p := &w.packet
	if w.way == "" || w.outBlame() != nil || w.key() != w.by {
		return Route{}, false
	}
	route, ok := Route{}, false
	if w.arrived && w.way != Through {
		route, ok = w.route(p.In, "")
	} else if out := p.Out; !w.arrived {
		if w.turned != nil {
			out = w.turned.out
		}
		if w.turned == nil || w.turned.blame == nil {
			route, ok = w.route("", out)
		}
	}
	return route, ok && p.Address(true).IsValid()
}

// socket is nft_socket_eval of net/netfilter/nft_socket.c.
func (w *walk) socket(e *rules.Socket) rules.VerdictKind {
	const transparent, mark, wildcard, cgroup = 0, 1, 2, 3
	s, why := w.findSocket()
	switch {
	case why != "":
		return w.maybe(e.Dest, 8, blame{"socket", why})
	case s == nil:
		return rules.Break
	}
	flag := func(yes bool) rules.VerdictKind {
		if yes {
			return w.load8(e.Dest, 1)
		}
		return w.load8(e.Dest, 0)
	}
	switch e.Key {
	case transparent:
		return flag(s.Transparent)
	case mark:
		return w.load32(e.Dest, s.Mark)
	case wildcard:
		return flag(s.Wildcard)
	}
	return w.maybe(e.Dest, 8, blame{"socket", "the number of the socket's control group is not known"})
}

// findSocket is the socket of the packet, nil if there is none, or why that is not
// known. An answer of a flow whose source was mapped is looked for by what was mapped
// (nf_sk_lookup_slow_v4 of net/ipv4/netfilter/nf_socket_ipv4.c).
func (w *walk) findSocket() (s *Socket, why string) {
	const unknown = "the host's sockets are not known"
	ask, p, f := w.m.host.Socket, &w.packet, &w.flow
	if ask == nil {
		return nil, unknown
	}
	offset, protocol, _, header := p.transport()
	ports := protocol == protocolTCP || protocol == protocolUDP
	if p.Family == rules.IP && ports && w.arrived && f.tracked && f.state == Established && w.m.duties[rules.IP].maps {
		switch {
		case w.given.First == nil:
			return nil, flowUnknown
		case f.answers && f.source.nat && header && len(p.Data) >= offset+4:
			answer := p.copy()
			copy(answer.Data[16:], f.original.src)
			copy(answer.Data[offset+2:], f.original.sport)
			p = &answer
		}
	}
	s, ok := ask(p)
	if !ok {
		return nil, unknown
	}
	return s, ""
}
