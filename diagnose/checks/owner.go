package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/owner"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// ownerOf finds who made a rule or policy, and tells the culprit.
func ownerOf(p *diagnose.Pass, set *rules.Ruleset, c *diagnose.Culprit, flow owner.Flow) owner.Owner {
	fw, err := host.WithIPSets(p.Ctx, p.Host, host.Firewall{Rules: set})
	if err != nil {
		p.Limit(diagnose.LimitOf("the entries of ipsets", err))
	}
	facts := owner.Facts{Rules: fw.Rules, Printer: firewall.Printer(p.Ctx, p.Host), Containers: func() []host.Container {
		list, err := p.Host.Containers(p.Ctx)
		for _, l := range list.Limits {
			p.Limit(l)
		}
		if err != nil {
			p.Limit(diagnose.LimitOf("containers", err))
		}
		return list.List
	}}
	files, err := p.Host.FirewallFiles(p.Ctx)
	if err != nil {
		files.Limits = append(files.Limits, diagnose.LimitOf("where the firewall is configured", err))
	}
	facts.Files = files.List
	o := facts.Of(c, flow)
	if o.File == "" {
		for _, l := range files.Limits {
			p.Limit(l)
		}
	}
	c.Manager, c.Name, c.Position = o.Manager, o.Name, o.Position
	if c.File == "" {
		c.File, c.Line = o.File, o.Line
	}
	if o.Manager == "docker" || o.Manager == "podman" {
		c.Container = o.Name
	}
	return o
}

// stoppedFlow is a packet as the rule that stopped it saw it.
func stoppedFlow(f *diagnose.Flow, t *firewall.Trace) owner.Flow {
	flow := owner.Flow{Network: f.Network, Hook: t.DecidedBy.Hook}
	if src, err := netip.ParseAddrPort(t.Asked.Src); err == nil {
		flow.Src = src.Addr().WithZone("").Unmap()
	}
	to, _ := t.Rewritten()
	flow.Dst, flow.Port = to.Addr().WithZone("").Unmap(), to.Port()
	return flow
}

// owned lets the cause of a stopped packet speak the language of who made the
// rule.
func owned(p *diagnose.Pass, set *rules.Ruleset, tracer *firewall.Tracer, c *diagnose.Cause, t *firewall.Trace, does string) (m mended) {
	o := ownerOf(p, set, c.Culprit, stoppedFlow(p.Flow, t))
	c.Evidence = slices.Concat(o.Evidence, c.Evidence) // where it is configured says more than the way there
	c.Fixes, m = ownFixes(p.Flow, tracer, t, o)
	file := ""
	if o.File != "" && !slices.Contains([]string{"docker", "podman"}, o.Manager) {
		file = fmt.Sprintf(" (%s:%d)", o.File, o.Line)
	}
	switch {
	case o.Says != "":
		c.Title = fmt.Sprintf("%s %s: %s%s.", o.Manager, does, o.Says, file)
	case file != "":
		c.Title = strings.TrimSuffix(c.Title, ".") + ", from" + file + "."
	case o.Manager != owner.Unknown:
		c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf(", a rule of %s.", o.Manager)
	}
	if o.Code != "" {
		c.Code = o.Code
	}
	return m
}

// ownFixes are the owner's fixes, tried on the model, and how it is with the first.
// Rules that are added without the owner come where it has none that helps: it
// would take them away again.
func ownFixes(f *diagnose.Flow, tracer *firewall.Tracer, t *firewall.Trace, o owner.Owner) ([]diagnose.Fix, mended) {
	var own []diagnose.Fix
	var first mended
	helps, exact := false, false
	for _, fix := range o.Fixes {
		var m mended
		switch fix.Effect {
		case owner.Accepts:
			_, m = try(f, tracer, t.Asked, t)
		case owner.Removes:
			m.tracer = tracer.Without(t)
			m.look, _ = m.tracer.Look(t.Asked)
		}
		if m.look != nil && m.outcome(t) != diagnose.Unknown {
			fix.Check, fix.PredictedOutcome = "simulated", m.outcome(t)
		}
		if len(own) == 0 {
			first = m
		}
		helps = helps || fix.PredictedOutcome == diagnose.Connected
		exact = exact || fix.Exact
		own = append(own, fix.Fix)
	}
	if helps && o.Manager != owner.Unknown {
		return own, first
	}
	generic, m := openings(f, tracer, t.Asked, t)
	if o.File != "" {
		for i := range generic {
			generic[i].Title += fmt.Sprintf("; to keep it, write it into %s before line %d, too", o.File, o.Line)
		}
	}
	if exact || len(generic) == 0 {
		return append(own, generic...), first
	}
	return append(generic, own...), m
}
