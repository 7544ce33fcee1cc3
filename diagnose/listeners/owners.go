package listeners

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// process is a holder, with what the list needs of it made once.
type process struct {
	host.Process
	cmdline string
}

// owners finds the processes that hold the sockets. For one port the search
// ends early. A host that doesn't describe them on the way is asked for each,
// or for all in brief.
func (l *lister) owners() {
	var inodes []uint64
	for _, s := range l.sockets {
		if s.Inode != 0 {
			inodes = append(inodes, s.Inode)
		}
	}
	l.procs = map[int]*process{}
	if len(inodes) == 0 {
		return
	}
	found, err := l.host.Holders(l.ctx, host.HolderQuery{Inodes: inodes, Every: l.query.Port == 0, Names: true, Args: l.query.Args})
	if err != nil {
		l.limits = append(l.limits, diagnose.LimitOf("which processes hold the sockets", err))
		return
	}
	l.holders = found.BySocket
	if found.Processes != nil {
		for _, p := range found.Processes {
			l.add(p)
		}
		return
	}
	wanted := map[int]uint64{}
	for _, holders := range found.BySocket {
		for _, h := range holders {
			wanted[h.PID] = h.StartTicks
		}
	}
	if len(wanted) > fewProcesses {
		all, err := l.host.Processes(l.ctx)
		if err != nil {
			l.limits = append(l.limits, diagnose.LimitOf("the processes that hold the sockets", err))
		}
		for _, p := range all {
			if start, ok := wanted[p.PID]; ok && start == p.StartTicks {
				l.add(p)
			}
		}
		return
	}
	for pid, start := range wanted {
		p, err := l.host.Process(l.ctx, pid)
		if err == nil && (start == 0 || p.StartTicks == start) {
			l.add(p)
		}
	}
}

// fewProcesses are cheaper to read one by one, though each in full.
const fewProcesses = 8

func (l *lister) add(p host.Process) {
	cmd := strings.Join(p.Args, " ")
	if len(cmd) > maxCmdline {
		cmd = host.Clean([]byte(cmd), maxCmdline)
	}
	l.procs[p.PID] = &process{p, cmd}
}

// holdersOf returns the processes that hold a socket, lowest pid first. One
// that ended meanwhile is left out.
func (l *lister) holdersOf(inode uint64) []*process {
	var list []*process
	last := 0
	for _, h := range l.holders[inode] {
		if h.PID == last {
			continue
		}
		last = h.PID
		if p := l.procs[h.PID]; p != nil {
			list = append(list, p)
		}
	}
	return list
}

// limitUnseen says that some sockets have no holder that can be seen.
func (l *lister) limitUnseen(n int) {
	if n == 0 || l.holders == nil {
		return
	}
	limit := host.Limit{What: fmt.Sprintf("which processes hold %d of the %d sockets", n, len(l.sockets)),
		Why: "the kernel itself holds them, or a process that is not in this PID namespace", Needs: "the host's own PID namespace"}
	if !l.info.Privileged {
		limit.Why, limit.Needs = "other users' descriptors can't be read", "root or CAP_SYS_PTRACE"
	}
	l.limits = append(l.limits, limit)
}
