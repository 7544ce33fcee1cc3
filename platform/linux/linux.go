//go:build linux

// Package linux answers the questions of package host from a live Linux
// kernel: by netlink, by /proc and /sys, and by the sockets of the services
// that run there. Each kind of fact has a file of its own; what it parses is
// parsed by functions that take bytes and open nothing.
//
// A [Host] looks at one network namespace. What depends on the namespace of
// the calling thread (a new socket, /proc/thread-self/net, /proc/sys/net) is
// done inside [Host.inNamespace].
package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/thread"
)

// Options says how to look at this host.
type Options struct {
	// NetNS is the network namespace to look from: a name of ip-netns(8), a
	// pid, or the path of a namespace file. Empty: the caller's own.
	NetNS string
}

// Host is this machine as seen from one network namespace. It is safe for
// concurrent use.
type Host struct {
	// ns is open on the namespace of this view, nil for the caller's own.
	ns *os.File
	// netns is that namespace's inode.
	netns uint64

	diag    diagSocket
	modules moduleCache
	names   passwd
	found   hints
	groups  cgroupCache
	boot    bootTime
	sysctls sysctlCache
}

var _ host.Host = (*Host)(nil)

// Open looks at this host. The error wraps [host.ErrNoNamespace] if
// o.NetNS names no network namespace, and [fs.ErrPermission] if the caller may
// not enter it.
func Open(o Options) (*Host, error) {
	if o.NetNS == "" {
		h := new(Host)
		// Without /proc the inode stays unknown; nothing else depends on it.
		h.netns, _ = inodeOf("/proc/thread-self/ns/net")
		return h, nil
	}
	name := host.Clean([]byte(o.NetNS), 100)
	paths := namespacePaths(o.NetNS)
	for _, path := range paths {
		h, err := openNamespace(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("network namespace %q: %w", name, err)
		}
		return h, nil
	}
	return nil, fmt.Errorf("network namespace %q: %w", name, host.ErrNoNamespace)
}

// namespacePaths lists the files that name may stand for, in order of trial.
// A number is a name first, because only names are given by people.
func namespacePaths(name string) []string {
	switch {
	case strings.ContainsRune(name, 0), name == ".", name == "..":
		return nil
	case strings.Contains(name, "/"):
		return []string{name}
	}
	paths := []string{filepath.Join("/run/netns", name), filepath.Join("/var/run/netns", name)}
	if pid, err := strconv.ParseUint(name, 10, 31); err == nil && pid > 0 {
		paths = append(paths, fmt.Sprintf("/proc/%d/ns/net", pid))
	}
	return paths
}

// openNamespace looks at this host from the namespace that a file stands for.
// It enters once, so that a view which can't be had fails here and not later.
func openNamespace(path string) (*Host, error) {
	// Not blocking: the path may be that of a FIFO.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		switch err {
		case unix.ENOTDIR, unix.ENXIO, unix.ENAMETOOLONG, unix.ELOOP:
			return nil, host.ErrNoNamespace
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	// ioctl_ns(2): only a namespace file answers, and it says its kind.
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, host.ErrNoNamespace)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		file.Close()
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if own, err := inodeOf("/proc/thread-self/ns/net"); err == nil && own == st.Ino {
		file.Close()
		return &Host{netns: own}, nil
	}
	h := &Host{ns: file, netns: st.Ino}
	if err := h.inNamespace(func() error { return nil }); err != nil {
		file.Close()
		return nil, err
	}
	return h, nil
}

// inNamespace runs f within this view's network namespace and returns its
// error. f runs on a thread of its own: sockets that it opens and files of
// /proc/thread-self/net and /proc/sys/net that it reads are those of the
// namespace; goroutines that it starts are not. A panic in f goes to the
// caller.
func (h *Host) inNamespace(f func() error) error {
	if h.ns == nil {
		return f()
	}
	type result struct {
		err      error
		panicked any
	}
	var r result
	// A thread that did not find its way back is never unlocked: it ends instead of
	// serving another goroutine.
	thread.Beside(func() {
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			r.err = fmt.Errorf("remember own network namespace: %w", err)
			runtime.UnlockOSThread()
			return
		}
		defer own.Close()
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			r.err = fmt.Errorf("enter network namespace %s: %w", h.ns.Name(), err)
			runtime.UnlockOSThread()
			return
		}
		defer func() {
			r.panicked = recover()
			if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		r.err = f()
	})
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

// inodeOf is the inode of the file that path leads to.
func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}
