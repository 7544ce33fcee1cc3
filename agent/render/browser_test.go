//go:build unix

package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/agent/cli"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/agent/report"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

// axe is the script of https://github.com/dequelabs/axe-core, for a run by hand:
// go test ./agent/render -run TestInABrowser -axe node_modules/axe-core/axe.min.js.
var axe = flag.String("axe", "", "also ask this axe-core script about each page")

// TestInABrowser opens the pages: they ask for nothing, fit a phone, and show
// something in light, in dark and on paper.
func TestInABrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser, which -short leaves out")
	}
	c := startChromium(t)
	dir := t.TempDir()
	docs := map[string][]byte{"redacted": redacted(t)}
	for name, set := range map[string]reports{"no-listener": {noListener()}, "several": {twoBlockers(), inUse(), healthy(), differs()}, "long": {long()}} {
		doc, err := render.HTML(set, everything())
		if err != nil {
			t.Fatal(err)
		}
		docs[name] = doc
	}
	for name, doc := range docs {
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		page := "file://" + file
		for _, width := range []int{360, 1000} {
			c.open(page, width)
			// What is folded has to fit, too.
			var size struct{ Width, Height int }
			c.evaluate(`document.querySelectorAll("details").forEach(d => d.open = true),
				{width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight}`, &size)
			if asked := c.others(page); len(asked) > 0 {
				t.Errorf("%s asks for %q", name, asked)
			}
			if size.Width > width {
				t.Errorf("%s is %d pixels wide on a screen of %d", name, size.Width, width)
			}
			for _, scheme := range []string{"light", "dark"} {
				c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
				if n := colours(t, c); n < 20 {
					t.Errorf("%s, %d pixels wide, %s: a screen of %d colours shows nothing", name, width, scheme, n)
				}
				if *axe != "" {
					askAxe(t, c, fmt.Sprintf("%s, %d pixels wide, %s", name, width, scheme))
				}
			}
		}
		var pdf struct{ Data []byte }
		c.call("Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69}, &pdf)
		if len(pdf.Data) < 5000 || !bytes.HasPrefix(pdf.Data, []byte("%PDF-")) {
			t.Errorf("%s: printed %d bytes", name, len(pdf.Data))
		}
	}
	if len(c.said) > 0 {
		t.Errorf("the browser complains: %s", c.said)
	}
	// The log of requests would have shown one, and the policy stops it.
	doc, err := render.HTML(reports{healthy()}, render.HTMLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spy := filepath.Join(dir, "spy.html")
	for _, c2 := range []struct {
		policy  bool
		blocked bool
	}{{true, true}, {false, false}} {
		text := bytes.Replace(doc, []byte("<main>"), []byte(`<main><img alt="" src="http://spy.invalid/x.png">`), 1)
		if !c2.policy {
			text = bytes.Replace(text, []byte("Content-Security-Policy"), []byte("x"), 1)
		}
		if err := os.WriteFile(spy, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c.said = nil
		c.open("file://"+spy, 360)
		if blocked := len(c.said) > 0 && bytes.Contains([]byte(c.said[0]), []byte("Content Security Policy")); blocked != c2.blocked {
			t.Errorf("with policy %v: blocked %v, requests %q, log %q", c2.policy, blocked, c.requests, c.said)
		}
		if !c2.policy && len(c.others("file://"+spy)) == 0 {
			t.Error("the log of requests misses one")
		}
	}
}

// redacted is the page of a support report, as portwhy report makes it.
func redacted(t *testing.T) []byte {
	t.Helper()
	answer := func(question, args, value string) string {
		return `{"view":0,"question":"` + question + `","args":` + args + `,"answer":` + value + `}`
	}
	info, err := json.Marshal(host.Info{OS: "linux", Kernel: "6.1", Hostname: "quuxbox7.example.net", Privileged: true, At: at})
	if err != nil {
		t.Fatal(err)
	}
	query := func(network string, states ...host.State) string {
		q, err := json.Marshal(host.SocketQuery{Network: network, States: states})
		if err != nil {
			t.Fatal(err)
		}
		return string(q)
	}
	sockets, err := json.Marshal([]host.Socket{{Network: "tcp", State: host.Listen, Local: netip.MustParseAddrPort("198.51.100.7:80"), Inode: 7}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	facts, out := filepath.Join(dir, "facts"), filepath.Join(dir, "out.tar.zst")
	doc := `{"schema":"` + replay.Schema + `","tool":"portwhy test","at":"2026-11-22T09:30:00Z","answers":[` + strings.Join([]string{answer("info", "null", string(info)),
		answer("sockets", query("tcp", host.Listen), string(sockets)), answer("sockets", query("udp", host.Unconn), "[]")}, ",") + `]}`
	if err := os.WriteFile(facts, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	p := cli.New("v1")
	p.Stdout, p.Stderr = io.Discard, &errs
	if got := p.Run(context.Background(), []string{"report", "--snapshot", facts, "--file", out, "198.51.100.7:80"}); got != 0 {
		t.Fatalf("status %d: %s", got, &errs)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := report.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	page := a.File(report.HTMLName)
	if bytes.Contains(page, []byte("quuxbox7")) || bytes.Contains(page, []byte("198.51.100.7")) || !bytes.Contains(page, []byte("What was replaced")) {
		t.Errorf("not redacted: %s", page)
	}
	return page
}

// long has words that nothing breaks, in every place.
func long() *diagnose.Report {
	r := twoBlockers()
	word := "a-name-without-a-space-that-is-longer-than-any-screen-of-any-phone-and-then-some-more-0123456789"
	r.Target.Host, r.Host.Hostname = word, word
	r.RootCause.Title, r.RootCause.Culprit.Device, r.RootCause.Code = word, word, word
	for i := range r.RootCause.Evidence {
		e := &r.RootCause.Evidence[i]
		e.What, e.Value, e.Source = word, word, word
	}
	for i := range r.Flows[0].Checks {
		k := &r.Flows[0].Checks[i]
		k.ID, k.Detail, k.Trace = word, word, []string{word}
	}
	r.Fixes = noListener().Fixes
	r.Fixes[0].Title, r.Fixes[0].Opens, r.Fixes[0].Commands[0][1] = word, word, word
	r.Limits[0].What, r.Limits[0].Why, r.Limits[0].Needs = word, word, word
	r.Findings = noListener().Findings
	r.Findings[0].Title, r.Findings[0].Code = word, word
	return r
}

// colours counts those of what the screen shows, at every third pixel.
func colours(t *testing.T, c *chromium) int {
	t.Helper()
	var shot struct{ Data []byte }
	c.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	img, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[color.Color]bool{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 3 {
		for x := b.Min.X; x < b.Max.X; x += 3 {
			seen[img.At(x, y)] = true
		}
	}
	return len(seen)
}

func askAxe(t *testing.T, c *chromium, what string) {
	t.Helper()
	script, err := os.ReadFile(*axe)
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Passes     int
		Violations []struct{ ID, Help, Where string }
	}
	c.evaluate(string(script)+`;axe.run().then(r => ({passes: r.passes.length,
		violations: r.violations.map(v => ({id: v.id, help: v.help, where: v.nodes.map(n => n.html).join("\n")}))}))`, &found)
	t.Logf("%s: axe: %d rules pass", what, found.Passes)
	for _, v := range found.Violations {
		t.Errorf("%s: axe: %s: %s\n%.600s", what, v.ID, v.Help, v.Where)
	}
}
