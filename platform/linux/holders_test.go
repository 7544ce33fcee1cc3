//go:build linux

package linux

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

func listenTCP(t testing.TB) (*net.TCPListener, uint16, uint64) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var inode uint64
	if err := raw.Control(func(fd uintptr) { inode = inodeOfFD(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	return l, uint16(l.Addr().(*net.TCPAddr).Port), inode
}

func TestHoldersInherited(t *testing.T) {
	h := openHost(t)
	l, _, inode := listenTCP(t)
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child, _ := startHelper(t, "hold", func(c *exec.Cmd) { c.ExtraFiles = []*os.File{file} })

	for _, every := range []bool{false, true} {
		got, err := h.Holders(t.Context(), host.HolderQuery{Inodes: []uint64{inode, 0}, Every: every})
		if err != nil {
			t.Fatal(err)
		}
		var holders []int
		for _, holder := range got.BySocket[inode] {
			holders = append(holders, holder.PID)
			p, err := h.Process(t.Context(), holder.PID)
			if err != nil || p.StartTicks != holder.StartTicks {
				t.Errorf("process %d started at %d, holder at %d: %v", holder.PID, p.StartTicks, holder.StartTicks, err)
			}
		}
		// Here by its own descriptor and by file's.
		want := []int{os.Getpid(), os.Getpid(), child.Process.Pid}
		slices.Sort(want) // a later process may have a lower number
		if !slices.Equal(holders, want) {
			t.Errorf("every=%v: holders %v, want %v", every, holders, want)
		}
		if len(got.BySocket) != 1 {
			t.Errorf("every=%v: %d sockets, want 1", every, len(got.BySocket))
		}
	}
	all, err := h.Holders(t.Context(), host.HolderQuery{})
	if err != nil || len(all.BySocket[inode]) != 3 {
		t.Errorf("in all sockets: %v %v", all.BySocket[inode], err)
	}
	none, err := h.Holders(t.Context(), host.HolderQuery{Inodes: []uint64{1<<32 - 2}})
	if err != nil || len(none.BySocket) != 0 {
		t.Errorf("a socket that is not there: %v %v", none.BySocket, err)
	}
}

func TestHoldersCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openHost(t).Holders(ctx, host.HolderQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}
