//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cost is what one run of a command took.
type cost struct {
	wall, cpu time.Duration
	// peak resident memory, KiB. The kernel counts this program's own at the
	// moment of fork too, so it is at least that (fs/exec.c, exec_mmap).
	peak int64
}

// goal bounds the median of the ratios; zero: none.
type goal struct {
	wall, cpu, peak float64
}

func measure(argv []string) (cost, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	start := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(start)}
	// A status tells what was found (ss finds nothing, portwhy finds a fault);
	// only misuse and bugs spoil a measurement.
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 64 && exit.ExitCode() >= 0 {
		err = nil
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = usage.Maxrss
	}
	return c, nil
}

// repeat measures one command n times after one run that warms up, and returns
// the median of each cost.
func repeat(argv []string, n int) (cost, error) {
	if _, err := measure(argv); err != nil {
		return cost{}, err
	}
	var list []cost
	for range n {
		c, err := measure(argv)
		if err != nil {
			return cost{}, err
		}
		list = append(list, c)
	}
	return medians(list), nil
}

func medians(list []cost) cost {
	return cost{
		wall: median(list, func(c cost) time.Duration { return c.wall }),
		cpu:  median(list, func(c cost) time.Duration { return c.cpu }),
		peak: median(list, func(c cost) int64 { return c.peak }),
	}
}

func median[T any, N int64 | time.Duration | float64](list []T, of func(T) N) N {
	values := make([]N, len(list))
	for i, v := range list {
		values[i] = of(v)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// pair measures two commands in turns and prints them with the ratios. It
// reports whether the goal is met.
func pair(out io.Writer, what string, ours, theirs []string, n int, g goal) (bool, error) {
	if _, err := exec.LookPath(theirs[0]); err != nil {
		fmt.Fprintf(out, "%s\t%s is not installed\n", what, theirs[0])
		return true, nil
	}
	var us, them []cost
	var wall, cpu []float64
	for i := range n + 1 {
		a, err := measure(ours)
		if err != nil {
			return false, err
		}
		b, err := measure(theirs)
		if err != nil {
			return false, err
		}
		if i == 0 {
			continue // both now have the kernel's caches warm
		}
		us, them = append(us, a), append(them, b)
		wall = append(wall, float64(a.wall)/float64(b.wall))
		cpu = append(cpu, float64(a.cpu)/float64(max(b.cpu, time.Microsecond)))
	}
	itself := func(f float64) float64 { return f }
	a, b := medians(us), medians(them)
	seen := goal{median(wall, itself), median(cpu, itself), float64(a.peak) / float64(b.peak)}
	text, met := g.verdict(seen)
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%.2f (%.2f–%.2f)\t%.2f\t%d/%d MB\t%s\n", what,
		millis(a.wall), millis(a.cpu), millis(b.wall), millis(b.cpu),
		seen.wall, slices.Min(wall), slices.Max(wall), seen.cpu, a.peak>>10, b.peak>>10, text)
	return met, nil
}

// verdict says which of the goals are met, and whether all are.
func (g goal) verdict(reached goal) (text string, met bool) {
	met = true
	var parts []string
	for _, p := range []struct {
		name        string
		bound, seen float64
	}{{"wall", g.wall, reached.wall}, {"cpu", g.cpu, reached.cpu}, {"peak", g.peak, reached.peak}} {
		if p.bound == 0 {
			continue
		}
		state := "met"
		if p.seen > p.bound {
			state, met = "MISSED", false
		}
		parts = append(parts, fmt.Sprintf("%s ≤ %.2f %s", p.name, p.bound, state))
	}
	return strings.Join(parts, ", "), met
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
