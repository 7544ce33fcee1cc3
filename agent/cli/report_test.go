package cli_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/agent/report"
	"github.com/portwhy/portwhy/platform/host"
)

// Whenever a report is killed, the file is there as a whole or not at all, and
// nothing else is left.
func TestKilledReportLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	facts := filepath.Join(dir, "small.json")
	doc, err := recorded(smallHost())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(facts, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i := range 30 {
		path := filepath.Join(out, strconv.Itoa(i)+".tar.zst")
		cmd := exec.Command("portwhy", "report", "--snapshot", facts, "--file", path, "127.0.0.1:81")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first one shows that it works
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			_ = cmd.Process.Kill()
		}
		var ended *exec.ExitError
		if err := cmd.Wait(); err != nil && (!errors.As(err, &ended) || i == 0) {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(out, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := report.Read(f); err != nil {
			t.Errorf("%s is left: %v", e.Name(), err)
		}
		f.Close()
		whole++
	}
	t.Logf("%d of 30 were whole before they were killed", whole)
}

// TestRedactionIsOn reads what each level leaves in a report, in all of its
// parts and in its name.
func TestRedactionIsOn(t *testing.T) {
	const name, secret = "quuxbox7", "hunter2-Zebra9-Kiwi"
	answers := smallHost()
	for i, a := range answers {
		switch v := a.Answer.(type) {
		case host.Info:
			v.Hostname = name
			answers[i].Answer = v
		case []host.Process:
			v[0].Args = append(v[0].Args, "--password="+secret)
		}
	}
	doc, err := recorded(answers)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags        []string
		name, secret bool
	}{{nil, false, false}, {[]string{"--redact", "all"}, false, false}, {[]string{"--redact=secrets"}, true, false}, {[]string{"--redact", "none"}, true, true}} {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("facts", doc, 0o600); err != nil {
			t.Fatal(err)
		}
		p, _, errs := start(nil)
		if got := p.Run(context.Background(), append([]string{"report", "--snapshot", "facts", "127.0.0.1:80"}, c.flags...)); got != 0 {
			t.Fatalf("%v: status %d: %s", c.flags, got, errs)
		}
		files, err := filepath.Glob("*.tar.zst")
		if err != nil || len(files) != 1 {
			t.Fatalf("%v: wrote %q, %v", c.flags, files, err)
		}
		if got := strings.Contains(files[0], "-UNREDACTED"); got != c.secret {
			t.Errorf("%v: called %s", c.flags, files[0])
		}
		f, err := os.Open(files[0])
		if err != nil {
			t.Fatal(err)
		}
		a, err := report.Read(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		all := files[0]
		for _, part := range []string{report.ManifestName, report.HTMLName, report.MarkdownName, report.JSONName, report.RedactionName, report.SnapshotName} {
			all += string(a.File(part))
		}
		if got := strings.Contains(all, name); got != c.name {
			t.Errorf("%v: the host's name is in it: %v", c.flags, got)
		}
		if got := strings.Contains(all, secret); got != c.secret {
			t.Errorf("%v: a secret is in it: %v", c.flags, got)
		}
	}
}

// slow is a host that takes its time to be opened.
func slow(string) (host.Host, error) {
	time.Sleep(1300 * time.Millisecond)
	return nil, errors.New("not here")
}

func TestProgressIsForTerminals(t *testing.T) {
	for _, tty := range []bool{true, false} {
		p, out, errs := start(slow)
		p.ErrTerminal = func() (int, bool) { return 80, tty }
		if got := p.Run(context.Background(), []string{"report", "--file", filepath.Join(t.TempDir(), "x"), "80"}); got != 3 {
			t.Errorf("status %d", got)
		}
		told := strings.Contains(errs.String(), " … 1 s\r\x1b[K")
		if told != tty || out.Len() > 0 || !bytes.HasSuffix(errs.Bytes(), []byte("portwhy: not here\n")) {
			t.Errorf("terminal %v: printed %q and %q", tty, out, errs)
		}
	}
}

// FuzzReportShown shows whatever stands in the place of report.json.
func FuzzReportShown(f *testing.F) {
	f.Add([]byte(`{"schema":"portwhy.report/v1","status":"broken"}`))
	f.Add([]byte(`{"schema":"portwhy.reports/v1","reports":[null]}`))
	f.Add([]byte(`{"schema":"portwhy.report/v1","status":"ok","outcome":"connected","flows":[{"observed":{"outcome":"connected"}}],"causes":[{"code":"no-listener","culprit":{"kind":"x"}}],"root_cause":null,"fixes":[{"commands":[[]]}],"free_ports":[1]}`))
	golden, err := os.ReadFile("../render/testdata/several.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Fuzz(func(t *testing.T, doc []byte) {
		packed, err := report.Pack(report.Manifest{Redaction: "all"}, map[string][]byte{report.HTMLName: nil, report.MarkdownName: nil,
			report.JSONName: doc, report.RedactionName: nil, report.SnapshotName: nil})
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{"text", "json", "markdown", "html", "nagios"} {
			p, out, errs := start(nil)
			p.Stdin = bytes.NewReader(packed)
			if got := p.Run(context.Background(), []string{"report", "show", "-", "-o", form}); got == 70 {
				t.Fatalf("%s: %s", form, errs)
			}
			if bytes.ContainsAny(out.Bytes(), "\x1b\x00\u202e") {
				t.Fatalf("%s: prints %q", form, out)
			}
		}
	})
}
