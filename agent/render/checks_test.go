package render_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// checked is a round with one check of every status.
func checked() *check.Results {
	ms, left, full := 0.21, 6, 90.0
	ends := noon().Add(6 * 24 * time.Hour)
	return &check.Results{Schema: check.Schema, Tool: diagnose.Tool{Name: "portwhy", Version: "v0"}, At: noon(), DurationMS: 1234,
		Host: diagnose.HostSummary{OS: "linux", Kernel: "6.18", Hostname: "web1", Privileged: true}, Status: diagnose.StatusUnknown,
		Summary: check.Summary{Total: 5, Passed: 1, Warning: 1, Failed: 2, Unknown: 1},
		Checks: []check.Result{
			{Name: "database", Kind: "connect", Target: "localhost:5432", Status: diagnose.OK, Says: "connected in 0.2 ms", LatencyMS: &ms, QueuePercent: &full,
				Expectations: []check.Expectation{{What: "outcome", Expected: "reachable", Found: "connected", Status: diagnose.OK}},
				Culprit:      &diagnose.Culprit{Kind: "process", Name: "postgres", PID: 911, Unit: "postgresql@15-main.service"}},
			{Name: "shop", Kind: "connect", Target: "https://localhost:8443", Status: diagnose.Warning, Says: "the certificate ends in 6 days", CertificateDays: &left, CertificateEnds: &ends,
				Expectations: []check.Expectation{{What: "no warning", Expected: "none", Found: "the certificate ends in 6 days", Status: diagnose.Warning}},
				File:         "checks/web site.yaml", Line: 9, Column: 5, Report: healthy()},
			{Name: "queue", Kind: "connect", Target: "localhost:62893", Status: diagnose.Broken, Says: "refused, expected reachable", File: "checks.yaml", Line: 4, Column: 3,
				Expectations: []check.Expectation{{What: "outcome", Expected: "reachable", Found: "refused", Status: diagnose.Broken}},
				Cause:        noListener().RootCause, Report: noListener(), Culprit: &diagnose.Culprit{Kind: "config", File: "/etc/app.conf", Line: 3}},
			{Name: "port", Kind: "bound", Target: ":80", Status: diagnose.Broken, Says: "bound by nginx (pid 812), expected apache2", File: "-", Line: 1,
				Expectations: []check.Expectation{{What: "bound by", Expected: "apache2", Found: "nginx (pid 812)", Status: diagnose.Broken}},
				Culprit:      &diagnose.Culprit{Kind: "process", Name: "nginx", PID: 812}},
			{Name: "firewall", Kind: "firewall", Status: diagnose.StatusUnknown, Says: "can't be told: rights are missing",
				Expectations: []check.Expectation{{What: "firewall", Expected: "unchanged", Found: "unknown", Status: diagnose.StatusUnknown}}},
		}}
}

func noon() time.Time { return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) }

func TestChecksText(t *testing.T) {
	got := string(render.Checks(checked(), render.TextOptions{}))
	for _, want := range []string{
		"✓ database   connected in 0.2 ms   postgres (pid 911, postgresql@15-main.service)\n",
		"! shop       the certificate ends in 6 days\n",
		"✗ queue      refused, expected reachable\n\n  Why    Nothing listens on port 62893.\n",
		"  Fix    ", "  At     checks.yaml:4\n",
		"  Why    nginx (pid 812): bound by nginx (pid 812), expected apache2\n",
		"? firewall   can't be told: rights are missing\n",
		"\n? 5 checks: 1 passed, 1 with a warning, 2 failed, 1 unknown in 1.2 s\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// What can't be seen is said once, not under every check.
func TestChecksSayLimitsOnce(t *testing.T) {
	all := checked()
	for i := range all.Checks {
		all.Checks[i].Limits = []host.Limit{{What: "the firewall", Why: "rights", Needs: "root"}, {What: fmt.Sprint("thing ", i), Why: "rights", Needs: "root"}}
	}
	got := string(render.Checks(all, render.TextOptions{}))
	if strings.Count(got, "the firewall: rights") != 1 || strings.Count(got, ": rights (needs root)") != 4 {
		t.Errorf("%s", got)
	}
}

// drawChecks makes rounds with hostile strings in all fields.
func drawChecks(t *rapid.T) *check.Results {
	all := checked()
	words := hostile()
	fill(reflect.ValueOf(&all.Tool), func() string { return words.Draw(t, "word") })
	fill(reflect.ValueOf(&all.Host), func() string { return words.Draw(t, "word") })
	for i := range all.Checks {
		c := &all.Checks[i]
		// Reports have hundreds of fields, which are drawn in the tests of their own.
		report, cause := c.Report, c.Cause
		c.Report, c.Cause, c.Changes, c.Sources, c.Limits = nil, nil, nil, nil, nil
		kind := c.Kind
		fill(reflect.ValueOf(&c.Name), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.Says), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.Target), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.File), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.Expectations), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.Changes), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.Limits), func() string { return words.Draw(t, "word") })
		fill(reflect.ValueOf(&c.Sources), func() string { return words.Draw(t, "word") })
		if c.Culprit != nil {
			fill(reflect.ValueOf(c.Culprit), func() string { return words.Draw(t, "word") })
		}
		c.Report, c.Cause, c.Kind = report, cause, kind
		if cause != nil {
			x := *cause
			x.Title = words.Draw(t, "word")
			c.Cause = &x
		}
	}
	return all
}

// No form lets a control byte, or what turns text around, through.
func TestChecksHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawChecks(t)
		forms := map[string][]byte{"text": render.Checks(all, render.TextOptions{}), "tap": render.TAP(all), "nagios": render.NagiosChecks(all), "prometheus": render.Prometheus(all)}
		for name, f := range map[string]func() ([]byte, error){
			"json": func() ([]byte, error) { return render.JSON(all) }, "yaml": func() ([]byte, error) { return render.YAML(all) },
			"ndjson": func() ([]byte, error) { return render.NDJSON(all.Lines()) },
			"junit":  func() ([]byte, error) { return render.JUnit(all) }, "sarif": func() ([]byte, error) { return render.SARIF(all) },
		} {
			doc, err := f()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			forms[name] = doc
		}
		for name, doc := range forms {
			printable(t, name, doc)
		}
		if n := bytes.Count(forms["ndjson"], []byte("\n")); n != len(all.Checks) {
			t.Errorf("ndjson: %d lines for %d checks", n, len(all.Checks))
		}
		nagiosHolds(t, forms["nagios"])
	})
}

// perfRE is one item of performance data as the guidelines of monitoring plugins
// have it: a label in quotes, where two quotes stand for one, and no equals sign.
var perfRE = regexp.MustCompile(`^(?:'(?:[^'=]|'')+'|[^ '=]+)=-?[0-9.]+(?:s|%|B|c)?(?:;[0-9.:~@-]*(?:;[0-9.:~@-]*(?:;[0-9.-]*(?:;[0-9.-]*)?)?)?)?( |$)`)

func nagiosHolds(t *rapid.T, doc []byte) {
	lines := strings.Split(strings.TrimSuffix(string(doc), "\n"), "\n")
	if strings.Count(string(doc), "|") != 1 || strings.Count(lines[0], "|") != 1 {
		t.Fatalf("nagios: performance data where none is meant\n%s", doc)
	}
	text, perf, _ := strings.Cut(lines[0], " | ")
	if !strings.HasPrefix(text, "PORTWHY UNKNOWN - ") {
		t.Fatalf("nagios: %q", text)
	}
	for perf != "" {
		item := perfRE.FindString(perf)
		if item == "" {
			t.Fatalf("nagios: performance data %q", perf)
		}
		perf = perf[len(item):]
	}
}

// What the SARIF says about places: the check's own line, and the culprit's.
func TestSARIFPlaces(t *testing.T) {
	doc, err := render.SARIF(checked())
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Runs []struct {
			Results []struct {
				RuleID, Kind, Level string
				Locations           []struct{ PhysicalLocation any }
				RelatedLocations    []struct{ PhysicalLocation any }
			}
		}
	}
	if err := json.Unmarshal(doc, &log); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range log.Runs[0].Results {
		got = append(got, fmt.Sprintf("%s %s %s %v %v", r.RuleID, r.Kind, r.Level, r.Locations, r.RelatedLocations))
	}
	want := []string{
		"no-warning fail warning [{map[artifactLocation:map[uri:checks/web%20site.yaml] region:map[startColumn:5 startLine:9]]}] []",
		"no-listener fail error [{map[artifactLocation:map[uri:checks.yaml] region:map[startColumn:3 startLine:4]]}] [{map[artifactLocation:map[uri:file:///etc/app.conf] region:map[startLine:3]]}]",
		"bound-by fail error [] []",
		"firewall open none [] []",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Perl's TAP::Parser reads the verdicts, whatever the names are: "# SKIP" in one
// would make a pass of a failure.
func TestTAPConsumer(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil || exec.Command(perl, "-MTAP::Parser", "-e", "1").Run() != nil {
		t.Skip("Perl with TAP::Parser is not installed")
	}
	all := checked()
	all.Checks = nil
	names := append([]string{"x # SKIP no", "# TODO later", `back\# SKIP`, `\\# SKIP x`, "1..4", "ok 7", "Bail out!", "x\nok 9 - y"}, nasty...)
	for _, n := range names {
		all.Checks = append(all.Checks, check.Result{Name: n, Kind: "connect", Status: diagnose.Broken, Says: n, Limits: nil,
			Expectations: []check.Expectation{{What: "outcome", Expected: n, Found: n, Status: diagnose.Broken}}})
	}
	all.Checks = append(all.Checks, check.Result{Name: "good", Status: diagnose.OK})
	file := filepath.Join(t.TempDir(), "out.tap")
	if err := os.WriteFile(file, render.TAP(all), 0o600); err != nil {
		t.Fatal(err)
	}
	const script = `use TAP::Parser; open my $f, '<', $ARGV[0] or die; my $p = TAP::Parser->new({ source => $f, version => 13 });
while (my $r = $p->next) { die "unknown line: " . $r->raw if $r->is_unknown; die "bail out" if $r->is_bailout; }
printf "plan %d run %d passed %d failed %d skipped %d todo %d errors %d\n", $p->tests_planned, $p->tests_run, scalar($p->actual_passed), scalar($p->actual_failed), scalar($p->skipped), scalar($p->todo), scalar($p->parse_errors);`
	out, err := exec.Command(perl, "-e", script, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := fmt.Sprintf("plan %d run %d passed 1 failed %d skipped 0 todo 0 errors 0\n", len(all.Checks), len(all.Checks), len(all.Checks)-1)
	if string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
}
