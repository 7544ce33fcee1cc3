package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// plan asks whether a plan holds by itself, and whether the ports that it gives to
// this host can be had here. It binds nothing.
func (a *asker) plan() error {
	want := a.spec.Plan
	unknown := func(why, needs string) error {
		a.result.expect("plan", "no conflict", "unknown", diagnose.StatusUnknown)
		a.limit("whether the plan holds", why, needs)
		a.result.Says = "can't be told: " + why
		return nil
	}
	text, err := a.ReadFile(want.File)
	if err != nil {
		return unknown(want.File+": "+err.Error(), "the plan's file")
	}
	p, err := plan.Read(want.File, strings.NewReader(text))
	if err != nil {
		return unknown(err.Error(), "a plan that can be read: portwhy plan check "+want.File)
	}
	found := p.Faults()
	if want.Environment != "" || len(p.Environments) == 1 {
		env := &p.Environments[0]
		if want.Environment != "" {
			var ok bool
			if env, ok = p.Environment(want.Environment); !ok {
				return unknown("the plan has no environment "+want.Environment, "another environment, or another plan")
			}
		}
		name := want.Host
		if name == "" {
			own, err := a.host.Addresses(a.ctx)
			if err != nil {
				l := diagnose.LimitOf("the addresses", err)
				return unknown(l.Why, l.Needs)
			}
			var addresses []netip.Addr
			for _, o := range own {
				addresses = append(addresses, o.Prefix.Addr())
			}
			var ok bool
			if name, ok = env.HostName(addresses); !ok {
				return unknown("none of the hosts of environment "+env.Name+" has an address of this host", "host: NAME beside the plan's file")
			}
		}
		here, err := a.planned(p, p.Here(env.Name, name))
		if err != nil {
			return err
		}
		found = append(found, here...)
	}
	a.judgePlan(p, found)
	return nil
}

// planned asks whether the claims can be bound here: each range by its first port,
// and by those that somebody has.
func (a *asker) planned(p *plan.Plan, claims []plan.Claim) ([]plan.Finding, error) {
	taken := map[uint16]bool{}
	for _, network := range []string{"tcp", "udp"} {
		list, err := a.host.Sockets(a.ctx, host.SocketQuery{Network: network})
		if err != nil {
			a.result.Limits = append(a.result.Limits, diagnose.LimitOf("which "+network+" ports are taken", err))
		}
		for _, s := range list {
			taken[s.Local.Port()] = true
		}
	}
	var found []plan.Finding
	for _, c := range claims {
		for port := int(c.Ports.First); port <= int(c.Ports.Last); port++ {
			if port != int(c.Ports.First) && !taken[uint16(port)] {
				continue
			}
			t, err := diagnose.ParseTarget(c.Bind(uint16(port)))
			if err != nil {
				return nil, fmt.Errorf("port %d of the plan: %w", port, err)
			}
			rep, err := diagnose.Run(a.ctx, a.host, t, a.Stations, diagnose.Options{Question: diagnose.AskBind, NoProbe: true, Version: a.Version})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Input, err)
			}
			found = append(found, c.Judge(rep, p.Runs(c.Service))...)
			for _, l := range rep.Limits {
				if !slices.Contains(a.result.Limits, l) {
					a.result.Limits = append(a.result.Limits, l)
				}
			}
		}
	}
	return found, nil
}

// judgePlan puts the worst finding first: what can't work before what could not be
// told.
func (a *asker) judgePlan(p *plan.Plan, found []plan.Finding) {
	for _, severity := range []plan.Severity{plan.Error, plan.Unknown, plan.Warning} {
		for _, f := range found {
			if f.Severity != severity {
				continue
			}
			a.result.expect("plan", "no conflict", f.Title, severity.Status())
			if severity == plan.Error && a.result.Cause == nil {
				a.blamePlan(f)
			}
		}
	}
	if bad := a.result.failing(); bad != nil {
		a.result.Says = bad.Found
		if more := len(a.result.Expectations) - 1; more > 0 {
			a.result.Says += fmt.Sprintf(" (and %d more)", more)
		}
		return
	}
	ports := 0
	for _, s := range p.Services {
		ports += len(s.Ports)
	}
	a.result.Says = fmt.Sprintf("no conflict: %s, %s", plural(len(p.Services), "service", "services"), plural(ports, "port", "ports"))
	a.result.expect("plan", "no conflict", "none", diagnose.OK)
}

// blamePlan names a conflict as the cause. Nothing was bound, so it is no more
// than likely.
func (a *asker) blamePlan(f plan.Finding) {
	evidence := f.Evidence
	if evidence == nil {
		evidence = []diagnose.Evidence{}
	}
	culprit := f.Culprit
	if culprit == nil {
		culprit = &diagnose.Culprit{Kind: "config", File: f.File, Line: f.Line}
	}
	a.result.Cause = &diagnose.Cause{Code: f.Code, Title: f.Title, Confidence: diagnose.Likely, Because: "predicted from facts; nothing was bound",
		Explains: true, Culprit: culprit, Evidence: evidence}
	a.result.Culprit = culprit
}
