package render_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/agent/redact"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

// nasty are strings that have fooled programs which print what others name.
var nasty = []string{
	"\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;http://evil\x1b\\x", "a\rb\bc", "line\nline", "tab\there", "\x00", "\x7f", "\u0085", "\u009b31m", "\x80\xff\xfe", "\xe2\x80",
	"\u202egnp.exe", "\u2066x\u2069", "zero\u200bwidth\u200d", "\ufeffbom", "\u2028\u2029", "\u00a0nbsp", "soft\u00adhyphen", "\U000e0041tag", "\U0010ffff",
	"[a](http://evil)", "![i](http://evil/x.png)", "<img src=x onerror=alert(1)>", "<!-- x", "https://evil.example", "www.evil.example", "mail@evil.example",
	"`code`", "```", "````\n", "# head", "- item", "1. item", "> quote", "| a | b |\n|---|---|\n| c | d |", "***", "---", "===", "a\\", "&lt;", "\\[x](y)", "[x]: http://evil", "~~~",
	"@everyone", "#1", ":smile:", "$(reboot)", "'; reboot; '", "\"q\"", "'latency'=9s", "x | 'y'=1;2", "=cmd|' /c calc'!A0", "{{7*7}}", "%s%n", "\u0301\u0301combining", "中文字符", "é–ü ✓",
	strings.Repeat("A", 4096), strings.Repeat("\x1b[2J", 1500), strings.Repeat("`", 70), "", " ", "  lead and trail  ",
}

func hostile() *rapid.Generator[string] {
	piece := rapid.OneOf(rapid.SampledFrom(nasty), rapid.String(), rapid.StringMatching(`[a-z]{1,8}`),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 12), func(b []byte) string { return string(b) }))
	return rapid.Map(rapid.SliceOfN(piece, 1, 3), func(p []string) string { return strings.Join(p, " ") })
}

// fill sets every string within v, and makes lists and pointers where there
// are none, so that no field of a report stays untested.
func fill(v reflect.Value, next func() string) { fillWithin(v, next, 0) }

// mostPointers is how many pointers lead to a field at most: a trace may hold another.
const mostPointers = 5

func fillWithin(v reflect.Value, next func() string, pointers int) {
	switch v.Kind() {
	case reflect.Pointer:
		if pointers == mostPointers {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fillWithin(v.Elem(), next, pointers+1)
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			fillWithin(v.Index(i), next, pointers)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillWithin(v.Field(i), next, pointers)
			}
		}
	case reflect.String:
		v.SetString(next())
	}
}

// drawReports makes reports of every status with hostile strings in all fields.
func drawReports(t *rapid.T) []*diagnose.Report {
	makers := []func() *diagnose.Report{noListener, inUse, twoBlockers, healthy, warned, differs, predicted}
	var list []*diagnose.Report
	for range rapid.IntRange(1, 3).Draw(t, "reports") {
		r := rapid.SampledFrom(makers).Draw(t, "kind")()
		words := hostile()
		next := func() string { return words.Draw(t, "s") }
		if rapid.Bool().Draw(t, "everything") {
			fill(reflect.ValueOf(r).Elem(), next)
			for i := range r.Findings {
				r.Findings[i].Severity = diagnose.SeverityWarning
			}
			r.Causes = append(r.Causes, r.Causes[0])
		} else {
			r.Target.Host, r.Target.Input, r.Target.Path = next(), next(), next()
			for i := range r.Causes {
				fill(reflect.ValueOf(&r.Causes[i]).Elem(), next)
			}
		}
		list = append(list, r)
	}
	return list
}

// printable fails for any character that a terminal could act on.
func printable(t interface{ Fatalf(string, ...any) }, form string, doc []byte) {
	if !utf8.Valid(doc) {
		t.Fatalf("%s: not UTF-8: %q", form, doc)
	}
	for _, r := range string(doc) {
		if r == '\n' {
			continue
		}
		if r < 0x20 || r >= 0x7f && r <= 0x9f || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) {
			t.Fatalf("%s: prints %U:\n%q", form, r, doc)
		}
	}
}

func TestNothingHostileGetsThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reports := drawReports(t)
		width := rapid.IntRange(0, 120).Draw(t, "width")
		plain := render.Text(reports, render.TextOptions{Width: width, Trace: true})
		printable(t, "text", plain)
		colored := render.Text(reports, render.TextOptions{Width: width, Trace: true, Color: true})
		if got := sgr.ReplaceAll(colored, nil); !bytes.Equal(got, plain) {
			t.Fatalf("colour changes more than colours:\n%q\n%q", got, plain)
		}
		printable(t, "markdown", render.Markdown(reports))
		checkNagios(t, render.Nagios(reports))
		for _, r := range reports {
			checkDocuments(t, r)
		}
	})
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]+m")

// checkDocuments reads JSON and YAML back.
func checkDocuments(t *rapid.T, v any) {
	doc, err := render.JSON(v)
	if err != nil {
		t.Fatalf("JSON: %v", err)
	}
	printable(t, "JSON", doc)
	plain, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("JSON: %v", err)
	}
	var want, got, fromYAML any
	if err := json.Unmarshal(plain, &want); err != nil {
		t.Fatalf("JSON: %v", err)
	}
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatalf("JSON: %v\n%s", err, doc)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("JSON means another thing:\n%#v\n%#v", got, want)
	}
	asYAML, err := render.YAML(v)
	if err != nil {
		t.Fatalf("YAML: %v", err)
	}
	printable(t, "YAML", asYAML)
	if err := yaml.Unmarshal(asYAML, &fromYAML); err != nil {
		t.Fatalf("YAML: %v\n%s", err, asYAML)
	}
	// By way of JSON, so that numbers have one type.
	again, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatalf("YAML: %v", err)
	}
	if err := json.Unmarshal(again, &got); err != nil {
		t.Fatalf("YAML: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("YAML means another thing:\n%s\n%#v\n%#v", asYAML, got, want)
	}
}

var (
	nagiosLine = regexp.MustCompile(`^PORTWHY (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]*( \| (.*))?$`)
	nagiosPerf = regexp.MustCompile(`^'(?:[^'=|]|'')+'=[0-9.]+s;;;0(?: '(?:[^'=|]|'')+'=[0-9.]+s;;;0)*$`)
)

func checkNagios(t *rapid.T, doc []byte) {
	printable(t, "nagios", doc)
	first, rest, _ := strings.Cut(string(doc), "\n")
	m := nagiosLine.FindStringSubmatch(first)
	if m == nil || m[2] != "" && !nagiosPerf.MatchString(m[3]) {
		t.Fatalf("nagios: %q", first)
	}
	if strings.Contains(rest, "|") {
		t.Fatalf("nagios: performance data in long text: %q", rest)
	}
}

// TestMarkdownHoldsNoMarkupOfOthers parses with GitHub's extensions: besides
// what the renderer itself writes, data may make text and code, nothing else.
func TestMarkdownHoldsNoMarkupOfOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reports := drawReports(t)
		plainMarkdown(t, render.Markdown(reports), len(reports))
		words := hostile()
		next := func() string { return words.Draw(t, "s") }
		pid := 7
		l := listeners.List{At: at, Listeners: []listeners.Listener{{PID: &pid}, {}}}
		fill(reflect.ValueOf(&l).Elem(), next)
		plainMarkdown(t, render.Issue(nil, &l), 1)
		var s redact.Summary
		fill(reflect.ValueOf(&s).Elem(), next)
		plainMarkdown(t, render.Redaction(s), 1)
	})
}

// plainMarkdown wants headings, lists, code and strong words alone.
func plainMarkdown(t *rapid.T, doc []byte, want int) {
	parser := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote, extension.DefinitionList)).Parser()
	printable(t, "markdown", doc)
	headings := 0
	err := ast.Walk(parser.Parse(text.NewReader(doc)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			headings++
		case *ast.Link, *ast.Image, *ast.AutoLink, *ast.RawHTML, *ast.HTMLBlock, *ast.Blockquote, *ast.ThematicBreak, *ast.CodeBlock,
			*east.Table, *east.Strikethrough, *east.TaskCheckBox, *east.Footnote, *east.DefinitionList:
			t.Fatalf("%s in\n%s", n.Kind(), doc)
		case *ast.Emphasis:
			if n.Level != 2 {
				t.Fatalf("emphasis in\n%s", doc)
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if headings != want {
		t.Fatalf("%d headings for %d reports in\n%s", headings, want, doc)
	}
}

func TestListenersPrintNothingHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pid := 7
		l := listeners.List{Schema: listeners.Schema, At: at, Listeners: []listeners.Listener{{PID: &pid, Port: 1}, {Port: 2}}}
		words := hostile()
		fill(reflect.ValueOf(&l).Elem(), func() string { return words.Draw(t, "s") })
		doc := render.Listeners(&l, render.TextOptions{Width: rapid.IntRange(0, 200).Draw(t, "width")})
		printable(t, "table", doc)
		checkDocuments(t, l)
	})
}

// TestCommandMeansTheSameToAShell runs printf(1) only.
func TestCommandMeansTheSameToAShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	for _, arg := range append(nasty, "-n", "a b", "it's", `back\slash`, "~root", "*", "a=b", "{a,b}", "$HOME", "!x", "x'\n'y", "\x01234") {
		if strings.Contains(arg, "\x00") {
			continue // no argument can hold one
		}
		line := render.Command([]string{"printf", "%s", arg})
		printable(t, "command", []byte(line))
		out, err := exec.Command(bash, "-c", line).Output()
		if err != nil || string(out) != arg {
			t.Errorf("%s prints %q (%v), want %q", line, out, err, arg)
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"nginx: worker":        "nginx: worker",
		"\x1b[31m":             `\x1b[31m`,
		"a\nb\tc\rd":           `a\nb\tc\rd`,
		"\u202eexe":            `\u202eexe`,
		"\u0085":               `\u0085`,
		"\xff":                 `\xff`,
		"\U000e0041":           `\U000e0041`,
		"é中":                   "é中",
		strings.Repeat("x", 9): "xxxxxxx…",
		"xxxxxxxx":             "xxxxxxxx",
		"xxxx\x1bxxxx":         `xxxx…`,
	} {
		if got := cutFor(in)(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// cutFor bounds the strings of x to 8 characters, to test the bound.
func cutFor(in string) func(string) string {
	if strings.HasPrefix(in, "xxx") {
		return func(s string) string { return render.Cut(s, 8) }
	}
	return render.Escape
}

func FuzzEscape(f *testing.F) {
	for _, s := range nasty {
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(1, min(limit, 2000))
		got := render.Cut(s, limit)
		printable(t, "text", []byte(got))
		if strings.Contains(got, "\n") {
			t.Fatalf("%q has a line break", got)
		}
		if n := utf8.RuneCountInString(got); n > limit {
			t.Fatalf("%d characters, want at most %d: %q", n, limit, got)
		}
	})
}
