package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// What one screen holds of a check that failed; JSON holds all.
const (
	maxCheckName = 60
	maxChanges   = 6
	maxRanges    = 4
)

// Checks writes one line a check, under those that failed why and what mends it,
// and one line at the end that counts.
func Checks(all *check.Results, o TextOptions) []byte {
	t := newText(o)
	for _, c := range all.Checks {
		t.align = max(t.align, min(columns(Cut(c.Name, maxCheckName)), maxCheckName))
	}
	afterBlock := false
	for i, c := range all.Checks {
		block := t.checkBlock(c)
		if i > 0 && (afterBlock || len(block) > 0) {
			t.out.WriteByte('\n')
		}
		t.checkLine(c)
		if len(block) > 0 {
			t.out.WriteByte('\n')
			t.write(block)
		}
		afterBlock = len(block) > 0
	}
	t.out.WriteByte('\n')
	t.out.WriteString(t.color.status(all.Status, symbol(all.Status)) + " " + CheckSummary(all) + "\n")
	return []byte(t.out.String())
}

// CheckSummary counts in words: 3 checks: 2 passed, 1 failed in 0.2 s.
func CheckSummary(all *check.Results) string {
	s := all.Summary
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{s.Passed, "passed"}, {s.Warning, "with a warning"}, {s.Failed, "failed"}, {s.Unknown, "unknown"}} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.word)
		}
	}
	return fmt.Sprintf("%s: %s in %s", plural(s.Total, "check"), strings.Join(parts, ", "), duration(time.Duration(all.DurationMS*float64(time.Millisecond))))
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// checkLine is one check in a line: how it is, its name, what was found.
func (t *text) checkLine(c check.Result) {
	name := Cut(c.Name, maxCheckName)
	words, tail := Escape(c.Says), ""
	if c.Status == diagnose.OK || c.Status == diagnose.Warning {
		tail = Cut(server(c.Culprit), maxCommand)
	}
	t.headLine(c.Status, name, words, tail)
}

// checkBlock is what stands under a check that did not pass.
func (t *text) checkBlock(c check.Result) []string {
	t.lines = nil
	if c.Status == diagnose.OK && !t.o.Checks || c.Status == diagnose.Warning && !t.o.Checks {
		return nil
	}
	at := time.Time{}
	if c.Report != nil {
		at = c.Report.At
	}
	switch {
	case c.Cause != nil:
		t.say("Why", sentence(*c.Cause))
		if more := culpritLine(c.Cause.Culprit, c.Cause.Title, at); more != "" {
			t.say("", more)
		}
		word := "Proof"
		if c.Cause.Confidence != diagnose.Proven {
			word = "Seen"
		}
		for i, e := range c.Cause.Evidence {
			if i == maxThen {
				t.more(len(c.Cause.Evidence) - i)
				break
			}
			t.say(word, fact(e))
			word = ""
		}
	case c.Culprit != nil && c.Status == diagnose.Broken && len(c.Changes)+len(c.Sources) == 0:
		t.say("Why", server(c.Culprit)+": "+c.Says)
		if more := culpritLine(c.Culprit, c.Says, at); more != "" {
			t.say("", more)
		}
	}
	t.changes(c)
	t.ranges(c)
	if c.Report != nil && c.Status == diagnose.Broken {
		t.fix(c.Report)
	}
	t.limits(t.unsaid(c.Limits))
	if c.File != "" && len(t.lines) > 0 {
		t.say("At", checkPlace(c))
	}
	return t.lines
}

// unsaid leaves out what stands under a check before: what can't be seen is mostly
// the same for all.
func (t *text) unsaid(list []host.Limit) []host.Limit {
	var fresh []host.Limit
	for _, l := range list {
		if !slices.Contains(t.said, l) {
			fresh = append(fresh, l)
		}
	}
	t.said = append(t.said, fresh...)
	return fresh
}

// changes are those of the firewall, as a diff shows them.
func (t *text) changes(c check.Result) {
	word := "Change"
	for i, x := range c.Changes {
		if i == maxChanges {
			t.more(len(c.Changes) - i)
			break
		}
		s := x.What + " in " + x.Where
		if x.Text != "" {
			s += ": " + x.Text
		}
		t.say(word, s)
		word = ""
	}
}

// ranges are the sources that decide.
func (t *text) ranges(c check.Result) {
	word, n := "From", 0
	for _, s := range c.Sources {
		if s.Status == diagnose.OK {
			continue
		}
		if n++; n > maxRanges {
			continue
		}
		where := s.First
		if s.Last != s.First {
			where += " to " + s.Last
		}
		t.say(word, fmt.Sprintf("%s: %s", where, s.Because))
		word = ""
	}
	if n > maxRanges {
		t.more(n - maxRanges)
	}
}
