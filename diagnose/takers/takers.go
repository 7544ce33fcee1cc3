// Package takers knows to which socket the kernel gives a packet that begins a flow.
package takers

import (
	"net/netip"

	"github.com/portwhy/portwhy/platform/host"
)

// Of are the sockets to one of which the kernel gives what comes for an address by a
// device, the likeliest first. They are more than one where the kernel picks by a
// hash, and for UDP where it depends on whether they share the port by SO_REUSEPORT
// or by SO_REUSEADDR, which isn't told. The sockets are those of one protocol that
// take what comes to the port, in the order in which the host lists them: that of
// the kernel's tables.
//
// One that is bound to the address goes before all that are not, bound to a device
// or not (__inet_lookup_listener, __udp4_lib_lookup and those of IPv6). Among those
// a bound device and then IPv4 count (compute_score); but the first that has
// SO_REUSEPORT is taken with the others of its group whatever comes behind it
// (inet_lhash2_lookup, udp4_lib_lookup2), and two sockets of TCP that fit have that,
// else they couldn't both listen.
func Of(sockets []host.Socket, dst netip.Addr, device string) []host.Socket {
	var fit []host.Socket
	exact := false
	for _, s := range sockets {
		same, ok := Fits(s, dst, device)
		if ok && same && !exact {
			fit, exact = nil, true
		}
		if ok && same == exact {
			fit = append(fit, s)
		}
	}
	if len(fit) < 2 {
		return fit
	}
	first := foremost(fit)
	var takers []host.Socket
	if first.Network == "udp" {
		takers = append(takers, highest(fit))
	}
	for _, s := range fit {
		if grouped(s, first, exact) && (len(takers) == 0 || !identical(s, takers[0])) {
			takers = append(takers, s)
		}
	}
	return takers
}

// Fits reports whether a socket can take what comes for an address by a device, and
// whether it is bound to the address.
func Fits(s host.Socket, dst netip.Addr, device string) (exact, ok bool) {
	if s.Interface != 0 && s.Device != device {
		return false, false
	}
	dst = dst.WithZone("")
	local := s.Local.Addr().WithZone("")
	switch {
	case local.Unmap() == dst:
		return true, true
	case dst.IsUnspecified(), !local.Unmap().IsUnspecified():
		return false, false
	case four(s):
		return false, dst.Is4()
	}
	return false, !dst.Is4() || !s.V6Only
}

// four reports whether a socket has an address of IPv4, if by one of IPv6.
func four(s host.Socket) bool { return s.Local.Addr().Unmap().Is4() }

// foremost is the first of those with SO_REUSEPORT in the list that the kernel goes
// through: a socket of IPv4 is put in front, one of IPv6 behind all others
// (__inet_hash, udp_lib_get_port). What the host lists is not in that order from one
// family to the other.
func foremost(fit []host.Socket) host.Socket {
	for _, s := range fit {
		if s.Local.Addr().Is4() {
			return s
		}
	}
	return fit[0]
}

// highest is the socket of UDP that has the highest score, the first of several.
func highest(fit []host.Socket) host.Socket {
	best, most := 0, -1
	for i, s := range fit {
		score := 0
		if s.Local.Addr().Is4() {
			score++
		}
		if s.Interface != 0 {
			score += 4
		}
		if score > most {
			best, most = i, score
		}
	}
	return fit[best]
}

// grouped reports whether sockets that fit share the port (inet_reuseport_add_sock).
func grouped(a, b host.Socket, exact bool) bool {
	return a.Local == b.Local && a.Interface == b.Interface && (exact || a.V6Only == b.V6Only)
}

func identical(a, b host.Socket) bool { return a.Inode == b.Inode && a.Cookie == b.Cookie }
