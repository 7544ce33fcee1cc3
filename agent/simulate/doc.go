// Package simulate makes the hosts of a plan out of network namespaces, so that
// a layout of several machines is tried on one.
//
// Each host has its addresses on eth0 and a default route to a router that knows
// them all, so that two hosts find each other whatever their subnets are. The
// hosts have no way out: nothing that is sent leaves the machine. All of it is
// gone when the [Net] is closed or the process ends, because the namespaces have
// no names. What a real network has besides (switches, other routers, MTU, names,
// other services) isn't there.
package simulate

import "net/netip"

// Host of the net.
type Host struct {
	Name      string
	Addresses []netip.Addr
}
