package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/portwhy/portwhy/agent/fix"
	"github.com/portwhy/portwhy/diagnose"
)

// Fixes writes the fixes of a report: why, and for each the commands, what it
// newly lets through, how it was tried, and the way back.
func Fixes(r *diagnose.Report, o TextOptions) []byte {
	t := newText(o)
	t.head(r, false)
	t.out.WriteByte('\n')
	if r.RootCause != nil {
		t.say("Why", r.RootCause.Title)
	}
	if len(r.Fixes) == 0 {
		t.say("Fix", "none is known for this")
	}
	for _, f := range r.Fixes {
		word := "Fix " + Cut(f.ID, 10)
		for _, argv := range f.Commands {
			t.raw(word, t.color.bold(sudo(r, f)+Command(argv)))
			word = ""
		}
		t.say(word, fixNote(f))
		word = "Undo"
		for _, argv := range f.Undo {
			t.raw(word, sudo(r, f)+Command(argv))
			word = ""
		}
	}
	t.write(t.lines)
	return []byte(t.out.String())
}

// FixLog writes the journal, one fix a paragraph.
func FixLog(list []*fix.Entry) []byte {
	var b strings.Builder
	if len(list) == 0 {
		return []byte("Nothing was done.\n")
	}
	for i, e := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s  %s  %s, %s: %s\n", Escape(e.ID), Escape(string(e.State)), Escape(e.Target), Escape(e.Cause), Escape(e.Title))
		fmt.Fprintf(&b, "  by %s at %s; opens %s\n", Escape(e.By), e.At.Format(time.DateTime), Escape(e.Opens))
		for _, argv := range e.Commands {
			fmt.Fprintf(&b, "  did   %s\n", Command(argv))
		}
		for _, argv := range e.Undo {
			fmt.Fprintf(&b, "  undo  %s\n", Command(argv))
		}
		for _, l := range e.Log {
			fmt.Fprintf(&b, "  %s  %s\n", l.At.Format(time.TimeOnly), Cut(l.What, maxRule))
		}
	}
	return []byte(b.String())
}
