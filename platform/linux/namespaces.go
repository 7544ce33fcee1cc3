//go:build linux

package linux

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// commMax bounds a process's name: 15 bytes, or more for kernel threads.
const commMax = 64

// Namespaces lists the network namespaces that processes are in, and those
// that are mounted, as ip-netns(8), Docker and Podman do. One that is held
// open only by a descriptor is not found.
func (h *Host) Namespaces(ctx context.Context) (host.NamespaceList, error) {
	processes, err := pids()
	if err != nil {
		return host.NamespaceList{}, fmt.Errorf("list network namespaces: %w", err)
	}
	slices.Sort(processes)
	found := namespaceSet{}
	unreadable := 0
	link := make([]byte, 64)
	for _, pid := range processes {
		if err := ctx.Err(); err != nil {
			return host.NamespaceList{}, err
		}
		n, err := unix.Readlink("/proc/"+strconv.Itoa(pid)+"/ns/net", link)
		switch {
		case err == unix.EACCES || err == unix.EPERM:
			unreadable++
		case err != nil:
			// A process may end at any time.
		default:
			if inode, ok := parseNamespaceLink(string(link[:n])); ok {
				found.process(inode, pid)
			}
		}
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for _, m := range parseNamespaceMounts(bytes.NewReader(b)) {
			found.mount(m)
		}
	}
	first := firstNamespace()
	list := host.NamespaceList{}
	for inode, ns := range found {
		ns.Inode = inode
		ns.Current, ns.Host = inode == h.netns, inode == first
		if ns.PID != 0 {
			ns.Process, ns.Container = processBrief(ns.PID)
		}
		list.Namespaces = append(list.Namespaces, *ns)
	}
	slices.SortFunc(list.Namespaces, func(a, b host.Namespace) int {
		return cmp.Or(later(b.Host, a.Host), later(a.PID == 0, b.PID == 0),
			cmp.Compare(a.PID, b.PID), cmp.Compare(a.Path, b.Path))
	})
	if unreadable > 0 {
		list.Limits = append(list.Limits, host.Limit{
			What:  "the network namespace of " + processCount(unreadable),
			Why:   "the kernel shows a process's namespaces only to who may trace it",
			Needs: "root, or CAP_SYS_PTRACE",
		})
	}
	return list, nil
}

// firstNamespace is the network namespace of pid 1, or of the kernel's own
// threads where pid 1 doesn't show it; 0 if neither does.
func firstNamespace() uint64 {
	for _, dir := range []string{"/proc/1", "/proc/2"} {
		if dir == "/proc/2" {
			if name, err := os.ReadFile(dir + "/comm"); err != nil || string(name) != "kthreadd\n" {
				return 0
			}
		}
		link, err := os.Readlink(dir + "/ns/net")
		if inode, ok := parseNamespaceLink(link); err == nil && ok {
			return inode
		}
	}
	return 0
}

// later orders false before true.
func later(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// enter looks at this host from within another network namespace.
func (h *Host) enter(ns host.Namespace) (*Host, error) {
	file := ns.Path
	if file == "" && ns.PID != 0 {
		file = fmt.Sprintf("/proc/%d/ns/net", ns.PID)
	}
	if file == "" {
		return nil, fmt.Errorf("enter network namespace %d: %w", ns.Inode, host.ErrNotFound)
	}
	inner, err := openNamespace(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, host.ErrNoNamespace):
		err = fmt.Errorf("%s: %w", file, host.ErrNotFound)
	case err == nil && ns.Inode != 0 && inner.netns != ns.Inode:
		err = fmt.Errorf("%s is another one's now: %w", file, host.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("enter network namespace %d: %w", ns.Inode, err)
	}
	return inner, nil
}

// namespaceSet is what was found so far, by inode.
type namespaceSet map[uint64]*host.Namespace

// process adds a process; the lowest pid comes first.
func (s namespaceSet) process(inode uint64, pid int) {
	ns := s[inode]
	if ns == nil {
		ns = &host.Namespace{PID: pid, Path: fmt.Sprintf("/proc/%d/ns/net", pid)}
		s[inode] = ns
	}
	ns.Processes++
}

// mount adds a mounted namespace. A name is worth more than a path, and a path
// that stays more than one of a process.
func (s namespaceSet) mount(m namespaceMount) {
	ns := s[m.inode]
	if ns == nil {
		ns = &host.Namespace{}
		s[m.inode] = ns
	}
	if ns.Name == "" && (m.name() != "" || ns.Path == "" || strings.HasPrefix(ns.Path, "/proc/")) {
		ns.Name, ns.Path = m.name(), m.path
	}
}

// parseNamespaceLink reads what /proc/PID/ns/net points to, net:[4026531840];
// see namespaces(7).
func parseNamespaceLink(link string) (inode uint64, ok bool) {
	number, found := strings.CutPrefix(link, "net:[")
	number, closed := strings.CutSuffix(number, "]")
	if !found || !closed {
		return 0, false
	}
	inode, err := strconv.ParseUint(number, 10, 64)
	return inode, err == nil
}

// namespaceMount is a network namespace that a file stands for.
type namespaceMount struct {
	inode uint64
	path  string
}

// name is the name that ip-netns(8) knows it by, if it does.
func (m namespaceMount) name() string {
	switch dir, name := path.Split(m.path); dir {
	case "/run/netns/", "/var/run/netns/":
		return name
	}
	return ""
}

// parseNamespaceMounts finds network namespaces in /proc/self/mountinfo (see
// proc_pid_mountinfo(5)): the file system nsfs, whose root names it.
func parseNamespaceMounts(r io.Reader) []namespaceMount {
	var list []namespaceMount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 0:4 net:[4026532290] /run/netns/blue rw shared:5 - nsfs nsfs rw
		f := strings.Fields(lines.Text())
		if len(f) < 5 {
			continue
		}
		if inode, ok := parseNamespaceLink(f[3]); ok {
			list = append(list, namespaceMount{inode, host.Clean([]byte(unescapeMount(f[4])), 4096)})
		}
	}
	return list
}

// unescapeMount undoes the octal escapes of mountinfo: space, tab, newline and
// backslash.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// processBrief is a process's name, and its container's id if it is in one.
func processBrief(pid int) (name, container string) {
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		name = host.Clean(bytes.TrimSuffix(b, []byte("\n")), commMax)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)); err == nil {
		container = parseMembership(b).container
	}
	return name, container
}

func processCount(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
