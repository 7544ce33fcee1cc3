//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/text"
)

// child does one thing with the firewall and prints a number: what was read, or
// how long it took.
func child(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("what shall the child do?")
	}
	debug.SetGCPercent(1000) // as the command does at first
	h, err := platform.Open(platform.Options{})
	if err != nil {
		return err
	}
	v := 0.0
	switch {
	case args[0] == "read":
		var f host.Firewall
		if f, err = h.Firewall(ctx); err == nil {
			v = float64(count(f.Rules))
		}
	case args[0] == "pass" && len(args) == 2:
		v, err = pass(ctx, h, args[1])
	case args[0] == "trace" && len(args) == 3:
		v, err = trace(ctx, h, args[1], args[2])
	case args[0] == "ask" && len(args) == 3:
		v, err = ask(ctx, h, args[1], args[2])
	case args[0] == "parse" && len(args) == 2:
		v, err = parse(args[1])
	default:
		err = fmt.Errorf("what is %q?", args)
	}
	if err == nil {
		fmt.Println(v)
	}
	return err
}

func count(set *rules.Ruleset) int {
	n := 0
	for _, t := range set.Tables {
		for _, c := range t.Chains {
			n += len(c.Rules)
		}
	}
	return n
}

// times does something a few times and returns the median of a clock.
func times(clock func() time.Duration, do func() error) (time.Duration, error) {
	var list []time.Duration
	for range 9 {
		start := clock()
		if err := do(); err != nil {
			return 0, err
		}
		list = append(list, clock()-start)
	}
	return median(list, func(d time.Duration) time.Duration { return d }), nil
}

// wallTime and cpuTime are clocks: of the host, and of all of this process.
func wallTime() time.Duration { return clock(unix.CLOCK_MONOTONIC) }
func cpuTime() time.Duration  { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t) // fails only for a clock that isn't there
	return time.Duration(t.Nano())
}

// pass takes one packet from an address past all rules, and returns how many of
// them in a second of a processor.
func pass(ctx context.Context, h host.Host, source string) (float64, error) {
	f, err := h.Firewall(ctx)
	if err != nil {
		return 0, err
	}
	t := firewall.NewTracer(f.Rules, eval.Host{}, &text.Printer{}, "")
	from, err := netip.ParseAddr(source)
	if err != nil {
		return 0, err
	}
	// Each has another source: which rules one that was asked about before can't
	// match is known.
	d, err := times(cpuTime, func() error { from = from.Next(); return expect(t, from.String(), "accept") })
	return float64(count(f.Rules)) / d.Seconds(), err
}

// trace reads the rules and asks them about one packet, and returns how many
// nanoseconds that takes.
func trace(ctx context.Context, h host.Host, source, want string) (float64, error) {
	d, err := times(wallTime, func() error {
		f, err := h.Firewall(ctx)
		if err != nil {
			return err
		}
		return expect(firewall.NewTracer(f.Rules, firewall.Facts(ctx, h), &text.Printer{}, ""), source, want)
	})
	return float64(d), err
}

// ask asks rules that were read before about one packet, and returns how many
// nanoseconds that takes.
func ask(ctx context.Context, h host.Host, source, want string) (float64, error) {
	f, err := h.Firewall(ctx)
	if err != nil {
		return 0, err
	}
	t := firewall.NewTracer(f.Rules, firewall.Facts(ctx, h), &text.Printer{}, "")
	d, err := times(wallTime, func() error { return expect(t, source, want) })
	return float64(d), err
}

func expect(t *firewall.Tracer, source, want string) error {
	got, err := t.Trace(firewall.Packet{Proto: "tcp", Src: source + ":40000", Dst: "127.0.0.1:65000", IIF: "eth0", Way: "in"})
	if err == nil && got.Verdict != want {
		err = fmt.Errorf("a packet from %s: %s, want %s: %+v", source, got.Verdict, want, got.Unknown)
	}
	return err
}

// parse reads a file of rules, as the command does, and returns how many
// nanoseconds of a processor that takes.
func parse(path string) (float64, error) {
	start := cpuTime()
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	set, err := files.Parse(path, string(b), files.Options{})
	if err != nil {
		return 0, err
	}
	if count(set) == 0 && len(set.IPSets) == 0 {
		return 0, errors.New("nothing in it")
	}
	return float64(cpuTime() - start), nil
}
