package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// check runs portwhy check on a host.
func (r *run) check(ctx context.Context, m *machine, s Step, wrong *[]string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	started := time.Now()
	a, exit, err := r.checked(m.command(ctx, s.Options, "", append([]string{"portwhy", "check", "-o", "json"}, s.Args...)))
	if err != nil {
		return err
	}
	r.tell("%s$ portwhy check %s (%d ms)\n%s", m.Name, strings.Join(s.Args, " "), time.Since(started).Milliseconds(), a.Brief())
	for _, w := range s.Checks.Compare(a, exit) {
		*wrong = append(*wrong, fmt.Sprintf("line %d: portwhy check %s: %s", s.Line, strings.Join(s.Args, " "), w))
	}
	return nil
}

// checked runs portwhy check and reads its answer.
func (r *run) checked(cmd *exec.Cmd) (*CheckAnswer, int, error) {
	var stderr output
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	exit := 0
	var ee *exec.ExitError
	switch {
	case errors.As(err, &ee) && ee.ExitCode() >= 0 && ee.ExitCode() <= 3:
		exit = ee.ExitCode()
	case err != nil:
		return nil, 0, fmt.Errorf("portwhy check: %w: %s%s", err, out, &stderr)
	}
	a, err := ParseCheckAnswer(out)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: exit %d: %s%s", err, exit, out, &stderr)
	}
	return a, exit, nil
}
