//go:build linux

package linux

import (
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// routeMessage is a route before its links have names.
type routeMessage struct {
	host.Route
	hops   []int // links of Route.Multipath, in its order
	cloned bool  // not a route, but what was learned of a path
	realm  uint32
}

// named fills in the names of the route's links.
func (m routeMessage) named(name func(index int) string) host.Route {
	m.Device = name(m.Link)
	for i, index := range m.hops {
		m.Multipath[i].Device = name(index)
	}
	return m.Route
}

// parseRoute reads an RTM_NEWROUTE message; rtnetlink(7), linux/rtnetlink.h.
func parseRoute(b []byte) (routeMessage, error) {
	var r reader
	head, rest := r.header("rtmsg", b, unix.SizeofRtMsg)
	flags := r.u32("rtm_flags", head[8:])
	m := routeMessage{cloned: flags&unix.RTM_F_CLONED != 0}
	m.TOS, m.Table, m.Protocol = head[3], int(head[4]), routeProtocol(head[5])
	m.Scope, m.Type = scopeName(head[6]), routeType(head[7])
	m.LinkDown = flags&(unix.RTNH_F_LINKDOWN|unix.RTNH_F_DEAD) != 0
	m.Dead = flags&unix.RTNH_F_DEAD != 0
	m.OnLink = flags&unix.RTNH_F_ONLINK != 0
	destination := netip.IPv4Unspecified()
	if head[0] == unix.AF_INET6 {
		destination = netip.IPv6Unspecified()
	}
	for kind, v := range r.attributes(rest) {
		switch kind {
		case unix.RTA_DST:
			destination = r.address("RTA_DST", v)
		case unix.RTA_TABLE:
			m.Table = int(r.u32("RTA_TABLE", v))
		case unix.RTA_OIF:
			m.Link = int(r.u32("RTA_OIF", v))
		case unix.RTA_GATEWAY:
			m.Gateway = r.address("RTA_GATEWAY", v)
		case unix.RTA_VIA:
			m.Gateway = r.via(v)
		case unix.RTA_PREFSRC:
			m.Source = r.address("RTA_PREFSRC", v)
		case unix.RTA_PRIORITY:
			m.Metric = int(r.u32("RTA_PRIORITY", v))
		case unix.RTA_FLOW:
			m.realm = r.u32("RTA_FLOW", v)
		case unix.RTA_METRICS:
			for kind, v := range r.attributes(v) {
				if kind == unix.RTAX_MTU {
					m.MTU = int(r.u32("RTAX_MTU", v))
				}
			}
		case unix.RTA_MULTIPATH:
			m.multipath(&r, v)
		}
	}
	m.Destination = r.prefix("RTA_DST", destination, int(head[1]))
	return m, r.err
}

// multipath reads RTA_MULTIPATH: each way is a struct rtnexthop and its
// attributes. The route's links are down if all are.
func (m *routeMessage) multipath(r *reader, b []byte) {
	down := len(b) > 0
	for len(b) > 0 && r.err == nil {
		if len(b) < unix.SizeofRtNexthop {
			r.fail("rtnexthop", b, unix.SizeofRtNexthop)
			return
		}
		length := int(r.u16("rtnh_len", b))
		if length < unix.SizeofRtNexthop || length > len(b) {
			r.fail("rtnexthop", b, length)
			return
		}
		down = down && b[2]&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0
		hop := host.NextHop{Weight: int(b[3]) + 1, Dead: b[2]&unix.RTNH_F_DEAD != 0}
		for kind, v := range r.attributes(b[unix.SizeofRtNexthop:length]) {
			switch kind {
			case unix.RTA_GATEWAY:
				hop.Gateway = r.address("RTA_GATEWAY", v)
			case unix.RTA_VIA:
				hop.Gateway = r.via(v)
			}
		}
		m.Multipath = append(m.Multipath, hop)
		m.hops = append(m.hops, int(r.u32("rtnh_ifindex", b[4:])))
		b = b[min(align4(length), len(b)):]
	}
	m.LinkDown = down
}

// via is a struct rtvia: a gateway of another family.
func (r *reader) via(v []byte) netip.Addr {
	if len(v) < 2 {
		r.fail("RTA_VIA", v, 6)
		return netip.Addr{}
	}
	return r.address("RTA_VIA", v[2:])
}

// routeType names a route's type as ip-route(8) does.
func routeType(n uint8) string {
	names := [...]string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast",
		"blackhole", "unreachable", "prohibit", "throw", "nat", "xresolve"}
	if int(n) < len(names) {
		return names[n]
	}
	return strconv.Itoa(int(n))
}

// routeProtocol names what made a route, as iproute2's rt_protos does.
func routeProtocol(n uint8) string {
	switch n {
	case unix.RTPROT_UNSPEC:
		return "unspec"
	case unix.RTPROT_REDIRECT:
		return "redirect"
	case unix.RTPROT_KERNEL:
		return "kernel"
	case unix.RTPROT_BOOT:
		return "boot"
	case unix.RTPROT_STATIC:
		return "static"
	case unix.RTPROT_RA:
		return "ra"
	case unix.RTPROT_ZEBRA:
		return "zebra"
	case unix.RTPROT_BIRD:
		return "bird"
	case unix.RTPROT_DHCP:
		return "dhcp"
	case unix.RTPROT_KEEPALIVED:
		return "keepalived"
	case unix.RTPROT_BABEL:
		return "babel"
	case unix.RTPROT_BGP:
		return "bgp"
	case unix.RTPROT_ISIS:
		return "isis"
	case unix.RTPROT_OSPF:
		return "ospf"
	case unix.RTPROT_RIP:
		return "rip"
	case unix.RTPROT_EIGRP:
		return "eigrp"
	}
	return fmt.Sprint(n)
}
