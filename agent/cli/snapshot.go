package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

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
		Args:    arguments(1, many),
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
	q, err := s.questionOf(args, r)
	if err != nil {
		return err
	}
	if path != "-" {
		if err := mayWrite(path, r.force); err != nil {
			return usage("snapshot %s: %w", path, err)
		}
	}
	doc, _, err := s.recordHost(cmd, q, func(string) {})
	if err != nil {
		return err
	}
	doc = render.VisibleJSON(doc)
	if path == "-" {
		return s.print(doc)
	}
	if err := writePrivate(path, doc, r.force); err != nil {
		return usage("snapshot %s: %w", path, err)
	}
	return s.print(fmt.Appendf(nil, "Wrote %s (%d kB). It holds names, command lines and addresses of this host: look through it before you hand it on.\n",
		render.Escape(path), kilobytes(doc)))
}

func kilobytes(doc []byte) int { return (len(doc) + 1023) / 1024 }

// question is what a recording is to answer.
type question struct {
	targets []diagnose.Target
	options diagnose.Options
	user    string // of --user
	// shown is the [diagnose.Target.Input] of targets that were typed with secrets.
	shown map[string]string
}

// questionOf understands what the user asks to have recorded.
func (s *session) questionOf(args []string, r recordFlags) (question, error) {
	q := question{options: diagnose.Options{Question: diagnose.AskConnect, NoProbe: s.noProbe, Timeout: s.timeout, Version: s.build().Version}, user: r.user, shown: map[string]string{}}
	if r.bind {
		q.options.Question = diagnose.AskBind
	}
	for _, a := range args {
		if rest, ok := strings.CutPrefix(a, "*:"); ok && r.bind {
			a = ":" + rest
		}
		t, err := diagnose.ParseTarget(a)
		if err != nil {
			return q, usage("%w", err)
		}
		q.targets = append(q.targets, t)
		if t.Input != a {
			q.shown[a] = t.Input
		}
	}
	if r.user != "" && !r.bind {
		return q, usage("--user goes with --bind")
	}
	return q, parseFrom(r.from, &q.options)
}

// recordHost diagnoses this host and records all that the question, or a
// broader one, needs. It returns the recording and the answer, and tells what
// it is at.
func (s *session) recordHost(cmd *cobra.Command, q question, tell func(string)) ([]byte, []*diagnose.Report, error) {
	h, err := s.live()
	if err != nil {
		return nil, nil, err
	}
	ctx := cmd.Context()
	recorder := replay.Record(h)
	if q.user != "" {
		uid, err := userID(cmd, recorder, q.user)
		if err != nil {
			return nil, nil, err
		}
		q.options.UID = &uid
	}
	bind := q.options.Question == diagnose.AskBind
	tell("diagnosing")
	connecting := q.options
	connecting.Question, connecting.UID, connecting.NoProbe = diagnose.AskConnect, nil, q.options.NoProbe || bind
	answer, err := s.runAll(ctx, recorder, q.targets, connecting)
	if err != nil {
		return nil, nil, err
	}
	// What a bind would need to know is recorded, too, and tried only if asked.
	binding := q.options
	binding.Question, binding.NoProbe, binding.From, binding.FromPort, binding.FromDevice = diagnose.AskBind, q.options.NoProbe || !bind, netip.Addr{}, 0, ""
	bound, err := s.runAll(ctx, recorder, q.targets, binding)
	if err != nil {
		return nil, nil, err
	}
	if bind {
		answer = bound
	}
	tell("reading this host")
	if err := replay.Everything(ctx, recorder); err != nil {
		return nil, nil, undetermined("reading this host: %w", err)
	}
	var doc bytes.Buffer
	if err := recorder.Save(&doc, "portwhy "+q.options.Version); err != nil {
		return nil, nil, undetermined("%w", err)
	}
	return q.forget(doc.Bytes()), answer, nil
}

// forget takes the secrets of the targets out of a recording: they stand in the
// command lines of this program and of what called it.
func (q question) forget(recording []byte) []byte {
	// The longest first: another may be its beginning.
	for _, typed := range slices.SortedFunc(maps.Keys(q.shown), func(a, b string) int { return len(b) - len(a) }) {
		recording = bytes.ReplaceAll(recording, inJSON(typed), inJSON(q.shown[typed]))
	}
	return recording
}

// inJSON is how a text stands within a string of a recording.
func inJSON(text string) []byte {
	b, err := json.Marshal(text)
	must(err)
	return b[1 : len(b)-1]
}
