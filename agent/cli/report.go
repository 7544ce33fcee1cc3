package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/portwhy/portwhy/agent/redact"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/agent/report"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

// reportFlags are how a support report is made.
type reportFlags struct {
	recordFlags
	file, level string
}

func newReport(s *session) *cobra.Command {
	var r reportFlags
	cmd := &cobra.Command{
		Use:   "report [TARGET...]",
		Short: "Make a support report: one file to send, redacted, that can be diagnosed again elsewhere",
		Long: `report diagnoses the targets and writes one file, readable by you alone: the
answer as a page (report.html), to paste (report.md) and as JSON, and the facts
that it follows from (snapshot). Where the file is sent to,
"portwhy --snapshot FILE" gives the same answer.

Secrets, addresses and names are replaced in the facts, and the answer is then
found anew from what is left, so that nothing else can be in it. --redact secrets
keeps addresses and names, --redact none everything; what was replaced is said in
redaction.md. Look at the report before you send it: portwhy report show FILE.

With --snapshot the report is made of a recording instead of this host.`,
		Example:           "  sudo portwhy report db1:5432\n  portwhy report show portwhy-report-*.tar.zst\n  portwhy --snapshot portwhy-report-host-20261122-093000.tar.zst",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return s.report(cmd, args, r) },
	}
	cmd.Flags().BoolVar(&r.bind, "bind", false, "ask whether the targets can be bound, instead of connecting")
	cmd.Flags().StringVar(&r.user, "user", "", "with --bind: as the user `NAME|UID`")
	cmd.Flags().StringVar(&r.from, "from", "", "could `ADDR[%IF][:PORT]` reach the targets on this host? Nothing is sent")
	r.add(cmd)
	outputs(cmd, "text", "json", "yaml")
	cmd.AddCommand(newReportShow(s), newReportVerify(s), newReportRedact(s))
	return cmd
}

// add are the options of every command that writes a report.
func (r *reportFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.file, "file", "", "write the report to this new `FILE` (- is stdout); without it, to portwhy-report-HOST-TIME.tar.zst here")
	cmd.Flags().StringVar(&r.level, "redact", redact.All.String(), "replace `none|secrets|all`")
	must(cmd.RegisterFlagCompletionFunc("redact", cobra.FixedCompletions([]string{"none", "secrets", "all"}, cobra.ShellCompDirectiveNoFileComp)))
}

// facts are what a report is made of: a recording, and what is asked of it.
type facts struct {
	recording []byte
	asked     report.Asked
	// answers are those from the facts before they were redacted; nil: not known.
	answers []*diagnose.Report
}

func (s *session) report(cmd *cobra.Command, args []string, r reportFlags) error {
	level, err := redact.ParseLevel(r.level)
	if err != nil {
		return usage("--redact: %w", err)
	}
	q, err := s.questionOf(args, r.recordFlags)
	if err != nil {
		return err
	}
	if len(args) > report.MaxTargets {
		return usage("%d targets; a report is about %d at most", len(args), report.MaxTargets)
	}
	if err := s.mayReport(r.file); err != nil {
		return err
	}
	p := s.startProgress()
	defer p.stop()
	f := facts{asked: report.Asked{Question: q.options.Question, From: r.from, NoProbe: q.options.NoProbe}}
	for _, t := range q.targets {
		f.asked.Targets = append(f.asked.Targets, t.Input)
	}
	if s.snapshot != "" {
		if f.recording, err = s.recordingOf(s.snapshot); err != nil {
			return err
		}
	} else if f.recording, f.answers, err = s.recordHost(cmd, q, p.tell); err != nil {
		return err
	}
	if q.user != "" {
		uid, err := s.recordedUser(cmd, f.recording, q.user)
		if err != nil {
			return err
		}
		f.asked.User = &uid
	}
	return s.writeReport(cmd.Context(), f, level, r.file, p)
}

// mayReport tells early what could not be written.
func (s *session) mayReport(path string) error {
	switch path {
	case "":
		return nil // a name that nobody has yet
	case "-":
		if f, ok := s.Stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return usage("--file -: a report isn't written to a terminal")
		}
		return nil
	}
	if err := mayWrite(path, false); err != nil {
		return usage("--file %s: %w", path, newName(err))
	}
	return nil
}

// recordedUser is who --user means on the host that was recorded.
func (s *session) recordedUser(cmd *cobra.Command, recording []byte, user string) (uint32, error) {
	h, err := replay.Open(bytes.NewReader(recording))
	if err != nil {
		return 0, usage("--snapshot: %w", err)
	}
	return userID(cmd, h, user)
}

// writeReport redacts the facts, answers from what is left of them, and writes
// the archive.
func (s *session) writeReport(ctx context.Context, f facts, level redact.Level, path string, p *progress) error {
	p.tell("redacting")
	redactor := redact.New(level, nil)
	var far diagnose.Options
	if err := parseFrom(f.asked.From, &far); err != nil {
		return err
	}
	hints := f.asked.Targets
	if far.From.IsValid() {
		hints = append(hints[:len(hints):len(hints)], far.From.String())
	}
	recording, err := redactor.Snapshot(f.recording, hints...)
	if err != nil {
		return undetermined("%w", err)
	}
	asked := f.asked
	asked.Targets = make([]string, len(f.asked.Targets))
	for i, t := range f.asked.Targets {
		asked.Targets[i] = redactor.Target(t)
	}
	if far.From.IsValid() {
		asked.From = fromText(redactor.Target(far.From.String()), far.FromDevice, far.FromPort)
	}
	p.tell("diagnosing what is left")
	h, err := replay.Open(bytes.NewReader(recording))
	if err != nil {
		return undetermined("the redacted facts: %w", err)
	}
	answers, err := s.answer(ctx, h, asked)
	if err != nil {
		return err
	}
	p.tell("writing")
	manifest := report.Manifest{Tool: diagnose.ToolOf(s.build().Version), At: time.Now().UTC().Truncate(time.Second), Redaction: level.String(), Asked: asked}
	files, err := s.files(ctx, h, answers, redactor.Summary())
	if err != nil {
		return err
	}
	// They were made of redacted facts, so nothing else can be in them; a
	// mistake in that would be the worst one.
	for name, content := range files {
		if left := redactor.Left(content); len(left) > 0 {
			return undetermined("nothing was written: %d of the replaced names would still be in %s", len(left), name)
		}
	}
	files[report.SnapshotName] = recording
	doc, err := report.Pack(manifest, files)
	if err != nil {
		return undetermined("%w", err)
	}
	if path == "" {
		info, err := h.Info(ctx)
		if err != nil {
			return undetermined("%w", err)
		}
		path = reportName(info.Hostname, manifest.At, level)
	}
	p.stop()
	if path == "-" {
		return s.print(doc)
	}
	if err := writePrivate(path, doc, false); err != nil {
		return usage("--file %s: %w", path, newName(err))
	}
	for i, was := range f.answers {
		if now := answers[i]; code(was) != code(now) || was.Status != now.Status {
			fmt.Fprintf(s.Stderr, "portwhy: what redaction left gives another answer about %s: %s instead of %s; --redact secrets leaves more\n",
				render.Escape(asked.Targets[i]), render.Escape(code(now)), render.Escape(code(was)))
		}
	}
	if s.output != "text" {
		a, err := report.Read(bytes.NewReader(doc))
		if err != nil {
			return fmt.Errorf("reading what was written: %w", err)
		}
		return s.document(a.Manifest)
	}
	return s.print(written(path, doc, redactor.Summary()))
}

// fromText is what parseFrom understands.
func fromText(addr, device string, port uint16) string {
	if device != "" {
		addr += "%" + device
	}
	if port != 0 {
		return net.JoinHostPort(addr, strconv.Itoa(int(port)))
	}
	return addr
}

// code names an answer in brief.
func code(r *diagnose.Report) string {
	if r.RootCause != nil {
		return r.RootCause.Code
	}
	return r.Status.String()
}

// answer diagnoses what a report is about.
func (s *session) answer(ctx context.Context, h host.Host, asked report.Asked) ([]*diagnose.Report, error) {
	o := diagnose.Options{Question: asked.Question, NoProbe: asked.NoProbe || s.noProbe, Timeout: s.timeout, UID: asked.User, Version: s.build().Version}
	if err := parseFrom(asked.From, &o); err != nil {
		return nil, err
	}
	var err error
	targets := make([]diagnose.Target, len(asked.Targets))
	for i, t := range asked.Targets {
		if targets[i], err = diagnose.ParseTarget(t); err != nil {
			return nil, usage("the report's target %q: %w", render.Cut(t, 80), err)
		}
	}
	return s.runAll(ctx, h, targets, o)
}

// files renders the answers in every form.
func (s *session) files(ctx context.Context, h host.Host, answers []*diagnose.Report, summary redact.Summary) (map[string][]byte, error) {
	list, err := listeners.Read(ctx, h, listeners.Query{Args: true, Version: s.build().Version})
	if err != nil {
		return nil, undetermined("listing who listens: %w", err)
	}
	page, err := render.HTML(answers, render.HTMLOptions{Listeners: list, Replaced: &summary})
	if err != nil {
		return nil, err
	}
	var document any = render.Collect(answers)
	if len(answers) == 1 {
		document = answers[0]
	}
	asJSON, err := render.JSON(document)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{report.HTMLName: page, report.MarkdownName: render.Issue(answers, list), report.JSONName: asJSON,
		report.RedactionName: render.Redaction(summary)}, nil
}

// reportName is the name of a report for which none was given. The host's own
// is in it only as far as any file system and shell takes it.
func reportName(hostname string, at time.Time, level redact.Level) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, hostname)
	safe = strings.Trim(safe[:min(len(safe), 40)], "-")
	if safe == "" {
		safe = "host"
	}
	name := "portwhy-report-" + safe + "-" + at.Format("20060102-150405")
	if level == redact.None {
		name += "-UNREDACTED"
	}
	return name + ".tar.zst"
}

// written says what was done, and what to do next.
func written(path string, doc []byte, summary redact.Summary) []byte {
	n := 0
	for _, r := range summary.Replaced {
		n += r.Count
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Wrote %s (%d kB), which only you can read.\n", render.Escape(path), kilobytes(doc))
	switch summary.Level {
	case redact.None.String():
		b.WriteString("Nothing was redacted: it holds names, addresses and command lines of this host, with whatever secrets are in them.\n")
	default:
		fmt.Fprintf(&b, "Redacted: %s; %d names, addresses and secrets were replaced (redaction.md in it).\n", summary.Level, n)
	}
	fmt.Fprintf(&b, "Look through it before you send it: portwhy report show %s\n", render.Command([]string{path}))
	return []byte(b.String())
}

// newName is for who can't replace a file.
func newName(err error) error {
	if err == errExists {
		return fmt.Errorf("is there already; name a new one")
	}
	return err
}
