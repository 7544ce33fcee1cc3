package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

const day = 24 * time.Hour

// connect asks how connecting ends, and what is there.
func (a *asker) connect() error {
	rep, err := a.diagnose(diagnose.Options{NoProbe: a.NoProbe})
	if err != nil {
		return err
	}
	a.result.Culprit = rep.Server
	a.outcome(rep)
	if a.spec.Expect == Reachable && rep.Outcome.Good() {
		a.answeredBy(rep)
		a.certificate(rep)
		a.latency(rep)
		a.queue(rep)
	}
	a.warnings(rep)
	a.say(rep)
	a.keep(rep)
	return nil
}

// outcome compares how it ended with how it has to.
func (a *asker) outcome(rep *diagnose.Report) {
	found := rep.Outcome.String()
	status := diagnose.Broken
	switch a.spec.Expect {
	case Reachable:
		status = reached(rep)
		if status == diagnose.Broken && rep.Outcome.Good() {
			found += ", but not served"
		}
	default:
		status, found = a.closed(rep)
	}
	if !tried(rep) {
		found += " (predicted, not tried)"
	}
	a.result.expect("outcome", string(a.spec.Expect), found, status)
}

// tried reports whether anything was observed.
func tried(rep *diagnose.Report) bool {
	return slices.ContainsFunc(rep.Flows, func(f diagnose.FlowReport) bool { return f.Observed != nil })
}

// reached: what was observed decides, even where its cause is not known.
func reached(rep *diagnose.Report) diagnose.Status {
	switch {
	case rep.Status == diagnose.OK || rep.Status == diagnose.Warning:
		return diagnose.OK
	case rep.Status == diagnose.StatusUnknown && (rep.Outcome.Good() || rep.Outcome == diagnose.Unknown):
		return diagnose.StatusUnknown
	}
	return diagnose.Broken
}

// closed looks at every address: one that answers is enough to fail.
func (a *asker) closed(rep *diagnose.Report) (diagnose.Status, string) {
	status, found := diagnose.OK, ""
	for _, f := range rep.Flows {
		outcome := f.Predicted.Outcome
		if f.Observed != nil && f.Observed.Outcome != diagnose.Unknown {
			outcome = f.Observed.Outcome
		}
		is := diagnose.OK
		switch {
		case outcome.Good():
			is = diagnose.Broken
		case outcome == diagnose.Unknown || outcome == diagnose.Unresolved:
			is = diagnose.StatusUnknown
		case a.spec.Expect == Refused && outcome != diagnose.Refused:
			is = diagnose.Broken
		}
		switch {
		case found == "", status != diagnose.Broken && is != diagnose.OK:
			status, found = max(status, is), outcome.String()
			if is == diagnose.Broken {
				status = is
			}
			if len(rep.Flows) > 1 && is != diagnose.OK {
				found += " at " + f.Destination
			}
		}
	}
	return status, found
}

// answeredBy compares who has the listener with who should.
func (a *asker) answeredBy(rep *diagnose.Report) {
	want := a.spec.AnsweredBy
	if want.IsZero() {
		return
	}
	asked := false
	for _, f := range rep.Flows {
		if f.Observed != nil && !f.Observed.Outcome.Good() || f.Observed == nil && !f.Predicted.Outcome.Good() {
			continue
		}
		asked = true
		if f.Listener == nil {
			a.result.expect("answered by", want.String(), "unknown", diagnose.StatusUnknown)
			a.limit("who answers at "+f.Destination, "the listener is not on this host, or could not be told", "portwhy on the host that has the address")
			continue
		}
		a.compareWho("answered by", want, f.Listener.Server, f.Listener.Address)
	}
	if !asked {
		a.result.expect("answered by", want.String(), "nobody", diagnose.StatusUnknown)
	}
}

// compareWho adds one expectation for each thing that is asked about a holder.
func (a *asker) compareWho(what string, want Who, have *diagnose.Culprit, address string) {
	if have == nil || have.Kind == "socket" {
		a.result.expect(what, want.String(), "unknown", diagnose.StatusUnknown)
		a.limit("who has "+address, "no process could be seen that holds the socket", "root or CAP_SYS_PTRACE")
		return
	}
	match := a.matches(want, have)
	status := diagnose.OK
	if !match {
		status = diagnose.Broken
		verb := "answers at"
		if what == "bound by" {
			verb = "has"
		}
		a.blame("wrong-process-answers", fmt.Sprintf("%s %s %s, not %s.", described(have), verb, address, want), have,
			diagnose.Evidence{Source: fmt.Sprintf("/proc/%d", have.PID), What: "holder of the socket", Value: address})
	}
	a.result.expect(what, want.String(), described(have), status)
}

// maxComm is how long a process's name is in the kernel (TASK_COMM_LEN).
const maxComm = 15

func (a *asker) matches(want Who, have *diagnose.Culprit) bool {
	name := want.Process
	if len(name) > maxComm && len(have.Name) == maxComm {
		name = name[:maxComm]
	}
	switch {
	case want.Process != "" && name != have.Name,
		want.Unit != "" && have.Unit != want.Unit && have.Unit != want.Unit+".service",
		want.User != "" && have.User != want.User && !a.sameUser(want.User, have.User),
		want.Container != "" && !a.inContainer(want.Container, have.Container):
		return false
	}
	return true
}

// sameUser knows a user by number, too.
func (a *asker) sameUser(want, have string) bool {
	uid, err := a.host.User(a.ctx, have)
	return err == nil && strconv.FormatUint(uint64(uid), 10) == want
}

// inContainer knows a container by its name or the beginning of its id.
func (a *asker) inContainer(want, have string) bool {
	const enough = 12 // digits, as docker ps shows them
	if have == "" {
		return false
	}
	if have == want || len(want) >= enough && strings.HasPrefix(have, want) {
		return true
	}
	list, err := a.host.Containers(a.ctx)
	if err != nil {
		a.limit("the names of containers", err.Error(), "the engine's socket")
		return false
	}
	for _, c := range list.List {
		if c.Name == want && (c.Name == have || strings.HasPrefix(c.ID, have)) {
			return true
		}
	}
	return false
}

// described names a culprit in brief: nginx (pid 812, nginx.service).
func described(c *diagnose.Culprit) string {
	s := c.Name
	if s == "" {
		s = c.Kind
	}
	switch {
	case c.PID == 0:
		return s
	case c.Unit != "":
		return fmt.Sprintf("%s (pid %d, %s)", s, c.PID, c.Unit)
	}
	return fmt.Sprintf("%s (pid %d)", s, c.PID)
}

// certificate compares what the handshake showed. That it is good for the name
// is part of the outcome: a certificate that isn't is a broken connection.
func (a *asker) certificate(rep *diagnose.Report) {
	for _, f := range rep.Flows {
		if f.Observed == nil || f.Observed.TLS == nil {
			continue
		}
		left := int(f.Observed.TLS.NotAfter.Sub(rep.At) / day)
		if have := a.result.CertificateDays; have == nil || left < *have {
			ends := f.Observed.TLS.NotAfter
			a.result.CertificateDays, a.result.CertificateEnds = &left, &ends
		}
	}
	if a.spec.MinDays < 0 {
		return
	}
	want := fmt.Sprintf("%d days or more", a.spec.MinDays)
	left := a.result.CertificateDays
	switch {
	case left == nil:
		a.result.expect("certificate", want, "not seen", diagnose.StatusUnknown)
	case *left < a.spec.MinDays:
		a.blame("certificate-invalid", fmt.Sprintf("The certificate ends in %s; %d are asked for.", days(*left), a.spec.MinDays), rep.Server)
		a.result.expect("certificate", want, days(*left), diagnose.Broken)
	default:
		a.result.expect("certificate", want, days(*left), diagnose.OK)
	}
}

func days(n int) string { return plural(n, "day", "days") }

// latency takes the slowest of the addresses that connect.
func (a *asker) latency(rep *diagnose.Report) {
	slowest := time.Duration(-1)
	for _, f := range rep.Flows {
		if f.Observed != nil && f.Observed.Outcome.Good() {
			slowest = max(slowest, time.Duration(f.Observed.AfterUS)*time.Microsecond)
		}
	}
	if slowest >= 0 {
		ms := milliseconds(slowest)
		a.result.LatencyMS = &ms
	}
	if a.spec.Latency == 0 {
		return
	}
	want := "at most " + a.spec.Latency.String()
	switch {
	case slowest < 0:
		a.result.expect("latency", want, "not measured", diagnose.StatusUnknown)
	case slowest > a.spec.Latency:
		a.result.expect("latency", want, short(slowest), diagnose.Broken)
	default:
		a.result.expect("latency", want, short(slowest), diagnose.OK)
	}
}

// queue takes the fullest queue of connections that wait for accept.
func (a *asker) queue(rep *diagnose.Report) {
	var fullest *diagnose.ListenerReport
	share := -1.0
	for _, f := range rep.Flows {
		if l := f.Listener; l != nil && f.Network == "tcp" && l.Backlog > 0 {
			if s := 100 * float64(l.Queue) / float64(l.Backlog); s > share {
				fullest, share = l, s
			}
		}
	}
	if fullest != nil {
		a.result.QueuePercent = &share
	}
	if a.spec.Queue < 0 {
		return
	}
	want := fmt.Sprintf("at most %.0f%% full", a.spec.Queue)
	if fullest == nil {
		a.result.expect("queue", want, "not seen", diagnose.StatusUnknown)
		a.limit("the queue of "+a.spec.Target.Input, "its listener is not on this host, or could not be told", "portwhy on the host that has the address")
		return
	}
	found := fmt.Sprintf("%.0f%% full (%d of %d wait)", share, fullest.Queue, fullest.Backlog)
	status := diagnose.OK
	if share > a.spec.Queue {
		status = diagnose.Broken
		if a.result.Culprit == nil {
			a.result.Culprit = fullest.Server
		}
	}
	a.result.expect("queue", want, found, status)
}

// warnings makes a warning of a check that holds, if the diagnosis warns. That a
// certificate ends soon is no news to who said how long it has to hold.
func (a *asker) warnings(rep *diagnose.Report) {
	if a.spec.Expect != Reachable || a.result.Status != diagnose.OK || rep.Status != diagnose.Warning {
		return
	}
	for _, f := range rep.Findings {
		if f.Severity == diagnose.SeverityWarning && (f.Code != "certificate-invalid" || a.spec.MinDays < 0) {
			a.result.expect("no warning", "none", f.Title, diagnose.Warning)
			return
		}
	}
}

// say puts the answer into a few words.
func (a *asker) say(rep *diagnose.Report) {
	r := &a.result
	if bad := r.failing(); bad != nil {
		switch {
		case bad.What == "outcome":
			r.Says = fmt.Sprintf("%s, expected %s", bad.Found, bad.Expected)
		case bad.What == "no warning":
			r.Says = bad.Found
		default:
			r.Says = fmt.Sprintf("%s %s, expected %s", bad.What, bad.Found, bad.Expected)
		}
		return
	}
	r.Says = r.Expectations[0].Found
	if r.LatencyMS != nil && a.spec.Expect == Reachable {
		r.Says += " in " + short(time.Duration(*r.LatencyMS*float64(time.Millisecond)))
	}
	if a.spec.MinDays >= 0 && r.CertificateDays != nil {
		r.Says += ", certificate good for " + days(*r.CertificateDays)
	}
	if a.spec.Queue >= 0 && r.QueuePercent != nil {
		r.Says += fmt.Sprintf(", queue %.0f%%", *r.QueuePercent)
	}
}
