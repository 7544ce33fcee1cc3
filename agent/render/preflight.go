package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/diagnose/preflight"
	"github.com/portwhy/portwhy/platform/host"
)

// What one screen holds; JSON holds all.
const (
	maxClashes     = 20
	maxNotes       = 3
	maxClashFixes  = 3
	preflightTitle = 300
)

// Preflight writes what will clash, each with its place in the file, who has the
// port, and what to take instead.
func Preflight(r *preflight.Report, o TextOptions) []byte {
	t := &text{o: o, color: colors{o.Color}}
	if t.o.Width <= 0 {
		t.o.Width = defaultWidth
	}
	t.o.Width = max(t.o.Width, minWidth)
	fmt.Fprintf(&t.out, "%s %s   %s\n", t.color.status(r.Status, symbol(r.Status)), t.color.bold(Cut(preflightFiles(r), maxSubject)), preflightSummary(r))
	shown, notes := 0, 0
	for _, f := range r.Findings {
		if f.Severity == plan.Note {
			notes++
			continue
		}
		if shown++; shown <= maxClashes {
			t.lines = append(t.lines, "")
			t.clash(r, f)
		}
	}
	if shown > maxClashes {
		t.lines = append(t.lines, "")
		t.more(shown - maxClashes)
	}
	if notes > 0 {
		t.lines = append(t.lines, "")
	}
	word, n := "Also", 0
	for _, f := range r.Findings {
		if f.Severity != plan.Note {
			continue
		}
		if n++; n > maxNotes && !t.o.Checks {
			t.more(notes - maxNotes)
			break
		}
		t.say(word, preflightPlace(f)+": "+strings.TrimSuffix(f.Title, "."))
		word = ""
	}
	limits := r.Limits
	if r.Status == diagnose.OK && !t.o.Checks {
		// All is well as far as was asked; an option asks for more.
		limits = slices.DeleteFunc(slices.Clone(limits), func(l host.Limit) bool { return !strings.HasPrefix(l.Needs, "--") })
	}
	if len(limits) > 0 {
		t.lines = append(t.lines, "")
		t.unseen(&diagnose.Report{Status: diagnose.StatusUnknown, Limits: limits})
	}
	if t.o.Checks {
		t.declared(r)
	}
	for _, line := range t.lines {
		t.out.WriteString(line + "\n")
	}
	return []byte(t.out.String())
}

// clash writes one finding: place, what is wanted, why not, what helps.
func (t *text) clash(r *preflight.Report, f plan.Finding) {
	status := f.Severity.Status()
	head := t.color.status(status, symbol(status)) + " " + t.color.bold(Escape(preflightPlace(f)))
	if about := preflightAbout(f); about != "" {
		head += "   " + Escape(about)
	}
	t.lines = append(t.lines, margin+head)
	t.say("Why", strings.TrimSuffix(f.Title, ".")+".")
	if more := culpritLine(f.Culprit, f.Title, r.At); more != "" {
		t.say("", more)
	}
	for i, fix := range f.Fixes {
		if i == maxClashFixes {
			t.more(len(f.Fixes) - i)
			break
		}
		word := "Fix"
		if i > 0 {
			word = "Or"
		}
		if len(fix.Commands) == 0 {
			t.say(word, fix.Title)
			continue
		}
		host := &diagnose.Report{Host: r.Host}
		for n, argv := range fix.Commands {
			line := t.color.bold(sudo(host, fix) + Command(argv))
			if n == 0 {
				line += "    " + Escape(fix.Title)
			}
			t.raw(word, line)
			word = ""
		}
	}
}

// declared lists every declared port and what becomes of it.
func (t *text) declared(r *preflight.Report) {
	t.lines = append(t.lines, "")
	word := "Ports"
	for _, p := range r.Ports {
		t.say(word, fmt.Sprintf("%s  %s  %s  %s", spot(p.File, p.Line, p.Column), preflightPort(p), p.Service, p.Result))
		word = ""
	}
}

func preflightPort(p preflight.Port) string {
	address := p.Address
	switch {
	case address == "":
		address = "*"
	case strings.Contains(address, ":"):
		address = "[" + address + "]"
	}
	ports := fmt.Sprint(p.First)
	if p.Last != p.First {
		ports = fmt.Sprintf("%d-%d", p.First, p.Last)
	}
	s := address + ":" + ports + "/" + p.Network
	if p.Any {
		s = "one of " + s
	}
	return s
}

func preflightFiles(r *preflight.Report) string {
	switch len(r.Files) {
	case 0:
		return "no file"
	case 1:
		return r.Files[0].Path
	}
	return fmt.Sprintf("%s and %d more", r.Files[0].Path, len(r.Files)-1)
}

// preflightSummary counts what was found.
func preflightSummary(r *preflight.Report) string {
	counts := plan.Count(r.Findings)
	var words []string
	if n := counts[plan.Error]; n > 0 {
		words = append(words, several(n, "clash", "clashes"))
	}
	if n := counts[plan.Unknown]; n > 0 {
		words = append(words, several(n, "thing unknown", "things unknown"))
	}
	if n := counts[plan.Warning]; n > 0 {
		words = append(words, several(n, "warning", "warnings"))
	}
	declared := several(len(r.Ports), "port", "ports") + " declared"
	if len(words) == 0 {
		if len(r.Ports) == 0 {
			return "no port of this host is declared"
		}
		return "nothing clashes: " + declared
	}
	return strings.Join(words, ", ") + ": " + declared
}

func preflightPlace(f plan.Finding) string { return spot(f.File, f.Line, f.Column) }

// spot names a position in a file as compilers do.
func spot(file string, line, column int) string {
	switch {
	case line == 0:
		return file
	case column == 0:
		return fmt.Sprintf("%s:%d", file, line)
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

func preflightAbout(f plan.Finding) string {
	if f.Port == 0 {
		return f.Service
	}
	return fmt.Sprintf("%s: port %d/%s", f.Service, f.Port, f.Network)
}

// PreflightMarkdown writes it to paste into a ticket.
func PreflightMarkdown(r *preflight.Report) []byte {
	var m markdown
	fmt.Fprintf(&m.b, "### %s %s: %s\n\n", symbol(r.Status), span(Cut(preflightFiles(r), maxSubject)), prose(preflightSummary(r)))
	for _, f := range r.Findings {
		m.item("%s %s %s: %s (%s)", symbol(f.Severity.Status()), span(preflightPlace(f)), prose(preflightAbout(f)), prose(Cut(f.Title, preflightTitle)), span(f.Code))
		for _, fix := range f.Fixes {
			if len(fix.Commands) == 0 {
				m.sub("**Fix** %s", prose(fix.Title))
			}
			for _, argv := range fix.Commands {
				m.sub("**Fix** %s %s", span(Command(argv)), prose(fix.Title))
			}
		}
	}
	for _, l := range r.Limits {
		m.item("**Unseen** %s", prose(l.What+": "+l.Why))
	}
	return []byte(m.b.String())
}

// PreflightNagios writes what a plugin prints: one line with the state, then a
// line for each finding.
func PreflightNagios(r *preflight.Report) []byte {
	counts := plan.Count(r.Findings)
	var b strings.Builder
	fmt.Fprintf(&b, "PORTWHY %s - %s | ports=%d;;;0 clashes=%d;;0;0 unknown=%d;;;0 warnings=%d;0;;0\n", nagiosStates[r.Status],
		nagiosText(preflightFiles(r)+": "+preflightSummary(r), maxNagios), len(r.Ports), counts[plan.Error], counts[plan.Unknown], counts[plan.Warning])
	for _, f := range r.Findings {
		if f.Severity != plan.Note {
			b.WriteString(nagiosText(fmt.Sprintf("%s: %s: %s", preflightPlace(f), f.Code, f.Title), maxString) + "\n")
		}
	}
	return []byte(b.String())
}

// PreflightSARIF writes findings as results of static analysis, at the line that
// declares the port.
func PreflightSARIF(r *preflight.Report) ([]byte, error) {
	s := newSARIF(r.Tool.Version, r.At)
	for _, f := range r.Findings {
		result := sarifResult{RuleID: f.Code, Kind: "fail", Level: "error", Message: sarifText{Escape(preflightAbout(f)) + ": " + Cut(f.Title, preflightTitle)},
			Prints: map[string]string{"portwhyPreflight/v1": Escape(fmt.Sprintf("%s %s %d/%s", f.File, f.Service, f.Port, f.Network))}}
		switch f.Severity {
		case plan.Warning:
			result.Level = "warning"
		case plan.Note:
			result.Level = "note"
		case plan.Unknown:
			result.Kind, result.Level = "open", "none"
		}
		for _, fix := range f.Fixes {
			result.Message.Text += "\n" + Escape("Fix: "+strings.TrimSpace(fix.Title+" "+preflightCommands(fix)))
		}
		if f.File != "" && f.File != "-" {
			result.Locations = []sarifLocation{{Physical: sarifPlace(f.File, f.Line, f.Column)}}
		}
		if who := f.Culprit; who != nil && who.File != "" && who.File != "-" && who.Line > 0 {
			result.Related = []sarifLocation{{ID: 1, Physical: sarifPlace(who.File, who.Line, 0), Message: &sarifText{"what has it"}}}
		}
		s.add(result)
	}
	return s.doc()
}

func preflightCommands(f diagnose.Fix) string {
	var commands []string
	for _, argv := range f.Commands {
		commands = append(commands, Command(argv))
	}
	return strings.Join(commands, "; ")
}
