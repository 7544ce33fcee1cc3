package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

// runner asks this host.
func runner(t *testing.T) Runner {
	t.Helper()
	return Runner{Stations: checks.All(), Timeout: time.Second, Pause: 10 * time.Millisecond, ReadFile: func(path string) (string, error) {
		b, err := os.ReadFile(path)
		return string(b), err
	}, Open: func(context.Context) (host.Host, error) {
		h, err := platform.Open(platform.Options{})
		if err != nil {
			return nil, err
		}
		return replay.Record(h), nil
	}}
}

// run runs the checks of a file.
func run(t *testing.T, r Runner, text string) *Results {
	t.Helper()
	specs, err := Read("f.yaml", strings.NewReader("version: 1\nchecks:\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	results, err := r.Run(t.Context(), specs)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// brief is the results in lines.
func brief(r *Results) string {
	var lines []string
	for _, c := range r.Checks {
		code := ""
		if c.Cause != nil {
			code = " " + c.Cause.Code
		}
		lines = append(lines, fmt.Sprintf("%s: %s%s", c.Status, c.Says, code))
	}
	return strings.Join(lines, "\n")
}

func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().String()
}

// serve accepts and holds what comes.
func serve(l net.Listener) {
	for {
		if _, err := l.Accept(); err != nil {
			return
		}
	}
}

// free is a port on which nothing listens.
func free(t *testing.T) string {
	l, address := listen(t)
	l.Close()
	return address
}

func comm(t *testing.T) string {
	b, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestConnects(t *testing.T) {
	l, open := listen(t)
	go serve(l)
	shut := free(t)
	me := comm(t)
	for _, c := range []struct {
		check, want string
		status      diagnose.Status
	}{
		{open, "ok: connected in ", diagnose.OK},
		{"{target: '" + open + "', expect: refused}", "broken: connected, expected refused", diagnose.Broken},
		{"{target: '" + open + "', expect: closed}", "broken: connected, expected closed", diagnose.Broken},
		{shut, "broken: refused, expected reachable no-listener", diagnose.Broken},
		{"{target: '" + shut + "', expect: refused}", "ok: refused", diagnose.OK},
		{"{target: '" + shut + "', expect: closed}", "ok: refused", diagnose.OK},
		{"{target: '" + open + "', answered_by: {process: " + me + "}, latency: 1s, queue: 100%}", "ok: connected in ", diagnose.OK},
		{"{target: '" + open + "', answered_by: {user: " + strconv.Itoa(os.Getuid()) + "}}", "ok: connected in ", diagnose.OK},
		{"{target: '" + open + "', answered_by: {process: nginx}}", "broken: answered by " + me + " (pid " + strconv.Itoa(os.Getpid()) + "), expected nginx wrong-process-answers", diagnose.Broken},
		{"{target: '" + open + "', answered_by: {unit: nginx}}", "broken: answered by " + me, diagnose.Broken},
		{"{target: '" + open + "', answered_by: {container: web}}", "broken: answered by " + me, diagnose.Broken},
		{"{target: '" + open + "', latency: 1ms}", "", 0}, // either is right: it is measured
	} {
		r := run(t, runner(t), "- "+c.check)
		got := brief(r)
		if c.want == "" {
			if r.Checks[0].LatencyMS == nil {
				t.Errorf("%s: latency is not measured", c.check)
			}
			continue
		}
		if !strings.HasPrefix(got, c.want) || r.Status != c.status {
			t.Errorf("%s\n got %s\nwant %s", c.check, got, c.want)
		}
		if one := r.Checks[0]; one.Status == diagnose.Broken && one.Report == nil {
			t.Errorf("%s: failed without its diagnosis", c.check)
		}
	}
}

// A queue that nobody empties: the kernel tells how full it is.
func TestQueue(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr("127.0.0.1").As4()}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 10); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 6 {
		c, err := net.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// Nobody accepts, so the check fails anyway; what the queue is stands beside it.
	r := run(t, runner(t), "- {target: '"+address+"', queue: 50%}\n- {target: '"+address+"', queue: 70%}")
	for i, want := range []string{"broken", "ok"} {
		found := false
		for _, e := range r.Checks[i].Expectations {
			found = found || e.What == "queue" && e.Found == "60% full (6 of 10 wait)" && e.Status.String() == want
		}
		if !found {
			t.Errorf("%+v, want the queue %s", r.Checks[i].Expectations, want)
		}
	}
}

// A check of the name and the days of a certificate, with a root of its own.
func TestCertificate(t *testing.T) {
	root, key := certificate(t, "root", 100*day, nil, nil)
	leaf, leafKey := certificate(t, "shop.example", 10*day+time.Hour, root, key)
	l, address := listen(t)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go tls.Server(c, config).Handshake()
		}
	}()
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file)
	target := "target: 'tls://" + address + "', "
	r := run(t, runner(t), "- {"+target+"tls: {name: shop.example, days: 9}}\n- {"+target+"tls: {name: shop.example, days: 14}}\n- {"+target+"tls: {name: other.example}}\n- {"+target+"tls: {days: 9}}")
	want := []string{"ok: connected in ", "broken: certificate 10 days, expected 14 days or more certificate-invalid",
		"broken: connected, but not served, expected reachable certificate-invalid", "broken: connected, but not served, expected reachable certificate-invalid"}
	for i, line := range strings.Split(brief(r), "\n") {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("got %s, want %s", line, want[i])
		}
	}
	if s := r.Checks[0].Says; !strings.HasSuffix(s, ", certificate good for 10 days") {
		t.Errorf("says %q", s)
	}
	if c := r.Checks[2].Cause; c == nil || c.Title != "The certificate is for shop.example, not for other.example." {
		t.Errorf("%+v", c)
	}
}

func certificate(t *testing.T, name string, life time.Duration, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IsCA: parent == nil, BasicConstraintsValid: true}
	c.Subject.CommonName = name
	if parent == nil {
		parent, signer = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

// --wait and --retry ask anew until the server is there.
func TestWaits(t *testing.T) {
	for name, r := range map[string]Runner{"wait": {Wait: 20 * time.Second}, "retry": {Retry: 100}} {
		t.Run(name, func(t *testing.T) {
			address := free(t)
			with := runner(t)
			with.Wait, with.Retry = r.Wait, r.Retry
			with.Pause = 100 * time.Millisecond
			late := time.AfterFunc(time.Second, func() {
				if l, err := net.Listen("tcp4", address); err == nil {
					t.Cleanup(func() { l.Close() })
					go serve(l)
				}
			})
			defer late.Stop()
			got := run(t, with, "- "+address)
			if got.Status > diagnose.Warning || name == "wait" && got.Status != diagnose.OK || got.DurationMS < 900 {
				t.Errorf("%s after %v ms", brief(got), got.DurationMS)
			}
			if name == "retry" && got.Checks[0].Attempts < 2 {
				t.Errorf("%d attempts", got.Checks[0].Attempts)
			}
		})
	}
	with := runner(t)
	with.Wait = 200 * time.Millisecond
	started := time.Now()
	if got := run(t, with, "- "+free(t)); got.Status != diagnose.Broken || time.Since(started) > 10*time.Second {
		t.Errorf("%s after %v", brief(got), time.Since(started))
	}
}

// counting counts how often the host is asked who holds sockets, and for those that
// are bound and don't listen.
type counting struct {
	host.Host
	holders, bound *atomic.Int64
}

func (c counting) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	if len(q.States) == 1 && q.States[0] == host.BoundInactive {
		c.bound.Add(1)
	}
	return c.Host.Sockets(ctx, q)
}

func (c counting) Holders(ctx context.Context, q host.HolderQuery) (host.Holders, error) {
	c.holders.Add(1)
	return c.Host.Holders(ctx, q)
}

// Many checks look at the descriptors and the bound sockets of this host once, and
// each round anew.
func TestManyShareFacts(t *testing.T) {
	var text strings.Builder
	for range 40 {
		l, address := listen(t)
		go serve(l)
		fmt.Fprintf(&text, "- {target: '%s', answered_by: {process: %s}}\n", address, comm(t))
		fmt.Fprintf(&text, "- {target: '%s', expect: refused}\n", free(t))
	}
	var asked, bound atomic.Int64
	with := runner(t)
	with.Open = func(context.Context) (host.Host, error) {
		h, err := platform.Open(platform.Options{})
		return replay.Record(counting{h, &asked, &bound}), err
	}
	for round := int64(1); round <= 2; round++ {
		if r := run(t, with, text.String()); r.Status != diagnose.OK {
			t.Fatal(brief(r))
		}
		if n := asked.Load(); n != round {
			t.Errorf("after %d rounds holders were looked for %d times", round, n)
		}
		if n := bound.Load(); n != round {
			t.Errorf("after %d rounds bound sockets were looked for %d times", round, n)
		}
	}
}

// A target that takes connections and never speaks costs no more than its time.
func TestTarpitEndsInTime(t *testing.T) {
	l, address := listen(t)
	go serve(l)
	started := time.Now()
	r := run(t, runner(t), "- {target: 'ssh://"+address+"', timeout: 300ms}")
	if r.Status != diagnose.Broken || time.Since(started) > 5*time.Second {
		t.Errorf("%s after %v", brief(r), time.Since(started))
	}
}

// A check that panics does so in the caller's goroutine.
func TestPanicReachesTheCaller(t *testing.T) {
	with := runner(t)
	with.Stations = []*diagnose.Check{{ID: "buggy", Doc: "a bug", For: diagnose.AskConnect, Run: func(*diagnose.Pass) error { panic("bug") }}}
	defer func() {
		if p, ok := recover().(*Panic); !ok || p.Value != "bug" || len(p.Stack) == 0 {
			t.Errorf("recovered %v", p)
		}
	}()
	run(t, with, "- 80")
}
