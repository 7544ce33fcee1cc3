//go:build linux

package linux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

func openHost(t testing.TB) *Host {
	t.Helper()
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// testSocket makes a socket with options and binds it.
type testSocket struct {
	family, kind int
	address      netip.AddrPort
	options      [][3]int // level, name, value
	device       string
	listen       int // backlog, 0: it does not listen
}

func (c testSocket) open(t testing.TB) (fd int, local netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(c.family, c.kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	for _, o := range c.options {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			t.Fatalf("setsockopt %v: %v", o, err)
		}
	}
	if c.device != "" {
		if err := unix.BindToDevice(fd, c.device); err != nil {
			t.Fatal(err)
		}
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: c.address.Addr().As16(), Port: int(c.address.Port())}
	if c.family == unix.AF_INET {
		sa = &unix.SockaddrInet4{Addr: c.address.Addr().As4(), Port: int(c.address.Port())}
	}
	if err := unix.Bind(fd, sa); err != nil {
		t.Fatal(err)
	}
	if c.listen > 0 {
		if err := unix.Listen(fd, c.listen); err != nil {
			t.Fatal(err)
		}
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		local = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		local = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return fd, local
}

func inodeOfFD(t testing.TB, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestSocketsByPort(t *testing.T) {
	any4, any6 := netip.MustParseAddrPort("0.0.0.0:0"), netip.MustParseAddrPort("[::]:0")
	loop4, loop6 := netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::1]:0")
	v6only := [3]int{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}
	both := [3]int{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0}
	h := openHost(t)
	for _, c := range []struct {
		name   string
		socket testSocket
		want   host.Socket
	}{
		{"tcp4 any", testSocket{unix.AF_INET, unix.SOCK_STREAM, any4, nil, "", 7}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 7}},
		{"tcp4 loopback", testSocket{unix.AF_INET, unix.SOCK_STREAM, loop4, nil, "", 1}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 1}},
		{"tcp6 v6only", testSocket{unix.AF_INET6, unix.SOCK_STREAM, any6, [][3]int{v6only}, "", 5}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 5, V6Only: true}},
		{"tcp6 dual", testSocket{unix.AF_INET6, unix.SOCK_STREAM, any6, [][3]int{both}, "", 5}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 5}},
		// The kernel makes it so for every address but the wildcard (inet6_bind).
		{"tcp6 loopback", testSocket{unix.AF_INET6, unix.SOCK_STREAM, loop6, [][3]int{both}, "", 5}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 5, V6Only: true}},
		{"tcp4 bound only", testSocket{unix.AF_INET, unix.SOCK_STREAM, loop4, nil, "", 0}, host.Socket{Network: "tcp", State: host.BoundInactive}},
		{"tcp6 bound only", testSocket{unix.AF_INET6, unix.SOCK_STREAM, any6, [][3]int{v6only}, "", 0}, host.Socket{Network: "tcp", State: host.BoundInactive, V6Only: true}},
		{"tcp4 device", testSocket{unix.AF_INET, unix.SOCK_STREAM, any4, nil, "lo", 3}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 3, Interface: 1, Device: "lo"}},
		{"tcp4 freebind", testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("203.0.113.9:0"), [][3]int{{unix.IPPROTO_IP, unix.IP_FREEBIND, 1}}, "", 3}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 3, FreeBind: true}},
		{"tcp4 mark", testSocket{unix.AF_INET, unix.SOCK_STREAM, any4, [][3]int{{unix.SOL_SOCKET, unix.SO_MARK, 77}}, "", 3}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 3, Mark: 77}},
		{"tcp4 transparent", testSocket{unix.AF_INET, unix.SOCK_STREAM, any4, [][3]int{{unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1}}, "", 3}, host.Socket{Network: "tcp", State: host.Listen, Backlog: 3, Transparent: true}},
		{"udp4", testSocket{unix.AF_INET, unix.SOCK_DGRAM, any4, nil, "", 0}, host.Socket{Network: "udp", State: host.Unconn}},
		{"udp6", testSocket{unix.AF_INET6, unix.SOCK_DGRAM, any6, [][3]int{v6only}, "", 0}, host.Socket{Network: "udp", State: host.Unconn, V6Only: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if (c.want.Mark != 0 || c.want.Transparent) && os.Geteuid() != 0 {
				t.Skip("needs CAP_NET_ADMIN")
			}
			fd, local := c.socket.open(t)
			list, err := h.Sockets(t.Context(), host.SocketQuery{Port: local.Port(),
				States: []host.State{host.Listen, host.BoundInactive, host.Unconn}})
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 1 {
				t.Fatalf("%d sockets on port %d, want 1: %+v", len(list), local.Port(), list)
			}
			got := list[0]
			if got.Cookie == 0 || got.NetNS != h.netns || got.CgroupID == 0 {
				t.Errorf("cookie %d, namespace %d, cgroup %d: want all known", got.Cookie, got.NetNS, got.CgroupID)
			}
			want := c.want
			want.Local, want.Remote = local, netip.AddrPortFrom(got.Remote.Addr(), 0)
			want.Inode, want.UID, want.NetNS = inodeOfFD(t, fd), uint32(os.Geteuid()), h.netns
			want.Cookie, want.CgroupID = got.Cookie, got.CgroupID
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if c.want.State == host.BoundInactive {
				list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: local.Port()})
				if err != nil || len(list) != 0 {
					t.Errorf("bound socket is in a list that did not ask for it: %v %v", list, err)
				}
			}
		})
	}
}

// connectTo connects without blocking and leaves the connection alone.
func connectTo(t testing.TB, to netip.AddrPort) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil && err != unix.EINPROGRESS {
		t.Fatal(err)
	}
	return fd
}

func TestSocketQueue(t *testing.T) {
	h := openHost(t)
	_, local := testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 4}.open(t)
	for range 3 {
		connectTo(t, local)
	}
	list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: local.Port(), States: []host.State{host.Listen}})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	if list[0].Queue != 3 || list[0].Backlog != 4 {
		t.Errorf("queue %d of %d, want 3 of 4", list[0].Queue, list[0].Backlog)
	}
	// The connections that nobody accepted are there, without a holder.
	list, err = h.Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: local.Port(), States: []host.State{host.Estab}})
	if err != nil || len(list) != 3 {
		t.Fatalf("%d connections, want 3: %v", len(list), err)
	}
	for _, s := range list {
		if s.Inode != 0 || s.PMTU == 0 {
			t.Errorf("inode %d, PMTU %d: want none and one", s.Inode, s.PMTU)
		}
	}
	list, err = h.Sockets(t.Context(), host.SocketQuery{Network: "tcp", RemotePort: local.Port()})
	if err != nil || len(list) != 3 {
		t.Fatalf("%d by remote port, want 3: %v", len(list), err)
	}
	for _, s := range list {
		if s.Inode == 0 || s.Remote != local {
			t.Errorf("client %+v", s)
		}
	}
}

func TestSocketHalfOpen(t *testing.T) {
	name := makeNetNS(t)
	h, err := Open(Options{NetNS: name})
	if err != nil {
		t.Fatal(err)
	}
	// A full queue leaves the next client in SYN-SENT; the listener may keep a
	// request for it, which is told only to who asks for SYN-RECV.
	err = h.inNamespace(func() error {
		_, local := testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 1}.open(t)
		for range 4 {
			connectTo(t, local)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp"})
	if err != nil {
		t.Fatal(err)
	}
	states := make(map[host.State]int)
	for _, s := range list {
		states[s.State]++
	}
	if states[host.SynSent] == 0 || states[host.SynRecv] != 0 || states[host.Listen] != 1 {
		t.Errorf("states %v: want SYN-SENT, one LISTEN and no SYN-RECV", states)
	}
}

func TestSocketFilterDrops(t *testing.T) {
	h := openHost(t)
	fd, local := testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 4}.open(t)
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop[0]}); err == unix.EPERM {
		t.Skipf("this kernel lets administrators attach filters only: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	connectTo(t, local)
	list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: local.Port(), States: []host.State{host.Listen}})
	if err != nil || len(list) != 1 || list[0].Drops != 1 {
		t.Errorf("want one drop: %+v %v", list, err)
	}
	o, err := h.SocketOptions(t.Context(), os.Getpid(), fd)
	if err != nil || !o.Filter || o.FilterLength != 1 {
		t.Errorf("want a filter of one instruction: %+v %v", o, err)
	}
}

func TestUnixSockets(t *testing.T) {
	h := openHost(t)
	path := filepath.Join(t.TempDir(), "s\x1b[31m.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "unix", Path: path, States: []host.State{host.Listen}})
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	s := list[0]
	inode, err := inodeOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.FileInode != inode&(1<<32-1) || s.Queue != 1 || s.Backlog == 0 || s.UID != uint32(os.Geteuid()) {
		t.Errorf("got %+v, want file %d and one connection", s, inode)
	}
	// The client's peer waits to be accepted.
	connected, err := h.Sockets(t.Context(), host.SocketQuery{Network: "unix", States: []host.State{host.Estab}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var client uint64
	if err := raw.Control(func(fd uintptr) { client = inodeOfFD(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range connected {
		found = found || s.Inode == client
	}
	if !found {
		t.Errorf("client %d is not among %d connected sockets", client, len(connected))
	}

	abstract := fmt.Sprintf("@portwhy-test-%d\x00tail", os.Getpid())
	a, err := net.Listen("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	list, err = h.Sockets(t.Context(), host.SocketQuery{Network: "unix", Path: abstract})
	if err != nil || len(list) != 1 || list[0].State != host.Listen {
		t.Errorf("abstract: %+v %v", list, err)
	}
}

// TestSocketsProcNet compares both ways to list sockets.
func TestSocketsProcNet(t *testing.T) {
	h := openHost(t)
	for _, c := range []testSocket{
		{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 4},
		{unix.AF_INET6, unix.SOCK_STREAM, netip.MustParseAddrPort("[::1]:0"), nil, "", 4},
		{unix.AF_INET, unix.SOCK_DGRAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 0},
		{unix.AF_INET6, unix.SOCK_DGRAM, netip.MustParseAddrPort("[::1]:0"), nil, "", 0},
	} {
		_, local := c.open(t)
		q := host.SocketQuery{Port: local.Port(), States: []host.State{host.Listen, host.Unconn}} // an old connection may have the port, too
		diag, err := h.Sockets(t.Context(), q)
		if err != nil || len(diag) != 1 {
			t.Fatalf("sock_diag: %v %v", diag, err)
		}
		bare := &Host{netns: h.netns}
		bare.modules.may = map[string]bool{"tcp_diag": false, "udp_diag": false, "unix_diag": false}
		proc, err := bare.Sockets(t.Context(), q)
		if err != nil || len(proc) != 1 {
			t.Fatalf("/proc/net: %v %v", proc, err)
		}
		if bare.diag.conn != nil {
			t.Error("sock_diag was used although it may load a module")
		}
		d, p := diag[0], proc[0]
		if !p.Brief || d.Brief {
			t.Errorf("brief: %v by /proc/net, %v by sock_diag", p.Brief, d.Brief)
		}
		if d.Local != p.Local || d.Remote != p.Remote || d.State != p.State || d.Inode != p.Inode || d.UID != p.UID || d.NetNS != p.NetNS {
			t.Errorf("by sock_diag %+v\nby /proc/net %+v", d, p)
		}
		if _, err := bare.Sockets(t.Context(), host.SocketQuery{Network: "tcp", States: []host.State{host.BoundInactive}}); !errors.Is(err, host.ErrUnsupported) {
			t.Errorf("bound sockets without sock_diag: %v, want ErrUnsupported", err)
		}
	}
	path := filepath.Join(t.TempDir(), "a b")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bare := new(Host)
	bare.modules.may = map[string]bool{"unix_diag": false}
	list, err := bare.Sockets(t.Context(), host.SocketQuery{Network: "unix", Path: path})
	if err != nil || len(list) != 1 || list[0].State != host.Listen || list[0].Inode == 0 {
		t.Errorf("unix by /proc/net: %+v %v", list, err)
	}
}

func TestSocketsInNamespace(t *testing.T) {
	name := makeNetNS(t)
	if out, err := exec.Command("ip", "-n", name, "link", "add", "dm0", "type", "veth", "peer", "name", "dm1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h, err := Open(Options{NetNS: name})
	if err != nil {
		t.Fatal(err)
	}
	var local netip.AddrPort
	if err := h.inNamespace(func() error {
		_, local = testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("0.0.0.0:0"), nil, "dm0", 3}.open(t)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp"})
	if err != nil || len(list) != 1 || list[0].Local != local || list[0].Device != "dm0" || list[0].NetNS != h.netns {
		t.Errorf("got %+v %v", list, err)
	}
	bare := &Host{ns: h.ns, netns: h.netns}
	bare.modules.may = map[string]bool{"tcp_diag": false}
	list, err = bare.Sockets(t.Context(), host.SocketQuery{Network: "tcp"})
	if err != nil || len(list) != 1 || list[0].Local != local {
		t.Errorf("by /proc/net: %+v %v", list, err)
	}
	own, err := openHost(t).Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: local.Port(), States: []host.State{host.Listen}})
	if err != nil || len(own) != 0 {
		t.Errorf("the other namespace's socket is seen at home: %+v %v", own, err)
	}
}
