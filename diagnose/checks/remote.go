package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var remote = &diagnose.Check{
	ID: "remote", Doc: "what the far end, or a router on the way, answered",
	Codes: []string{"no-listener", "listener-other-address", "remote-refused", "remote-filtered", "remote-rejected", "remote-unreachable", "one-way-only"},
	For:   diagnose.AskConnect, When: diagnose.Explain, Behind: true,
	Run: runRemote,
}

func runRemote(p *diagnose.Pass) error {
	f := p.Flow
	if f.Local || !f.Destination.IsValid() || f.Observed == nil {
		p.Skip("the target is this host, or nothing was tried")
		return nil
	}
	if f.Observed.Outcome.Good() {
		p.OK("%s answered", f.Addr())
		return nil
	}
	if f.Blocked() {
		p.Skip("stopped before")
		return nil
	}
	p.Limit(host.Limit{What: "the far end, " + f.String(), Why: "this host sees only its own side", Needs: "portwhy there"})
	p.Note(diagnose.Finding{Code: "one-way-only", Title: fmt.Sprintf("only this side of the way to %s was seen", f.Addr())})
	o := f.Observed
	culprit := &diagnose.Culprit{Kind: "remote", Address: f.Addr().String()}
	evidence := []diagnose.Evidence{{Source: "connect(2)", What: f.String(), Value: fmt.Sprintf("%s after %s", orUnknown(o.Errno), f.Attempt.Elapsed.Round(10000))}, routeEvidence(f)}
	c := diagnose.Cause{Outcome: o.Outcome, Culprit: culprit}
	if m := f.Attempt.ICMP; m != nil && !m.Local {
		if own := localSender(p, *m); own {
			p.OK("an ICMP error of this host itself: %s", o.ICMP.Text)
			return nil
		}
		from := f.Addr().String()
		if m.From.IsValid() {
			from = m.From.String()
		}
		culprit.Address = from
		evidence = append(evidence, diagnose.Evidence{Source: "error queue", What: "ICMP from " + from, Value: o.ICMP.Text})
		c.Evidence = evidence
		where := "there"
		if m.From.IsValid() && m.From != f.Addr() {
			where = "on the way"
		}
		c.Code = "remote-rejected"
		c.Title = fmt.Sprintf("%s says %q: a firewall %s rejects it; nothing on this host stops it.", from, o.ICMP.Text, where)
		if f.Network == "udp" && isPortUnreachable(*m) && m.From == f.Addr() {
			c.Code = "remote-refused"
			c.Title = fmt.Sprintf("%s says that nothing listens on its UDP port %d (%s).", from, f.Port(), o.ICMP.Text)
		} else if isRouting(*m) {
			c.Code = "remote-unreachable"
			c.Title = fmt.Sprintf("%s says %q: it has no way to %s.", from, o.ICMP.Text, f.Addr())
		}
		p.Stop(c)
		return nil
	}
	c.Evidence = evidence
	switch o.Outcome {
	case diagnose.Refused:
		if inside := refusedInside(p); inside != nil {
			inside.Evidence = append(evidence, inside.Evidence...)
			p.Stop(*inside)
			return nil
		}
		c.Code = "remote-refused"
		c.Title = fmt.Sprintf("%s refuses: nothing listens on its port %d, or a firewall there answers with a reset.", f.Addr(), f.Port())
	case diagnose.Reset:
		c.Code = "remote-refused"
		c.Title = fmt.Sprintf("%s, or something on the way, resets the connection.", f.Addr())
		c.Doubt, c.Ceiling = "who sent the reset can't be told", diagnose.Likely
	case diagnose.Timeout:
		c.Code = "remote-filtered"
		if q := dropping(p, f.Route.Device); q != nil {
			c.Doubt, c.Ceiling = fmt.Sprintf("the queue of %s drops packets (%s)", q.Device, qdiscText(*q)), diagnose.Likely
		}
		out := f.Route.Device
		if f.Route.Gateway.IsValid() {
			out += fmt.Sprintf(" to %s", f.Route.Gateway)
		}
		c.Title = fmt.Sprintf("%s does not answer: the packets leave by %s, and what follows drops them, or the answer, in silence.", f.Addr(), out)
	case diagnose.HostUnreachable, diagnose.NetUnreachable:
		c.Code = "remote-unreachable"
		c.Title = fmt.Sprintf("%s can't be reached, and no message says who gave up.", f.Addr())
		c.Doubt, c.Ceiling = "the kernel told no sender", diagnose.Likely
	default:
		if f.Network == "udp" && o.Outcome == diagnose.Unknown {
			p.Note(diagnose.Finding{Code: "one-way-only", Title: fmt.Sprintf("%s was sent a datagram and did not answer, which for UDP proves nothing", f)})
		}
		p.OK("%s", o.Outcome)
		return nil
	}
	p.Stop(c)
	return nil
}

// localSender reports whether the ICMP error came from an address of this host.
func localSender(p *diagnose.Pass, m host.ICMP) bool {
	addrs, err := p.Host.Addresses(p.Ctx)
	return err == nil && m.From.IsValid() && ownAddress(addrs, m.From) != nil
}

func isPortUnreachable(m host.ICMP) bool {
	return m.Version == 4 && m.Type == 3 && m.Code == 3 || m.Version == 6 && m.Type == 1 && m.Code == 4
}

// isRouting: net or host unreachable or unknown, time exceeded; a REJECT rule
// can send the former too, so the words stay with the sender.
func isRouting(m host.ICMP) bool {
	if m.Version == 4 {
		return m.Type == 3 && (m.Code == 0 || m.Code == 1 || m.Code == 6 || m.Code == 7) || m.Type == 11
	}
	return m.Type == 1 && (m.Code == 0 || m.Code == 3) || m.Type == 3
}
