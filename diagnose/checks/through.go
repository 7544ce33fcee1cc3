package checks

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// routeThrough is the way of a packet that this host hands on: from one container
// to another, or from one network to another. out is the route to the destination.
func routeThrough(p *diagnose.Pass, out host.Route) error {
	f := p.Flow
	unknown := func(why string) error {
		p.Unknown(host.Limit{What: "the way of " + f.From.String() + " to " + f.Addr().String(), Why: why, Needs: "portwhy on the host that has the address"})
		return nil
	}
	back, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.From})
	if err != nil {
		return err
	}
	if f.Inbound == "" {
		f.Inbound = back.Device
	}
	switch {
	case out.Errno != "" || out.Type != "unicast" || out.Device == "":
		return unknown("this host has no way to it: " + routeText(out))
	case f.Inbound == "" || f.Inbound == "lo" || back.Type == "local":
		return unknown(f.From.String() + " doesn't come from another host")
	case f.Inbound == out.Device:
		links, err := p.Host.Links(p.Ctx)
		if err != nil {
			return err
		}
		if l := linkByName(links, out.Device); l == nil || l.Kind != "bridge" {
			return unknown(fmt.Sprintf("both are on the link of %s, so that the packet doesn't come by this host", out.Device))
		}
		f.Through = true
		if !bridgeFilters(p, f.Addr().Is6()) {
			f.Firewall = &diagnose.Filtered{}
		}
		p.OK("the bridge %s hands it on", out.Device)
		return nil
	}
	in, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.Addr(), Source: f.From, InputDevice: f.Inbound})
	if err != nil {
		return err
	}
	if c := wrongSource(p, in, back); c != nil {
		p.Stop(*c)
		return nil
	}
	f.Through = true
	key := host.DeviceKey("ipv4", f.Inbound, "forwarding")
	if f.Addr().Is6() {
		key = "net.ipv6.conf.all.forwarding"
	}
	if s, err := p.Host.Sysctl(p.Ctx, key); err == nil && strings.TrimSpace(s.Value) == "0" {
		p.Stop(switchedOff(p, key))
		return nil
	}
	p.OK("in by %s, on by %s: %s", f.Inbound, out.Device, routeText(out))
	return nil
}

// followThrough follows what this host hands on into the namespace that has the
// address.
func followThrough(p *diagnose.Pass) error {
	to := p.Flow.Reached()
	if ns, h := namespaceWith(p, to.Addr()); h != nil {
		return arriveIn(p, ns, h)
	}
	p.Skip("%s is no address of a namespace that can be entered", to)
	return nil
}

// nobodyThere is the cause of a flow that gets to a namespace in which nothing
// takes it, without NAT.
func nobodyThere(name, words string) diagnose.Cause {
	return diagnose.Cause{Code: "no-listener", Outcome: diagnose.Refused, Title: fmt.Sprintf("It gets to %s, %s.", name, words)}
}

// noWayBack is the cause of a flow without NAT whose target has no route for the
// answer; nil if it has one.
func noWayBack(p *diagnose.Pass, to target) *diagnose.Cause {
	q := host.RouteQuery{Destination: p.Flow.From, Source: to.at.Addr()}
	back, err := to.seen.RouteTo(p.Ctx, q)
	if err != nil || back.Errno == "" {
		return nil
	}
	return lostThere(to.name, q, back)
}

// lostThere is the cause of an answer that has no way from where the packet gets to.
func lostThere(name string, q host.RouteQuery, back host.Route) *diagnose.Cause {
	with := ""
	if q.Mark != 0 {
		with = fmt.Sprintf(" with its mark %#x", q.Mark)
	}
	return &diagnose.Cause{Code: "reply-route", Outcome: diagnose.Timeout, Asked: q.Mark == 0, Culprit: &diagnose.Culprit{Kind: "route", Address: q.Destination.String(), Text: routeText(back)},
		Evidence: []diagnose.Evidence{{Source: "RTM_GETROUTE", What: "there, " + queryText(q), Value: routeText(back)}},
		Title:    fmt.Sprintf("The packet gets to %s, but the answer has no way to %s from there%s (%s).", name, q.Destination, with, back.Errno)}
}

// inside asks the rules of the namespace to which a flow gets. It reports whether
// they let it pass there and back, and stops the flow where they don't.
func inside(p *diagnose.Pass, ns host.Namespace, h host.Host, to netip.AddrPort) (passes bool) {
	f := p.Flow
	fw, err := h.Firewall(p.Ctx)
	if err != nil || len(fw.Limits) > 0 {
		return false
	}
	if len(fw.Rules.Tables) == 0 {
		return true
	}
	src := f.Source
	if f.Firewall != nil && f.Firewall.Source.IsValid() {
		src = f.Firewall.Source
	}
	addresses, err := h.Addresses(p.Ctx)
	if err != nil || !src.IsValid() {
		return false
	}
	own := ownAddress(addresses, to.Addr())
	there := *p
	there.Host = h
	tracer := firewall.NewTracer(fw.Rules, firewall.Facts(p.Ctx, h), firewall.Printer(p.Ctx, h), "").Answering(replies(&there))
	look, err := tracer.LookFrom(firewall.Packet{Proto: f.Network, Src: src.WithZone("").Unmap().String(), Dst: to.String(), IIF: own.Device, Way: "in"}, clientPorts(p))
	if err != nil {
		return false
	}
	if t := stoppedAgain(look); t != nil {
		c := stoppedBy(t)
		c.Code = firewallCode(&diagnose.Flow{From: src}, t)
		if t == look.Back {
			c.Code, c.Outcome = "firewall-reply-blocked", diagnose.Timeout
		}
		c.Title = fmt.Sprintf("It gets to %s in %s, whose own rules stop it: %s (%s).", to, placeName(p, ns), deciding(t), chainWords(t))
		p.Stop(c)
		return false
	}
	if c := markedThere(&there, fmt.Sprintf("%s in %s", to, placeName(p, ns)), tracer, look); c != nil {
		p.Stop(*c)
		return false
	}
	if predicted(look) != diagnose.Connected {
		p.Limit(host.Limit{What: "what the rules in " + placeName(p, ns) + " do", Why: "they can't be decided", Needs: "a look at the rules there: portwhy rules --netns"})
		return false
	}
	return true
}

// markedThere is the cause of an answer that a mark loses in the namespace to which a
// flow gets; nil if none does. p asks there. Commands are for here, so that it has no
// fix.
func markedThere(p *diagnose.Pass, name string, tracer *firewall.Tracer, look *firewall.Look) *diagnose.Cause {
	if in, ok := arrivalOf(look.There); ok && in.mark != 0 {
		if a, err := answerTo(p, in); err == nil && a.unknown == "" && lost(a.route) {
			c := lostThere(name, a.query, a.route)
			c.Evidence = append(append(c.Evidence, a.evidence...), markedBy(tracer, look.There)...)
			return c
		}
	}
	if look.Back == nil {
		return nil
	}
	c, err := markedNowhere(p, tracer, look.Back)
	if err != nil || c == nil {
		return nil
	}
	c.Fixes, c.Title = nil, fmt.Sprintf("The packet gets to %s, and there %s", name, c.Title)
	return c
}
