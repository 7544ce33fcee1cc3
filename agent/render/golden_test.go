package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
)

var update = flag.Bool("update", false, "write the golden files anew")

type reports = []*diagnose.Report

// sets are what the golden files hold, by name.
var sets = map[string]func() reports{
	"no-listener":  func() reports { return reports{noListener()} },
	"in-use":       func() reports { return reports{inUse()} },
	"two-blockers": func() reports { return reports{twoBlockers()} },
	"healthy":      func() reports { return reports{healthy()} },
	"differs":      func() reports { return reports{differs()} },
	"predicted":    func() reports { return reports{predicted()} },
	"several":      func() reports { return reports{healthy(), warned(), noListener(), healthy(), healthy()} },
}

func document(r reports) any {
	if len(r) == 1 {
		return r[0]
	}
	return render.Collect(r)
}

func TestGolden(t *testing.T) {
	forms := map[string]func(reports) ([]byte, error){
		"txt":       func(r reports) ([]byte, error) { return render.Text(r, render.TextOptions{}), nil },
		"60.txt":    func(r reports) ([]byte, error) { return render.Text(r, render.TextOptions{Width: 60}), nil },
		"trace.txt": func(r reports) ([]byte, error) { return render.Text(r, render.TextOptions{Trace: true}), nil },
		"md":        func(r reports) ([]byte, error) { return render.Markdown(r), nil },
		"nagios":    func(r reports) ([]byte, error) { return render.Nagios(r), nil },
		"json":      func(r reports) ([]byte, error) { return render.JSON(document(r)) },
		"yaml":      func(r reports) ([]byte, error) { return render.YAML(document(r)) },
	}
	for name, set := range sets {
		for form, write := range forms {
			got, err := write(set())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+"."+form)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s\nwant\n%s\ngo test ./agent/render -update writes it anew", path, got, want)
			}
		}
	}
}

// A report that was written as JSON is read back as it was.
func TestReportsAreReadBack(t *testing.T) {
	for name, set := range sets {
		want, err := render.JSON(render.Collect(set()))
		if err != nil {
			t.Fatal(err)
		}
		var back render.Reports
		if err := json.Unmarshal(want, &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := render.JSON(back)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: read back as\n%s\nwant\n%s", name, got, want)
		}
		if a, b := render.Text(set(), render.TextOptions{}), render.Text(back.Reports, render.TextOptions{}); !bytes.Equal(a, b) {
			t.Errorf("%s: shown as\n%s\nwant\n%s", name, b, a)
		}
	}
	for _, bad := range []string{`{"status":"fine"}`, `{"status":7}`, `{"reports":[{"causes":[{"confidence":"sure"}]}]}`} {
		if json.Unmarshal([]byte(bad), &render.Reports{}) == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
