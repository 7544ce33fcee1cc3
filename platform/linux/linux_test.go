//go:build linux

package linux

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// makeNetNS makes a network namespace for one test and returns its name.
func makeNetNS(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	name := fmt.Sprintf("sk-%d-%d", os.Getpid(), len(t.Name()))
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("can't make a network namespace: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("delete namespace: %v: %s", err, out)
		}
	})
	if out, err := exec.Command("ip", "-n", name, "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("lo up: %v: %s", err, out)
	}
	return name
}

func TestOpenNamespace(t *testing.T) {
	name := makeNetNS(t)
	path := filepath.Join("/run/netns", name)
	want, err := inodeOf(path)
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := inodeOf("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		netns string
		inode uint64
		bad   bool
	}{
		{netns: "", inode: own},
		{netns: name, inode: want},
		{netns: path, inode: want},
		{netns: fmt.Sprint(os.Getpid()), inode: own},
		{netns: "no-such-namespace", bad: true},
		{netns: "0", bad: true},
		{netns: "4194303000", bad: true},
		{netns: "..", bad: true},
		{netns: "a\x00b", bad: true},
		{netns: strings.Repeat("x", 5000), bad: true},
		{netns: strings.Repeat("x", 300), bad: true},
		{netns: "/etc/passwd", bad: true},
		{netns: "/etc/passwd/x", bad: true},
		{netns: "/nowhere/at/all", bad: true},
		{netns: "/proc/self/ns/uts", bad: true},
		{netns: "/", bad: true},
		{netns: fifo, bad: true},
	} {
		h, err := Open(Options{NetNS: c.netns})
		if c.bad {
			if !errors.Is(err, host.ErrNoNamespace) {
				t.Errorf("Open(%.20q): error %v, want one that is ErrNoNamespace", c.netns, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Open(%q): %v", c.netns, err)
			continue
		}
		if h.netns != c.inode {
			t.Errorf("Open(%q) looks at %d, want %d", c.netns, h.netns, c.inode)
		}
		err = h.inNamespace(func() error {
			in, err := inodeOf("/proc/thread-self/ns/net")
			if err == nil && in != c.inode {
				err = fmt.Errorf("is in %d, want %d", in, c.inode)
			}
			return err
		})
		if err != nil {
			t.Errorf("%q: %v", c.netns, err)
		}
	}
}

func TestInNamespaceComesBack(t *testing.T) {
	h, err := Open(Options{NetNS: makeNetNS(t)})
	if err != nil {
		t.Fatal(err)
	}
	own, err := inodeOf("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("failed")
	for i := range 50 {
		if err := h.inNamespace(func() error { return failure }); err != failure {
			t.Fatalf("error %v, want that of the function", err)
		}
		func() {
			defer func() {
				if got := recover(); got != i {
					t.Fatalf("panic %v, want %v", got, i)
				}
			}()
			h.inNamespace(func() error { panic(i) })
		}()
	}
	// Whatever thread serves the next goroutines, it is at home.
	done := make(chan uint64)
	for range 100 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			in, _ := inodeOf("/proc/thread-self/ns/net")
			done <- in
		}()
	}
	for range 100 {
		if in := <-done; in != own {
			t.Fatalf("a thread stayed in namespace %d, own is %d", in, own)
		}
	}
}
