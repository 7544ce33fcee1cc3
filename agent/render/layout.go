package render

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
)

// Text has two columns: a word of at most six letters, and what it says.
const (
	margin    = "  "
	wordWidth = 7
)

func (t *text) room() int { return t.o.Width - len(margin) - wordWidth }

// say writes escaped and wrapped text under a word; the word may be empty.
func (t *text) say(word, said string) {
	for _, line := range wrap(Escape(said), t.room()) {
		t.raw(word, line)
		word = ""
	}
}

// raw writes one line as it is.
func (t *text) raw(word, line string) {
	// A new word after a blank line where the page changes its subject.
	if word != "" && len(t.lines) > 0 && word == "Way" {
		t.lines = append(t.lines, "")
	}
	switch {
	case strings.TrimSpace(line) != "":
		line = margin + t.color.dim(pad(word, wordWidth)) + strings.TrimRight(line, " ")
	case word != "":
		line = margin + t.color.dim(word)
	default:
		return
	}
	t.lines = append(t.lines, line)
}

func (t *text) more(n int) { t.say("", fmt.Sprintf("… and %d more: -o json", n)) }

// way writes each flow's stations.
func (t *text) way(r *diagnose.Report) {
	for _, f := range r.Flows {
		to := f.Destination
		if f.Network != "unix" && to != "" {
			to = net.JoinHostPort(to, strconv.Itoa(int(f.Port)))
		}
		s := to + "/" + f.Network
		if to == "" {
			s = "no address"
		}
		if f.Source != "" {
			s += " from " + f.Source
		}
		if f.Interface != "" {
			s += " by " + f.Interface
		}
		s += ": predicted " + f.Predicted.Outcome.String()
		if f.Predicted.Check != "" {
			s += " (" + f.Predicted.Check + ")"
		}
		switch o := f.Observed; {
		case o == nil:
			s += ", not tried"
		case o.Errno != "":
			s += ", observed " + o.Outcome.String() + " (" + o.Errno + ")"
		default:
			s += ", observed " + o.Outcome.String()
		}
		t.say("Way", s)
		t.stations(f)
	}
}

func (t *text) stations(f diagnose.FlowReport) {
	longest := 0
	for _, c := range f.Checks {
		longest = max(longest, len(c.ID))
	}
	longest = min(longest, 24)
	for _, c := range f.Checks {
		if c.Result == diagnose.ResultSkip && !t.o.Trace {
			continue
		}
		mark := t.color.result(c.Result)
		lead := pad(Cut(c.ID, 24), longest) + "  "
		for i, line := range wrap(Escape(c.Detail), t.room()-2-len(lead)) {
			if i > 0 {
				mark, lead = " ", strings.Repeat(" ", len(lead))
			}
			t.raw("", mark+" "+lead+line)
		}
		if !t.o.Trace {
			continue
		}
		for _, line := range c.Trace {
			for _, l := range wrap(Escape(line), t.room()-4) {
				t.raw("", "    "+l)
			}
		}
	}
}

// colors paints, or doesn't.
type colors struct{ on bool }

func (c colors) sgr(code, s string) string {
	if !c.on || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (c colors) bold(s string) string { return c.sgr("1", s) }
func (c colors) dim(s string) string  { return c.sgr("2", s) }

func (c colors) status(st diagnose.Status, s string) string {
	switch st {
	case diagnose.OK:
		return c.sgr("32", s)
	case diagnose.Broken:
		return c.sgr("31;1", s)
	}
	return c.sgr("33;1", s)
}

func (c colors) result(r diagnose.Result) string {
	switch r {
	case diagnose.ResultPass:
		return c.sgr("32", "✓")
	case diagnose.ResultRewrite:
		return c.sgr("33", "→")
	case diagnose.ResultStop:
		return c.sgr("31;1", "✗")
	case diagnose.ResultSkip:
		return c.dim("-")
	}
	return c.sgr("33", "?")
}
