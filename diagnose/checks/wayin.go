package checks

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// routeIn asks the kernel what it does with a packet from outside, and which
// way the answer takes. out is the route from this host to the destination.
func routeIn(p *diagnose.Pass, out host.Route) error {
	f := p.Flow
	if out.Type != "local" {
		return routeThrough(p, out)
	}
	f.Local = true
	back, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.From, Source: f.Addr()})
	if err != nil {
		return err
	}
	if f.Inbound == "" {
		f.Inbound = back.Device
		if f.Inbound == "" {
			plain, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.From})
			if err == nil {
				f.Inbound = plain.Device
			}
		}
	}
	lost := back.Errno != "" || back.Type == "blackhole" || back.Type == "unreachable" || back.Type == "prohibit"
	if f.Inbound != "" && f.Inbound != "lo" && !lost {
		in, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.Addr(), Source: f.From, InputDevice: f.Inbound})
		if err != nil {
			return err
		}
		if stopWayIn(p, in, back) {
			return nil
		}
	}
	if lost {
		stopReply(p, back)
		return nil
	}
	p.OK("in by %s, the answer leaves: %s", orUnknown(f.Inbound), routeText(back))
	return nil
}

// stopWayIn: the kernel refuses the packet's source (fib_validate_source):
// EXDEV is reverse path filtering, EINVAL a martian.
func stopWayIn(p *diagnose.Pass, in, back host.Route) bool {
	f := p.Flow
	if in.Errno != "EXDEV" && in.Errno != "EINVAL" {
		return false
	}
	evidence := []diagnose.Evidence{{Source: "RTM_GETROUTE", What: fmt.Sprintf("%s from %s iif %s", f.Addr(), f.From, f.Inbound), Value: in.Errno},
		{Source: "RTM_GETROUTE", What: "route to " + f.From.String(), Value: routeText(back)}}
	c := diagnose.Cause{Code: "rp-filter", Outcome: diagnose.Timeout, Asked: true, Evidence: evidence, Culprit: &diagnose.Culprit{Kind: "route", Device: f.Inbound, Address: f.From.String()},
		Title: fmt.Sprintf("A packet from %s that comes in by %s is a martian: the kernel takes its source for impossible there, and drops it.", f.From, f.Inbound)}
	// Newer kernels say EINVAL for both, so that the setting decides: the
	// stricter of all and the device's own counts (ip-sysctl.rst).
	for _, key := range []string{"net.ipv4.conf." + f.Inbound + ".rp_filter", "net.ipv4.conf.all.rp_filter"} {
		s, err := p.Host.Sysctl(p.Ctx, key)
		if err != nil || strings.TrimSpace(s.Value) != "1" || back.Device == f.Inbound {
			continue
		}
		c.Culprit = sysctlCulprit(s)
		c.Evidence = append(c.Evidence, sysctlEvidence(s))
		c.Title = fmt.Sprintf("A packet from %s that comes in by %s is dropped by strict reverse path filtering: the way back to it is %s.", f.From, f.Inbound, orUnknown(back.Device))
		c.Fixes = []diagnose.Fix{loosen(c.Culprit)}
		break
	}
	p.Stop(c)
	return true
}

func stopReply(p *diagnose.Pass, back host.Route) {
	f := p.Flow
	evidence := []diagnose.Evidence{{Source: "RTM_GETROUTE", What: fmt.Sprintf("%s from %s", f.From, f.Addr()), Value: routeText(back)}}
	c := diagnose.Cause{Code: "reply-route", Outcome: diagnose.Timeout, Asked: true, Culprit: &diagnose.Culprit{Kind: "route", Address: f.From.String(), Text: routeText(back)},
		Title: fmt.Sprintf("The packet arrives, but the answer from %s to %s has no way: %s.", f.Addr(), f.From, routeText(back))}
	if rules, err := p.Host.Rules(p.Ctx); err == nil {
		for _, r := range rules {
			if r.Source.IsValid() && r.Source.Contains(f.Addr()) && r.Source.Bits() > 0 {
				text := fmt.Sprintf("%d: from %s %s", r.Priority, r.Source, r.Action)
				if r.Action == "lookup" {
					text += " " + tableName(r.Table)
				}
				evidence = append(evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
				c.Culprit.Text = text
				c.Title = fmt.Sprintf("The packet arrives, but the policy rule %q sends the answer to %s nowhere (%s).", text, f.From, routeText(back))
				break
			}
		}
	}
	c.Evidence = evidence
	p.Stop(c)
}
