package checks

import (
	"fmt"
	"path"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var unixSocket = &diagnose.Check{
	ID: "unix-socket", Doc: "whether a process listens on the unix socket",
	Codes: []string{"accept-queue-full", "listener-stopped", "listener-frozen", "listener-fd-limit", "listener-leaked-fd"},
	For:   diagnose.AskConnect,
	Run:   runUnix,
}

func runUnix(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network != "unix" {
		p.Skip("not a unix socket")
		return nil
	}
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "unix", Path: f.Path, States: []host.State{host.Listen, host.Unconn}})
	if err != nil {
		return err
	}
	for i, s := range socks {
		if s.State == host.Listen {
			f.Listener = &socks[i]
		}
	}
	if f.Listener == nil {
		p.OK("no listening socket by that path") // the probe tells a stale file from a missing one
		return nil
	}
	s := *f.Listener
	culprit, who := socketCulprit(p, s)
	p.Serve(culprit)
	procs, _ := holdersOf(p, s.Inode)
	full := s.Queue > s.Backlog
	if c := stuck(p, s, procs); c != nil {
		if full {
			c.After, c.Outcome = false, diagnose.Timeout
		}
		p.Stop(*c)
		return nil
	}
	if full {
		p.Stop(diagnose.Cause{Code: "accept-queue-full", Outcome: diagnose.Timeout, Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(s)},
			Title: fmt.Sprintf("The queue of %s is full (%d connections wait, %d may): it does not accept.", who, s.Queue, s.Backlog)})
		return nil
	}
	p.OK("%s listens", who)
	return nil
}

var unixAfter = &diagnose.Check{
	ID: "unix-file", Doc: "what the attempt shows of the socket's file: missing, stale, not permitted",
	Codes: []string{"no-listener", "unix-socket-stale", "unix-socket-denied"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runUnixAfter,
}

func runUnixAfter(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network != "unix" || f.Attempt == nil {
		p.Skip("not a unix socket, or not tried")
		return nil
	}
	evidence := []diagnose.Evidence{{Source: "connect(2)", What: f.Path, Value: orUnknown(f.Attempt.Errno)}}
	culprit := &diagnose.Culprit{Kind: "socket", Address: f.Path}
	switch f.Attempt.Errno {
	case "ENOENT":
		c := diagnose.Cause{Code: "no-listener", Outcome: diagnose.Refused, Culprit: culprit, Evidence: evidence,
			Title: fmt.Sprintf("There is no file %s: nothing listens by that path.", f.Path)}
		p.Stop(c)
		nearPaths(p)
	case "ECONNREFUSED":
		if f.Listener != nil {
			p.OK("refused though a listener has this path")
			return nil
		}
		if c := noSocketAt(p, f.Attempt); c != nil {
			p.Stop(*c)
			return nil
		}
		p.Stop(diagnose.Cause{Code: "unix-socket-stale", Outcome: diagnose.Refused, Culprit: culprit,
			Evidence: append(evidence, diagnose.Evidence{Source: "sock_diag", What: "listening unix sockets with this path", Value: "none"}),
			Title:    fmt.Sprintf("%s is a leftover: the file is there, but no process listens on it any more.", f.Path),
			Fixes: []diagnose.Fix{{Title: "remove the file so that the service can make it anew, then start the service", NeedsRoot: true, Opens: "nothing", Risk: "low",
				Commands: [][]string{{"rm", "--", f.Path}}}}})
	case "EACCES", "EPERM":
		c := diagnose.Cause{Code: "unix-socket-denied", Outcome: diagnose.Denied, Culprit: culprit, Evidence: evidence,
			Title: closedTo(p, f.Attempt.At)}
		if at := f.Attempt.At; at != nil {
			c.Evidence = append(c.Evidence, pathEvidence(at))
		}
		if len(p.Info.LSMs) > 0 || p.Info.Seccomp != 0 {
			c.Doubt, c.Ceiling = "a security module could deny it too", diagnose.Likely
		}
		p.Stop(c)
	case "ENOTSOCK":
		p.Stop(diagnose.Cause{Code: "no-listener", Outcome: diagnose.Refused, Culprit: culprit, Evidence: evidence, Title: fmt.Sprintf("%s is not a socket.", f.Path)})
	default:
		p.OK("%s", orUnknown(f.Attempt.Errno))
	}
	return nil
}

// noSocketAt is the cause if what lies at the path is no socket, so that it is
// nobody's leftover: connect(2) answers ECONNREFUSED for any file
// (unix_find_bsd in net/unix/af_unix.c).
func noSocketAt(p *diagnose.Pass, a *host.Attempt) *diagnose.Cause {
	if a.At == nil || a.At.Kind == "socket" {
		return nil
	}
	return &diagnose.Cause{Code: "no-listener", Outcome: diagnose.Refused, Culprit: &diagnose.Culprit{Kind: "socket", Address: p.Flow.Path},
		Evidence: []diagnose.Evidence{{Source: "connect(2)", What: p.Flow.Path, Value: a.Errno}, pathEvidence(a.At)},
		Title:    fmt.Sprintf("%s is no socket but %s.", p.Flow.Path, pathKind(a.At))}
}

func pathKind(at *host.PathFact) string {
	switch at.Kind {
	case "directory":
		return "a directory"
	case "file":
		return "an ordinary file"
	case "socket":
		return "a socket"
	}
	return "another kind of file"
}

func pathEvidence(at *host.PathFact) diagnose.Evidence {
	return diagnose.Evidence{Source: "stat(2)", What: at.Path, Value: fmt.Sprintf("%s, mode %04o, of user %d and group %d", pathKind(at), at.Mode, at.UID, at.GID)}
}

// closedTo says what keeps this user from the flow's path: to connect needs
// search permission on each directory and write permission on the file (unix(7)).
func closedTo(p *diagnose.Pass, at *host.PathFact) string {
	who := fmt.Sprintf("User %d", p.Info.UID)
	switch {
	case at == nil:
		return fmt.Sprintf("%s may not write to %s or enter a directory above it.", who, p.Flow.Path)
	case at.Path != p.Flow.Path:
		return fmt.Sprintf("%s may not search the directory %s, in which %s would be.", who, at.Path, p.Flow.Path)
	}
	return fmt.Sprintf("%s may not write to %s.", who, p.Flow.Path)
}

// nearPaths notes listeners with the same file name elsewhere.
func nearPaths(p *diagnose.Pass) {
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "unix", States: []host.State{host.Listen}})
	if err != nil {
		return
	}
	for _, s := range socks {
		if s.Path != "" && s.Path != p.Flow.Path && path.Base(s.Path) == path.Base(p.Flow.Path) {
			culprit, who := socketCulprit(p, s)
			p.Note(diagnose.Finding{Code: "listener-other-address", Culprit: culprit, Title: fmt.Sprintf("%s listens on %s", who, s.Path)})
		}
	}
}
