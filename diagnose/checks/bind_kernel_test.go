//go:build linux

package checks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/linux"
)

// lab is a network namespace of its own, in which sockets are made by hand.
type lab struct {
	t   *testing.T
	fds []int
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// socket makes a TCP or UDP socket as its user and binds it.
func (l *lab) socket(w want, port uint16) int {
	l.t.Helper()
	fd, err := w.open(l.t, port, map[int]string{})
	l.must(err)
	l.fds = append(l.fds, fd)
	return fd
}

func (l *lab) listen(w want, port uint16) int {
	l.t.Helper()
	fd := l.socket(w, port)
	l.must(unix.Listen(fd, 8))
	return fd
}

func (l *lab) close(fd int) {
	unix.Close(fd)
	l.fds = slices.DeleteFunc(l.fds, func(have int) bool { return have == fd })
}

// connect connects to 127.0.0.1 or ::1, from a port of its own if one is given.
func (l *lab) connect(w want, from, to uint16) int {
	l.t.Helper()
	fd := l.socket(w, from)
	l.must(unix.Connect(fd, &unix.SockaddrInet4{Port: int(to), Addr: [4]byte{127, 0, 0, 1}}))
	return fd
}

func (l *lab) accept(fd int) int {
	l.t.Helper()
	conn, _, err := unix.Accept(fd)
	l.must(err)
	l.fds = append(l.fds, conn)
	return conn
}

func tcp(addr string) want {
	a := netip.MustParseAddr(addr)
	return want{claimant: claimant{network: "tcp", addr: a, v6only: known(a.Is6() && !a.Is4In6() && !a.IsUnspecified()), reuseAddr: no, reusePort: no}}
}

func (w want) reuse() want        { w.reuseAddr = yes; return w }
func (w want) share() want        { w.reusePort = yes; return w }
func (w want) only6() want        { w.v6only = yes; return w }
func (w want) of(uid uint32) want { w.uid = uid; return w }
func udp(addr string) want        { w := tcp(addr); w.network = "udp"; return w }
func number(uid uint32) *uint32   { return &uid }
func text(r *diagnose.Report) string {
	b, _ := json.MarshalIndent(r, "", "  ")
	return string(b)
}

// ask diagnoses from outside of the calling thread's network namespace, as
// --netns does.
func ask(t *testing.T, target string, o diagnose.Options) *diagnose.Report {
	t.Helper()
	namespace := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
	var r *diagnose.Report
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err = report(namespace, target, o)
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func report(namespace, target string, o diagnose.Options) (*diagnose.Report, error) {
	h, err := linux.Open(linux.Options{NetNS: namespace})
	if err != nil {
		return nil, err
	}
	parsed, err := diagnose.ParseTarget(target)
	if err != nil {
		return nil, err
	}
	o.Question = diagnose.AskBind
	return diagnose.Run(context.Background(), h, parsed, bindChecks(), o)
}

// TestMain lets the probe run this program as another user.
func TestMain(m *testing.M) {
	if status, handled := linux.BindChild(os.Args); handled {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// bindCase is one state of a namespace and what bind must say of it.
type bindCase struct {
	name   string
	setup  func(*lab)
	target string
	ask    diagnose.Options
	status diagnose.Status
	code   string // of the root cause, or of a finding where the status is not broken
	title  string // part of its title
	proven bool
	fix    string // part of a fix's commands
	bare   bool   // lo stays down
}

var bindCases = []bindCase{
	{name: "healthy", target: "127.0.0.1:8080", status: diagnose.OK},
	{name: "healthy on any address", target: ":8080", status: diagnose.OK},
	{name: "in use", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.1").reuse(), 8080) },
		status: diagnose.Broken, code: "port-in-use", title: "listens on 127.0.0.1:8080", proven: true, fix: "kill "},
	{name: "in use by the wildcard", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("0.0.0.0").reuse(), 8080) },
		status: diagnose.Broken, code: "port-in-use", title: "listens on 0.0.0.0:8080", proven: true},
	{name: "the wildcard in use by an address", target: "0.0.0.0:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.1"), 8080) },
		status: diagnose.Broken, code: "port-in-use", proven: true},
	{name: "in use on another address", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.2"), 8080) }, status: diagnose.OK},
	{name: "in use for IPv6 only", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("::").only6(), 8080) }, status: diagnose.OK},
	{name: "dual stack", target: "0.0.0.0:8080", setup: func(l *lab) { l.listen(tcp("::"), 8080) },
		status: diagnose.Broken, code: "port-in-use-dual-stack", title: "[::]:8080 without IPV6_V6ONLY", proven: true},
	{name: "dual stack the other way", target: "[::]:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.1"), 8080) },
		status: diagnose.Broken, code: "port-in-use-dual-stack", title: "wants the port for IPv4 too", proven: true},
	{name: "both families by one listener", target: ":8080", setup: func(l *lab) { l.listen(tcp("::"), 8080) },
		status: diagnose.Broken, code: "port-in-use", title: "listens on [::]:8080", proven: true},
	{name: "bound only", target: "127.0.0.1:7309", setup: func(l *lab) { l.socket(tcp("127.0.0.1"), 7309) },
		status: diagnose.Broken, code: "port-held-unlistened", title: "doesn't listen", proven: true},
	{name: "bound only, both with SO_REUSEADDR", target: "127.0.0.1:7309", setup: func(l *lab) { l.socket(tcp("127.0.0.1").reuse(), 7309) },
		status: diagnose.Warning, code: "port-held-unlistened", title: "a server that doesn't set SO_REUSEADDR"},
	{name: "outgoing connection", target: "127.0.0.1:45678", setup: func(l *lab) {
		server := l.listen(tcp("127.0.0.1"), 9000)
		l.connect(tcp("127.0.0.1"), 45678, 9000)
		l.accept(server)
	}, status: diagnose.Broken, code: "port-held-by-connection", title: "has port 45678 as its own", proven: true, fix: "net.ipv4.ip_local_reserved_ports=45678"},
	{name: "connected to itself", target: "127.0.0.1:45679", setup: func(l *lab) { l.connect(tcp("127.0.0.1"), 45679, 45679) },
		status: diagnose.Broken, code: "port-self-connected", proven: true},
	{name: "TIME-WAIT", target: "127.0.0.1:8080", setup: func(l *lab) { l.closeFirst(tcp("127.0.0.1").reuse(), 8080) },
		status: diagnose.Warning, code: "port-time-wait", title: "at most 60 seconds"},
	{name: "TIME-WAIT of a server without SO_REUSEADDR", target: "127.0.0.1:8080", setup: func(l *lab) { l.closeFirst(tcp("127.0.0.1"), 8080) },
		status: diagnose.Broken, code: "port-time-wait", title: "its server had not set SO_REUSEADDR", proven: true},
	{name: "connection left over", target: "127.0.0.1:8080", setup: func(l *lab) { l.leftOver(tcp("127.0.0.1"), 8080) },
		status: diagnose.Broken, code: "port-lingering-connections", title: "still has", proven: true},
	{name: "connection left over with SO_REUSEADDR", target: "127.0.0.1:8080", setup: func(l *lab) { l.leftOver(tcp("127.0.0.1").reuse(), 8080) },
		status: diagnose.Warning, code: "port-lingering-connections"},
	{name: "SO_REUSEPORT of another user", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.1").share().of(65534), 8080) },
		status: diagnose.Broken, code: "port-reuseport-owner", title: "as user 65534", proven: true},
	{name: "SO_REUSEPORT of the same user", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.1").share(), 8080) },
		status: diagnose.Broken, code: "port-in-use", proven: true},
	{name: "UDP in use", target: "udp://127.0.0.1:5353", setup: func(l *lab) { l.socket(udp("0.0.0.0").reuse(), 5353) },
		status: diagnose.Broken, code: "port-in-use", title: "has 0.0.0.0:5353", proven: true},
	{name: "UDP does not meet TCP", target: "udp://127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("0.0.0.0"), 8080) }, status: diagnose.OK},
	{name: "privileged", target: "127.0.0.1:80", ask: diagnose.Options{UID: number(65534)},
		status: diagnose.Broken, code: "port-privileged", title: "Ports below 1024 need root", proven: true, fix: "ip_unprivileged_port_start=80"},
	{name: "privileged, but allowed here", target: "127.0.0.1:80", ask: diagnose.Options{UID: number(65534)},
		setup:  func(l *lab) { l.sysctl("net.ipv4.ip_unprivileged_port_start", "80") },
		status: diagnose.OK},
	{name: "privileged for root", target: "127.0.0.1:80", status: diagnose.OK},
	{name: "privileged and taken", target: "127.0.0.1:80", ask: diagnose.Options{UID: number(65534)}, setup: func(l *lab) { l.listen(tcp("0.0.0.0"), 80) },
		status: diagnose.Broken, code: "port-privileged", proven: true},
	{name: "privileged and not an address: IPv4 looks at the address first", target: "10.9.9.9:80", ask: diagnose.Options{UID: number(65534)},
		status: diagnose.Broken, code: "address-not-local", proven: true, fix: "ip_unprivileged_port_start=80"},
	{name: "privileged and not an address: IPv6 looks at the port first", target: "[fd99::9]:80", ask: diagnose.Options{UID: number(65534)},
		status: diagnose.Broken, code: "port-privileged", proven: true},
	{name: "not an address of the host", target: "10.9.9.9:8080",
		status: diagnose.Broken, code: "address-not-local", title: "10.9.9.9 is not an address of this host", proven: true},
	{name: "a slip in the address", target: "10.7.0.2:8080", setup: func(l *lab) { l.ip("link add h7a type bridge", "addr add 10.7.0.1/24 dev h7a") },
		status: diagnose.Broken, code: "address-not-local", title: "10.7.0.1 on h7a is: a slip?", proven: true, fix: "ip_nonlocal_bind=1"},
	{name: "foreign addresses allowed", target: "10.9.9.9:8080", setup: func(l *lab) { l.sysctl("net.ipv4.ip_nonlocal_bind", "1") },
		status: diagnose.Warning, code: "address-not-local", title: "nobody reaches it"},
	{name: "IPv4 never configured", target: "10.9.9.9:8080", bare: true, status: diagnose.Warning, code: "address-not-local", title: "never configured"},
	{name: "another loopback address", target: "127.9.9.9:8080", status: diagnose.OK},
	{name: "multicast", target: "udp://224.0.0.251:5353", status: diagnose.OK},
	{name: "loopback down", target: "127.0.0.1:8080", setup: func(l *lab) { l.ip("link set lo down", "addr del 127.0.0.1/8 dev lo") },
		status: diagnose.Broken, code: "loopback-down", proven: true, fix: "ip link set lo up"},
	{name: "tentative", target: "[fd07::1]:8080", setup: func(l *lab) {
		l.ip("link add h7a type veth peer name h7b", "link set h7b up", "link set h7a up")
		l.sysctl("net.ipv6.conf.h7a.dad_transmits", "100")
		l.ip("addr add fd07::1/64 dev h7a")
	}, status: diagnose.Broken, code: "address-tentative", proven: true, fix: "nodad"},
	{name: "IPv6 off", target: "[::1]:8080", setup: func(l *lab) { l.sysctl("net.ipv6.conf.lo.disable_ipv6", "1") },
		status: diagnose.Broken, code: "ipv6-disabled", title: "net.ipv6.conf.lo.disable_ipv6 = 1", proven: true},
	{name: "link-local without device", target: "[fe80::7]:8080", setup: func(l *lab) {
		l.ip("link add h7a type bridge", "link set h7a up", "addr add fe80::7/64 dev h7a nodad")
	}, status: diagnose.Broken, code: "address-not-local", title: "fe80::7%h7a", proven: true},
	{name: "link-local with device", target: "[fe80::7%h7a]:8080", setup: func(l *lab) {
		l.ip("link add h7a type bridge", "link set h7a up", "addr add fe80::7/64 dev h7a nodad")
	}, status: diagnose.OK},
	{name: "ephemeral", target: "127.0.0.1:40000", status: diagnose.OK, code: "port-in-ephemeral-range", title: "32768 to 60999"},
	{name: "ephemeral, but reserved", target: "127.0.0.1:40000", setup: func(l *lab) { l.sysctl("net.ipv4.ip_local_reserved_ports", "39999-40001") }, status: diagnose.OK},
	{name: "predicted only", target: "127.0.0.1:8080", setup: func(l *lab) { l.listen(tcp("127.0.0.1"), 8080) }, ask: diagnose.Options{NoProbe: true},
		status: diagnose.Broken, code: "port-in-use"},
}

func (l *lab) ip(words ...string) {
	l.t.Helper()
	for _, w := range words {
		ip(l.t, w)
	}
}

func (l *lab) sysctl(key, value string) {
	l.t.Helper()
	l.must(os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0))
}

// closeFirst leaves a TIME-WAIT on the server's side.
func (l *lab) closeFirst(w want, port uint16) {
	l.t.Helper()
	server := l.listen(w, port)
	client := l.connect(tcp("127.0.0.1"), 0, port)
	conn := l.accept(server)
	for _, fd := range []int{conn, server, client} {
		l.close(fd)
	}
}

// leftOver leaves an accepted connection without its listener.
func (l *lab) leftOver(w want, port uint16) {
	l.t.Helper()
	server := l.listen(w, port)
	l.connect(tcp("127.0.0.1"), 0, port)
	l.accept(server)
	l.close(server)
}

func TestBind(t *testing.T) {
	for _, c := range bindCases {
		t.Run(c.name, func(t *testing.T) {
			inNewNamespace(t, func() {
				l := &lab{t: t}
				defer func() {
					for _, fd := range l.fds {
						unix.Close(fd)
					}
				}()
				if !c.bare {
					ip(t, "link set lo up")
				}
				if c.setup != nil {
					c.setup(l)
				}
				c.check(t, ask(t, c.target, c.ask))
			})
		})
	}
}

func (c bindCase) check(t *testing.T, r *diagnose.Report) {
	t.Helper()
	if r.Status != c.status {
		t.Errorf("status %s, want %s", r.Status, c.status)
	}
	code, title := "", ""
	if r.RootCause != nil {
		code, title = r.RootCause.Code, r.RootCause.Title
		if c.proven != (r.RootCause.Confidence == diagnose.Proven) {
			t.Errorf("%s: %s", r.RootCause.Confidence, r.RootCause.Because)
		}
	}
	for _, f := range r.Findings {
		if code == "" && f.Code == c.code {
			code, title = f.Code, f.Title
		}
		if f.Code == "prediction-differs" || c.status == diagnose.OK && f.Code != c.code {
			t.Errorf("finding %s: %s", f.Code, f.Title)
		}
	}
	if code != c.code || !strings.Contains(title, c.title) {
		t.Errorf("%s: %s\nwant %s: … %s …", code, title, c.code, c.title)
	}
	commands := ""
	for _, f := range r.Fixes {
		for _, argv := range f.Commands {
			commands += strings.Join(argv, " ") + "\n"
		}
	}
	if !strings.Contains(commands, c.fix) {
		t.Errorf("no fix with %q: %s", c.fix, commands)
	}
	if c.code == "port-in-use" && len(r.FreePorts) != offered {
		t.Errorf("free ports: %v", r.FreePorts)
	}
	if t.Failed() {
		t.Log(text(r))
	}
}

func TestBindFindsTheAddressElsewhere(t *testing.T) {
	inNewNamespace(t, func() {
		ip(t, "link set lo up")
		name := "h7-" + strconv.Itoa(os.Getpid())
		ip(t, "netns add "+name)
		defer ip(t, "netns del "+name)
		ip(t, "-n "+name+" link add h7x type bridge")
		ip(t, "-n "+name+" addr add 10.77.7.7/24 dev h7x")
		r := ask(t, "10.77.7.7:8080", diagnose.Options{})
		if r.RootCause == nil || !strings.Contains(r.RootCause.Title, "it is on h7x in network namespace "+name) {
			t.Error(text(r))
		}
	})
}
