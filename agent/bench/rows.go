//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
)

const heading = "what\tportwhy\tcpu\tother\tcpu\twall ratio\tcpu ratio\tpeak\tgoal\n"

// Goals of a whole diagnosis on a small host.
const (
	smallTime = 20 * time.Millisecond
	smallPeak = 60 << 10 // KiB
)

// small measures whole diagnoses where there is little to look at.
func small(out io.Writer, o options, s *scene) (met bool, err error) {
	taken := "127.0.0.1:" + strconv.Itoa(int(s.median().port))
	met = true
	fmt.Fprint(out, "what\twall\tcpu\tpeak\tgoal\n")
	for _, row := range []struct {
		what string
		argv []string
	}{
		{"start, and do nothing", []string{o.portwhy, "--version"}},
		{"diagnose a port that nobody listens on", []string{o.portwhy, "127.0.0.1:9"}},
		{"diagnose a listener", []string{o.portwhy, taken}},
		{"predict only", []string{o.portwhy, "--no-probe", "127.0.0.1:9"}},
		{"bind a port that is taken", []string{o.portwhy, "bind", taken}},
		{"ls", []string{o.portwhy, "ls"}},
	} {
		c, err := repeat(row.argv, 3*o.pairs)
		if err != nil {
			return false, err
		}
		state := "met"
		if c.cpu > smallTime || c.peak > smallPeak {
			state, met = "MISSED", false
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%d MB\tcpu ≤ %s, peak < %d MB %s\n", row.what, millis(c.wall), millis(c.cpu), c.peak>>10, millis(smallTime), smallPeak>>10, state)
	}
	return met, nil
}

// large measures who holds a port, and all listeners, among many.
func large(out io.Writer, o options, s *scene) (met bool, err error) {
	middle, last := s.median(), s.last()
	for _, m := range []member{middle, last} {
		if err := checkOwner(o.portwhy, m); err != nil {
			return false, err
		}
	}
	port := func(m member) string { return strconv.Itoa(int(m.port)) }
	met = true
	fmt.Fprint(out, heading)
	for _, row := range []struct {
		what         string
		ours, theirs []string
		goal         goal
	}{
		{"owner of one port, at the median: ss", []string{"ls", "--port", port(middle)}, []string{"ss", "-ltnp", "sport = :" + port(middle)}, goal{wall: 0.35}},
		{"the same: lsof", []string{"ls", "--port", port(middle)}, []string{"lsof", "-nP", "-iTCP:" + port(middle), "-sTCP:LISTEN"}, goal{}},
		{"the same: fuser", []string{"ls", "--port", port(middle)}, []string{"fuser", port(middle) + "/tcp"}, goal{}},
		{"owner of one port, the last process: ss", []string{"ls", "--port", port(last)}, []string{"ss", "-ltnp", "sport = :" + port(last)}, goal{wall: 0.6}},
		{"all listeners with owners: ss", []string{"ls"}, []string{"ss", "-ltnp"}, goal{wall: 0.4, cpu: 0.6}},
		{"the same as JSON: ss", []string{"ls", "-o", "json"}, []string{"ss", "-ltnp"}, goal{}},
		{"diagnose a listener: ss, all owners", []string{"127.0.0.1:" + port(middle)}, []string{"ss", "-ltnp"}, goal{}},
	} {
		ok, err := pair(out, row.what, append([]string{o.portwhy}, row.ours...), row.theirs, o.pairs, row.goal)
		if err != nil {
			return false, err
		}
		met = met && ok
	}
	return met, nil
}

// checkOwner: a fast wrong answer is not worth measuring.
func checkOwner(portwhy string, m member) error {
	b, err := exec.Command(portwhy, "ls", "--port", strconv.Itoa(int(m.port)), "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("portwhy ls: %w", err)
	}
	var answer struct {
		Listeners []struct {
			PID int `json:"pid"`
		} `json:"listeners"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("portwhy ls: %w", err)
	}
	if len(answer.Listeners) != 1 || answer.Listeners[0].PID != m.pid {
		return fmt.Errorf("portwhy ls --port %d named %v, the owner is %d", m.port, answer.Listeners, m.pid)
	}
	return nil
}

// inside measures the parts of an answer within this process: the floor under
// every command.
func inside(ctx context.Context, out io.Writer, s *scene) error {
	h, err := platform.Open(platform.Options{})
	if err != nil {
		return err
	}
	listeners := host.SocketQuery{Network: "tcp", States: []host.State{host.Listen}}
	var all []uint64
	find := func(m member) ([]host.Socket, error) {
		q := listeners
		q.Port = m.port
		return h.Sockets(ctx, q)
	}
	owner := func(m member) func() error {
		return func() error {
			list, err := find(m)
			if err != nil || len(list) != 1 {
				return errors.Join(err, fmt.Errorf("%d listeners on port %d", len(list), m.port))
			}
			held, err := h.Holders(ctx, host.HolderQuery{Inodes: []uint64{list[0].Inode}})
			if err != nil {
				return err
			}
			if got := held.BySocket[list[0].Inode]; len(got) != 1 || got[0].PID != m.pid {
				return fmt.Errorf("holders %v, want %d", got, m.pid)
			}
			return nil
		}
	}
	fmt.Fprint(out, "in this process\tmedian\tbest\n")
	for _, row := range []struct {
		what string
		do   func() error
	}{
		{"list all listeners", func() error {
			list, err := h.Sockets(ctx, listeners)
			all = all[:0]
			for _, s := range list {
				all = append(all, s.Inode)
			}
			return err
		}},
		{"find one listener", func() error { _, err := find(s.median()); return err }},
		{"find the owner of one, at the median", owner(s.median())},
		{"find the owner of one, the last process", owner(s.last())},
		{"find all owners", func() error { _, err := h.Holders(ctx, host.HolderQuery{Inodes: all, Every: true}); return err }},
		{"describe all processes", func() error { _, err := h.Processes(ctx); return err }},
		{"describe one process", func() error { _, err := h.Process(ctx, s.median().pid); return err }},
	} {
		var times []time.Duration
		for range 9 {
			start := time.Now()
			if err := row.do(); err != nil {
				return fmt.Errorf("%s: %w", row.what, err)
			}
			times = append(times, time.Since(start))
		}
		itself := func(d time.Duration) time.Duration { return d }
		mid := median(times, itself)
		fmt.Fprintf(out, "%s\t%.3f ms\t%.3f ms\n", row.what, float64(mid)/1e6, float64(slices.Min(times))/1e6)
	}
	return nil
}
