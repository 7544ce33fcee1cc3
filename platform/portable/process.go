//go:build darwin || windows

package portable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	argsMax = 256
	argMax  = 4096
)

// Process describes one process. What the caller's rights don't show is empty.
func (h *Host) Process(ctx context.Context, pid int) (host.Process, error) {
	p, err := process.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		if errors.Is(err, process.ErrorProcessNotRunning) {
			err = host.ErrNotFound
		}
		return host.Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return describe(ctx, p), nil
}

// Processes describes all processes.
func (h *Host) Processes(ctx context.Context) ([]host.Process, error) {
	list, err := process.ProcessesWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []host.Process
	for _, p := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out = append(out, describe(ctx, p))
	}
	return out, nil
}

// describe reads what is readable: each question may be refused on its own.
func describe(ctx context.Context, p *process.Process) host.Process {
	out := host.Process{PID: int(p.Pid), FDs: -1}
	if v, err := p.PpidWithContext(ctx); err == nil {
		out.PPID = int(v)
	}
	if v, err := p.NameWithContext(ctx); err == nil {
		out.Name = host.Clean([]byte(v), nameMax)
	}
	if v, err := p.ExeWithContext(ctx); err == nil {
		out.Exe = host.Clean([]byte(v), argMax)
	}
	if v, err := p.CmdlineSliceWithContext(ctx); err == nil {
		for _, arg := range v[:min(len(v), argsMax)] {
			out.Args = append(out.Args, host.Clean([]byte(arg), argMax))
		}
	}
	if v, err := p.CwdWithContext(ctx); err == nil {
		out.Cwd = host.Clean([]byte(v), argMax)
	}
	if v, err := p.UidsWithContext(ctx); err == nil && len(v) > 1 {
		out.UID = v[1] // real, effective, saved
		out.User = strconv.FormatUint(uint64(v[1]), 10)
	}
	if v, err := p.UsernameWithContext(ctx); err == nil {
		out.User = host.Clean([]byte(v), nameMax)
	}
	if v, err := p.StatusWithContext(ctx); err == nil && len(v) > 0 {
		out.State = stateLetters[v[0]]
	}
	if v, err := p.CreateTimeWithContext(ctx); err == nil {
		out.Started = time.UnixMilli(v)
		out.StartTicks = uint64(v)
	}
	return out
}

// stateLetters are those of [host.Process].
var stateLetters = map[string]string{
	process.Running: "R", process.Blocked: "D", process.Idle: "S", process.Sleep: "S",
	process.Stop: "T", process.Wait: "S", process.Zombie: "Z", process.Lock: "S",
}

// Started tells when a process began, in milliseconds; 0 if it is gone.
func Started(ctx context.Context, pid int) uint64 {
	p, err := process.NewProcessWithContext(ctx, int32(pid))
	if err != nil {
		return 0
	}
	at, err := p.CreateTimeWithContext(ctx)
	if err != nil || at < 0 {
		return 0
	}
	return uint64(at)
}
