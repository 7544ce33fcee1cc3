// Package cli is the command line: one file per command, and what they share.
// It holds no judgement: it parses what the user asks, opens the host or a
// recording, hands both to the engine, and prints what comes back.
//
// The answer goes to standard output; errors, in one line, and the log go to
// standard error.
package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/term"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
)

// Exit statuses beside those of [diagnose.Status].
const (
	exitUsage = 64 // EX_USAGE of sysexits(3)
	exitBug   = 70 // EX_SOFTWARE
)

// Program is portwhy with everything that it takes from outside.
type Program struct {
	// Version as the linker was told, empty if it was not.
	Version        string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// Terminal returns the width of the terminal that Stdout is, false if it is none.
	Terminal func() (width int, ok bool)
	// ErrTerminal is the same of Stderr; nil: it is none.
	ErrTerminal func() (width int, ok bool)
	// Open looks at this host from a network namespace, empty for the own one.
	Open func(netns string) (host.Host, error)
	// Checks are the engine's stations in path order.
	Checks []*diagnose.Check
}

// New is the program as it runs on this host.
func New(version string) Program {
	// A panic that no handler sees, in a goroutine, must not end in status 2.
	debug.SetTraceback("crash")
	collectSeldom()
	return Program{Version: version, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Terminal: terminal(os.Stdout), ErrTerminal: terminal(os.Stderr),
		Open:   func(netns string) (host.Host, error) { return platform.Open(platform.Options{NetNS: netns}) },
		Checks: checks.All()}
}

// Run executes one command line, without the program's name, and returns the
// exit status. A panic becomes a report on Stderr and status 70.
func (p Program) Run(ctx context.Context, args []string) (status int) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		status = exitBug
		if c, ok := v.(*caught); ok {
			p.reportPanic(c.value, c.stack)
			return
		}
		p.reportPanic(v, debug.Stack())
	}()
	s := &session{Program: p}
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return s.status
	}
	failed := &failure{status: exitUsage}
	message := err.Error()
	if !errors.As(err, &failed) && cmd != nil {
		// The command line itself was not understood.
		message += " (see " + cmd.CommandPath() + " --help)"
	}
	fmt.Fprintf(p.Stderr, "portwhy: %s\n", render.Escape(strings.Join(strings.Fields(message), " ")))
	return failed.status
}

// caught is a panic of another goroutine, to go on with in the first one.
type caught struct {
	value any
	stack []byte
}

// failure is an error with the exit status that it ends in.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usage is an error of the user's: a bad flag, target or file.
func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// undetermined is an error that leaves the question without an answer.
func undetermined(format string, args ...any) error {
	return &failure{int(diagnose.StatusUnknown), fmt.Errorf(format, args...)}
}

// print writes an answer to standard output, all or an error: a full disk must
// not look like success.
func (s *session) print(doc []byte) error {
	if _, err := s.Stdout.Write(doc); err != nil {
		return undetermined("writing the answer: %w", err)
	}
	return nil
}

// maxStack bounds the stack in a report of a panic.
const maxStack = 4096

func (p Program) reportPanic(v any, stack []byte) {
	// The frames above the panic are the handler's own.
	if _, after, ok := bytes.Cut(stack, []byte("\npanic(")); ok {
		if i := bytes.IndexByte(after, '\n'); i >= 0 {
			after = after[i+1:]
			if j := bytes.IndexByte(after, '\n'); j >= 0 {
				stack = after[j+1:]
			}
		}
	}
	if len(stack) > maxStack {
		stack = append(stack[:maxStack:maxStack], "…\n"...)
	}
	var lines []string
	for line := range strings.Lines(string(stack)) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, "\t"))
		lines = append(lines, strings.Repeat("    ", indent)+render.Escape(line[indent:]))
	}
	b := p.build()
	fmt.Fprintf(p.Stderr, "portwhy: this is a bug in portwhy, not an answer: %s\n\n", render.Escape(fmt.Sprint(v)))
	fmt.Fprintf(p.Stderr, "Please send the lines below, with the command that you ran, to https://github.com/portwhy/portwhy/issues/new\n\n")
	fmt.Fprintf(p.Stderr, "version %s %s %s/%s\n%s\n", b.Version, b.Go, b.OS, b.Arch, strings.Join(lines, "\n"))
}

// terminal asks about a file of this process.
func terminal(f *os.File) func() (int, bool) {
	return func() (int, bool) {
		fd := int(f.Fd())
		if !term.IsTerminal(fd) {
			return 0, false
		}
		width, _, err := term.GetSize(fd)
		if err != nil {
			width = 0
		}
		return width, true
	}
}
