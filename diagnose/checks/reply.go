package checks

import (
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// A packet that this host takes or rejects meets the answer's lack of a way before
// all that it is answered for, one that is dropped behind what drops it.
var (
	reply = &diagnose.Check{
		ID: "reply", Doc: "whether the answer to a packet from outside has a way back", Codes: []string{"reply-route"}, For: diagnose.AskConnect, Behind: true,
		Run: func(p *diagnose.Pass) error { return runReply(p, false) },
	}
	replyAfter = &diagnose.Check{
		ID: "reply-after", Doc: "whether the answer to a packet from outside would have a way back, if it were not dropped", Codes: []string{"reply-route"}, For: diagnose.AskConnect, Behind: true,
		Run: func(p *diagnose.Pass) error { return runReply(p, true) },
	}
)

func runReply(p *diagnose.Pass, dropped bool) error {
	f := p.Flow
	switch {
	case !f.From.IsValid() || f.Network == "unix" || !f.Local:
		p.Skip("nobody asks from elsewhere, or another host answers")
		return nil
	case f.Blocked() != dropped || dropped && f.Firewall == nil:
		p.Skip("told by another station, or no packet gets so far")
		return nil
	}
	tracer, look := lookAgain(p)
	if !dropped && look != nil && look.There.Verdict == "drop" {
		p.Skip("no packet gets so far")
		return nil
	}
	if dropped && stoppedWith(p, "reply-route") {
		p.Skip("told before")
		return nil
	}
	a, err := answerOf(p, look)
	switch {
	case err != nil:
		return err
	case a.unknown != "":
		if s := markerOf(tracer, look); s != nil {
			a.unknown += fmt.Sprintf(": it is set by %s (%s)", firewall.Quoted(s.Text), s.Where())
		}
		f.Unsure = a.unknown
		p.Unknown(host.Limit{What: "which way the answer to " + f.From.String() + " takes", Why: a.unknown, Needs: "a look at the rules: portwhy rules, ip rule"})
	case a.route.Type == "unicast" && a.query.Source.IsLoopback():
		// Whether it may leave with such a source, NAT's undoing aside, another
		// station tells: route_localnet.
		p.OK("the answer leaves: %s", routeText(a.route))
	case lost(a.route):
		return stopReply(p, a, tracer, look, dropped)
	default:
		p.OK("the answer leaves: %s", routeText(a.route))
		if !dropped {
			noteOtherDevice(p, a, look)
		}
	}
	return nil
}

func stoppedWith(p *diagnose.Pass, code string) bool {
	for _, c := range p.Stopped() {
		if c.Code == code {
			return true
		}
	}
	return false
}

// answerOf is the answer to the flow's first packet.
func answerOf(p *diagnose.Pass, look *firewall.Look) (wayBack, error) {
	f := p.Flow
	in := arrival{from: netip.AddrPortFrom(f.From, f.FromPort), at: netip.AddrPortFrom(reached(f.Addr()), f.Port()), device: f.Inbound}
	if look == nil {
		// Rules that can't be read may have marked it.
		fw, err := p.Host.Firewall(p.Ctx)
		in.unmarked = err != nil || len(fw.Limits) > 0
		return answerTo(p, in)
	}
	if arrived, ok := arrivalOf(look.There); ok {
		in = arrived
		if in.from.Addr() == f.From.WithZone("") {
			in.from = netip.AddrPortFrom(f.From, in.from.Port())
		}
	}
	own, err := isOwn(p, in.at.Addr())
	if err != nil {
		return wayBack{}, err
	}
	if own {
		return answerTo(p, in)
	}
	// Another host answers, and this one hands that on.
	a := wayBack{query: host.RouteQuery{Destination: f.From}}
	a.route, err = p.Host.RouteTo(p.Ctx, a.query)
	return a, err
}

// isOwn reports whether a packet to an address is for this host. That of the flow is.
func isOwn(p *diagnose.Pass, a netip.Addr) (bool, error) {
	if a == reached(p.Flow.Addr()).WithZone("") {
		return true, nil
	}
	r, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: a})
	return r.Type == "local", err
}

// stopReply: the answer has no way. dropped: neither has the packet.
func stopReply(p *diagnose.Pass, a wayBack, tracer *firewall.Tracer, look *firewall.Look, dropped bool) error {
	f := p.Flow
	what, lead := "the answer", "The packet arrives, but "
	switch {
	case dropped:
		lead = "It would get no answer, either: "
	case a.rejects:
		what, lead = "what the rule answers", "The packet is rejected, but "
	}
	c := diagnose.Cause{Code: "reply-route", Outcome: diagnose.Timeout, Asked: !dropped && a.packets == 0, Culprit: &diagnose.Culprit{Kind: "route", Address: f.From.String(), Text: routeText(a.route)},
		Evidence: []diagnose.Evidence{{Source: "RTM_GETROUTE", What: queryText(a.query), Value: routeText(a.route)}},
		Title:    lead + fmt.Sprintf("%s from %s to %s has no way: %s.", what, f.Addr(), f.From, routeText(a.route))}
	t, err := readTables(p)
	if err != nil {
		return err
	}
	rule := t.decider(a.query, a.route)
	if rule != nil {
		text := policyText(*rule)
		c.Culprit.Text = text
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
		c.Title = lead + fmt.Sprintf("the policy rule %q sends %s to %s nowhere (%s).", text, what, f.From, routeText(a.route))
		if rule.Mask != 0 && a.query.Mark != 0 {
			c.Title = lead + fmt.Sprintf("%s has the mark %#x (%s), and the policy rule %q sends what has it nowhere (%s).", what, a.query.Mark, a.carries, text, routeText(a.route))
			c.Evidence = append(c.Evidence, a.evidence...)
			if a.packets != 0 && look != nil {
				c.Evidence = append(c.Evidence, markedBy(tracer, look.There)...)
			}
		}
	}
	c.Fixes = t.wayOpened(a.query, a.route, rule, "")
	for i := range c.Fixes {
		c.Fixes[i].PredictedOutcome = diagnose.Connected
	}
	p.Stop(c)
	return nil
}

// markerOf is the rule that gives the flow's first packet its mark; nil if none does,
// or if the rules can't be asked.
func markerOf(tracer *firewall.Tracer, look *firewall.Look) *firewall.Step {
	if look == nil {
		return nil
	}
	return tracer.Marker(look.There)
}

// markedBy is the rule that gave a packet its mark.
func markedBy(tracer *firewall.Tracer, t *firewall.Trace) []diagnose.Evidence {
	s := tracer.Marker(t)
	if s == nil {
		return nil
	}
	return []diagnose.Evidence{{Source: tool(s.Backend), What: s.Where(), Value: s.Text}}
}

// noteOtherDevice: the answer leaves by another device than the packet came by. Where
// each is on a link of its own, others on the way see one direction only.
func noteOtherDevice(p *diagnose.Pass, a wayBack, look *firewall.Look) {
	f := p.Flow
	out := a.route.Device
	if look != nil {
		if look.Back == nil || look.Back.Verdict != "accept" {
			return
		}
		out = look.Back.LeavesBy() // behind rules that have it routed anew
	}
	if f.Inbound == "" || out == "" || f.Inbound == out || f.Inbound == "lo" || out == "lo" {
		return
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return
	}
	in, other := linkByName(links, f.Inbound), linkByName(links, out)
	if in == nil || other == nil || in.Master == other.Index || other.Master == in.Index || in.Master != 0 && in.Master == other.Master {
		return
	}
	p.Note(diagnose.Finding{Code: "reply-route", Evidence: []diagnose.Evidence{{Source: "RTM_GETROUTE", What: queryText(a.query), Value: routeText(a.route)}},
		Title: fmt.Sprintf("The answer leaves by %s, not by %s, by which the packet comes: a firewall on the way that sees one direction only may drop it, or %s itself, by its reverse path filter", out, f.Inbound, f.From)})
}
