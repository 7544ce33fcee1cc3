package checks

import (
	"fmt"
	"path"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// maxCmdline bounds a command line in a report.
const maxCmdline = 512

// holdersOf returns processes that hold the socket, lowest pid first: the first
// that is found, and those of its relatives that do. The second result is false
// if some processes' descriptors could not be read, so that an empty answer
// proves nothing.
func holdersOf(p *diagnose.Pass, inode uint64) ([]host.Process, bool) {
	return holders(p, host.HolderQuery{Inodes: []uint64{inode}})
}

// everyHolder returns all processes that hold the socket. It looks at every
// descriptor of the host.
func everyHolder(p *diagnose.Pass, inode uint64) ([]host.Process, bool) {
	return holders(p, host.HolderQuery{Inodes: []uint64{inode}, Every: true})
}

func holders(p *diagnose.Pass, q host.HolderQuery) ([]host.Process, bool) {
	inode := q.Inodes[0]
	if inode == 0 {
		return nil, true
	}
	found, err := p.Host.Holders(p.Ctx, q)
	if err != nil {
		p.Limit(diagnose.LimitOf("which process holds the socket", err))
		return nil, false
	}
	var procs []host.Process
	last := 0
	for _, h := range found.BySocket[inode] {
		if h.PID == last {
			continue
		}
		last = h.PID
		proc, err := p.Host.Process(p.Ctx, h.PID)
		if err != nil || h.StartTicks != 0 && proc.StartTicks != h.StartTicks {
			continue // ended meanwhile, or its pid is another process's now
		}
		procs = append(procs, proc)
	}
	complete := found.Unreadable == 0
	if len(procs) == 0 && !complete {
		p.Limit(host.Limit{What: "which process holds the socket", Why: fmt.Sprintf("the descriptors of %d processes can't be read", found.Unreadable),
			Needs: "root or CAP_SYS_PTRACE"})
	}
	return procs, complete
}

// describe names a process for a sentence: nginx (pid 812, nginx.service).
func describe(proc host.Process) string {
	s := fmt.Sprintf("%s (pid %d", displayName(proc), proc.PID)
	switch {
	case proc.Container != "":
		s += ", container " + shortID(proc.Container)
	case proc.Unit != "":
		s += ", " + proc.Unit
	}
	return s + ")"
}

// displayName is the program's name; an interpreter is named with its script.
func displayName(proc host.Process) string {
	name := proc.Name
	base := path.Base(name)
	for _, interpreter := range []string{"python", "node", "ruby", "perl", "java", "sh", "bash"} {
		if strings.HasPrefix(base, interpreter) && len(proc.Args) > 1 {
			for i, a := range proc.Args[1:] {
				if a == "-m" && i+2 < len(proc.Args) {
					return name + " -m " + proc.Args[i+2]
				}
				if !strings.HasPrefix(a, "-") && !strings.Contains(a, "\n") {
					return name + " " + path.Base(a)
				}
				if a == "-c" || a == "-e" {
					break
				}
			}
		}
	}
	return name
}

func shortID(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// processCulprit is the process as a culprit.
func processCulprit(proc host.Process) *diagnose.Culprit {
	cmd := strings.Join(proc.Args, " ")
	if len(cmd) > maxCmdline {
		cmd = host.Clean([]byte(cmd), maxCmdline)
	}
	c := &diagnose.Culprit{Kind: "process", PID: proc.PID, Name: proc.Name, Cmdline: cmd, User: proc.User, Unit: proc.Unit,
		Container: proc.Container, Cwd: proc.Cwd}
	if !proc.Started.IsZero() {
		started := proc.Started
		c.Started = &started
	}
	return c
}

// socketCulprit names a socket's first holder, or the socket itself where no
// holder can be seen. The sentence form comes with it.
func socketCulprit(p *diagnose.Pass, s host.Socket) (*diagnose.Culprit, string) {
	procs, complete := holdersOf(p, s.Inode)
	if len(procs) > 0 {
		proc := procs[0]
		c := processCulprit(proc)
		c.Address = socketAddress(s)
		return c, describe(proc)
	}
	c := &diagnose.Culprit{Kind: "socket", Address: socketAddress(s), User: fmt.Sprint(s.UID)}
	if complete && s.Inode != 0 {
		return c, "the kernel itself, or a process outside this view"
	}
	return c, fmt.Sprintf("a process of uid %d that can't be seen", s.UID)
}

// socketAddress writes a socket's own address, with the device it is bound to.
func socketAddress(s host.Socket) string {
	if s.Network == "unix" {
		return s.Path
	}
	if s.Device != "" && s.Local.Addr().Zone() == "" {
		return fmt.Sprintf("%s%%%s:%d", bracket(s), s.Device, s.Local.Port())
	}
	return s.Local.String()
}

func bracket(s host.Socket) string {
	if s.Local.Addr().Is6() {
		return "[" + s.Local.Addr().String() + "]"
	}
	return s.Local.Addr().String()
}

// socketEvidence is a socket as a fact.
func socketEvidence(s host.Socket) diagnose.Evidence {
	v := fmt.Sprintf("%s %s", s.State, socketAddress(s))
	if s.Remote.IsValid() && s.Remote.Port() != 0 {
		v += " <- " + s.Remote.String()
	}
	if s.V6Only {
		v += " v6only"
	}
	if s.State == host.Listen {
		v += fmt.Sprintf(" queue %d of %d", s.Queue, s.Backlog)
	}
	if s.Inode != 0 {
		v += fmt.Sprintf(" inode %d", s.Inode)
	}
	return diagnose.Evidence{Source: "sock_diag", What: s.Network + " socket", Value: v}
}

// processEvidence is a process as a fact.
func processEvidence(proc host.Process) diagnose.Evidence {
	return diagnose.Evidence{Source: fmt.Sprintf("/proc/%d", proc.PID), What: "process", Value: fmt.Sprintf("%s state %s uid %d", proc.Name, proc.State, proc.UID)}
}

// sysctlEvidence is a kernel setting as a fact.
func sysctlEvidence(s host.Sysctl) diagnose.Evidence {
	v := s.Value
	if s.File != "" {
		v += fmt.Sprintf(" (%s:%d sets %s)", s.File, s.Line, s.Configured)
	}
	return diagnose.Evidence{Source: "sysctl", What: s.Key, Value: v}
}

// sysctlCulprit is a kernel setting as a culprit, with the line that sets it.
func sysctlCulprit(s host.Sysctl) *diagnose.Culprit {
	return &diagnose.Culprit{Kind: "sysctl", Key: s.Key, Value: s.Value, File: s.File, Line: s.Line}
}
