package render

import (
	"bytes"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
)

// maxTitle bounds a finding's sentence.
const maxTitle = 400

// Findings writes what is wrong about declared ports, one a line, with its place
// and what mends it.
func Findings(list []plan.Finding, o TextOptions) []byte {
	var b bytes.Buffer
	c := colors{o.Color}
	for _, f := range list {
		fmt.Fprintf(&b, "  %s %s  %s  %s\n", c.status(f.Severity.Status(), symbolOf(f.Severity)), c.dim(position(f.File, f.Line, f.Column)), Cut(f.Title, maxTitle), c.dim(Escape(f.Code)))
		for _, x := range f.Fixes {
			for _, argv := range x.Commands {
				fmt.Fprintf(&b, "      Fix  %s    %s\n", Command(argv), Cut(x.Title, maxTitle))
			}
		}
		if len(f.Free) > 0 {
			fmt.Fprintf(&b, "      Fix  take another port: %s\n", ports(f.Free))
		}
	}
	return b.Bytes()
}

func ports(list []uint16) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = strconv.Itoa(int(p))
	}
	return strings.Join(words, ", ")
}

// position names a place in a file, without its directory.
func position(file string, line, column int) string {
	return spot(Cut(path.Base(file), maxSubject), line, column)
}

func symbolOf(s plan.Severity) string {
	if s == plan.Note {
		return "·"
	}
	return symbol(s.Status())
}

// several counts things.
func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// counted says how many findings of each severity there are.
func counted(list []plan.Finding) string {
	n := plan.Count(list)
	var words []string
	for _, w := range []struct {
		severity  plan.Severity
		one, many string
	}{{plan.Error, "error", "errors"}, {plan.Warning, "warning", "warnings"}, {plan.Unknown, "unknown", "unknown"}, {plan.Note, "note", "notes"}} {
		if k := n[w.severity]; k > 0 {
			words = append(words, several(k, w.one, w.many))
		}
	}
	if len(words) == 0 {
		return "nothing clashes"
	}
	return strings.Join(words, ", ")
}

// PlanChecked writes what a plan's check found.
func PlanChecked(r *plan.Checked, o TextOptions) []byte {
	var b bytes.Buffer
	c := colors{o.Color}
	fmt.Fprintf(&b, "%s %s   %s: %s of %s\n", c.status(r.Status, symbol(r.Status)), c.bold(Cut(r.File, maxSubject)), counted(r.Findings), several(r.Ports, "port", "ports"), several(r.Services, "service", "services"))
	if len(r.Findings) > 0 {
		b.WriteByte('\n')
		b.Write(Findings(r.Findings, o))
	}
	if r.Environment == "" {
		b.WriteString("\n  Not compared with this host: --env NAME does that.\n")
	}
	return unseen(b.Bytes(), r.Limits, o)
}

// PlanVerified writes what became of each connection, and who reaches whom.
func PlanVerified(r *plan.Verified, o TextOptions) []byte {
	var b bytes.Buffer
	c := colors{o.Color}
	title := r.Environment
	if r.On != "" {
		title += " on " + r.On
	}
	good := 0
	for _, e := range r.Edges {
		if e.Status == diagnose.OK || e.Status == diagnose.Warning {
			good++
		}
	}
	fmt.Fprintf(&b, "%s %s, %s   %d of %d connections are as declared\n", c.status(r.Status, symbol(r.Status)), c.bold(Cut(r.File, maxSubject)), Cut(title, maxSubject), good, len(r.Edges))
	if len(r.Edges) > 0 {
		b.WriteByte('\n')
	}
	longest := 0
	for _, e := range r.Edges {
		longest = max(longest, columns(arrow(e)))
	}
	for _, e := range r.Edges {
		fmt.Fprintf(&b, "  %s %s  %s\n", c.status(e.Status, symbol(e.Status)), pad(arrow(e), longest), Cut(outcomeOf(e), maxTitle))
		if e.Report == nil || e.Status == diagnose.OK {
			continue
		}
		for i, x := range e.Report.Fixes {
			if i > 0 || e.Expect == "blocked" {
				break
			}
			for _, argv := range x.Commands {
				fmt.Fprintf(&b, "      Fix  %s\n", Command(argv))
			}
		}
	}
	if m := matrix(r.Edges); m != "" {
		b.WriteString("\n" + m)
	}
	if len(r.Findings) > 0 {
		b.WriteByte('\n')
		b.Write(Findings(r.Findings, o))
	}
	return unseen(b.Bytes(), r.Limits, o)
}

func arrow(e plan.Edge) string { return Cut(e.From, maxSubject) + " -> " + Cut(e.To, maxSubject) }

func outcomeOf(e plan.Edge) string {
	s := "not asked"
	if e.Report != nil {
		s = e.Report.Outcome.String()
		if e.Source != "" {
			s += " (predicted from " + e.Source + ")"
		}
	}
	if e.Expect == "blocked" {
		s += ", to be blocked"
	}
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

// matrix draws who reaches whom, a row for each that connects. It is left out
// where the lines above say as much.
func matrix(edges []plan.Edge) string {
	var rows, cols []string
	index := map[string]int{}
	cell := map[[2]string]diagnose.Status{}
	for _, e := range edges {
		e.From, e.To = Cut(e.From, maxSubject), Cut(e.To, maxSubject)
		if _, ok := index["r"+e.From]; !ok {
			index["r"+e.From] = len(rows)
			rows = append(rows, e.From)
		}
		if _, ok := index["c"+e.To]; !ok {
			index["c"+e.To] = len(cols)
			cols = append(cols, e.To)
		}
		at := [2]string{e.From, e.To}
		cell[at] = diagnose.Worse(cell[at], e.Status)
	}
	if len(rows) < 2 && len(cols) < 2 {
		return ""
	}
	var b strings.Builder
	left := 0
	for _, r := range rows {
		left = max(left, columns(r))
	}
	b.WriteString("  " + strings.Repeat(" ", left))
	for _, col := range cols {
		b.WriteString("  " + col)
	}
	b.WriteByte('\n')
	for _, r := range rows {
		line := "  " + pad(r, left)
		for _, col := range cols {
			mark := "·"
			if status, declared := cell[[2]string{r, col}]; declared {
				mark = symbol(status)
			}
			line += "  " + pad(mark, columns(col))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
