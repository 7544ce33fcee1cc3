package checks

import (
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// markedNowhere is the cause of a packet, the first or the answer to it, that a rule
// has marked and that has no way with the mark: of this host, where rules at OUTPUT
// have it routed anew (ip_route_me_harder), or of another, behind those of PREROUTING.
// Nil if that isn't it.
func markedNowhere(p *diagnose.Pass, tracer *firewall.Tracer, t *firewall.Trace) (*diagnose.Cause, error) {
	f := p.Flow
	mark, known := t.Mark()
	src, dst := t.Packet.Src, t.Packet.Dst
	if !t.Lost() && !t.Unrouted() || !known || mark == 0 || src == nil || dst == nil {
		return nil, nil
	}
	q := host.RouteQuery{Destination: *dst, Source: *src, Mark: mark, Protocol: protocolNumber[f.Network]}
	// Policy rules may ask for ports, too. The client's is not known, or any.
	if port := t.Packet.Sport; t.Answers() && port != nil {
		q.SourcePort = *port
	}
	if port := t.Packet.Dport; !t.Answers() && port != nil {
		q.DestinationPort = *port
	}
	switch {
	case t.Unrouted():
		q.InputDevice = t.Asked.IIF
	case !t.Answers():
		q.UID = &p.Info.UID
	}
	r, err := p.Host.RouteTo(p.Ctx, q)
	if err != nil || !lost(r) {
		return nil, err
	}
	unmarked := q
	unmarked.Mark = 0
	without, err := p.Host.RouteTo(p.Ctx, unmarked)
	bySource := false
	if err == nil && lost(without) && q.Destination.Is6() && !t.Answers() && !t.Unrouted() {
		// IPv6 looked for the way of its own packet without the source (see withSource),
		// and asks with it only here (ip6_route_me_harder).
		unmarked.Source = netip.Addr{}
		without, err = p.Host.RouteTo(p.Ctx, unmarked)
		bySource = true
	}
	if err != nil || lost(without) {
		return nil, err // the mark is not why
	}
	tables, err := readTables(p)
	if err != nil {
		return nil, err
	}
	if !lost(tables.lookup(q)) {
		return nil, nil // it is refused for where it comes from
	}
	c := &diagnose.Cause{Culprit: &diagnose.Culprit{Kind: "route", Address: q.Destination.String(), Text: routeText(r)}}
	c.Evidence = append(markedBy(tracer, t), diagnose.Evidence{Source: "RTM_GETROUTE", What: queryText(q), Value: routeText(r)})
	var sent, routed diagnose.Outcome
	c.Code, sent, routed = refusalOf(r, dst.Is6())
	what := "the packet"
	switch {
	case t.Answers():
		c.Code, c.Outcome, what = "reply-route", diagnose.Timeout, "the answer"
	case t.Unrouted():
		c.Outcome, c.Also = routed, []diagnose.Outcome{diagnose.Timeout} // how many ICMP errors are sent is limited
	case f.Network == "tcp":
		c.Outcome = diagnose.Timeout // connect(2) goes on trying, whatever the route says
	default:
		c.Outcome = sent
	}
	by := "a rule"
	if s := tracer.Marker(t); s != nil {
		by = fmt.Sprintf("%s (%s)", firewall.Quoted(s.Text), s.Where())
	}
	c.Title = fmt.Sprintf("%s gives %s the mark %#x, with which it has no way: %s.", capital(by), what, mark, routeText(r))
	rule := tables.decider(q, r)
	if rule != nil {
		text := policyText(*rule)
		c.Culprit.Text = text
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
		c.Title = fmt.Sprintf("%s gives %s the mark %#x, and the policy rule %q sends what has it nowhere (%s).", capital(by), what, mark, text, routeText(r))
	}
	if bySource {
		c.Title = fmt.Sprintf("%s gives %s the mark %#x, so that it is routed anew, now by its source %s too, with which it has no way: %s.", capital(by), what, mark, src, routeText(r))
	}
	c.Fixes = tables.wayOpened(q, r, rule, "")
	if f.From.IsValid() && whoServes(p) {
		for i := range c.Fixes {
			c.Fixes[i].PredictedOutcome = diagnose.Connected
		}
	}
	return c, nil
}

// stopMarked stops the flow for [markedNowhere], and reports whether it did. What
// can't be asked is left to what is said of a verdict that isn't known.
func stopMarked(p *diagnose.Pass, tracer *firewall.Tracer, t *firewall.Trace) bool {
	c, err := markedNowhere(p, tracer, t)
	if err != nil || c == nil {
		return false
	}
	p.Stop(*c)
	return true
}

// astray says why the way of a flow that the rules let pass can't be told: it, or its
// answer, is routed by a mark that isn't known, and policy rules ask for marks. Empty
// if it can.
func astray(p *diagnose.Pass, tracer *firewall.Tracer, look *firewall.Look) string {
	for _, t := range []*firewall.Trace{look.There, look.Back} {
		if t == nil || t.Verdict != "accept" || !t.Astray() || t.Packet.Dst == nil {
			continue
		}
		if asked, err := asksForMarks(p, *t.Packet.Dst); err == nil && !asked {
			continue
		}
		by := "a rule"
		if s := tracer.Marker(t); s != nil {
			by = fmt.Sprintf("%s (%s)", firewall.Quoted(s.Text), s.Where())
		}
		return fmt.Sprintf("%s gives the %s a mark that can't be told, and policy rules route by marks", by, packetWord(t))
	}
	return ""
}

// whoServes reports whether it can be seen from here who takes a flow from elsewhere.
func whoServes(p *diagnose.Pass) bool {
	if p.Flow.Local {
		return true
	}
	_, there := namespaceWith(p, p.Flow.Reached().Addr())
	return there != nil
}

// refusalOf is the code for a route that leads nowhere, and what it makes of a packet:
// of one that this host sends by fib_props of net/ipv4/fib_semantics.c, and of one
// that it routes for others by the ICMP error (ip_error, ip6_pkt_discard and
// ip6_pkt_prohibit).
func refusalOf(r host.Route, six bool) (code string, sent, routed diagnose.Outcome) {
	unreachable, prohibited := outcomeOr(r, diagnose.HostUnreachable), diagnose.HostUnreachable
	if six {
		unreachable, prohibited = diagnose.NetUnreachable, diagnose.Denied
	}
	switch {
	case r.Type == "blackhole" || r.Errno == "EINVAL":
		return "route-blackhole", diagnose.NetUnreachable, diagnose.Timeout
	case r.Type == "prohibit" || r.Errno == "EACCES":
		return "route-prohibit", diagnose.Denied, prohibited
	case r.Type == "unreachable" || r.Errno == "EHOSTUNREACH":
		return "route-unreachable", outcomeOr(r, diagnose.HostUnreachable), unreachable
	}
	return "no-route", diagnose.NetUnreachable, diagnose.NetUnreachable
}
