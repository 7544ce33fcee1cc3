package check

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// Runner runs checks.
type Runner struct {
	// Open opens the host, anew for each round, so that no round sees what an
	// earlier one has read.
	Open func(context.Context) (host.Host, error)
	// ReadFile reads a saved state of the firewall.
	ReadFile func(path string) (string, error)
	Stations []*diagnose.Check // of the engine
	Version  string
	NoProbe  bool
	Timeout  time.Duration // of a probe
	Parallel int           // checks that run at once; 0: 32
	Retry    int           // how often a check that fails is asked again
	// Wait is for how long rounds are repeated until all checks pass; 0: one round.
	Wait time.Duration
	// Pause lies between rounds and retries; 0: half a second.
	Pause time.Duration
}

const (
	defaultParallel = 32
	defaultPause    = 500 * time.Millisecond
	// apart is how long a check may take before the next begins beside it. Most
	// are done by then, so that what the kernel counts is theirs alone.
	apart = 20 * time.Millisecond
)

// Panic is a panic of a check, to go on with in the caller's goroutine.
type Panic struct {
	Value any
	Stack []byte
}

// Run runs the checks: one round, or with Wait as many as it takes. It fails only
// if the host can't be asked at all.
func (r Runner) Run(ctx context.Context, specs []Spec) (*Results, error) {
	started := time.Now()
	warned := false
	for {
		results, err := r.round(ctx, specs)
		if err != nil {
			return nil, err
		}
		results.DurationMS = milliseconds(time.Since(started))
		// A warning passes if it stays: what begins to listen just while it is
		// looked at makes one.
		passed := results.Status == diagnose.OK || results.Status == diagnose.Warning && warned
		warned = results.Status == diagnose.Warning
		// A round is of use only if it can begin in time.
		if left := r.Wait - time.Since(started); passed || left < r.pause() {
			return results, nil
		}
		if err := sleep(ctx, r.pause()); err != nil {
			return results, nil
		}
	}
}

func (r Runner) pause() time.Duration {
	if r.Pause > 0 {
		return r.Pause
	}
	return defaultPause
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round asks every check once, and those that fail again as often as they may be.
func (r Runner) round(ctx context.Context, specs []Spec) (*Results, error) {
	all := make([]int, len(specs))
	for i := range specs {
		all[i] = i
	}
	results := &Results{Schema: Schema, Tool: diagnose.ToolOf(r.Version), Checks: make([]Result, len(specs))}
	for attempt := 1; len(all) > 0; attempt++ {
		if attempt > 1 {
			if err := sleep(ctx, r.pause()); err != nil {
				break
			}
		}
		h, err := r.Open(ctx)
		if err != nil {
			return nil, err
		}
		info, err := h.Info(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading what this host is: %w", err)
		}
		results.At, results.Host = info.At, diagnose.HostOf(info)
		if err := r.ask(ctx, share(h, len(all)), specs, all, results.Checks, attempt); err != nil {
			return nil, err
		}
		var again []int
		for _, i := range all {
			retries := specs[i].Retry
			if retries < 0 {
				retries = r.Retry
			}
			if s := results.Checks[i].Status; attempt <= retries && s != diagnose.OK && s != diagnose.Warning {
				again = append(again, i)
			}
		}
		all = again
	}
	results.sum()
	return results, nil
}

// ask asks the checks with these numbers, several at once where one takes long.
func (r Runner) ask(ctx context.Context, h host.Host, specs []Spec, which []int, results []Result, attempt int) error {
	parallel := r.Parallel
	if parallel <= 0 {
		parallel = defaultParallel
	}
	errs := make([]error, len(which))
	panics := make([]*Panic, len(which))
	slots := make(chan struct{}, parallel)
	var wait sync.WaitGroup
	var running, begun atomic.Int64
	for n, i := range which {
		slots <- struct{}{}
		done := make(chan struct{})
		alone := running.Add(1) == 1
		own := begun.Add(1)
		wait.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					panics[n] = &Panic{v, debug.Stack()}
				}
				running.Add(-1)
				<-slots
				close(done)
			}()
			a := asker{Runner: r, ctx: ctx, host: h, spec: specs[i], crowded: func() bool { return !alone || begun.Load() != own }}
			a.started = time.Now()
			errs[n] = a.ask()
			a.result.Attempts, a.result.DurationMS = attempt, milliseconds(time.Since(a.started))
			results[i] = a.result
		})
		select {
		case <-done:
		case <-time.After(apart):
		}
	}
	wait.Wait()
	for n := range which {
		if panics[n] != nil {
			panic(panics[n])
		}
		if errs[n] != nil {
			return errs[n]
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
