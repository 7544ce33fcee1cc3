package cli

import (
	"github.com/spf13/cobra"
)

const about = `portwhy tells why a connection is refused, hangs or can't be bound, and what
makes it work: it predicts what the kernel will do from facts, tries it, and
compares the two.

TARGET is 62893, :62893, localhost:62893, [::1]:62893, db1:5432, udp://10.0.0.1:53,
https://host/path, unix:///run/x.sock or a service name as in localhost:postgresql.

Exit status: 0 works, 1 works with a warning, 2 broken, 3 could not be determined,
64 usage, 70 a bug in portwhy.`

// newRoot builds the command tree. Without a command, arguments are targets.
func newRoot(s *session) *cobra.Command {
	var d diagnoseFlags
	root := &cobra.Command{
		Use:           "portwhy [TARGET...]",
		Short:         "Why is this connection refused, why does it hang, why can't I bind this port?",
		Long:          about,
		Example:       "  portwhy 62893\n  portwhy db1:5432 https://shop.example/\n  portwhy bind :8080\n  portwhy ls --port 8080",
		Args:          cobra.ArbitraryArgs,
		Version:       s.build().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return s.check(cmd)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && s.snapshot == "" {
				if cmd.Flags().NFlag() > 0 {
					return usage("a TARGET is missing; it is called as %s", cmd.Use)
				}
				return cmd.Help()
			}
			return s.diagnose(cmd, args, d)
		},
		ValidArgsFunction: cobra.NoFileCompletions,

		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("portwhy {{.Version}}\n")
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	s.addOptions(root)
	d.add(root)
	outputs(root, reportForms...)
	takesRules(root)
	root.AddCommand(newDiagnose(s), newBind(s), newLs(s), newTrace(s), newRules(s), newFix(s), newCheck(s), newPlan(s), newPreflight(s), newSnapshot(s), newReport(s), newExplain(s), newSchema(s), newVersion(s))
	return root
}
