package lab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// check runs portwhy check on a host.
func (r *run) check(ctx context.Context, m *machine, s Step, wrong *[]string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	started := time.Now()
	a, exit, err := answerOf(m.command(ctx, s.Options, "", append([]string{"portwhy", "check", "-o", "json"}, s.Args...)), ParseCheckAnswer)
	if err != nil {
		return err
	}
	r.tell("%s$ portwhy check %s (%d ms)\n%s", m.Name, strings.Join(s.Args, " "), time.Since(started).Milliseconds(), a.Brief())
	for _, w := range s.Checks.Compare(a, exit) {
		*wrong = append(*wrong, fmt.Sprintf("line %d: portwhy check %s: %s", s.Line, strings.Join(s.Args, " "), w))
	}
	return nil
}
