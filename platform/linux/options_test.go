//go:build linux

package linux

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

func TestSocketOptions(t *testing.T) {
	h := openHost(t)
	fd, local := testSocket{unix.AF_INET, unix.SOCK_STREAM, netip.MustParseAddrPort("127.0.0.1:0"), [][3]int{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 5}, {unix.IPPROTO_IP, unix.IP_FREEBIND, 1},
	}, "", 4}.open(t)
	got, err := h.SocketOptions(t.Context(), os.Getpid(), fd)
	if err != nil {
		t.Fatal(err)
	}
	// TCP keeps DEFER_ACCEPT as a number of retransmissions: 5 s become 7.
	if got.DeferAccept < 5 {
		t.Errorf("defer accept %d, want 5 or more", got.DeferAccept)
	}
	got.DeferAccept = 0
	want := host.SocketOptions{ReuseAddr: true, ReusePort: true, FreeBind: true, Accepting: true, Local: local}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range []int{-1, 1 << 20} {
		if _, err := h.SocketOptions(t.Context(), os.Getpid(), bad); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("descriptor %d: %v, want ErrNotFound", bad, err)
		}
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := h.SocketOptions(t.Context(), os.Getpid(), int(null.Fd())); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("a descriptor that is no socket: %v, want ErrNotFound", err)
	}
}
