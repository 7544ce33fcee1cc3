package checks

import (
	"net/netip"

	"github.com/portwhy/portwhy/platform/host"
)

// The kernel's rules for two sockets that want the same port, as
// net/ipv4/inet_connection_sock.c (inet_csk_get_port, inet_bind_conflict,
// inet_rcv_saddr_equal, ipv6_rcv_saddr_equal) and net/ipv4/udp.c
// (udp_lib_lport_inuse) have them. They are compared with the running kernel by
// TestOverlapAgreesWithKernel.

// tristate is a fact that may not be known.
type tristate int

const (
	unknown tristate = iota
	no
	yes
)

func known(b bool) tristate {
	if b {
		return yes
	}
	return no
}

// and is yes if both are, no if either is not.
func (t tristate) and(o tristate) tristate {
	switch {
	case t == no || o == no:
		return no
	case t == unknown || o == unknown:
		return unknown
	}
	return yes
}

func (t tristate) or(o tristate) tristate { return t.not().and(o.not()).not() }

func (t tristate) not() tristate {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return unknown
}

// claimant is a socket that has a port or wants one, with what decides whether
// another may have it too.
type claimant struct {
	network string
	// addr keeps the family: ::ffff:127.0.0.1 is an IPv6 socket's.
	addr   netip.Addr
	v6only tristate
	state  host.State
	uid    uint32
	// device is the index of the device it is bound to, 0 for none, -1 if that
	// is not known. vrf is the index of the VRF that this device is or is in.
	device, vrf          int
	reuseAddr, reusePort tristate
}

// conflict says whether the kernel refuses the port to the asking socket
// because of the holder.
func conflict(asking, holder claimant) tristate {
	if asking.network != holder.network {
		return no
	}
	meet := meetOnDevice(asking, holder)
	if asking.network == "tcp" && holder.device >= 0 && asking.vrf != holder.vrf {
		// Bind buckets are per VRF (inet_bind_bucket_match).
		return no
	}
	return meet.and(overlap(asking, holder)).and(mayShare(asking, holder).not())
}

func meetOnDevice(a, b claimant) tristate {
	if a.device < 0 || b.device < 0 {
		if a.device == 0 || b.device == 0 {
			return yes
		}
		return unknown
	}
	return known(a.device == 0 || b.device == 0 || a.device == b.device)
}

// mayShare says whether both sockets' options let them have the same address.
func mayShare(asking, holder claimant) tristate {
	bothReuse := asking.reuseAddr.and(holder.reuseAddr)
	samePort := asking.reusePort.and(holder.reusePort)
	if holder.network == "udp" {
		return bothReuse.or(samePort.and(known(asking.uid == holder.uid)))
	}
	// A listening socket is shared by SO_REUSEPORT only. TIME-WAIT has lost its
	// owner, so that the user does not count.
	byAddress := bothReuse.and(known(holder.state != host.Listen))
	byPort := samePort.and(known(holder.state == host.TimeWait || asking.uid == holder.uid))
	return byAddress.or(byPort)
}

// overlap says whether the two sockets' addresses have one in common.
func overlap(asking, holder claimant) tristate {
	a, b := asking.addr, holder.addr
	switch {
	case carries4(a) && carries4(b):
		return known(a.Unmap() == b.Unmap() || any4(a) || any4(b))
	case carries4(a) && b.IsUnspecified():
		return holder.v6only.not()
	case a.IsUnspecified() && carries4(b):
		return asking.v6only.not()
	case carries4(a):
		// The kernel compares IPv4 addresses here, and an IPv6 socket that was
		// never bound to an address itself stands as 127.0.0.6
		// (LOOPBACK4_IPV6) among them: an outgoing IPv6 connection keeps
		// 0.0.0.0 from its port.
		if a == netip.IPv4Unspecified() {
			return holder.v6only.not()
		}
		return no
	case carries4(b):
		return no
	}
	return known(a.WithZone("") == b.WithZone("") || a.IsUnspecified() || b.IsUnspecified())
}

func carries4(a netip.Addr) bool { return a.Is4() || a.Is4In6() }

func any4(a netip.Addr) bool { return a.Unmap() == netip.IPv4Unspecified() }
