package render_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/joshdk/go-junit"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
)

// Consumers read the forms of checks as they do elsewhere, whatever the names are.
func TestChecksConsumers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawChecks(t)
		doc, err := render.JUnit(all)
		if err != nil {
			t.Fatal(err)
		}
		junitHolds(t, all, doc)
		prometheusHolds(t, all, render.Prometheus(all))
	})
}

// junitHolds reads it as a consumer does.
func junitHolds(t *rapid.T, all *check.Results, doc []byte) {
	suites, err := junit.Ingest(doc)
	if err != nil || len(suites) != 1 {
		t.Fatalf("junit: %d suites, %v\n%s", len(suites), err, doc)
	}
	want := map[junit.Status]int{junit.StatusPassed: 2, junit.StatusFailed: 2, junit.StatusError: 1}
	got := map[junit.Status]int{}
	for _, c := range suites[0].Tests {
		got[c.Status]++
	}
	if !reflect.DeepEqual(got, want) || suites[0].Totals.Tests != len(all.Checks) {
		t.Fatalf("junit: %v, want %v\n%s", got, want, doc)
	}
	// The elements are ours, whatever the names are.
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		token, err := d.Token()
		if token == nil {
			break
		}
		if err != nil {
			t.Fatalf("junit: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && !strings.Contains(" testsuites testsuite properties property testcase failure error system-out system-err ", " "+e.Name.Local+" ") {
			t.Fatalf("junit: element %s", e.Name.Local)
		}
	}
}

func prometheusHolds(t *rapid.T, all *check.Results, doc []byte) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("prometheus: %v\n%s", err, doc)
	}
	if n := len(families["portwhy_check_status"].GetMetric()); n != len(all.Checks) {
		t.Fatalf("prometheus: %d series for %d checks", n, len(all.Checks))
	}
	for name, f := range families {
		seen := map[string]bool{}
		for _, m := range f.GetMetric() {
			key := fmt.Sprint(m.GetLabel())
			if seen[key] {
				t.Fatalf("prometheus: %s has %s twice", name, key)
			}
			seen[key] = true
		}
	}
}

// The document is valid by the schema of OASIS, and keeps to it with any name.
func TestSARIFSchema(t *testing.T) {
	all := checked()
	for _, n := range nasty {
		c := all.Checks[2]
		c.Name, c.Says, c.File, c.Culprit = n, n, "dir/"+n, &diagnose.Culprit{Kind: "config", File: "/" + n, Line: 1}
		all.Checks = append(all.Checks, c)
	}
	doc, err := render.SARIF(all)
	if err != nil {
		t.Fatal(err)
	}
	// Validate looks at what was read, so nothing may be left unread.
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(new(sarif.Report)); err != nil {
		t.Fatalf("sarif: %v", err)
	}
	report, err := sarif.FromBytes(doc)
	if err != nil {
		t.Fatalf("sarif: %v", err)
	}
	if err := report.Validate(); err != nil {
		t.Fatalf("sarif: %v\n%s", err, doc)
	}
	if n := len(report.Runs[0].Results); n != len(all.Checks)-1 {
		t.Fatalf("sarif: %d results", n)
	}
}
