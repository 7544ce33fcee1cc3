package render

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
)

// Markdown writes reports to paste into a ticket. It uses headings, lists and
// code only: what comes from outside stands in code spans and code blocks, where
// CommonMark and its dialects find no link, image, mention or HTML.
func Markdown(reports []*diagnose.Report) []byte {
	var m markdown
	for i, r := range reports {
		if i > 0 {
			m.b.WriteByte('\n')
		}
		m.report(r)
	}
	return []byte(m.b.String())
}

type markdown struct{ b strings.Builder }

func (m *markdown) report(r *diagnose.Report) {
	fmt.Fprintf(&m.b, "### %s %s: %s\n\n", symbol(r.Status), span(Cut(subject(r), maxSubject)), prose(headline(r)))
	if c := r.RootCause; c != nil {
		m.item("**Why** %s", prose(sentence(*c)))
		about, command := culprit(c.Culprit, c.Title, r.At)
		if about != "" {
			m.sub("%s", prose(about))
		}
		if command != "" {
			m.sub("%s", span(command))
		}
		for _, e := range c.Evidence {
			m.sub("%s", prose(fact(e)))
		}
		m.sub("%s, %s: %s", span(c.Code), c.Confidence, prose(c.Because))
	} else if f := differs(r); f != nil && r.Status == diagnose.StatusUnknown {
		m.item("**Why** Unknown: %s", prose(f.Title))
	} else if who := server(r.Server); who != "" {
		m.item("**Answers** %s", prose(who))
	}
	if r.RootCause != nil {
		for _, c := range r.Causes[min(1, len(r.Causes)):] {
			m.item("**Then** %s (%s)", prose(sentence(c)), span(c.Code))
		}
	}
	m.fixes(r)
	for _, f := range r.Findings {
		m.item("**Also** %s (%s, %s)", prose(f.Title), prose(string(f.Severity)), span(f.Code))
	}
	for _, l := range r.Limits {
		s := prose(l.What) + ": " + prose(l.Why)
		if l.Needs != "" {
			s += "; needs " + prose(l.Needs)
		}
		m.item("**Unseen** %s", s)
	}
	m.item("%s", prose(fmt.Sprintf("%s %s on %s, %s %s, %s", r.Tool.Name, r.Tool.Version, r.Host.Hostname, r.Host.OS, r.Host.Kernel,
		r.At.UTC().Format("2006-01-02 15:04:05 UTC"))))
}

func (m *markdown) fixes(r *diagnose.Report) {
	for _, f := range r.Fixes {
		m.item("**Fix** %s", prose(fixNote(f)))
		if len(f.Commands) == 0 {
			continue
		}
		var lines []string
		for _, argv := range f.Commands {
			lines = append(lines, sudo(r, f)+Command(argv))
		}
		fence := strings.Repeat("`", max(3, ticks(strings.Join(lines, "\n"))+1))
		m.b.WriteString("\n  " + fence + "sh\n")
		for _, l := range lines {
			m.b.WriteString("  " + l + "\n")
		}
		m.b.WriteString("  " + fence + "\n")
	}
	if ports := offered(r); ports != "" {
		m.item("**Fix** %s", prose(ports))
	}
}

func (m *markdown) item(format string, args ...any) { fmt.Fprintf(&m.b, "- "+format+"\n", args...) }
func (m *markdown) sub(format string, args ...any)  { fmt.Fprintf(&m.b, "  - "+format+"\n", args...) }

// prose escapes a sentence: words of letters, digits and harmless punctuation
// stay, any other word becomes a code span.
func prose(s string) string {
	words := strings.Fields(Escape(s))
	for i, w := range words {
		if !harmless(w) {
			words[i] = codeWord(w)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, " ")
}

// harmless reports whether a word means itself in CommonMark and its dialects
// wherever in a line it stands.
func harmless(w string) bool {
	core := strings.TrimRight(strings.TrimLeft(w, "("), ".,:;?)")
	if core == "" {
		return true
	}
	if strings.HasPrefix(strings.ToLower(core), "www.") {
		return false
	}
	for i, r := range core {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("./,;()?", r):
		case r == '-' && i > 0: // one that begins a word may begin a list
		case r == '\'' || r == '"' || r == '%':
		case r > 0x7f:
		default:
			return false
		}
	}
	return true
}

// codeWord puts a word into a code span, without the punctuation around it.
func codeWord(w string) string {
	core := strings.TrimLeft(w, "(")
	lead := w[:len(w)-len(core)]
	trimmed := strings.TrimRight(core, ".,:;?)")
	if trimmed == "" {
		return span(w)
	}
	return lead + span(trimmed) + core[len(trimmed):]
}

// span makes a code span (CommonMark 0.31, section 6.1): its fence is longer
// than any run of backticks within.
func span(s string) string {
	s = Escape(s)
	if s == "" {
		s = " "
	}
	fence := strings.Repeat("`", ticks(s)+1)
	if s[0] == '`' || s[len(s)-1] == '`' {
		s = " " + s + " "
	}
	return fence + s + fence
}

// ticks is the longest run of backticks.
func ticks(s string) int {
	longest, run := 0, 0
	for i := 0; i < len(s); i++ {
		if s[i] != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}
