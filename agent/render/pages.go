package render

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose/cause"
)

// The catalogue's own words are Markdown and printable as they are; a test of
// package cause keeps them so.

// Codes lists the catalogue, group by group.
func Codes(entries []cause.Entry, o TextOptions) []byte {
	c := colors{o.Color}
	longest := 0
	for _, e := range entries {
		longest = max(longest, len(e.Code))
	}
	var b strings.Builder
	group := ""
	for _, e := range entries {
		if e.Group != group {
			if group != "" {
				b.WriteByte('\n')
			}
			group = e.Group
			b.WriteString(c.bold(group) + "\n")
		}
		kind := ""
		if e.Kind != cause.Blocks {
			kind = " (" + string(e.Kind) + ")"
		}
		fmt.Fprintf(&b, "  %s  %s%s\n", pad(e.Code, longest), e.Summary, kind)
	}
	return []byte(b.String())
}

// Page writes one entry for a terminal.
func Page(e cause.Entry, o TextOptions) []byte {
	c := colors{o.Color}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s: %s)\n\n%s.\n", c.bold(e.Code), e.Kind, e.Group, e.Summary)
	for _, part := range []struct{ word, text string }{{"What it means", e.Means}, {"How it shows", e.Shows}, {"How to mend it", e.Mend}} {
		if part.text == "" {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", c.bold(part.word))
		for line := range strings.Lines(part.text) {
			line = strings.TrimRight(line, "\n")
			if line != "" {
				line = margin + line
			}
			b.WriteString(line + "\n")
		}
	}
	if len(e.See) > 0 {
		fmt.Fprintf(&b, "\nSee also %s\n", strings.Join(e.See, ", "))
	}
	return []byte(b.String())
}

// PagesMarkdown writes entries as a document.
func PagesMarkdown(entries []cause.Entry) []byte {
	var b strings.Builder
	for i, e := range entries {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "## `%s`\n\n%s. (%s)\n", e.Code, e.Summary, e.Kind)
		for _, part := range []struct{ word, text string }{{"What it means", e.Means}, {"How it shows", e.Shows}, {"How to mend it", e.Mend}} {
			if part.text != "" {
				fmt.Fprintf(&b, "\n### %s\n\n%s\n", part.word, part.text)
			}
		}
		if len(e.See) > 0 {
			fmt.Fprintf(&b, "\nSee also `%s`.\n", strings.Join(e.See, "`, `"))
		}
	}
	return []byte(b.String())
}
