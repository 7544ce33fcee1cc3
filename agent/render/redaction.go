package render

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/agent/redact"
)

// redactions say what each level of redaction leaves.
var redactions = map[string]string{
	"all": "Addresses and the names of hosts, users and containers are pseudonyms, and secrets are gone. The same name has the same pseudonym " +
		"everywhere in this report, and another one in the next; prefixes are kept, and loopback and private ranges stay what they are.",
	"secrets": "Passwords, keys and tokens are gone. Addresses and the names of hosts, users and containers are the real ones.",
	"none":    "Nothing was replaced: addresses, names and command lines are the real ones, and whatever secrets stand in them.",
}

// Redaction writes what redaction did as Markdown.
func Redaction(s redact.Summary) []byte {
	var m markdown
	fmt.Fprintf(&m.b, "### What was replaced\n\n- Redaction: %s. %s\n", prose(s.Level), redactions[s.Level])
	for _, r := range s.Replaced {
		line := fmt.Sprintf("%d %s", r.Count, prose(r.Kind))
		if len(r.Examples) > 0 {
			shown := make([]string, len(r.Examples))
			for i, e := range r.Examples {
				shown[i] = span(Cut(e, maxSubject))
			}
			line += ", now as in " + strings.Join(shown, ", ")
		}
		m.item("%s", line)
	}
	for _, k := range s.Kept {
		m.item("**Kept** %d %s", k.Count, prose(k.What))
	}
	if len(s.Replaced) == 0 && s.Level != redact.None.String() {
		m.item("Nothing was found that had to be replaced.")
	}
	return []byte(m.b.String())
}

type replacedView struct {
	Level, About string
	Tone         string
	Rows         []replacedRow
	Kept         []keptRow
}

type replacedRow struct {
	Kind     string
	Count    int
	Examples []string
}

type keptRow struct {
	What  string
	Count int
}

func newReplacedView(s redact.Summary) *replacedView {
	v := &replacedView{Level: Escape(s.Level), About: redactions[s.Level]}
	if s.Level == redact.None.String() {
		v.Tone = "bad"
	}
	for _, r := range s.Replaced {
		row := replacedRow{Kind: Escape(r.Kind), Count: r.Count}
		for _, e := range r.Examples {
			row.Examples = append(row.Examples, Cut(e, maxSubject))
		}
		v.Rows = append(v.Rows, row)
	}
	for _, k := range s.Kept {
		v.Kept = append(v.Kept, keptRow{Escape(k.What), k.Count})
	}
	return v
}
