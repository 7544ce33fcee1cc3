package check

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/sources"
)

// maxListed bounds the ranges of addresses in a result.
const maxListed = 500

// from asks the model who reaches the target. Nothing is sent.
func (a *asker) from() error {
	to, err := a.addresses()
	if err != nil {
		a.result.expect("source", "known", "unknown", diagnose.StatusUnknown)
		a.result.Limits = append(a.result.Limits, diagnose.LimitOf("which addresses "+a.spec.Target.Input+" has", err))
		a.result.Says = "can't be told: " + err.Error()
		return nil
	}
	for _, s := range a.spec.UnreachableFrom {
		if err := a.source(s, to, false); err != nil {
			return err
		}
	}
	for _, s := range a.spec.ReachableFrom {
		if err := a.source(s, to, true); err != nil {
			return err
		}
	}
	a.result.Says = a.result.Expectations[0].Found
	if bad := a.result.failing(); bad != nil {
		a.result.Says = bad.Found
	}
	return nil
}

// addresses are those of this host at which the target may be reached from outside.
func (a *asker) addresses() ([]netip.Addr, error) {
	t := a.spec.Target
	if t.Addr.IsValid() && !t.Addr.IsUnspecified() {
		return []netip.Addr{t.Addr.WithZone("").Unmap()}, nil
	}
	if !t.AnyHost && !t.Addr.IsValid() {
		r, err := a.host.Resolve(a.ctx, t.Host)
		if err == nil && len(r.Addresses) == 0 {
			err = fmt.Errorf("the name %s has none", t.Host)
		}
		return r.Addresses, err
	}
	own, err := a.host.Addresses(a.ctx)
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, o := range own {
		if ip := o.Prefix.Addr(); !ip.IsLoopback() && (!t.Addr.IsValid() || t.Addr.Is4() == ip.Is4()) {
			list = append(list, ip)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("this host has no address but loopback")
	}
	return list, nil
}

// source compares what becomes of one network with what should.
func (a *asker) source(s Sources, to []netip.Addr, reachable bool) error {
	t := a.spec.Target
	found, err := sources.Ask(a.ctx, a.host, sources.Query{Network: t.Network, From: s.Prefix, Device: s.Device, To: near(to, s), Port: t.Port})
	if err != nil {
		return err
	}
	what, expected := "from "+s.String(), "unreachable"
	if reachable {
		expected = "reachable"
	}
	var told *verdict
	tried := map[string]*diagnose.Report{} // by where the packets come in
	for _, r := range found.Ranges {
		if r.Void {
			continue
		}
		v := &verdict{Range: r, letIn: r.Reaches == sources.Yes}
		if v.letIn {
			// What lies behind the firewall is the same for all that it lets in, but
			// that the answer may be routed by the mark.
			key := fmt.Sprint(r.Device, " ", r.To, " ", r.Mark, r.Unmarked)
			if tried[key] == nil {
				if tried[key], err = a.predict(r); err != nil {
					return err
				}
			}
			v.rep = tried[key]
			behind(&v.Range, v.rep)
		}
		switch {
		case v.Reaches == sources.Unknown || v.Some && reachable:
			v.is = diagnose.StatusUnknown
			a.limit("whether "+span(v.Range)+" reaches "+t.Input, v.Because, "a look at the rules: portwhy rules")
		case (v.Reaches == sources.Yes) != reachable:
			v.is = diagnose.Broken
		}
		a.list(v.Range, v.is)
		if told == nil || v.beats(told) {
			told = v
		}
	}
	status, says := diagnose.OK, ""
	if told != nil {
		status, says = told.is, sayRange(told.Range)
	}
	if status == diagnose.Broken {
		if told.rep == nil {
			if told.rep, err = a.predict(told.Range); err != nil {
				return err
			}
		}
		a.accuse(told.Range, told.rep, reachable)
	}
	if len(found.Limits) > 0 && status != diagnose.Broken {
		a.result.Limits = append(a.result.Limits, found.Limits...)
		status, says = diagnose.StatusUnknown, found.Limits[0].What+": "+found.Limits[0].Why
	}
	if says == "" {
		says = expected + ": no packet from outside has such a source"
		if reachable {
			status = diagnose.Broken
		}
	}
	a.result.expect(what, expected, says, status)
	return nil
}

// verdict is what becomes of a range.
type verdict struct {
	sources.Range
	is diagnose.Status
	// letIn: by the firewall, whatever lies behind it.
	letIn bool
	rep   *diagnose.Report // nil: not asked
}

// beats says which of two ranges is told: one that is as it should not be, or else
// the last that is unknown, or else one that the firewall lets in, which is worth
// more words than one that it doesn't. Of two alike it is the first that hosts have.
func (v *verdict) beats(told *verdict) bool {
	switch {
	case v.is == told.is && v.is != diagnose.StatusUnknown && v.letIn == told.letIn:
		return told.Lone && !v.Lone
	case v.is == told.is && v.is == diagnose.OK:
		return v.letIn
	case v.is == diagnose.OK || told.is == diagnose.Broken:
		return false
	}
	return true
}

// near leaves out link-local addresses for sources that are not, and the reverse:
// no router hands such packets on.
func near(to []netip.Addr, s Sources) []netip.Addr {
	var list []netip.Addr
	linkLocal := netip.MustParsePrefix("fe80::/10")
	for _, ip := range to {
		if !ip.Is6() || !linkLocal.Contains(ip) || linkLocal.Overlaps(s.Prefix) {
			list = append(list, ip)
		}
	}
	return list
}

// predict diagnoses the way in from the address of a range that was asked.
func (a *asker) predict(r sources.Range) (*diagnose.Report, error) {
	at := *a
	target := *a.spec.Target
	target.Addr, target.Host, target.AnyHost = r.To, r.To.String(), false
	at.spec.Target = &target
	return at.diagnose(diagnose.Options{NoProbe: true, From: r.Asked, FromDevice: r.Device, FromPort: ordinary(r.Port)})
}

// ordinary is a client's port that matters: where the lowest does as well, none does.
func ordinary(port uint16) uint16 {
	if port == 1 {
		return 0
	}
	return port
}

// behind says what becomes of packets that the firewall lets in. A rule that stops
// the packet of the diagnosis is no contradiction: one may stop others of its ports.
func behind(r *sources.Range, rep *diagnose.Report) {
	if rep.Outcome.Good() {
		return
	}
	for _, c := range rep.Causes {
		if !strings.HasPrefix(c.Code, "firewall-") {
			r.Reaches, r.Because = sources.No, strings.TrimSuffix(c.Title, ".")+" (the firewall lets it in)"
			return
		}
	}
	if rep.RootCause == nil {
		r.Reaches, r.Because = sources.Unknown, "what lies behind the firewall is not known"
	}
}

// sayRange is what was found, in a few words.
func sayRange(r sources.Range) string {
	switch r.Reaches {
	case sources.Yes:
		return "reachable from " + span(r) + " at " + r.To.String()
	case sources.No:
		return "unreachable from " + span(r) + ": " + r.Because
	}
	return "unknown for " + span(r) + ": " + r.Because
}

func span(r sources.Range) string {
	if r.Some && r.Reaches == sources.Yes {
		return r.Asked.String()
	}
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + " to " + r.Last.String()
}

func (a *asker) list(r sources.Range, status diagnose.Status) {
	if len(a.result.Sources) < maxListed {
		a.result.Sources = append(a.result.Sources, Source{First: r.First.String(), Last: r.Last.String(), Reaches: r.Reaches.String(), Because: r.Because, Status: status})
	}
}

// accuse names who decides: the cause of the diagnosis where something stops what
// should pass, or the rule that lets in what should not.
func (a *asker) accuse(r sources.Range, rep *diagnose.Report, reachable bool) {
	if a.result.Status == diagnose.Broken {
		return // by an earlier network
	}
	if reachable {
		a.result.Report, a.result.Cause = rep, rep.RootCause
		a.result.Limits = append(a.result.Limits, rep.Limits...)
		if rep.RootCause != nil {
			a.result.Culprit = rep.RootCause.Culprit
		}
		return
	}
	if rep.Outcome.Good() {
		a.result.Report = rep
	}
	a.result.Culprit = rep.Server
	if d := r.By; d != nil {
		a.result.Culprit = &diagnose.Culprit{Kind: "rule", Backend: string(d.Backend), Family: d.Family, Table: d.Table, Chain: d.Chain,
			Handle: d.Handle, Number: d.Number, Text: d.Text, File: d.File, Line: d.Line, Manager: "unknown"}
	}
}
