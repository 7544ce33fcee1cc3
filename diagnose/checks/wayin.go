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
	if f.Inbound != "" && f.Inbound != "lo" && !lost(back) {
		told, err := sourceRefused(p, back)
		if told || err != nil {
			return err
		}
	}
	p.OK("in by %s", orUnknown(f.Inbound))
	return nil
}

// wrongSource is the cause where the kernel refuses the packet's source
// (fib_validate_source): EXDEV is reverse path filtering, EINVAL a martian. Nil if it
// takes it.
func wrongSource(p *diagnose.Pass, in, back host.Route) *diagnose.Cause {
	f := p.Flow
	if in.Errno != "EXDEV" && in.Errno != "EINVAL" {
		return nil
	}
	evidence := []diagnose.Evidence{{Source: "RTM_GETROUTE", What: fmt.Sprintf("%s from %s iif %s", f.Addr(), f.From, f.Inbound), Value: in.Errno},
		{Source: "RTM_GETROUTE", What: "route to " + f.From.String(), Value: routeText(back)}}
	c := &diagnose.Cause{Code: "rp-filter", Outcome: diagnose.Timeout, Asked: true, Evidence: evidence, Culprit: &diagnose.Culprit{Kind: "route", Device: f.Inbound, Address: f.From.String()},
		Title: fmt.Sprintf("A packet from %s that comes in by %s is a martian: the kernel takes its source for impossible there, and drops it.", f.From, f.Inbound)}
	// Newer kernels say EINVAL for both, so that the setting decides: the
	// stricter of all and the device's own counts (ip-sysctl.rst).
	for _, key := range []string{host.DeviceKey("ipv4", f.Inbound, "rp_filter"), "net.ipv4.conf.all.rp_filter"} {
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
	return c
}
