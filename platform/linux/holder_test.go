//go:build linux

package linux

import (
	"context"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// TestHoldersAreDescribedAlike holds what is told of a holder on the way
// against what Process tells.
func TestHoldersAreDescribedAlike(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := new(Host)
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	sockets, err := h.Sockets(context.Background(), host.SocketQuery{Network: "tcp", States: []host.State{host.Listen}, Port: port})
	if err != nil || len(sockets) != 1 {
		t.Fatalf("%v, %v", sockets, err)
	}
	want, err := h.Process(context.Background(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []host.HolderQuery{{Names: true, Args: true}, {Names: true, Every: true}, {}} {
		q.Inodes = []uint64{sockets[0].Inode}
		found, err := h.Holders(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := found.Processes[os.Getpid()]
		if !q.Names {
			if found.Processes != nil {
				t.Errorf("%+v: described without being asked", q)
			}
			continue
		}
		if !ok || got.Name != want.Name || got.UID != want.UID || got.User != want.User || got.StartTicks != want.StartTicks ||
			got.Cgroup != want.Cgroup || got.Unit != want.Unit || got.UserUnit != want.UserUnit || got.Container != want.Container {
			t.Errorf("%+v: got %+v, want %+v", q, got, want)
		}
		if q.Args != slices.Equal(got.Args, want.Args) {
			t.Errorf("%+v: arguments %q, want %q", q, got.Args, want.Args)
		}
	}
}
