//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/agent/redact"
)

// redacted makes a support report of a recording, with everything in it replaced
// that tells whose host it is, and asks that what it is about: the answer is to
// be the same but for the names.
func (r *run) redacted(ctx context.Context, a answered, plain *Answer) (wrong []string) {
	in, err := os.ReadFile(a.snapshot)
	if err != nil {
		return []string{err.Error()}
	}
	red := redact.New(redact.All, nil)
	out, err := red.Snapshot(in, targetsOf(a.step.Args)...)
	if err != nil {
		return []string{err.Error()}
	}
	for _, left := range red.Left(out) {
		wrong = append(wrong, fmt.Sprintf("%q is still in it", left))
	}
	file := a.snapshot + ".tar.zst"
	if err := r.report(ctx, a, file); err != nil {
		return append(wrong, err.Error())
	}
	again, exit, err := r.fromSnapshot(ctx, file, nil)
	if err != nil {
		return append(wrong, err.Error())
	}
	differences := plain.alike(again)
	if len(differences)+len(wrong) > 0 {
		r.tell("from the report: exit status %d\n%s", exit, again.Brief())
	}
	return append(wrong, differences...)
}

// report writes the support report about a question from its recording.
func (r *run) report(ctx context.Context, a answered, file string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	args := append([]string{"report", "--snapshot", a.snapshot, "--file", file}, questionOf(without(a.step.Args, "--netns"))...)
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "portwhy"), args...)
	cmd.Env = []string{"LANG=C", markerName + "=" + r.marker}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("portwhy %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// isTarget reports whether an argument of a question is one of its targets.
func isTarget(args []string, i int) bool {
	switch {
	case args[i] == "diagnose", args[i] == "bind", strings.HasPrefix(args[i], "-"):
		return false
	case i > 0 && slices.Contains([]string{"--timeout", "--from", "--user", "--payload", "--netns"}, args[i-1]):
		return false
	}
	return true
}

func targetsOf(args []string) (targets []string) {
	for i, arg := range args {
		if isTarget(args, i) {
			targets = append(targets, arg)
		}
	}
	return targets
}

// alike says in what an answer from a redacted recording differs from the one
// before: in its cause, confidence and outcome, in the kind of the culprit, and
// in the codes of all causes and findings.
func (a *Answer) alike(b *Answer) (wrong []string) {
	compare := func(what, x, y string) {
		if x != y {
			wrong = append(wrong, fmt.Sprintf("%s is %s when redacted, %s before", what, y, x))
		}
	}
	compare("the outcome", a.Outcome, b.Outcome)
	compare("the status", a.Status, b.Status)
	compare("the list of causes", codes(a.Causes), codes(b.Causes))
	compare("the list of findings", findings(a.Findings), findings(b.Findings))
	compare("the number of fixes", fmt.Sprint(len(a.Fixes)), fmt.Sprint(len(b.Fixes)))
	return wrong
}

func codes(causes []AnswerCause) string {
	list := []string{}
	for _, c := range causes {
		list = append(list, fmt.Sprintf("%s %s of %v explains=%v", c.Confidence, c.Code, c.Culprit["kind"], c.Explains))
	}
	return strings.Join(list, ", ")
}

func findings(all []AnswerFinding) string {
	list := []string{}
	for _, f := range all {
		list = append(list, f.Code)
	}
	return strings.Join(list, ", ")
}
