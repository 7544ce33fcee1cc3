package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose/cause"
)

// ExplainSchema names the JSON form of [Pages].
const ExplainSchema = "portwhy.explain/v1"

// Pages are pages of the catalogue.
type Pages struct {
	Schema string `json:"schema"`
	Pages  []Page `json:"pages"`
}

// Page is one code's page.
type Page struct {
	Code    string   `json:"code"`
	Group   string   `json:"group"`
	Kind    string   `json:"kind"` // cause, caveat, note
	Summary string   `json:"summary"`
	Means   string   `json:"means"`
	Shows   string   `json:"shows"`
	Mend    string   `json:"mend"`
	See     []string `json:"see"`
}

func newExplain(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain [CODE]",
		Short:   "Print the page on a cause: what it means, how it shows, how to mend it",
		Example: "  portwhy explain no-listener",
		Args:    arguments(0, 1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			if len(args) == 0 {
				for _, e := range cause.All() {
					codes = append(codes, cobra.CompletionWithDesc(e.Code, e.Summary))
				}
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return s.explain(args) },
	}
	outputs(cmd, "text", "markdown", "json", "yaml")
	return cmd
}

func (s *session) explain(args []string) error {
	entries := cause.All()
	if len(args) == 1 {
		e, ok := cause.Find(args[0])
		if !ok {
			near := ""
			if codes := cause.Near(args[0]); len(codes) > 0 {
				near = ": did you mean " + strings.Join(codes, ", ") + "?"
			}
			return usage("no code is called %q%s (portwhy explain lists all)", render.Cut(args[0], 60), near)
		}
		entries = []cause.Entry{e}
	}
	switch s.output {
	case "json", "yaml":
		doc := Pages{Schema: ExplainSchema, Pages: []Page{}}
		for _, e := range entries {
			doc.Pages = append(doc.Pages, Page{e.Code, e.Group, string(e.Kind), e.Summary, e.Means, e.Shows, e.Mend, append([]string{}, e.See...)})
		}
		return s.document(doc)
	case "markdown":
		return s.print(render.PagesMarkdown(entries))
	}
	o := render.TextOptions{Width: s.width(), Color: s.colored()}
	if len(args) == 0 {
		return s.print(render.Codes(entries, o))
	}
	return s.print(render.Page(entries[0], o))
}
