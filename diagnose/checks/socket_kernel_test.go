//go:build linux

package checks

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// The kernel is the oracle: random sets of listeners on one port, a connection
// to a random loopback address, and the listener that gets it must be the one
// that lookup names.
func TestLookupAgreesWithKernel(t *testing.T) {
	const seed, sets = 62893, 400
	rng := rand.New(rand.NewPCG(seed, 1))
	addrs := []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::"), netip.MustParseAddr("::1")}
	targets := []netip.Addr{addrs[1], addrs[2], netip.MustParseAddr("127.0.0.3"), addrs[4]}
	decided := 0
	for n := range sets {
		port := uint16(20000 + rng.IntN(8000))
		var socks []host.Socket
		var fds []int
		for range 1 + rng.IntN(3) {
			s := host.Socket{Network: "tcp", State: host.Listen, Local: netip.AddrPortFrom(addrs[rng.IntN(len(addrs))], port)}
			s.V6Only = s.Local.Addr().Is6() && rng.IntN(2) == 0
			if rng.IntN(4) == 0 {
				s.Interface, s.Device = 1, "lo"
			}
			fd, err := listenOn(s)
			if err != nil {
				continue // taken by another of the set: bind's business
			}
			s.Inode = uint64(fd)
			socks, fds = append(socks, s), append(fds, fd)
		}
		for _, dst := range targets {
			want := lookup(socks, dst, "lo")
			got := whoGets(t, fds, netip.AddrPortFrom(dst, port))
			if want == nil && got != -1 || want != nil && int(want.Inode) != got {
				t.Errorf("set %d: %v to %s: predicted %v, the kernel chose fd %d", n, texts(socks), dst, want, got)
			}
			decided++
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	t.Logf("%d connections to %d random sets of listeners, seed %d", decided, sets, seed)
}

func texts(socks []host.Socket) []string {
	var out []string
	for _, s := range socks {
		out = append(out, fmt.Sprintf("fd%d %s v6only=%v", s.Inode, socketAddress(s), s.V6Only))
	}
	return out
}

func listenOn(s host.Socket) (int, error) {
	family := unix.AF_INET6
	if s.Local.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 {
		only := 0
		if s.V6Only {
			only = 1
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if s.Device != "" {
		if err := unix.BindToDevice(fd, s.Device); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	// SO_REUSEADDR stays off, so that the set is what bind allows.
	if err := unix.Bind(fd, sockaddr(s.Local)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Listen(fd, 8); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// whoGets connects and returns the listener whose queue the connection is in,
// -1 if it is refused.
func whoGets(t *testing.T, listeners []int, to netip.AddrPort) int {
	t.Helper()
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	c, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	// Closing resets, so that no TIME-WAIT is left for the next set.
	_ = unix.SetsockoptLinger(c, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err := unix.Connect(c, sockaddr(to)); err != nil {
		if err != unix.ECONNREFUSED {
			t.Fatalf("connect to %s: %v", to, err)
		}
		return -1
	}
	for _, fd := range listeners {
		if a, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
			unix.Close(a)
			return fd
		}
	}
	t.Fatalf("connected to %s and no listener has it", to)
	return -1
}
