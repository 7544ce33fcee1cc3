package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/diagnose"
)

// maxLabel bounds a label's value, in characters.
const maxLabel = 200

// Prometheus writes checks in the text format of Prometheus, for the textfile
// collector of node_exporter. Labels hold what is configured and nothing that the
// host's programs choose, so that the number of series is that of the checks.
func Prometheus(all *check.Results) []byte {
	var b strings.Builder
	labels := checkLabels(all.Checks)
	family := func(name, help string, value func(check.Result) (float64, bool)) {
		headed := false
		for i, c := range all.Checks {
			v, ok := value(c)
			if !ok {
				continue
			}
			if !headed {
				fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
				headed = true
			}
			fmt.Fprintf(&b, "%s{%s} %s\n", name, labels[i], number(v))
		}
	}
	family("portwhy_check_status", "How a check ended: 0 passed, 1 with a warning, 2 failed, 3 could not be determined.",
		func(c check.Result) (float64, bool) { return float64(c.Status), true })
	family("portwhy_check_duration_seconds", "How long a check took.",
		func(c check.Result) (float64, bool) { return c.DurationMS / 1000, true })
	family("portwhy_check_latency_seconds", "How long it took to connect.", func(c check.Result) (float64, bool) {
		if c.LatencyMS == nil {
			return 0, false
		}
		return *c.LatencyMS / 1000, true
	})
	family("portwhy_check_certificate_end_timestamp_seconds", "When the certificate ends that is the first to do so.", func(c check.Result) (float64, bool) {
		if c.CertificateEnds == nil {
			return 0, false
		}
		return float64(c.CertificateEnds.Unix()), true
	})
	family("portwhy_check_queue_ratio", "How full the fullest accept queue is.", func(c check.Result) (float64, bool) {
		if c.QueuePercent == nil {
			return 0, false
		}
		return *c.QueuePercent / 100, true
	})
	b.WriteString("# HELP portwhy_checks How many checks ended in this way.\n# TYPE portwhy_checks gauge\n")
	for _, n := range []struct {
		status diagnose.Status
		count  int
	}{{diagnose.OK, all.Summary.Passed}, {diagnose.Warning, all.Summary.Warning}, {diagnose.Broken, all.Summary.Failed}, {diagnose.StatusUnknown, all.Summary.Unknown}} {
		fmt.Fprintf(&b, "portwhy_checks{status=%q} %d\n", n.status, n.count)
	}
	b.WriteString("# HELP portwhy_checks_last_run_timestamp_seconds When the checks ran.\n# TYPE portwhy_checks_last_run_timestamp_seconds gauge\n")
	fmt.Fprintf(&b, "portwhy_checks_last_run_timestamp_seconds %s\n", number(float64(all.At.UnixMilli())/1000))
	return []byte(b.String())
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// checkLabels are the labels of each check. No two are the same: a collector
// refuses a file in which a series stands twice.
func checkLabels(list []check.Result) []string {
	labels := make([]string, len(list))
	seen := map[string]bool{}
	for i, c := range list {
		name := Cut(c.Name, maxLabel)
		for n := 1; labels[i] == "" || seen[labels[i]]; n++ {
			if n > 1 {
				name = Cut(c.Name, maxLabel) + " (" + strconv.Itoa(n) + ")"
			}
			labels[i] = fmt.Sprintf(`check="%s",kind="%s",target="%s"`, labelValue(name), labelValue(c.Kind), labelValue(Cut(c.Target, maxLabel)))
		}
		seen[labels[i]] = true
	}
	return labels
}

// labelValue escapes as the format asks; what is not visible is escaped before.
func labelValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}
