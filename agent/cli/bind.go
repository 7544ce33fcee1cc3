package cli

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

func newBind(s *session) *cobra.Command {
	var user string
	var trace bool
	cmd := &cobra.Command{
		Use:   "bind [ADDR]:PORT...",
		Short: "Tell why a port can't be bound, who holds it, and which are free",
		Long: `bind tells whether a program could listen on a port, and if not, who holds it and
how that is stopped properly. Without an address it asks for all of them, IPv4 and
IPv6. It tries by binding a socket that never listens and is closed at once.`,
		Example:           "  portwhy bind :8080\n  portwhy bind 127.0.0.1:5432 udp://:53\n  portwhy bind :80 --user www-data",
		Args:              arguments(1, many),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("user") && user == "" {
				return usage("--user is empty")
			}
			return s.bind(cmd, args, user, trace)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "answer for the user `NAME|UID`")
	cmd.Flags().BoolVar(&trace, "trace", false, "show every check with all that it saw")
	outputs(cmd, reportForms...)
	return cmd
}

func (s *session) bind(cmd *cobra.Command, args []string, user string, trace bool) error {
	targets := make([]diagnose.Target, len(args))
	for i, a := range args {
		// People write the wildcard as a star, too.
		if rest, ok := strings.CutPrefix(a, "*:"); ok {
			a = ":" + rest
		}
		t, err := diagnose.ParseTarget(a)
		if err != nil {
			return usage("%w", err)
		}
		targets[i] = t
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	o := diagnose.Options{Question: diagnose.AskBind, NoProbe: s.noProbe, Timeout: s.timeout, Version: s.build().Version}
	if user != "" {
		uid, err := userID(cmd, h, user)
		if err != nil {
			return err
		}
		o.UID = &uid
	}
	reports, err := s.runAll(cmd.Context(), h, targets, o)
	if err != nil {
		return err
	}
	return s.render(reports, trace)
}

// userID resolves --user. A number needs no user database; 2^32-1 stands for
// "no user" in setresuid(2).
func userID(cmd *cobra.Command, h host.Host, user string) (uint32, error) {
	if n, err := strconv.ParseUint(user, 10, 32); err == nil && uint32(n) != ^uint32(0) {
		return uint32(n), nil
	}
	if len(user) > 256 {
		return 0, usage("--user: a name of %d bytes is none", len(user))
	}
	uid, err := h.User(cmd.Context(), user)
	switch {
	case errors.Is(err, host.ErrNotFound):
		return 0, usage("--user %q: no such user", user)
	case err != nil:
		return 0, undetermined("--user %q: %w", user, err)
	}
	return uid, nil
}
