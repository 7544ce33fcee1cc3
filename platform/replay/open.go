package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// maxSize bounds a recording in memory.
const maxSize = 512 << 20

// FormatError is a recording that can't be read. Line and Column are zero
// where the place is not known.
type FormatError struct {
	Line, Column int
	Why          string
}

func (e *FormatError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Why)
	}
	return e.Why
}

// Player is a host that answers from a recording.
type Player struct {
	view    uint64
	answers map[key]answer
}

var _ host.Host = (*Player)(nil)

// Open reads a recording. A malformed one is a *FormatError.
func Open(r io.Reader) (*Player, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the recording: %w", err)
	}
	if len(data) > maxSize {
		return nil, &FormatError{Why: fmt.Sprintf("larger than %d MiB", maxSize>>20)}
	}
	return load(data)
}

func load(data []byte) (*Player, error) {
	rec, err := decode(data)
	if err != nil {
		return nil, err
	}
	p := &Player{answers: make(map[key]answer, len(rec.Answers))}
	found := false
	for i, a := range rec.Answers {
		if a.Question == "" || len(a.Args) == 0 {
			return nil, &FormatError{Why: fmt.Sprintf("answer %d has no question or no args", i+1)}
		}
		args, err := normal(a.Question, a.Args)
		if err != nil {
			return nil, &FormatError{Why: fmt.Sprintf("answer %d: args: %v", i+1, err)}
		}
		p.answers[key{a.View, a.Question, args}] = a
		found = found || a.View == 0 && a.Question == "info"
	}
	if !found {
		return nil, &FormatError{Why: "does not say which host it is from (no answer to \"info\")"}
	}
	// Every recording was made of one host; if that answer is unfit, so is the rest.
	if _, err := p.Info(context.Background()); err != nil {
		return nil, err
	}
	return p, nil
}

func decode(data []byte) (recording, error) {
	var rec recording
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, place(data, err)
	}
	if rec.Schema != Schema {
		if rec.Schema == "" {
			return rec, &FormatError{Why: fmt.Sprintf("has no schema; a recording says %q", Schema)}
		}
		return rec, &FormatError{Why: fmt.Sprintf("is a %q; a recording is a %q", host.Clean([]byte(rec.Schema), 60), Schema)}
	}
	return rec, nil
}

// normal writes recorded arguments as this version would, so that a recording
// made before a query had some field, or by hand, still answers.
func normal(question string, args json.RawMessage) (string, error) {
	switch question {
	case "sockets":
		return again[host.SocketQuery](args)
	case "holders":
		return again[host.HolderQuery](args)
	case "route-to":
		return again[host.RouteQuery](args)
	case "connect":
		var q host.ConnectQuery
		if err := json.Unmarshal(args, &q); err != nil {
			return "", err
		}
		return canonical(withoutSecrets(q)), nil
	case "bind":
		return again[host.BindQuery](args)
	case "socket-options":
		return again[descriptor](args)
	}
	var plain bytes.Buffer
	err := json.Compact(&plain, args)
	return plain.String(), err
}

// withoutSecrets is how a recording keeps the question.
func withoutSecrets(q host.ConnectQuery) host.ConnectQuery {
	q.URLPath = host.HideQuery(q.URLPath)
	return q
}

func again[T any](args json.RawMessage) (string, error) {
	var q T
	if err := json.Unmarshal(args, &q); err != nil {
		return "", err
	}
	return canonical(q), nil
}

func place(data []byte, err error) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typ):
		offset = typ.Offset
	}
	why := strings.TrimPrefix(err.Error(), "json: ")
	if offset < 0 || offset > int64(len(data)) {
		return &FormatError{Why: why}
	}
	before := data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n') - 1
	return &FormatError{Line: line, Column: max(column, 1), Why: why}
}

// recall answers from the recording.
func recall[T any](p *Player, question string, args any) (T, error) {
	var value T
	k := key{p.view, question, canonical(args)}
	a, ok := p.answers[k]
	if !ok {
		return value, fmt.Errorf("%s: %w", inWords(question, k.args), host.ErrNotRecorded)
	}
	if len(a.Answer) > 0 && string(a.Answer) != "null" {
		if err := json.Unmarshal(a.Answer, &value); err != nil {
			return value, fmt.Errorf("the recorded answer to %s %s: %w", question, k.args, &FormatError{Why: err.Error()})
		}
	}
	return value, errorOf(a)
}

// inWords names a question in an error: with its argument where that is one word.
func inWords(question, args string) string {
	if args == "null" || args[0] == '{' {
		return question
	}
	return question + " " + args
}

// Sockets answers from the same question, or from a dump of the whole network.
func (p *Player) Sockets(_ context.Context, q host.SocketQuery) ([]host.Socket, error) {
	found, err := recall[[]host.Socket](p, "sockets", q)
	if !errors.Is(err, host.ErrNotRecorded) {
		return found, err
	}
	all, allErr := recall[[]host.Socket](p, "sockets", everySocket(q.Network))
	if allErr != nil {
		return nil, err
	}
	for _, s := range all {
		if q.Match(s) {
			found = append(found, s)
		}
	}
	return found, nil
}

// Process answers from the same question, or from the list of all.
func (p *Player) Process(ctx context.Context, pid int) (host.Process, error) {
	found, err := recall[host.Process](p, "process", pid)
	if !errors.Is(err, host.ErrNotRecorded) {
		return found, err
	}
	all, allErr := p.Processes(ctx)
	if allErr != nil {
		return found, err
	}
	for _, proc := range all {
		if proc.PID == pid {
			return proc, nil
		}
	}
	return found, fmt.Errorf("process %d: %w", pid, host.ErrNotFound)
}

// Holders answers from the same question, or from the holders of all sockets.
func (p *Player) Holders(_ context.Context, q host.HolderQuery) (host.Holders, error) {
	found, err := recall[host.Holders](p, "holders", q)
	if !errors.Is(err, host.ErrNotRecorded) {
		return found, err
	}
	all, allErr := recall[host.Holders](p, "holders", host.HolderQuery{Every: true})
	if allErr != nil {
		return found, err
	}
	if len(q.Inodes) == 0 {
		return all, nil
	}
	found = host.Holders{BySocket: map[uint64][]host.Holder{}, Unreadable: all.Unreadable}
	for _, inode := range q.Inodes {
		if h := all.BySocket[inode]; h != nil {
			found.BySocket[inode] = h
		}
	}
	return found, nil
}

// RouteTo answers from the same question, or by looking up the recorded tables
// as the kernel would.
func (p *Player) RouteTo(ctx context.Context, q host.RouteQuery) (host.Route, error) {
	found, err := recall[host.Route](p, "route-to", q)
	if !errors.Is(err, host.ErrNotRecorded) {
		return found, err
	}
	routes, e1 := p.Routes(ctx)
	rules, e2 := p.Rules(ctx)
	addrs, e3 := p.Addresses(ctx)
	if errors.Join(e1, e2, e3) != nil {
		return found, err
	}
	return host.Lookup(routes, rules, addrs, q), nil
}

// Unit answers from the same question, or from the list of units.
func (p *Player) Unit(ctx context.Context, name string) (host.Unit, error) {
	found, err := recall[host.Unit](p, "unit", name)
	if !errors.Is(err, host.ErrNotRecorded) {
		return found, err
	}
	units, allErr := p.Units(ctx)
	if errors.Is(allErr, host.ErrUnsupported) {
		return found, allErr
	}
	for _, u := range units {
		if u.Name == name {
			return u, nil
		}
	}
	return found, err
}

// Resolve answers from the same question; an address resolves to itself.
func (p *Player) Resolve(_ context.Context, name string) (host.Resolution, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return host.Resolution{Name: name, Addresses: []netip.Addr{a}, Source: "literal"}, nil
	}
	return recall[host.Resolution](p, "resolve", name)
}

// Programs answers from the same question, or from those of all cgroups.
func (p *Player) Programs(_ context.Context, cgroup string) (host.Programs, error) {
	found, err := recall[host.Programs](p, "programs", cgroup)
	if !errors.Is(err, host.ErrNotRecorded) || cgroup == "" {
		return found, err
	}
	all, allErr := recall[host.Programs](p, "programs", "")
	if allErr != nil {
		return found, err
	}
	found.Limits = all.Limits
	for _, prog := range all.List {
		if prog.Cgroup == "" || under(cgroup, prog.Cgroup) {
			found.List = append(found.List, prog)
		}
	}
	return found, nil
}

// under reports whether path is the group or below it.
func under(path, group string) bool {
	return group == "/" || path == group || strings.HasPrefix(path, strings.TrimSuffix(group, "/")+"/")
}

// Enter looks from another recorded namespace.
func (p *Player) Enter(_ context.Context, ns host.Namespace) (host.Host, error) {
	if ns.Current {
		return p, nil
	}
	if _, err := recall[struct{}](p, "enter", ns.Inode); err != nil {
		return nil, err
	}
	return &Player{view: ns.Inode, answers: p.answers}, nil
}
