//go:build unix

package render_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// chromium is a browser without a window that is spoken to through two pipes,
// in the DevTools protocol: JSON, each message with a NUL behind it. It can
// reach nobody: names don't resolve, and its proxy is a port where nobody is.
// https://chromedevtools.github.io/devtools-protocol/
type chromium struct {
	t       *testing.T
	in      io.Writer
	out     *bufio.Reader
	session string
	last    int
	// requests are the addresses that the page of the last open asked for.
	requests []string
	// said is what the console got: breaches of the page's policy among it.
	said []string
}

type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// startChromium starts the browser, or skips the test where there is none.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
		"--proxy-server=127.0.0.1:9", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8"}
	cmd.ExtraFiles = []*os.File{inRead, outWrite} // descriptors 3 and 4
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inRead.Close()
	outWrite.Close()
	c := &chromium{t: t, in: inWrite, out: bufio.NewReader(outRead)}
	if err := outRead.SetReadDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.session = ""
		_ = c.send("Browser.close", nil)
		inWrite.Close()
		_, _ = io.Copy(io.Discard, outRead)
		outRead.Close()
		if err := cmd.Wait(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			t.Logf("chromium: %v: %s", err, &stderr)
		}
	})
	var target struct {
		TargetID string `json:"targetId"`
	}
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Log"} {
		c.call(domain+".enable", nil, nil)
	}
	return c
}

func (c *chromium) send(method string, params any) error {
	c.last++
	doc, err := json.Marshal(message{ID: c.last, Method: method, Params: params, SessionID: c.session})
	if err != nil {
		return err
	}
	_, err = c.in.Write(append(doc, 0))
	return err
}

// call sends a command and waits for its answer.
func (c *chromium) call(method string, params, result any) {
	c.t.Helper()
	if err := c.send(method, params); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	want := c.last
	answer := c.until(method, func(m message) bool { return m.ID == want })
	if answer.Error != nil {
		c.t.Fatalf("%s: %s", method, answer.Error)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			c.t.Fatalf("%s: %v", method, err)
		}
	}
}

// until reads messages up to one that is waited for, and keeps what the page asked for.
func (c *chromium) until(what string, done func(message) bool) message {
	c.t.Helper()
	for {
		doc, err := c.out.ReadBytes(0)
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", what, err)
		}
		params := json.RawMessage{}
		m := message{Params: &params}
		if err := json.Unmarshal(doc[:len(doc)-1], &m); err != nil {
			c.t.Fatalf("%v: %s", err, doc)
		}
		switch m.Method {
		case "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			if err := json.Unmarshal(params, &p); err != nil {
				c.t.Fatal(err)
			}
			c.requests = append(c.requests, p.Request.URL)
		case "Log.entryAdded":
			c.said = append(c.said, string(params))
		}
		if done(m) {
			return m
		}
	}
}

// open shows a file at a width in CSS pixels, as a phone or a desk would.
func (c *chromium) open(url string, width int) {
	c.t.Helper()
	c.requests = nil
	c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	if err := c.send("Page.navigate", map[string]any{"url": url}); err != nil {
		c.t.Fatal(err)
	}
	c.until("the page", func(m message) bool { return m.Method == "Page.loadEventFired" })
}

// evaluate asks for the value of an expression; the page's policy doesn't bind the debugger.
func (c *chromium) evaluate(expression string, result any) {
	c.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	c.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		c.t.Fatalf("%.80s: %s", expression, r.ExceptionDetails)
	}
	if err := json.Unmarshal(r.Result.Value, result); err != nil {
		c.t.Fatalf("%.80s: %v: %s", expression, err, r.Result.Value)
	}
}

// others are the requests beside that for the page itself.
func (c *chromium) others(page string) []string {
	return slices.DeleteFunc(slices.Clone(c.requests), func(url string) bool { return url == page || url == "about:blank" })
}
