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
	status, says, open := diagnose.OK, "", false
	tried := map[string]*diagnose.Report{} // by where the packets come in
	for _, r := range found.Ranges {
		if r.Void {
			continue
		}
		var rep *diagnose.Report
		letIn := r.Reaches == sources.Yes
		if letIn {
			// What lies behind the firewall is the same for all that it lets in.
			key := r.Device + " " + r.To.String()
			if tried[key] == nil {
				if tried[key], err = a.predict(r); err != nil {
					return err
				}
			}
			rep = tried[key]
			behind(&r, rep)
		}
		is := diagnose.OK
		switch {
		case r.Reaches == sources.Unknown || r.Some && reachable:
			is = diagnose.StatusUnknown
			a.limit("whether "+span(r)+" reaches "+t.Input, r.Because, "a look at the rules: portwhy rules")
		case (r.Reaches == sources.Yes) != reachable:
			is = diagnose.Broken
		}
		a.list(r, is)
		// That the firewall would let it in is worth more words than that it doesn't.
		if status == diagnose.Broken || is == diagnose.OK && (status != diagnose.OK || says != "" && (open || !letIn)) {
			continue
		}
		status, says, open = is, sayRange(r), letIn
		if is == diagnose.Broken {
			if rep == nil {
				if rep, err = a.predict(r); err != nil {
					return err
				}
			}
			a.accuse(r, rep, reachable)
		}
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

// predict diagnoses the way in from the first address of a range.
func (a *asker) predict(r sources.Range) (*diagnose.Report, error) {
	at := *a
	target := *a.spec.Target
	target.Addr, target.Host, target.AnyHost = r.To, r.To.String(), false
	at.spec.Target = &target
	return at.diagnose(diagnose.Options{NoProbe: true, From: r.First, FromDevice: r.Device, FromPort: ordinary(r.Port)})
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
	if r.First == r.Last || r.Some && r.Reaches == sources.Yes {
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
