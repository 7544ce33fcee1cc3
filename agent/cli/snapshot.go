package cli

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/replay"
)

func newSnapshot(s *session) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "snapshot FILE [TARGET...]",
		Short: "Record this host's facts, to be diagnosed elsewhere with --snapshot",
		Long: `snapshot writes what can be read of this host into FILE (- is stdout), readable by
you alone. With targets, it diagnoses them and records what their probes saw, so
that the recording gives the same answer. It holds names, command lines and
addresses of this host: look through it before you hand it on.`,
		Example: "  portwhy snapshot host.json db1:5432\n  portwhy --snapshot host.json db1:5432",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.record(cmd, args[0], args[1:], force) },
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	outputs(cmd, "text")
	return cmd
}

func (s *session) record(cmd *cobra.Command, path string, args []string, force bool) error {
	if s.snapshot != "" {
		return usage("--snapshot: a recording is made of a live host")
	}
	targets := make([]diagnose.Target, len(args))
	for i, a := range args {
		t, err := diagnose.ParseTarget(a)
		if err != nil {
			return usage("%w", err)
		}
		targets[i] = t
	}
	if path != "-" {
		if err := mayWrite(path, force); err != nil {
			return usage("snapshot %s: %w", path, err)
		}
	}
	h, err := s.live()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	recorder := replay.Record(h)
	version := s.build().Version
	o := diagnose.Options{Question: diagnose.AskConnect, NoProbe: s.noProbe, Timeout: s.timeout, Version: version}
	if _, err := s.runAll(ctx, recorder, targets, o); err != nil {
		return err
	}
	// What a bind would need to know is recorded, too; it is not tried.
	o.Question, o.NoProbe = diagnose.AskBind, true
	if _, err := s.runAll(ctx, recorder, targets, o); err != nil {
		return err
	}
	if err := replay.Everything(ctx, recorder); err != nil {
		return undetermined("reading this host: %w", err)
	}
	var doc bytes.Buffer
	if err := recorder.Save(&doc, "portwhy "+version); err != nil {
		return undetermined("%w", err)
	}
	if path == "-" {
		return s.print(doc.Bytes())
	}
	if err := writePrivate(path, doc.Bytes(), force); err != nil {
		return usage("snapshot %s: %w", path, err)
	}
	return s.print(fmt.Appendf(nil, "Wrote %s (%d kB). It holds names, command lines and addresses of this host: look through it before you hand it on.\n",
		render.Escape(path), (doc.Len()+1023)/1024))
}
