package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/checks"
	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/platform/host"
)

// Options of a preflight.
type Options struct {
	Checks  []*diagnose.Check
	NoProbe bool
	Timeout time.Duration
	// UID is who will start everything; nil: root for containers, units and
	// servers that root starts, else the caller.
	UID     *uint32
	Version string
}

// Input is what files declare.
type Input struct {
	Files    []File
	Declared []Declared
	Unknown  []Unknown
}

// Run asks about everything that is declared. It fails only if the host can't
// be asked at all.
func Run(ctx context.Context, h host.Host, in Input, o Options) (*Report, error) {
	started := time.Now()
	info, err := h.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what this host is: %w", err)
	}
	r := &run{ctx: ctx, host: h, info: info, options: o, declared: in.Declared, results: make([]Result, len(in.Declared)),
		asked: map[question]*diagnose.Report{}, alike: map[question]*diagnose.Report{}, excluded: map[string][]host.PortRange{}, offered: map[question][]uint16{}}
	r.readSockets()
	for _, u := range in.Unknown {
		r.unknown(u)
	}
	r.eachOther()
	for i := range in.Declared {
		if err := r.onHost(i); err != nil {
			return nil, err
		}
	}
	r.applied()
	rep := &Report{Schema: Schema, Tool: diagnose.ToolOf(o.Version), At: info.At, Files: orEmpty(in.Files), Ports: []Port{},
		Host: diagnose.HostOf(info), Limits: orEmpty(r.limits)}
	for i, d := range in.Declared {
		rep.Ports = append(rep.Ports, portOf(d, r.results[i]))
	}
	rep.Findings = r.sorted()
	rep.Status = plan.StatusOf(rep.Findings)
	// What clashes is certain, whatever else could not be told.
	if plan.Count(rep.Findings)[plan.Error] > 0 {
		rep.Status = diagnose.Broken
	}
	rep.DurationMS = float64(time.Since(started).Microseconds()) / 1000
	return rep, nil
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// run is one preflight on its way.
type run struct {
	ctx      context.Context
	host     host.Host
	info     host.Info
	options  Options
	declared []Declared
	results  []Result
	findings []plan.Finding
	limits   []host.Limit
	asked    map[question]*diagnose.Report
	// alike are answers about idle ports, by questions without their port.
	alike    map[question]*diagnose.Report
	excluded map[string][]host.PortRange
	// offered are the ports that were named to take instead.
	offered map[question][]uint16
	// wanted are all ports that a file declares, or that were offered.
	wanted []bool
	// taken are ports that have a socket, by network; nil: not known.
	taken      map[string]map[uint16]bool
	containers []host.Container
	// allContainers: every engine told its containers.
	allContainers bool
}

// readSockets finds out which ports of long ranges need a closer look.
func (r *run) readSockets() {
	taken := map[string]map[uint16]bool{}
	for _, q := range []host.SocketQuery{{Network: "tcp"}, {Network: "tcp", States: []host.State{host.BoundInactive}}, {Network: "udp"}} {
		socks, err := r.host.Sockets(r.ctx, q)
		if err != nil {
			if len(q.States) == 0 {
				r.limit(diagnose.LimitOf("which "+q.Network+" ports have sockets", err))
				return
			}
			continue
		}
		if taken[q.Network] == nil {
			taken[q.Network] = map[uint16]bool{}
		}
		for _, s := range socks {
			taken[q.Network][s.Local.Port()] = true
		}
	}
	if containers, err := r.host.Containers(r.ctx); err == nil {
		r.containers, r.allContainers = containers.List, len(containers.Limits) == 0
		for _, c := range containers.List {
			for _, m := range c.Ports {
				if taken[m.Network] != nil {
					taken[m.Network][m.Host.Port()] = true
				}
			}
		}
	}
	for network := range taken {
		if ranges, err := r.host.ExcludedPorts(r.ctx, network); err == nil {
			r.excluded[network] = ranges
		}
	}
	r.taken = taken
}

func (r *run) limit(l host.Limit) {
	if !slices.Contains(r.limits, l) {
		r.limits = append(r.limits, l)
	}
}

func (r *run) find(f plan.Finding) {
	if len(r.findings) > maxFindings {
		return
	}
	f.Fixes = orEmpty(f.Fixes)
	for i := range f.Fixes {
		f.Fixes[i] = f.Fixes[i].Guarded()
		fix := &f.Fixes[i]
		fix.ID, fix.Cause = fmt.Sprint(i+1), f.Code
		fix.Commands, fix.Undo = orEmpty(fix.Commands), orEmpty(fix.Undo)
		if fix.Check == "" {
			fix.Check = "none"
		}
		if fix.Risk == "" {
			fix.Risk = "low"
		}
	}
	for _, have := range r.findings {
		if have.Code == f.Code && have.Title == f.Title && have.File == f.File && have.Line == f.Line && have.Column == f.Column {
			return
		}
	}
	r.findings = append(r.findings, f)
}

// about starts a finding at a declared port.
func about(d Declared, code string, severity plan.Severity, port uint16) plan.Finding {
	return plan.Finding{Code: code, Severity: severity, File: d.File, Line: d.Line, Column: d.Column, Network: d.Network, Port: port,
		Service: d.Who(), Environment: d.Environment}
}

// sorted puts the worst first, then in the order of the files.
func (r *run) sorted() []plan.Finding {
	rank := []plan.Severity{plan.Error, plan.Unknown, plan.Warning, plan.Note}
	slices.SortStableFunc(r.findings, func(a, b plan.Finding) int {
		return slices.Index(rank, a.Severity) - slices.Index(rank, b.Severity)
	})
	return orEmpty(r.findings)
}

func (r *run) unknown(u Unknown) {
	f := plan.Finding{Code: "facts-missing", Severity: plan.Unknown, Title: u.Title, File: u.File, Line: u.Line, Column: u.Column, Service: u.Service}
	if u.Note {
		f.Code, f.Severity = "port-not-published", plan.Note
	}
	if u.Needs != "" {
		f.Fixes = []diagnose.Fix{{Title: u.Needs, Opens: "nothing"}}
	}
	r.find(f)
}

// eachOther finds what the files themselves have twice.
func (r *run) eachOther() {
	for _, c := range conflicts(r.declared) {
		a, b := r.declared[c.first], r.declared[c.second]
		severity := plan.Error
		if a.Doubt != "" || b.Doubt != "" {
			severity = plan.Warning
		} else {
			r.results[c.first], r.results[c.second] = Clashes, Clashes
		}
		f := about(b, "port-declared-twice", severity, c.ports.First)
		if c.first == c.second {
			f.Title = fmt.Sprintf("%d replicas of %s each want %s/%s", b.Replicas, b.Who(), b.Ports, b.Network)
			f.Fixes = []diagnose.Fix{{Title: "publish a range of ports, or none and let a proxy reach them", Opens: "nothing"}}
			if b.Kind == "kubernetes" {
				f.Severity = plan.Warning
				f.Title += ": no two of them can stand on one node"
			}
			r.find(f)
			continue
		}
		f.Title = fmt.Sprintf("%s wants %s/%s, which %s (%s) has already", b.Who(), c.ports, b.Network, a.Who(), place(a.File, a.Line, a.Column))
		if b.Any && c.ports != b.Ports {
			f.Title += fmt.Sprintf(", and no port of %s is left", b.Ports)
		}
		f.Culprit = &diagnose.Culprit{Kind: "config", Name: a.Who(), File: a.File, Line: a.Line, Text: a.Text}
		r.other(&f, b, c.ports.First)
		r.find(f)
	}
}

func place(file string, line, column int) string {
	switch {
	case line == 0:
		return file
	case column == 0:
		return fmt.Sprintf("%s:%d", file, line)
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// other offers free ports that no file wants either.
func (r *run) other(f *plan.Finding, d Declared, port uint16) {
	key := question{network: d.Service + "\x00" + d.Network, host: place(d.File, d.Line, d.Column), port: port}
	free, ok := r.offered[key]
	if !ok {
		free = r.free(d, port)
		r.offered[key] = free
	}
	if len(free) == 0 {
		return
	}
	words := make([]string, len(free))
	for i, n := range free {
		words[i] = fmt.Sprint(n)
	}
	list := words[0]
	if n := len(words) - 1; n > 0 {
		list = strings.Join(words[:n], ", ") + " or " + words[n]
	}
	f.Free = free
	f.Fixes = append(f.Fixes, diagnose.Fix{Title: "take port " + list + ": free, outside the ephemeral range, and no configuration here claims it",
		Opens: "nothing", PredictedOutcome: diagnose.Bound})
}

// maxOffers bounds for how many findings other ports are looked for: who reads
// so far mends the first ones before.
const maxOffers = 64

// free are ports that nobody has or wants, nor was offered for another service.
func (r *run) free(d Declared, port uint16) []uint16 {
	if len(r.offered) >= maxOffers {
		return nil
	}
	if r.wanted == nil {
		r.wanted = make([]bool, 1<<16)
		for _, o := range r.declared {
			for n := int(o.Ports.First); n <= int(o.Ports.Last); n++ {
				r.wanted[n] = true
			}
		}
	}
	pass := &diagnose.Pass{Ctx: r.ctx, Host: r.host, Info: r.info, UID: r.uid(d), Flow: &diagnose.Flow{Network: d.Network, Destination: destination(d, port)}}
	free, err := checks.FreePorts(pass, func(n uint16) bool { return r.wanted[n] })
	if err != nil {
		return nil
	}
	for _, n := range free {
		r.wanted[n] = true
	}
	return free
}
