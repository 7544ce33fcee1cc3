package checks

import (
	"fmt"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var bindPath = &diagnose.Check{
	ID: "bind-path", Doc: "whether another socket has the unix path or name",
	Codes: []string{"port-in-use", "port-socket-activated", "port-held-unlistened", "port-owner-hidden", "port-kernel-owned"},
	For:   diagnose.AskBind,
	Run:   runBindPath,
}

// ownersOf lists the sockets that were bound to the path, not those that their
// listener accepted: these have its path too.
func ownersOf(p *diagnose.Pass) ([]host.Socket, error) {
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "unix", Path: p.Flow.Path})
	if err != nil {
		return nil, err
	}
	var own []host.Socket
	for _, s := range socks {
		if s.State == host.Listen || s.State == host.Unconn {
			own = append(own, s)
		}
	}
	return own, nil
}

func runBindPath(p *diagnose.Pass) error {
	if p.Flow.Network != "unix" {
		p.Skip("no path")
		return nil
	}
	own, err := ownersOf(p)
	if err != nil {
		return err
	}
	found, err := inTheWayOfPath(p, own)
	if err != nil {
		return err
	}
	for _, c := range causesOf(p, found) {
		p.Stop(c)
	}
	if len(found) > 0 {
		p.Flow.Listener = &found[0].Socket
		return nil
	}
	p.OK("no socket has %s", p.Flow.Path)
	return nil
}

func inTheWayOfPath(p *diagnose.Pass, own []host.Socket) ([]occupant, error) {
	var found []occupant
	for _, s := range own[:min(len(own), maxOccupants)] {
		o := occupant{Socket: s}
		o.procs, o.complete = holdersOf(p, s.Inode)
		found = append(found, o)
	}
	return found, nil
}

var bindFile = &diagnose.Check{
	ID: "bind-file", Doc: "whether a file is left at the unix path, or the way to it is closed",
	Codes: []string{"unix-socket-stale", "unix-socket-denied"},
	For:   diagnose.AskBind,
	Run:   runBindFile,
}

// patience is how long the look at a path may take; nobody listens there.
const patience = time.Second

// runBindFile finds out by connect(2) what lies at the path. To try a bind
// would make a file. The kernel answers ECONNREFUSED if there is one that no
// socket has, ENOENT if there is none (net/unix/af_unix.c, unix_find_bsd).
func runBindFile(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network != "unix" || f.Blocked() {
		p.Skip("nothing left to explain")
		return nil
	}
	if f.Path[0] == '@' {
		p.OK("an abstract name has no file")
		return nil
	}
	a, err := p.Host.Connect(p.Ctx, host.ConnectQuery{Network: "unix", Path: f.Path, Timeout: patience})
	if err != nil {
		return err
	}
	evidence := []diagnose.Evidence{{Source: "connect(2)", What: f.Path, Value: a.Errno}, {Source: "sock_diag", What: "sockets with that path", Value: "none"}}
	culprit := &diagnose.Culprit{Kind: "socket", Address: f.Path}
	switch a.Errno {
	case "ENOENT":
		p.Unknown(host.Limit{What: "whether a socket can be made at " + f.Path, Why: "nothing is there, and to try would make a file", Needs: "a directory that exists and that the program may write to"})
	case "ECONNREFUSED", "EPROTOTYPE":
		if c := noSocketAt(p, &a); c != nil {
			c.Code, c.Outcome = "port-in-use", diagnose.InUse
			p.Stop(*c)
			return nil
		}
		p.Stop(diagnose.Cause{Code: "unix-socket-stale", Outcome: diagnose.InUse, Culprit: culprit, Evidence: evidence,
			Title: fmt.Sprintf("A file is left at %s, and no socket has it: its program ended without removing it.", f.Path),
			Fixes: []diagnose.Fix{{Title: "remove the file", Commands: [][]string{{"rm", "--", f.Path}}, NeedsRoot: p.Info.UID != 0, Opens: "nothing",
				PredictedOutcome: diagnose.Bound, Risk: "low"}}})
	case "":
		p.Stop(diagnose.Cause{Code: "port-in-use", Outcome: diagnose.InUse, Culprit: culprit, Evidence: []diagnose.Evidence{{Source: "connect(2)", What: f.Path, Value: "connected"}},
			Title: fmt.Sprintf("A program in another network namespace listens on %s.", f.Path)})
	case "EACCES", "EPERM":
		evidence = evidence[:1]
		if a.At != nil && a.At.Path != f.Path {
			p.Stop(diagnose.Cause{Code: "unix-socket-denied", Outcome: diagnose.Denied, Culprit: culprit, Evidence: append(evidence, pathEvidence(a.At)), Title: closedTo(p, a.At)})
			return nil
		}
		p.Stop(diagnose.Cause{Code: "unix-socket-denied", Outcome: diagnose.Denied, Also: []diagnose.Outcome{diagnose.InUse}, Culprit: culprit, Evidence: evidence,
			Title: fmt.Sprintf("User %d may not get to %s: a directory on the way, or the file that is there already, is closed to it.", p.Info.UID, f.Path),
			Doubt: "which of them it is can't be seen", Ceiling: diagnose.Likely})
	default:
		p.Unknown(host.Limit{What: "what lies at " + f.Path, Why: "connect answers " + a.Errno, Needs: "a look at the path"})
	}
	return nil
}
