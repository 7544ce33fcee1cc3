//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// replay asks the recordings the same questions, after the hosts are gone.
func (r *run) replay(ctx context.Context, wrong *[]string) {
	for _, a := range r.answers {
		line := fmt.Sprintf("line %d: the snapshot: ", a.step.Line)
		again, exit, err := r.fromSnapshot(ctx, a.snapshot, a.step.Args)
		if err != nil {
			*wrong = append(*wrong, line+err.Error())
			continue
		}
		differences := a.live.Same(again)
		for _, w := range differences {
			*wrong = append(*wrong, line+w)
		}
		if len(differences) > 0 {
			r.tell("from the snapshot: exit status %d\n%s", exit, again.Brief())
		}
		for _, w := range r.redacted(ctx, a, again) {
			*wrong = append(*wrong, fmt.Sprintf("line %d: the redacted report: %s", a.step.Line, w))
		}
	}
}

func (r *run) fromSnapshot(ctx context.Context, file string, args []string) (*Answer, int, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "portwhy"), append([]string{"--snapshot", file, "-o", "json"}, without(args, "--netns")...)...)
	cmd.Env = []string{"LANG=C", markerName + "=" + r.marker}
	return r.portwhy(cmd)
}

// recorded asks a recording that came with the scenario.
func (r *run) recorded(ctx context.Context) (wrong []string) {
	for _, s := range r.s.Steps {
		a, exit, err := r.fromSnapshot(ctx, filepath.Join(r.data, r.s.Group, r.s.Recorded), s.Args)
		if err != nil {
			return append(wrong, err.Error())
		}
		r.tell("$ portwhy %s\n%s", strings.Join(s.Args, " "), a.Brief())
		for _, w := range s.Ask.Compare(a, exit) {
			wrong = append(wrong, fmt.Sprintf("line %d: %s", s.Line, w))
		}
	}
	return wrong
}

// portwhy runs it and reads its answer.
func (r *run) portwhy(cmd *exec.Cmd) (*Answer, int, error) { return answerOf(cmd, ParseAnswer) }

// answerOf runs portwhy and reads what it answers; any status of an answer is
// fine here.
func answerOf[A any](cmd *exec.Cmd, parse func([]byte) (A, error)) (answer A, exit int, err error) {
	var stderr output
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var ee *exec.ExitError
	switch {
	case errors.As(err, &ee) && ee.ExitCode() >= 0 && ee.ExitCode() <= 3:
		exit = ee.ExitCode()
	case err != nil:
		return answer, 0, fmt.Errorf("portwhy: %w: %s%s", err, out, &stderr)
	}
	if answer, err = parse(out); err != nil {
		return answer, 0, fmt.Errorf("%w: exit %d: %s%s", err, exit, out, &stderr)
	}
	return answer, exit, nil
}

// without takes an option and its value out of a command line.
func without(args []string, option string) []string {
	if i := slices.Index(args, option); i >= 0 {
		return slices.Delete(slices.Clone(args), i, i+2)
	}
	return args
}

// questionOf is what portwhy snapshot takes of a question: the target and the
// options, and that it is about a bind.
func questionOf(args []string) []string {
	var of []string
	for _, a := range args {
		switch a {
		case "diagnose":
		case "bind":
			of = append(of, "--bind")
		default:
			of = append(of, a)
		}
	}
	return of
}
