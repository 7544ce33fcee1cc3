package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
)

func newRulesWhy(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why RULE|HANDLE|PORT",
		Short: "Tell why a rule has no effect: shadowed, overruled, never reached",
		Long: `why makes a packet that the rule is for and takes it through the firewall: does it
come to the rule, and does the rule decide? RULE is a rule's text or a part of it,
HANDLE a number as in "inet filter input handle 7" (for iptables the rule's number,
as in "ip filter INPUT 3"), PORT stands for all rules about it, as in :8080.

Exit status: 0 each rule decides, 1 one has no effect, 3 it can't be told.`,
		Example: "  sudo portwhy rules why :8080\n  sudo portwhy rules why inet filter input handle 7\n  portwhy rules why --rules saved.rules tcp dport 22 accept",
		Args:    arguments(1, many), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return s.rulesWhy(cmd, strings.Join(args, " ")) },
	}
	outputs(cmd, "text", "json", "yaml")
	takesRules(cmd)
	return cmd
}

func (s *session) rulesWhy(cmd *cobra.Command, asked string) error {
	t, err := s.tracer(cmd.Context())
	if err != nil {
		return err
	}
	doc := t.Why(asked)
	if doc == nil {
		return usage("rules why: there is no rule %q; portwhy rules lists them", render.Cut(asked, 80))
	}
	for _, w := range doc.Rules {
		status := diagnose.Warning
		switch w.Effect {
		case firewall.Effective:
			status = diagnose.OK
		case firewall.Undecided:
			status = diagnose.StatusUnknown
		}
		s.status = max(s.status, int(status))
	}
	if s.output != "text" {
		return s.document(doc)
	}
	return s.print(render.Why(doc, render.TextOptions{Width: s.width(), Color: s.colored()}))
}
