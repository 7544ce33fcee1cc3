package diagnose

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// instant is how fast an answer is that no client notices.
const instant = 100 * time.Millisecond

// judge compares prediction and observation and writes the report.
func (r *run) judge() *Report {
	t := r.target
	rep := &Report{Schema: ReportSchema, Question: r.options.Question,
		Host: HostOf(r.info),
		Target: TargetReport{Input: t.Input, Network: t.Network, Host: t.Host, Port: t.Port, Service: t.Service, Path: t.Path,
			Addresses: slices.Clone(r.resolution.Addresses)},
		Causes: []Cause{}, Fixes: []Fix{}}
	if t.AnyHost && r.options.Question == AskBind {
		rep.Target.Host = "*"
	}
	if r.options.From.IsValid() {
		rep.From = r.options.From.String()
		if t.AnyHost && len(rep.Target.Addresses) > 0 {
			rep.Target.Host = rep.Target.Addresses[0].String()
		}
	}
	if rep.Target.Addresses == nil {
		rep.Target.Addresses = []netip.Addr{}
	}
	good := false
	for _, f := range r.flows {
		slices.SortStableFunc(f.causes, func(a, b Cause) int { return cmp.Compare(a.order, b.order) })
		for i := range f.causes {
			f.causes[i].place = i
		}
		slices.SortStableFunc(f.results, func(a, b CheckResult) int { return cmp.Compare(r.orderOf(a.ID), r.orderOf(b.ID)) })
		r.weigh(f)
		rep.Flows = append(rep.Flows, f.report())
		if f.works() {
			good = true
		}
	}
	r.conclude(rep, good)
	if r.discounted && !good && (rep.RootCause == nil || rep.RootCause.Confidence != Proven) {
		r.limit(host.Limit{What: "what the kernel counted during the attempt", Why: "others were made beside it", Needs: "asking for this target alone"})
	}
	r.rights()
	rep.FreePorts = r.free
	rep.Findings = orEmpty(r.findings)
	rep.Limits = orEmpty(r.limits)
	rep.Server = r.server
	r.fixes(rep)
	return rep
}

// fixes lists the fixes: first the one that mends all, then those of each cause.
func (r *run) fixes(rep *Report) {
	if all := r.together(rep.RootCause); all != nil {
		all.ID = "1"
		rep.Fixes = append(rep.Fixes, *all)
	}
	for _, c := range rep.Causes {
		for _, fix := range c.Fixes {
			fix.Cause = c.Code
			fix.ID = fmt.Sprint(len(rep.Fixes) + 1)
			fix.Commands, fix.Undo = orEmpty(fix.Commands), orEmpty(fix.Undo)
			fix.Check, fix.Risk = cmp.Or(fix.Check, "none"), cmp.Or(fix.Risk, risks[0])
			if left := r.left(c); left != nil && fix.PredictedOutcome.Good() {
				fix.PredictedOutcome = left.Outcome
			}
			rep.Fixes = append(rep.Fixes, fix)
		}
	}
}

// left is what stops the cause's flow where this one alone is mended; nil if nothing
// does.
func (r *run) left(c Cause) *Cause {
	for i := range r.flows[c.flow].causes {
		x := &r.flows[c.flow].causes[i]
		if x.place != c.place && !x.After && !x.Sometimes && (x.place > c.place || x.Explains) {
			return x
		}
	}
	return nil
}

// rights notes that more could be seen with more rights.
func (r *run) rights() {
	if r.info.Privileged {
		return
	}
	missing := 0
	for _, l := range r.limits {
		if strings.Contains(l.Needs, "root") || strings.Contains(l.Needs, "CAP_") {
			missing++
		}
	}
	if missing > 0 {
		r.find(Finding{Code: "facts-missing", Severity: SeverityNote, Title: fmt.Sprintf("%d facts could not be had with the rights of uid %d", missing, r.info.UID)})
	}
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (r *run) orderOf(id string) int {
	for _, c := range r.checks {
		if c.ID == id {
			return c.order
		}
	}
	return -1
}

// outcome is what counts for the flow: what was seen, else what is predicted.
func (f *Flow) outcome() Outcome {
	if f.Observed != nil {
		if f.Observed.Outcome == Unknown && f.Network == "udp" && f.Local {
			return f.predicted().Outcome
		}
		return f.Observed.Outcome
	}
	return f.predicted().Outcome
}

// works reports whether the flow does what it should, as far as was seen.
func (f *Flow) works() bool {
	if !f.outcome().Good() {
		return false
	}
	for _, c := range f.causes {
		if c.Explains {
			return false
		}
	}
	return true
}

// predicted is the first blocker's outcome. Beyond this host the model knows
// nothing, so a flow that leaves unhindered has an unknown outcome.
func (f *Flow) predicted() Predicted {
	for _, c := range f.causes {
		if !c.After && !c.Sometimes && !c.seen {
			return Predicted{c.Outcome, c.check}
		}
	}
	switch {
	case f.bind:
		return Predicted{Outcome: Bound}
	case f.unread:
		return Predicted{}
	case (f.Local || f.Through) && (f.Network == "unix" || f.Listener != nil || f.Firewall != nil && f.Firewall.Served):
		return Predicted{Outcome: Connected}
	}
	return Predicted{}
}

// weigh gives each of the flow's causes its confidence.
func (r *run) weigh(f *Flow) {
	contradicted := ""
	if f.Observed == nil && len(f.causes) == 0 && (f.Listener != nil || f.Firewall != nil && f.Firewall.Served) && (f.Unsure != "" || r.firewallDoubt(f) != "") {
		f.unread = true
	}
	for i := range f.causes {
		c := &f.causes[i]
		c.Destinations = []string{f.String()}
		c.Evidence = orEmpty(c.Evidence)
		counted := c.Counter != "" && f.Attempt != nil && f.Attempt.Moved[c.Counter] > 0
		if counted {
			c.Doubt, c.Ceiling = "", Proven
			c.Evidence = append(c.Evidence, Evidence{Source: "kernel counter", What: c.Counter, Value: fmt.Sprintf("rose by %d during the attempt", f.Attempt.Moved[c.Counter])})
		}
		if c.Unaccepted && f.Observed != nil && f.Observed.Accepted == "no" {
			c.Doubt, c.Ceiling = "", Proven // whoever else may hold the socket did not take it either
		}
		switch {
		case f.Observed == nil || f.Observed.Outcome == Unknown && f.Network == "udp":
			c.Explains = true
			c.Confidence, c.Because = min(Likely, c.Ceiling), "predicted from facts; nothing was observed"
			if c.Asked {
				c.Confidence, c.Because = c.Ceiling, "the kernel was asked and says so"
			}
		case c.Unaccepted && !c.Sometimes && f.Observed.Accepted == "yes":
			c.Explains = false
			c.Confidence, c.Because = Possible, "the connection was accepted all the same"
			continue
		case c.Sometimes, c.After && f.Observed.Outcome.Good(), !c.After && c.shows(f.Observed.Outcome), c.After && c.Outcome == f.Observed.Outcome:
			c.Explains = true
			c.Confidence, c.Because = c.Ceiling, "prediction and observation agree: "+f.Observed.describe()
			if c.seen {
				c.Because = "observed: " + f.Observed.describe()
			}
		default:
			c.Explains = false
			c.Confidence, c.Because = min(Likely, c.Ceiling), fmt.Sprintf("it would end in %s, but %s was observed", c.Outcome, f.Observed.describe())
			if contradicted == "" && !r.explained(f, i) {
				contradicted = c.Code
			}
			continue
		}
		switch {
		case c.Doubt != "":
			c.Because += "; " + c.Doubt
		case contradicted != "":
			c.Confidence = min(Likely, c.Confidence)
			c.Because += "; but " + contradicted + " should have stopped it before"
		}
		if n := f.ownReset(); n > 0 && c.Outcome == Refused && c.behind {
			c.Evidence = append(c.Evidence, Evidence{Source: "/proc/net/snmp", What: "Tcp.OutRsts", Value: fmt.Sprintf("rose by %d during the attempt: the reset is the kernel's own, not a firewall's", n)})
		}
		if f.led && c.After && !c.seen {
			c.Confidence = Possible
			c.Because += "; but a NAT rule may have led the connection elsewhere"
		}
		if c.behind && !c.After && !counted && c.Confidence == Proven {
			if why := r.firewallDoubt(f); why != "" {
				c.Confidence = Likely
				c.Because += "; " + why
			}
		}
	}
}

// explained reports whether a cause before number i accounts for the observation,
// so that number i is just the next blocker.
func (r *run) explained(f *Flow, i int) bool {
	for _, c := range f.causes[:i] {
		if c.Explains {
			return true
		}
	}
	return false
}

func (c Cause) shows(o Outcome) bool { return c.Outcome == o || slices.Contains(c.Also, o) }

func (o *Observed) describe() string {
	s := o.Outcome.String()
	if o.Errno != "" {
		s += " (" + o.Errno + ")"
	}
	return s
}

// ownReset returns by how much the count of resets that the kernel's stack sent
// rose while the flow was refused; netfilter's resets are not in it. More than
// one can be somebody else's.
func (f *Flow) ownReset() int64 {
	if a := f.Attempt; a != nil && f.Network == "tcp" && f.Local && a.Errno == "ECONNREFUSED" && a.ICMP == nil {
		return a.Moved["Tcp.OutRsts"]
	}
	return 0
}

// conclude picks the root cause and sets outcome and status.
func (r *run) conclude(rep *Report, good bool) {
	var all []Cause
	for _, f := range r.flows {
		all = merge(all, f.causes)
	}
	first := r.flows[0]
	rep.Outcome = first.outcome()
	for _, f := range r.flows {
		if f.works() {
			rep.Outcome = f.outcome()
			break
		}
	}
	if good {
		r.concludeGood(rep, all)
		return
	}
	root := -1
	for i, c := range all {
		if c.Explains && (root < 0 || better(c, all[root])) {
			root = i
		}
	}
	rep.Causes = orEmpty(all)
	switch {
	case root >= 0:
		c := all[root]
		rep.RootCause = &c
		rep.Outcome = r.flows[c.flow].outcome()
		if r.flows[c.flow].Observed == nil {
			rep.Outcome = c.Outcome
		}
		rep.Causes = append([]Cause{c}, slices.Delete(slices.Clone(all), root, root+1)...)
		rep.Status = Broken
		if c.Confidence == Possible {
			rep.Status = StatusUnknown
		}
	case rep.Outcome == Unknown:
		rep.Status = StatusUnknown
	default:
		rep.Status = StatusUnknown
		r.find(Finding{Code: "prediction-differs", Severity: SeverityWarning, Title: r.difference(first)})
	}
}

// concludeGood: some flow works. What stops the others is a warning if it costs
// a client time, else a note.
func (r *run) concludeGood(rep *Report, all []Cause) {
	rep.Status = OK
	for _, f := range r.flows {
		for _, c := range f.causes {
			if !c.Explains && c.Doubt == "" && f.outcome().Good() {
				r.find(Finding{Code: "prediction-differs", Severity: SeverityWarning, Culprit: c.Culprit, Evidence: c.Evidence,
					Title: fmt.Sprintf("%s works, though the facts say: %s", f, strings.TrimSuffix(c.Title, "."))})
			}
		}
		if f.works() || f.outcome() == Unknown {
			continue
		}
		// A server that asks for all addresses wants each of them.
		slow := f.bind && f.Addr().IsUnspecified() || f.Observed == nil || f.Observed.AfterUS > instant.Microseconds() || f.outcome().Good()
		for _, c := range f.causes {
			if !c.Explains {
				continue
			}
			sev := SeverityNote
			slow = slow && !(f.bind && c.Code == "ipv6-disabled")
			if slow {
				sev = SeverityWarning
			}
			r.find(Finding{Code: c.Code, Severity: sev, Culprit: c.Culprit, Evidence: c.Evidence, Title: fmt.Sprintf("%s: %s", f, c.Title)})
			if slow {
				rep.Causes = merge(rep.Causes, []Cause{c})
			}
			break
		}
		if len(f.causes) == 0 {
			r.find(Finding{Code: "prediction-differs", Severity: SeverityWarning, Title: r.difference(f)})
		}
	}
	for _, f := range r.findings {
		if f.Severity == SeverityWarning {
			rep.Status = Warning
		}
	}
}

func (r *run) difference(f *Flow) string {
	if f.Observed == nil {
		return fmt.Sprintf("%s: nothing was observed and nothing in the facts stops it", f)
	}
	s := fmt.Sprintf("%s: %s was observed, but nothing that was read of this host explains it", f, f.Observed.describe())
	if f.Observed.ICMP != nil {
		s += "; an ICMP message says " + f.Observed.ICMP.Text
		if f.Local && f.Network == "tcp" {
			s += ", which only a firewall rule sends for TCP"
		}
	}
	return s
}

// better orders candidates for the root cause: of several addresses the one
// that got furthest counts, since a client goes on to it; then confidence, then
// the earlier address.
func better(a, b Cause) bool {
	if a.After != b.After {
		return a.After
	}
	return a.Confidence > b.Confidence
}

// merge adds causes, joining those of several addresses that are the same thing.
func merge(all, more []Cause) []Cause {
next:
	for _, c := range more {
		for i := range all {
			h := &all[i]
			if h.Code == c.Code && h.Explains == c.Explains && h.flow != c.flow && sameCulprit(h.Culprit, c.Culprit) {
				h.Destinations = append(h.Destinations, c.Destinations...)
				h.Confidence = min(h.Confidence, c.Confidence)
				continue next
			}
		}
		all = append(all, c)
	}
	return all
}

func sameCulprit(a, b *Culprit) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.PID == b.PID && a.Unit == b.Unit && a.Container == b.Container && a.Key == b.Key &&
		a.File == b.File && a.Line == b.Line && a.Device == b.Device && a.Name == b.Name && a.ID == b.ID
}

func (f *Flow) report() FlowReport {
	fr := FlowReport{Network: f.Network, Destination: f.Path, Interface: f.Route.Device, Observed: f.Observed,
		Predicted: f.predicted(), Checks: orEmpty(f.results)}
	if f.From.IsValid() && f.Local {
		fr.Interface = f.Inbound // the way to its destination ends at lo
	}
	if f.Destination.IsValid() {
		fr.Destination, fr.Port = f.Addr().String(), f.Port()
	}
	if s := f.Listener; s != nil && !f.bind {
		fr.Listener = &ListenerReport{Address: s.Local.String(), Inode: s.Inode, Server: f.server}
		if s.Network == "tcp" {
			fr.Listener.Queue, fr.Listener.Backlog = s.Queue, s.Backlog
		}
		if s.Network == "unix" {
			fr.Listener.Address = s.Path
		}
	}
	if f.Source.IsValid() {
		fr.Source = f.Source.String()
	}
	return fr
}

// translates reports whether a chain can change where the flow goes. What this
// host sends meets NAT at output only: when it comes back in by loopback, the
// decision stands (nf_nat_inet_fn).
func translates(c *rules.Chain, f *Flow) bool {
	at := rules.Output
	if f.From.IsValid() {
		at = rules.Prerouting
	}
	return c.Type == "nat" && c.Hook == at
}

// concerns reports whether a chain of the firewall lies on the flow's way and
// does anything.
func concerns(t *rules.Table, c *rules.Chain, f *Flow) bool {
	if !c.Base() || t.Dormant() || len(c.Rules) == 0 && c.Policy != "drop" {
		return false
	}
	if c.Type == "nat" && !translates(c, f) {
		return false // it changes the source only, and drops nothing
	}
	switch t.Family {
	case rules.IP:
		return f.Addr().Is4()
	case rules.IP6:
		return f.Addr().Is6()
	case rules.Inet, rules.Netdev:
		return true
	}
	return false // arp and bridge do not see what the host itself sends over IP
}
