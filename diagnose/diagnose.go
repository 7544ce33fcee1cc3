// Package diagnose answers why a connection or a bind does not work.
//
// It predicts, observes and compares. A [Target] becomes one [Flow] for each
// address. Every flow walks the checks (package checks) in the order in which
// the kernel would handle it; each check lets it pass or stops it with a
// [Cause]. Then a probe does the real thing. Where the first cause on the way
// makes just the outcome that was observed, it is proven; where prediction and
// observation differ, the report says so and names no cause in a firm voice.
//
// The package asks the host through package host only, never the operating
// system, so that a recording gives the same answer.
package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// Options of a diagnosis.
type Options struct {
	Question Question
	// NoProbe: predict only.
	NoProbe bool
	Timeout time.Duration // of one probe; default 3 s
	// UID asks a bind for this user; nil: the caller.
	UID *uint32
	// Payload is what a UDP probe sends.
	Payload []byte
	// From asks whether this address could reach the target on this host. The
	// way in is predicted and nothing is sent. FromDevice is where its packets
	// come in; empty: the device by which the answer would leave.
	From       netip.Addr
	FromDevice string
	// FromPort asks for the flow from this port of the far end; 0: from any.
	FromPort uint16
	// ServerName is the name to ask for in TLS and HTTP; empty: the target's own.
	ServerName string
	// Crowded tells afterwards whether others probed beside this one: what the
	// kernel counted meanwhile may then be theirs, and proves nothing. Nil: nobody did.
	Crowded func() bool
	Version string
}

const (
	defaultTimeout = 3 * time.Second
	// maxAddresses of one name are tried; more is a name that lies.
	maxAddresses = 16
	// stagger lets one probe end before the next begins, so that counters which
	// move can be told apart, without adding up timeouts.
	stagger = 50 * time.Millisecond
)

// Run diagnoses one target with the given checks, in their order. It fails
// only if the host cannot be asked at all.
func Run(ctx context.Context, h host.Host, t Target, checks []*Check, o Options) (*Report, error) {
	started := time.Now()
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Question == "" {
		o.Question = AskConnect
	}
	info, err := h.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what this host is: %w", err)
	}
	r := &run{ctx: ctx, host: remember(ctx, h), target: t, options: o, info: info, shared: map[string]any{}}
	for i, c := range checks {
		if c.For == o.Question {
			r.checks = append(r.checks, orderedCheck{i, c})
		}
	}
	r.resolve()
	r.phase(Predict)
	if !o.NoProbe && !o.From.IsValid() {
		r.probe()
		r.discount()
		r.disown()
	}
	r.phase(Explain)
	rep := r.judge()
	rep.At = info.At
	rep.Tool = ToolOf(o.Version)
	rep.DurationMS = float64(time.Since(started).Microseconds()) / 1000
	return rep, nil
}

type orderedCheck struct {
	order int
	*Check
}

// run is one diagnosis on its way.
type run struct {
	ctx        context.Context
	host       host.Host
	target     Target
	options    Options
	info       host.Info
	discounted bool // what the kernel counted is not looked at
	resolution host.Resolution
	checks     []orderedCheck
	flows      []*Flow
	findings   []Finding
	limits     []host.Limit
	free       []uint16
	server     *Culprit
	shared     map[string]any // of Pass.Shared
}

func (r *run) find(f Finding) {
	for _, have := range r.findings {
		if have.Code == f.Code && have.Title == f.Title {
			return
		}
	}
	r.findings = append(r.findings, f)
}

func (r *run) limit(l host.Limit) {
	for _, have := range r.limits {
		if have == l {
			return
		}
	}
	r.limits = append(r.limits, l)
}

// resolve makes one flow for each address. A name without addresses makes one
// flow without destination, for the name check to stop.
func (r *run) resolve() {
	t := r.target
	if t.Network == "unix" {
		r.flows = []*Flow{{Network: "unix", Path: t.Path, Local: true, bind: r.options.Question == AskBind}}
		return
	}
	switch {
	case t.Addr.IsValid():
		r.resolution = host.Resolution{Name: t.Host, Addresses: []netip.Addr{t.Addr}, Source: "literal"}
	case t.AnyHost && r.options.Question == AskBind:
		r.resolution = host.Resolution{Source: "literal", Addresses: []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}}
	case t.AnyHost && r.options.From.IsValid():
		// The address that the far end most likely uses is the one this host
		// would answer it from.
		if a := r.ownAddress(); a.IsValid() {
			r.resolution = host.Resolution{Source: "literal", Addresses: []netip.Addr{a}}
		} else {
			r.limit(host.Limit{What: "which address " + r.options.From.String() + " would use", Why: "this host has none of its family but loopback", Needs: "ask for ADDRESS:PORT"})
		}
	default:
		res, err := r.host.Resolve(r.ctx, t.Host)
		if err != nil {
			res = host.Resolution{Name: t.Host, Error: "unknown", Detail: err.Error()}
			r.limit(LimitOf("how "+t.Host+" resolves", err))
		}
		r.resolution = res
	}
	addrs := r.resolution.Addresses
	if len(addrs) > maxAddresses {
		r.limit(host.Limit{What: fmt.Sprintf("%d of the %d addresses of %s", len(addrs)-maxAddresses, len(addrs), t.Host),
			Why: fmt.Sprintf("only the first %d are tried", maxAddresses), Needs: "ask for one of them by its address"})
		addrs = addrs[:maxAddresses]
	}
	for i, a := range addrs {
		r.flows = append(r.flows, &Flow{From: r.options.From, FromPort: r.options.FromPort, Inbound: r.options.FromDevice, Source: r.options.From, Network: t.Network, Destination: netip.AddrPortFrom(a, t.Port), index: i, bind: r.options.Question == AskBind})
	}
	if len(addrs) == 0 {
		r.flows = []*Flow{{Network: t.Network, Observed: &Observed{Outcome: Unresolved}}}
	}
}

// ownAddress is the address by which the far end most likely knows this host:
// the one it would be answered from, else the first of the inbound device.
func (r *run) ownAddress() netip.Addr {
	from := r.options.From
	if back, err := r.host.RouteTo(r.ctx, host.RouteQuery{Destination: from}); err == nil && back.Errno == "" && back.Source.IsValid() {
		return back.Source
	}
	addrs, err := r.host.Addresses(r.ctx)
	if err != nil {
		return netip.Addr{}
	}
	for _, a := range addrs {
		ip := a.Prefix.Addr()
		if ip.Is4() == from.Is4() && !ip.IsLoopback() && (r.options.FromDevice == "" || a.Device == r.options.FromDevice) {
			return ip
		}
	}
	return netip.Addr{}
}

func (r *run) phase(when Phase) {
	for _, f := range r.flows {
		for _, c := range r.checks {
			if c.When == when {
				r.runCheck(f, c)
			}
		}
	}
}

func (r *run) runCheck(f *Flow, c orderedCheck) {
	t := r.target
	p := &Pass{Ctx: r.ctx, Host: r.host, Target: &t, Flow: f, Flows: r.flows, Info: r.info, Resolution: r.resolution,
		UID: r.options.UID, run: r, check: c.Check, order: c.order}
	p.result = CheckResult{ID: c.ID, Result: ResultPass}
	started := time.Now()
	if err := c.Run(p); err != nil {
		l := LimitOf(c.Doc, err)
		p.limitFailed(l)
	}
	p.result.DurationUS = time.Since(started).Microseconds()
	f.results = append(f.results, p.result)
}

func (p *Pass) limitFailed(l host.Limit) {
	p.say(ResultUnknown, "%s", l.Why)
	p.Limit(l)
}

// LimitOf puts an error of the host into words: what could not be had, why, and
// what would help.
func LimitOf(what string, err error) host.Limit {
	l := host.Limit{What: what, Why: err.Error()}
	switch {
	case errors.Is(err, fs.ErrPermission):
		l.Needs = "root"
	case errors.Is(err, host.ErrUnsupported):
		l.Needs = "a system or kernel that tells"
	case errors.Is(err, host.ErrNotRecorded):
		l.Needs = "a recording that asked it, or the live host"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		l.Needs = "a longer --timeout"
	}
	return l
}

// probe tries every flow that has a destination.
func (r *run) probe() {
	var wait sync.WaitGroup
	panics := make([]any, len(r.flows))
	for i, f := range r.flows {
		if f.Network != "unix" && !f.Destination.IsValid() {
			continue
		}
		done := make(chan struct{})
		wait.Add(1)
		go func() {
			defer wait.Done()
			defer close(done)
			defer func() { panics[i] = recover() }()
			if r.options.Question == AskBind {
				r.bind(f)
			} else {
				r.connect(f)
			}
		}()
		select {
		case <-done:
		case <-time.After(stagger):
		}
	}
	wait.Wait()
	for i, f := range r.flows {
		if panics[i] != nil {
			panic(panics[i]) // here it reaches the caller's handler
		}
		if f.Network != "unix" && !f.Destination.IsValid() {
			continue
		}
		switch {
		case f.Observed != nil:
		case f.Network == "unix" && f.bind:
			r.limit(host.Limit{What: "what really happens at " + f.String(), Why: "to try would make a file"})
		default:
			r.limit(LimitOf("what really happens at "+f.String(), f.probeErr))
		}
	}
}

// discount forgets what the kernel counted while others probed, too.
func (r *run) discount() {
	if r.options.Crowded == nil || !r.options.Crowded() {
		return
	}
	for _, f := range r.flows {
		if f.Attempt != nil && len(f.Attempt.Moved) > 0 {
			f.Attempt.Moved, r.discounted = nil, true
		}
	}
}

func (r *run) connect(f *Flow) {
	t := r.target
	ctx, cancel := context.WithTimeout(r.ctx, r.options.Timeout+3*time.Second)
	defer cancel()
	a, err := r.host.Connect(ctx, host.ConnectQuery{Network: f.Network, Address: f.Destination, Path: f.Path, Timeout: r.options.Timeout,
		Payload: r.options.Payload, Watch: f.Watch, Impatient: f.Impatient || len(f.causes) > 0, Speak: t.Scheme, Name: r.serverName(), URLPath: t.URLPath})
	if err != nil {
		f.probeErr = err
		return
	}
	if k := a.Talk; k != nil && !k.OK && k.Heard == "" && k.Banner == "" && k.Denied == "" {
		k.Heard = r.recognise(ctx, f, k.Asked)
	}
	f.Attempt = &a
	f.Observed = &Observed{Outcome: outcomeOf(a.Errno), Errno: a.Errno, AfterUS: a.Elapsed.Microseconds(), Accepted: a.Accepted}
	if f.Network == "udp" && a.Errno == "ETIMEDOUT" {
		f.Observed.Outcome = Unknown // silence is no failure of UDP
		f.Observed.Errno = ""
	}
	if a.ICMP != nil {
		f.Observed.ICMP = &ICMP{Type: a.ICMP.Type, Code: a.ICMP.Code, Text: icmpText(*a.ICMP)}
		if a.ICMP.From.IsValid() {
			f.Observed.ICMP.From = a.ICMP.From.String()
		}
	}
	if k := a.Talk; k != nil {
		f.Observed.Speaks, f.Observed.Banner = k.Heard, k.Banner
		if c := k.TLS; c != nil && !c.NotAfter.IsZero() {
			f.Observed.TLS = &Certificate{c.Version, c.Subject, c.Issuer, orEmpty(c.Names), c.NotBefore, c.NotAfter, c.Problem}
		}
	}
	if a.Local.IsValid() && !f.Source.IsValid() {
		f.Source = a.Local.Addr()
	}
}

func (r *run) serverName() string { return cmp.Or(r.options.ServerName, r.target.Host) }

// recognise asks what a listener that said nothing to one protocol speaks: many
// hang up on a wrong one, or wait, without a word. Empty: still not known.
func (r *run) recognise(ctx context.Context, f *Flow, asked string) string {
	for _, other := range []string{"tls", "http"} {
		if other == asked || other == "tls" && asked == "https" {
			continue
		}
		a, err := r.host.Connect(ctx, host.ConnectQuery{Network: f.Network, Address: f.Destination, Path: f.Path, Timeout: min(time.Second, r.options.Timeout), Speak: other, Name: r.serverName()})
		if err == nil && a.Talk != nil && a.Talk.Heard == other {
			return other
		}
	}
	return ""
}

func (r *run) bind(f *Flow) {
	ctx, cancel := context.WithTimeout(r.ctx, r.options.Timeout)
	defer cancel()
	b, err := r.host.Bind(ctx, host.BindQuery{Network: f.Network, Address: f.Destination, Path: f.Path, UID: r.options.UID})
	if err != nil {
		f.probeErr = err
		return
	}
	f.BindAttempt = &b
	errno := b.Errno
	if b.SocketErrno != "" {
		errno = b.SocketErrno
	}
	f.Observed = &Observed{Outcome: outcomeOf(errno), Errno: errno, AfterUS: b.Elapsed.Microseconds()}
	if errno == "" {
		f.Observed.Outcome = Bound
	}
	if errno == "EINVAL" {
		f.Observed.Outcome = AddressUnavailable // a link-local address without its device
	}
	if b.SocketErrno == "EPERM" || b.SocketErrno == "EAFNOSUPPORT" && r.options.UID != nil {
		f.Observed.Outcome = Denied
	}
}
