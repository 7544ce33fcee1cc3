//go:build linux

package linux

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// probeSocket makes a socket in this view's namespace. It stays there.
func (h *Host) probeSocket(family, kind, protocol int) (int, error) {
	fd := -1
	err := h.inNamespace(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	return fd, err
}

// familyOf is the address family in which a client or server would use a.
func familyOf(a netip.Addr) int {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// endpoint is the socket address for a. Its zone is a device of the socket's
// namespace, by name or number (ipv6(7), sin6_scope_id).
func endpoint(fd int, a netip.AddrPort) (unix.Sockaddr, error) {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, nil
	}
	to := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	zone := a.Addr().Zone()
	if zone == "" {
		return to, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil && n <= math.MaxInt32 {
		to.ZoneId = uint32(n)
		return to, nil
	}
	// A name that can't be that of a device is EINVAL.
	request, err := unix.NewIfreq(zone)
	if err != nil {
		return nil, unix.ENODEV
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return nil, err
	}
	to.ZoneId = request.Uint32()
	return to, nil
}

// unixEndpoint is the socket address for a path; an abstract one begins with @
// (unix(7)).
func unixEndpoint(path string) (unix.Sockaddr, error) {
	if path == "" {
		return nil, unix.ENOENT
	}
	// 108 bytes with the zero that ends it; abstract names need none.
	if len(path) > unixPathMax || len(path) == unixPathMax && path[0] != '@' {
		return nil, unix.ENAMETOOLONG
	}
	return &unix.SockaddrUnix{Name: path}, nil
}

// addrPort is the address of a socket as the kernel gave it.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(a.ZoneId), 10))
		}
		return netip.AddrPortFrom(ip, uint16(a.Port))
	}
	return netip.AddrPort{}
}

// checkEndpoint refuses a query without an address.
func checkEndpoint(what string, a netip.AddrPort) error {
	if !a.Addr().IsValid() {
		return fmt.Errorf("%s: the query has no address: %w", what, host.ErrUnsupported)
	}
	return nil
}

// zoneNumber is the zone of an address that addrPort made.
func zoneNumber(a netip.Addr) uint32 {
	n, err := strconv.ParseUint(a.Zone(), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
