package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// stub answers a few questions and counts how often it was asked.
type stub struct {
	host.Host
	asked map[string]int
}

func (s *stub) count(q string) { s.asked[q]++ }

func (s *stub) Info(context.Context) (host.Info, error) {
	s.count("info")
	return host.Info{OS: "linux", Hostname: "h"}, nil
}

func (s *stub) Sockets(_ context.Context, q host.SocketQuery) ([]host.Socket, error) {
	s.count("sockets")
	all := []host.Socket{
		{Network: "tcp", State: host.Listen, Local: netip.MustParseAddrPort("127.0.0.1:80"), Inode: 7},
		{Network: "tcp", State: host.BoundInactive, Local: netip.MustParseAddrPort("127.0.0.1:81"), Inode: 8},
		{Network: "tcp", State: host.Estab, Local: netip.MustParseAddrPort("127.0.0.1:80"), Remote: netip.MustParseAddrPort("127.0.0.1:4000"), Inode: 9},
	}
	var out []host.Socket
	for _, sock := range all {
		if q.Match(sock) {
			out = append(out, sock)
		}
	}
	return out, nil
}

func (s *stub) Holders(context.Context, host.HolderQuery) (host.Holders, error) {
	return host.Holders{BySocket: map[uint64][]host.Holder{7: {{PID: 1, FD: 3}}, 8: {{PID: 2, FD: 4}}}, Unreadable: 5}, nil
}

func (s *stub) Process(_ context.Context, pid int) (host.Process, error) {
	if pid != 1 {
		return host.Process{}, fmt.Errorf("process %d: %w", pid, host.ErrNotFound)
	}
	return host.Process{PID: 1, Name: "x\x1b[31m"}, nil
}

func (s *stub) Cgroup(context.Context, string) (host.Cgroup, error) {
	return host.Cgroup{}, fmt.Errorf("reading: %w", fs.ErrPermission)
}

func (s *stub) Units(context.Context) ([]host.Unit, error) {
	return nil, fmt.Errorf("no systemd: %w", host.ErrUnsupported)
}

func (s *stub) Enter(_ context.Context, ns host.Namespace) (host.Host, error) {
	if ns.Inode == 13 {
		return nil, fs.ErrPermission
	}
	return &stub{asked: s.asked}, nil
}

func (s *stub) Routes(context.Context) ([]host.Route, error) {
	return []host.Route{{Destination: netip.MustParsePrefix("10.0.0.0/8"), Type: "unicast", Table: 254, Device: "eth7", Link: 7}}, nil
}

func (s *stub) Rules(context.Context) ([]host.RouteRule, error) {
	return []host.RouteRule{{Priority: 32766, Family: 4, Action: "lookup", Table: 254, UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1}}, nil
}

func (s *stub) Addresses(context.Context) ([]host.Address, error) { return nil, nil }

func record(t *testing.T, ask func(host.Host)) (*Recorder, *Player) {
	t.Helper()
	r := Record(&stub{asked: map[string]int{}})
	if _, err := r.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(r)
	var buf bytes.Buffer
	if err := r.Save(&buf, "test"); err != nil {
		t.Fatal(err)
	}
	p, err := Open(&buf)
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func TestRecorderAsksOnce(t *testing.T) {
	s := &stub{asked: map[string]int{}}
	r := Record(s)
	for range 3 {
		_, _ = r.Sockets(t.Context(), host.SocketQuery{Network: "tcp"})
		_, _ = r.Sockets(t.Context(), host.SocketQuery{Network: "tcp", Port: 80})
	}
	if s.asked["sockets"] != 2 {
		t.Errorf("two different questions reached the host %d times, want 2", s.asked["sockets"])
	}
}

func TestEndedContextIsNoAnswer(t *testing.T) {
	r := Record(&stub{asked: map[string]int{}})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Info(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v", err)
	}
	if info, err := r.Info(t.Context()); err != nil || info.Hostname != "h" {
		t.Errorf("after a cancelled question: %+v, %v", info, err)
	}
}

func TestRecordingAnswersTheSame(t *testing.T) {
	ctx := t.Context()
	r, p := record(t, func(h host.Host) {
		_, _ = h.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: 80})
		_, _ = h.Process(ctx, 1)
		_, _ = h.Process(ctx, 2)
		_, _ = h.Cgroup(ctx, "/a")
		_, _ = h.Units(ctx)
	})
	for _, q := range []host.SocketQuery{{Network: "tcp", Port: 80}} {
		want, _ := r.Sockets(ctx, q)
		got, err := p.Sockets(ctx, q)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("sockets %+v: %+v, %v; want %+v", q, got, err, want)
		}
	}
	if got, err := p.Process(ctx, 1); err != nil || got.Name != "x\x1b[31m" {
		t.Errorf("process 1: %+v, %v", got, err)
	}
	for what, c := range map[string]struct {
		err  error
		want error
	}{
		"process 2":    {second(p.Process(ctx, 2)), host.ErrNotFound},
		"cgroup":       {second(p.Cgroup(ctx, "/a")), fs.ErrPermission},
		"units":        {second(p.Units(ctx)), host.ErrUnsupported},
		"other cgroup": {second(p.Cgroup(ctx, "/b")), host.ErrNotRecorded},
		"sysctl":       {second(p.Sysctl(ctx, "x")), host.ErrNotRecorded},
		"connect":      {second(p.Connect(ctx, host.ConnectQuery{})), host.ErrNotRecorded},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: error %v, want %v", what, c.err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestNarrowerQuestions(t *testing.T) {
	ctx := t.Context()
	_, p := record(t, func(h host.Host) {
		_, _ = h.Sockets(ctx, everySocket("tcp"))
		_, _ = h.Holders(ctx, host.HolderQuery{Every: true})
		_, _ = h.Routes(ctx)
		_, _ = h.Rules(ctx)
		_, _ = h.Addresses(ctx)
	})
	got, err := p.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: 81, States: []host.State{host.BoundInactive}})
	if err != nil || len(got) != 1 || got[0].Inode != 8 {
		t.Errorf("bound socket on 81: %+v, %v", got, err)
	}
	if got, err := p.Sockets(ctx, host.SocketQuery{Network: "tcp"}); err != nil || len(got) != 2 {
		t.Errorf("default states: %+v, %v; want the two that are not bound only", got, err)
	}
	if _, err := p.Sockets(ctx, host.SocketQuery{Network: "udp"}); !errors.Is(err, host.ErrNotRecorded) {
		t.Errorf("udp was never asked, err = %v", err)
	}
	h, err := p.Holders(ctx, host.HolderQuery{Inodes: []uint64{7}})
	if err != nil || len(h.BySocket) != 1 || h.BySocket[7][0].PID != 1 || h.Unreadable != 5 {
		t.Errorf("holders of 7: %+v, %v", h, err)
	}
	r, err := p.RouteTo(ctx, host.RouteQuery{Destination: netip.MustParseAddr("10.1.2.3")})
	if err != nil || r.Device != "eth7" {
		t.Errorf("route to 10.1.2.3: %+v, %v", r, err)
	}
}

func TestViews(t *testing.T) {
	ctx := t.Context()
	_, p := record(t, func(h host.Host) {
		in, err := h.Enter(ctx, host.Namespace{Inode: 12})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = in.Process(ctx, 1)
		_, _ = h.Enter(ctx, host.Namespace{Inode: 13})
	})
	in, err := p.Enter(ctx, host.Namespace{Inode: 12})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := in.Process(ctx, 1); err != nil || got.PID != 1 {
		t.Errorf("inside: %+v, %v", got, err)
	}
	if _, err := p.Process(ctx, 1); !errors.Is(err, host.ErrNotRecorded) {
		t.Errorf("what was asked inside answers outside: %v", err)
	}
	if _, err := p.Enter(ctx, host.Namespace{Inode: 13}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("entering 13: %v", err)
	}
	if _, err := p.Enter(ctx, host.Namespace{Inode: 14}); !errors.Is(err, host.ErrNotRecorded) {
		t.Errorf("entering 14: %v", err)
	}
}

// An attempt is the same question whatever its time limit, and a recording from
// before a query had all its fields still answers.
func TestQuestionsOfOtherVersions(t *testing.T) {
	p, err := Open(strings.NewReader(`{"schema":"portwhy.snapshot/v1","answers":[
		{"view":0,"question":"info","args":null,"answer":{"OS":"linux"}},
		{"view":0,"question":"connect","args":{"Network":"tcp","Address":"10.0.0.1:80","Timeout":1,"Gone":true},"answer":{"Errno":"ECONNREFUSED"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	q := host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("10.0.0.1:80"), Timeout: 3e9, Watch: true}
	if a, err := p.Connect(t.Context(), q); err != nil || a.Errno != "ECONNREFUSED" {
		t.Errorf("%+v, %v", a, err)
	}
	q.Speak = "tls"
	if _, err := p.Connect(t.Context(), q); !errors.Is(err, host.ErrNotRecorded) {
		t.Errorf("another question: %v", err)
	}
}

// What follows the ? of a URL isn't kept; answers that can't be told apart
// without it are no answers.
func TestQueriesAreNotKept(t *testing.T) {
	r := Record(talker{})
	ask := func(h host.Prober, path string) (string, error) {
		a, err := h.Connect(t.Context(), host.ConnectQuery{Network: "tcp", Address: netip.MustParseAddrPort("10.0.0.1:80"), Speak: "http", URLPath: path})
		return a.Ended, err
	}
	for _, path := range []string{"/one?key=KIWI", "/two?key=KIWI", "/two?key=ZEBRA", "/?…"} {
		if said, err := ask(r, path); said != path || err != nil {
			t.Errorf("%s: %q, %v", path, said, err)
		}
	}
	if _, err := r.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	var doc bytes.Buffer
	if err := r.Save(&doc, "test"); err != nil {
		t.Fatal(err)
	}
	if s := doc.String(); strings.Contains(strings.ReplaceAll(s, `"Ended": "/one?key=KIWI"`, ""), "KIWI") || strings.Contains(s, "ZEBRA") {
		t.Errorf("a query was kept: %s", s)
	}
	p, err := Open(&doc)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/one?key=KIWI": "/one?key=KIWI", "/one?…": "/one?key=KIWI", "/?…": "/?…", "/two?key=KIWI": "several queries", "/one": "not in the recording"} {
		if said, err := ask(p, path); said != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v, want %s", path, said, err, want)
		}
	}
	p, err = Open(strings.NewReader(`{"schema":"portwhy.snapshot/v1","answers":[{"view":0,"question":"info","args":null,"answer":{"OS":"linux"}},
		{"view":0,"question":"connect","args":{"Network":"tcp","Address":"10.0.0.1:80","Speak":"http","URLPath":"/one?key=KIWI"},"answer":{"Ended":"old"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := ask(p, "/one?key=KIWI"); said != "old" || err != nil {
		t.Errorf("an older recording says %q, %v", said, err)
	}
}

// talker is a host that says what it was asked for.
type talker struct{ host.Host }

func (talker) Info(context.Context) (host.Info, error) { return host.Info{OS: "linux"}, nil }

func (talker) Connect(_ context.Context, q host.ConnectQuery) (host.Attempt, error) {
	return host.Attempt{Ended: q.URLPath}, nil
}

func TestOpenErrors(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":        {"", "unexpected end"},
		"not json":     {"{\n  oops", "line 2, column 3"},
		"no schema":    {"{}", "no schema"},
		"other schema": {`{"schema":"portwhy.report/v1"}`, `is a "portwhy.report/v1"`},
		"no info":      {`{"schema":"portwhy.snapshot/v1"}`, "which host"},
		"wrong type":   {"{\"schema\":\"portwhy.snapshot/v1\",\n\"answers\":[{\"view\":\"x\"}]}", "line 2"},
		"no question":  {`{"schema":"portwhy.snapshot/v1","answers":[{"view":0}]}`, "answer 1 has no question"},
		"bad info":     {`{"schema":"portwhy.snapshot/v1","answers":[{"question":"info","args":null,"answer":{"OS":5}}]}`, "info null"},
	} {
		_, err := Open(strings.NewReader(c.in))
		var bad *FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a FormatError with %q", name, err, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := Record(&stub{asked: map[string]int{}})
	_, _ = r.Info(context.Background())
	_, _ = r.Process(context.Background(), 1)
	var buf bytes.Buffer
	if err := r.Save(&buf, "fuzz"); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte(`{"schema":"portwhy.snapshot/v1","answers":[{"question":"info","args":null,"answer":{}},{"question":"sockets","args":{"Network":"tcp"},"answer":[{}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Open(bytes.NewReader(data))
		if err != nil {
			return
		}
		// No recording, however odd, may panic or turn into an unasked answer.
		ctx := context.Background()
		_, _ = p.Info(ctx)
		_, _ = p.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: 80})
		_, _ = p.Holders(ctx, host.HolderQuery{Inodes: []uint64{1}})
		_, _ = p.RouteTo(ctx, host.RouteQuery{Destination: netip.MustParseAddr("10.0.0.1")})
		_, _ = p.Enter(ctx, host.Namespace{Inode: 3})
	})
}
