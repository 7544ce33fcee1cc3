package render

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/diagnose"
)

// TAP writes checks in the Test Anything Protocol, version 13. What did not pass
// has its diagnosis in a block of YAML below it.
func TAP(all *check.Results) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version 13\n1..%d\n", len(all.Checks))
	for i, c := range all.Checks {
		verdict := "ok"
		if c.Status == diagnose.Broken || c.Status == diagnose.StatusUnknown {
			verdict = "not ok"
		}
		fmt.Fprintf(&b, "%s %d - %s\n", verdict, i+1, tapText(c.Name))
		if c.Status == diagnose.OK {
			continue
		}
		b.WriteString("  ---\n")
		fmt.Fprintf(&b, "  status: %s\n  message: %s\n", c.Status, yamlText(c.Says))
		if lines := details(c); len(lines) > 0 {
			fmt.Fprintf(&b, "  details: %s\n", yamlLines(lines))
		}
		b.WriteString("  ...\n")
	}
	return []byte(b.String())
}

// tapText keeps a name from being read as a directive: "# SKIP" would make a test
// that fails one that passes. A number at its beginning is no test's number,
// because " - " stands before it.
func tapText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "#", `\#`).Replace(Escape(s))
}

// yamlText is a string of YAML on one line. Perl's reader knows quoted strings with
// \\ and \n, and no lists of them with a colon.
func yamlText(s string) string { return yamlLines([]string{Escape(s)}) }

// yamlLines is one string of several lines, which are escaped already.
func yamlLines(lines []string) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	quoted := make([]string, len(lines))
	for i, l := range lines {
		quoted[i] = quote.Replace(l)
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}
