package diagnose

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// Check is one station of a flow's way: a constant value in the list of
// package checks. It asks the host, and says through its [Pass] what it found.
// An error means that the check itself failed, never that the flow is blocked.
type Check struct {
	ID  string // the station's name: socket, route, accept, …
	Doc string // what it looks at, one sentence
	// Codes are the causes and findings that it can report.
	Codes []string
	For   Question
	When  Phase
	// Behind: the firewall lies before this station, so that a rule could
	// account for the same observation.
	Behind bool
	Run    func(*Pass) error
}

// Phase says when a check runs.
type Phase int

// Prediction comes before the probe and never sees its result; explanation
// comes after it and may. A flow that isn't probed has only Observed == nil.
const (
	Predict Phase = iota
	Explain
)

// Flow is one way to one address of the target.
type Flow struct {
	Network     string // tcp, udp, unix
	Source      netip.Addr
	Destination netip.AddrPort
	Path        string // unix
	// Local: the destination is this host, as the kernel routes it.
	Local bool
	Route host.Route
	// From is the far end whose way in is predicted (--from), Inbound the device
	// by which its packets come in; both zero for a flow from this host.
	From    netip.Addr
	Inbound string
	// Through: the flow is from elsewhere to elsewhere, and this host hands it on.
	Through bool
	// FromPort is the far end's port, 0 if it wasn't told.
	FromPort uint16
	// Listener is the socket that would get the connection (bind: that holds
	// the port), set by the socket check; nil if there is none.
	Listener *host.Socket
	// Watch asks the probe to see whether the connection is ended at once, as a
	// proxy without a backend does.
	Watch bool
	// Impatient: the listener is known not to take a connection soon.
	Impatient bool
	// Firewall is what the rules do with the flow's packets; nil: they were not
	// evaluated.
	Firewall *Filtered
	// Unsure is why it can't be told whether the answer to From gets back; empty: it
	// can.
	Unsure string
	// Balanced: the kernel's load balancer takes the flow, and no socket here.
	Balanced bool
	// Attempt and BindAttempt are what the probe saw; nil: no probe was sent.
	Attempt     *host.Attempt
	BindAttempt *host.BindAttempt
	Observed    *Observed

	causes  []Cause
	results []CheckResult
	// probeErr is why no probe could be made.
	probeErr error
	index    int
	bind     bool
	server   *Culprit // who has Listener
	led      bool     // connected, and NAT may have led it to another listener
	unread   bool     // predicted to work, but for a firewall that was not read
}

// Filtered is what the firewall's rules make of a flow.
type Filtered struct {
	// Unknown is why it can't be told; empty: it was told.
	Unknown string
	// Destination is where NAT leads the flow, if it does; Away: to another host.
	// Source is whom that answers then; zero if it isn't known.
	Destination netip.AddrPort
	Away        bool
	Source      netip.Addr
	// Served: Away, and a listener takes it there.
	Served bool
	// By is the rule that leads there.
	By *Culprit
	// Stalled: the connection comes about, and what follows is dropped.
	Stalled bool
	// Limited is the rule that can't be decided because it limits how much passes.
	Limited *Culprit
}

// Reached is where the flow's packets go: its destination, or where NAT leads.
func (f *Flow) Reached() netip.AddrPort {
	if f.Firewall != nil && f.Firewall.Destination.IsValid() {
		return f.Firewall.Destination
	}
	return f.Destination
}

// Addr returns the destination without its port.
func (f *Flow) Addr() netip.Addr { return f.Destination.Addr() }

// Port returns the destination's port.
func (f *Flow) Port() uint16 { return f.Destination.Port() }

// String names the destination as people write it.
func (f *Flow) String() string {
	if f.Network == "unix" {
		return f.Path
	}
	return f.Destination.String()
}

// Blocked reports whether an earlier check stopped the flow before it could
// connect.
func (f *Flow) Blocked() bool {
	for _, c := range f.causes {
		if !c.After {
			return true
		}
	}
	return false
}

// Pass is a check's view of one flow, and the only way for it to speak.
type Pass struct {
	Ctx    context.Context
	Host   host.Host
	Target *Target
	Flow   *Flow
	Info   host.Info
	// Resolution is how the target's name became addresses; for a literal
	// address it holds just that.
	Resolution host.Resolution
	// Flows are all flows of the target; in the Explain phase all were observed.
	Flows []*Flow
	// UID is the user for whom a bind is asked; nil: the caller.
	UID *uint32

	run    *run
	check  *Check
	order  int
	result CheckResult
}

// OK says that the flow passes here.
func (p *Pass) OK(format string, args ...any) { p.say(ResultPass, format, args...) }

// Rewrite says that the flow goes on to another destination.
func (p *Pass) Rewrite(format string, args ...any) { p.say(ResultRewrite, format, args...) }

// Skip says that the check does not concern this flow.
func (p *Pass) Skip(format string, args ...any) { p.say(ResultSkip, format, args...) }

// Unknown says that it can't be told here, and what would tell.
func (p *Pass) Unknown(l host.Limit) {
	p.say(ResultUnknown, "%s: %s", l.What, l.Why)
	p.Limit(l)
}

func (p *Pass) say(r Result, format string, args ...any) {
	if p.result.Result == ResultStop {
		return // a stop stands, whatever is said after it
	}
	p.result.Result = r
	p.result.Detail = fmt.Sprintf(format, args...)
}

// Stop says that the flow ends here: c.Outcome is how it shows. With c.After it
// connects and what follows fails. The check may stop a flow more than once.
func (p *Pass) Stop(c Cause) {
	if c.Doubt == "" {
		c.Ceiling = Proven
	}
	for i := range c.Fixes {
		c.Fixes[i] = c.Fixes[i].Guarded()
	}
	c.order, c.flow, c.behind = p.order, p.Flow.index, p.check.Behind
	c.check, c.seen = p.check.ID, p.check.When == Explain
	p.say(ResultStop, "%s", c.Title)
	p.Flow.causes = append(p.Flow.causes, c)
}

// Stopped returns the causes that stopped the flow so far.
func (p *Pass) Stopped() []Cause { return p.Flow.causes }

// Note reports something worth knowing.
func (p *Pass) Note(f Finding) { f.Severity = SeverityNote; p.run.find(f) }

// Warn reports something that works and yet needs care.
func (p *Pass) Warn(f Finding) { f.Severity = SeverityWarning; p.run.find(f) }

// Limit reports what could not be seen.
func (p *Pass) Limit(l host.Limit) { p.run.limit(l) }

// Trace adds a line for --trace.
func (p *Pass) Trace(format string, args ...any) {
	p.result.Trace = append(p.result.Trace, fmt.Sprintf(format, args...))
}

// Shared is what make makes, made once for the whole diagnosis under a name: what
// several checks need and is dear to make.
func (p *Pass) Shared(name string, make func() any) any {
	have, ok := p.run.shared[name]
	if !ok {
		have = make()
		p.run.shared[name] = have
	}
	return have
}

// Waited is how long a probe waits for the other side.
func (p *Pass) Waited() time.Duration { return p.run.options.Timeout }

// ServerName is the name that was asked for in TLS and HTTP.
func (p *Pass) ServerName() string { return p.run.serverName() }

// OfferPorts hands out ports that are free to use instead.
func (p *Pass) OfferPorts(ports []uint16) { p.run.free = ports }

// Serve names who answers, for a healthy report.
func (p *Pass) Serve(c *Culprit) {
	p.Flow.server = c
	if p.run.server == nil {
		p.run.server = c
	}
}
