package portable

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

func TestConnect(t *testing.T) {
	h := &Host{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1000))
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			c.Close()
		}
	}()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := echo.ReadFrom(b)
			if err != nil {
				return
			}
			if n < 5 {
				echo.WriteTo(b[:n], from)
			}
		}
	}()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	at := func(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
	dir := t.TempDir()
	s, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		name     string
		q        host.ConnectQuery
		errno    string
		answered bool
		status   int
	}{
		{"listens", host.ConnectQuery{Network: "tcp", Address: at(l.Addr())}, "", false, 0},
		{"speaks", host.ConnectQuery{Network: "tcp", Address: at(l.Addr()), Speak: "http"}, "", false, 204},
		{"from an address", host.ConnectQuery{Network: "tcp", Address: at(l.Addr()), Source: netip.MustParseAddr("127.0.0.1")}, "", false, 0},
		{"refused", host.ConnectQuery{Network: "tcp", Address: at(closed.Addr())}, "ECONNREFUSED", false, 0},
		{"datagram", host.ConnectQuery{Network: "udp", Address: at(echo.LocalAddr()), Payload: []byte("x")}, "", true, 0},
		{"empty datagram", host.ConnectQuery{Network: "udp", Address: at(echo.LocalAddr())}, "", true, 0},
		{"silence", host.ConnectQuery{Network: "udp", Address: at(echo.LocalAddr()), Payload: []byte("hello"), Timeout: 200 * time.Millisecond}, "ETIMEDOUT", false, 0},
		{"no datagram wanted", host.ConnectQuery{Network: "udp", Address: at(free.LocalAddr()), Payload: []byte("x")}, "ECONNREFUSED", false, 0},
		{"unix", host.ConnectQuery{Network: "unix", Path: filepath.Join(dir, "s")}, "", false, 0},
		{"no such path", host.ConnectQuery{Network: "unix", Path: filepath.Join(dir, "t")}, "ENOENT", false, 0},
	} {
		if runtime.GOOS == "windows" && c.name == "no such path" {
			continue // Winsock has its own numbers for paths
		}
		got, err := h.Connect(t.Context(), c.q)
		if err != nil || got.Errno != c.errno || got.Answered != c.answered || got.Accepted != "unknown" || got.Elapsed <= 0 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if c.status != 0 && (got.Talk == nil || got.Talk.Status != c.status) {
			t.Errorf("%s: %+v", c.name, got.Talk)
		}
		if c.errno == "" && c.q.Network != "unix" && (got.Remote != c.q.Address || !got.Local.IsValid()) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Connect(ctx, host.ConnectQuery{Network: "tcp", Address: at(l.Addr())}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, q := range []host.ConnectQuery{{}, {Network: "tcp"}, {Network: "sctp", Address: at(l.Addr())}} {
		if _, err := h.Connect(t.Context(), q); !errors.Is(err, host.ErrUnsupported) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

const hosts = "# comment\n127.0.0.1\tlocalhost db1 # here\n\n::1 localhost\nfe80::1%lo0 localhost\n10.0.0.1 DB1 db1.example\nbroken db1\n10.0.0.2\n"

func TestParseHosts(t *testing.T) {
	got, err := parseHosts(strings.NewReader(hosts+strings.Repeat("x", 20000)+" db1\n10.0.0.3 db1."), "db1.")
	var lines []int
	for _, l := range got {
		lines = append(lines, l.Line)
	}
	if err != nil || !slices.Equal(lines, []int{2, 6}) || got[1].Address != netip.MustParseAddr("10.0.0.1") || !slices.Equal(got[1].Names, []string{"DB1", "db1.example"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parseHosts(strings.NewReader(hosts), "localhost"); err != nil || len(got) != 3 || got[2].Address != netip.MustParseAddr("fe80::1") {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add([]byte(hosts), "db1")
	f.Add([]byte("\xff \xfe\n::1 \x1b"), "\x1b")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		lines, err := parseHosts(bytes.NewReader(b), name)
		if err != nil {
			t.Error(err)
		}
		for _, l := range lines {
			if !l.Address.IsValid() || l.Line == 0 || len(l.Names) == 0 {
				t.Errorf("%+v", l)
			}
		}
	})
}

func TestResolveLiteral(t *testing.T) {
	h := &Host{HostsFile: filepath.Join(t.TempDir(), "none")}
	r, err := h.Resolve(t.Context(), "::ffff:10.0.0.1")
	if err != nil || r.Source != "literal" || len(r.Addresses) != 1 || r.Addresses[0] != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLookupError(t *testing.T) {
	for want, err := range map[string]error{
		"not-found":      &net.DNSError{IsNotFound: true, Server: "10.0.0.1"},
		"timeout":        &net.DNSError{IsTimeout: true, IsTemporary: true},
		"temporary":      &net.DNSError{IsTemporary: true},
		"server is busy": &net.DNSError{Err: "server is busy"},
		"other":          errors.New("other"),
	} {
		if kind, detail, _ := lookupError(err); kind != want || detail == "" {
			t.Errorf("%v: %q, %q", err, kind, detail)
		}
	}
}

func TestLinksAndAddresses(t *testing.T) {
	h := &Host{}
	links, err := h.Links(t.Context())
	if err != nil || !slices.ContainsFunc(links, func(l host.Link) bool { return l.Loopback }) {
		t.Errorf("links %+v, %v", links, err)
	}
	addresses, err := h.Addresses(t.Context())
	if err != nil || !slices.ContainsFunc(addresses, func(a host.Address) bool {
		return a.Prefix == netip.MustParsePrefix("127.0.0.1/8") && a.Scope == "host" && a.Device != ""
	}) {
		t.Errorf("addresses %+v, %v", addresses, err)
	}
	for _, l := range links {
		if n, err := ZoneIndex(l.Name); err != nil || int(n) != l.Index {
			t.Errorf("device %s has number %d, %v", l.Name, n, err)
		}
	}
	if n, err := ZoneIndex("7"); n != 7 || err != nil {
		t.Errorf("device 7: %d, %v", n, err)
	}
	if _, err := ZoneIndex("nowhere"); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("no such device: %v", err)
	}
}

func TestTable(t *testing.T) {
	ap := netip.MustParseAddrPort
	entry := func(local string, state host.State, pid, fd int) Entry {
		s := host.Socket{Network: "tcp", State: state, Local: ap(local), Remote: ap("0.0.0.0:0")}
		s.Inode = Key(s)
		return Entry{Socket: s, PID: pid, FD: fd}
	}
	entries := []Entry{
		entry("0.0.0.0:81", host.Listen, 9, 4), entry("0.0.0.0:80", host.Listen, 8, 3), entry("0.0.0.0:80", host.Listen, 7, 3),
		entry("0.0.0.0:80", host.Listen, 7, 3), entry("0.0.0.0:82", host.BoundInactive, 0, -1),
	}
	if got := Select(entries, host.SocketQuery{Network: "tcp"}); len(got) != 2 || got[0].Local.Port() != 80 || got[1].Local.Port() != 81 {
		t.Errorf("%+v", got)
	}
	started := func(_ context.Context, pid int) uint64 { return uint64(pid) * 100 }
	got, err := HoldersOf(t.Context(), entries, host.HolderQuery{Inodes: []uint64{entries[1].Socket.Inode}}, started)
	want := []host.Holder{{PID: 7, FD: 3, StartTicks: 700}, {PID: 8, FD: 3, StartTicks: 800}}
	if err != nil || len(got.BySocket) != 1 || !slices.Equal(got.BySocket[entries[1].Socket.Inode], want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := HoldersOf(t.Context(), entries, host.HolderQuery{}, started); err != nil || len(got.BySocket) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	a, b := entries[0].Socket, entries[0].Socket
	b.Network = "udp"
	if Key(a) == Key(b) || Key(a) == 0 || Key(a) == Key(entries[1].Socket) {
		t.Error("two sockets have one number")
	}
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		network, name string
		want          host.State
	}{
		{"tcp", "LISTEN", host.Listen}, {"tcp", "ESTABLISHED", host.Estab}, {"tcp", "SYN_RCVD", host.SynRecv},
		{"tcp", "SYN_RECEIVED", host.SynRecv}, {"tcp", "FIN_WAIT_2", host.FinWait2}, {"tcp", "CLOSED", host.BoundInactive},
		{"udp", "CLOSED", host.Unconn}, {"udp", "", host.Unconn}, {"tcp", "nonsense", host.Unconn},
	} {
		if got := State(c.network, c.name); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.network, c.name, got, c.want)
		}
	}
}

// Nothing here may answer "there is none" where nobody has looked.
func TestUnsupportedSaysSo(t *testing.T) {
	var u Unsupported
	_, links := u.Links(t.Context())
	_, units := u.Units(t.Context())
	_, claims := u.Claims(t.Context())
	_, namespaces := u.Namespaces(t.Context())
	_, firewall := u.Firewall(t.Context())
	for _, err := range []error{links, units, claims, namespaces, firewall} {
		if !errors.Is(err, host.ErrUnsupported) {
			t.Error(err)
		}
	}
}
