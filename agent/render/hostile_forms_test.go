package render_test

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/agent/fix"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/diagnose/preflight"
)

// filled is a document of which every field that holds a string is hostile.
func filled[T any](t *rapid.T) *T {
	v, words, next := new(T), rapid.SliceOfN(hostile(), 7, 7).Draw(t, "words"), 0
	fill(reflect.ValueOf(v).Elem(), func() string { next++; return words[next%len(words)] })
	return v
}

// What isn't a report comes out as harmless as one: a packet's way, the rules, why
// one has no effect, fixes and what was done of them, plans, and declared ports.
func TestOtherFormsPrintNothingHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := render.TextOptions{Width: rapid.IntRange(0, 120).Draw(t, "width"), Trace: true, Checks: true}
		forms := map[string]func(render.TextOptions) []byte{}
		trace, page, whys := filled[firewall.Trace](t), filled[firewall.Page](t), filled[firewall.Whys](t)
		forms["trace"] = func(o render.TextOptions) []byte { return render.Trace(trace, o) }
		forms["rules"] = func(o render.TextOptions) []byte {
			var b bytes.Buffer
			if err := render.Firewall(&b, page, o); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		forms["rules why"] = func(o render.TextOptions) []byte { return render.Why(whys, o) }
		report := filled[diagnose.Report](t)
		forms["fixes"] = func(o render.TextOptions) []byte { return render.Fixes(report, o) }
		done := []*fix.Entry{filled[fix.Entry](t), filled[fix.Entry](t)}
		forms["fix log"] = func(render.TextOptions) []byte { return render.FixLog(done) }
		checked, verified := filled[plan.Checked](t), filled[plan.Verified](t)
		forms["plan check"] = func(o render.TextOptions) []byte { return render.PlanChecked(checked, o) }
		forms["plan verify"] = func(o render.TextOptions) []byte { return render.PlanVerified(verified, o) }
		declared := filled[preflight.Report](t)
		forms["preflight"] = func(o render.TextOptions) []byte { return render.Preflight(declared, o) }
		forms["preflight, markdown"] = func(render.TextOptions) []byte { return render.PreflightMarkdown(declared) }
		forms["preflight, nagios"] = func(render.TextOptions) []byte { return render.PreflightNagios(declared) }
		for _, name := range slices.Sorted(maps.Keys(forms)) {
			form := forms[name]
			plain := form(o)
			printable(t, name, plain)
			bright := o
			bright.Color = true
			if got := sgr.ReplaceAll(form(bright), nil); !bytes.Equal(got, plain) {
				t.Fatalf("%s: colour changes more than colours:\n%q\n%q", name, got, plain)
			}
		}
		for _, doc := range []any{trace, page, declared.Ports} {
			checkDocuments(t, doc)
		}
		sarif, err := render.PreflightSARIF(declared)
		if err != nil {
			t.Fatalf("sarif: %v", err)
		}
		printable(t, "preflight, sarif", sarif)
		if first, _, _ := strings.Cut(string(render.PreflightNagios(declared)), "\n"); strings.Count(first, "|") > 1 {
			t.Fatalf("nagios: %q", first)
		}
	})
}

// hostilePlan is one whose names are hostile, and where all belongs together, so
// that nothing of it is left out.
func hostilePlan(t *rapid.T) *plan.Plan {
	p := filled[plan.Plan](t)
	for i := range p.Services {
		s := &p.Services[i]
		s.On = map[string]string{}
		for _, env := range p.Environments {
			s.On[env.Name] = env.Hosts[0].Name
			for k := range s.Ports {
				s.Ports[k].Numbers = map[string]plan.Range{env.Name: {First: 80, Last: 81}}
			}
		}
	}
	for i := range p.Connections {
		p.Connections[i].Environments = nil
	}
	return p
}

// A plan's document holds the markup that it has for a harmless plan, and no other.
func TestPlanDocumentsHoldNoMarkupOfOthers(t *testing.T) {
	parser := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()
	rapid.Check(t, func(t *rapid.T) {
		p, title := hostilePlan(t), hostile().Draw(t, "title")
		doc := render.PlanMarkdown(p, title)
		printable(t, "markdown", doc)
		err := ast.Walk(parser.Parse(text.NewReader(doc)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			switch n.(type) {
			case *ast.Document, *ast.Heading, *ast.Paragraph, *ast.TextBlock, *ast.Text, *ast.String, *ast.CodeSpan, *east.Table, *east.TableHeader, *east.TableRow, *east.TableCell:
			default:
				t.Fatalf("%s in\n%s", n.Kind(), doc)
			}
			return ast.WalkContinue, nil
		})
		if err != nil {
			t.Fatalf("%v", err)
		}
		page, err := render.PlanHTML(p, title)
		if err != nil {
			t.Fatalf("%v", err)
		}
		printable(t, "html", page)
		root, err := html.Parse(bytes.NewReader(page))
		if err != nil {
			t.Fatalf("%v", err)
		}
		found := map[string]bool{}
		elements(root, func(n *html.Node) {
			found[n.Data] = true
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" {
					t.Fatalf("%s %s=%q in\n%s", n.Data, a.Key, a.Val, page)
				}
			}
		})
		for name := range maps.Keys(found) {
			if !slices.Contains([]string{"html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "section", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "div"}, name) {
				t.Fatalf("the element %s in\n%s", name, page)
			}
		}
	})
}
