package checks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var accept = &diagnose.Check{
	ID: "accept", Doc: "whether the listener's process can take connections: queue, process state, descriptors, socket filter",
	Codes: []string{"accept-queue-full", "listener-stopped", "listener-frozen", "listener-fd-limit", "listener-leaked-fd", "listener-filtered",
		"listener-md5-required", "reuseport-stuck-member", "syn-backlog-full"},
	For: diagnose.AskConnect, Behind: true,
	Run: runAccept,
}

func runAccept(p *diagnose.Pass) error {
	f := p.Flow
	if f.Listener == nil {
		p.Skip("no listener on this host")
		return nil
	}
	s := *f.Listener
	if f.Network == "tcp" {
		if s.MD5 {
			p.Stop(stopMD5(p, s))
			return nil
		}
		if stopSynBacklog(p, s) {
			return nil
		}
	}
	procs, _ := holdersOf(p, s.Inode)
	if stopFilter(p, s, procs) {
		return nil
	}
	if f.Network == "udp" {
		p.OK("%s", socketEvidence(s).Value)
		return nil
	}
	if len(procs) > 0 {
		o, err := optionsOf(p, s, procs[0].PID)
		f.Impatient = err == nil && o.DeferAccept > 0
	}
	group, err := reuseGroup(p, s)
	if err != nil {
		return err
	}
	if len(group) > 1 {
		return stuckMember(p, group)
	}
	full := s.Queue > s.Backlog
	c := stuck(p, s, procs)
	if c != nil {
		// One holder that accepts is enough, so none may be missed.
		all, complete := everyHolder(p, s.Inode)
		if c = stuck(p, s, all); c != nil && !complete {
			c.Doubt, c.Ceiling = "another process that can't be seen may hold the socket, too, and accept", diagnose.Likely
		}
	}
	if c != nil {
		if full {
			c.After, c.Outcome = false, diagnose.Timeout
			c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; its queue is full (%d of %d).", s.Queue, s.Backlog)
		}
		p.Stop(*c)
		return nil
	}
	if full {
		culprit, who := socketCulprit(p, s)
		c := diagnose.Cause{Code: "accept-queue-full", Outcome: diagnose.Timeout, Counter: "TcpExt.ListenOverflows", Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(s)},
			Title: fmt.Sprintf("The queue of %s is full (%d connections wait, %d may): it does not accept, so new ones are dropped.", who, s.Queue, s.Backlog)}
		if len(procs) > 0 {
			c.Evidence = append(c.Evidence, processEvidence(procs[0]))
		}
		p.Stop(c)
		return nil
	}
	p.OK("queue %d of %d", s.Queue, s.Backlog)
	if s.Backlog > 0 && s.Queue*4 >= s.Backlog*3 && s.Queue > 4 {
		p.Trace("the queue is three quarters full")
	}
	return nil
}

func stopMD5(p *diagnose.Pass, s host.Socket) diagnose.Cause {
	culprit, who := socketCulprit(p, s)
	evidence := []diagnose.Evidence{socketEvidence(s)}
	if s.MD5 {
		evidence = append(evidence, diagnose.Evidence{Source: "sock_diag", What: "INET_DIAG_MD5SIG", Value: "a TCP-MD5 key is set"})
	}
	return diagnose.Cause{Code: "listener-md5-required", Outcome: diagnose.Timeout, Culprit: culprit, Evidence: evidence,
		Title: fmt.Sprintf("%s demands TCP-MD5 signatures (RFC 2385) from its peers and drops segments without.", who),
		Doubt: "the key may be for other peers only", Ceiling: diagnose.Likely, Counter: "TcpExt.TCPMD5NotFound"}
}

// stopSynBacklog: without SYN cookies the kernel drops a SYN when as many
// handshakes are open as the backlog allows (tcp_conn_request, inet_csk_reqsk_queue_is_full).
func stopSynBacklog(p *diagnose.Pass, s host.Socket) bool {
	cookies, err := p.Host.Sysctl(p.Ctx, "net.ipv4.tcp_syncookies")
	if err != nil || strings.TrimSpace(cookies.Value) != "0" {
		return false
	}
	half, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "tcp", Port: s.Local.Port(), States: []host.State{host.SynRecv}})
	if err != nil || uint32(len(half)) < s.Backlog || len(half) == 0 {
		return false
	}
	p.Stop(diagnose.Cause{Code: "syn-backlog-full", Outcome: diagnose.Timeout, Culprit: sysctlCulprit(cookies),
		Evidence: []diagnose.Evidence{{Source: "sock_diag", What: "half-open connections (SYN-RECV)", Value: fmt.Sprint(len(half))}, socketEvidence(s), sysctlEvidence(cookies)},
		Title:    fmt.Sprintf("%d half-open connections fill the backlog of %d, and SYN cookies are off: new ones are dropped.", len(half), s.Backlog),
		Fixes: []diagnose.Fix{{Title: "switch SYN cookies on", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected,
			Commands: [][]string{{"sysctl", "-w", "net.ipv4.tcp_syncookies=1"}}, Undo: [][]string{{"sysctl", "-w", "net.ipv4.tcp_syncookies=0"}}}}})
	return true
}

// stopFilter: a socket filter (SO_ATTACH_FILTER) runs before the handshake, and
// what it rejects is counted as a drop of the socket (sk_filter_trim_cap).
func stopFilter(p *diagnose.Pass, s host.Socket, procs []host.Process) bool {
	if len(procs) == 0 {
		return false
	}
	o, err := optionsOf(p, s, procs[0].PID)
	if err != nil || !o.Filter {
		return false
	}
	culprit, who := socketCulprit(p, s)
	c := diagnose.Cause{Code: "listener-filtered", Outcome: diagnose.Timeout, Culprit: culprit,
		Evidence: []diagnose.Evidence{socketEvidence(s), {Source: "getsockopt", What: "SO_ATTACH_FILTER", Value: fmt.Sprintf("%d instructions", o.FilterLength)}, {Source: "sock_diag", What: "drops of the socket", Value: fmt.Sprint(s.Drops)}},
		Title:    fmt.Sprintf("A socket filter on the listener of %s drops what comes in (%d drops so far).", who, s.Drops)}
	if s.Drops == 0 {
		p.Trace("a socket filter is attached and has dropped nothing so far")
		return false
	}
	c.Doubt, c.Ceiling = "the filter may let other packets pass", diagnose.Likely
	if o.FilterLength == 1 {
		c.Doubt, c.Ceiling = "", diagnose.Proven // one instruction can only be a constant return
	}
	p.Stop(c)
	return true
}

// optionsOf reads a socket's options through the holder's descriptor.
func optionsOf(p *diagnose.Pass, s host.Socket, pid int) (host.SocketOptions, error) {
	found, err := p.Host.Holders(p.Ctx, host.HolderQuery{Inodes: []uint64{s.Inode}})
	if err != nil {
		return host.SocketOptions{}, err
	}
	for _, h := range found.BySocket[s.Inode] {
		if h.PID == pid {
			return p.Host.SocketOptions(p.Ctx, h.PID, h.FD)
		}
	}
	return host.SocketOptions{}, host.ErrNotFound
}

// reuseGroup lists the listeners that share the address by SO_REUSEPORT.
func reuseGroup(p *diagnose.Pass, s host.Socket) ([]host.Socket, error) {
	all, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "tcp", Port: s.Local.Port(), States: []host.State{host.Listen}})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(o host.Socket) bool { return o.Local != s.Local || o.Interface != s.Interface }), nil
}

// stuckMember: the kernel spreads connections over a reuseport group by hash,
// so that one member that doesn't accept loses its share.
func stuckMember(p *diagnose.Pass, group []host.Socket) error {
	for _, s := range group {
		procs, _ := holdersOf(p, s.Inode)
		c := stuck(p, s, procs)
		if c == nil && s.Queue <= s.Backlog {
			continue
		}
		culprit, who := socketCulprit(p, s)
		why := "it does not accept"
		evidence := []diagnose.Evidence{socketEvidence(s)}
		if c != nil {
			why = strings.TrimSuffix(strings.TrimPrefix(c.Title, who+" "), ".")
			evidence = append(evidence, c.Evidence...)
		}
		p.Stop(diagnose.Cause{Code: "reuseport-stuck-member", Outcome: diagnose.Connected, Also: []diagnose.Outcome{diagnose.Timeout}, After: true, Sometimes: true, Culprit: culprit, Evidence: evidence,
			Title: fmt.Sprintf("%s is one of %d that share %s by SO_REUSEPORT, and %s: about 1 connection in %d hangs.", who, len(group), socketAddress(s), why, len(group))})
		return nil
	}
	p.OK("%d listeners share the address, all accept", len(group))
	return nil
}

// stuck says why the socket's holders can't accept: they are stopped, frozen,
// or out of descriptors; nil if nothing is seen.
func stuck(p *diagnose.Pass, s host.Socket, procs []host.Process) *diagnose.Cause {
	var first *diagnose.Cause
	for _, proc := range procs {
		c := stuckProcess(p, s, proc)
		if c == nil {
			return nil // one holder that can accept is enough
		}
		if first == nil {
			first = c
		}
	}
	return first
}

func stuckProcess(p *diagnose.Pass, s host.Socket, proc host.Process) *diagnose.Cause {
	c := &diagnose.Cause{Outcome: diagnose.Connected, After: true, Unaccepted: true, Culprit: processCulprit(proc), Evidence: []diagnose.Evidence{processEvidence(proc), socketEvidence(s)}}
	c.Culprit.Address = socketAddress(s)
	cg, err := p.Host.Cgroup(p.Ctx, proc.Cgroup)
	if err == nil && cg.Frozen {
		c.Code = "listener-frozen"
		c.Title = fmt.Sprintf("%s is frozen: its control group %s is (cgroup.freeze).", describe(proc), cg.FrozenBy)
		if name := containerName(p, proc.Container); name != "" {
			c.Title = fmt.Sprintf("%s is frozen: its container %q is paused.", describe(proc), name)
			c.Culprit.Container = name
		}
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "cgroup", What: cg.FrozenBy, Value: "frozen 1"})
		c.Fixes = []diagnose.Fix{thaw(p, proc, cg)}
		return c
	}
	switch {
	case proc.State == "T":
		c.Code = "listener-stopped"
		c.Title = fmt.Sprintf("%s is stopped (SIGSTOP): the kernel completes connections, but nobody takes them.", describe(proc))
		c.Fixes = []diagnose.Fix{{Title: "let it go on", NeedsRoot: proc.UID == 0 || proc.UID != p.Info.UID, Opens: "nothing", PredictedOutcome: diagnose.Connected,
			Commands: [][]string{{"kill", "-CONT", fmt.Sprint(proc.PID)}}, Undo: [][]string{{"kill", "-STOP", fmt.Sprint(proc.PID)}}}}
		return c
	case proc.State == "t":
		c.Code = "listener-stopped"
		c.Title = fmt.Sprintf("%s is stopped by a debugger (traced by pid %d).", describe(proc), proc.TracerPID)
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: fmt.Sprintf("/proc/%d/status", proc.PID), What: "TracerPid", Value: fmt.Sprint(proc.TracerPID)})
		return c
	case proc.FDLimit > 0 && proc.FDs >= 0 && uint64(proc.FDs) >= proc.FDLimit:
		c.Code = "listener-fd-limit"
		c.Title = fmt.Sprintf("%s has used all %d file descriptors that it may have, so it can't accept.", describe(proc), proc.FDLimit)
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: fmt.Sprintf("/proc/%d/limits", proc.PID), What: "Max open files", Value: fmt.Sprintf("%d of %d used", proc.FDs, proc.FDLimit)})
		c.Fixes = []diagnose.Fix{moreFiles(proc)}
		return c
	case neverAccepts[proc.Name]:
		c.Code = "listener-leaked-fd"
		c.Title = fmt.Sprintf("%s holds the listening socket of a parent that is gone, and never accepts: the descriptor leaked to it (no close-on-exec).", describe(proc))
		c.Fixes = []diagnose.Fix{{Title: "end it", NeedsRoot: proc.UID != p.Info.UID, Opens: "the port for its real owner", Risk: "medium", Commands: [][]string{{"kill", fmt.Sprint(proc.PID)}}}}
		return c
	}
	return nil
}

// neverAccepts are programs that inherit sockets and have no use for them.
var neverAccepts = map[string]bool{"sleep": true, "tail": true, "cat": true, "tee": true, "sh": true, "bash": true, "dash": true, "zsh": true, "mpv": true,
	"vlc": true, "less": true, "more": true, "vim": true, "nano": true, "make": true, "ping": true, "logger": true, "watch": true, "inotifywait": true}

// containerName returns what the engine calls the container, if it tells.
func containerName(p *diagnose.Pass, id string) string {
	if id == "" {
		return ""
	}
	if list, err := p.Host.Containers(p.Ctx); err == nil {
		for _, c := range list.List {
			if c.ID == id {
				return c.Name
			}
		}
	}
	return ""
}

func thaw(p *diagnose.Pass, proc host.Process, cg host.Cgroup) diagnose.Fix {
	fix := diagnose.Fix{Title: "thaw it", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected}
	if proc.Container != "" {
		if list, err := p.Host.Containers(p.Ctx); err == nil {
			for _, c := range list.List {
				if c.ID == proc.Container {
					fix.Commands, fix.Undo = [][]string{{c.Engine, "unpause", c.Name}}, [][]string{{c.Engine, "pause", c.Name}}
					return fix
				}
			}
		}
	}
	if proc.Unit != "" && strings.HasSuffix(cg.FrozenBy, "/"+proc.Unit) {
		fix.Commands, fix.Undo = [][]string{{"systemctl", "thaw", proc.Unit}}, [][]string{{"systemctl", "freeze", proc.Unit}}
	}
	return fix
}

// md5After: the listener's key is hidden from who has few rights, the counter
// of segments dropped for want of a signature is not.
var md5After = &diagnose.Check{
	ID: "md5", Doc: "whether the listener dropped the attempt for want of a TCP-MD5 signature",
	Codes: []string{"listener-md5-required"},
	For:   diagnose.AskConnect, When: diagnose.Explain, Behind: true,
	Run: func(p *diagnose.Pass) error {
		f := p.Flow
		if f.Listener == nil || f.Listener.MD5 || f.Attempt == nil || f.Observed.Outcome != diagnose.Timeout || f.Attempt.Moved["TcpExt.TCPMD5NotFound"] == 0 {
			p.Skip("nothing to explain")
			return nil
		}
		p.Stop(stopMD5(p, *f.Listener))
		return nil
	},
}

// acceptAfter looks at a connection that stands and is not taken.
var acceptAfter = &diagnose.Check{
	ID: "accepted", Doc: "whether the listener's process took the connection that was made",
	Codes: []string{"listener-not-accepting", "listener-defer-accept", "port-self-connected", "accept-queue-full"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runAcceptAfter,
}

func runAcceptAfter(p *diagnose.Pass) error {
	f := p.Flow
	if f.Attempt == nil || f.Attempt.Errno != "" || f.Network == "udp" {
		p.Skip("no connection stands")
		return nil
	}
	if f.Firewall != nil && f.Firewall.Stalled {
		p.Skip("what follows the handshake doesn't arrive, so there is nothing to accept")
		return nil
	}
	if f.Attempt.SelfConnected {
		p.Stop(diagnose.Cause{Code: "port-self-connected", Outcome: diagnose.Connected, After: true,
			Culprit:  &diagnose.Culprit{Kind: "kernel", Name: "TCP simultaneous open", Address: f.Attempt.Local.String()},
			Evidence: []diagnose.Evidence{{Source: "getsockname", What: "local address", Value: f.Attempt.Local.String()}, {Source: "getpeername", What: "far address", Value: f.Attempt.Remote.String()}},
			Title:    "Nothing listens there: the connection was made to itself, because the kernel chose this very port to leave from."})
		return nil
	}
	if f.Attempt.Accepted != "no" || f.Listener == nil && f.Network == "tcp" {
		p.OK("accepted: %s", orUnknown(f.Attempt.Accepted))
		return nil
	}
	for _, earlier := range p.Stopped() {
		if earlier.After {
			p.OK("not accepted, as predicted")
			return nil
		}
	}
	if f.Listener == nil {
		p.OK("not accepted")
		return nil
	}
	s := *f.Listener
	procs, _ := holdersOf(p, s.Inode)
	culprit, who := socketCulprit(p, s)
	c := diagnose.Cause{Code: "listener-not-accepting", Outcome: diagnose.Connected, After: true, Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(s)},
		Title: fmt.Sprintf("%s is alive and listens, but did not accept within %s: the connection waits in its queue.", who, p.Waited())}
	if len(procs) > 0 {
		ev := processEvidence(procs[0])
		if procs[0].WaitChannel != "" {
			ev.Value += " sleeps in " + procs[0].WaitChannel
		}
		c.Evidence = append(c.Evidence, ev)
		if o, err := optionsOf(p, s, procs[0].PID); err == nil && o.DeferAccept > 0 {
			if f.Attempt.Talk == nil {
				p.Warn(diagnose.Finding{Code: "listener-defer-accept", Culprit: culprit, Evidence: c.Evidence,
					Title: fmt.Sprintf("%s is not woken before the client has spoken (TCP_DEFER_ACCEPT, %d s): right for HTTP, wrong where the server speaks first", who, o.DeferAccept)})
				p.OK("not accepted before the client speaks")
				return nil
			}
			c.Code = "listener-defer-accept"
			c.Title = fmt.Sprintf("%s waits for the client to speak first (TCP_DEFER_ACCEPT, %d s): it is not woken for a connection without data.", who, o.DeferAccept)
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "getsockopt", What: "TCP_DEFER_ACCEPT", Value: fmt.Sprintf("%d s", o.DeferAccept)})
		}
	} else {
		c.Doubt, c.Ceiling = "its process can't be seen", diagnose.Likely
	}
	p.Stop(c)
	return nil
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// moreFiles lets a process open four times as many files as now.
func moreFiles(proc host.Process) diagnose.Fix {
	more, back := fmt.Sprintf("%d:", proc.FDLimit*4), fmt.Sprintf("%d:", proc.FDLimit)
	if proc.FDMost != 0 && proc.FDMost < proc.FDLimit*4 {
		more, back = fmt.Sprintf("%d:%[1]d", proc.FDLimit*4), fmt.Sprintf("%d:%d", proc.FDLimit, proc.FDMost)
	}
	limit := func(n string) [][]string {
		return [][]string{{"prlimit", "--pid", fmt.Sprint(proc.PID), "--nofile=" + n}}
	}
	return diagnose.Fix{Title: "raise its limit", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected, Commands: limit(more), Undo: limit(back)}
}
