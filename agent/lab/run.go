//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	markerName   = "PORTWHY_LAB"
	cgroupPrefix = "pw-lab-"
	tmpPrefix    = "portwhy-lab-"
	scenarioTime = 90 * time.Second
	commandTime  = 40 * time.Second
	waitTime     = 40 * time.Second
	mendTime     = 10 * time.Second
)

// Lab runs scenarios with one pair of binaries.
type Lab struct {
	bin     string // directory with portwhy and fault
	tmp     string
	data    string // testdata/scenarios
	cgroups string // where groups can be made; empty: nowhere
	userNS  bool   // root in a user namespace only
	marker  string // in the environment of whatever the lab starts
}

// run is one scenario on its way.
type run struct {
	*Lab
	s        *Scenario
	dir      string
	machines map[string]*machine
	answers  []answered
	fault    *Step // the last symptom that shows a fault
	// log tells what was done, for the report of a failure.
	log strings.Builder
}

type answered struct {
	step     Step
	live     *Answer
	snapshot string
}

// Run plays one scenario and returns what was not as it should be, with the
// log of what was done. Everything that it started is gone when it returns.
func (l *Lab) Run(ctx context.Context, s *Scenario) (wrong []string, log string) {
	ctx, cancel := context.WithTimeout(ctx, scenarioTime)
	defer cancel()
	r := &run{Lab: l, s: s, dir: filepath.Join(l.tmp, s.Group+"-"+s.Slug), machines: map[string]*machine{}}
	if s.Recorded != "" {
		return r.recorded(ctx), r.log.String()
	}
	err := r.play(ctx, &wrong)
	if err != nil {
		wrong = append(wrong, err.Error())
		r.tellOutputs()
	}
	if err == nil {
		wrong = append(wrong, r.writes(ctx)...)
	}
	for _, m := range r.machines {
		if err := m.halt(); err != nil {
			wrong = append(wrong, "left behind: "+err.Error())
		}
	}
	if err == nil {
		r.replay(ctx, &wrong)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		wrong = append(wrong, "left behind: "+err.Error())
	}
	return wrong, r.log.String()
}

func (r *run) play(ctx context.Context, wrong *[]string) error {
	for _, h := range r.s.Hosts {
		m, err := r.boot(ctx, r.s, h, filepath.Join(r.dir, h.Name))
		if m != nil {
			r.machines[h.Name] = m
		}
		if err != nil {
			return err
		}
	}
	for _, step := range r.s.Steps {
		if err := r.step(ctx, step, wrong); err != nil {
			return fmt.Errorf("line %d: %w", step.Line, err)
		}
	}
	return nil
}

func (r *run) tell(format string, args ...any) { fmt.Fprintf(&r.log, format+"\n", args...) }

func (r *run) tellOutputs() {
	for _, m := range r.machines {
		for name, p := range m.procs {
			if out := p.out.String(); out != "" {
				r.tell("output of %s on %s: %s", name, m.Name, out)
			}
		}
	}
}

func (r *run) step(ctx context.Context, s Step, wrong *[]string) error {
	m := r.machines[s.Host]
	switch s.Verb {
	case "link":
		return r.link(ctx, s.Link)
	case "run":
		_, err := r.foreground(ctx, m, s.Options, s.Args)
		return err
	case "start":
		return r.start(ctx, m, s)
	case "wait":
		return r.wait(ctx, m, s)
	case "symptom":
		return r.symptom(ctx, m, s)
	case "ask":
		return r.ask(ctx, m, s, wrong)
	case "check":
		return r.check(ctx, m, s, wrong)
	}
	return fmt.Errorf("unknown step %q", s.Verb)
}

// foreground runs a command to its end and returns its standard output.
func (r *run) foreground(ctx context.Context, m *machine, o Options, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := m.command(ctx, o, "", argv)
	var stderr output
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // a daemon that it left may keep the pipe open
		return string(out), fmt.Errorf("%s$ %s: %w: %s%s", m.Name, strings.Join(argv, " "), err, out, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

// link makes a veth pair between two hosts, in the first one's network namespace
// but with outer pids, and addresses its ends.
func (r *run) link(ctx context.Context, l *Link) error {
	a, b := r.machines[l.A.Host], r.machines[l.B.Host]
	add := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(a.pid), "-n", "ip", "link", "add", l.A.Device, "type", "veth",
		"peer", "name", l.B.Device, "netns", strconv.Itoa(b.pid))
	if out, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("link %s:%s to %s:%s: %w: %s", l.A.Host, l.A.Device, l.B.Host, l.B.Device, err, out)
	}
	for _, e := range []End{l.A, l.B} {
		lines := []string{"link set " + e.Device + " up"}
		for _, addr := range e.Addresses {
			line := "address add " + addr + " dev " + e.Device
			if strings.Contains(addr, ":") {
				line += " nodad"
			}
			lines = append(lines, line)
		}
		m := r.machines[e.Host]
		if _, err := r.foreground(ctx, m, Options{}, []string{"sh", "-c", "printf '" + strings.Join(lines, `\n`) + "' | ip -batch -"}); err != nil {
			return err
		}
	}
	return nil
}

// start starts a process; one of the fault tool is waited for until it is ready.
func (r *run) start(ctx context.Context, m *machine, s Step) error {
	p, err := m.start(s.Options, s.Name, s.Args)
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.Name, err)
	}
	return r.until(ctx, "the start of "+s.Name, func() (bool, error) {
		_, err := os.Stat(filepath.Join(m.dir, "pid", s.Name))
		if err == nil && (s.Args[0] != "fault" || strings.Contains(p.out.String(), "READY")) {
			return true, nil
		}
		select {
		case <-p.done:
			return false, fmt.Errorf("%s ended: %s", s.Name, p.out)
		default:
			return false, nil
		}
	})
}

// until waits for a condition, in bounded time.
func (r *run) until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// wait: listens tcp|udp PORT, file PATH, prints NAME TEXT, ends NAME, ok CMD….
func (r *run) wait(ctx context.Context, m *machine, s Step) error {
	kind, args := s.Args[0], s.Args[1:]
	what := strings.Join(s.Args, " ")
	switch {
	case kind == "listens" && len(args) == 2:
		port, err := strconv.ParseUint(args[1], 10, 16)
		if err != nil {
			return err
		}
		return r.until(ctx, what, func() (bool, error) { return m.listens(args[0], uint16(port)), nil })
	case kind == "prints" && len(args) == 2 && m.procs[args[0]] != nil:
		return r.until(ctx, what, func() (bool, error) { return strings.Contains(m.procs[args[0]].out.String(), args[1]), nil })
	case kind == "ends" && len(args) == 1 && m.procs[args[0]] != nil:
		return r.until(ctx, what, func() (bool, error) {
			select {
			case <-m.procs[args[0]].done:
				return true, nil
			default:
				return false, nil
			}
		})
	case kind == "ok" && len(args) > 0:
		var last error
		err := r.until(ctx, what, func() (bool, error) {
			_, last = r.foreground(ctx, m, s.Options, args)
			return last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("%w: %w", err, last)
		}
		return nil
	}
	return fmt.Errorf("wait %s: want listens tcp|udp PORT, prints NAME TEXT, ends NAME or ok CMD", what)
}

// listens looks into /proc/PID/net of the host's first process, from outside.
func (m *machine) listens(network string, port uint16) bool {
	state := map[string]string{"tcp": "0A", "udp": "07"}[network]
	for _, six := range []string{"", "6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s%s", m.pid, network, six))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == state && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return true
			}
		}
	}
	return false
}

// symptom shows that the fault is there, with an ordinary connect or bind.
func (r *run) symptom(ctx context.Context, m *machine, s Step) error {
	out, err := r.foreground(ctx, m, s.Options, append([]string{"fault"}, s.Args...))
	if err != nil {
		return err
	}
	word, after, _ := strings.Cut(out, " ")
	ms, _ := strconv.ParseInt(after, 10, 64)
	r.tell("%s$ %s: %s", m.Name, strings.Join(s.Args, " "), out)
	y := s.Symptom
	if y.Word != "ok" {
		r.fault = &s
	}
	if word != y.Word || y.FasterMS > 0 && ms >= y.FasterMS || y.SlowerMS > 0 && ms <= y.SlowerMS {
		return fmt.Errorf("%s shows %s, want %+v", strings.Join(s.Args, " "), out, *y)
	}
	return nil
}

// ask puts the question live and records the host for the replay.
func (r *run) ask(ctx context.Context, m *machine, s Step, wrong *[]string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	started := time.Now()
	a, exit, err := r.portwhy(m.command(ctx, s.Options, "", append([]string{"portwhy", "-o", "json"}, s.Args...)))
	if err != nil {
		return err
	}
	r.tell("%s$ portwhy %s (%d ms)\n%s", m.Name, strings.Join(s.Args, " "), time.Since(started).Milliseconds(), a.Brief())
	ask := *s.Ask
	ask.Culprit = m.expandFields(ask.Culprit)
	ask.Server = m.expandFields(ask.Server)
	ask.Findings = slices.Clone(ask.Findings)
	for i, f := range ask.Findings {
		ask.Findings[i].Culprit = m.expandFields(f.Culprit)
	}
	for _, w := range ask.Compare(a, exit) {
		*wrong = append(*wrong, fmt.Sprintf("line %d: portwhy %s: %s", s.Line, strings.Join(s.Args, " "), w))
	}
	if w := ask.Unmended(a); w != "" {
		*wrong = append(*wrong, fmt.Sprintf("line %d: portwhy %s: %s", s.Line, strings.Join(s.Args, " "), w))
	}
	if ask.NoReplay == "" {
		r.record(ctx, m, s, a, wrong)
	}
	if ask.Fix > 0 {
		return r.fix(ctx, m, s, a, wrong)
	}
	return nil
}

// record makes the snapshot that is asked the same question later.
func (r *run) record(ctx context.Context, m *machine, s Step, a *Answer, wrong *[]string) {
	file := fmt.Sprintf("out/%d.snapshot", s.Line)
	args := append([]string{"portwhy", "snapshot", "/run/lab/" + file}, questionOf(s.Args)...)
	if _, err := r.foreground(ctx, m, s.Options, args); err != nil {
		*wrong = append(*wrong, fmt.Sprintf("line %d: %v", s.Line, err))
		return
	}
	r.answers = append(r.answers, answered{s, a, filepath.Join(m.dir, file)})
}

func (m *machine) expandFields(f map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range f {
		out[k] = os.Expand(v, m.variable)
	}
	return out
}
