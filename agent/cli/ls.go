package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/platform/host"
)

func newLs(s *session) *cobra.Command {
	var port string
	var all bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List who listens: address, process, user, unit or container, queue, reach",
		Long: `ls lists TCP listeners and UDP sockets, by port. REACH is who could get there by
the address alone, whatever a firewall says: loopback (this host's programs), host
(also its containers), lan (private networks), any. tcp6 listens on IPv6 only.`,
		Example:           "  portwhy ls\n  portwhy ls --port 8080 -o json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := listeners.Query{All: all, Args: s.output != "text", Version: s.build().Version}
			if cmd.Flags().Changed("port") {
				n, err := parsePort(port)
				if err != nil {
					return err
				}
				q.Port = n
			}
			return s.ls(cmd, q)
		},
	}
	cmd.Flags().StringVar(&port, "port", "", "this `PORT` only")
	cmd.Flags().BoolVar(&all, "all", false, "also sockets that are connected, or bound without listening")
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

func parsePort(in string) (uint16, error) {
	n, err := strconv.ParseUint(in, 10, 16)
	if err == nil && n > 0 {
		return uint16(n), nil
	}
	if p := diagnose.ServicePort(in); p != 0 {
		return p, nil
	}
	return 0, usage("--port %q: neither a port from 1 to 65535 nor a known service name", render.Cut(in, 40))
}

func (s *session) ls(cmd *cobra.Command, q listeners.Query) error {
	var h host.Host
	var err error
	if s.snapshot != "" {
		h, _, err = s.openSnapshot(s.snapshot)
	} else {
		// Each fact is asked once here, so nothing needs to be remembered.
		h, err = s.live()
	}
	if err != nil {
		return err
	}
	list, err := listeners.Read(cmd.Context(), h, q)
	if err != nil {
		return undetermined("%w", err)
	}
	s.log.Debug().Int("sockets", len(list.Listeners)).Msg("listed")
	if s.output != "text" {
		return s.document(list)
	}
	if len(list.Listeners) == 0 && q.Port != 0 && len(list.Limits) == 0 {
		return s.print(fmt.Appendf(nil, "Nothing listens on port %d.\n", q.Port))
	}
	return s.print(render.Listeners(list, render.TextOptions{Width: s.width(), Color: s.colored()}))
}
