//go:build linux

package linux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

func TestBind(t *testing.T) {
	p := newPair(t)
	reuse := func(fd int) { unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }
	listen(t, p.a, "127.0.0.1:81")
	bound(t, p.a, unix.SOCK_STREAM, "127.0.0.1:82")
	bound(t, p.a, unix.SOCK_STREAM, "127.0.0.1:83", reuse)
	bound(t, p.a, unix.SOCK_DGRAM, "127.0.0.1:84", reuse)
	listen(t, p.a, "[::]:85")
	listen(t, p.a, "127.0.0.1:87", reuse)
	p.ip("-n", p.name[0], "addr", "add", "fd78::1/64", "dev", "va")
	nobody := uint32(65534)
	for _, c := range []struct {
		name, network, address string
		uid                    *uint32
		errno, plain           string
	}{
		{"free", "tcp", "127.0.0.1:80", nil, "", ""},
		{"free, IPv6 wildcard", "tcp", "[::]:80", nil, "", ""},
		{"free, UDP", "udp", "0.0.0.0:80", nil, "", ""},
		{"any port", "tcp", "127.0.0.1:0", nil, "", ""},
		{"in use", "tcp", "127.0.0.1:81", nil, "EADDRINUSE", "EADDRINUSE"},
		{"in use by one address", "tcp", "0.0.0.0:81", nil, "EADDRINUSE", "EADDRINUSE"},
		{"the other address", "tcp", "127.0.0.2:81", nil, "", ""},
		{"TCP's port, UDP", "udp", "127.0.0.1:81", nil, "", ""},
		{"bound only", "tcp", "127.0.0.1:82", nil, "EADDRINUSE", "EADDRINUSE"},
		{"bound only, SO_REUSEADDR", "tcp", "127.0.0.1:83", nil, "", "EADDRINUSE"},
		{"UDP never shares", "udp", "127.0.0.1:84", nil, "EADDRINUSE", "EADDRINUSE"},
		{"dual stack", "tcp", "0.0.0.0:85", nil, "EADDRINUSE", "EADDRINUSE"},
		{"listening with SO_REUSEADDR", "tcp", "127.0.0.1:87", nil, "EADDRINUSE", "EADDRINUSE"},
		{"not this host's", "tcp", "10.9.9.9:80", nil, "EADDRNOTAVAIL", "EADDRNOTAVAIL"},
		{"mapped", "tcp", "[::ffff:127.0.0.1]:81", nil, "EADDRINUSE", "EADDRINUSE"},
		{"link-local without a device", "tcp", "[fe80::1]:80", nil, "EINVAL", "EINVAL"},
		{"no such device", "tcp", "[fe80::1%nowhere]:80", nil, "ENODEV", "ENODEV"},
		{"tentative", "tcp", "[fd78::1]:80", nil, "EADDRNOTAVAIL", "EADDRNOTAVAIL"},
		{"privileged", "tcp", "127.0.0.1:80", &nobody, "EACCES", "EACCES"},
		{"privileged, UDP", "udp", "127.0.0.1:80", &nobody, "EACCES", "EACCES"},
		{"not privileged", "tcp", "127.0.0.1:8080", &nobody, "", ""},
		{"nobody, not this host's", "tcp", "10.9.9.9:8080", &nobody, "EADDRNOTAVAIL", "EADDRNOTAVAIL"},
		{"nobody, here only", "tcp", "10.77.0.1:8080", &nobody, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := p.a.Bind(t.Context(), host.BindQuery{Network: c.network, Address: netip.MustParseAddrPort(c.address), UID: c.uid})
			if err != nil {
				t.Fatal(err)
			}
			if got.Errno != c.errno || got.Plain != c.plain || got.SocketErrno != "" || got.Elapsed <= 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A port in TIME-WAIT is free for servers that set SO_REUSEADDR.
func TestBindTimeWait(t *testing.T) {
	p := newPair(t)
	reuse := func(fd int) { unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }
	fd := listen(t, p.a, "127.0.0.1:86", reuse)
	client := bound(t, p.a, unix.SOCK_STREAM, "127.0.0.1:0")
	if err := unix.Connect(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 86}); err != nil {
		t.Fatal(err)
	}
	accepted, _, err := unix.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(accepted)
	if n, err := unix.Read(client, make([]byte, 1)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	unix.Shutdown(client, unix.SHUT_WR)
	unix.Shutdown(fd, unix.SHUT_RDWR) // ends listening
	got, err := p.a.Bind(t.Context(), host.BindQuery{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:86")})
	if err != nil || got.Plain != "EADDRINUSE" || got.Errno != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBindRefuses(t *testing.T) {
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	for _, q := range []host.BindQuery{{}, {Network: "unix", Path: path}, {Network: "tcp"}, {Network: "sctp", Address: netip.MustParseAddrPort("127.0.0.1:80")}} {
		if _, err := h.Bind(t.Context(), q); !errors.Is(err, host.ErrUnsupported) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the path was made: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Bind(ctx, host.BindQuery{Network: "tcp", Address: netip.MustParseAddrPort("127.0.0.1:0")}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The child has no capabilities, whoever starts it, and does nothing else.
func TestBindChild(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to act as another user")
	}
	var out bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{bindChild, "tcp", "127.0.0.1:80"}
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	// Even root's child has given its capabilities away.
	if got, err := parseBindAttempt(out.Bytes()); err != nil || got.Errno != "EACCES" {
		t.Errorf("%s: %+v, %v", out.Bytes(), got, err)
	}
	for _, args := range [][]string{nil, {"portwhy"}, {"portwhy", bindChild}} {
		if _, handled := BindChild(args); handled {
			t.Errorf("%q is taken for the child", args)
		}
	}
	for _, args := range [][]string{nil, {"tcp"}, {"unix", "127.0.0.1:80"}, {"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1:80", "x"}} {
		if err := runBindChild(args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestParseBindAttempt(t *testing.T) {
	for _, bad := range []string{"", "{", `{"Errno":"rm -rf"}`, `{"Plain":"E\u001b[31m"}`, `{"SocketErrno":"x"}`, `{"Elapsed":-1}`, `{"Elapsed":1e15}`, `[]`, `{} {}`} {
		if a, err := parseBindAttempt([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, a)
		}
	}
	a, err := parseBindAttempt([]byte(`{"Errno":"EACCES","Plain":"EADDRINUSE","Elapsed":5}`))
	if want := (host.BindAttempt{Errno: "EACCES", Plain: "EADDRINUSE", Elapsed: 5}); err != nil || a != want {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzParseBindAttempt(f *testing.F) {
	f.Add([]byte(`{"Errno":"EACCES","Elapsed":5}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseBindAttempt(b)
		if err == nil && strings.ContainsAny(a.Errno+a.Plain+a.SocketErrno, "\x1b\n ") {
			t.Errorf("%+v", a)
		}
	})
}

const someUsers = "root:x:0:0:root:/root:/bin/sh\nshort:x:7\nbad:x:n:1::/:\nworse:x:9:n::/:\nwww:x:33:33:www:/:/bin/sh\nagain:x:33:34::/:\n"

const someGroups = "root:x:0:\nadm:x:4:syslog,www\nwww:x:33:www\nssl:x:101:www,www\nbad:x:n:www\nshort:x:7\nother:x:8:wwww\nlast:x:102:x,www"

func TestUserGroups(t *testing.T) {
	for _, c := range []struct {
		uid, gid uint32
		name     string
		ok       bool
	}{{0, 0, "root", true}, {33, 33, "www", true}, {7, 0, "", false}, {9, 0, "", false}, {1000, 0, "", false}} {
		name, gid, ok := userOf([]byte(someUsers), c.uid)
		if name != c.name || gid != c.gid || ok != c.ok {
			t.Errorf("user %d: %q %d %v", c.uid, name, gid, ok)
		}
	}
	if got, want := groupsOf([]byte(someGroups), "www", 33), []uint32{33, 4, 101, 102}; !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}

func FuzzUserGroups(f *testing.F) {
	f.Add([]byte(someUsers), uint32(33), "www")
	f.Add([]byte(someGroups), uint32(33), "www")
	f.Fuzz(func(t *testing.T, b []byte, id uint32, name string) {
		if user, _, ok := userOf(b, id); ok && (user == "" || strings.ContainsAny(user, ":\n")) {
			t.Errorf("user %q", user)
		}
		if groups := groupsOf(b, name, id); groups[0] != id || slices.Contains(groups[1:], id) {
			t.Errorf("groups %v", groups)
		}
	})
}
