package lab

import (
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose/cause"
)

const (
	codesBegin = "<!-- the table of codes is generated: go test ./agent/lab -run TestTable -update -->\n"
	codesEnd   = "<!-- end of the table of codes -->\n"
)

// unplayed are codes that the program can report and no scenario shows, with the
// reason.
var unplayed = map[string]string{
	"listener-too-open":   aPlans,
	"port-declared-twice": aPlans,
	"probe-rate-limited":  "the kernel's limit on ICMP errors is switched off in the lab, and its bucket can't be emptied at a known moment",
}

const aPlans = "told by portwhy plan, and played by its own tests (agent/cli/testdata/script, diagnose/plan)"

// Reported are the codes of the catalogue that the source below dir can report: its
// string literals, but for the catalogue's own and those of tests.
func Reported(dir string) (map[string]bool, error) {
	known := map[string]bool{}
	for _, e := range cause.All() {
		known[e.Code] = true
	}
	reported := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "cause" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := goparser.ParseFile(token.NewFileSet(), path, nil, goparser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if code, err := strconv.Unquote(lit.Value); err == nil && known[code] {
					reported[code] = true
				}
			}
			return true
		})
		return nil
	})
	return reported, err
}

// shown is in how many scenarios a code is the root cause, another one, a finding,
// and in how many its fix is applied and undone.
type shown struct{ root, other, finding, fixed int }

// count goes through what the scenarios expect.
func count(all []*Scenario) map[string]shown {
	counts := map[string]shown{}
	for _, s := range all {
		here := map[string]shown{}
		for _, step := range s.Steps {
			ask := step.Ask
			if ask == nil {
				continue
			}
			if ask.Code != "" {
				c := here[ask.Code]
				c.root = 1
				if ask.Fix > 0 && !ask.NoUndo {
					c.fixed = 1
				}
				here[ask.Code] = c
			}
			for _, code := range ask.Also {
				c := here[code]
				c.other = 1
				here[code] = c
			}
			for _, f := range ask.Findings {
				c := here[f.Code]
				c.finding = 1
				here[f.Code] = c
			}
		}
		for code, h := range here {
			c := counts[code]
			counts[code] = shown{c.root + h.root, c.other + h.other, c.finding + h.finding, c.fixed + h.fixed}
		}
	}
	return counts
}

// CodeTable writes, for each code of the catalogue, in how many scenarios it is shown.
func CodeTable(all []*Scenario, reported map[string]bool) string {
	var b strings.Builder
	b.WriteString(codesBegin)
	b.WriteString("\n| code | kind | root cause | other cause | finding | fix applied and undone | |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	counts, without, silent := count(all), 0, 0
	for _, e := range cause.All() {
		c, why := counts[e.Code], ""
		switch {
		case !reported[e.Code]:
			why = "not reported yet"
			silent++
		case c == (shown{}):
			why = "no scenario: " + unplayed[e.Code]
			without++
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", e.Code, e.Kind, number(c.root), number(c.other), number(c.finding), number(c.fixed), cell(why))
	}
	total := len(cause.All())
	fmt.Fprintf(&b, "\n%d codes: %d shown by scenarios, %d without one, %d not reported yet.\n", total, total-without-silent, without, silent)
	b.WriteString(codesEnd)
	return b.String()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Unshown says what is wrong with the scenarios and [unplayed]: a code that can be
// reported is shown by a scenario, or has its reason, and not both.
func Unshown(all []*Scenario, reported map[string]bool) []string {
	var wrong []string
	counts := count(all)
	for _, e := range cause.All() {
		why, excused := unplayed[e.Code]
		switch played := counts[e.Code] != (shown{}); {
		case reported[e.Code] && !played && !excused:
			wrong = append(wrong, fmt.Sprintf("%s can be reported and no scenario shows it: add one, or its reason to unplayed", e.Code))
		case played && excused:
			wrong = append(wrong, fmt.Sprintf("%s is in unplayed (%s), and a scenario shows it", e.Code, why))
		case !reported[e.Code] && (played || excused):
			wrong = append(wrong, fmt.Sprintf("%s is expected or excused, and nothing reports it", e.Code))
		}
	}
	for code := range counts {
		if _, ok := cause.Find(code); !ok {
			wrong = append(wrong, fmt.Sprintf("a scenario expects %q, which the catalogue does not have", code))
		}
	}
	slices.Sort(wrong)
	return wrong
}
