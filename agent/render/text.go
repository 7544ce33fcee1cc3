package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// TextOptions say how text may look.
type TextOptions struct {
	Width int  // cells of the terminal; 0: 100
	Color bool // use SGR colours
	// Checks shows each flow's stations, Trace their lines as well.
	Checks, Trace bool
}

const (
	defaultWidth = 100
	minWidth     = 40

	// What one screen holds of each; JSON holds all.
	maxEvidence = 5
	maxFixes    = 4
	maxThen     = 4
	maxAlso     = 4
	maxUnseen   = 4
	maxOffered  = 5
)

// Text writes one screen a report: the verdict, the cause with its culprit, the
// evidence, the fix, the rest. A healthy target among several is one line.
func Text(reports []*diagnose.Report, o TextOptions) []byte {
	t := newText(o)
	several := len(reports) > 1
	if several {
		for _, r := range reports {
			t.align = max(t.align, min(columns(Cut(subject(r), maxSubject)), 40))
		}
	}
	afterBlock := false
	for i, r := range reports {
		var block []string
		if !several || r.Status != diagnose.OK || t.o.Checks || t.o.Trace {
			block = t.block(r, several)
		}
		if i > 0 && (afterBlock || len(block) > 0) {
			t.out.WriteByte('\n')
		}
		t.head(r, several)
		if len(block) > 0 {
			t.out.WriteByte('\n')
			t.write(block)
		}
		afterBlock = len(block) > 0
	}
	return []byte(t.out.String())
}

func newText(o TextOptions) *text {
	t := &text{o: o, color: colors{o.Color}}
	if t.o.Width <= 0 {
		t.o.Width = defaultWidth
	}
	t.o.Width = max(t.o.Width, minWidth)
	return t
}

// write writes lines as they are.
func (t *text) write(lines []string) {
	for _, line := range lines {
		t.out.WriteString(line)
		t.out.WriteByte('\n')
	}
}

type text struct {
	o     TextOptions
	color colors
	align int
	out   strings.Builder
	lines []string
	said  []host.Limit // under earlier checks
}

// head writes the verdict's line.
func (t *text) head(r *diagnose.Report, several bool) {
	words := Escape(headline(r))
	tail := ""
	if r.Status == diagnose.OK || r.Status == diagnose.Warning {
		tail = Cut(server(r.Server), maxCommand)
	}
	if inline := inlineWarning(r); several && inline != "" {
		words += ", " + Escape(inline)
	}
	t.headLine(r.Status, Cut(subject(r), maxSubject), words, tail)
}

// headLine writes a status, a name, what is said of it and, if there is room,
// who is behind it. What is given is escaped.
func (t *text) headLine(status diagnose.Status, name, words, tail string) {
	const gap = "   "
	plainLine := "  " + pad(name, t.align) + gap
	t.out.WriteString(t.color.status(status, symbol(status)) + " " + t.color.bold(name) + strings.Repeat(" ", max(0, t.align-columns(name))) + gap)
	room := t.o.Width - columns(plainLine)
	if tail != "" {
		if columns(words)+len(gap)+columns(tail) <= room {
			t.out.WriteString(words + gap + t.color.dim(tail) + "\n")
			return
		}
		words += " · " + tail
	}
	for i, line := range wrap(words, max(room, 20)) {
		if i > 0 {
			t.out.WriteString(strings.Repeat(" ", columns(plainLine)))
		}
		t.out.WriteString(line + "\n")
	}
}

// inlineWarning is a short warning that needs no block of its own.
func inlineWarning(r *diagnose.Report) string {
	if r.Status == diagnose.Warning && len(r.Findings) == 1 && len(r.Causes) == 0 && columns(r.Findings[0].Title) <= 50 {
		return strings.TrimSuffix(r.Findings[0].Title, ".")
	}
	return ""
}

func symbol(s diagnose.Status) string {
	switch s {
	case diagnose.OK:
		return "✓"
	case diagnose.Warning:
		return "!"
	case diagnose.Broken:
		return "✗"
	}
	return "?"
}

// block writes what follows the verdict.
func (t *text) block(r *diagnose.Report, several bool) []string {
	t.lines = nil
	if several && inlineWarning(r) != "" && !t.o.Checks && !t.o.Trace {
		return nil
	}
	t.why(r)
	t.then(r)
	t.fix(r)
	t.also(r)
	t.unseen(r)
	if t.o.Checks || t.o.Trace {
		t.way(r)
	}
	if r.RootCause != nil && !several {
		t.lines = append(t.lines, "", "  "+t.color.dim("more: portwhy explain "+Escape(r.RootCause.Code)+" · --trace · -o json"))
	}
	return slices.Clone(t.lines)
}

// why writes the root cause and its proof, or that there is none to name.
func (t *text) why(r *diagnose.Report) {
	c := r.RootCause
	if c == nil {
		if r.Status == diagnose.StatusUnknown {
			said := "Unknown: nothing that could be read explains it."
			if f := differs(r); f != nil {
				said = "Unknown: " + f.Title
			}
			t.say("Why", said)
		}
		return
	}
	t.say("Why", sentence(*c))
	if more := culpritLine(c.Culprit, c.Title, r.At); more != "" {
		t.say("", more)
	}
	word := "Proof"
	if c.Confidence != diagnose.Proven {
		word = "Seen"
	}
	for i, e := range c.Evidence {
		if i == maxEvidence {
			t.more(len(c.Evidence) - i)
			break
		}
		t.say(word, fact(e))
		word = ""
	}
	if c.Because != "" {
		t.say(word, c.Because)
	}
}

// fact is one piece of evidence in a line.
func fact(e diagnose.Evidence) string {
	s := e.What
	if e.Value != "" {
		s += ": " + e.Value
	}
	if e.Source != "" {
		s += " (" + e.Source + ")"
	}
	return s
}

// differs is the finding that stands for the missing cause.
func differs(r *diagnose.Report) *diagnose.Finding {
	for i := range r.Findings {
		if r.Findings[i].Code == "prediction-differs" {
			return &r.Findings[i]
		}
	}
	return nil
}

// then writes the further blockers in path order.
func (t *text) then(r *diagnose.Report) {
	rest := r.Causes
	if r.RootCause != nil && len(rest) > 0 {
		rest = rest[1:] // the root cause comes first
	}
	word := "Then"
	for i, c := range rest {
		if i == maxThen {
			t.more(len(rest) - i)
			break
		}
		lead := "after that: "
		if r.RootCause == nil || !overlap(c.Destinations, r.RootCause.Destinations) {
			lead = join(c.Destinations, "and") + ": "
		}
		t.say(word, lead+sentence(c))
		word = ""
		if more := culpritLine(c.Culprit, c.Title, r.At); more != "" {
			t.say("", more)
		}
	}
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// fix writes what to do, as it can be pasted. Parts of the fix that does all are
// left out.
func (t *text) fix(r *diagnose.Report) {
	shown := 0
	for i, f := range r.Fixes {
		if i > 0 && part(f, r.Fixes[0]) {
			continue
		}
		if shown == maxFixes {
			t.more(len(r.Fixes) - i)
			break
		}
		shown++
		word := "Fix"
		if len(r.Fixes) > 1 {
			word = fmt.Sprintf("Fix %d", i+1)
		}
		note := fixNote(f)
		if len(f.Commands) == 0 {
			t.say(word, note)
			continue
		}
		for n, argv := range f.Commands {
			line := sudo(r, f) + Command(argv)
			if len(f.Commands) == 1 && columns(line)+4+columns(note) <= t.room() {
				t.raw(word, t.color.bold(line)+"    "+note)
				note = ""
				break
			}
			t.raw(word, t.color.bold(line))
			if n == 0 {
				word = ""
			}
		}
		if note != "" {
			t.say("", note)
		}
	}
	if ports := offered(r); ports != "" {
		word := "Fix"
		if len(r.Fixes) > 0 {
			word = "Or"
		}
		t.say(word, ports)
	}
}

// part reports whether all that a fix does is done by another that does more.
func part(f, all diagnose.Fix) bool {
	if len(f.Commands) == 0 || len(f.Commands) >= len(all.Commands) {
		return false
	}
	for _, argv := range f.Commands {
		if !slices.ContainsFunc(all.Commands, func(other []string) bool { return slices.Equal(argv, other) }) {
			return false
		}
	}
	return true
}

func fixNote(f diagnose.Fix) string {
	note := f.Title
	if f.Opens != "" {
		note += "; opens " + f.Opens
	}
	if f.Risk != "" && f.Risk != "low" {
		note += "; risk: " + f.Risk
	}
	if f.Check == "simulated" && f.PredictedOutcome != diagnose.Unknown {
		note += "; checked on the model: " + f.PredictedOutcome.String() + " afterwards"
	}
	return Escape(note)
}

// sudo is what a caller without rights has to put before a command.
func sudo(r *diagnose.Report, f diagnose.Fix) string {
	if f.NeedsRoot && !r.Host.Privileged && r.Host.OS != "windows" {
		return "sudo "
	}
	return ""
}

func offered(r *diagnose.Report) string {
	if len(r.FreePorts) == 0 {
		return ""
	}
	var ports []string
	for _, p := range r.FreePorts[:min(len(r.FreePorts), maxOffered)] {
		ports = append(ports, fmt.Sprint(p))
	}
	return "listen on " + join(ports, "or") + ": free, outside the ephemeral range, and no configuration here claims it"
}

// limiting are findings whose substance stands under Unseen already.
var limiting = map[string]bool{"facts-missing": true, "firewall-unmodelled": true, "one-way-only": true}

// also writes the findings that block nothing.
func (t *text) also(r *diagnose.Report) {
	used := (*diagnose.Finding)(nil)
	if r.RootCause == nil && r.Status == diagnose.StatusUnknown {
		used = differs(r)
	}
	word, n := "Also", 0
	for _, severity := range []diagnose.Severity{diagnose.SeverityWarning, diagnose.SeverityNote} {
		for i := range r.Findings {
			f := &r.Findings[i]
			if f == used || f.Severity != severity || limiting[f.Code] {
				continue
			}
			if n++; n > maxAlso {
				continue
			}
			t.say(word, f.Title)
			word = ""
			if more := culpritLine(f.Culprit, f.Title, r.At); more != "" && severity == diagnose.SeverityWarning {
				t.say("", more)
			}
		}
	}
	if n > maxAlso {
		t.more(n - maxAlso)
	}
}

// unseen writes what limits the report, unless all is well: then it is asked
// for, or in the JSON.
func (t *text) unseen(r *diagnose.Report) {
	if r.Status == diagnose.OK && !t.o.Checks && !t.o.Trace {
		return
	}
	t.limits(r.Limits)
}

func (t *text) limits(list []host.Limit) {
	word := "Unseen"
	for i, l := range list {
		if i == maxUnseen {
			t.more(len(list) - i)
			break
		}
		s := l.What
		if l.Why != "" {
			s += ": " + l.Why
		}
		if l.Needs != "" {
			s += " (needs " + l.Needs + ")"
		}
		t.say(word, s)
		word = ""
	}
}
