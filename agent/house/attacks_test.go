package house

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// attacks is the section of SECURITY.md whose table names tests.
const attacks = "## What is tested against attacks"

var (
	testName     = regexp.MustCompile("`([a-z0-9_/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	scenarioName = regexp.MustCompile("`scenarios/([a-z0-9/-]+)`")
)

// Each test that SECURITY.md names is there, and each row names one.
func TestAttacksAreTested(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), attacks+"\n")
	if !ok {
		t.Fatalf("SECURITY.md has no section %q", attacks)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	have := map[string]bool{}
	for _, s := range load(t) {
		if !s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				have[s.dir()+"."+f.Name.Name] = true
			}
		}
	}
	rows := 0
	for line := range strings.Lines(section) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| No.") {
			continue
		}
		rows++
		tests, scenarios := testName.FindAllStringSubmatch(line, -1), scenarioName.FindAllStringSubmatch(line, -1)
		if len(tests) == 0 {
			t.Errorf("no test is named in: %s", line)
		}
		for _, m := range tests {
			if !have[m[1]+"."+m[2]] {
				t.Errorf("SECURITY.md names %s.%s, and there is no such test", m[1], m[2])
			}
		}
		for _, m := range scenarios {
			if _, err := fs.Stat(os.DirFS(top), "testdata/scenarios/"+m[1]+".txtar"); err != nil {
				t.Errorf("SECURITY.md names the scenario %s: %v", m[1], err)
			}
		}
	}
	if rows < 30 {
		t.Errorf("the table has %d rows only", rows)
	}
}
