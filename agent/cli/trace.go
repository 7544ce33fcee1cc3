package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/rules/eval"
)

func newTrace(s *session) *cobra.Command {
	var facts, batch string
	var packet firewall.Packet
	cmd := &cobra.Command{
		Use:   "trace --proto P --src A[:PORT] --dst A[:PORT]",
		Short: "Tell what the firewall does with one packet, step by step",
		Long: `trace takes a packet through the rules as the kernel would: every base chain in
order, connection tracking, NAT and routing. No packet is sent. Without --way the
host's routes decide. A port, device or user that is not told is not known: where a
rule asks for it the answer is unknown, with the reason, unless it makes no
difference. So are the packet's length, what it carries and, if it comes from
elsewhere, its hop limit. The rest is as Linux sends it: a SYN with its options, an
echo request.

` + rulesAbout + `
Rules from files know nothing of this host: --host FILE takes addresses, routes and
settings from a recording (portwhy snapshot); without it --way, --iif and --oif say
what is needed.

--batch reads one packet a line as JSON, with the flags' names as keys, and writes
one answer a line.

Exit status: 0 accepted, 2 dropped or rejected, 3 not known.`,
		Example: "  sudo portwhy trace --proto tcp --src 10.0.0.9 --dst 10.0.0.5:8080 --iif eth0\n" +
			"  portwhy trace --rules saved.rules --way in --iif eth0 --proto udp --src 10.0.0.9 --dst 10.0.0.5:53 -o json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.trace(cmd, facts, batch, packet)
		},
	}
	f := cmd.Flags()
	f.StringVar(&facts, "host", "", "with --rules: facts of the host from the recording `FILE`")
	f.StringVar(&batch, "batch", "", "trace the packets in `FILE` (- is stdin)")
	f.StringVar(&packet.Proto, "proto", "", "tcp, udp, icmp, icmpv6, … or a number")
	f.StringVar(&packet.Src, "src", "", "source `ADDR[:PORT]`")
	f.StringVar(&packet.Dst, "dst", "", "destination `ADDR[:PORT]`")
	f.StringVar(&packet.IIF, "iif", "", "the `DEVICE` that it comes by")
	f.StringVar(&packet.OIF, "oif", "", "the `DEVICE` that it leaves by")
	f.StringVar(&packet.Way, "way", "", "in, out, forward or local")
	f.StringVar(&packet.State, "state", "", "new, established, related, invalid or untracked (default new)")
	f.StringVar((*string)(&packet.Mark), "mark", "", "its mark, as in 0x10")
	f.StringVar((*string)(&packet.UID), "uid", "", "the user `ID` of the process that sends it")
	f.StringVar(&packet.Flags, "flags", "", "TCP `FLAGS`, as in syn,ack (default syn, or ack if established)")
	for name, values := range map[string][]string{"way": {"in", "out", "forward", "local"}, "state": {"new", "established", "related", "invalid", "untracked"},
		"proto": {"tcp", "udp", "icmp", "icmpv6"}} {
		must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	outputs(cmd, "text", "json", "yaml")
	takesRules(cmd)
	return cmd
}

func (s *session) trace(cmd *cobra.Command, facts, batch string, packet firewall.Packet) error {
	ctx := cmd.Context()
	if facts != "" {
		if len(s.rulesFiles) == 0 || s.snapshot != "" {
			return usage("--host goes with --rules, and without --snapshot")
		}
		s.snapshot, s.asHost = facts, true
	}
	if batch == "-" && (s.snapshot == "-" || slices.Contains(s.rulesFiles, "-")) {
		return usage("--batch -: standard input can be read once")
	}
	if facts == "-" && slices.Contains(s.rulesFiles, "-") {
		return usage("--host -: standard input can be read once")
	}
	if batch != "" && packet != (firewall.Packet{}) {
		return usage("--batch: the packets are in the file, not in flags")
	}
	packets := s.Stdin
	if batch != "" && batch != "-" {
		f, err := openPlain(batch)
		if err != nil {
			return usage("--batch %s: %w", batch, err)
		}
		defer f.Close()
		packets = f
	}
	t, err := s.tracer(ctx)
	if err != nil {
		return err
	}
	if batch != "" {
		return s.batch(t, packets, batch)
	}
	answer, err := t.Trace(packet)
	if err != nil {
		return usage("trace: %w", err)
	}
	s.status = int(traceStatus(answer))
	if s.output != "text" {
		return s.document(answer)
	}
	return s.print(render.Trace(answer, render.TextOptions{Width: s.width(), Color: s.colored()}))
}

func (s *session) tracer(ctx context.Context) (*firewall.Tracer, error) {
	fw, h, err := s.firewall(ctx)
	if err != nil {
		return nil, err
	}
	if len(fw.Limits) > 0 {
		l := fw.Limits[0]
		return nil, undetermined("trace: %s can't be read: %s; this needs %s", l.What, l.Why, l.Needs)
	}
	var known eval.Host
	if h != nil {
		known = firewall.Facts(ctx, h)
	}
	return firewall.NewTracer(fw.Rules, known, firewall.Printer(ctx, h), s.build().Version), nil
}

func traceStatus(t *firewall.Trace) diagnose.Status {
	switch t.Verdict {
	case "accept":
		return diagnose.OK
	case "drop", "reject":
		return diagnose.Broken
	}
	return diagnose.StatusUnknown
}

// maxLine bounds a line of --batch.
const maxLine = 64 << 10

// batch answers one packet a line of the file at path, as soon as it is read.
func (s *session) batch(t *firewall.Tracer, in io.Reader, path string) error {
	out := bufio.NewWriter(s.Stdout)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	enc := json.NewEncoder(out)
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		packet, err := readPacket(line)
		if err != nil {
			return errors.Join(usage("--batch %s:%d:%d: %w", path, n, columnOf(err), err), out.Flush())
		}
		answer, err := t.Trace(packet)
		if err != nil {
			return errors.Join(usage("--batch %s:%d:1: %w", path, n, err), out.Flush())
		}
		s.status = max(s.status, int(traceStatus(answer)))
		if err := enc.Encode(answer); err != nil {
			return undetermined("writing the answer: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return usage("--batch %s:%d:1: %w", path, n+1, err)
	}
	if err := out.Flush(); err != nil {
		return undetermined("writing the answer: %w", err)
	}
	return nil
}

// readPacket reads one line of a batch.
func readPacket(line []byte) (packet firewall.Packet, err error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&packet); err != nil {
		return packet, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return packet, errors.New("one packet a line")
	}
	return packet, nil
}

// columnOf is where JSON says that a line is wrong, else where the line begins.
func columnOf(err error) int {
	var syntax *json.SyntaxError
	var value *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return max(1, int(syntax.Offset))
	case errors.As(err, &value):
		return max(1, int(value.Offset))
	}
	return 1
}
