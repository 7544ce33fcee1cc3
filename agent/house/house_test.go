// Package house holds the rules of the house as tests: which floor may import
// which, and what no file may do. A rule that is broken says why it is there.
package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose/cause"
	"github.com/portwhy/portwhy/diagnose/checks"
)

// top is the root of the repository, seen from this package.
const top = "../.."

// rooms are the entries that may stand at the root, besides those that begin
// with a dot and what make puts into bin.
var rooms = []string{"agent", "bin", "diagnose", "platform", "rules", "testdata", "go.mod", "go.sum", "Makefile",
	"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}

func TestRooms(t *testing.T) {
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(rooms, e.Name()) {
			t.Errorf("%s stands at the root: a new thing belongs on one of the floors, beside what it is about", e.Name())
		}
	}
}

// load parses every Go file, for whatever system it is: a rule counts for the
// files that are not built here too.
func load(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != top && strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(base) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), text)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d files found below %s: the rules would hold for nothing", len(all), top)
	}
	return all
}

// source is one Go file.
type source struct {
	name  string // path from the root, with slashes
	file  *ast.File
	set   *token.FileSet
	lines int
}

func parse(name string, text []byte) (source, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	return source{name, file, set, bytes.Count(text, []byte("\n"))}, err
}

func (s source) dir() string   { return path.Dir(s.name) }
func (s source) test() bool    { return strings.HasSuffix(s.name, "_test.go") }
func (s source) floor() string { f, _, _ := strings.Cut(s.name, "/"); return f }

func TestRules(t *testing.T) {
	files := load(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, s := range files {
				for _, broken := range r.check(s) {
					t.Errorf("%s\n\twhy: %s", broken, r.why)
				}
			}
		})
	}
}

// Every code that a check can report has its page, and every check is
// documented; scripts and people rely on both.
func TestChecksAreDocumented(t *testing.T) {
	ids := map[string]bool{}
	for _, c := range checks.All() {
		if c.ID == "" || c.Doc == "" || c.Run == nil {
			t.Errorf("check %q has no ID, Doc or Run", c.ID)
		}
		if ids[c.ID] {
			t.Errorf("check %s is in the list twice", c.ID)
		}
		ids[c.ID] = true
		for _, code := range c.Codes {
			if _, ok := cause.Find(code); !ok {
				t.Errorf("check %s reports %s, which is not in the catalogue; near: %q", c.ID, code, cause.Near(code))
			}
		}
	}
}
