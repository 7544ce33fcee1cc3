package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwhy/portwhy/agent/declare"
	"github.com/portwhy/portwhy/agent/render"
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// defaultPlan is read if no file is named.
const defaultPlan = "portwhy.plan.yaml"

func newPlan(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Declared ports per service and environment: conflicts before they happen",
		Long: `plan works on a file that declares services, their ports in each environment, where
they bind, who is meant to reach them, and who connects to whom. FILE is ` + defaultPlan + `
unless it is named; - is stdin.

  schema: portwhy.plan/v1
  environments:
    dev:
    prod: {hosts: {edge: {addresses: [192.0.2.1, 10.0.0.1]}, data: {addresses: 10.0.0.2}}}
  services:
    web:
      on: {prod: edge}
      ports:
        http: {port: {dev: 8080, prod: 80}, exposure: any, speaks: http}
    db:
      owner: data team
      on: {prod: data}
      runs: postgresql@15-main.service
      ports:
        sql: {port: 5432, bind: {dev: 127.0.0.1, prod: 10.0.0.2}, exposure: lan}
  connections:
    - {from: web, to: db.sql}`,
		Example: "  portwhy plan init > portwhy.plan.yaml\n  portwhy plan check --env dev\n  portwhy plan verify --env prod\n  portwhy plan next --count 3",
	}
	cmd.AddCommand(newPlanCheck(s), newPlanVerify(s), newPlanInit(s), newPlanNext(s), newPlanDoc(s), newPlanSimulate(s))
	return cmd
}

// planFlags say which part of a plan is asked about, and as which host.
type planFlags struct{ env, on string }

func (f *planFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.env, "env", "", "the environment of this `NAME`")
	cmd.Flags().StringVar(&f.on, "on", "", "this host is the plan's `HOST`; by its addresses, if it isn't told")
}

func planFile(cmd *cobra.Command, args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return defaultPlan
}

// readPlan reads a plan's file.
func (s *session) readPlan(file string) (*plan.Plan, error) {
	in := s.Stdin
	if file != "-" {
		f, err := openPlain(file)
		if err != nil {
			return nil, usage("%s: %w", file, err)
		}
		defer f.Close()
		in = f
	}
	p, err := plan.Read(file, in)
	if err != nil {
		return nil, usage("%w", err)
	}
	return p, nil
}

// environment returns the one that is asked about: the plan's only one needs no
// name.
func (f *planFlags) environment(p *plan.Plan) (*plan.Environment, error) {
	if f.env == "" && len(p.Environments) == 1 {
		return &p.Environments[0], nil
	}
	var names []string
	for _, e := range p.Environments {
		names = append(names, e.Name)
	}
	if f.env == "" {
		return nil, usage("--env NAME is needed: %s has the environments %s", p.File, strings.Join(names, ", "))
	}
	env, ok := p.Environment(f.env)
	if !ok {
		return nil, usage("--env %q: %s has no such environment, but %s", f.env, p.File, strings.Join(names, ", "))
	}
	return env, nil
}

// here returns the plan's name of this host.
func (f *planFlags) here(ctx context.Context, h host.Host, env *plan.Environment) (string, error) {
	if f.on != "" {
		if !slices.ContainsFunc(env.Hosts, func(h plan.Host) bool { return h.Name == f.on }) {
			return "", usage("--on %q: environment %s has no such host", f.on, env.Name)
		}
		return f.on, nil
	}
	addrs, err := h.Addresses(ctx)
	if err != nil {
		return "", undetermined("reading this host's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range addrs {
		own = append(own, a.Prefix.Addr())
	}
	name, ok := env.HostName(own)
	if !ok {
		return "", usage("none of the hosts of environment %s has an address of this host; --on HOST says which it is", env.Name)
	}
	return name, nil
}

func newPlanCheck(s *session) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Tell what in a plan clashes: in itself, and with this host as it is now",
		Long: `check finds ports that are declared twice and connections that the plan itself rules
out. With --env, or where the plan has one environment, it also asks of each port
that is meant for this host whether it could be bound now: who holds it, which
ranges it lies in, which rights it needs.

Exit status: 0 nothing clashes, 1 warnings, 2 a clash, 3 not known.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.planCheck(cmd, planFile(cmd, args), f) },
	}
	f.add(cmd)
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

func (s *session) planCheck(cmd *cobra.Command, file string, f planFlags) error {
	ctx := cmd.Context()
	p, err := s.readPlan(file)
	if err != nil {
		return err
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	info, err := h.Info(ctx)
	if err != nil {
		return undetermined("%w", err)
	}
	r := &plan.Checked{Schema: plan.CheckSchema, Tool: diagnose.ToolOf(s.build().Version), At: info.At, File: file,
		Host:     diagnose.HostOf(info),
		Services: len(p.Services), Findings: p.Faults(), Limits: []host.Limit{}}
	for _, service := range p.Services {
		r.Ports += len(service.Ports)
	}
	if f.env != "" || len(p.Environments) == 1 {
		env, err := f.environment(p)
		if err != nil {
			return err
		}
		on, err := f.here(ctx, h, env)
		if err != nil {
			return err
		}
		r.Environment = env.Name
		if err := s.planBind(ctx, h, p, p.Here(env.Name, on), r); err != nil {
			return err
		}
	}
	if r.Findings == nil {
		r.Findings = []plan.Finding{}
	}
	r.Status = plan.StatusOf(r.Findings)
	s.status = int(r.Status)
	if s.output != "text" {
		return s.document(r)
	}
	return s.print(render.PlanChecked(r, render.TextOptions{Width: s.width(), Color: s.colored()}))
}

// planBind asks of each port whether it could be bound now. Of a long range
// only those are asked that somebody has.
func (s *session) planBind(ctx context.Context, h host.Host, p *plan.Plan, claims []plan.Claim, r *plan.Checked) error {
	taken, err := takenNow(ctx, h)
	if err != nil {
		return err
	}
	var targets []diagnose.Target
	var of []plan.Claim
	for _, c := range claims {
		for port := int(c.Ports.First); port <= int(c.Ports.Last); port++ {
			if port != int(c.Ports.First) && !taken[port] {
				continue
			}
			t, err := diagnose.ParseTarget(c.Bind(uint16(port)))
			if err != nil {
				return usage("%w", err)
			}
			targets = append(targets, t)
			of = append(of, c)
		}
	}
	reports, err := s.runAll(ctx, h, targets, diagnose.Options{Question: diagnose.AskBind, NoProbe: true, Timeout: s.timeout, Version: s.build().Version})
	if err != nil {
		return err
	}
	for i, report := range reports {
		r.Findings = append(r.Findings, of[i].Judge(report, p.Runs(of[i].Service))...)
		for _, l := range report.Limits {
			if !slices.Contains(r.Limits, l) {
				r.Limits = append(r.Limits, l)
			}
		}
	}
	return nil
}

// takenNow marks the ports on which any socket of this host is.
func takenNow(ctx context.Context, h host.Host) (taken [1 << 16]bool, err error) {
	for _, network := range []string{"tcp", "udp"} {
		socks, err := h.Sockets(ctx, host.SocketQuery{Network: network})
		if err != nil {
			return taken, undetermined("reading the %s sockets: %w", network, err)
		}
		for _, sock := range socks {
			taken[sock.Local.Port()] = true
		}
	}
	return taken, nil
}

func newPlanVerify(s *session) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Diagnose each connection that a plan declares, as far as this host is an end of it",
		Long: `verify tries each declared connection whose client is on this host, and predicts
those that come from elsewhere to a service on this host. A connection with
"expect: blocked" must not get through. Then it compares who listens with the plan.

Exit status: 0 all as declared, 1 warnings, 2 one is not, 3 not known.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.planVerify(cmd, planFile(cmd, args), f) },
	}
	f.add(cmd)
	outputs(cmd, "text", "json", "yaml")
	takesRules(cmd)
	return cmd
}

func (s *session) planVerify(cmd *cobra.Command, file string, f planFlags) error {
	ctx := cmd.Context()
	p, err := s.readPlan(file)
	if err != nil {
		return err
	}
	env, err := f.environment(p)
	if err != nil {
		return err
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	on, err := f.here(ctx, h, env)
	if err != nil {
		return err
	}
	if h, err = s.withRules(ctx, h); err != nil {
		return err
	}
	list, err := listeners.Read(ctx, h, listeners.Query{Version: s.build().Version})
	if err != nil {
		return undetermined("%w", err)
	}
	r := &plan.Verified{Schema: plan.VerifySchema, Tool: list.Tool, At: list.At, Host: list.Host, File: file, Environment: env.Name, On: on,
		Edges: p.Edges(env, on), Findings: p.Listening(env.Name, on, list), Limits: list.Limits}
	if err := s.askEdges(ctx, h, r.Edges); err != nil {
		return err
	}
	return s.planVerified(r)
}

// askEdges diagnoses what can be asked here: those that are tried together,
// those that are predicted from elsewhere one by one.
func (s *session) askEdges(ctx context.Context, h host.Host, edges []plan.Edge) error {
	groups := map[string][]int{}
	for i, e := range edges {
		if e.Target != "" {
			groups[e.Source] = append(groups[e.Source], i)
		}
	}
	for source, list := range groups {
		var from netip.Addr
		if source != "" {
			from = netip.MustParseAddr(source)
		}
		if err := s.askEach(ctx, h, edges, list, from); err != nil {
			return err
		}
	}
	return nil
}

// askEach diagnoses some of the edges, from an address if it is valid.
func (s *session) askEach(ctx context.Context, h host.Host, edges []plan.Edge, which []int, from netip.Addr) error {
	o := diagnose.Options{Question: diagnose.AskConnect, NoProbe: s.noProbe || len(s.rulesFiles) > 0, Timeout: s.timeout, From: from, Version: s.build().Version}
	targets := make([]diagnose.Target, len(which))
	for i, e := range which {
		t, err := diagnose.ParseTarget(edges[e].Target)
		if err != nil {
			return usage("%w", err)
		}
		targets[i] = t
	}
	reports, err := s.runAll(ctx, h, targets, o)
	if err != nil {
		return err
	}
	for i, e := range which {
		edges[e].Judge(reports[i])
	}
	return nil
}

func newPlanInit(s *session) *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "init [FILE...]",
		Short: "Write a plan of what listens on this host now, or of what other files declare",
		Long: `init writes a plan to standard output. Without files it has a service for each unit,
container or process that listens here; UDP sockets on ports that clients get (32768
and up) are left out. With files it has the services that they declare: compose
files, Kubernetes manifests, systemd units, a Procfile, a .env, configurations of
servers, read as preflight reads them. Names and owners are yours to mend.`,
		Example: "  portwhy plan init > portwhy.plan.yaml\n  portwhy plan init compose.yaml nginx.conf",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := s.madePlan(cmd.Context(), args, kind)
			if err != nil {
				return err
			}
			doc, err := p.YAML()
			if err != nil {
				return err
			}
			return s.print(render.VisibleYAML(doc))
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "what the files are: "+strings.Join(declare.Kinds(), ", "))
	outputs(cmd, "text", "yaml")
	return cmd
}

func (s *session) madePlan(ctx context.Context, files []string, kind string) (*plan.Plan, error) {
	if err := knownKind(kind); err != nil {
		return nil, err
	}
	if len(files) > 0 {
		read, err := declare.Read(ctx, files, declare.Options{Kind: kind, Stdin: s.Stdin})
		if err != nil {
			return nil, usage("%w", err)
		}
		for _, l := range read.Limits {
			fmt.Fprintf(s.Stderr, "portwhy: %s\n", render.Escape(l.What+": "+l.Why))
		}
		claims := make([]plan.Claim, len(read.Declared))
		for i, d := range read.Declared {
			claims[i] = d.Claim
		}
		return plan.FromClaims(claims), nil
	}
	h, err := s.open()
	if err != nil {
		return nil, err
	}
	list, err := listeners.Read(ctx, h, listeners.Query{Version: s.build().Version})
	if err != nil {
		return nil, undetermined("%w", err)
	}
	return plan.FromListeners(list), nil
}

func newPlanNext(s *session) *cobra.Command {
	var network string
	var count int
	cmd := &cobra.Command{
		Use:   "next [FILE]",
		Short: "Name a port that is free: in the plan, on this host, and by the policy",
		Long: `next names ports that no service of the plan has in any environment, that nothing on
this host has or is configured to have, that clients don't get, and that the plan's
policy allows (without one: 8000-32767, then 1024-7999). Without a plan only the
host is asked.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if network != "tcp" && network != "udp" {
				return usage("--protocol %q: it is tcp or udp", network)
			}
			if count < 1 || count > 1000 {
				return usage("--count %d: it is from 1 to 1000", count)
			}
			return s.planNext(cmd, args, network, count)
		},
	}
	cmd.Flags().StringVar(&network, "protocol", "tcp", "tcp or udp")
	cmd.Flags().IntVarP(&count, "count", "n", 1, "how many ports")
	outputs(cmd, "text", "json", "yaml")
	return cmd
}

// NextSchema names the JSON form of [Next].
const NextSchema = "portwhy.plan-next/v1"

// Next are ports that are free.
type Next struct {
	Schema   string   `json:"schema"`
	Protocol string   `json:"protocol"`
	Ports    []uint16 `json:"ports"`
}

func (s *session) planNext(cmd *cobra.Command, args []string, network string, count int) error {
	p := &plan.Plan{}
	file := planFile(cmd, args)
	_, err := os.Lstat(file)
	if len(args) > 0 || err == nil {
		if p, err = s.readPlan(file); err != nil {
			return err
		}
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	taken, err := checks.Taken(cmd.Context(), h, network)
	if err != nil {
		return undetermined("%w", err)
	}
	free := p.Next(count, taken)
	if len(free) < count {
		s.status = int(diagnose.Broken)
	}
	if s.output != "text" {
		return s.document(Next{NextSchema, network, append([]uint16{}, free...)})
	}
	var b strings.Builder
	for _, port := range free {
		fmt.Fprintln(&b, port)
	}
	if len(free) < count {
		fmt.Fprintf(s.Stderr, "portwhy: %d of %d ports are free by the policy\n", len(free), count)
	}
	return s.print([]byte(b.String()))
}

func newPlanDoc(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doc [FILE]",
		Short: "Write a plan as a document: who listens where, who connects to whom",
		Args:  arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := s.readPlan(planFile(cmd, args))
			if err != nil {
				return err
			}
			title := strings.TrimSuffix(filepath.Base(p.File), filepath.Ext(p.File))
			if s.output == "html" {
				doc, err := render.PlanHTML(p, title)
				if err != nil {
					return err
				}
				return s.print(doc)
			}
			return s.print(render.PlanMarkdown(p, title))
		},
	}
	outputs(cmd, "text", "markdown", "html")
	return cmd
}
