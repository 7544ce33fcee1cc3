//go:build linux

package linux

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// TestMain lets the test binary be the child that binds for another user.
func TestMain(m *testing.M) {
	if status, handled := BindChild(os.Args); handled {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// pair are two namespaces with a wire between them: a has 10.77.0.1 and
// fd77::1, b has 10.77.0.2 and fd77::2.
type pair struct {
	t    *testing.T
	a, b *Host
	name [2]string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	p := &pair{t: t}
	for i, side := range []string{"a", "b"} {
		p.name[i] = fmt.Sprintf("h4-%d-%s%d", os.Getpid(), side, time.Now().UnixNano()%1e9)
		if out, err := exec.Command("ip", "netns", "add", p.name[i]).CombinedOutput(); err != nil {
			t.Skipf("can't make a network namespace: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("ip", "netns", "del", p.name[i]).Run() })
	}
	p.ip("link", "add", "va", "netns", p.name[0], "type", "veth", "peer", "name", "vb", "netns", p.name[1])
	for i, side := range []string{"a", "b"} {
		n := fmt.Sprint(i + 1)
		for _, args := range []string{
			"link set lo up", "addr add 10.77.0." + n + "/24 dev v" + side,
			"addr add fd77::" + n + "/64 dev v" + side + " nodad", "link set v" + side + " up",
		} {
			p.ip(append([]string{"-n", p.name[i]}, strings.Fields(args)...)...)
		}
	}
	for i, view := range []**Host{&p.a, &p.b} {
		h, err := Open(Options{NetNS: p.name[i]})
		if err != nil {
			t.Fatal(err)
		}
		*view = h
	}
	// IPv6 works only once both ends have joined their multicast groups.
	for range 30 {
		a, err := p.a.Connect(t.Context(), host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("[fd77::2]:9"), Timeout: 1500 * time.Millisecond})
		if err != nil || a.Errno == "ECONNREFUSED" {
			t.Logf("ready after %v %v", a.Elapsed, err)
			return p
		}
	}
	t.Fatal("the namespaces don't reach each other by IPv6")
	return nil
}

func (p *pair) ip(args ...string) {
	p.t.Helper()
	p.run("ip", args...)
}

// filter loads nft rules into b's input chain.
func (p *pair) filter(rules ...string) {
	p.t.Helper()
	p.nft(p.name[1], "input", rules)
}

// filterOut loads nft rules into a's output chain.
func (p *pair) filterOut(rules ...string) {
	p.t.Helper()
	p.nft(p.name[0], "output", rules)
}

func (p *pair) nft(ns, hook string, rules []string) {
	p.t.Helper()
	text := "add table inet h4\nadd chain inet h4 c { type filter hook " + hook + " priority 0; }\n"
	for _, rule := range rules {
		text += "add rule inet h4 c " + rule + "\n"
	}
	cmd := exec.Command("ip", "netns", "exec", ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("nft: %v: %s", err, out)
	}
}

func (p *pair) run(name string, args ...string) {
	p.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// listen makes a listener in the view's namespace; it does not accept.
func listen(t *testing.T, h *Host, address string, options ...func(fd int)) int {
	t.Helper()
	fd := bound(t, h, unix.SOCK_STREAM, address, options...)
	if err := unix.Listen(fd, 5); err != nil {
		t.Fatal(err)
	}
	return fd
}

// bound makes a socket with an address in the view's namespace.
func bound(t *testing.T, h *Host, kind int, address string, options ...func(fd int)) int {
	t.Helper()
	a := netip.MustParseAddrPort(address)
	fd := -1
	err := h.inNamespace(func() (err error) {
		fd, err = unix.Socket(familyOf(a.Addr()), kind|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for _, option := range options {
		option(fd)
	}
	to, err := endpoint(fd, a)
	if err == nil {
		err = unix.Bind(fd, to)
	}
	if err != nil {
		t.Fatalf("bind %s: %v", address, err)
	}
	return fd
}

// serve accepts every connection and gives it to f.
func serve(t *testing.T, fd int, f func(net.Conn)) {
	t.Helper()
	file := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); file.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
		}
	}()
}

// dup gives serve a descriptor of its own.
func dup(t *testing.T, fd int) int {
	t.Helper()
	other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

func attempt(t *testing.T, h *Host, q host.ConnectQuery) host.Attempt {
	t.Helper()
	start := time.Now()
	a, err := h.Connect(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); q.Timeout > 0 && took > q.Timeout+100*time.Millisecond {
		t.Errorf("%+v took %v", q, took)
	}
	return a
}
