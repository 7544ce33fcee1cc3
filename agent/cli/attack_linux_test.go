package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
)

// What the attacker's process and rules are called: codes that a terminal would
// act on, text turned around, and markup. The process's own name has 15 bytes.
const (
	evilComm    = "\x1b]0;evil\a\u202e<b>"
	evilWords   = "evil\x1b]52;c;cm0=\a\r\n\u202e<script>alert(1)</script>[x](http://evil)|\"}\u2028\xff) S 1 1 1 (y"
	evilComment = "evil\x1b[2J\a<script>alert(1)</script>\u202e|'"
	evilGreets  = "\x1b]0;evil\a<script>alert(1)</script>\r\n"
	listenerEnv = "PORTWHY_TEST_LISTENER"
)

// TestHostileListener is no test: it is the process that TestHostileHost looks at.
func TestHostileListener(t *testing.T) {
	address := os.Getenv(listenerEnv)
	if address == "" {
		t.Skip("only as a process of another test")
	}
	if err := os.WriteFile("/proc/self/comm", []byte(evilComm), 0); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listens")
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, evilGreets)
		c.Close()
	}
}

// A live process, a rule and a greeting of an attacker's come out of every command
// in every form as text.
func TestHostileHost(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	dir := t.TempDir()
	compose, plan := filepath.Join(dir, "compose.yaml"), filepath.Join(dir, "plan.yaml")
	for name, text := range map[string]string{
		compose: "services:\n  web:\n    image: x\n    ports: ['18080:80']\n",
		plan: "schema: portwhy.plan/v1\nservices:\n  web:\n    about: \"evil\\e[2J\\u202e<script>alert(1)</script> [x](http://evil) |\"\n    owner: \"evil\\a\"\n" +
			"    ports: {http: {port: 18080, bind: 127.0.0.1}}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	namespace(t, func(netns string) {
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader("table inet evil {\n chain input {\n type filter hook input priority 0\n tcp dport 18081 drop comment \"" + evilComment + "\"\n }\n}\n")
		if out, err := nft.CombinedOutput(); err != nil {
			t.Errorf("nft: %v\n%s", err, out)
			return
		}
		listener := exec.Command("/proc/self/exe")
		listener.Args = []string{evilWords, "-test.run=^TestHostileListener$", evilWords}
		listener.Env = append(os.Environ(), listenerEnv+"=127.0.0.1:18080")
		out, err := listener.StdoutPipe()
		if err == nil {
			err = listener.Start()
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { listener.Process.Kill(); listener.Wait() }()
		if _, err := out.Read(make([]byte, 8)); err != nil {
			t.Errorf("the listener: %v", err)
			return
		}
		hostileEverywhere(t, netns, compose, plan)
	})
}

func thisHost(netns string) (host.Host, error) {
	return platform.Open(platform.Options{NetNS: netns})
}

// hostileEverywhere runs all commands that look, in all of their forms.
func hostileEverywhere(t *testing.T, netns, compose, plan string) {
	for _, c := range []struct {
		args, forms string
		tells       bool // of the attacker's names
	}{
		{"diagnose 127.0.0.1:18080", "text json yaml markdown html", true},
		{"diagnose 127.0.0.1:18080", "nagios", false},
		{"diagnose 127.0.0.1:18080 --trace -v", "text", true},
		{"diagnose http://127.0.0.1:18080", "text json yaml markdown html nagios", true},
		{"diagnose 127.0.0.1:18081 --no-probe", "text json markdown html nagios", true},
		{"bind 127.0.0.1:18080", "text json markdown html nagios", true},
		{"ls", "text json", true},
		{"rules", "text json yaml", true},
		{"rules why :18081", "text json", true},
		{"trace --proto tcp --src 127.0.0.1 --dst 127.0.0.1:18081", "text json", true},
		{"fix 127.0.0.1:18081 --no-probe", "text json", true},
		{"check 127.0.0.1:18080 http://127.0.0.1:18080 127.0.0.1:18081", "text json ndjson yaml junit tap sarif nagios", true},
		{"check 127.0.0.1:18080 http://127.0.0.1:18080 127.0.0.1:18081", "prometheus", false},
		{"preflight " + compose, "text json yaml markdown nagios sarif", true},
		{"plan check " + plan + " --env default", "text", false},
		{"plan verify " + plan + " --env default", "text", false},
		{"plan doc " + plan, "markdown html", true},
		{"plan init", "text", true},
		{"snapshot -", "text", true},
	} {
		for form := range strings.FieldsSeq(c.forms) {
			args := append(strings.Fields(c.args), "-o", form)
			if form == "text" {
				args = append(args[:len(args)-2], "--color=never")
			}
			p, out, errs := start(thisHost)
			ended := make(chan int)
			go func() { ended <- p.Run(t.Context(), append(args, "--netns", netns, "--timeout", "200ms")) }()
			status := <-ended
			name := strings.Join(args, " ")
			if status > 3 || out.Len() == 0 {
				t.Errorf("%s: status %d, %s", name, status, errs)
				continue
			}
			if c.tells && !bytes.Contains(out.Bytes(), []byte("evil")) {
				t.Errorf("%s tells nothing of what is hostile, so that it shows nothing:\n%s", name, out)
			}
			harmless(t, name, out.Bytes())
			harmless(t, name+", log", errs.Bytes())
			switch form {
			case "html":
				if bytes.Contains(out.Bytes(), []byte("<script")) || bytes.Contains(out.Bytes(), []byte("<b>")) {
					t.Errorf("%s: markup of others in\n%s", name, out)
				}
			case "json", "sarif":
				if !json.Valid(out.Bytes()) {
					t.Errorf("%s: no JSON:\n%s", name, out)
				}
			}
		}
	}
}

// harmless wants lines of visible characters.
func harmless(t *testing.T, name string, doc []byte) {
	t.Helper()
	if !utf8.Valid(doc) {
		t.Errorf("%s: not UTF-8: %q", name, doc)
		return
	}
	for _, r := range string(doc) {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			t.Errorf("%s prints %U:\n%q", name, r, doc)
			return
		}
	}
}

// One event is one line of the log, whatever a check is called.
func TestLogHoldsNoLinesOfOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "checks.yaml")
	text := "version: 1\nchecks:\n"
	for range 3 {
		text += `  - {name: "evil\n{\"level\":\"fatal\"}\r\e[2J\u202e\" , x=1", target: "127.0.0.1:1"}` + "\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, format := range []string{"json", "console"} {
		p, out, errs := start(thisHost)
		if status := p.Run(t.Context(), []string{"check", "-f", file, "--no-probe", "-v", "--log-format", format}); status > 3 {
			t.Fatalf("status %d: %s", status, errs)
		}
		harmless(t, format+" log", errs.Bytes())
		harmless(t, "text", out.Bytes())
		for line := range strings.Lines(errs.String()) {
			lines[format]++
			var event struct{ Level, Message string }
			if format == "json" && (json.Unmarshal([]byte(line), &event) != nil || event.Level != "debug" || event.Message == "") {
				t.Errorf("%s: no event of ours: %q", format, line)
			}
		}
		if n := strings.Count(errs.String(), "fatal"); n != 3 {
			t.Errorf("%s: the names stand there %d times, want 3:\n%s", format, n, errs)
		}
	}
	if lines["json"] != lines["console"] || lines["json"] < 3 {
		t.Errorf("lines: %v", lines)
	}
}

// A file that is asked for and isn't one, or never ends, is refused at once; one
// that is to be written is never somebody else's.
func TestHostilePaths(t *testing.T) {
	dir := t.TempDir()
	fifo, link, victim := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "victim")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, "/dev/zero", "/dev/full", dir} {
		for _, args := range []string{"--snapshot %s 80", "--rules %s 80", "check -f %s", "plan check %s", "preflight %s", "trace --batch %s",
			"snapshot %s", "snapshot --force %s"} {
			refused(t, fmt.Sprintf(args, path))
		}
	}
	for _, args := range []string{"snapshot %s", "snapshot --force %s"} {
		refused(t, fmt.Sprintf(args, link))
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
		t.Errorf("the victim holds %q, %v", b, err)
	}
}

// refused runs a command that has to end soon, in one line of error.
func refused(t *testing.T, line string) {
	t.Helper()
	p, out, errs := start(thisHost)
	ended := make(chan int, 1)
	go func() { ended <- p.Run(t.Context(), strings.Fields(line)) }()
	status := -1
	select {
	case status = <-ended:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s waits for ever", line)
	}
	if status != 64 || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("%s: status %d, printed %q and %q", line, status, out, errs)
	}
}
