//go:build linux

package linux

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// A port where nothing listens: the reset is the stack's own, and counted.
func TestConnectTellsCountersThatMoved(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := h.Connect(t.Context(), host.ConnectQuery{Network: "tcp", Address: to, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if a.Errno != "ECONNREFUSED" || a.Moved["Tcp.OutRsts"] < 1 {
		t.Errorf("errno %q, Tcp.OutRsts rose by %d; want ECONNREFUSED and a reset that is counted", a.Errno, a.Moved["Tcp.OutRsts"])
	}
	for name := range a.Moved {
		if name == "Tcp.CurrEstab" {
			continue
		}
		if len(name) > 9 && name[:9] == "Sockstat." {
			t.Errorf("%s is a level, not a count", name)
		}
	}
}
