package listeners

import (
	"context"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// Reach is who could reach a listener by its address alone. What a firewall
// lets through, and what a router forwards, is not looked at.
type Reach string

// The reaches, in rising order.
const (
	// ReachLoopback: programs of this host, or of this network namespace.
	ReachLoopback Reach = "loopback"
	// ReachHost: also what this host hosts: its containers and virtual machines.
	ReachHost Reach = "host"
	// ReachLAN: the networks that the address belongs to, which the Internet
	// does not route: private, unique local, shared, link-local, multicast.
	ReachLAN Reach = "lan"
	// ReachAny: whoever has a way to this host.
	ReachAny Reach = "any"
)

// shared is 100.64.0.0/10, RFC 6598: carrier-grade NAT and overlay networks.
var shared = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)

// reaches knows where the host's addresses lead.
type reaches struct {
	links  map[int]Reach
	widest Reach
	byAddr map[netip.Addr]int // the link that has it
}

func readReach(ctx context.Context, h host.Host, limits *[]host.Limit) reaches {
	links, err := h.Links(ctx)
	if err != nil {
		*limits = append(*limits, diagnose.LimitOf("links, so who could reach a wildcard address", err))
		return reaches{widest: ReachAny}
	}
	addrs, err := h.Addresses(ctx)
	if err != nil {
		*limits = append(*limits, diagnose.LimitOf("which link has which address", err))
	}
	r := reaches{links: map[int]Reach{}, widest: ReachLoopback, byAddr: map[netip.Addr]int{}}
	for _, l := range links {
		reach := reachOfLink(l, links)
		r.links[l.Index] = reach
		if l.Up && (reach == ReachAny || r.widest == ReachLoopback) {
			r.widest = reach
		}
	}
	for _, a := range addrs {
		r.byAddr[a.Prefix.Addr().WithZone("")] = a.Link
	}
	return r
}

// reachOfLink tells whether a link leads out of this host. A bridge does not if
// all its ports are virtual: containers and virtual machines are behind it.
func reachOfLink(l host.Link, all []host.Link) Reach {
	switch {
	case l.Loopback:
		return ReachLoopback
	case l.Kind == "dummy":
		return ReachHost
	case l.Kind == "bridge":
		for _, port := range all {
			if port.Master == l.Index && port.Kind != "veth" && port.Kind != "tun" && port.Kind != "dummy" {
				return ReachAny
			}
		}
		return ReachHost
	}
	return ReachAny
}

// of tells who could reach a socket that is bound to an address, and to a
// device unless that is 0.
func (r reaches) of(a netip.Addr, device int) Reach {
	a = a.WithZone("").Unmap()
	if a.IsLoopback() || device != 0 && r.links[device] == ReachLoopback {
		return ReachLoopback
	}
	if a.IsUnspecified() {
		if reach, ok := r.links[device]; ok && device != 0 {
			return reach
		}
		return r.widest
	}
	if link, ok := r.byAddr[a]; ok && r.links[link] == ReachHost || device != 0 && r.links[device] == ReachHost {
		return ReachHost
	}
	if a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || shared.Contains(a) || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ReachLAN
	}
	return ReachAny
}
