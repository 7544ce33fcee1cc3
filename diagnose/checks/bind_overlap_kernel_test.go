//go:build linux

package checks

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// inNewNamespace runs f on a thread of its own in a new network namespace,
// which ends with that thread.
func inNewNamespace(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a network namespace of its own")
	}
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)      // also if the test ends in f
		runtime.LockOSThread() // never unlocked: the thread dies with its namespace
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			f()
		}
	}()
	<-done
	if err != nil {
		t.Skipf("unshare(CLONE_NEWNET): %v", err)
	}
}

// ip runs ip(8) in the calling thread's network namespace, which a child inherits.
func ip(t *testing.T, words string) {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput()
	if err != nil {
		t.Errorf("ip %s: %v: %s", words, err, out)
	}
}

type want struct {
	claimant
	listen bool
}

func (w want) String() string {
	return fmt.Sprintf("%s %s v6only=%v state=%s uid=%d dev=%d vrf=%d reuseaddr=%v reuseport=%v", w.network, w.addr, w.v6only == yes, w.state, w.uid,
		w.device, w.vrf, w.reuseAddr == yes, w.reusePort == yes)
}

// open makes the socket, as its user; the error is bind's.
func (w want) open(t *testing.T, port uint16, devices map[int]string) (int, error) {
	kind, family := unix.SOCK_STREAM, unix.AF_INET6
	if w.network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	if w.addr.Is4() {
		family = unix.AF_INET
	}
	// A socket belongs to the fsuid of the thread that makes it.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(w.uid), 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	set := func(level, name int, on bool) {
		n := 0
		if on {
			n = 1
		}
		if err := unix.SetsockoptInt(fd, level, name, n); err != nil {
			t.Fatal(err)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, w.reuseAddr == yes)
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, w.reusePort == yes)
	if family == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, w.v6only == yes)
	}
	if w.device != 0 {
		if err := unix.BindToDevice(fd, devices[w.device]); err != nil {
			t.Fatal(err)
		}
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(port), Addr: w.addr.As16()}
	if family == unix.AF_INET {
		sa = &unix.SockaddrInet4{Port: int(port), Addr: w.addr.As4()}
	}
	return fd, unix.Bind(fd, sa)
}

// TestOverlapAgreesWithKernel binds random sockets to one port and compares
// what the kernel says of the last of them with the prediction.
func TestOverlapAgreesWithKernel(t *testing.T) {
	inNewNamespace(t, func() {
		for _, words := range []string{"link set lo up", "link add h7a type bridge", "link add h7b type bridge", "link set h7a up", "link set h7b up",
			"addr add 10.7.0.1/24 dev h7a", "addr add fd07::1/64 dev h7a nodad", "addr add 10.7.1.1/24 dev h7b", "addr add fd07:1::1/64 dev h7b nodad"} {
			ip(t, words)
		}
		if t.Failed() {
			return
		}
		// Not every kernel is built with VRFs; without, the device is one as any.
		hasVRF := exec.Command("ip", "link", "add", "h7v", "type", "vrf", "table", "77").Run() == nil
		if hasVRF {
			ip(t, "link set h7v up")
			ip(t, "link set h7b master h7v")
		}
		devices := map[int]string{}
		var index [3]int
		for i, name := range []string{"lo", "h7a", "h7b"} {
			index[i] = deviceIndex(t, name)
			devices[index[i]] = name
		}
		vrf := 0
		if hasVRF {
			vrf = deviceIndex(t, "h7v")
			devices[vrf] = "h7v"
		}
		addrs := []string{"0.0.0.0", "127.0.0.1", "127.0.0.6", "10.7.0.1", "::", "::1", "fd07::1", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "::ffff:10.7.0.1"}
		r := rand.New(rand.NewPCG(7, 7))
		random := func(network string) want {
			w := want{claimant: claimant{network: network, addr: netip.MustParseAddr(addrs[r.IntN(len(addrs))]), state: host.BoundInactive}}
			w.reuseAddr, w.reusePort = known(r.IntN(2) == 0), known(r.IntN(3) == 0)
			w.v6only = no
			if w.addr.Is6() && !w.addr.Is4In6() {
				// A specific address sets it (__inet6_bind).
				w.v6only = known(!w.addr.IsUnspecified() || r.IntN(2) == 0)
			}
			w.uid = []uint32{0, 0, 65534}[r.IntN(3)]
			if network == "udp" {
				w.state = host.Unconn
			} else if w.listen = r.IntN(2) == 0; w.listen {
				w.state = host.Listen
			}
			if w.addr.IsUnspecified() || any4(w.addr) {
				switch r.IntN(6) {
				case 0:
					w.device = index[1]
				case 1:
					w.device, w.vrf = index[2], vrf
				case 2:
					w.device, w.vrf = vrf, vrf
				}
			}
			return w
		}
		counts := map[string]int{}
		for i := range 6000 {
			network := []string{"tcp", "udp"}[i%2]
			port := uint16(2000 + i%5000)
			holders := 1 + r.IntN(2)
			var open []int
			var held []want
			for range holders {
				h := random(network)
				fd, err := h.open(t, port, devices)
				if err == nil && h.listen {
					err = unix.Listen(fd, 1)
				}
				if err != nil {
					unix.Close(fd)
					continue
				}
				open, held = append(open, fd), append(held, h)
			}
			a := random(network)
			// The kernel looks at the first of several UDP sockets with
			// SO_REUSEPORT only, in the order of its hash chain.
			if network == "udp" && len(held) > 1 {
				a.reusePort = no
			}
			predicted := no
			for _, h := range held {
				predicted = predicted.or(conflict(a.claimant, h.claimant))
			}
			fd, err := a.open(t, port, devices)
			unix.Close(fd)
			for _, fd := range open {
				unix.Close(fd)
			}
			counts[fmt.Sprintf("%s %v", network, err)]++
			if err != nil && err != unix.EADDRINUSE {
				t.Fatalf("%v: %v", a, err)
			}
			if predicted != known(err != nil) {
				t.Errorf("predicted %d, kernel says %v\n  asking %v\n  held %v", predicted, err, a, held)
			}
		}
		t.Log(counts, "with VRF:", hasVRF)
	})
}

func deviceIndex(t *testing.T, name string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		t.Fatal(err)
	}
	return int(ifr.Uint32())
}
