package checks

import (
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// mostBlockers bounds how many rules and settings one flow is looked for.
const mostBlockers = 6

// blockers reports what stops the flow, in the order in which its packets meet it:
// each as it would be with those before it mended, so that one round of fixes is
// enough.
func blockers(p *diagnose.Pass, set *rules.Ruleset, tracer *firewall.Tracer, look *firewall.Look) {
	m := first(p, set, tracer, look)
	for range mostBlockers - 1 {
		if m.look == nil {
			return
		}
		m = behind(p, set, m)
	}
}

// first judges the rules as they are.
func first(p *diagnose.Pass, set *rules.Ruleset, tracer *firewall.Tracer, look *firewall.Look) mended {
	f, there := p.Flow, look.There
	switch there.Verdict {
	case "accept":
		return judgeAccepted(p, set, tracer, look)
	case "drop", "reject":
	default:
		undecided(p, there)
		return mended{}
	}
	if there.SwitchedOff() != "" || there.DecidedBy != nil {
		return stopped(p, set, tracer, there)
	}
	if c := keptFromLeaving(p, set, there); c != nil {
		p.Stop(*c)
		return mended{}
	}
	if stopMarked(p, tracer, there) {
		return mended{}
	}
	f.Firewall.Unknown = "several rules stop it: which, depends on what is not known"
	if reason := there.Reason; reason != "" {
		p.Stop(diagnose.Cause{Code: "no-route", Outcome: diagnose.Timeout, Culprit: &diagnose.Culprit{Kind: "route", Address: f.Addr().String()},
			Evidence: evidenceOf(there), Title: capital(reason) + "."})
		return mended{}
	}
	p.Unknown(host.Limit{What: "which rule stops the packet", Why: f.Firewall.Unknown, Needs: "reading the rules: portwhy rules"})
	return mended{}
}

// behind judges the rules as they are with a blocker mended. What can't be told
// there is left alone: the first blocker is certain all the same.
func behind(p *diagnose.Pass, set *rules.Ruleset, m mended) mended {
	there, back, then := m.look.There, m.look.Back, m.look.Then
	named := func(t *firewall.Trace) bool {
		return t != nil && (t.Verdict == "drop" || t.Verdict == "reject") && t.DecidedBy != nil
	}
	switch {
	case there.SwitchedOff() != "" || named(there):
		return stopped(p, set, m.tracer, there)
	case named(back), named(then):
		return judgeAccepted(p, set, m.tracer, m.look)
	case back != nil && stopMarked(p, m.tracer, back):
	case there.Verdict == "accept":
		led(p, set, there)
	}
	return mended{}
}

// stopped reports a first packet that a rule, a policy or a setting stops.
func stopped(p *diagnose.Pass, set *rules.Ruleset, tracer *firewall.Tracer, there *firewall.Trace) mended {
	led(p, set, there)
	if key := there.SwitchedOff(); key != "" {
		p.Stop(switchedOff(p, key))
		on := tracer.SwitchedOn(key)
		look, err := on.Look(there.Asked)
		if err != nil {
			return mended{}
		}
		return mended{on, look}
	}
	c, m := blockedBy(p, set, tracer, there)
	forwardForgotten(p, set, there, &c)
	p.Stop(c)
	return m
}
