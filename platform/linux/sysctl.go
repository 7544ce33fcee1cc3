//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	sysctlValueMax = 4 << 10
	sysctlFileMax  = 1 << 20
	sysctlFilesMax = 1000
)

// Sysctl reads a setting from /proc/sys as valid in this view's namespace, and
// which file of sysctl.d(5) sets it. A key has dots, and a slash where a
// device's name has a dot, as in sysctl(8). A key that this kernel doesn't
// have is [host.ErrUnsupported]. Values are told with single spaces.
//
// Files set what is below net only in the host's own namespace; in another one
// none is named.
func (h *Host) Sysctl(_ context.Context, key string) (host.Sysctl, error) {
	path, ok := sysctlPath(key)
	if !ok {
		return host.Sysctl{}, fmt.Errorf("read sysctl %q: not a key: %w", host.Clean([]byte(key), 100), host.ErrUnsupported)
	}
	var value []byte
	err := h.inNamespace(func() (err error) {
		value, err = readAt(unix.AT_FDCWD, "/proc/sys/"+path, sysctlValueMax)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = host.ErrUnsupported
	}
	if err != nil {
		return host.Sysctl{}, fmt.Errorf("read sysctl %s: %w", key, err)
	}
	s := host.Sysctl{Key: key, Value: sysctlValue(host.Clean(value, sysctlValueMax))}
	if !strings.HasPrefix(path, "net/") || h.isFirst() {
		if set, ok := h.sysctls.load("/").find(path); ok {
			s.File, s.Line, s.Configured = set.file, set.line, set.value
		}
	}
	return s, nil
}

// isFirst reports whether this view is of the namespace in which the host's
// services set sysctls. Without the rights to see that, the caller's own is
// taken for it.
func (h *Host) isFirst() bool {
	first := firstNamespace()
	return first == h.netns || first == 0 && h.ns == nil
}

// sysctlValue writes a value's parts with single spaces: the kernel separates
// them by tabs, people by what they like.
func sysctlValue(s string) string { return strings.Join(strings.Fields(s), " ") }

// sysctlPath turns a key into a path below /proc/sys, as systemd's
// sysctl_normalize does: where the first separator is a dot, dots and slashes
// change places.
func sysctlPath(key string) (string, bool) {
	if len(key) > 512 || strings.ContainsRune(key, 0) {
		return "", false
	}
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		key = host.SysctlKey(key)
	}
	parts := strings.FieldsFunc(key, func(r rune) bool { return r == '/' })
	if len(parts) == 0 || slices.Contains(parts, ".") || slices.Contains(parts, "..") {
		return "", false
	}
	return strings.Join(parts, "/"), true
}

// sysctlCache reads the configuration once.
type sysctlCache struct {
	once  sync.Once
	files sysctlFiles
}

func (c *sysctlCache) load(root string) sysctlFiles {
	c.once.Do(func() { c.files = readSysctlFiles(root) })
	return c.files
}

// readSysctlFiles reads the files of sysctl.d(5) below root in the order in
// which systemd-sysctl(8) applies them: by name, where a name in an earlier
// directory hides the same one in a later. A link to /dev/null hides it too.
func readSysctlFiles(root string) sysctlFiles {
	paths := map[string]string{}
	for _, dir := range []string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			continue // absent, or not for us: what it says is not known then
		}
		for _, e := range entries {
			name := e.Name()
			if _, hidden := paths[name]; !hidden && strings.HasSuffix(name, ".conf") && len(paths) < sysctlFilesMax {
				paths[name] = filepath.Join(root, dir, name)
			}
		}
	}
	names := make([]string, 0, len(paths))
	for name := range paths {
		names = append(names, name)
	}
	slices.Sort(names)
	var files sysctlFiles
	old := filepath.Join(root, "etc/sysctl.conf")
	read := func(path string) {
		if b, _, err := readRegular(path, sysctlFileMax); err == nil {
			files = append(files, sysctlFile{"/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/"), parseSysctl(b)})
		}
	}
	oldRead := false
	for _, name := range names {
		path := paths[name]
		// Debian's 99-sysctl.conf is a link to the old file, which people know.
		if target, err := filepath.EvalSymlinks(path); err == nil && target == old {
			path, oldRead = old, true
		}
		read(path)
	}
	// systemd doesn't read the old file by itself; procps and BusyBox do, last.
	if _, err := os.Stat(filepath.Join(root, "run/systemd/system")); err != nil && !oldRead {
		read(old)
	}
	return files
}
