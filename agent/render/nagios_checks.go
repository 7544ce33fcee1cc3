package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/diagnose"
)

// maxPerf bounds the checks that have performance data of their own, and maxLong
// the lines of long text: a monitor reads some kilobytes of a plugin and no more.
const (
	maxPerf = 40
	maxLong = 60
)

// NagiosChecks writes checks as a plugin prints: a line with state, text and
// performance data, then what did not pass as long text.
func NagiosChecks(all *check.Results) []byte {
	var b strings.Builder
	s := all.Summary
	line := plural(s.Total, "check") + " passed"
	if all.Status != diagnose.OK {
		line = fmt.Sprintf("%d of %s passed", s.Passed, plural(s.Total, "check"))
		for _, c := range all.Checks {
			if c.Status == all.Status {
				line += "; " + Cut(c.Name, maxCheckName) + ": " + c.Says
				break
			}
		}
	}
	fmt.Fprintf(&b, "PORTWHY %s - %s | %s\n", nagiosStates[all.Status], nagiosText(line, maxNagios), checksPerf(all))
	lines := 0
	for _, c := range all.Checks {
		if c.Status == diagnose.OK {
			continue
		}
		for _, l := range append([]string{symbol(c.Status) + " " + c.Name + ": " + c.Says}, details(c)...) {
			if lines++; lines <= maxLong {
				b.WriteString(nagiosText(l, maxString) + "\n")
			}
		}
	}
	if lines > maxLong {
		fmt.Fprintf(&b, "... and %d lines more: portwhy check -o text\n", lines-maxLong)
	}
	return []byte(b.String())
}

// checksPerf counts, and gives what each check measured with its bounds.
func checksPerf(all *check.Results) string {
	s := all.Summary
	data := []string{fmt.Sprintf("passed=%d;;;0;%d failed=%d;;;0;%d unknown=%d;;;0;%d time=%.6fs;;;0", s.Passed, s.Total, s.Failed, s.Total, s.Unknown, s.Total, all.DurationMS/1000)}
	seen := map[string]bool{}
	for _, c := range all.Checks {
		name := perfLabel(c.Name)
		if len(seen) == maxPerf || seen[name] {
			continue
		}
		seen[name] = true
		if c.LatencyMS != nil {
			data = append(data, fmt.Sprintf("%s=%.6fs;;;0", perfLabel("latency "+c.Name), *c.LatencyMS/1000))
		}
		if c.CertificateEnds != nil {
			data = append(data, fmt.Sprintf("%s=%.0fs", perfLabel("certificate "+c.Name), c.CertificateEnds.Sub(all.At).Truncate(time.Second).Seconds()))
		}
		if c.QueuePercent != nil {
			data = append(data, fmt.Sprintf("%s=%.1f%%;;;0;100", perfLabel("queue "+c.Name), *c.QueuePercent))
		}
	}
	return strings.Join(data, " ")
}
