package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/check"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// checkFlags say how checks are run and where the answer goes.
type checkFlags struct {
	files    []string
	expect   string
	out      string
	wait     time.Duration
	watch    time.Duration
	rounds   int
	retry    int
	parallel int
}

// maxWait bounds --wait and --watch: longer is a mistake of units.
const maxWait = 24 * time.Hour

func newCheck(s *session) *cobra.Command {
	var c checkFlags
	cmd := &cobra.Command{
		Use:   "check [TARGET...]",
		Short: "Check what must hold, for scripts and monitoring: targets, or a file of checks",
		Long: `check asks whether each TARGET can be reached, or whether all holds that the files
say: reachable or refused, answered by whom, a certificate's days, latency, how full a
queue is, who alone has a port, from which networks it can be reached, an unchanged
firewall. What fails is diagnosed.

A file begins with "version: 1"; portwhy schema checks describes the rest. The exit
status is the highest of all checks: 0 passed, 1 a warning, 2 failed, 3 unknown.`,
		Example: "  portwhy check db1:5432 https://shop.example/\n  portwhy check -f checks.yaml --wait 30s\n  portwhy check -f checks.yaml -o junit --file report.xml",
		RunE:    func(cmd *cobra.Command, args []string) error { return s.runChecks(cmd, args, c) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&c.files, "checks", "f", nil, "read checks from the YAML `FILE` (- is stdin); may be given several times")
	f.StringVar(&c.expect, "expect", string(check.Reachable), "what has to become of each TARGET: reachable, refused or closed")
	f.StringVar(&c.out, "file", "", "write the answer to `FILE`, all at once in the place of what is there")
	f.DurationVar(&c.wait, "wait", 0, "ask again and again until all checks pass, for as long as this")
	f.DurationVar(&c.watch, "watch", 0, "go on for ever, with this pause between rounds")
	f.IntVar(&c.rounds, "rounds", 0, "with --watch: end after so many rounds")
	f.IntVar(&c.retry, "retry", 0, "ask a check that fails so many times more")
	f.IntVar(&c.parallel, "parallel", 32, "how many checks may run at once")
	must(cmd.RegisterFlagCompletionFunc("expect", cobra.FixedCompletions([]string{"reachable", "refused", "closed"}, cobra.ShellCompDirectiveNoFileComp)))
	outputs(cmd, "text", "json", "ndjson", "yaml", "junit", "tap", "nagios", "prometheus", "sarif")
	takesRules(cmd)
	return cmd
}

func (s *session) runChecks(cmd *cobra.Command, args []string, c checkFlags) error {
	if err := c.valid(s); err != nil {
		return err
	}
	specs, err := s.readChecks(cmd, args, c)
	if err != nil {
		return err
	}
	// What this host does says nothing of other rules.
	noProbe := s.noProbe || len(s.rulesFiles) > 0
	r := check.Runner{Open: s.openForRound, ReadFile: s.readFile, Stations: s.Checks, Version: s.build().Version, NoProbe: noProbe,
		Timeout: s.timeout, Parallel: c.parallel, Retry: c.retry, Wait: c.wait}
	for round := 1; ; round++ {
		results, err := s.runRound(cmd.Context(), r, specs)
		if err != nil {
			return err
		}
		if err := s.answerChecks(results, c, round); err != nil {
			return err
		}
		if c.watch == 0 || round == c.rounds {
			return nil
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(c.watch):
		}
	}
}

// openForRound opens the host anew, with the rules of --rules if there are any.
func (s *session) openForRound(ctx context.Context) (host.Host, error) {
	h, err := s.open()
	if err != nil {
		return nil, err
	}
	return s.withRules(ctx, h)
}

// runRound runs the checks. A panic in one goes on in this goroutine, where the
// handler is.
func (s *session) runRound(ctx context.Context, r check.Runner, specs []check.Spec) (*check.Results, error) {
	defer func() {
		if v := recover(); v != nil {
			if p, ok := v.(*check.Panic); ok {
				v = &caught{p.Value, p.Stack}
			}
			panic(v)
		}
	}()
	results, err := r.Run(ctx, specs)
	var f *failure
	switch {
	case errors.As(err, &f):
		return nil, err
	case errors.Is(err, host.ErrNotRecorded):
		return nil, usage("%s: %w", s.snapshot, err)
	case err != nil:
		return nil, undetermined("%w", err)
	}
	for _, c := range results.Checks {
		s.log.Debug().Str("check", render.Escape(c.Name)).Stringer("status", c.Status).Float64("ms", c.DurationMS).Msg("checked")
	}
	return results, nil
}

func (c checkFlags) valid(s *session) error {
	for name, d := range map[string]time.Duration{"wait": c.wait, "watch": c.watch} {
		if d < 0 || d > maxWait {
			return usage("--%s %v: it is from 0 to %v", name, d, maxWait)
		}
	}
	switch {
	case c.wait > 0 && c.watch > 0:
		return usage("--wait and --watch exclude each other: one ends when all is well, the other never")
	case c.rounds < 0 || c.rounds > 0 && c.watch == 0:
		return usage("--rounds %d: it bounds --watch", c.rounds)
	case c.retry < 0 || c.retry > 100:
		return usage("--retry %d: it is from 0 to 100", c.retry)
	case c.parallel < 1 || c.parallel > 256:
		return usage("--parallel %d: it is from 1 to 256", c.parallel)
	case (c.wait > 0 || c.watch > 0) && s.snapshot != "":
		return usage("--snapshot: a recording doesn't change, so there is nothing to wait for")
	case c.watch > 0 && c.out == "" && s.output != "text" && s.output != "ndjson":
		return usage("--watch writes text or ndjson; other forms with --file, which is replaced each round")
	case !slices.Contains([]string{"reachable", "refused", "closed"}, c.expect):
		return usage("--expect %q: it is reachable, refused or closed", render.Cut(c.expect, 40))
	}
	if c.out != "" {
		if err := mayWrite(c.out, true); err != nil {
			return usage("--file %s: %w", c.out, err)
		}
	}
	return nil
}

// readChecks puts together what is asked: the targets, then the files.
func (s *session) readChecks(cmd *cobra.Command, args []string, c checkFlags) ([]check.Spec, error) {
	var specs []check.Spec
	for _, a := range args {
		t, err := diagnose.ParseTarget(a)
		if err != nil {
			return nil, usage("%w", err)
		}
		specs = append(specs, check.ForTarget(t, check.Expect(c.expect)))
	}
	if len(args) == 0 && cmd.Flags().Changed("expect") {
		return nil, usage("--expect is for a TARGET; a file says it for each check")
	}
	stdin := 0
	for _, path := range c.files {
		if path == "-" {
			stdin++
		}
	}
	if stdin > 1 || stdin == 1 && (s.snapshot == "-" || slices.Contains(s.rulesFiles, "-")) {
		return nil, usage("-f -: standard input can be read once")
	}
	for _, path := range c.files {
		more, err := s.readCheckFile(path)
		if err != nil {
			return nil, usage("%w", err)
		}
		specs = append(specs, more...)
	}
	if len(specs) == 0 {
		return nil, usage("nothing to check: give a TARGET, or a file with -f (see %s --help)", cmd.CommandPath())
	}
	return specs, nil
}

func (s *session) readCheckFile(path string) ([]check.Spec, error) {
	if path == "-" {
		return check.Read("-", s.Stdin)
	}
	f, err := openPlain(path)
	if err != nil {
		return nil, fmt.Errorf("-f %s: %w", path, err)
	}
	defer f.Close()
	return check.Read(path, f)
}

// answerChecks writes one round's results, to --file or to standard output.
func (s *session) answerChecks(results *check.Results, c checkFlags, round int) error {
	s.status = int(results.Status)
	doc, err := s.checksDocument(results)
	if err != nil {
		return err
	}
	if c.out != "" {
		if err := replace(c.out, doc); err != nil {
			return undetermined("--file %s: %w", c.out, err)
		}
		return nil
	}
	if c.watch > 0 && s.output == "text" {
		head := results.At.Local().Format(time.DateTime) + "\n"
		if round > 1 {
			head = "\n" + head
		}
		doc = append([]byte(head), doc...)
	}
	return s.print(doc)
}

func (s *session) checksDocument(results *check.Results) ([]byte, error) {
	switch s.output {
	case "json":
		return render.JSON(results)
	case "yaml":
		return render.YAML(results)
	case "ndjson":
		return render.NDJSON(results.Lines())
	case "junit":
		return render.JUnit(results)
	case "tap":
		return render.TAP(results), nil
	case "nagios":
		return render.NagiosChecks(results), nil
	case "prometheus":
		return render.Prometheus(results), nil
	case "sarif":
		return render.SARIF(results)
	}
	return render.Checks(results, render.TextOptions{Width: s.width(), Color: s.colored(), Checks: s.verbose}), nil
}

// replace writes a file all at once: whoever reads it sees the old or the new
// content. It keeps the mode of what it replaces; a new file may be read by all,
// as monitoring runs as another user.
func replace(path string, content []byte) error {
	mode := os.FileMode(0o644)
	if st, err := os.Lstat(path); err == nil {
		mode = st.Mode().Perm()
	}
	return writeAs(path, content, true, mode)
}
