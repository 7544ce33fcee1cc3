//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// cgroupWalkMax bounds how many control groups are looked at.
const cgroupWalkMax = 20000

// Programs lists the BPF programs that a packet or a socket call can meet: XDP,
// tc and tcx on this namespace's links, sk_lookup of the namespace, and what is
// in force on the control group and where it is attached; without a group,
// what is attached on any. Kernel and rights permitting: without CAP_NET_ADMIN
// only the ids of XDP and tc programs are seen.
func (h *Host) Programs(ctx context.Context, cgroup string) (host.Programs, error) {
	s := programSearch{known: map[uint32]host.Program{}}
	s.overview()
	if err := h.linkPrograms(ctx, &s); err != nil {
		return host.Programs{}, fmt.Errorf("list BPF programs of links: %w", err)
	}
	if err := h.cgroupPrograms(ctx, &s, cgroup); err != nil {
		return host.Programs{}, fmt.Errorf("list BPF programs of control groups: %w", err)
	}
	if s.denied {
		s.limits = append(s.limits, bpfLimit("BPF programs on links and control groups"))
	}
	return host.Programs{List: s.list, Limits: s.limits}, nil
}

// programSearch is what was found so far.
type programSearch struct {
	list   []host.Program
	limits []host.Limit
	known  map[uint32]host.Program
	// none: there is no program on the whole host.
	none   bool
	denied bool
}

// overview describes all programs of the host. Those that are attached without
// a place that can be asked for become a limit.
func (s *programSearch) overview() {
	var lsm, netfilter []string
	id, err := uint32(0), error(nil)
	for {
		if id, err = bpfNext(id); err != nil {
			break
		}
		p, err := bpfProgram(id)
		if err != nil {
			continue // it ended
		}
		s.known[id] = p
		switch p.Type {
		case "lsm":
			lsm = append(lsm, p.Name)
		case "netfilter":
			netfilter = append(netfilter, p.Name)
		}
	}
	s.none = errors.Is(err, unix.ENOENT) && len(s.known) == 0
	s.unplaced("what the BPF programs of the security module do", lsm)
	s.unplaced("where the BPF programs of netfilter are and what they do", netfilter)
}

// unplaced notes programs that the kernel doesn't tell the place of.
func (s *programSearch) unplaced(what string, names []string) {
	if len(names) > 0 {
		s.limits = append(s.limits, host.Limit{What: what + ": " + textOf(names),
			Why: "the kernel doesn't tell by itself", Needs: "a look with bpftool link show"})
	}
}

// add notes that a program is attached.
func (s *programSearch) add(id uint32, at host.Program) {
	p, ok := s.known[id]
	if !ok {
		var err error
		if p, err = bpfProgram(id); errors.Is(err, unix.ENOENT) {
			return
		}
		if err != nil {
			s.denied = s.denied || errors.Is(err, fs.ErrPermission)
			p = host.Program{ID: id, Type: at.Type}
		}
		s.known[id] = p
	}
	p.Attach, p.Device, p.Cgroup = at.Attach, at.Device, at.Cgroup
	s.list = append(s.list, p)
}

// query lists the programs at a hook and notes if that is not permitted. A hook
// that the kernel doesn't have, has none.
func (s *programSearch) query(target int, hook bpfHook, flags uint32) []uint32 {
	ids, err := bpfQuery(target, hook.number, flags)
	s.denied = s.denied || errors.Is(err, fs.ErrPermission)
	return ids
}

// linkPrograms finds the programs on the links of this namespace.
func (h *Host) linkPrograms(ctx context.Context, s *programSearch) error {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer c.close()
	links, err := c.links(ctx, extFilterSkipStats)
	if err != nil {
		return err
	}
	names := deviceNames{}
	for _, l := range links {
		names[l.Index] = l.Name
		for _, id := range l.xdp {
			s.add(id, host.Program{Type: "xdp", Attach: "xdp", Device: l.Name})
		}
	}
	if err := c.classifiers(ctx, s, names); err != nil {
		return err
	}
	if s.none {
		return nil
	}
	return h.inNamespace(func() error {
		for _, l := range links {
			for _, hook := range []bpfHook{{bpfTCXIngress, "tcx_ingress"}, {bpfTCXEgress, "tcx_egress"}} {
				for _, id := range s.query(l.Index, hook, 0) {
					s.add(id, host.Program{Attach: hook.name, Device: l.Name})
				}
			}
		}
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil // no /proc: nothing else depends on it
		}
		defer own.Close()
		for _, id := range s.query(int(own.Fd()), bpfHook{unix.BPF_SK_LOOKUP, "sk_lookup"}, 0) {
			s.add(id, host.Program{Attach: "sk_lookup"})
		}
		return nil
	})
}

// Parents of the filters of clsact and ingress, and attributes of a bpf filter:
// linux/pkt_sched.h, pkt_cls.h.
const (
	tcClsactIngress = 0xfffffff2
	tcClsactEgress  = 0xfffffff3
	tcaBPFID        = 11
)

// classifiers finds the BPF programs among the filters of tc(8). Other filters
// can drop packets too and become a limit.
func (c *netlinkConn) classifiers(ctx context.Context, s *programSearch, names deviceNames) error {
	replies, err := c.dump(ctx, unix.RTM_GETQDISC, make([]byte, tcmsgSize))
	if err != nil {
		return err
	}
	for _, r := range replies {
		q, index, err := parseQdisc(r.data)
		if err != nil {
			return err
		}
		if r.kind != unix.RTM_NEWQDISC || q.Kind != "clsact" && q.Kind != "ingress" {
			continue
		}
		for _, at := range []bpfHook{{tcClsactIngress, "tc_ingress"}, {tcClsactEgress, "tc_egress"}} {
			if q.Kind == "ingress" && at.number == tcClsactEgress {
				continue
			}
			header := make([]byte, tcmsgSize)
			putIndex(header, 4, index)
			binary.NativeEndian.PutUint32(header[12:], at.number)
			filters, err := c.dump(ctx, unix.RTM_GETTFILTER, header)
			if err != nil {
				return err
			}
			if err := s.filters(filters, at.name, names.of(index)); err != nil {
				return err
			}
		}
	}
	return nil
}

// filters takes the filters at one hook of one link.
func (s *programSearch) filters(replies []reply, attach, device string) error {
	var others []string
	for _, r := range replies {
		if r.kind != unix.RTM_NEWTFILTER {
			continue
		}
		kind, id, err := parseFilter(r.data)
		switch {
		case err != nil:
			return err
		case id != 0:
			s.add(id, host.Program{Type: "sched_cls", Attach: attach, Device: device})
		case kind != "bpf" && !slices.Contains(others, kind):
			others = append(others, kind)
		}
	}
	if len(others) > 0 {
		s.limits = append(s.limits, host.Limit{
			What: fmt.Sprintf("what the tc filters do that are no BPF: %s at %s of %s", textOf(others), attach, device),
			Why:  "they are not evaluated", Needs: "a look with tc filter show"})
	}
	return nil
}

// parseFilter reads an RTM_NEWTFILTER message: the filter's kind and, of a BPF
// filter, its program's id.
func parseFilter(b []byte) (kind string, id uint32, err error) {
	var r reader
	_, rest := r.header("tcmsg", b, tcmsgSize)
	for attribute, v := range r.attributes(rest) {
		switch attribute {
		case tcaKind:
			kind = r.text(v)
		case tcaOptions:
			if kind != "bpf" {
				break
			}
			for attribute, v := range r.attributes(v) {
				if attribute == tcaBPFID {
					id = r.u32("TCA_BPF_ID", v)
				}
			}
		}
	}
	return kind, id, r.err
}

// cgroupPrograms finds the programs on control groups. Only groups of the
// unified hierarchy have any.
func (h *Host) cgroupPrograms(ctx context.Context, s *programSearch, group string) error {
	mount := h.cgroupMounts().unified
	switch {
	case s.none, mount.path == "" && !s.groupsMatter():
		return nil
	case mount.path == "":
		s.limits = append(s.limits, unseenGroups("BPF programs on control groups"))
		return nil
	case group == "":
		return s.allGroups(ctx, mount)
	case !strings.HasPrefix(group, "/") || slices.Contains(strings.Split(group, "/"), ".."):
		s.limits = append(s.limits, unseenGroups("BPF programs on the control group "+host.Clean([]byte(group), nameMax)))
		return nil
	}
	// On hybrid systems a process may be in a group that only systemd's own
	// hierarchy has; in the unified one it is in the nearest above then.
	group = path.Clean(group)
	for group != "/" && existing(mount.dir(group)) == "" {
		group = path.Dir(group)
	}
	var above []string // the group and those above it
	for dir := group; ; dir = path.Dir(dir) {
		above = append(above, dir)
		if dir == "/" {
			break
		}
	}
	own, err := openGroup(mount, group)
	if err != nil {
		s.limits = append(s.limits, unseenGroups("BPF programs on the control group "+host.Clean([]byte(group), nameMax)))
		return nil
	}
	defer unix.Close(own)
	for _, hook := range cgroupHooks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		ids := s.query(own, hook, unix.BPF_F_QUERY_EFFECTIVE)
		if len(ids) == 0 {
			continue
		}
		places := map[uint32]string{}
		for _, dir := range slices.Backward(above) {
			if fd, err := openGroup(mount, dir); err == nil {
				for _, id := range s.query(fd, hook, 0) {
					places[id] = dir
				}
				unix.Close(fd)
			}
		}
		for _, id := range ids {
			s.add(id, host.Program{Attach: hook.name, Cgroup: places[id]})
		}
	}
	return nil
}

// groupsMatter reports whether any program is of a kind that control groups have.
func (s *programSearch) groupsMatter() bool {
	for _, p := range s.known {
		if strings.HasPrefix(p.Type, "cgroup_") && p.Type != "cgroup_device" && p.Type != "cgroup_sysctl" {
			return true
		}
	}
	return false
}

func unseenGroups(what string) host.Limit {
	return host.Limit{What: what, Why: "the unified hierarchy doesn't show it here", Needs: "a look from the host"}
}

// allGroups finds what is attached on any group.
func (s *programSearch) allGroups(ctx context.Context, mount cgroupMount) error {
	groups := 0
	return filepath.WalkDir(mount.path, func(file string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || !entry.IsDir() {
			return nil // it went away, or is not for us
		}
		if groups++; groups > cgroupWalkMax {
			s.limits = append(s.limits, host.Limit{What: "BPF programs on some control groups",
				Why: fmt.Sprintf("there are more than %d", cgroupWalkMax), Needs: "to name one"})
			return fs.SkipAll
		}
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		defer unix.Close(fd)
		group := path.Join("/", strings.TrimPrefix(file, mount.path))
		for _, hook := range cgroupHooks() {
			for _, id := range s.query(fd, hook, 0) {
				s.add(id, host.Program{Attach: hook.name, Cgroup: group})
			}
		}
		return nil
	})
}

func openGroup(mount cgroupMount, group string) (int, error) {
	dir := mount.dir(group)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return fd, nil
}
