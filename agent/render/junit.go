package render

import (
	"encoding/xml"
	"fmt"
	"path"
	"strings"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/diagnose"
)

// The elements and attributes that every reader of JUnit's format knows, in the
// order in which the strict ones want them.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Package    string          `xml:"package,attr"`
		ID         int             `xml:"id,attr"`
		Name       string          `xml:"name,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Time       string          `xml:"time,attr"`
		Properties junitProperties `xml:"properties"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out"`
		Err        string          `xml:"system-err"`
	}
	junitProperties struct {
		List []junitProperty `xml:"property"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Error     *junitTrouble `xml:"error"`
		Failure   *junitTrouble `xml:"failure"`
	}
	junitTrouble struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes checks as test cases: one that fails is a failure, one that could
// not be determined an error, and a warning passes with a line in system-out.
func JUnit(all *check.Results) ([]byte, error) {
	suite := junitSuite{Package: "portwhy", Name: "portwhy check", Timestamp: all.At.UTC().Format("2006-01-02T15:04:05"), Hostname: Escape(all.Host.Hostname),
		Tests: all.Summary.Total, Failures: all.Summary.Failed, Errors: all.Summary.Unknown, Time: seconds(all.DurationMS),
		Properties: junitProperties{[]junitProperty{{"portwhy.version", Escape(all.Tool.Version)}, {"kernel", Escape(all.Host.Kernel)}}}}
	if suite.Hostname == "" {
		suite.Hostname = "localhost"
	}
	var warned strings.Builder
	for _, c := range all.Checks {
		one := junitCase{Name: Escape(c.Name), ClassName: "portwhy." + className(c), Time: seconds(c.DurationMS)}
		trouble := &junitTrouble{Message: Escape(c.Says), Type: Escape(checkCode(c)), Text: strings.Join(details(c), "\n")}
		switch c.Status {
		case diagnose.Broken:
			one.Failure = trouble
		case diagnose.StatusUnknown:
			one.Error = trouble
		case diagnose.Warning:
			fmt.Fprintf(&warned, "warning: %s: %s\n", Escape(c.Name), Escape(c.Says))
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Out = warned.String()
	doc, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding JUnit: %w", err)
	}
	return append([]byte(xml.Header), append(doc, '\n')...), nil
}

// checkPlace is where a check is written.
func checkPlace(c check.Result) string {
	if c.File == "-" {
		return fmt.Sprintf("line %d of standard input", c.Line)
	}
	return fmt.Sprintf("%s:%d", c.File, c.Line)
}

// className groups checks by their file.
func className(c check.Result) string {
	base := path.Base(strings.ReplaceAll(c.File, `\`, "/"))
	if c.File == "" || c.File == "-" {
		return c.Kind
	}
	return Escape(strings.TrimSuffix(strings.TrimSuffix(base, ".yaml"), ".yml"))
}

// seconds writes milliseconds as seconds.
func seconds(ms float64) string { return fmt.Sprintf("%.6f", ms/1000) }

// checkCode is the code of the cause, or what did not hold.
func checkCode(c check.Result) string {
	if c.Cause != nil && c.Cause.Code != "" {
		return c.Cause.Code
	}
	for _, e := range c.Expectations {
		if e.Status == c.Status {
			return strings.ReplaceAll(e.What, " ", "-")
		}
	}
	return c.Kind
}

// details are the diagnosis of a check in lines, escaped: what had to hold, why it
// does not, what mends it, and what could not be seen.
func details(c check.Result) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, Escape(fmt.Sprintf(format, args...))) }
	for _, e := range c.Expectations {
		if e.Status != diagnose.OK {
			say("%s: expected %s, found %s", e.What, e.Expected, e.Found)
		}
	}
	if c.Cause != nil {
		say("why: %s", sentence(*c.Cause))
		if more := culpritLine(c.Cause.Culprit, c.Cause.Title, c.At()); more != "" {
			say("culprit: %s", more)
		}
		for _, e := range c.Cause.Evidence {
			say("evidence: %s", fact(e))
		}
	} else if c.Culprit != nil {
		say("culprit: %s", server(c.Culprit))
	}
	for _, x := range c.Changes {
		say("change: %s in %s: %s", x.What, x.Where, x.Text)
	}
	for _, s := range c.Sources {
		if s.Status != diagnose.OK {
			say("from %s to %s: %s", s.First, s.Last, s.Because)
		}
	}
	if c.Report != nil {
		for _, f := range c.Report.Fixes {
			for _, argv := range f.Commands {
				lines = append(lines, "fix: "+sudo(c.Report, f)+Command(argv))
			}
		}
	}
	for _, l := range c.Limits {
		say("unseen: %s: %s (needs %s)", l.What, l.Why, l.Needs)
	}
	if c.File != "" {
		say("at: %s", checkPlace(c))
	}
	return lines
}
