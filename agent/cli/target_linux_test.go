package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/agent/report"
)

// What may be a secret in a URL is sent to the server that it is for, and told
// to nobody else: in no form of an answer, no log, no error and no recording.
func TestSecretsOfTargets(t *testing.T) {
	const secret = "Kiwi9Zebra"
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.RequestURI) }))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	whole := "http://joe:" + secret + "@" + address + "/p?ticket=" + secret + "#" + secret
	// A program that has the target on its command line, as sudo would.
	other := exec.Command("sh", "-c", "echo; read never", "x "+whole+" y")
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = other.Wait() })
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}

	recording := filepath.Join(t.TempDir(), "recording")
	file := filepath.Join(t.TempDir(), "report")
	calls := [][]string{
		{"snapshot", recording, whole}, {"--snapshot", recording, whole}, {"snapshot", "-", whole}, {"report", "--redact", "none", "--file", file, whole},
		{"fix", "--no-probe", whole}, {"bind", "--no-probe", whole}, {"http://joe:" + secret + "@" + address + ":x/?" + secret}, {"check", address + "/?" + secret},
	}
	for _, form := range []string{"text", "json", "yaml", "markdown", "html", "nagios"} {
		calls = append(calls, []string{"-o", form, whole})
	}
	for _, form := range []string{"text", "json", "ndjson", "yaml", "junit", "tap", "nagios", "prometheus", "sarif"} {
		calls = append(calls, []string{"check", "-o", form, whole}, []string{"check", "-o", form, "--expect", "refused", whole})
	}
	for _, call := range calls {
		p, out, errs := start(thisHost)
		if status := p.Run(t.Context(), append(call, "-v", "--log-format", "json")); status == 70 || out.Len()+errs.Len() == 0 {
			t.Errorf("%q: status %d: %s", call, status, errs)
		}
		if bytes.Contains(append(out.Bytes(), errs.Bytes()...), []byte(secret)) {
			t.Errorf("%q: %s%s", call, out, errs)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := report.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{report.ManifestName, report.HTMLName, report.MarkdownName, report.JSONName, report.RedactionName, report.SnapshotName} {
		if bytes.Contains(a.File(part), []byte(secret)) {
			t.Errorf("the report's %s has it", part)
		}
	}
	for _, uri := range asked {
		if uri != "/p?ticket="+secret {
			t.Errorf("the server was asked for %q", uri)
		}
	}
	if len(asked) < 10 {
		t.Errorf("the server was asked %d times", len(asked))
	}
}
