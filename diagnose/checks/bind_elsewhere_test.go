//go:build linux

package checks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/linux"
)

// oldKernel is this host as Linux before 6.8 would show it: sockets that are
// only bound are in no table.
type oldKernel struct{ host.Host }

func (h oldKernel) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	if slices.Contains(q.States, host.BoundInactive) {
		return nil, fmt.Errorf("bound sockets: %w", host.ErrUnsupported)
	}
	return h.Host.Sockets(ctx, q)
}

// excluding is this host with a range that it gives to nobody, as Windows has.
type excluding struct {
	host.Host
	ranges []host.PortRange
}

func (h excluding) ExcludedPorts(context.Context, string) ([]host.PortRange, error) {
	return h.ranges, nil
}

func (h excluding) Bind(context.Context, host.BindQuery) (host.BindAttempt, error) {
	return host.BindAttempt{Errno: "EACCES", Plain: "EACCES"}, nil
}

// askAs is ask with the host changed.
func askAs(t *testing.T, target string, change func(host.Host) host.Host) *diagnose.Report {
	t.Helper()
	namespace := fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
	parsed, err := diagnose.ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	var r *diagnose.Report
	done := make(chan struct{})
	go func() {
		defer close(done)
		var h *linux.Host
		if h, err = linux.Open(linux.Options{NetNS: namespace}); err == nil {
			r, err = diagnose.Run(context.Background(), change(h), parsed, bindChecks(), diagnose.Options{Question: diagnose.AskBind})
		}
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBindHolder is a process that binds a port and does not listen.
func TestBindHolder(t *testing.T) {
	addr := os.Getenv("BIND_HOLD")
	if addr == "" {
		t.Skip("is run by another test")
	}
	(&lab{t: t}).socket(tcp(addr), 7309)
	fmt.Println("bound")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestBindOnAnOldKernel(t *testing.T) {
	inNewNamespace(t, func() {
		ip(t, "link set lo up")
		cmd := exec.Command(os.Args[0], "-test.run=^TestBindHolder$")
		cmd.Env = []string{"BIND_HOLD=127.0.0.1"}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			in.Close()
			_ = cmd.Wait()
		}()
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "bound\n" {
			t.Fatalf("%q: %v", line, err)
		}
		r := askAs(t, "127.0.0.1:7309", func(h host.Host) host.Host { return oldKernel{h} })
		if r.RootCause == nil || r.RootCause.Code != "port-held-unlistened" || r.RootCause.Confidence != diagnose.Proven || r.RootCause.Culprit.PID != cmd.Process.Pid {
			t.Error(text(r))
		}
	})
}

func TestBindInAnExcludedRange(t *testing.T) {
	inNewNamespace(t, func() {
		ip(t, "link set lo up")
		r := askAs(t, "127.0.0.1:50100", func(h host.Host) host.Host {
			return excluding{h, []host.PortRange{{First: 50000, Last: 50059}, {First: 50060, Last: 50159}}}
		})
		if r.RootCause == nil || r.RootCause.Code != "port-excluded" || !strings.Contains(r.RootCause.Title, "50060 to 50159") {
			t.Error(text(r))
		}
		for _, n := range r.FreePorts {
			if n >= 50000 && n < 50160 {
				t.Errorf("offers %d, which is excluded too", n)
			}
		}
	})
}
