//go:build linux

package lab

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fix applies a fix that was suggested, sees that what was broken works now,
// takes the fix back, and sees that the host is as it was.
func (r *run) fix(ctx context.Context, m *machine, s Step, a *Answer, wrong *[]string) error {
	miss := func(format string, args ...any) {
		*wrong = append(*wrong, fmt.Sprintf("line %d: fix %d: %s", s.Line, s.Ask.Fix, fmt.Sprintf(format, args...)))
	}
	if len(a.Fixes) < s.Ask.Fix {
		miss("there are %d", len(a.Fixes))
		return nil
	}
	f := a.Fixes[s.Ask.Fix-1]
	if len(f.Commands) == 0 || f.Title == "" || f.Opens == "" {
		miss("it lacks commands, title or what it opens: %+v", f)
		return nil
	}
	before, err := r.state(ctx, m)
	if err != nil {
		return err
	}
	for _, argv := range f.Commands {
		// A process may have ended with one that was told so before it; that what
		// holds the port is gone is seen below.
		if _, err := r.foreground(ctx, m, Options{}, argv); err != nil && argv[0] != "kill" {
			miss("%v", err)
			return nil
		}
	}
	if err := r.mended(ctx, s.Ask); err != nil {
		miss("applied %q, and yet: %v", f.Commands, err)
	}
	now, _, err := r.portwhy(m.command(ctx, s.Options, "", append([]string{"portwhy", "-o", "json"}, s.Args...)))
	if err != nil {
		return err
	}
	if good := now.Status == "ok" || now.Status == "warning"; !good && !s.Ask.allows(f, now) {
		miss("applied %q, and the answer is now\n%s", f.Commands, now.Brief())
	}
	if f.Predicted != now.Outcome && f.Predicted != "unknown" {
		miss("it was to end in %s, and ends in %s", f.Predicted, now.Outcome)
	}
	if s.Ask.NoUndo {
		return nil
	}
	if len(f.Undo) == 0 {
		miss("it has no undo")
	}
	for _, argv := range f.Undo {
		if _, err := r.foreground(ctx, m, Options{}, argv); err != nil {
			miss("undo: %v", err)
		}
	}
	after, err := r.restored(ctx, m, before)
	if err != nil {
		return err
	}
	if before != after {
		miss("undone, the host is not as before:\n%s\nbut\n%s", before, after)
	}
	if s.Ask.Apply {
		return r.applied(ctx, m, s, before, miss)
	}
	return nil
}

// mended sees that the last symptom is gone, in a while: what is told to end or to
// start anew takes a moment.
func (r *run) mended(ctx context.Context, e *Ask) error {
	if r.fault == nil || e.Partly {
		return nil
	}
	again := *r.fault
	again.Symptom = &Symptom{Word: "ok"}
	if slices.Contains(again.Args, "-read") || again.Args[0] == "connect" && slices.Contains(again.Args, "udp") {
		again.Symptom.Word = "data"
	}
	for started := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if err := r.symptom(ctx, r.machines[again.Host], again); err == nil || time.Since(started) > mendTime {
			return err
		}
	}
}

// restored is the host's state when it is as before again, or else after a while:
// that a bridge has lost its last member the kernel notes a moment later.
func (r *run) restored(ctx context.Context, m *machine, before string) (string, error) {
	for started := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		after, err := r.state(ctx, m)
		if err != nil || after == before || time.Since(started) > mendTime {
			return after, err
		}
	}
}

// applied lets portwhy itself apply the fix and undo it.
func (r *run) applied(ctx context.Context, m *machine, s Step, before string, miss func(string, ...any)) error {
	const journal = "/run/lab/journal"
	fix := append([]string{"portwhy", "--journal=" + journal, "--apply", strconv.Itoa(s.Ask.Fix), "--yes"}, s.Args[1:]...)
	fix = slices.Insert(fix, 1, "fix")
	out, err := r.foreground(ctx, m, s.Options, fix)
	if err != nil {
		miss("%v", err)
		return nil
	}
	r.tell("%s$ %s\n%s", m.Name, strings.Join(fix, " "), out)
	_, id, _ := strings.Cut(strings.TrimSpace(out), "fix undo ")
	id, _, _ = strings.Cut(id, " ")
	if out, err = r.foreground(ctx, m, s.Options, []string{"portwhy", "fix", "undo", id, "--journal", journal}); err != nil {
		miss("%v", err)
	}
	after, err := r.restored(ctx, m, before)
	if err != nil {
		return err
	}
	if before != after {
		miss("undone by portwhy (%s), the host is not as before:\n%s\nbut\n%s", out, before, after)
	}
	return nil
}

// passing are packets and bytes, which go on, and whether a bridge has a carrier,
// which follows its ports a moment later.
var passing = regexp.MustCompile(`\[\d+:\d+\]|packets \d+ bytes \d+| linkdown\b`)

// vethRE finds devices that Docker makes for a container, each time with another name.
var vethRE = regexp.MustCompile(`\bveth[0-9a-f]{7}\b`)

// state is what fixes change of a host: rules, routes, settings.
func (r *run) state(ctx context.Context, m *machine) (string, error) {
	var b strings.Builder
	for _, argv := range [][]string{{"nft", "-s", "list", "ruleset"}, {"iptables-legacy-save"}, {"ip6tables-legacy-save"}, {"ip", "rule"}, {"ip", "-6", "rule"},
		{"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"}, {"sh", "-c", "sysctl -a 2>/dev/null | grep -E '^net[.](ipv4|ipv6|netfilter|bridge)[.]' | grep -v -E 'count|stat'"}} {
		out, err := r.foreground(ctx, m, Options{}, argv)
		if err != nil && argv[0] != "iptables-legacy-save" && argv[0] != "ip6tables-legacy-save" && argv[0] != "nft" {
			return "", err
		}
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "#") && !vethRE.MatchString(line) {
				b.WriteString(strings.TrimSuffix(passing.ReplaceAllString(line, ""), "\n") + "\n")
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
