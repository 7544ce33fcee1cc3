package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/agent/cli"
	"github.com/portwhy/portwhy/diagnose/preflight"
)

// namespace runs f on a thread with a network namespace of its own, in which
// only loopback is up, and says how others name it.
func namespace(t *testing.T, f func(netns string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a network namespace of its own needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			t.Error(err)
			return
		}
		f(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	}()
	<-done
}

// runPreflight runs the command as a user would, and reads its JSON.
func runPreflight(t *testing.T, want int, args ...string) preflight.Report {
	t.Helper()
	var out, errs bytes.Buffer
	p := cli.New("v0.0.0-test")
	p.Stdin, p.Stdout, p.Stderr = bytes.NewReader(nil), &out, &errs
	p.Getenv = func(string) string { return "" }
	// Not on the thread of the namespace: the program has to enter it.
	ended := make(chan int)
	go func() { ended <- p.Run(context.Background(), append([]string{"preflight", "-o", "json"}, args...)) }()
	status := <-ended
	var rep preflight.Report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatalf("status %d, %v\n%s%s", status, err, &out, &errs)
	}
	if status != want {
		t.Errorf("status %d, want %d\n%s", status, want, &out)
	}
	return rep
}

// Listeners in a namespace, and what of the files clashes with them.
func TestPreflightLive(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"compose.yaml": `services:
  free:
    image: x
    ports: ["18000:80", "18000:80/udp"]
  held:
    image: x
    ports:
      - "18080:80"
  loopback:
    image: x
    ports:
      - "127.0.0.1:18081:80"
      - "127.0.0.2:18081:80"
  six:
    image: x
    ports:
      - "[::1]:18082:80"
      - "127.0.0.1:18082:80"
  udp:
    image: x
    ports: ["18083:53/udp", "18083:53/tcp"]
  any:
    image: x
    ports: ["18080-18081:80", "18080-18090:81"]
  pairs:
    image: x
    ports: ["18083-18085:3-5/udp"]
  long:
    image: x
    ports: ["20000-40000:20000-40000/udp"]
  foreign:
    image: x
    ports: ["192.0.2.1:1234:80"]
  low:
    image: x
    ports: ["81:80"]
  unlistened:
    image: x
    ports: ["18086:80"]
`,
		".env":       "PORT=18080\nHTTP_PORT=18001\n",
		"x.socket":   "[Socket]\nListenStream=127.0.0.1:18080\n",
		"Procfile":   "web: puma -p $PORT\n",
		"redis.conf": "bind 127.0.0.1\nport 18081\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	namespace(t, func(netns string) {
		listen := func(network, address string) {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { l.Close() })
		}
		packet := func(address string) {
			c, err := net.ListenPacket("udp4", address)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
		}
		listen("tcp4", "0.0.0.0:18080")
		listen("tcp4", "127.0.0.1:18081")
		listen("tcp6", "[::1]:18082")
		packet("127.0.0.1:18083")
		packet("0.0.0.0:33333")
		bound, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Bind(bound, &unix.SockaddrInet4{Port: 18086})
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(bound)

		rep := runPreflight(t, 2, "--netns", netns, filepath.Join(dir, "compose.yaml"))
		var got strings.Builder
		for _, f := range rep.Findings {
			if f.Severity != "note" {
				fmt.Fprintf(&got, "%s:%d:%d %s %s %s %d/%s\n", filepath.Base(f.File), f.Line, f.Column, f.Severity, f.Code, f.Service, f.Port, f.Network)
			}
		}
		const want = `compose.yaml:24:13 error port-declared-twice any 18081/tcp
compose.yaml:27:13 error port-declared-twice pairs 18083/udp
compose.yaml:8:9 error port-in-use held 18080/tcp
compose.yaml:12:9 error port-in-use loopback 18081/tcp
compose.yaml:17:9 error port-in-use six 18082/tcp
compose.yaml:21:13 error port-in-use udp 18083/udp
compose.yaml:24:13 error port-in-use any 18080/tcp
compose.yaml:24:13 error port-in-use any 18081/tcp
compose.yaml:27:13 error port-in-use pairs 18083/udp
compose.yaml:30:13 error port-in-use long 33333/udp
compose.yaml:33:13 error address-not-local foreign 1234/tcp
compose.yaml:39:13 error port-held-unlistened unlistened 18086/tcp
`
		if got.String() != want {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want)
		}
		for _, f := range rep.Findings {
			if f.Code == "port-in-use" && f.Severity == "error" && (f.Culprit == nil || f.Culprit.PID != os.Getpid()) {
				t.Errorf("%s %d: the culprit is %+v", f.Service, f.Port, f.Culprit)
			}
		}
		for _, p := range rep.Ports {
			want := preflight.Free
			if strings.Contains(got.String(), fmt.Sprintf(":%d:%d error", p.Line, p.Column)) {
				want = preflight.Clashes
			}
			if p.Result != want {
				t.Errorf("%s %d: %s, want %s", p.Service, p.First, p.Result, want)
			}
		}

		for file, want := range map[string]struct {
			status   int
			severity string
			code     string
		}{
			".env":       {1, "warning", "port-in-use"},
			"x.socket":   {2, "error", "port-in-use"},
			"Procfile":   {2, "error", "port-in-use"}, // PORT of the .env
			"redis.conf": {2, "error", "port-in-use"},
		} {
			rep := runPreflight(t, want.status, "--netns", netns, filepath.Join(dir, file))
			if len(rep.Findings) == 0 || string(rep.Findings[0].Severity) != want.severity || rep.Findings[0].Code != want.code || rep.Findings[0].Line == 0 || rep.Findings[0].Column == 0 {
				t.Errorf("%s: %+v", file, rep.Findings)
			}
		}
	})
}
