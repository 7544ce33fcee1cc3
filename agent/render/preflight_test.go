package render

import (
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/diagnose/preflight"
	"github.com/portwhy/portwhy/platform/host"
)

// What a file says reaches no terminal, table or ticket as it is.
func TestPreflightEscapes(t *testing.T) {
	const evil = "\x1b[31mred\x1b[0m\r\n@all <img src=x> `code` [a](http://x) \u202e|"
	r := &preflight.Report{Status: diagnose.Broken, Files: []preflight.File{{Path: evil, Kind: "compose"}},
		Ports: []preflight.Port{{File: evil, Service: evil, Address: evil, Text: evil, Network: "tcp", First: 1, Last: 2, Any: true}},
		Findings: []plan.Finding{
			{Code: "port-in-use", Severity: plan.Error, Title: evil, File: evil, Line: 1, Column: 2, Service: evil, Port: 1, Network: "tcp",
				Culprit: &diagnose.Culprit{Kind: "config", Name: evil, File: evil, Text: evil}, Fixes: []diagnose.Fix{{Title: evil}, {Title: evil, Commands: [][]string{{"kill", evil}}}}},
			{Code: "port-in-use", Severity: plan.Note, Title: evil, File: evil}},
		Limits: []host.Limit{{What: evil, Why: evil, Needs: evil}}}
	sarif, err := PreflightSARIF(r)
	if err != nil {
		t.Fatal(err)
	}
	for form, doc := range map[string][]byte{"sarif": sarif, "text": Preflight(r, TextOptions{Checks: true}), "markdown": PreflightMarkdown(r), "nagios": PreflightNagios(r)} {
		s := string(doc)
		for _, bad := range []string{"\x1b", "\r", "\u202e"} {
			if strings.Contains(s, bad) {
				t.Errorf("%s has %q:\n%s", form, bad, s)
			}
		}
		if !strings.Contains(s, "red") {
			t.Errorf("%s leaves it out:\n%s", form, s)
		}
	}
	first, _, _ := strings.Cut(string(PreflightNagios(r)), "\n")
	if strings.Count(first, "|") != 1 {
		t.Errorf("the first line has more than one |: %s", first)
	}
}

// Only so many findings fill the screen; the rest is counted.
func TestPreflightLong(t *testing.T) {
	r := &preflight.Report{Status: diagnose.Broken}
	for range 50 {
		r.Findings = append(r.Findings, plan.Finding{Severity: plan.Error, Title: "x"}, plan.Finding{Severity: plan.Note, Title: "y"})
	}
	s := string(Preflight(r, TextOptions{}))
	if got := strings.Count(s, "✗"); got != maxClashes+1 || !strings.Contains(s, "… and 30 more") || !strings.Contains(s, "… and 47 more") {
		t.Errorf("%d marks:\n%s", got, s)
	}
}
