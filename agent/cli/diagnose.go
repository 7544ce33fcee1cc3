package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// reportForms are the forms of a report.
var reportForms = []string{"text", "json", "yaml", "markdown", "html", "nagios"}

// diagnoseFlags belong to diagnose and to a bare target.
type diagnoseFlags struct {
	trace   bool
	payload string
	from    string
}

func (d *diagnoseFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&d.trace, "trace", false, "show every check with all that it saw")
	cmd.Flags().StringVar(&d.from, "from", "", "could `ADDR[%IF][:PORT]` reach the target on this host? Nothing is sent")
	cmd.Flags().StringVar(&d.payload, "payload", "", "send this `TEXT` to a UDP target; \\n and \\x00 as in Go")
}

func newDiagnose(s *session) *cobra.Command {
	var d diagnoseFlags
	cmd := &cobra.Command{
		Use:               "diagnose TARGET...",
		Short:             "Tell why a connection doesn't work (the default command)",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && s.snapshot == "" {
				return arguments(1, many)(cmd, args)
			}
			return s.diagnose(cmd, args, d)
		},
	}
	d.add(cmd)
	outputs(cmd, reportForms...)
	takesRules(cmd)
	return cmd
}

func (s *session) diagnose(cmd *cobra.Command, args []string, d diagnoseFlags) error {
	if len(args) == 0 {
		return s.askAgain(cmd, d.trace)
	}
	targets := make([]diagnose.Target, len(args))
	for i, a := range args {
		t, err := diagnose.ParseTarget(a)
		if err != nil {
			return usage("%w%s", err, suggestion(cmd, a))
		}
		targets[i] = t
	}
	payload, err := unescape(d.payload)
	if err != nil {
		return err
	}
	o := diagnose.Options{Question: diagnose.AskConnect, NoProbe: s.noProbe, Timeout: s.timeout, Payload: payload, Version: s.build().Version}
	if err := parseFrom(d.from, &o); err != nil {
		return err
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	// What this host does says nothing of other rules.
	o.NoProbe = o.NoProbe || len(s.rulesFiles) > 0
	if h, err = s.withRules(cmd.Context(), h); err != nil {
		return err
	}
	reports, err := s.runAll(cmd.Context(), h, targets, o)
	if err != nil {
		return err
	}
	return s.render(reports, d.trace)
}

// suggestion helps when a command was mistyped: it was taken for a target.
func suggestion(cmd *cobra.Command, arg string) string {
	if cmd.HasParent() {
		return ""
	}
	near := cmd.SuggestionsFor(arg)
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf("; or did you mean the command %s?", strings.Join(near, " or "))
}

// apart is how long one target gets before the next begins beside it. Counters
// of the kernel that move during a probe prove more if only one probe runs, so
// targets overlap only where one takes long.
const apart = 200 * time.Millisecond

// maxParallel bounds the diagnoses that run at once.
const maxParallel = 16

// runAll diagnoses all targets and returns their reports in the same order.
func (s *session) runAll(ctx context.Context, h host.Host, targets []diagnose.Target, o diagnose.Options) ([]*diagnose.Report, error) {
	reports := make([]*diagnose.Report, len(targets))
	errs := make([]error, len(targets))
	panics := make([]*caught, len(targets))
	var wait sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for i, t := range targets {
		done := make(chan struct{})
		slots <- struct{}{}
		wait.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					panics[i] = &caught{v, debug.Stack()}
				}
				<-slots
				close(done)
			}()
			reports[i], errs[i] = diagnose.Run(ctx, h, t, s.Checks, o)
		})
		select {
		case <-done:
		case <-time.After(apart):
		}
	}
	wait.Wait()
	for i, t := range targets {
		if panics[i] != nil {
			panic(panics[i])
		}
		if errs[i] != nil {
			if errors.Is(errs[i], host.ErrNotRecorded) {
				return nil, usage("%s: %w", s.snapshot, errs[i])
			}
			return nil, undetermined("%w", errs[i])
		}
		s.log.Debug().Str("target", render.Escape(t.Input)).Str("question", string(o.Question)).Stringer("status", reports[i].Status).
			Stringer("outcome", reports[i].Outcome).Float64("ms", reports[i].DurationMS).Msg("diagnosed")
	}
	return reports, nil
}

// render prints reports in the form that was asked for; the highest status
// becomes the exit status.
func (s *session) render(reports []*diagnose.Report, trace bool) error {
	status := diagnose.OK
	for _, r := range reports {
		status = diagnose.Worse(status, r.Status)
	}
	s.status = int(status)
	switch s.output {
	case "json", "yaml":
		if len(reports) == 1 {
			return s.document(reports[0])
		}
		return s.document(render.Collect(reports))
	case "markdown":
		return s.print(render.Markdown(reports))
	case "html":
		page, err := render.HTML(reports, render.HTMLOptions{})
		if err != nil {
			return err
		}
		return s.print(page)
	case "nagios":
		return s.print(render.Nagios(reports))
	}
	return s.print(render.Text(reports, render.TextOptions{Width: s.width(), Color: s.colored(), Checks: s.verbose, Trace: trace}))
}

// parseFrom understands ADDR[%IF] of --from, and with a port ADDR[%IF]:PORT or
// [ADDR[%IF]]:PORT; the zone of an IPv6 address is its device.
func parseFrom(text string, o *diagnose.Options) error {
	if text == "" {
		return nil
	}
	bare, port := text, ""
	if at := strings.LastIndexByte(text, ':'); at > 0 && (strings.Count(text, ":") == 1 || text[at-1] == ']') {
		bare, port = strings.Trim(text[:at], "[]"), text[at+1:]
	}
	ip, device, zoned := strings.Cut(bare, "%")
	addr, err := netip.ParseAddr(ip)
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || addr.IsUnspecified() || addr.IsMulticast():
		return usage("--from %q: want the address of one host, as in 10.0.0.9 or fe80::1%%eth0", text)
	case zoned && (device == "" || len(device) > 15 || strings.ContainsAny(device, "/ %")):
		return usage("--from %q: %q is no device", text, device)
	case bare != text && (portErr != nil || n == 0):
		return usage("--from %q: %q is no port", text, port)
	}
	o.From, o.FromPort, o.FromDevice = addr.Unmap(), uint16(n), device
	return nil
}
