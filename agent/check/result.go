package check

import (
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// The names of the JSON forms of [Results] and [Line].
const (
	Schema     = "portwhy.check/v1"
	LineSchema = "portwhy.check-result/v1"
)

// Results are the answers of one round of checks. Its JSON form is a promise:
// within v1 fields are only added.
type Results struct {
	Schema     string               `json:"schema"`
	Tool       diagnose.Tool        `json:"tool"`
	At         time.Time            `json:"at"`
	DurationMS float64              `json:"duration_ms"`
	Host       diagnose.HostSummary `json:"host"`
	// Status is the highest of the checks', as the exit status is.
	Status  diagnose.Status `json:"status"`
	Summary Summary         `json:"summary"`
	Checks  []Result        `json:"checks"`
}

// Summary counts checks by how they ended.
type Summary struct {
	Total   int `json:"total"`
	Passed  int `json:"passed"`
	Warning int `json:"warning"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
}

// Result is the answer of one check.
type Result struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`   // connect, bound, from, firewall, plan
	Target string `json:"target"` // empty for the firewall and a plan
	// File, Line and Column are where the check is written.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`

	Status diagnose.Status `json:"status"`
	// Says what holds or doesn't, in a few words.
	Says string `json:"says"`
	// Expectations are what had to hold, each with what was found.
	Expectations []Expectation `json:"expectations"`
	Attempts     int           `json:"attempts"`
	DurationMS   float64       `json:"duration_ms"`

	// What was measured; null: it was not.
	LatencyMS       *float64   `json:"latency_ms"`
	CertificateDays *int       `json:"certificate_days"`
	CertificateEnds *time.Time `json:"certificate_ends"`
	QueuePercent    *float64   `json:"queue_percent"`

	// Cause is why it failed, Culprit who or what did it or, where all is well,
	// who answers; null if there is none to name.
	Cause   *diagnose.Cause   `json:"cause"`
	Culprit *diagnose.Culprit `json:"culprit"`
	// Report is the whole diagnosis of a check that did not pass, if one was made.
	Report *diagnose.Report `json:"report"`
	// Sources are what was found out about where packets come from.
	Sources []Source `json:"sources,omitempty"`
	// Changes are those of the firewall.
	Changes []firewall.Change `json:"changes,omitempty"`
	Limits  []host.Limit      `json:"limits"`
}

// Expectation is one thing that had to hold.
type Expectation struct {
	What     string          `json:"what"` // outcome, process, unit, user, container, certificate, latency, queue, source, firewall
	Expected string          `json:"expected"`
	Found    string          `json:"found"`
	Status   diagnose.Status `json:"status"`
}

// Source is what becomes of packets from a range of addresses.
type Source struct {
	First   string `json:"first"`
	Last    string `json:"last"`
	Reaches string `json:"reaches"` // yes, no, unknown
	Because string `json:"because"`
	// Status is broken for one that is not as it has to be.
	Status diagnose.Status `json:"status"`
}

// Line is one result as a document of its own, one line each (NDJSON).
type Line struct {
	Schema string               `json:"schema"`
	Tool   diagnose.Tool        `json:"tool"`
	At     time.Time            `json:"at"`
	Host   diagnose.HostSummary `json:"host"`
	Check  Result               `json:"check"`
}

// Lines are the results, each as a document of its own.
func (r *Results) Lines() []Line {
	lines := make([]Line, len(r.Checks))
	for i, c := range r.Checks {
		lines[i] = Line{LineSchema, r.Tool, r.At, r.Host, c}
	}
	return lines
}

// sum counts the results and takes the highest status.
func (r *Results) sum() {
	r.Status, r.Summary = diagnose.OK, Summary{Total: len(r.Checks)}
	for _, c := range r.Checks {
		r.Status = diagnose.Worse(r.Status, c.Status)
		switch c.Status {
		case diagnose.OK:
			r.Summary.Passed++
		case diagnose.Warning:
			r.Summary.Warning++
		case diagnose.Broken:
			r.Summary.Failed++
		default:
			r.Summary.Unknown++
		}
	}
}

// expect adds what had to hold. What is broken decides a check, whatever else
// could not be determined.
func (r *Result) expect(what, expected, found string, status diagnose.Status) {
	r.Expectations = append(r.Expectations, Expectation{what, expected, found, status})
	switch {
	case r.Status == diagnose.Broken:
	case status == diagnose.Broken:
		r.Status = status
	default:
		r.Status = diagnose.Worse(r.Status, status)
	}
}

// failing is the worst expectation, the first of its kind; nil if all hold.
func (r *Result) failing() *Expectation {
	for i, e := range r.Expectations {
		if e.Status == r.Status && e.Status != diagnose.OK {
			return &r.Expectations[i]
		}
	}
	return nil
}

// At is when the facts of the diagnosis were read; zero without one.
func (r Result) At() time.Time {
	if r.Report == nil {
		return time.Time{}
	}
	return r.Report.At
}
