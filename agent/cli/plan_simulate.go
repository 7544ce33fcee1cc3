package cli

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/agent/simulate"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/replay"
)

func newPlanSimulate(s *session) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "simulate [FILE]",
		Short: "Try a plan on this machine: stand-ins for its services, in a net made for it",
		Long: `simulate makes the hosts of an environment out of network namespaces, with the
addresses that the plan gives them and the firewall rules that it names (files beside
it: nft list ruleset, iptables-save, ipset save), starts a stand-in for each service,
and tries every connection for real. All of it is gone when it ends, and nothing is
sent beyond it. Each host has one device, eth0; a router between them knows all.

Without root it runs in a user namespace, where the system lets it.

Exit status: 0 all as declared, 1 warnings, 2 one is not, 3 not known.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.planSimulate(cmd, planFile(cmd, args), f) },
	}
	cmd.Flags().StringVar(&f.env, "env", "", "the environment of this `NAME`")
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

func (s *session) planSimulate(cmd *cobra.Command, file string, f planFlags) error {
	ctx := cmd.Context()
	if s.snapshot != "" || s.netns != "" || s.noProbe {
		return usage("simulate makes a net of its own: without --snapshot, --netns and --no-probe")
	}
	if !simulate.Privileged() {
		stdin, _ := s.Stdin.(*os.File)
		status, err := simulate.Again(ctx, stdin)
		if err != nil {
			return undetermined("simulate needs root, or user namespaces: %w", err)
		}
		s.status = status
		return nil
	}
	p, err := s.readPlan(file)
	if err != nil {
		return err
	}
	env, err := f.environment(p)
	if err != nil {
		return err
	}
	sim, err := p.Simulate(env)
	if err != nil {
		return usage("%w", err)
	}
	var hosts []simulate.Host
	for _, h := range sim.Hosts {
		hosts = append(hosts, simulate.Host{Name: h.Name, Addresses: h.Addresses})
	}
	net, err := simulate.New(hosts)
	if err != nil {
		return undetermined("making the net: %w", err)
	}
	defer net.Close()
	if err := s.furnish(ctx, net, p, env, sim); err != nil {
		return err
	}
	r := &plan.Verified{Schema: plan.VerifySchema, Tool: diagnose.ToolOf(s.build().Version), File: file, Environment: env.Name,
		Simulated: true, Edges: sim.Edges, Findings: []plan.Finding{}, Limits: []host.Limit{}}
	if err := s.trySimulated(ctx, net, sim, r); err != nil {
		return err
	}
	return s.planVerified(r)
}

// furnish starts the stand-ins and loads the rules.
func (s *session) furnish(ctx context.Context, net *simulate.Net, p *plan.Plan, env *plan.Environment, sim *plan.Simulation) error {
	for _, c := range p.Claims(env.Name) {
		if err := net.Listen(c.Host, c.Network, c.Address, c.Ports.First); err != nil {
			return undetermined("%s:%d:%d: %s: %w", c.File, c.Line, c.Column, c.Who(), err)
		}
	}
	dir := "."
	if p.File != "-" {
		dir = filepath.Dir(p.File)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return usage("%s: %w", dir, reason(err))
	}
	defer root.Close()
	for _, h := range sim.Hosts {
		for _, name := range h.Firewall {
			rules, err := readBeside(root, name)
			if err != nil {
				return usage("%s:%d:%d: %s: %w", p.File, h.At.Line, h.At.Column, name, err)
			}
			if err := net.Load(ctx, h.Name, name, rules); err != nil {
				return usage("%w", err)
			}
		}
	}
	return nil
}

// maxFirewall bounds a file of rules that is loaded, in bytes.
const maxFirewall = 64 << 20

// readBeside reads a plain file below the plan's directory; no link leads out.
func readBeside(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errNotPlain
	} else if st.Size() > maxFirewall {
		return nil, errTooLarge
	}
	return io.ReadAll(io.LimitReader(f, maxFirewall))
}

// trySimulated tries each edge from its client's host. Where that doesn't show
// who stops it, the server's host is asked about the way in.
func (s *session) trySimulated(ctx context.Context, net *simulate.Net, sim *plan.Simulation, r *plan.Verified) error {
	groups := map[string][]int{}
	var clients []string
	for i, e := range r.Edges {
		if e.Target == "" {
			continue
		}
		if groups[e.Client] == nil {
			clients = append(clients, e.Client)
		}
		groups[e.Client] = append(groups[e.Client], i)
	}
	for _, client := range clients {
		h, err := s.openSimulated(net, client)
		if err != nil {
			return err
		}
		if r.At.IsZero() {
			info, err := h.Info(ctx)
			if err != nil {
				return undetermined("%w", err)
			}
			r.At, r.Host = info.At, diagnose.HostOf(info)
		}
		if err := s.askEach(ctx, h, r.Edges, groups[client], netip.Addr{}); err != nil {
			return err
		}
		for _, i := range groups[client] {
			e := &r.Edges[i]
			if e.Server == client || e.Report.Status != diagnose.Broken || !farAway(e.Report.RootCause) {
				continue
			}
			if err := s.askServer(ctx, net, sim, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// farAway says that a cause is only what the client can see of it.
func farAway(c *diagnose.Cause) bool {
	return c == nil || slices.Contains([]string{"remote-refused", "remote-filtered", "remote-rejected", "remote-unreachable", "firewall-upstream"}, c.Code)
}

// askServer puts the server's view of the way in in the place of the client's, if
// it explains more.
func (s *session) askServer(ctx context.Context, net *simulate.Net, sim *plan.Simulation, e *plan.Edge) error {
	h, err := s.openSimulated(net, e.Server)
	if err != nil {
		return err
	}
	seen := []plan.Edge{*e}
	if err := s.askEach(ctx, h, seen, []int{0}, sim.ClientAddress(e.Client, e.Server)); err != nil {
		return err
	}
	if seen[0].Report.RootCause != nil {
		*e = seen[0]
	}
	return nil
}

func (s *session) openSimulated(net *simulate.Net, name string) (host.Host, error) {
	h, err := s.Open(net.Path(name))
	if err != nil {
		return nil, undetermined("looking from host %s: %w", name, err)
	}
	return replay.Record(h), nil
}

// planVerified prints what became of connections.
func (s *session) planVerified(r *plan.Verified) error {
	r.Status = plan.StatusOf(r.Findings)
	for _, e := range r.Edges {
		r.Status = diagnose.Worse(r.Status, e.Status)
	}
	if r.Edges == nil {
		r.Edges = []plan.Edge{}
	}
	if r.Findings == nil {
		r.Findings = []plan.Finding{}
	}
	s.status = int(r.Status)
	if s.output != "text" {
		return s.document(r)
	}
	return s.print(render.PlanVerified(r, render.TextOptions{Width: s.width(), Color: s.colored()}))
}
