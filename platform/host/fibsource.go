package host

import (
	"math/bits"
	"net/netip"
	"slices"
)

// loopback is the device of what stays on the host.
const loopback = "lo"

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// way4 is ip_route_output_key_hash_rcu of net/ipv4/route.c.
func (f fib) way4() Route {
	q := &f.q
	sent := q.InputDevice == ""
	special := q.Destination.IsMulticast() || q.Destination == limitedBroadcast
	if sent && q.Source.IsValid() {
		device, own := f.owner(q.Source)
		switch {
		case q.Source.IsMulticast() || q.Source == limitedBroadcast:
			return Route{Errno: "EINVAL"}
		case !own:
			return Route{Errno: "ENETUNREACH"}
		}
		if special && q.OutDevice == "" {
			q.OutDevice = device
			return f.leaves(f.direct())
		}
	}
	if sent && special && q.OutDevice != "" {
		return f.leaves(f.direct())
	}
	if sent && q.Destination.IsUnspecified() {
		// The address of no one is the host itself; no table is asked.
		r := Route{Type: "local", Device: loopback, Source: q.Source, Destination: netip.PrefixFrom(q.Destination, 32)}
		if !r.Source.IsValid() && q.OutDevice != "" {
			r.Source = f.source4(q.OutDevice, netip.Addr{}, "host")
		}
		if !r.Source.IsValid() {
			r.Source = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		return r
	}
	found := f.lookup()
	switch {
	case found.unknown:
		return Route{}
	case found.Errno != "" && sent && q.OutDevice != "":
		// "Apparently, routing tables are wrong": the kernel takes it to be on
		// the link.
		return f.leaves(f.direct())
	case found.Errno != "":
		return found.Route
	}
	r := f.first(found.Route)
	if special {
		r.Gateway = netip.Addr{} // it is for everyone on the link
		r.Type = "broadcast"
		if q.Destination.IsMulticast() {
			r.Type = "multicast"
		}
	}
	if r.Type == "local" || !sent && r.Type == "broadcast" {
		r.Device, r.Link = loopback, 0 // it is delivered here
	}
	switch {
	case q.Source.IsValid():
		r.Source = q.Source
	case r.Source.IsValid():
	case r.Type == "local":
		r.Source = q.Destination
	default:
		r.Source = f.source4(r.Device, r.Gateway, r.Scope)
	}
	if !sent {
		return r
	}
	return f.leaves(r)
}

// leaves refuses what a loopback address would send to elsewhere; a host with
// route_localnet doesn't, see ip-sysctl.
func (f fib) leaves(r Route) Route {
	if r.Source.IsLoopback() && r.Device != loopback {
		r.Errno = "EINVAL"
	}
	return r
}

// direct is a way onto a link without any route.
func (f fib) direct() Route {
	r := Route{Type: "unicast", Device: f.q.OutDevice, Source: f.q.Source, Scope: "link",
		Destination: netip.PrefixFrom(f.q.Destination, 32)}
	switch {
	case f.q.Destination.IsMulticast():
		r.Type = "multicast"
	case f.q.Destination == limitedBroadcast:
		r.Type = "broadcast"
	}
	if !r.Source.IsValid() {
		r.Source = f.source4(r.Device, netip.Addr{}, "link")
	}
	return r
}

// finish6 completes an IPv6 answer.
func (f fib) finish6(found result) Route {
	if found.unknown {
		return Route{}
	}
	if found.Errno != "" {
		return found.Route
	}
	r := f.first(found.Route)
	device := r.Device
	if r.Type == "local" {
		r.Device, r.Link = loopback, 0
	}
	switch {
	case f.q.Source.IsValid():
		r.Source = f.q.Source
	case !r.Source.IsValid():
		r.Source = f.source6(device)
	}
	return r
}

// first takes the first way of a multipath route that can be taken.
func (f fib) first(r Route) Route {
	for _, hop := range r.Multipath {
		if !hop.Dead && (f.q.OutDevice == "" || hop.Device == f.q.OutDevice) {
			r.Gateway, r.Device = hop.Gateway, hop.Device
			break
		}
	}
	return r
}

// owner finds the device of an address of this host: __ip_dev_find of
// net/ipv4/devinet.c, which takes all of a loopback network too.
func (f fib) owner(a netip.Addr) (device string, own bool) {
	for _, have := range f.addresses {
		if have.Prefix.Addr() == a {
			return have.Device, true
		}
	}
	f.q = RouteQuery{Destination: a}
	r, ok := f.table(tableLocal)
	return r.Device, ok && r.Type == "local"
}

// source4 is inet_select_addr of net/ipv4/devinet.c: the first address of the
// device with a scope that reaches, rather one in the gateway's network; else
// one of any device.
func (f fib) source4(device string, gateway netip.Addr, scope string) netip.Addr {
	var first netip.Addr
	reach := scopeRank(scope)
	for _, a := range f.addresses {
		if a.Device != device || !a.Prefix.Addr().Is4() || min(scopeRank(a.Scope), scopeRank("host")) > reach {
			continue
		}
		if !gateway.Is4() || a.Prefix.Contains(gateway) {
			return a.Prefix.Addr()
		}
		if !first.IsValid() {
			first = a.Prefix.Addr()
		}
	}
	if first.IsValid() {
		return first
	}
	for _, a := range f.addresses {
		if a.Prefix.Addr().Is4() && a.Scope != "link" && scopeRank(a.Scope) <= reach {
			return a.Prefix.Addr()
		}
	}
	return netip.Addr{}
}

func scopeRank(scope string) int {
	order := []string{"global", "site", "link", "host", "nowhere"}
	return max(0, slices.Index(order, scope))
}

// SourceTo is the address that a host sends to an IPv6 destination from where it has no
// way to it, and so no device to choose among: ip6_dst_lookup_tail of
// net/ipv6/ip6_output.c. Zero if it has none.
func SourceTo(addresses []Address, destination netip.Addr) netip.Addr {
	return fib{addresses: addresses, q: RouteQuery{Destination: destination.WithZone("")}, family: 6}.source6("")
}

// source6 chooses an IPv6 source as RFC 6724 section 5 and ipv6_dev_get_saddr
// of net/ipv6/addrconf.c do, as far as an [Address] tells: rules 1, 2, 5, 6
// and 8.
func (f fib) source6(device string) netip.Addr {
	destination := f.q.Destination
	var best netip.Addr
	var score [6]int
	for _, a := range f.addresses {
		addr := a.Prefix.Addr()
		if !addr.Is6() || a.Tentative || a.DADFailed || addr.IsMulticast() {
			continue
		}
		if needsDevice(destination) && a.Device != device {
			continue
		}
		this := [6]int{1, 0, fitness(addr, destination), 0, 0, min(a.Prefix.Bits(), common(addr, destination))}
		if addr == destination {
			this[1] = 1
		}
		if a.Device == device {
			this[3] = 1
		}
		if label(addr) == label(destination) {
			this[4] = 1
		}
		if slices.Compare(this[:], score[:]) > 0 {
			best, score = addr, this
		}
	}
	return best
}

// fitness orders sources by scope: the smallest that still reaches is the
// best, of those that don't the largest (rule 2).
func fitness(source, destination netip.Addr) int {
	s, d := scope6(source), scope6(destination)
	if s >= d {
		return 32 - s
	}
	return s - 32
}

// scope6 is an address's scope as in RFC 4007; multicast carries it.
func scope6(a netip.Addr) int {
	b := a.As16()
	switch {
	case a.IsMulticast():
		return int(b[1] & 0xf)
	case a.IsLinkLocalUnicast(), a.IsLoopback():
		return 2
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return 5
	}
	return 14
}

// labels are the kernel's default policy table (net/ipv6/addrlabel.c), the
// most special first.
var labels = []netip.Prefix{
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2001:10::/28"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fc00::/7"),
}

func label(a netip.Addr) int {
	return slices.IndexFunc(labels, func(p netip.Prefix) bool { return p.Contains(a) })
}

// common counts the leading bits that two IPv6 addresses share.
func common(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return 8*i + bits.LeadingZeros8(d)
		}
	}
	return 128
}
