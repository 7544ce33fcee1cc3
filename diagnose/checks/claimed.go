package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// claimed finds what a configuration says should listen on the port, and why
// it does not: its unit's state, or that the running process has another port.
func claimed(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	claims, err := p.Host.Claims(p.Ctx)
	if err != nil {
		p.Limit(diagnose.LimitOf("which configuration names the port", err))
		return nil
	}
	for _, l := range claims.Limits {
		p.Limit(l)
	}
	for _, claim := range claims.List {
		if claim.Port != f.Port() || claim.Network != f.Network || claim.Disabled {
			continue
		}
		if c := whyNotRunning(p, claim); c != nil {
			c.Evidence = append(c.Evidence, claimEvidence(claim))
			return c
		}
	}
	return nil
}

func claimEvidence(c host.Claim) diagnose.Evidence {
	return diagnose.Evidence{Source: fmt.Sprintf("%s:%d", c.File, c.Line), What: c.Program, Value: c.Text}
}

func whyNotRunning(p *diagnose.Pass, claim host.Claim) *diagnose.Cause {
	var unit host.Unit
	if claim.Unit != "" {
		var err error
		unit, err = p.Host.Unit(p.Ctx, claim.Unit)
		switch {
		case err == nil && unit.ActiveState == "inactive" && activeSocket(p, unit) != nil:
			return socketDecides(*activeSocket(p, unit), claim)
		case err == nil && unit.LoadState != "not-found":
			if c := unitCause(unit, claim); c != nil {
				return c
			}
		case err != nil && !errors.Is(err, host.ErrUnsupported) && !errors.Is(err, host.ErrNotFound):
			p.Limit(diagnose.LimitOf("the state of "+claim.Unit, err))
		}
	}
	if c := otherConfig(p, claim); c != nil {
		return c
	}
	return startedAgain(unit, claim, p.Info.At)
}

// justStarted is how long a program that systemd has started again may take
// until it listens, or fails anew.
const justStarted = 10 * time.Second

// startedAgain: a unit that fails again and again is active for moments.
func startedAgain(u host.Unit, claim host.Claim, now time.Time) *diagnose.Cause {
	if u.ActiveState != "active" || u.Restarts == 0 || u.ActiveSince.IsZero() || now.Sub(u.ActiveSince) > justStarted {
		return nil
	}
	u.ActiveState, u.Result = "activating", "" // the result of the last try is gone
	return unitCause(u, claim)
}

// claimedUnmanaged names the configuration that wants the port where no service
// manager tells of its unit and the program does not run.
func claimedUnmanaged(p *diagnose.Pass) *diagnose.Cause {
	claims, err := p.Host.Claims(p.Ctx)
	if err != nil {
		return nil
	}
	for _, claim := range claims.List {
		if claim.Port != p.Flow.Port() || claim.Network != p.Flow.Network || claim.Disabled || claim.Unit == "" || claim.Program == "systemd" {
			continue
		}
		if u, err := p.Host.Unit(p.Ctx, claim.Unit); err == nil && u.ActiveState == "active" {
			continue // it runs, and has not come to listen
		}
		return &diagnose.Cause{Code: "no-listener", Evidence: []diagnose.Evidence{claimEvidence(claim)},
			Culprit: &diagnose.Culprit{Kind: "config", File: claim.File, Line: claim.Line, Text: claim.Text, Unit: claim.Unit, Name: claim.Program},
			Title:   fmt.Sprintf("Nothing listens on port %d: %s:%d wants %s there, but it is not running.", claim.Port, claim.File, claim.Line, claim.Program)}
	}
	return nil
}

// activeSocket returns the active socket unit that starts the unit on demand.
func activeSocket(p *diagnose.Pass, u host.Unit) *host.Unit {
	for _, name := range u.TriggeredBy {
		s, err := p.Host.Unit(p.Ctx, name)
		if err == nil && strings.HasSuffix(name, ".socket") && s.ActiveState == "active" {
			return &s
		}
	}
	return nil
}

// socketDecides: with socket activation systemd listens, so that the port in
// the program's own configuration counts for nothing.
func socketDecides(s host.Unit, claim host.Claim) *diagnose.Cause {
	c := &diagnose.Cause{Code: "config-not-applied", Culprit: &diagnose.Culprit{Kind: "config", File: claim.File, Line: claim.Line, Text: claim.Text, Unit: s.Name, Name: claim.Program},
		Title: fmt.Sprintf("%s:%d says port %d, but %s listens for %s, and its ListenStream= decides.", claim.File, claim.Line, claim.Port, s.Name, claim.Program)}
	for _, l := range s.Listens {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: fmt.Sprintf("%s:%d", l.File, l.Line), What: s.Name, Value: "listens on " + l.Address.String() + l.Path})
	}
	return c
}

// unitCause says why a unit does not serve its port.
func unitCause(u host.Unit, claim host.Claim) *diagnose.Cause {
	culprit := &diagnose.Culprit{Kind: "unit", Unit: u.Name, Name: u.Name, PID: u.MainPID, File: claim.File, Line: claim.Line, Value: u.ActiveState}
	state := fmt.Sprintf("%s/%s, %s", u.ActiveState, u.SubState, u.LoadState)
	if u.Result != "" && u.Result != "success" {
		state += ", result " + u.Result
	}
	c := &diagnose.Cause{Culprit: culprit, Evidence: []diagnose.Evidence{{Source: "systemd", What: u.Name, Value: state}}}
	for _, line := range u.Log[max(0, len(u.Log)-2):] {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "journal", What: u.Name, Value: line})
	}
	start := diagnose.Fix{Title: "start it", NeedsRoot: true, Opens: "what the unit serves", PredictedOutcome: diagnose.Connected,
		Commands: [][]string{{"systemctl", "start", u.Name}}, Undo: [][]string{{"systemctl", "stop", u.Name}}}
	at := fmt.Sprintf("%s:%d", claim.File, claim.Line)
	switch {
	case u.LoadState == "masked":
		c.Code, c.Title = "unit-masked", fmt.Sprintf("%s should listen here (%s), but the unit is masked.", u.Name, at)
		c.Fixes = []diagnose.Fix{{Title: "unmask and start it", NeedsRoot: true, Persistent: true, Opens: "what the unit serves", PredictedOutcome: diagnose.Connected, Risk: "medium",
			Commands: [][]string{{"systemctl", "unmask", u.Name}, {"systemctl", "start", u.Name}},
			Undo:     [][]string{{"systemctl", "stop", u.Name}, {"systemctl", "mask", u.Name}}}}
	case u.ActiveState == "failed":
		c.Code, c.Title = "unit-failed", fmt.Sprintf("%s should listen here (%s), but it failed: %s.", u.Name, at, failure(u))
	case u.ActiveState == "activating":
		c.Code, c.Title = "unit-activating", fmt.Sprintf("%s should listen here (%s), but it is still starting (%s).", u.Name, at, u.SubState)
		if u.Restarts > 0 {
			c.Title = fmt.Sprintf("%s should listen here (%s), but it keeps restarting (%d times)", u.Name, at, u.Restarts)
			if u.Result != "" {
				c.Title += ": " + failure(u)
			}
			c.Title += "."
		}
	case u.NeedReload && u.ActiveState != "failed":
		c.Code, c.Title = "unit-needs-reload", fmt.Sprintf("%s names this port, but systemd still has the unit as it was before: it needs daemon-reload.", at)
		c.Fixes = []diagnose.Fix{{Title: "load the changed unit and restart it", NeedsRoot: true, Opens: "what the unit serves", PredictedOutcome: diagnose.Connected, Risk: "medium",
			Commands: [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "restart", u.Name}}}}
	case u.ActiveState == "inactive" || u.ActiveState == "deactivating":
		c.Code, c.Title = "unit-inactive", fmt.Sprintf("%s should listen here (%s), but it is not running.", u.Name, at)
		if !u.Condition {
			c.Title = fmt.Sprintf("%s should listen here (%s), but a condition kept it from starting.", u.Name, at)
		}
		c.Fixes = []diagnose.Fix{start}
	default:
		return nil
	}
	return c
}

func failure(u host.Unit) string {
	switch u.Result {
	case "exit-code":
		return fmt.Sprintf("its program ended with status %d", u.ExitStatus)
	case "signal":
		return fmt.Sprintf("its program was killed by signal %d", u.ExitStatus)
	case "oom-kill":
		return "the kernel killed it for want of memory"
	case "timeout":
		return "it did not start in time"
	case "start-limit-hit":
		return "it was started too often"
	case "success":
		return "its program ended without an error"
	case "":
		return "no result is told"
	}
	return u.Result
}

// otherConfig: the program that the configuration is for runs, and listens, but
// not on this port: the file was changed later, or another file is read.
func otherConfig(p *diagnose.Pass, claim host.Claim) *diagnose.Cause {
	procs, err := p.Host.Processes(p.Ctx)
	if err != nil {
		return nil
	}
	mine := map[int]host.Process{}
	for _, proc := range procs {
		if claim.Unit != "" && proc.Unit == claim.Unit || Serves(proc, claim.Program) {
			mine[proc.PID] = proc
		}
	}
	if len(mine) == 0 {
		return nil
	}
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: p.Flow.Network, States: listening(p.Flow.Network)})
	if err != nil {
		return nil
	}
	holders, err := p.Host.Holders(p.Ctx, host.HolderQuery{Inodes: inodes(socks), Every: true})
	if err != nil {
		return nil
	}
	for _, s := range socks {
		for _, h := range holders.BySocket[s.Inode] {
			proc, ok := mine[h.PID]
			if !ok {
				continue
			}
			culprit := &diagnose.Culprit{Kind: "config", File: claim.File, Line: claim.Line, Text: claim.Text, Unit: claim.Unit, PID: proc.PID, Name: proc.Name, Address: socketAddress(s)}
			c := &diagnose.Cause{Code: "config-not-applied", Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(s), processEvidence(proc)},
				Title: fmt.Sprintf("%s:%d says port %d, but %s listens on %s.", claim.File, claim.Line, claim.Port, describe(proc), socketAddress(s))}
			if !claim.Modified.IsZero() && claim.Modified.After(proc.Started) {
				c.Title = strings.TrimSuffix(c.Title, ".") + ": the file was changed after it started."
			} else {
				c.Doubt, c.Ceiling = "the file is older than the process, which may read another one", diagnose.Likely
			}
			if proc.Unit != "" {
				c.Fixes = []diagnose.Fix{{Title: "restart it so that it reads the file", NeedsRoot: true, Opens: "what the file says", PredictedOutcome: diagnose.Connected, Risk: "medium",
					Commands: [][]string{{"systemctl", "restart", proc.Unit}}}}
			}
			return c
		}
	}
	// It runs and listens nowhere: no port of its own is open.
	for _, proc := range mine {
		if unixOnly := unixListener(p, proc.PID); unixOnly != nil {
			return &diagnose.Cause{Code: "listener-unix-only", Culprit: processCulprit(proc), Evidence: []diagnose.Evidence{socketEvidence(*unixOnly), processEvidence(proc)},
				Title: fmt.Sprintf("%s runs, but listens on the unix socket %s only.", describe(proc), unixOnly.Path)}
		}
	}
	return nil
}

func inodes(socks []host.Socket) []uint64 {
	out := make([]uint64, 0, len(socks))
	for _, s := range socks {
		if s.Inode != 0 {
			out = append(out, s.Inode)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Serves reports whether the process is the program that a claim names: its
// name is the program's, or one of those under which it runs.
func Serves(proc host.Process, program string) bool {
	if program == "" || program == "systemd" {
		return false
	}
	aliases := map[string][]string{"postgresql": {"postgres"}, "mysql": {"mysqld", "mariadbd"}, "mariadb": {"mariadbd", "mysqld"}, "apache": {"apache2", "httpd"},
		"apache2": {"apache2", "httpd"}, "redis": {"redis-server"}, "ssh": {"sshd"}, "bind": {"named"}}
	return proc.Name == program || slices.Contains(aliases[program], proc.Name)
}

// unixListener finds a unix listener with a path that the process holds.
func unixListener(p *diagnose.Pass, pid int) *host.Socket {
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "unix", States: []host.State{host.Listen}})
	if err != nil {
		return nil
	}
	holders, err := p.Host.Holders(p.Ctx, host.HolderQuery{Inodes: inodes(socks), Every: true})
	if err != nil {
		return nil
	}
	for i, s := range socks {
		if s.Path == "" {
			continue
		}
		for _, h := range holders.BySocket[s.Inode] {
			if h.PID == pid {
				return &socks[i]
			}
		}
	}
	return nil
}

// belongsElsewhere: the program that usually serves the asked port or service
// runs here and listens on another port, or on a unix socket only.
func belongsElsewhere(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	names := diagnose.ProgramsFor(f.Port())
	if len(names) == 0 || f.Network != "tcp" || slices.Contains([]uint16{80, 443, 3000, 8080}, f.Port()) && p.Target.Service == "" {
		return nil
	}
	procs, err := p.Host.Processes(p.Ctx)
	if err != nil {
		return nil
	}
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, States: listening(f.Network)})
	if err != nil {
		return nil
	}
	holders, err := p.Host.Holders(p.Ctx, host.HolderQuery{Inodes: inodes(socks), Every: true})
	if err != nil {
		return nil
	}
	for _, proc := range procs {
		if !slices.Contains(names, proc.Name) {
			continue
		}
		for _, s := range socks {
			if slices.ContainsFunc(holders.BySocket[s.Inode], func(h host.Holder) bool { return h.PID == proc.PID }) {
				culprit := processCulprit(proc)
				culprit.Address = socketAddress(s)
				return &diagnose.Cause{Code: "listener-other-port", Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(s), processEvidence(proc)},
					Title: fmt.Sprintf("%s, which usually serves port %d, listens on %s.", describe(proc), f.Port(), socketAddress(s))}
			}
		}
		if s := unixListener(p, proc.PID); s != nil {
			return &diagnose.Cause{Code: "listener-unix-only", Culprit: processCulprit(proc), Evidence: []diagnose.Evidence{socketEvidence(*s), processEvidence(proc)},
				Title: fmt.Sprintf("%s, which usually serves port %d, listens on the unix socket %s only.", describe(proc), f.Port(), s.Path)}
		}
	}
	return nil
}
