package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
)

// planned runs a plan's command on this host.
func planned(t *testing.T, text string, args ...string) (status int, out string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, stdout, stderr := start(func(netns string) (host.Host, error) { return platform.Open(platform.Options{NetNS: netns}) })
	status = p.Run(context.Background(), append(append([]string{"plan"}, args...), file))
	if stderr.Len() > 0 {
		t.Errorf("%v: %s", args, stderr)
	}
	return status, stdout.String()
}

func TestPlan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux names the holder of a port here")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	file := func(services, connections string) string {
		text := "schema: portwhy.plan/v1\nservices:\n" + services + "connections:\n" + connections
		text = strings.ReplaceAll(text, "PORT", fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
		text = strings.ReplaceAll(text, "GONE", fmt.Sprint(gone.Addr().(*net.TCPAddr).Port))
		return strings.ReplaceAll(text, "COMM", strings.TrimSpace(string(comm)))
	}
	const live = "  a: {runs: COMM, ports: {x: {port: PORT, bind: 127.0.0.1, exposure: loopback}}}\n"
	const other = "  a: {runs: nginx, ports: {x: {port: PORT, bind: 127.0.0.1}}}\n"
	const any = "  a: {ports: {x: {port: PORT, bind: 127.0.0.1}}}\n"
	const absent = "  b: {ports: {y: {port: GONE, bind: 127.0.0.1}}}\n"
	for _, c := range []struct {
		name, text, command string
		want                diagnose.Status
		code, said          string
	}{
		{"the service has its port itself", file(live, ""), "check", diagnose.OK, "port-in-use", "has port"},
		{"another has it", file(other, ""), "check", diagnose.Broken, "port-in-use", "listens on"},
		{"somebody has it", file(any, ""), "check", diagnose.Warning, "port-in-use", "listens on"},
		{"it is free", file(absent, ""), "check", diagnose.OK, "", ""},
		{"it connects", file(live, "  - {from: a, to: a}\n"), "verify", diagnose.OK, "", "a -> a.x"},
		{"it must not", file(live, "  - {from: a, to: a, expect: blocked}\n"), "verify", diagnose.Broken, "", "it gets through, and must not"},
		{"it is refused", file(live+absent, "  - {from: a, to: b}\n"), "verify", diagnose.Broken, "no-listener", "Nothing listens"},
		{"nothing shows that it would be kept out", file(live+absent, "  - {from: a, to: b, expect: blocked}\n"), "verify", diagnose.Warning, "no-listener", "nothing shows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := planned(t, c.text, c.command)
			if status != int(c.want) || !strings.Contains(text, c.said) {
				t.Errorf("status %d, want %d with %q:\n%s", status, c.want, c.said, text)
			}
			status, doc := planned(t, c.text, c.command, "-o", "json")
			var r struct{ Findings []plan.Finding }
			if err := json.Unmarshal([]byte(doc), &r); err != nil {
				t.Fatal(err)
			}
			found := c.code == ""
			for _, f := range r.Findings {
				found = found || f.Code == c.code && f.Line > 0
			}
			if status != int(c.want) || !found {
				t.Errorf("status %d, want %d and %s:\n%s", status, c.want, c.code, doc)
			}
		})
	}
}

// What init writes is a plan, and true of the host.
func TestPlanInit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lists all listeners")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, stdout, stderr := start(func(netns string) (host.Host, error) { return platform.Open(platform.Options{NetNS: netns}) })
	if status := p.Run(context.Background(), []string{"plan", "init"}); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	made, err := plan.Read("init", stdout)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range made.Claims(plan.DefaultEnvironment) {
		if c.Ports == plan.One(uint16(l.Addr().(*net.TCPAddr).Port)) && c.Address.IsLoopback() {
			return
		}
	}
	t.Errorf("%v is not in it", l.Addr())
}
