//go:build linux

package linux

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// cgroupMount is where a hierarchy of control groups is mounted. root is the
// group that the mount shows as its top.
type cgroupMount struct {
	path, root string
}

// cgroupMounts are the unified hierarchy (version 2) and those of version 1 by
// controller; hybrid systems have both.
type cgroupMounts struct {
	unified cgroupMount
	v1      map[string]cgroupMount
}

type cgroupCache struct {
	once   sync.Once
	mounts cgroupMounts
}

// cgroupMounts reads the mount table at first need. Without one there are no
// groups to be seen, and Cgroup says so.
func (h *Host) cgroupMounts() cgroupMounts {
	h.groups.once.Do(func() {
		b, err := readAt(unix.AT_FDCWD, "/proc/self/mountinfo", 4<<20)
		if err == nil {
			h.groups.mounts = parseCgroupMounts(b)
		}
	})
	return h.groups.mounts
}

// parseCgroupMounts picks the control groups out of proc_pid_mountinfo(5).
func parseCgroupMounts(b []byte) cgroupMounts {
	m := cgroupMounts{v1: make(map[string]cgroupMount)}
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		mount, kind, options, ok := parseMountLine(string(line))
		if !ok {
			continue
		}
		switch kind {
		case "cgroup2":
			// A mount of the whole tree is worth more than one of a part.
			if m.unified.path == "" || m.unified.root != "/" && mount.root == "/" {
				m.unified = mount
			}
		case "cgroup":
			for option := range strings.SplitSeq(options, ",") {
				if old, ok := m.v1[option]; !ok || old.root != "/" && mount.root == "/" {
					m.v1[option] = mount
				}
			}
		}
	}
	return m
}

// parseMountLine reads a line of mountinfo: id, parent, device, root, mount
// point, options, optional fields, a hyphen, type, source, super block options.
func parseMountLine(line string) (m cgroupMount, kind, options string, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	f, g := strings.Fields(before), strings.Fields(after)
	if !ok || len(f) < 6 || len(g) < 3 {
		return m, "", "", false
	}
	return cgroupMount{path: unescapeMount(f[4]), root: unescapeMount(f[3])}, g[0], g[2], true
}

// dir is the directory of a group, empty if the mount does not show it.
func (m cgroupMount) dir(group string) string {
	if m.path == "" || !strings.HasPrefix(group, "/") || len(group) > 4096 || path.Clean(group) != group {
		return ""
	}
	if m.root != "/" {
		rest, ok := strings.CutPrefix(group, m.root)
		if !ok || rest != "" && rest[0] != '/' {
			return ""
		}
		group = rest
	}
	return m.path + strings.TrimSuffix(group, "/")
}

// Cgroup reads a group in the unified hierarchy and, for what that does not have,
// in the hierarchies of version 1, where systemd and the container engines use
// the same path. [host.ErrNotFound] if it is in none, [host.ErrUnsupported] if
// there is no hierarchy.
func (h *Host) Cgroup(_ context.Context, group string) (host.Cgroup, error) {
	mounts := h.cgroupMounts()
	if mounts.unified.path == "" && len(mounts.v1) == 0 {
		return host.Cgroup{}, fmt.Errorf("control group %q: none is mounted: %w", group, host.ErrUnsupported)
	}
	c := host.Cgroup{Path: host.Clean([]byte(group), 4096)}
	found := false
	if dir := existing(mounts.unified.dir(group)); dir != "" {
		found = true
		readUnified(&c, dir)
		c.FrozenBy = mounts.unified.frozenV2(group)
	}
	for controller, mount := range mounts.v1 {
		if dir := existing(mount.dir(group)); dir != "" {
			found = true
			readV1(&c, controller, dir)
		}
	}
	if by := mounts.v1["freezer"].frozenV1(group); by != "" && c.FrozenBy == "" {
		c.FrozenBy = by
	}
	if !found {
		return host.Cgroup{}, fmt.Errorf("control group %q: %w", c.Path, host.ErrNotFound)
	}
	c.Frozen = c.FrozenBy != ""
	return c, nil
}

func existing(dir string) string {
	var st unix.Stat_t
	if dir == "" || unix.Stat(dir, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return ""
	}
	return dir
}

// readUnified reads the files of version 2 (Documentation/admin-guide/cgroup-v2.rst).
// Those of controllers that are not on are not there.
func readUnified(c *host.Cgroup, dir string) {
	c.OOMKills = cgroupKey(dir+"/memory.events", "oom_kill")
	c.MemoryMax = cgroupNumber(dir + "/memory.max")
	c.Memory = cgroupNumber(dir + "/memory.current")
	c.Throttled = cgroupKey(dir+"/cpu.stat", "nr_throttled")
	c.PidsMax = cgroupNumber(dir + "/pids.max")
	c.PidsCurrent = cgroupNumber(dir + "/pids.current")
}

// readV1 reads the files of one controller of version 1.
func readV1(c *host.Cgroup, controller, dir string) {
	switch controller {
	case "memory":
		c.OOMKills = cgroupKey(dir+"/memory.oom_control", "oom_kill")
		c.MemoryMax = cgroupNumber(dir + "/memory.limit_in_bytes")
		c.Memory = cgroupNumber(dir + "/memory.usage_in_bytes")
	case "cpu":
		c.Throttled = cgroupKey(dir+"/cpu.stat", "nr_throttled")
	case "pids":
		c.PidsMax = cgroupNumber(dir + "/pids.max")
		c.PidsCurrent = cgroupNumber(dir + "/pids.current")
	}
}

// frozenV2 is the group or ancestor that is told to freeze.
func (m cgroupMount) frozenV2(group string) string {
	return m.nearest(group, func(dir string) bool { return cgroupNumber(dir+"/cgroup.freeze") == 1 })
}

// frozenV1 is the same for the freezer of version 1
// (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
func (m cgroupMount) frozenV1(group string) string {
	return m.nearest(group, func(dir string) bool { return cgroupNumber(dir+"/freezer.self_freezing") == 1 })
}

func (m cgroupMount) nearest(group string, is func(dir string) bool) string {
	for ; group != "/" && group != "." && group != ""; group = path.Dir(group) {
		if dir := m.dir(group); dir != "" && is(dir) {
			return host.Clean([]byte(group), 4096)
		}
	}
	return ""
}

func cgroupNumber(file string) int64 {
	b, err := readSmall(file)
	if err != nil {
		return 0
	}
	return parseCgroupNumber(b)
}

// parseCgroupNumber reads a file of one number. No limit is 0: "max", or in
// version 1 the largest number of whole pages.
func parseCgroupNumber(b []byte) int64 {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil || n < 0 || n >= math.MaxInt64&^(1<<16-1) {
		return 0
	}
	return n
}

func cgroupKey(file, key string) int64 {
	b, err := readSmall(file)
	if err != nil {
		return 0
	}
	return parseCgroupKey(b, key)
}

// parseCgroupKey finds key in a file of lines "key number".
func parseCgroupKey(b []byte, key string) int64 {
	for line := range bytes.Lines(b) {
		if name, value, ok := bytes.Cut(line, []byte(" ")); ok && string(name) == key {
			return parseCgroupNumber(value)
		}
	}
	return 0
}
