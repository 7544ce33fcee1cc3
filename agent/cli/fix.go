package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/fix"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// fixFlags are how a fix is applied.
type fixFlags struct {
	diagnoseFlags
	apply   string
	yes     bool
	confirm time.Duration
}

// FixesSchema names the JSON form of [Fixes].
const FixesSchema = "portwhy.fixes/v1"

// Fixes is the journal of what fix has done.
type Fixes struct {
	Schema string      `json:"schema"`
	Fixes  []fix.Entry `json:"fixes"`
}

const (
	defaultJournal = "/var/lib/portwhy/fixes"
	lockTime       = 10 * time.Second
	maxConfirm     = 24 * time.Hour
)

func newFix(s *session) *cobra.Command {
	var f fixFlags
	cmd := &cobra.Command{
		Use:   "fix TARGET",
		Short: "Show what mends a connection; apply it, with a way back",
		Long: `fix diagnoses TARGET and shows the fixes: the commands, what each newly lets
through, and how it was tried. With --apply it runs one, sees whether the outcome is
as predicted, and takes it back if not. A process of its own watches: if portwhy is
killed or the terminal is lost, the host goes back to its old state. With
--confirm-within the fix is taken back unless "portwhy fix confirm ID" comes in
time: for what may cut off your own connection.

What was done is in the journal, ` + defaultJournal + ` (portwhy fix log);
"portwhy fix undo ID" takes a fix back later.`,
		Example:           "  portwhy fix 8080\n  sudo portwhy fix 8080 --apply 1 --confirm-within 60s\n  sudo portwhy fix undo 20261129-101112",
		Args:              arguments(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return s.fix(cmd, args[0], f) },
	}
	cmd.Flags().StringVar(&f.from, "from", "", "mend the way in from `ADDR[%IF][:PORT]`")
	cmd.Flags().StringVar(&f.apply, "apply", "", "apply the fix of this `NUMBER`")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "don't ask before applying")
	cmd.Flags().DurationVar(&f.confirm, "confirm-within", 0, "take the fix back unless it is confirmed within this time")
	cmd.PersistentFlags().StringVar(&s.fixes, "journal", defaultJournal, "the `DIRECTORY` of the journal")
	outputs(cmd, "text", "json", "yaml")
	cmd.AddCommand(newFixStep(s, "undo ID", "Take back a fix", s.fixUndo), newFixStep(s, "confirm ID", "Keep a fix that waits to be confirmed", s.fixConfirm),
		newFixLog(s), newFixGuard(s), newFixRemoveRule(s))
	return cmd
}

func newFixStep(s *session, use, short string, run func(context.Context, *fix.Journal, string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments(1, 1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			j, unlock, err := s.journal(cmd.Context())
			if err != nil {
				return err
			}
			defer unlock()
			return run(cmd.Context(), j, args[0])
		}}
	outputs(cmd, "text")
	return cmd
}

// journal opens the journal and keeps others from changing the host.
func (s *session) journal(ctx context.Context) (*fix.Journal, func(), error) {
	if s.netns != "" || s.snapshot != "" {
		return nil, nil, usage("a fix is for this host as it is: without --netns and --snapshot")
	}
	j, err := fix.OpenJournal(s.fixes)
	if err != nil {
		return nil, nil, undetermined("%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTime)
	defer cancel()
	unlock, err := j.Lock(ctx)
	if err != nil {
		return nil, nil, undetermined("%w", err)
	}
	return j, unlock, nil
}

func (s *session) fix(cmd *cobra.Command, target string, f fixFlags) error {
	ctx := cmd.Context()
	t, err := diagnose.ParseTarget(target)
	if err != nil {
		return usage("%w", err)
	}
	o := diagnose.Options{Question: diagnose.AskConnect, NoProbe: s.noProbe, Timeout: s.timeout, Version: s.build().Version}
	if err := parseFrom(f.from, &o); err != nil {
		return err
	}
	if f.confirm < 0 || f.confirm > maxConfirm {
		return usage("--confirm-within %v: it is up to %v", f.confirm, maxConfirm)
	}
	if f.apply == "" {
		if f.yes || f.confirm != 0 {
			return usage("--yes and --confirm-within go with --apply")
		}
		h, err := s.open()
		if err != nil {
			return err
		}
		reports, err := s.runAll(ctx, h, []diagnose.Target{t}, o)
		if err != nil {
			return err
		}
		return s.showFixes(reports[0])
	}
	return s.applyFix(ctx, t, o, f)
}

// showFixes prints the report's fixes.
func (s *session) showFixes(r *diagnose.Report) error {
	s.status = int(r.Status)
	if s.output != "text" {
		return s.document(r)
	}
	return s.print(render.Fixes(r, render.TextOptions{Width: s.width(), Color: s.colored()}))
}

func (s *session) applyFix(ctx context.Context, t diagnose.Target, o diagnose.Options, f fixFlags) error {
	j, unlock, err := s.journal(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	hands := s.hands()
	if recovered, err := j.Recover(ctx, hands); err != nil {
		return undetermined("rolling back what was left behind: %w", err)
	} else if len(recovered) > 0 {
		return undetermined("fix %s had been left half done: it is rolled back now; look again", recovered[0].ID)
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	before, err := hands.Print(ctx, nil)
	if err != nil {
		return undetermined("%w", err)
	}
	reports, err := s.runAll(ctx, h, []diagnose.Target{t}, o)
	if err != nil {
		return err
	}
	r := reports[0]
	chosen, err := choose(r, f.apply)
	if err != nil {
		return err
	}
	planned, err := s.planned(ctx, hands, before, chosen)
	if err != nil {
		return undetermined("%w", err)
	}
	if !f.yes {
		if err := s.confirmed(r, chosen); err != nil {
			return err
		}
	}
	id, err := j.NewID(time.Now())
	if err != nil {
		return undetermined("%w", err)
	}
	ends, good := "", false
	hands.Verify = func(ctx context.Context) (string, bool, error) {
		live, err := s.live()
		if err != nil {
			return "", false, err
		}
		now, err := diagnose.Run(ctx, live, t, s.Checks, o)
		if err != nil {
			return "", false, err
		}
		ends, good = now.Outcome.String(), now.Status == diagnose.OK || now.Status == diagnose.Warning
		return ends, good, nil
	}
	e := &fix.Entry{Schema: fix.Schema, ID: id, At: time.Now().UTC(), By: s.user(), Target: t.Input, From: f.from, Cause: chosen.Cause, Title: chosen.Title,
		Commands: chosen.Commands, Undo: chosen.Undo, Opens: chosen.Opens, Predicted: chosen.PredictedOutcome.String()}
	if err := j.Apply(ctx, e, planned, f.confirm, hands); err != nil {
		s.status = int(diagnose.Broken)
		return &failure{int(diagnose.Broken), fmt.Errorf("fix %s: %w", id, err)}
	}
	named := s.named(id)
	what := "it works"
	if !good {
		// The fix was for one of several blockers.
		s.status = int(diagnose.Broken)
		what = fmt.Sprintf("this one is mended, and it still ends in %s, as predicted", ends)
	}
	if e.State == fix.Unconfirmed {
		return s.print(fmt.Appendf(nil, "Applied as %s: %s. It is rolled back in %v unless you say: portwhy fix confirm %s\n", id, what, f.confirm, named))
	}
	return s.print(fmt.Appendf(nil, "Applied as %s: %s. To take it back: portwhy fix undo %s\n", id, what, named))
}

// named is what fix undo and fix confirm take to find a fix.
func (s *session) named(id string) string {
	if s.fixes == defaultJournal {
		return id
	}
	return id + " --journal " + render.Command([]string{s.fixes})
}

// tellLeft says on stderr, once, that a fix was left half done: what is looked at
// then is neither the old state of the host nor the new one.
func (s *session) tellLeft() {
	s.toldLeft.Do(func() {
		if e := fix.Left(s.fixes); e != nil {
			fmt.Fprintf(s.Stderr, "portwhy: a fix of %s UTC was left half done: portwhy fix undo %s takes it back\n", e.At.UTC().Format("2006-01-02 15:04"), render.Escape(s.named(e.ID)))
		}
	})
}

// choose finds the fix of a number.
func choose(r *diagnose.Report, id string) (diagnose.Fix, error) {
	for _, f := range r.Fixes {
		if f.ID == id {
			if len(f.Commands) == 0 || len(f.Undo) == 0 {
				return f, usage("fix %s can't be applied by portwhy: it has no commands, or no way back", id)
			}
			return f, nil
		}
	}
	switch {
	case r.Status == diagnose.OK:
		return diagnose.Fix{}, usage("--apply %s: it works, there is nothing to mend", render.Cut(id, 20))
	case len(r.Fixes) == 0:
		return diagnose.Fix{}, usage("--apply %s: there is no fix for what is found", render.Cut(id, 20))
	}
	return diagnose.Fix{}, usage("--apply %s: there are fixes 1 to %d", render.Cut(id, 20), len(r.Fixes))
}

// confirmed asks on the terminal.
func (s *session) confirmed(r *diagnose.Report, f diagnose.Fix) error {
	if _, tty := s.Terminal(); !tty {
		return usage("--apply asks before it changes anything, and there is no terminal: --yes says yes")
	}
	fmt.Fprintf(s.Stderr, "%s\n%sApply fix %s? [y/N] ", render.Escape(f.Title), render.Fixes(r, render.TextOptions{Width: s.width()}), render.Escape(f.ID))
	line, _ := bufio.NewReader(s.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return usage("nothing was changed")
	}
	return nil
}

// startGuard starts this program anew, in a session of its own.
func startGuard(journal, id string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "fix", "guard", id, "--journal", journal)
	cmd.SysProcAttr = ownSession()
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// user is who applies a fix.
func (s *session) user() string {
	by := fmt.Sprintf("uid %d", os.Getuid())
	if sudo := s.Getenv("SUDO_USER"); sudo != "" {
		by += ", by sudo " + string([]rune(host.Clean([]byte(sudo), 64)))
	}
	return by
}

func (s *session) fixUndo(ctx context.Context, j *fix.Journal, id string) error {
	e, err := j.Load(id)
	if err != nil {
		return usage("%w", err)
	}
	if err := j.Undo(ctx, e, s.hands()); err != nil {
		return undetermined("fix %s: %w", id, err)
	}
	return s.print(fmt.Appendf(nil, "Fix %s is undone.\n", id))
}

func (s *session) fixConfirm(_ context.Context, j *fix.Journal, id string) error {
	e, err := j.Load(id)
	if err != nil {
		return usage("%w", err)
	}
	if err := j.Confirm(e); err != nil {
		return undetermined("%w", err)
	}
	return s.print(fmt.Appendf(nil, "Fix %s stays.\n", id))
}

func newFixGuard(s *session) *cobra.Command {
	cmd := &cobra.Command{Use: "guard ID", Hidden: true, Args: arguments(1, 1), RunE: func(cmd *cobra.Command, args []string) error {
		j, err := fix.OpenJournal(s.fixes)
		if err != nil {
			return undetermined("%w", err)
		}
		if err := j.Guard(cmd.Context(), args[0], s.hands()); err != nil {
			return undetermined("%w", err)
		}
		return nil
	}}
	outputs(cmd, "text")
	return cmd
}

func newFixLog(s *session) *cobra.Command {
	cmd := &cobra.Command{Use: "log", Short: "List what was done by fix", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		if _, err := os.Stat(s.fixes); errors.Is(err, os.ErrNotExist) {
			return s.print([]byte("Nothing was done.\n"))
		}
		j, err := fix.OpenJournal(s.fixes)
		if err != nil {
			return undetermined("%w", err)
		}
		list, err := j.List()
		if err != nil {
			return undetermined("%w", err)
		}
		s.tellLeft()
		if s.output != "text" {
			doc := Fixes{Schema: FixesSchema, Fixes: []fix.Entry{}}
			for _, e := range list {
				doc.Fixes = append(doc.Fixes, *e)
			}
			return s.document(doc)
		}
		return s.print(render.FixLog(list))
	}}
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

// newFixRemoveRule is the undo of a rule that was added to nftables, whose handle
// is known only when it is there.
func newFixRemoveRule(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove-rule FAMILY TABLE CHAIN COMMENT", Short: "Delete the rules of a chain of nftables that have this comment",
		Args: arguments(4, 4), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := s.live()
			if err != nil {
				return err
			}
			fw, err := h.Firewall(cmd.Context())
			if err != nil {
				return undetermined("%w", err)
			}
			handles := firewall.Commented(fw.Rules, args[0], args[1], args[2], args[3])
			for _, handle := range handles {
				if err := fix.Run(cmd.Context(), []string{"nft", "delete", "rule", args[0], args[1], args[2], "handle", fmt.Sprint(handle)}, nil); err != nil {
					return undetermined("%w", err)
				}
			}
			if len(handles) == 0 {
				return undetermined("no rule of %s %s %s has the comment %q", args[0], args[1], args[2], render.Cut(args[3], 60))
			}
			return nil
		},
	}
	outputs(cmd, "text")
	return cmd
}
