package check

import (
	"context"
	"fmt"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// asker asks one check.
type asker struct {
	Runner
	ctx     context.Context
	host    host.Host
	spec    Spec
	crowded func() bool
	started time.Time
	result  Result
}

// ask fills the result. It fails only if the host can't be asked at all.
func (a *asker) ask() error {
	a.result = Result{Name: a.spec.Title(), Kind: a.spec.kind(), File: a.spec.File, Line: a.spec.Line, Column: a.spec.Column,
		Expectations: []Expectation{}, Limits: []host.Limit{}}
	if a.spec.Target != nil {
		a.result.Target = a.spec.Target.Input
	}
	switch a.result.Kind {
	case kindBound:
		return a.bound()
	case kindFrom:
		return a.from()
	case kindFirewall:
		return a.firewall()
	case kindPlan:
		return a.plan()
	}
	return a.connect()
}

// diagnose asks the engine about the check's target.
func (a *asker) diagnose(o diagnose.Options) (*diagnose.Report, error) {
	o.Question, o.Version, o.ServerName, o.Crowded = diagnose.AskConnect, a.Version, a.spec.TLSName, a.crowded
	if o.Timeout = a.spec.Timeout; o.Timeout == 0 {
		o.Timeout = a.Timeout
	}
	rep, err := diagnose.Run(a.ctx, a.host, *a.spec.Target, a.Stations, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.spec.Target.Input, err)
	}
	return rep, nil
}

// keep puts the diagnosis into a result that did not pass.
func (a *asker) keep(rep *diagnose.Report) {
	if a.result.Status == diagnose.OK {
		return
	}
	a.result.Report = rep
	a.result.Limits = append(a.result.Limits, rep.Limits...)
	if a.result.Cause == nil {
		a.result.Cause = rep.RootCause
	}
	if a.result.Cause != nil && a.result.Culprit == nil {
		a.result.Culprit = a.result.Cause.Culprit
	}
}

// blame names the cause that the check itself has seen.
func (a *asker) blame(code, title string, culprit *diagnose.Culprit, evidence ...diagnose.Evidence) {
	if a.result.Cause != nil {
		return
	}
	if evidence == nil {
		evidence = []diagnose.Evidence{}
	}
	a.result.Cause = &diagnose.Cause{Code: code, Title: title, Confidence: diagnose.Proven, Because: "the kernel was asked and says so",
		Explains: true, Culprit: culprit, Evidence: evidence}
	a.result.Culprit = culprit
}

func (a *asker) limit(what, why, needs string) {
	a.result.Limits = append(a.result.Limits, host.Limit{What: what, Why: why, Needs: needs})
}

// short writes a time as people read it.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", milliseconds(d))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
