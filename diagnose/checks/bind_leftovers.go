package checks

import (
	"errors"
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var bindLeftovers = &diagnose.Check{
	ID: "bind-leftovers", Doc: "whether sockets whose options can't be read, or that the kernel doesn't list, account for the refusal",
	Codes: occupantCodes,
	For:   diagnose.AskBind, When: diagnose.Explain,
	Run: runBindLeftovers,
}

// runBindLeftovers looks again at what the prediction had to leave open: a
// TIME-WAIT's SO_REUSEADDR can't be read by anyone.
func runBindLeftovers(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || f.Blocked() || f.Observed != nil && f.Observed.Outcome != diagnose.InUse && f.Observed.Outcome != diagnose.Bound {
		p.Skip("nothing left to explain")
		return nil
	}
	found, err := occupants(p)
	if err != nil {
		return err
	}
	switch {
	case f.Observed == nil:
		for _, c := range causesOf(p, found) {
			if c.Code == "port-time-wait" {
				warnPlain(p, c)
				continue
			}
			c.Doubt, c.Ceiling = "whether that socket has SO_REUSEADDR can't be read", diagnose.Possible
			p.Stop(c)
		}
	case f.Observed.Outcome == diagnose.Bound:
		// Sockets that a server without SO_REUSEADDR would be refused for.
		if f.BindAttempt != nil && f.BindAttempt.Plain == "EADDRINUSE" {
			for _, c := range causesOf(p, found) {
				warnPlain(p, c)
			}
		}
		p.OK("it can be bound")
	default:
		// The kernel refuses, and nothing but these can be why.
		for _, c := range causesOf(p, found) {
			if len(found) > 1 && c.Doubt == "" {
				c.Doubt, c.Ceiling = "which of the sockets it is can't be told: their SO_REUSEADDR can't be read", diagnose.Likely
			}
			p.Stop(c)
		}
		if len(found) == 0 {
			return unlisted(p)
		}
	}
	return nil
}

// warnPlain reports a socket that matters to servers without SO_REUSEADDR only.
func warnPlain(p *diagnose.Pass, c diagnose.Cause) {
	title := fmt.Sprintf("a server that doesn't set SO_REUSEADDR is refused port %d now: ", p.Flow.Port())
	if c.Code == "port-time-wait" {
		title += "closed connections rest in TIME-WAIT, for at most 60 seconds"
	} else {
		title += c.Title[:len(c.Title)-1]
	}
	p.Warn(diagnose.Finding{Code: c.Code, Culprit: c.Culprit, Evidence: c.Evidence, Title: title})
}

// unlisted looks for what has the port although no table shows it: a socket
// that is bound only, on kernels that don't list those (before Linux 6.8).
func unlisted(p *diagnose.Pass) error {
	port := p.Flow.Port()
	if p.Flow.Network != "tcp" {
		return nil
	}
	_, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "tcp", Port: port, States: []host.State{host.BoundInactive}})
	if !errors.Is(err, host.ErrUnsupported) {
		return nil
	}
	c := diagnose.Cause{Code: "port-held-unlistened", Outcome: diagnose.InUse, Culprit: &diagnose.Culprit{Kind: "socket", Address: p.Flow.String()},
		Evidence: []diagnose.Evidence{{Source: "sock_diag", What: "tcp sockets in the way", Value: "none; sockets that are bound only are not listed by this kernel"}},
		Title:    fmt.Sprintf("A socket that is bound to port %d and doesn't listen has it; this kernel lists no such sockets.", port),
		Doubt:    "it was concluded from the lack of anything else", Ceiling: diagnose.Likely}
	if proc := bindsOnly(p); proc != nil {
		c.Culprit = processCulprit(*proc)
		c.Evidence = append(c.Evidence, processEvidence(*proc))
		c.Title = fmt.Sprintf("%s has bound port %d and doesn't listen: ss and netstat show nothing.", describe(*proc), port)
		c.Doubt, c.Ceiling = "", diagnose.Proven
		c.Fixes = stopProcesses(p, *proc, []host.Process{*proc})
	}
	p.Stop(c)
	return nil
}

// bindsOnly searches the descriptors of this namespace's processes for a socket
// that is in no table and has the port.
func bindsOnly(p *diagnose.Pass) *host.Process {
	holders, err := p.Host.Holders(p.Ctx, host.HolderQuery{})
	if err != nil {
		return nil
	}
	listed, err := p.Host.Sockets(p.Ctx, host.SocketQuery{})
	if err != nil {
		return nil
	}
	for _, s := range listed {
		delete(holders.BySocket, s.Inode)
	}
	for _, list := range holders.BySocket {
		for _, h := range list[:1] {
			options, err := p.Host.SocketOptions(p.Ctx, h.PID, h.FD)
			if err != nil || options.Local.Port() != p.Flow.Port() || options.Accepting {
				continue
			}
			if proc, err := p.Host.Process(p.Ctx, h.PID); err == nil && proc.NetNS == p.Info.NetNS {
				return &proc
			}
		}
	}
	if holders.Unreadable > 0 {
		p.Limit(host.Limit{What: "which process has bound the port", Why: fmt.Sprintf("the descriptors of %d processes can't be read", holders.Unreadable), Needs: "root or CAP_SYS_PTRACE"})
	}
	return nil
}
