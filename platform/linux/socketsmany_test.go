//go:build linux

package linux

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// TestSocketsMany lists 50,000 sockets: connections that were closed wait in
// the kernel without using a descriptor.
func TestSocketsMany(t *testing.T) {
	if testing.Short() {
		t.Skip("50,000 sockets take a while")
	}
	const servers, each = 5, 10_000
	name := makeNetNS(t)
	h, err := Open(Options{NetNS: name})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.inNamespace(func() error {
		// Else a slow machine takes their ports again (tcp_tw_reuse on loopback).
		if err := os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("0"), 0); err != nil {
			return err
		}
		for range servers {
			fd, local := testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 100}.open(t)
			for range each {
				client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					return err
				}
				if err := unix.Connect(client, &unix.SockaddrInet4{Addr: local.Addr().As4(), Port: int(local.Port())}); err != nil {
					return err
				}
				server, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
				if err != nil {
					return err
				}
				unix.Close(client)
				unix.Close(server)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	list, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp"})
	if err != nil || len(list) < servers*each {
		t.Fatalf("%d sockets, want %d or more: %v", len(list), servers*each, err)
	}
	t.Logf("listed %d sockets in %v", len(list), time.Since(start))
}

func TestSocketsInUse(t *testing.T) {
	h, err := Open(Options{NetNS: makeNetNS(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.inNamespace(func() error {
		for range 3 {
			testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), nil, "", 4}.open(t)
			testSocket{unix.AF_INET6, unix.SOCK_STREAM, netip.MustParseAddrPort("[::1]:0"), nil, "", 4}.open(t)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := h.socketsInUse(unix.IPPROTO_TCP); n != 6 {
		t.Errorf("%d TCP sockets in use, want 6", n)
	}
	if n := h.socketsInUse(unix.IPPROTO_UDP); n != 0 {
		t.Errorf("%d UDP sockets in use, want none", n)
	}
}

func TestSocketsCancelled(t *testing.T) {
	h := openHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Sockets(ctx, host.SocketQuery{Network: "tcp"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	if _, err := h.Sockets(t.Context(), host.SocketQuery{Network: "tcp"}); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
}
