//go:build linux

package linux

import (
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// holder describes a process through its open directory of descriptors: only
// what a list of listeners shows, because it may be read for thousands.
func (h *Host) holder(d *procDir, args bool) (host.Process, error) {
	b, err := d.read("../stat", statMax)
	if err != nil {
		return host.Process{}, err
	}
	st, err := parseStat(b)
	if err != nil {
		return host.Process{}, err
	}
	p := host.Process{PID: d.pid, Name: st.comm, StartTicks: st.start, FDs: -1}
	// As in brief: the directory belongs to the effective user.
	var dir unix.Stat_t
	if err := unix.Fstatat(d.fd, "..", &dir, 0); err != nil {
		return host.Process{}, err
	}
	p.UID, p.User = dir.Uid, h.userName(dir.Uid)
	if b, err := d.read("../cgroup", smallFile); err == nil {
		m := parseMembership(b)
		p.Cgroup, p.Unit, p.UserUnit, p.Container = m.path, m.unit, m.userUnit, m.container
	}
	if args {
		if b, err := d.read("../cmdline", cmdlineMax); err == nil {
			p.Args = parseCmdline(b)
		}
	}
	return p, nil
}
