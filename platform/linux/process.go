//go:build linux

package linux

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	ticksPerSecond = 100 // USER_HZ, the same on all of Go's architectures
	environMax     = 256 << 10
	mountinfoMax   = 1 << 20
)

// bootTime is the moment from which start times count. It is read once, so that
// one process has one start time.
type bootTime struct {
	once sync.Once
	at   time.Time
}

func (b *bootTime) get() time.Time {
	b.once.Do(func() {
		var since unix.Timespec
		if unix.ClockGettime(unix.CLOCK_BOOTTIME, &since) == nil {
			b.at = time.Now().Add(-time.Duration(since.Nano())).Round(time.Second / ticksPerSecond)
		}
	})
	return b.at
}

// Process describes one process with all that can be read of it.
func (h *Host) Process(ctx context.Context, pid int) (host.Process, error) {
	type result struct {
		process host.Process
		err     error
	}
	// A process whose memory is locked by a fault of the kernel keeps a reader
	// of its arguments waiting, for ever and beyond any signal.
	done := make(chan result, 1)
	go func() {
		p, err := h.process(pid)
		done <- result{p, err}
	}()
	select {
	case r := <-done:
		return r.process, r.err
	case <-ctx.Done():
		return host.Process{}, fmt.Errorf("process %d: %w", pid, ctx.Err())
	}
}

func (h *Host) process(pid int) (host.Process, error) {
	d, err := openProc(pid, make([]byte, procBuffer))
	if err != nil {
		return host.Process{}, err
	}
	defer d.close()
	p, m, err := h.brief(&d)
	if err != nil {
		return p, err
	}
	h.detail(&p, &d, m)
	return p, nil
}

// Processes describes all processes in brief: what stat, cmdline and cgroup
// tell. Those that end meanwhile are left out.
func (h *Host) Processes(ctx context.Context) ([]host.Process, error) {
	list, err := pids()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	out := make([]host.Process, len(list))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 8) {
		wait.Go(func() {
			buffer := make([]byte, procBuffer)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return
				}
				d, err := openProc(list[i], buffer)
				if err != nil {
					continue
				}
				if p, _, err := h.brief(&d); err == nil {
					out[i] = p
				}
				d.close()
				buffer = d.buffer
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done(): // one may wait for ever, as in Process
		return nil, fmt.Errorf("describe processes: %w", ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("describe processes: %w", err)
	}
	return slices.DeleteFunc(out, func(p host.Process) bool { return p.PID == 0 }), nil
}

// brief reads what all processes are described with. Only stat must be there:
// the rest may be hidden from the caller.
func (h *Host) brief(d *procDir) (host.Process, membership, error) {
	b, err := d.read("stat", statMax)
	if err != nil {
		return host.Process{}, membership{}, gone(d.pid, err)
	}
	st, err := parseStat(b)
	if err != nil {
		return host.Process{}, membership{}, gone(d.pid, err)
	}
	p := host.Process{
		PID: d.pid, PPID: st.ppid, Name: st.comm, State: st.state, StartTicks: st.start, FDs: -1,
		Started: h.boot.get().Add(time.Duration(st.start) * (time.Second / ticksPerSecond)),
	}
	// The directory always belongs to the effective user, unlike the files in
	// it (fs/proc/base.c, task_dump_owner), and status is slow to read.
	var dir unix.Stat_t
	if err := unix.Fstat(d.fd, &dir); err != nil {
		return host.Process{}, membership{}, gone(d.pid, err)
	}
	p.UID, p.User = dir.Uid, h.userName(dir.Uid)
	if !st.kernelThread {
		if b, err := d.read("cmdline", cmdlineMax); err == nil {
			p.Args = parseCmdline(b)
		}
	}
	var m membership
	if b, err := d.read("cgroup", smallFile); err == nil {
		m = parseMembership(b)
		p.Cgroup, p.Unit, p.UserUnit, p.Container = m.path, m.unit, m.userUnit, m.container
	}
	return p, m, nil
}

// detail reads the rest. What is hidden from the caller stays zero.
func (h *Host) detail(p *host.Process, d *procDir, m membership) {
	if b, err := d.read("status", smallFile); err == nil {
		if st, err := parseStatus(b); err == nil {
			p.TracerPID, p.Seccomp, p.NoNewPrivs, p.CapEff = st.tracer, st.seccomp, st.noNewPrivs, st.capEff
		}
	}
	p.Exe, p.Cwd = d.link("exe"), d.link("cwd")
	p.NetNS, p.PIDNS = d.namespace("net"), d.namespace("pid")
	p.MntNS, p.UserNS = d.namespace("mnt"), d.namespace("user")
	p.FDs = d.descriptors()
	if b, err := d.read("limits", smallFile); err == nil {
		if soft, hard, err := parseFDLimit(b); err == nil {
			p.FDLimit, p.FDMost = soft, hard
		}
	}
	if b, err := d.read("wchan", 256); err == nil && string(b) != "0" {
		p.WaitChannel = host.Clean(b, 128)
	}
	if b, err := d.read("attr/current", 4096); err == nil {
		p.Label = host.Clean(bytes.TrimRight(b, "\x00\n"), 1024)
	}
	if b, err := d.read("environ", environMax); err == nil {
		p.Env = parseEnviron(b)
	}
	// A process with our own mounts is in no other container than we are.
	if own, _ := inodeOf("/proc/self/ns/mnt"); p.Container == "" && p.MntNS != own {
		// Not by read: the kernel writes this file in parts.
		if b, err := readAt(d.fd, "mountinfo", mountinfoMax); err == nil {
			p.Container = containerOfMounts(b)
		}
	}
	mounts := h.cgroupMounts()
	if m.unified != "" {
		p.FrozenBy = mounts.unified.frozenV2(m.unified)
	}
	if p.FrozenBy == "" && m.freezer != "" {
		p.FrozenBy = mounts.v1["freezer"].frozenV1(m.freezer)
	}
}

// parseEnviron keeps of /proc/PID/environ what [host.Environment] lets through.
func parseEnviron(b []byte) map[string]string {
	env := make(map[string]string)
	for len(b) > 0 {
		var entry []byte
		entry, b, _ = bytes.Cut(b, []byte{0})
		if name, value, ok := host.Environment(string(entry)); ok {
			env[name] = value
		}
	}
	return env
}

// selfCgroup is the caller's own group.
func selfCgroup() string {
	b, err := readSmall("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return parseMembership(b).path
}

// firstNumber reads the number that a file of /proc or /sys begins with.
func firstNumber(path string) (int64, bool) {
	b, err := readSmall(path)
	if err != nil {
		return 0, false
	}
	f := strings.Fields(string(b))
	if len(f) == 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	return n, err == nil
}
