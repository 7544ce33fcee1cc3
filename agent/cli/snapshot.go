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
	var r recordFlags
	cmd := &cobra.Command{
		Use:   "snapshot FILE [TARGET...]",
		Short: "Record this host's facts, to be diagnosed elsewhere with --snapshot",
		Long: `snapshot writes what can be read of this host into FILE (- is stdout), readable by
you alone. With targets, it diagnoses them and records what their probes saw, so
that the recording gives the same answer; with --bind their ports are bound for a
moment, too, as the bind command does. It holds names, command lines and
addresses of this host: look through it before you hand it on.`,
		Example: "  portwhy snapshot host.json db1:5432\n  portwhy --snapshot host.json db1:5432",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return s.record(cmd, args[0], args[1:], r) },
	}
	cmd.Flags().BoolVar(&r.force, "force", false, "replace FILE if it is there")
	cmd.Flags().BoolVar(&r.bind, "bind", false, "try to bind the targets and record that, instead of connecting")
	cmd.Flags().StringVar(&r.user, "user", "", "with --bind: as the user `NAME|UID`")
	cmd.Flags().StringVar(&r.from, "from", "", "record what the way in from `ADDR[%IF][:PORT]` needs")
	outputs(cmd, "text")
	return cmd
}

// recordFlags are how a snapshot is made.
type recordFlags struct {
	force, bind bool
	user, from  string
}

func (s *session) record(cmd *cobra.Command, path string, args []string, r recordFlags) error {
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
	if r.user != "" && !r.bind {
		return usage("--user goes with --bind")
	}
	o := diagnose.Options{Question: diagnose.AskConnect, NoProbe: s.noProbe || r.bind, Timeout: s.timeout, Version: s.build().Version}
	if err := parseFrom(r.from, &o); err != nil {
		return err
	}
	if path != "-" {
		if err := mayWrite(path, r.force); err != nil {
			return usage("snapshot %s: %w", path, err)
		}
	}
	h, err := s.live()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	recorder := replay.Record(h)
	version := o.Version
	if _, err := s.runAll(ctx, recorder, targets, o); err != nil {
		return err
	}
	// What a bind would need to know is recorded, too, and tried only if asked.
	o = diagnose.Options{Question: diagnose.AskBind, NoProbe: s.noProbe || !r.bind, Timeout: s.timeout, Version: version}
	if r.user != "" {
		uid, err := userID(cmd, recorder, r.user)
		if err != nil {
			return err
		}
		o.UID = &uid
	}
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
	if err := writePrivate(path, doc.Bytes(), r.force); err != nil {
		return usage("snapshot %s: %w", path, err)
	}
	return s.print(fmt.Appendf(nil, "Wrote %s (%d kB). It holds names, command lines and addresses of this host: look through it before you hand it on.\n",
		render.Escape(path), (doc.Len()+1023)/1024))
}
