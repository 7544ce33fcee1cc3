package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/portwhy/portwhy/agent/cli"
)

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	var out bytes.Buffer
	p := cli.New("")
	p.Stdout = &out
	if got := p.Run(context.Background(), []string{"schema", name}); got != 0 {
		t.Fatalf("schema %s: status %d", name, got)
	}
	doc, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestGoldenReportsAreValid holds the renderer's reports against the schemas,
// and sees that a schema refuses what is no such document.
func TestGoldenReportsAreValid(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{"portwhy.report/v1": compile(t, "report"), "portwhy.reports/v1": compile(t, "reports")}
	files, err := filepath.Glob("../render/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s := schemas[doc["schema"].(string)]
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		doc["added_later"] = 1
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: a field that a later version adds is refused: %v", name, err)
		}
		doc["status"] = "fine"
		if s.Validate(doc) == nil {
			t.Errorf("%s: a status that does not exist is valid", name)
		}
		doc["status"] = "ok"
		delete(doc, "schema")
		if s.Validate(doc) == nil {
			t.Errorf("%s: valid without its schema's name", name)
		}
	}
}

// TestSchemasPromise holds the fields that the contract names.
func TestSchemasPromise(t *testing.T) {
	for name, fields := range map[string]string{
		"report":    "schema tool at duration_ms host target flows outcome status root_cause causes findings fixes limits",
		"reports":   "schema status reports",
		"listeners": "schema listeners limits",
		"snapshot":  "schema tool at answers",
		"manifest":  "schema tool at redaction asked files",
		"explain":   "schema pages",
		"version":   "schema name version",
	} {
		var required []string
		var out bytes.Buffer
		p := cli.New("")
		p.Stdout = &out
		p.Run(context.Background(), []string{"schema", name})
		var doc struct{ Required []string }
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		required = doc.Required
		for _, f := range strings.Fields(fields) {
			if !strings.Contains(" "+strings.Join(required, " ")+" ", " "+f+" ") {
				t.Errorf("%s: %s is not required", name, f)
			}
		}
	}
}
