//go:build linux

package linux

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/talk"
)

func TestConnectFails(t *testing.T) {
	p := newPair(t)
	p.filter(
		"tcp dport 81 reject with icmp type port-unreachable",
		"tcp dport 81 reject with icmpv6 type port-unreachable",
		"tcp dport 82 reject with tcp reset",
		"tcp dport 83 reject with icmp type admin-prohibited",
		"tcp dport 83 reject with icmpv6 type admin-prohibited",
		"tcp dport 84 drop",
		"tcp dport 85 reject with icmp type host-prohibited",
		"tcp dport 86 reject with icmp type net-unreachable",
		"tcp dport 87 reject with icmp type prot-unreachable",
	)
	p.filterOut("tcp dport 91 drop", "tcp dport 92 reject with icmp type port-unreachable")
	for _, route := range []string{
		"unreachable 10.78.1.0/24", "prohibit 10.78.2.0/24", "blackhole 10.78.3.0/24", "10.78.4.0/24 via 10.77.0.2",
	} {
		p.ip(append([]string{"-n", p.name[0], "route", "add"}, strings.Fields(route)...)...)
	}
	b4, b6 := netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")
	for _, c := range []struct {
		name, to, errno string
		icmp            *host.ICMP
	}{
		{"nothing listens", "10.77.0.2:80", "ECONNREFUSED", nil},
		{"nothing listens, IPv6", "[fd77::2]:80", "ECONNREFUSED", nil},
		{"nothing listens, loopback", "127.0.0.1:80", "ECONNREFUSED", nil},
		{"nothing listens, mapped", "[::ffff:10.77.0.2]:80", "ECONNREFUSED", nil},
		{"port-unreachable", "10.77.0.2:81", "ECONNREFUSED", &host.ICMP{Version: 4, Type: 3, Code: 3, From: b4}},
		{"port-unreachable, IPv6", "[fd77::2]:81", "ECONNREFUSED", &host.ICMP{Version: 6, Type: 1, Code: 4, From: b6}},
		{"tcp reset", "10.77.0.2:82", "ECONNREFUSED", nil},
		{"admin-prohibited", "10.77.0.2:83", "EHOSTUNREACH", &host.ICMP{Version: 4, Type: 3, Code: 13, From: b4}},
		{"admin-prohibited, IPv6", "[fd77::2]:83", "EACCES", &host.ICMP{Version: 6, Type: 1, Code: 1, From: b6}},
		{"dropped", "10.77.0.2:84", "ETIMEDOUT", nil},
		{"host-prohibited", "10.77.0.2:85", "EHOSTUNREACH", &host.ICMP{Version: 4, Type: 3, Code: 10, From: b4}},
		{"net-unreachable", "10.77.0.2:86", "ENETUNREACH", &host.ICMP{Version: 4, Type: 3, Code: 0, From: b4}},
		{"prot-unreachable", "10.77.0.2:87", "ENOPROTOOPT", &host.ICMP{Version: 4, Type: 3, Code: 2, From: b4}},
		{"dropped on the way out", "10.77.0.2:91", "ETIMEDOUT", nil},
		{"rejected on the way out", "10.77.0.2:92", "ECONNREFUSED", &host.ICMP{Version: 4, Type: 3, Code: 3, From: netip.MustParseAddr("10.77.0.1")}},
		{"no route", "10.99.0.1:80", "ENETUNREACH", nil},
		{"no route, IPv6", "[fd99::1]:80", "ENETUNREACH", nil},
		{"unreachable route", "10.78.1.1:80", "EHOSTUNREACH", nil},
		{"prohibit route", "10.78.2.1:80", "EACCES", nil},
		{"blackhole route", "10.78.3.1:80", "EINVAL", nil},
		{"router without a route", "10.78.4.1:80", "ETIMEDOUT", nil},
		{"link-local without a device", "[fe80::1]:80", "EINVAL", nil},
		{"no such device", "[fe80::1%nowhere]:80", "ENODEV", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := attempt(t, p.a, host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort(c.to), Timeout: 500 * time.Millisecond})
			if got.Errno != c.errno {
				t.Errorf("errno %s, want %s", got.Errno, c.errno)
			}
			if (got.ICMP == nil) != (c.icmp == nil) || got.ICMP != nil && *got.ICMP != *c.icmp {
				t.Errorf("ICMP %+v, want %+v", got.ICMP, c.icmp)
			}
			if got.Accepted != "unknown" || got.Errno == "ETIMEDOUT" && got.Elapsed < 450*time.Millisecond {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A host that does not answer ARP: three requests, one second apart.
func TestConnectNoNeighbour(t *testing.T) {
	p := newPair(t)
	t.Parallel()
	for _, to := range []string{"10.77.0.9:80", "[fd77::9]:80"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			got := attempt(t, p.a, host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort(to), Timeout: 5 * time.Second})
			if got.Errno != "EHOSTUNREACH" || got.Elapsed < 2*time.Second || got.Elapsed > 4500*time.Millisecond {
				t.Errorf("%+v", got)
			}
			t.Logf("after %v, %+v", got.Elapsed, got.ICMP)
		})
	}
}

func TestConnectSource(t *testing.T) {
	p := newPair(t)
	p.ip("-n", p.name[0], "addr", "add", "10.77.0.3/24", "dev", "va")
	listen(t, p.b, "10.77.0.2:80")
	q := host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("10.77.0.2:80"), Timeout: time.Second, Source: netip.MustParseAddr("10.77.0.3")}
	if got := attempt(t, p.a, q); got.Errno != "" || got.Local.Addr() != q.Source || got.Remote != q.Address {
		t.Errorf("from %s: %+v", q.Source, got)
	}
	q.Source = netip.MustParseAddr("10.77.0.7")
	if got := attempt(t, p.a, q); got.Errno != "EADDRNOTAVAIL" {
		t.Errorf("from %s: %+v", q.Source, got)
	}
}

func TestConnectAccepted(t *testing.T) {
	p := newPair(t)
	hold := func(c net.Conn) { t.Cleanup(func() { c.Close() }) }
	deferred := func(fd int) {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 30); err != nil {
			t.Fatal(err)
		}
	}
	toDevice := func(device string) func(int) {
		return func(fd int) {
			if err := unix.BindToDevice(fd, device); err != nil {
				t.Fatal(err)
			}
		}
	}
	answer := func(c net.Conn) {
		c.Read(make([]byte, 1000))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		time.Sleep(20 * time.Millisecond)
		c.Close()
	}
	serve(t, dup(t, listen(t, p.a, "127.0.0.1:80")), hold)
	listen(t, p.a, "127.0.0.1:81")
	serve(t, dup(t, listen(t, p.a, "127.0.0.1:82", deferred)), hold)
	serve(t, dup(t, listen(t, p.a, "[::]:83")), hold)
	serve(t, dup(t, listen(t, p.a, "127.0.0.1:84", toDevice("lo"))), hold)
	serve(t, dup(t, listen(t, p.a, "127.0.0.1:85")), func(c net.Conn) { c.Close() })
	serve(t, dup(t, listen(t, p.b, "10.77.0.2:80")), hold)
	listen(t, p.b, "[fd77::2]:81")
	serve(t, dup(t, listen(t, p.a, "127.0.0.1:86", deferred)), answer)
	slow := listen(t, p.a, "127.0.0.1:87")
	time.AfterFunc(50*time.Millisecond, func() { serve(t, dup(t, slow), hold) })
	for _, c := range []struct {
		name, to, speak, accepted string
		in                        *Host
	}{
		{"accepts late", "127.0.0.1:87", "", "yes", p.a},
		{"accepts", "127.0.0.1:80", "", "yes", p.a},
		{"never accepts", "127.0.0.1:81", "", "no", p.a},
		{"accepts only what has spoken", "127.0.0.1:82", "", "no", p.a},
		{"IPv4 to an IPv6 listener", "127.0.0.1:83", "", "yes", p.a},
		{"IPv6", "[::1]:83", "", "yes", p.a},
		{"on a device", "127.0.0.1:84", "", "yes", p.a},
		{"accepts and closes", "127.0.0.1:85", "", "yes", p.a},
		{"in another namespace", "10.77.0.2:80", "", "yes", p.b},
		{"never accepts in another namespace", "[fd77::2]:81", "", "no", p.b},
		{"accepts once we have spoken", "127.0.0.1:86", "http", "yes", p.a},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := attempt(t, p.a, host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort(c.to), Timeout: time.Second, Speak: c.speak})
			if got.Errno != "" || got.Accepted != c.accepted || got.PeerNetNS != c.in.netns {
				t.Fatalf("%+v", got)
			}
			if c.accepted == "no" && got.PeerInode != 0 || got.Remote.String() != c.to || got.PathMTU == 0 {
				t.Errorf("%+v", got)
			}
			if c.name == "accepts" || c.name == "on a device" || c.name == "in another namespace" {
				var own bool
				list, err := c.in.Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: got.Remote.Port()})
				for _, s := range list {
					own = own || s.Inode == got.PeerInode
				}
				if err != nil || !own {
					t.Errorf("inode %d is not among %+v, %v", got.PeerInode, list, err)
				}
			}
			if c.speak != "" && (got.Talk == nil || got.Talk.Status != 200) {
				t.Errorf("talk %+v", got.Talk)
			}
		})
	}
}

// Where the peer is nowhere on this host, nobody can know.
func TestConnectUnknownPeer(t *testing.T) {
	p := newPair(t)
	serve(t, dup(t, listen(t, p.b, "10.77.0.2:80")), func(c net.Conn) { t.Cleanup(func() { c.Close() }) })
	text := "add table ip h4n\nadd chain ip h4n o { type nat hook output priority -100; }\nadd rule ip h4n o tcp dport 8080 dnat to 10.77.0.2:80\n"
	cmd := filepath.Join(t.TempDir(), "nat.nft")
	if err := os.WriteFile(cmd, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run("ip", "netns", "exec", p.name[0], "nft", "-f", cmd)
	got := attempt(t, p.a, host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("10.77.0.2:8080"), Timeout: time.Second})
	if got.Errno != "" || got.Accepted != "unknown" || got.PeerInode != 0 || got.PeerNetNS != 0 {
		t.Errorf("translated: %+v", got)
	}
}

func TestConnectToItself(t *testing.T) {
	p := newPair(t)
	p.run("ip", "netns", "exec", p.name[0], "sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=40000 40001")
	for range 50 {
		got := attempt(t, p.a, host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:40000"), Timeout: time.Second, Speak: "http"})
		if got.Errno == "" {
			if !got.SelfConnected || got.Talk != nil || got.Accepted != "unknown" {
				t.Errorf("%+v", got)
			}
			return
		}
	}
	t.Skip("the kernel never chose the port itself")
}

func TestConnectUDP(t *testing.T) {
	p := newPair(t)
	p.filter("udp dport 84 drop", "udp dport 85 reject with icmp type admin-prohibited")
	p.filterOut("udp dport 91 drop")
	echo := bound(t, p.b, unix.SOCK_DGRAM, "10.77.0.2:90")
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := unix.Recvfrom(echo, b, 0)
			if err != nil || from == nil {
				return
			}
			unix.Sendto(echo, b[:n], 0, from)
		}
	}()
	bound(t, p.b, unix.SOCK_DGRAM, "10.77.0.2:89")
	b4 := netip.MustParseAddr("10.77.0.2")
	for _, c := range []struct {
		name, to, payload, errno string
		icmp                     *host.ICMP
		answered                 bool
	}{
		{"answers", "10.77.0.2:90", "hello", "", nil, true},
		{"answers nothing with nothing", "10.77.0.2:90", "", "", nil, true},
		{"silent", "10.77.0.2:89", "x", "ETIMEDOUT", nil, false},
		{"closed", "10.77.0.2:80", "x", "ECONNREFUSED", &host.ICMP{Version: 4, Type: 3, Code: 3, From: b4}, false},
		{"closed, IPv6", "[fd77::2]:80", "", "ECONNREFUSED", &host.ICMP{Version: 6, Type: 1, Code: 4, From: netip.MustParseAddr("fd77::2")}, false},
		{"dropped", "10.77.0.2:84", "x", "ETIMEDOUT", nil, false},
		{"prohibited", "10.77.0.2:85", "x", "EHOSTUNREACH", &host.ICMP{Version: 4, Type: 3, Code: 13, From: b4}, false},
		{"dropped on the way out", "10.77.0.2:91", "x", "EPERM", nil, false},
		{"no route", "10.99.0.1:53", "x", "ENETUNREACH", nil, false},
		{"too long", "10.77.0.2:90", strings.Repeat("x", 70000), "EMSGSIZE", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := attempt(t, p.a, host.ConnectQuery{Network: "udp", Address: netip.MustParseAddrPort(c.to), Payload: []byte(c.payload), Timeout: 300 * time.Millisecond})
			if got.Errno != c.errno || got.Answered != c.answered {
				t.Errorf("%+v", got)
			}
			if (got.ICMP == nil) != (c.icmp == nil) || got.ICMP != nil && *got.ICMP != *c.icmp {
				t.Errorf("ICMP %+v, want %+v", got.ICMP, c.icmp)
			}
		})
	}
}

func TestConnectUnix(t *testing.T) {
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bind := func(name string, kind, backlog int) int {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		path := name
		if name[0] != '@' {
			path = filepath.Join(dir, name)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if backlog >= 0 {
			unix.Listen(fd, backlog)
		}
		return fd
	}
	hold := func(c net.Conn) { t.Cleanup(func() { c.Close() }) }
	serve(t, dup(t, bind("accepts", unix.SOCK_STREAM, 5)), hold)
	bind("waits", unix.SOCK_STREAM, 5)
	bind("full", unix.SOCK_STREAM, 0)
	serve(t, dup(t, bind("packets", unix.SOCK_SEQPACKET, 5)), hold)
	bind("datagrams", unix.SOCK_DGRAM, -1)
	bind("deaf", unix.SOCK_STREAM, -1)
	unix.Close(bind("stale", unix.SOCK_STREAM, 5))
	abstract := "@portwhy-test-" + filepath.Base(dir)
	bind(abstract, unix.SOCK_STREAM, 5)
	serve(t, dup(t, bind("http", unix.SOCK_STREAM, 5)), func(c net.Conn) {
		c.Read(make([]byte, 1000))
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		c.Close()
	})
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(first)
	if err := unix.Connect(first, &unix.SockaddrUnix{Name: filepath.Join(dir, "full")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, errno, accepted, speak string }{
		{"accepts", "", "yes", ""},
		{"waits", "", "no", ""},
		{"full", "EAGAIN", "unknown", ""},
		{"packets", "", "yes", ""},
		{"datagrams", "", "unknown", ""},
		{"deaf", "ECONNREFUSED", "unknown", ""},
		{"stale", "ECONNREFUSED", "unknown", ""},
		{"file", "ECONNREFUSED", "unknown", ""},
		{"missing", "ENOENT", "unknown", ""},
		{strings.Repeat("x", 200), "ENAMETOOLONG", "unknown", ""},
		{abstract, "", "no", ""},
		{"@no-such-name", "ECONNREFUSED", "unknown", ""},
		{"http", "", "yes", "http"},
		{"", "ENOENT", "unknown", ""},
	} {
		path := c.path
		if path != "" && path[0] != '@' {
			path = filepath.Join(dir, path)
		}
		got := attempt(t, h, host.ConnectQuery{Network: "unix", Path: path, Timeout: time.Second, Speak: c.speak})
		if got.Errno != c.errno || got.Accepted != c.accepted || (got.PeerInode != 0) != (c.accepted == "yes") {
			t.Errorf("%.20s: %+v", c.path, got)
		}
		if c.speak != "" && (got.Talk == nil || got.Talk.Status != 204) {
			t.Errorf("talk %+v", got.Talk)
		}
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	p := newPair(t)
	p.filter("meta l4proto { tcp, udp } th dport 84 drop")
	listen(t, p.b, "10.77.0.2:80")
	for _, q := range []host.ConnectQuery{
		{Network: "tcp", Address: netip.MustParseAddrPort("10.77.0.2:84")},
		{Network: "udp", Address: netip.MustParseAddrPort("10.77.0.2:84")},
		{Network: "tcp", Address: netip.MustParseAddrPort("10.77.0.2:80")},
		{Network: "tcp", Address: netip.MustParseAddrPort("10.77.0.2:80"), Speak: "tls"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Time
		time.AfterFunc(100*time.Millisecond, func() { at = time.Now(); cancel() })
		got, err := p.a.Connect(ctx, q)
		if late := time.Since(at); !errors.Is(err, context.Canceled) || late > 20*time.Millisecond {
			t.Errorf("%+v: %+v, %v, %v after the end", q, got, err, late)
		}
	}
}

func TestConnectRefusesNonsense(t *testing.T) {
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []host.ConnectQuery{{}, {Network: "sctp"}, {Network: "tcp"}} {
		if _, err := h.Connect(t.Context(), q); !errors.Is(err, host.ErrUnsupported) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	q := host.ConnectQuery{Network: "tcp", Address: l.Addr().(*net.TCPAddr).AddrPort(), Speak: "gopher"}
	if _, err := h.Connect(t.Context(), q); !errors.Is(err, talk.ErrProtocol) {
		t.Errorf("%+v: %v", q, err)
	}
}

// The socket can't be made: too many open files.
func TestConnectWithoutDescriptors(t *testing.T) {
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	got, err := h.Connect(t.Context(), host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:9")})
	b, bindErr := h.Bind(t.Context(), host.BindQuery{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:9")})
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil || got.Errno != "EMFILE" || got.SocketErrno != "EMFILE" {
		t.Errorf("connect: %+v, %v", got, err)
	}
	if bindErr != nil || b.Errno != "EMFILE" || b.SocketErrno != "EMFILE" {
		t.Errorf("bind: %+v, %v", b, bindErr)
	}
}
