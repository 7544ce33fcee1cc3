package render_test

import (
	"bytes"
	"maps"
	"math"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/agent/redact"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

// pages are the golden reports as pages, with everything that a page can hold.
func pages(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, set := range sets {
		doc, err := render.HTML(set(), everything())
		if err != nil {
			t.Fatal(err)
		}
		all[name] = doc
	}
	return all
}

func everything() render.HTMLOptions {
	pid := 811
	return render.HTMLOptions{
		Listeners: &listeners.List{At: at, Listeners: []listeners.Listener{
			{Network: "tcp", Address: "0.0.0.0", Port: 80, PID: &pid, Process: "nginx", User: "www-data", Unit: "nginx.service", Reach: "any"},
			{Network: "udp", Address: "::1", Port: 53, Reach: "host"}}},
		Replaced: &redact.Summary{Level: "all", Replaced: []redact.Replaced{{Kind: "host names", Count: 3, Examples: []string{"host-a", "host-b"}}}, Kept: []redact.Kept{{What: "random numbers", Count: 2}}},
	}
}

func parse(t interface{ Fatalf(string, ...any) }, doc []byte) *html.Node {
	root, err := html.Parse(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return root
}

// elements calls f for every element in document order.
func elements(n *html.Node, f func(*html.Node)) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode {
			f(d)
		}
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// shape is the set of elements with their attributes, and of the values of
// those attributes that mean something to a browser.
func shape(root *html.Node) map[string]bool {
	set := map[string]bool{}
	elements(root, func(n *html.Node) {
		set[n.Data] = true
		for _, a := range n.Attr {
			set[n.Data+" "+a.Key] = true
			switch a.Key {
			case "d", "transform", "height", "width", "viewbox", "viewBox", "id", "aria-describedby", "aria-labelledby", "x", "y", "r", "href":
				a.Val = digits.ReplaceAllString(a.Val, "0")
			case "content":
				continue
			}
			set[n.Data+" "+a.Key+"="+a.Val] = true
		}
	})
	return set
}

var digits = regexp.MustCompile(`[0-9.]+`)

// Whatever others name their things, the page is made of the same elements: the
// ones that it has for harmless reports of every kind.
func TestPageHoldsNoMarkupOfOthers(t *testing.T) {
	harmless := map[string]bool{}
	for _, doc := range pages(t) {
		maps.Copy(harmless, shape(parse(t, doc)))
	}
	// What a report has more of, or none, decides which of them are there.
	var parts []string
	for s := range harmless {
		parts = append(parts, s)
	}
	slices.Sort(parts)
	rapid.Check(t, func(t *rapid.T) {
		o := everything()
		text := hostile()
		for i := range o.Listeners.Listeners {
			l := &o.Listeners.Listeners[i]
			l.Address, l.Process, l.User, l.Unit = text.Draw(t, "address"), text.Draw(t, "process"), text.Draw(t, "user"), text.Draw(t, "unit")
		}
		fill(reflect.ValueOf(o.Replaced).Elem(), func() string { return text.Draw(t, "s") })
		doc, err := render.HTML(drawReports(t), o)
		if err != nil {
			t.Fatalf("%v", err)
		}
		printable(t, "html", doc)
		printable(t, "what was replaced", render.Redaction(*o.Replaced))
		root := parse(t, doc)
		for s := range shape(root) {
			if !harmless[s] && !tolerated[s] {
				t.Fatalf("%s comes from data, in\n%s", s, doc)
			}
		}
		elements(root, func(n *html.Node) {
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
					t.Fatalf("%s %s=%q in\n%s", n.Data, a.Key, a.Val, doc)
				}
			}
		})
		if !bytes.Contains(doc, []byte(`content="default-src &#39;none&#39;; style-src &#39;sha256-`)) {
			t.Fatalf("no policy in\n%s", doc)
		}
	})
}

// tolerated are parts that only rarer reports have: signs of other results.
var tolerated = map[string]bool{
	"path class=turn": true, "path d=M0 -0 0 0 0 0-0 0Z": true, "circle class=ask": true, "text class=q": true, "br": true, "div class=trace mono": true, "div class": true, "div": true,
	"td class=word ": true, "td class=word warn": true, "td class=word bad": true, "td class=word good": true, "td class=word dim": true, "strong class=": true,
}

func TestPagesAreSound(t *testing.T) {
	for name, doc := range pages(t) {
		t.Run(name, func(t *testing.T) {
			root := parse(t, doc)
			ids := map[string]bool{}
			level := 0
			count := map[string]int{}
			elements(root, func(n *html.Node) {
				count[n.Data]++
				if id := attribute(n, "id"); id != "" {
					if ids[id] {
						t.Errorf("the id %s is there twice", id)
					}
					ids[id] = true
				}
				switch n.DataAtom {
				case atom.H1, atom.H2, atom.H3, atom.H4:
					now := int(n.Data[1] - '0')
					if now > level+1 {
						t.Errorf("<%s>%s</%s> comes after level %d", n.Data, words(n), n.Data, level)
					}
					level = now
					if words(n) == "" {
						t.Errorf("an empty %s", n.Data)
					}
				case atom.Html:
					if attribute(n, "lang") != "en" {
						t.Error("html has no lang")
					}
				case atom.Th:
					if s := attribute(n, "scope"); s != "row" && s != "col" {
						t.Errorf("th %q has scope %q", words(n), s)
					}
				case atom.Table:
					if len(n.Attr) == 0 && attribute(n, "class") == "" && words(n) == "" {
						t.Error("an empty table")
					}
				case atom.Script, atom.Link, atom.Img, atom.Iframe, atom.Object, atom.Embed, atom.Form, atom.Base:
					t.Errorf("there is a %s", n.Data)
				case atom.Svg:
					checkPicture(t, n)
				}
			})
			elements(root, func(n *html.Node) {
				for _, key := range []string{"aria-labelledby", "aria-describedby"} {
					for _, id := range strings.Fields(attribute(n, key)) {
						if !ids[id] {
							t.Errorf("%s %s=%s names nothing", n.Data, key, id)
						}
					}
				}
				if to, ok := strings.CutPrefix(attribute(n, "href"), "#"); ok && !ids[to] {
					t.Errorf("a link to %s, which isn't there", to)
				}
			})
			for _, one := range []string{"title", "h1", "main", "header", "footer", "style"} {
				if got := count[one]; got != 1 && one != "title" || got == 0 {
					t.Errorf("%d of %s", got, one)
				}
			}
		})
	}
}

// checkPicture wants a name and a description, or a picture that is hidden from
// who can't see it.
func checkPicture(t *testing.T, svg *html.Node) {
	t.Helper()
	if attribute(svg, "aria-hidden") == "true" {
		return
	}
	has := map[string]bool{}
	elements(svg, func(n *html.Node) {
		if words(n) != "" {
			has[n.Data] = true
		}
	})
	if attribute(svg, "role") != "img" || !has["title"] || !has["desc"] {
		t.Errorf("a picture without role, title or desc: %v", has)
	}
}

// The blocker is told by its shape and in words, and what comes after it is
// dotted.
func TestPictureShowsTheBlocker(t *testing.T) {
	page := func(name string) string { return string(pages(t)[name]) }
	for name, want := range map[string][]string{
		"no-listener":  {`class="sign"`, "socket stops it", `class="line rest"`, "nobody listens", "M24 22V"},
		"in-use":       {`class="sign"`, "a program", "0.0.0.0:8080/tcp"},
		"two-blockers": {`class="sign"`, "Other blockers on the way"},
	} {
		for _, w := range want {
			if !strings.Contains(page(name), w) {
				t.Errorf("%s: no %q", name, w)
			}
		}
	}
	// Two blockers at one station are two signs.
	both := twoBlockers()
	both.Flows[0].Checks[3].Detail = both.RootCause.Title
	drawn, err := render.HTML(reports{both}, render.HTMLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(drawn), `class="sign"`); n != 2 || !strings.Contains(string(drawn), "then no-listener") {
		t.Errorf("%d signs for two blockers", n)
	}
	r := healthy()
	r.Flows[0].Checks = r.Flows[0].Checks[:2]
	doc, err := render.HTML(reports{r}, render.HTMLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{`class="sign"`, `class="line rest"`, "stops it"} {
		if strings.Contains(string(doc), never) {
			t.Errorf("a healthy way has %q", never)
		}
	}
	if !strings.Contains(string(doc), "<h3>Answers</h3>") {
		t.Error("a healthy target says why instead of who answers")
	}
	if !strings.Contains(string(doc), "postgres (pid 911, postgresql@15-main.service)") {
		t.Error("a healthy way doesn't end at its listener")
	}
}

// Contrast of every ink on every ground is at least 4.5, in all three palettes:
// https://www.w3.org/TR/WCAG22/#contrast-minimum.
func TestContrast(t *testing.T) {
	style := string(pages(t)["healthy"])
	blocks := regexp.MustCompile(`:root \{[^}]*\}`).FindAllString(style, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d palettes, want light, dark and paper", len(blocks))
	}
	for _, block := range blocks {
		colour := map[string][3]float64{}
		for _, m := range regexp.MustCompile(`--(\w+): #([0-9a-f]{6})`).FindAllStringSubmatch(block, -1) {
			n, _ := strconv.ParseUint(m[2], 16, 32)
			colour[m[1]] = [3]float64{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}
		}
		for _, ground := range []string{"paper", "card", "tint"} {
			for _, ink := range []string{"ink", "dim", "bad", "good", "warn"} {
				if c := contrast(colour[ink], colour[ground]); c < 4.5 {
					t.Errorf("%s on %s: %.2f in %s", ink, ground, c, block)
				}
			}
		}
	}
}

func contrast(a, b [3]float64) float64 {
	luminance := func(c [3]float64) float64 {
		for i, v := range c {
			if v /= 255; v <= 0.04045 {
				c[i] = v / 12.92
			} else {
				c[i] = math.Pow((v+0.055)/1.055, 2.4)
			}
		}
		return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// A validator finds nothing: HTML Tidy, which Debian has.
func TestPagesAreValid(t *testing.T) {
	tidy, err := exec.LookPath("tidy")
	if err != nil {
		t.Skip("no tidy here")
	}
	for name, doc := range pages(t) {
		cmd := exec.Command(tidy, "-q", "-e", "-utf8")
		cmd.Stdin = bytes.NewReader(doc)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
