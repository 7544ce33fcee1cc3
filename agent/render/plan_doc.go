package render

import (
	"bytes"
	_ "embed" // the page's template is a file
	"fmt"
	"html/template"
	"strings"

	"github.com/portwhy/portwhy/diagnose/plan"
)

// PlanMarkdown writes a plan as a document: for each environment who listens
// where, and who connects to whom.
func PlanMarkdown(p *plan.Plan, title string) []byte {
	var m markdown
	fmt.Fprintf(&m.b, "# Ports: %s\n", prose(title))
	for _, s := range planSections(p) {
		if s.Title != "" {
			fmt.Fprintf(&m.b, "\n## %s\n", prose(s.Title))
		}
		for _, t := range s.Tables {
			fmt.Fprintf(&m.b, "\n%s:\n\n", t.Caption)
			m.row(t.Head)
			m.b.WriteString(strings.Repeat("| --- ", len(t.Head)) + "|\n")
			for _, row := range t.Rows {
				m.row(row)
			}
		}
	}
	return []byte(m.b.String())
}

//go:embed page/plan.tmpl
var planPage string

// PlanHTML writes the same as one page, as [HTML] does reports.
func PlanHTML(p *plan.Plan, title string) ([]byte, error) {
	page, err := template.New("plan").Parse(planPage)
	if err != nil {
		return nil, fmt.Errorf("reading the page's template: %w", err)
	}
	sections := planSections(p)
	for i := range sections {
		sections[i].Title = Escape(sections[i].Title)
		for _, t := range sections[i].Tables {
			for _, row := range t.Rows {
				for k := range row {
					row[k] = Escape(row[k])
				}
			}
		}
	}
	var b bytes.Buffer
	if err := page.Execute(&b, struct {
		Title, Policy string
		Style         template.CSS
		Sections      []planSection
	}{"Ports: " + Escape(title), policy(pageStyle), template.CSS(pageStyle), sections}); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return b.Bytes(), nil
}

// row writes cells; a bar within one would end it, also in a code span.
func (m *markdown) row(cells []string) {
	for _, c := range cells {
		m.b.WriteString("| " + strings.ReplaceAll(prose(c), "|", `\|`) + " ")
	}
	m.b.WriteString("|\n")
}

// planSection is one environment of a plan's document.
type planSection struct {
	Title  string
	Tables []planTable
}

type planTable struct {
	Caption string
	Head    []string
	Rows    [][]string
}

func planSections(p *plan.Plan) []planSection {
	var list []planSection
	for _, env := range p.Environments {
		s := planSection{Title: env.Name}
		if len(p.Environments) == 1 && env.Name == plan.DefaultEnvironment {
			s.Title = ""
		}
		s.Tables = append(s.Tables, portsTable(p, env))
		if t := connectionsTable(p, env.Name); len(t.Rows) > 0 {
			s.Tables = append(s.Tables, t)
		}
		list = append(list, s)
	}
	return list
}

func portsTable(p *plan.Plan, env plan.Environment) planTable {
	t := planTable{Caption: "Who listens where", Head: []string{"Service", "Port", "Listens on", "Reached by", "Owner", "About"}}
	if len(env.Hosts) > 0 {
		t.Head = append(t.Head, "Host")
	}
	for _, s := range p.Services {
		for _, port := range s.Ports {
			numbers, ok := port.Numbers[env.Name]
			if !ok {
				continue
			}
			c := plan.Claim{Network: port.Network, Address: port.Bind[env.Name], Ports: numbers}
			row := []string{s.Name, port.Name, c.String(), string(port.Exposure), s.Owner, s.About}
			if len(env.Hosts) > 0 {
				row = append(row, hostOf(env, s.On[env.Name]))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

func hostOf(env plan.Environment, name string) string {
	for _, h := range env.Hosts {
		if h.Name != name {
			continue
		}
		for _, a := range h.Addresses {
			name += " " + a.String()
		}
	}
	return name
}

func connectionsTable(p *plan.Plan, env string) planTable {
	t := planTable{Caption: "Who connects to whom", Head: []string{"From", "To", "Expected"}}
	for _, c := range p.Connections {
		if !c.Holds(env) {
			continue
		}
		expect := "connects"
		if c.Denied {
			expect = "is kept out"
		}
		t.Rows = append(t.Rows, []string{c.Who(), c.To + "." + c.Port, expect})
	}
	return t
}
