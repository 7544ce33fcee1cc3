package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	tableBegin = "<!-- the table is generated: go test ./agent/lab -run TestTable -update -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// Load reads all scenarios below dir, in order of their names.
func Load(dir string) ([]*Scenario, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.txtar"))
	if err != nil {
		return nil, err
	}
	var all []*Scenario
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		s, err := Parse(filepath.Base(filepath.Dir(f)), strings.TrimSuffix(filepath.Base(f), ".txtar"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Table writes all scenarios as one Markdown table.
func Table(all []*Scenario) string {
	var b strings.Builder
	b.WriteString(tableBegin)
	questions := 0
	b.WriteString("\n| scenario | what it shows | asked | answer |\n| --- | --- | --- | --- |\n")
	for _, s := range all {
		title := s.Title
		if s.Recorded != "" {
			title += " *(recorded)*"
		}
		first := true
		for _, step := range s.Steps {
			answer := ""
			switch {
			case step.Ask != nil:
				answer = step.Ask.answer()
			case step.Checks != nil:
				answer = step.Checks.answer()
			default:
				continue
			}
			questions++
			name := fmt.Sprintf("[%s/%s](%[1]s/%[2]s.txtar)", s.Group, s.Slug)
			if !first {
				name, title = "", ""
			}
			first = false
			fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", name, cell(title), cell(asked(step)), answer)
		}
	}
	fmt.Fprintf(&b, "\n%d scenarios, %d questions.\n", len(all), questions)
	b.WriteString(fixed(all))
	b.WriteString(tableEnd)
	return b.String()
}

// fixed says in how many scenarios a fix is applied, and in which none is, with the
// reason.
func fixed(all []*Scenario) string {
	applied, undone, reasons := 0, 0, []string{}
	for _, s := range all {
		fix, undo := false, false
		for _, step := range s.Steps {
			if step.Ask == nil {
				continue
			}
			fix, undo = fix || step.Ask.Fix > 0, undo || step.Ask.Fix > 0 && !step.Ask.NoUndo
			if why := step.Ask.Unfixed; why != "" {
				reasons = append(reasons, fmt.Sprintf("- %s/%s, `%s`: %s\n", s.Group, s.Slug, asked(step), why))
			}
		}
		if fix {
			applied++
		}
		if undo {
			undone++
		}
	}
	text := fmt.Sprintf("In %d scenarios a fix is applied, in %d of them undone as well; the others have no fault, or no fix that is a command.\n", applied, undone)
	if len(reasons) > 0 {
		text += fmt.Sprintf("Offered and not applied, %d:\n\n%s", len(reasons), strings.Join(reasons, ""))
	}
	return text
}

// question is what portwhy is asked, in its own words.
func (s Step) question() []string {
	if s.Checks != nil {
		return append([]string{"check"}, s.Args...)
	}
	return s.Args
}

func asked(s Step) string {
	words := strings.Join(s.question(), " ")
	for _, o := range []struct{ name, value string }{{"uid ", s.Options.UID}, {"in ", s.Options.NetNS}, {"seccomp ", s.Options.Seccomp},
		{"landlock ", s.Options.Landlock}, {"cgroup ", s.Options.Cgroup}, {"", strings.Join(s.Options.Env, " ")}} {
		if o.value != "" {
			words += " (" + o.name + o.value + ")"
		}
	}
	return words
}

func (e *Ask) answer() string {
	out := e.Status
	if e.Code != "" {
		out += ": `" + e.Code + "` " + e.Confidence
	}
	for _, c := range e.Also {
		out += ", `" + c + "`"
	}
	for _, f := range e.Findings {
		out += ", " + f.Severity + " `" + f.Code + "`"
	}
	return out
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// Replace puts a table in place of the one in a document; both begin and end with
// the same two lines.
func Replace(document, table string) (string, error) {
	begin := table[:strings.IndexByte(table, '\n')+1]
	end := table[strings.LastIndexByte(strings.TrimSuffix(table, "\n"), '\n')+1:]
	before, rest, ok := strings.Cut(document, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the document has no place for the table: want the lines %q and %q", begin, end)
	}
	return before + table + after, nil
}
