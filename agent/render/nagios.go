package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
)

// maxNagios bounds the first line's text, which monitors show in a table.
const maxNagios = 200

var nagiosStates = map[diagnose.Status]string{
	diagnose.OK: "OK", diagnose.Warning: "WARNING", diagnose.Broken: "CRITICAL", diagnose.StatusUnknown: "UNKNOWN",
}

// Nagios writes what a plugin prints: one line with state, text and performance
// data, then a line for each target and cause as long text. See
// https://nagios-plugins.org/doc/guidelines.html.
func Nagios(reports []*diagnose.Report) []byte {
	all := Collect(reports)
	worst, healthy := reports[0], 0
	for _, r := range reports {
		if r.Status > worst.Status {
			worst = r
		}
		if r.Status == diagnose.OK {
			healthy++
		}
	}
	line := summary(worst)
	if len(reports) > 1 {
		line = fmt.Sprintf("%d of %d ok", healthy, len(reports))
		if worst.Status != diagnose.OK {
			line += "; " + summary(worst)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "PORTWHY %s - %s", nagiosStates[all.Status], nagiosText(line, maxNagios))
	if perf := perfdata(reports); perf != "" {
		b.WriteString(" | " + perf)
	}
	b.WriteByte('\n')
	for _, r := range reports {
		if len(reports) > 1 {
			b.WriteString(symbol(r.Status) + " " + nagiosText(summary(r), maxString) + "\n")
		}
		for _, c := range r.Causes {
			b.WriteString(nagiosText(c.Code+": "+sentence(c), maxString) + "\n")
		}
		for _, f := range r.Findings {
			if f.Severity == diagnose.SeverityWarning {
				b.WriteString(nagiosText(f.Code+": "+f.Title, maxString) + "\n")
			}
		}
		for _, f := range r.Fixes {
			for _, argv := range f.Commands {
				b.WriteString(nagiosText("fix: "+Command(argv), maxString) + "\n")
			}
		}
	}
	return []byte(b.String())
}

func summary(r *diagnose.Report) string {
	s := Cut(subject(r), maxSubject) + " " + headline(r)
	switch {
	case r.RootCause != nil:
		s += ": " + sentence(*r.RootCause)
	case r.Status == diagnose.StatusUnknown && differs(r) != nil:
		s += ": " + differs(r).Title
	case r.Status == diagnose.Warning:
		for _, f := range r.Findings {
			if f.Severity == diagnose.SeverityWarning {
				s += ": " + f.Title
				break
			}
		}
	}
	return s
}

// nagiosText keeps text from being read as performance data.
func nagiosText(s string, limit int) string {
	return strings.ReplaceAll(Cut(s, limit), "|", "¦")
}

// perfdata gives how long each target took to answer, in seconds.
func perfdata(reports []*diagnose.Report) string {
	var all []string
	seen := map[string]bool{}
	for _, r := range reports {
		flow, _ := deciding(r)
		if flow == nil || seen[subject(r)] {
			continue
		}
		seen[subject(r)] = true
		label := "latency"
		if len(reports) > 1 {
			label += " " + subject(r)
		}
		seconds := (time.Duration(flow.Observed.AfterUS) * time.Microsecond).Seconds()
		all = append(all, fmt.Sprintf("%s=%.6fs;;;0", perfLabel(label), seconds))
	}
	return strings.Join(all, " ")
}

// perfLabel is a label of performance data. A quote is doubled within it; an
// equals sign can't be in one.
func perfLabel(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(nagiosText(s, maxSubject), "=", "-"), "'", "''") + "'"
}
