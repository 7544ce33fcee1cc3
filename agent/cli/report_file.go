package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/redact"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/agent/report"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

func newReportShow(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show the answer that a report holds",
		Long: `show prints what the report's maker was told, from report.json; nothing is
diagnosed. The exit status is that of the answer.`,
		Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error { return s.reportShow(args[0]) },
	}
	outputs(cmd, reportForms...)
	return cmd
}

func newReportVerify(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "See whether a report is whole: hashes, schemas, nothing extra",
		Long: `verify reads all of the report, as every command does that takes one, and says
what is in it. The hashes show what was damaged or changed on the way, not who
made the report.`,
		Args: arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error { return s.reportVerify(args[0]) },
	}
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

func newReportRedact(s *session) *cobra.Command {
	var r reportFlags
	cmd := &cobra.Command{
		Use:   "redact FILE",
		Short: "Make a new report of one, with more replaced",
		Args:  arguments(1, 1),
		RunE:  func(cmd *cobra.Command, args []string) error { return s.reportRedact(cmd, args[0], r) },
	}
	r.add(cmd)
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

// openReport reads a report from a plain file, or from standard input.
func (s *session) openReport(path string) (*report.Archive, error) {
	in := s.Stdin
	if path != "-" {
		f, err := openPlain(path)
		if err != nil {
			return nil, usage("%s: %w", path, err)
		}
		defer f.Close()
		in = f
	}
	a, err := report.Read(in)
	if err != nil {
		return nil, usage("%s: %w", path, err)
	}
	return a, nil
}

func (s *session) reportShow(path string) error {
	a, err := s.openReport(path)
	if err != nil {
		return err
	}
	answers, err := answersOf(a)
	if err != nil {
		return usage("%s: %w", path, err)
	}
	if len(answers) == 0 {
		return s.print([]byte("No target was asked about; the snapshot holds the facts: portwhy ls --snapshot " + render.Command([]string{path}) + "\n"))
	}
	return s.render(answers, false)
}

// answersOf reads the answers back. Their strings are as hostile as any.
func answersOf(a *report.Archive) ([]*diagnose.Report, error) {
	doc := a.File(report.JSONName)
	var kind struct{ Schema string }
	if err := json.Unmarshal(doc, &kind); err != nil {
		return nil, fmt.Errorf("its %s: %w", report.JSONName, err)
	}
	var all render.Reports
	var err error
	switch kind.Schema {
	case diagnose.ReportSchema:
		var one diagnose.Report
		err = json.Unmarshal(doc, &one)
		all.Reports = []*diagnose.Report{&one}
	case render.ReportsSchema:
		err = json.Unmarshal(doc, &all)
	default:
		err = fmt.Errorf("is a %.60q", kind.Schema)
	}
	if err != nil {
		return nil, fmt.Errorf("its %s: %w", report.JSONName, err)
	}
	for i, r := range all.Reports {
		if r == nil {
			return nil, fmt.Errorf("its %s: answer %d is null", report.JSONName, i+1)
		}
	}
	return all.Reports, nil
}

func (s *session) reportVerify(path string) error {
	a, err := s.openReport(path)
	if err != nil {
		return err
	}
	answers, err := answersOf(a)
	if err != nil {
		return usage("%s: %w", path, err)
	}
	if _, err := replay.Open(bytes.NewReader(a.File(report.SnapshotName))); err != nil {
		return usage("%s: its %s: %w", path, report.SnapshotName, err)
	}
	if len(answers) != len(a.Manifest.Asked.Targets) {
		return usage("%s: its %s asks about %d targets, its %s answers %d", path, report.ManifestName, len(a.Manifest.Asked.Targets), report.JSONName, len(answers))
	}
	if s.output != "text" {
		return s.document(a.Manifest)
	}
	var b strings.Builder
	m := a.Manifest
	fmt.Fprintf(&b, "✓ %s   a whole report of %s %s, %s, redaction: %s\n\n", render.Escape(path), render.Escape(m.Tool.Name), render.Escape(m.Tool.Version),
		m.At.UTC().Format("2006-01-02 15:04:05 UTC"), m.Redaction)
	for _, f := range m.Files {
		fmt.Fprintf(&b, "  %-14s %9d bytes   %s\n", render.Escape(f.Name), f.Size, render.Escape(f.About))
	}
	return s.print([]byte(b.String()))
}

func (s *session) reportRedact(cmd *cobra.Command, path string, r reportFlags) error {
	level, err := redact.ParseLevel(r.level)
	if err != nil {
		return usage("--redact: %w", err)
	}
	if err := s.mayReport(r.file); err != nil {
		return err
	}
	a, err := s.openReport(path)
	if err != nil {
		return err
	}
	had, err := redact.ParseLevel(a.Manifest.Redaction)
	if err != nil {
		return usage("%s: %w", path, err)
	}
	if level >= had {
		return usage("%s: it was made with --redact %s, so that %s replaces no more", path, had, level)
	}
	p := s.startProgress()
	defer p.stop()
	answers, err := answersOf(a)
	if err != nil {
		return usage("%s: %w", path, err)
	}
	if len(answers) != len(a.Manifest.Asked.Targets) {
		answers = nil
	}
	return s.writeReport(cmd.Context(), facts{a.File(report.SnapshotName), a.Manifest.Asked, answers}, level, r.file, p)
}

// readFacts reads a recording, or a report that holds one; the report is nil
// for a recording of its own.
func (s *session) readFacts(in io.Reader) ([]byte, *report.Archive, error) {
	buffered := bufio.NewReader(in)
	begin, err := buffered.Peek(4)
	if err == nil && report.Magic(begin) {
		a, err := report.Read(buffered)
		if err != nil {
			return nil, nil, err
		}
		return a.File(report.SnapshotName), a, nil
	}
	doc, err := io.ReadAll(io.LimitReader(buffered, maxRecording+1))
	switch {
	case err != nil:
		return nil, nil, err
	case len(doc) > maxRecording:
		return nil, nil, fmt.Errorf("is larger than a recording may be (%d MB)", maxRecording>>20)
	}
	return doc, nil, nil
}

// maxRecording bounds a recording, in bytes.
const maxRecording = 512 << 20

// recordingOf reads a recording for a report. A report isn't taken: it says
// itself what was asked and how far it is redacted.
func (s *session) recordingOf(path string) ([]byte, error) {
	doc, a, err := s.readSnapshot(path)
	if err == nil && a != nil {
		err = errors.New("is a report; portwhy report redact makes another one of it")
	}
	if err == nil {
		_, err = replay.Open(bytes.NewReader(doc))
	}
	if err != nil {
		return nil, usage("--snapshot %s: %w", path, err)
	}
	return doc, nil
}

func (s *session) readSnapshot(path string) ([]byte, *report.Archive, error) {
	if path == "-" {
		return s.readFacts(s.Stdin)
	}
	f, err := openPlain(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return s.readFacts(f)
}

// openSnapshot opens what --snapshot names: a recording, or a report, which
// then says what was asked.
func (s *session) openSnapshot(path string) (host.Host, *report.Asked, error) {
	flag := "--snapshot"
	if s.asHost {
		flag = "--host"
	}
	doc, a, err := s.readSnapshot(path)
	if err != nil {
		return nil, nil, usage("%s %s: %w", flag, path, err)
	}
	h, err := replay.Open(bytes.NewReader(doc))
	if err != nil {
		return nil, nil, usage("%s %s: %w", flag, path, err)
	}
	s.log.Debug().Bool("recording", true).Msg("looking at a recording")
	if a == nil {
		return h, nil, nil
	}
	return h, &a.Manifest.Asked, nil
}

// askAgain answers what a report was asked.
func (s *session) askAgain(cmd *cobra.Command, trace bool) error {
	h, asked, err := s.openSnapshot(s.snapshot)
	switch {
	case err != nil:
		return err
	case asked == nil:
		return usage("--snapshot %s is a recording, which doesn't say what was asked: name a target", s.snapshot)
	case len(asked.Targets) == 0:
		return usage("--snapshot %s: the report was made without a target: name one", s.snapshot)
	}
	reports, err := s.answer(cmd.Context(), h, *asked)
	if err != nil {
		return err
	}
	return s.render(reports, trace)
}
