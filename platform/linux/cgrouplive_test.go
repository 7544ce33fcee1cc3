//go:build linux

package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// makeCgroup makes a control group with one process in it.
func makeCgroup(t *testing.T, top, group string, pid int) string {
	t.Helper()
	dir := filepath.Join(top, group)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("can't make a control group: %v", err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(filepath.Join(top, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCgroupMembers(t *testing.T) {
	h := openHost(t)
	top := h.cgroupMounts().unified.path
	if top == "" {
		t.Skip("no unified hierarchy is mounted")
	}
	child, _ := startHelper(t, "hold", nil)
	group := fmt.Sprintf("sk-members-%d", os.Getpid())
	dir := makeCgroup(t, top, group, child.Process.Pid)
	id, err := inodeOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.cgroupPIDs([]uint64{id}); !slices.Equal(got, []int{child.Process.Pid}) {
		t.Errorf("members %v, want %d", got, child.Process.Pid)
	}
	if got := h.cgroupPIDs([]uint64{1 << 60}); len(got) != 0 {
		t.Errorf("members of no group: %v", got)
	}
	c, err := h.Cgroup(t.Context(), "/"+group)
	if err != nil || c.Frozen || c.Path != "/"+group {
		t.Errorf("%+v %v", c, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	if c, err = h.Cgroup(t.Context(), "/"+group); err != nil || !c.Frozen || c.FrozenBy != "/"+group {
		t.Errorf("frozen: %+v %v", c, err)
	}
	if p, err := h.Process(t.Context(), child.Process.Pid); err != nil || p.FrozenBy != "/"+group {
		t.Errorf("frozen by %q: %v", p.FrozenBy, err)
	}
}

func TestCgroupV1Freezer(t *testing.T) {
	h := openHost(t)
	top := h.cgroupMounts().v1["freezer"].path
	if top == "" {
		t.Skip("no freezer of version 1 is mounted")
	}
	child, _ := startHelper(t, "hold", nil)
	group := fmt.Sprintf("sk-freezer-%d", os.Getpid())
	dir := makeCgroup(t, top, group, child.Process.Pid)
	state := filepath.Join(dir, "freezer.state")
	if err := os.WriteFile(state, []byte("FROZEN"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(state, []byte("THAWED"), 0)
	p, err := h.Process(t.Context(), child.Process.Pid)
	if err != nil || p.FrozenBy != "/"+group {
		t.Errorf("frozen by %q, want /%s: %v", p.FrozenBy, group, err)
	}
	if c, err := h.Cgroup(t.Context(), "/"+group); err != nil || c.FrozenBy != "/"+group {
		t.Errorf("%+v %v", c, err)
	}
	for _, bad := range []string{"", "x", "/..", "/../etc", "/no/such/group", "/a//b", "/a/", "/" + strings.Repeat("x", 5000)} {
		if _, err := h.Cgroup(t.Context(), bad); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("group %.20q: %v, want ErrNotFound", bad, err)
		}
	}
}
