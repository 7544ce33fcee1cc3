package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/agent/cli"
	"github.com/portwhy/portwhy/platform/host"
)

// start makes a program whose output is kept and whose host is made of one
// function.
func start(open func(string) (host.Host, error)) (cli.Program, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	p := cli.New("v0")
	p.Stdin, p.Stdout, p.Stderr, p.Open = strings.NewReader(""), &out, &errs, open
	p.Getenv = func(string) string { return "" }
	p.Terminal = func() (int, bool) { return 0, false }
	return p, &out, &errs
}

func TestHostThatCannotBeOpened(t *testing.T) {
	for _, c := range []struct {
		err    error
		args   []string
		status int
	}{
		{host.ErrNoNamespace, []string{"--netns", "x", "80"}, 64},
		{host.ErrUnsupported, []string{"--netns", "x", "80"}, 64},
		{host.ErrUnsupported, []string{"80"}, 3},
		{fs.ErrPermission, []string{"--netns", "x", "80"}, 3},
		{errors.New("other"), []string{"ls"}, 3},
	} {
		p, out, errs := start(func(string) (host.Host, error) { return nil, fmt.Errorf("open:\n%w", c.err) })
		if got := p.Run(context.Background(), c.args); got != c.status {
			t.Errorf("%v with %v: status %d, want %d", c.args, c.err, got, c.status)
		}
		if out.Len() != 0 || strings.Count(errs.String(), "\n") != 1 || !strings.HasPrefix(errs.String(), "portwhy: ") {
			t.Errorf("%v with %v: printed %q and %q", c.args, c.err, out, errs)
		}
	}
}

func TestColorFollowsTheTerminal(t *testing.T) {
	for _, c := range []struct {
		tty   bool
		env   map[string]string
		flags []string
		want  bool
	}{
		{tty: true, want: true},
		{tty: false, want: false},
		{tty: true, env: map[string]string{"NO_COLOR": "1"}, want: false},
		{tty: true, env: map[string]string{"TERM": "dumb"}, want: false},
		{tty: false, flags: []string{"--color", "always"}, want: true},
		{tty: true, env: map[string]string{"NO_COLOR": "1"}, flags: []string{"--color=always"}, want: true},
		{tty: true, flags: []string{"--color=never"}, want: false},
	} {
		p, out, errs := start(nil)
		p.Terminal = func() (int, bool) { return 80, c.tty }
		p.Getenv = func(k string) string {
			if k == "WT_SESSION" {
				return "1"
			}
			return c.env[k]
		}
		if got := p.Run(context.Background(), append(c.flags, "explain", "no-listener")); got != 0 {
			t.Fatalf("status %d: %s", got, errs)
		}
		if got := strings.Contains(out.String(), "\x1b["); got != c.want {
			t.Errorf("%+v: colour %v", c, got)
		}
	}
}
