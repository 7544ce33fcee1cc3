package takers_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose/takers"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/linux"
)

// how is a way to share a port.
type how struct {
	name   string
	option int // 0: none
}

// The kernel is the oracle: random sets of sockets on one port, a packet to a random
// address of loopback, and the socket that gets it must be one of those that are
// named; the first of them, unless they share the port.
func TestAgreesWithKernel(t *testing.T) {
	h, err := linux.Open(linux.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const seed, sets = 62893, 150
	for _, network := range []string{"tcp", "udp"} {
		for _, share := range []how{{"nothing shared", 0}, {"SO_REUSEPORT", unix.SO_REUSEPORT}, {"SO_REUSEADDR", unix.SO_REUSEADDR}} {
			t.Run(network+" "+share.name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, uint64(share.option)))
				several := 0
				for n := range sets {
					several += agrees(t, h, rng, n, network, share)
				}
				t.Logf("%d sets, seed %d; %d packets for one of several", sets, seed, several)
			})
		}
	}
}

func agrees(t *testing.T, h *linux.Host, rng *rand.Rand, n int, network string, share how) (several int) {
	addrs := []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("::"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("::ffff:127.0.0.1")}
	port := uint16(20000 + rng.IntN(8000))
	held := map[uint64]int{} // descriptor by inode
	for range 2 + rng.IntN(3) {
		at := netip.AddrPortFrom(addrs[rng.IntN(len(addrs))], port)
		fd, err := open(network, at, share.option, rng.IntN(3) == 0, rng.IntN(2) == 0)
		if err != nil {
			continue // taken by another of the set: bind's business
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		held[st.Ino] = fd
	}
	state := host.Unconn
	if network == "tcp" {
		state = host.Listen
	}
	socks, err := h.Sockets(context.Background(), host.SocketQuery{Network: network, Port: port, States: []host.State{state}})
	if err != nil {
		t.Fatal(err)
	}
	for _, dst := range []netip.Addr{addrs[1], addrs[2], netip.MustParseAddr("127.0.0.3"), addrs[4]} {
		found := takers.Of(socks, dst, "lo")
		var want []int
		for _, s := range found {
			want = append(want, held[s.Inode])
		}
		if len(want) > 1 {
			several++
		}
		got := whoGets(t, held, network, netip.AddrPortFrom(dst, port))
		if got == -1 && len(want) > 0 || got != -1 && !slices.Contains(want, got) || share.option != unix.SO_REUSEPORT && len(want) > 0 && got != want[0] {
			t.Errorf("set %d: %v to %s: predicted %v, the kernel chose %d", n, texts(socks, held), dst, want, got)
		}
	}
	return several
}

func texts(socks []host.Socket, held map[uint64]int) []string {
	var out []string
	for _, s := range socks {
		out = append(out, fmt.Sprintf("fd%d %s%%%s v6only=%v", held[s.Inode], s.Local, s.Device, s.V6Only))
	}
	return out
}

func open(network string, at netip.AddrPort, share int, device, v6only bool) (fd int, err error) {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if at.Addr().Is4() {
		family = unix.AF_INET
	}
	if network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 {
		only := 0
		if v6only && !at.Addr().Is4In6() {
			only = 1
		}
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if err == nil && device {
		err = unix.BindToDevice(fd, "lo")
	}
	if err == nil && share != 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, share, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(at))
	}
	if err == nil && network == "tcp" {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
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

// whoGets connects, or sends, and returns the socket in whose queue it is, -1 if that
// is refused.
func whoGets(t *testing.T, held map[uint64]int, network string, to netip.AddrPort) int {
	t.Helper()
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	if network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	c, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c)
	// Closing resets, so that no TIME-WAIT is left for the next set.
	_ = unix.SetsockoptLinger(c, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	err = unix.Connect(c, sockaddr(to))
	if err == nil && network == "udp" {
		if _, err = unix.Write(c, []byte("x")); err == nil {
			if e, _ := unix.GetsockoptInt(c, unix.SOL_SOCKET, unix.SO_ERROR); e != 0 {
				err = unix.Errno(e)
			}
		}
	}
	if err == unix.ECONNREFUSED {
		return -1
	}
	if err != nil {
		t.Fatalf("connect to %s: %v", to, err)
	}
	for until := time.Now().Add(time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
		for _, fd := range held {
			if network == "udp" {
				if _, err := unix.Read(fd, make([]byte, 1)); err == nil {
					return fd
				}
			} else if a, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
				unix.Close(a)
				return fd
			}
		}
	}
	t.Fatalf("connected to %s and no socket has it", to)
	return -1
}
