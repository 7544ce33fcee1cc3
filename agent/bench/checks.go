//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// manyChecks is how many targets one file asks for; checksTime is how long that
// may take.
const (
	manyChecks = 200
	checksTime = 2 * time.Second
)

// runChecks measures a file of checks beside goss and nc with the same list, on a
// small host whose listeners accept.
func runChecks(out io.Writer, o options) (met bool, err error) {
	s, err := buildScene(size{processes: smallHost, listeners: 1, files: 10})
	defer s.end()
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "portwhy-bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	first := firstPort + smallHost
	for i := range manyChecks {
		l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(first+i))
		if err != nil {
			return false, err
		}
		defer l.Close()
		go take(l)
	}
	ours, theirs := filepath.Join(dir, "checks.yaml"), filepath.Join(dir, "goss.yaml")
	if err := writeFile(ours, func(w io.Writer) { checksFile(w, first, "") }); err != nil {
		return false, err
	}
	if err := writeFile(theirs, func(w io.Writer) { gossFile(w, first) }); err != nil {
		return false, err
	}
	// Nobody listens behind the last of these: each fails, and is diagnosed.
	closed := filepath.Join(dir, "closed.yaml")
	if err := writeFile(closed, func(w io.Writer) { checksFile(w, 1000, "") }); err != nil {
		return false, err
	}
	named := filepath.Join(dir, "named.yaml")
	if err := writeFile(named, func(w io.Writer) { checksFile(w, first, "bench") }); err != nil {
		return false, err
	}
	if err := rightChecks(o.portwhy, ours, "passed"); err != nil {
		return false, err
	}
	if err := rightChecks(o.portwhy, closed, "failed"); err != nil {
		return false, err
	}
	fmt.Fprintf(out, "%d checks, on a host of %d processes\n%s", manyChecks, smallHost, heading)
	ports := fmt.Sprintf("%d-%d", first, first+manyChecks-1)
	for _, row := range []struct {
		what         string
		ours, theirs []string
	}{
		{"all reachable: goss validate", []string{o.portwhy, "check", "-f", ours}, []string{"goss", "-g", theirs, "validate", "--no-color"}},
		{"the same: nc -z", []string{o.portwhy, "check", "-f", ours}, []string{"nc", "-z", "127.0.0.1", ports}},
		{"and answered by whom: goss without", []string{o.portwhy, "check", "-f", named}, []string{"goss", "-g", theirs, "validate", "--no-color"}},
		{"all refused, each diagnosed: nc -z", []string{o.portwhy, "check", "-f", closed}, []string{"nc", "-z", "127.0.0.1", "1000-1199"}},
	} {
		if _, err := pair(out, row.what, row.ours, row.theirs, o.pairs, goal{}); err != nil {
			return false, err
		}
	}
	met = true
	for _, row := range []struct{ what, file string }{{"all reachable", ours}, {"and answered by whom", named}, {"all refused, each diagnosed", closed}} {
		c, err := repeat([]string{o.portwhy, "check", "-f", row.file}, o.pairs)
		if err != nil {
			return false, err
		}
		state := "met"
		if c.wall > checksTime {
			state, met = "MISSED", false
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t\t\t\t\t%d MB\twall ≤ %s %s\n", row.what, millis(c.wall), millis(c.cpu), c.peak>>10, millis(checksTime), state)
	}
	return met, nil
}

// take accepts and closes what comes.
func take(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func checksFile(w io.Writer, first int, process string) {
	fmt.Fprintln(w, "version: 1\nchecks:")
	for i := range manyChecks {
		if process == "" {
			fmt.Fprintf(w, "  - 127.0.0.1:%d\n", first+i)
		} else {
			fmt.Fprintf(w, "  - {target: \"127.0.0.1:%d\", answered_by: {process: %s}}\n", first+i, process)
		}
	}
}

func gossFile(w io.Writer, first int) {
	fmt.Fprintln(w, "addr:")
	for i := range manyChecks {
		fmt.Fprintf(w, "  tcp://127.0.0.1:%d:\n    reachable: true\n    timeout: 3000\n", first+i)
	}
}

// rightChecks: a fast wrong answer is not worth measuring.
func rightChecks(portwhy, file, want string) error {
	b, err := exec.Command(portwhy, "check", "-o", "json", "-f", file).Output()
	if len(b) == 0 {
		return fmt.Errorf("portwhy check: %w", err)
	}
	var answer struct {
		Summary map[string]int
		Checks  []struct {
			Says  string
			Cause *struct{ Code string }
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("portwhy check: %w", err)
	}
	if answer.Summary[want] != manyChecks {
		return fmt.Errorf("portwhy check: %v, want %d %s: %s", answer.Summary, manyChecks, want, strings.TrimSpace(answer.Checks[0].Says))
	}
	for _, c := range answer.Checks {
		if want == "failed" && (c.Cause == nil || c.Cause.Code != "no-listener") {
			return fmt.Errorf("portwhy check: %q has the cause %v", c.Says, c.Cause)
		}
	}
	return nil
}
