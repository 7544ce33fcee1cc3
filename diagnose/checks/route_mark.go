package checks

import (
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// markedNowhere is the cause of a packet of this host, the first or the answer to
// one from outside, that a rule at OUTPUT has marked and that has no way with the mark
// (ip_route_me_harder). Nil if that isn't it.
func markedNowhere(p *diagnose.Pass, tracer *firewall.Tracer, t *firewall.Trace) (*diagnose.Cause, error) {
	f := p.Flow
	mark, known := t.Mark()
	src, err := netip.ParseAddrPort(t.Asked.Src)
	if !t.Lost() || !known || mark == 0 || t.Packet.Dst == nil || err != nil {
		return nil, nil
	}
	q := host.RouteQuery{Destination: *t.Packet.Dst, Source: src.Addr(), Mark: mark, UID: &p.Info.UID, Protocol: protocolNumber[f.Network]}
	if t.Answers() {
		q.UID = nil
	}
	r, err := p.Host.RouteTo(p.Ctx, q)
	if err != nil || !lost(r) {
		return nil, err
	}
	unmarked := q
	unmarked.Mark = 0
	if r, err := p.Host.RouteTo(p.Ctx, unmarked); err != nil || lost(r) {
		return nil, err // the mark is not why
	}
	tables, err := readTables(p)
	if err != nil {
		return nil, err
	}
	c := &diagnose.Cause{Culprit: &diagnose.Culprit{Kind: "route", Address: q.Destination.String(), Text: routeText(r)}}
	c.Evidence = append(markedBy(tracer, t), diagnose.Evidence{Source: "RTM_GETROUTE", What: fmt.Sprintf("%s mark %#x", q.Destination, mark), Value: routeText(r)})
	c.Code, c.Outcome = refusalOf(r)
	what := "the packet"
	if t.Answers() {
		c.Code, c.Outcome, what = "reply-route", diagnose.Timeout, "the answer"
	}
	by := "a rule at OUTPUT"
	if s := tracer.Marker(t); s != nil {
		by = fmt.Sprintf("%s (%s)", firewall.Quoted(s.Text), s.Where())
	}
	c.Title = fmt.Sprintf("%s gives %s the mark %#x, with which it is routed anew and has no way: %s.", capital(by), what, mark, routeText(r))
	rule := tables.decider(q, r)
	if rule != nil {
		text := policyText(*rule)
		c.Culprit.Text = text
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
		c.Title = fmt.Sprintf("%s gives %s the mark %#x, and the policy rule %q sends what has it nowhere (%s).", capital(by), what, mark, text, routeText(r))
	}
	if f.Network == "tcp" {
		c.Outcome = diagnose.Timeout // connect(2) goes on trying, whatever the route says
	}
	c.Fixes = tables.wayOpened(q, r, rule, "")
	if t.Answers() {
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

// refusalOf is the code for a route that leads nowhere, and what it makes of a packet
// that this host sends: fib_props of net/ipv4/fib_semantics.c.
func refusalOf(r host.Route) (code string, outcome diagnose.Outcome) {
	switch {
	case r.Type == "blackhole":
		return "route-blackhole", diagnose.NetUnreachable
	case r.Type == "prohibit" || r.Errno == "EACCES":
		return "route-prohibit", diagnose.Denied
	case r.Type == "unreachable" || r.Errno == "EHOSTUNREACH":
		return "route-unreachable", outcomeOr(r, diagnose.HostUnreachable)
	case r.Errno == "EINVAL":
		return "route-blackhole", diagnose.NetUnreachable
	}
	return "no-route", diagnose.NetUnreachable
}
