package eval

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// matchRealm is realm_mt of xt_realm.c: of the route that the packet has. IPv6
// has none.
func matchRealm(x *probe) answer {
	realm := uint32(0)
	if x.packet.Family == rules.IP {
		route, ok := x.routeNow()
		if !ok || !route.HasRealm {
			return unsure("the realm of the packet's route is not known")
		}
		realm = route.Realm
	}
	return holds(realm&x.arg32(4) == x.arg32(0)).unless(x.d[8] != 0)
}

// routeBack asks for the route to the packet's source.
func (x *probe) routeBack(q Query) (Route, bool) {
	q.Dst, q.Src = x.packet.Address(false), x.packet.Address(true)
	ask := x.m.host.Route
	if ask == nil || !q.Dst.IsValid() || !q.Src.IsValid() {
		return Route{}, false
	}
	if q.Src.IsMulticast() || q.Src == broadcastAll || q.Src.Is4() && q.Src.As4()[0] == 0 {
		q.Src = netip.Addr{}
	}
	return ask(q)
}

// matchRPFilter is rpfilter_mt of ipt_rpfilter.c and ip6t_rpfilter.c: whether an
// answer would leave by the device that the packet came by.
func matchRPFilter(x *probe) answer {
	const loose, validMark, acceptLocal, inverted = 1, 2, 4, 8
	p, flags := &x.packet, x.d[0]
	invert := flags&inverted != 0
	src, dst := p.Address(false), p.Address(true)
	if p.In == "lo" {
		return holds(!invert)
	}
	if b := x.inBlame(); b != nil {
		return unsure(b.why)
	}
	if !src.IsValid() || !dst.IsValid() {
		return unsure("the packet's address is not known")
	}
	switch {
	case src.Is6() && src.IsUnspecified(),
		src.Is4() && src.As4()[0] == 0 && (dst.IsLinkLocalMulticast() || dst == broadcastAll):
		return holds(!invert)
	}
	var q Query
	if flags&validMark != 0 {
		if x.markUnknown != nil {
			return unsure(x.markUnknown.why)
		}
		q.Mark = p.Mark
	}
	if src.Is4() {
		q.In, q.TOS = "lo", p.Data[1]
	} else if flags&loose == 0 || src.IsLinkLocalUnicast() {
		q.Out = p.In
	}
	route, ok := x.routeBack(q)
	if !ok {
		return unsure("the host's routes are not known")
	}
	a := isNot
	switch {
	case route.Type == Local && flags&acceptLocal != 0:
		a = isSo
		if src.Is4() && flags&loose == 0 {
			a = unsure("which device has the address is not known")
		}
	case route.Type == Unicast:
		a = holds(flags&loose != 0 || route.Out == p.In)
	}
	return a.unless(invert)
}

// matchSocket is socket_match of xt_socket.c. It may give the packet its
// socket's mark.
func matchSocket(x *probe) answer {
	const transparent, noWildcard, restoreMark = 1, 2, 4
	flags := byte(0)
	if x.rev > 0 {
		flags = x.d[0]
	}
	unknown := func(why string) answer {
		if flags&restoreMark != 0 {
			x.forgetMark(blame{"match socket", why})
		}
		return unsure(why)
	}
	if x.flow.diverted {
		return unknown("the socket that TPROXY has found is not known")
	}
	switch protocol, found := x.packet.Protocol(); {
	case !found:
		return isNot
	case protocol == protocolTCP, protocol == protocolUDP:
	case protocol == protocolICMP && x.packet.Family == rules.IP, protocol == protocolICMP6 && x.packet.Family == rules.IP6:
		return unknown("the socket that ICMP is about is not known")
	default:
		return isNot
	}
	s, why := x.findSocket()
	switch {
	case why != "":
		return unknown(why)
	case s == nil,
		flags&noWildcard == 0 && s.Wildcard,
		flags&transparent != 0 && !s.Transparent:
		return isNot
	}
	if flags&restoreMark != 0 {
		x.setMark(s.Mark, ^uint32(0))
	}
	return isSo
}

// matchCgroup is cgroup_mt_v0 to _v2 of xt_cgroup.c: by the sending socket's
// control group. What arrived has none, unless a connection's socket was found
// early.
func matchCgroup(x *probe) answer {
	if x.arrived {
		if protocol, _ := x.packet.Protocol(); x.hook != rules.Input || protocol == protocolTCP && x.flow.state == New {
			return isNot
		}
		return unsure("whether a connected socket takes the packet is not known")
	}
	const byPath = 1
	if x.rev == 0 || x.d[0] != byPath {
		return unsure("classes of control groups are not read")
	}
	ask := x.m.host.Socket
	if ask == nil {
		return unsure("the host's sockets are not known")
	}
	s, ok := ask(&x.packet)
	if !ok || s == nil || s.Cgroup == "" {
		return unsure("the control group of the sending socket is not known")
	}
	field := x.d[4:516]
	if x.rev == 1 {
		field = x.d[4:4100]
	}
	name, _, _ := bytes.Cut(field, []byte{0})
	path, want := "/"+strings.Trim(s.Cgroup, "/")+"/", "/"+strings.Trim(string(name), "/")+"/"
	if want == "//" {
		want = "/"
	}
	return holds(strings.HasPrefix(path, want)).unless(x.d[2] != 0)
}
