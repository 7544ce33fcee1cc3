package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/platform/host"
)

// CheckSchema names the JSON form of [Checked].
const CheckSchema = "portwhy.plan-check/v1"

// Checked is what a plan's check found. Its JSON form is a promise: within v1
// fields are only added.
type Checked struct {
	Schema string               `json:"schema"`
	Tool   diagnose.Tool        `json:"tool"`
	At     time.Time            `json:"at"`
	Host   diagnose.HostSummary `json:"host"`
	File   string               `json:"file"`
	// Environment that was compared with this host; empty: none was.
	Environment string          `json:"environment"`
	Services    int             `json:"services"`
	Ports       int             `json:"ports"`
	Findings    []Finding       `json:"findings"`
	Status      diagnose.Status `json:"status"`
	Limits      []host.Limit    `json:"limits"`
}

// Faults are what is wrong in the plan itself, in the order of its lines: ports
// that are declared twice, and connections that its own words rule out.
func (p *Plan) Faults() []Finding {
	var list []Finding
	for _, env := range p.Environments {
		for _, c := range Conflicts(p.Claims(env.Name)) {
			list = append(list, c.finding())
		}
		for _, c := range p.Connections {
			if f, ok := p.fault(&env, c); ok {
				list = append(list, f)
			}
		}
		for _, c := range p.Claims(env.Name) {
			if f, ok := p.tooOpen(c); ok {
				list = append(list, f)
			}
		}
	}
	slices.SortStableFunc(list, byPlace)
	return list
}

func byPlace(a, b Finding) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// about starts a finding on a claim.
func (c Claim) about(code string, severity Severity, format string, args ...any) Finding {
	return Finding{Code: code, Severity: severity, Title: fmt.Sprintf(format, args...), File: c.File, Line: c.Line, Column: c.Column,
		Network: c.Network, Port: c.Ports.First, Service: c.Service, Environment: c.Environment, Fixes: []diagnose.Fix{}}
}

func (c Conflict) finding() Finding {
	f := c.Second.about("port-declared-twice", Error, "%s and %s both want %s/%s%s", c.First.Who(), c.Second.Who(), c.Ports, c.Second.Network, c.Second.where())
	f.Port = c.Ports.First
	f.Culprit = &diagnose.Culprit{Kind: "config", Name: c.First.Who(), File: c.First.File, Line: c.First.Line, Text: c.First.String()}
	return f
}

// where says on which host and in which environment.
func (c Claim) where() string {
	var s string
	if c.Host != "" {
		s += " on " + c.Host
	}
	if c.Environment != "" && c.Environment != DefaultEnvironment {
		s += " in " + c.Environment
	}
	return s
}

// fault says what in the plan itself rules a connection out.
func (p *Plan) fault(env *Environment, c Connection) (Finding, bool) {
	if !c.Holds(env.Name) || c.Denied {
		return Finding{}, false
	}
	to := p.service(c.To)
	port := to.port(c.Port)
	numbers, open := port.Numbers[env.Name]
	claim := Claim{File: p.File, Line: c.At.Line, Column: c.At.Column, Environment: env.Name, Host: to.On[env.Name], Service: c.To, Name: c.Port,
		Network: port.Network, Address: port.Bind[env.Name], Ports: numbers}
	if !open {
		return claim.about("no-listener", Error, "%s connects to %s, which has no port in %s", c.Who(), claim.Who(), env.Name), true
	}
	if claim.Address.IsLoopback() && !p.same(env, c) {
		f := claim.about("listener-other-address", Error, "%s connects from another host to %s, which listens on %s only", c.Who(), claim.Who(), claim.Address)
		f.Culprit = &diagnose.Culprit{Kind: "config", Name: claim.Who(), File: p.File, Line: port.At.Line, Text: claim.String()}
		return f, true
	}
	return Finding{}, false
}

// same says whether both ends of a connection are on one host.
func (p *Plan) same(env *Environment, c Connection) bool {
	if c.From == "" {
		return c.Source.IsLoopback()
	}
	return p.service(c.From).On[env.Name] == p.service(c.To).On[env.Name]
}

// Who names the end that connects.
func (c Connection) Who() string {
	if c.From != "" {
		return c.From
	}
	return c.Source.String()
}

// Holds says whether the connection is declared for an environment.
func (c Connection) Holds(environment string) bool {
	return len(c.Environments) == 0 || slices.Contains(c.Environments, environment)
}

// tooOpen says that what is meant for this host alone is bound where others
// reach it.
func (p *Plan) tooOpen(c Claim) (Finding, bool) {
	port := p.service(c.Service).port(c.Name)
	if port.Exposure != listeners.ReachLoopback || c.Address.IsLoopback() {
		return Finding{}, false
	}
	return c.about("listener-too-open", Warning, "%s is meant for loopback and binds %s", c.Who(), c), true
}

// Here returns the claims of an environment that are for the host at hand, by
// the name that the plan gives it.
func (p *Plan) Here(environment, name string) []Claim {
	var list []Claim
	for _, c := range p.Claims(environment) {
		if c.Host == name {
			list = append(list, c)
		}
	}
	return list
}

// HostName returns which of an environment's hosts has one of these addresses.
// An environment without hosts is the host at hand, whose name is empty.
func (e *Environment) HostName(own []netip.Addr) (name string, ok bool) {
	if len(e.Hosts) == 0 {
		return "", true
	}
	for _, h := range e.Hosts {
		for _, a := range h.Addresses {
			if slices.Contains(own, a) {
				return h.Name, true
			}
		}
	}
	return "", false
}

// Bind is what portwhy bind is asked of a port.
func (c Claim) Bind(port uint16) string {
	target := fmt.Sprintf(":%d", port)
	if c.Address.IsValid() {
		target = netip.AddrPortFrom(c.Address, port).String()
	}
	if c.Network == "udp" {
		target = "udp://" + target
	}
	return target
}

// Judge turns the answer to "could it be bound here?" into findings about the
// claim. Runs is what the service is known to be, if that is told: a port that
// it holds itself is no clash.
func (c Claim) Judge(r *diagnose.Report, runs string) []Finding {
	var list []Finding
	for _, cause := range r.Causes {
		f := c.about(cause.Code, Error, "%s: %s", c.Who(), cause.Title)
		f.Port, f.Culprit, f.Evidence, f.Fixes = r.Target.Port, cause.Culprit, cause.Evidence, fixesOf(r, cause.Code)
		f.Free = r.FreePorts
		switch {
		case is(cause.Culprit, runs):
			f.Severity, f.Title = Note, fmt.Sprintf("%s has port %d already", c.Who(), r.Target.Port)
			f.Fixes, f.Free = []diagnose.Fix{}, nil
		case cause.Code == "port-privileged":
			// It depends on who starts the service, which a plan doesn't tell.
			f.Severity = Note
		case runs != "" && cause.Code == "port-owner-hidden":
			f.Severity = Unknown
			f.Title = fmt.Sprintf("%s; whether that is %s itself can't be seen", strings.TrimSuffix(f.Title, "."), c.Service)
		case runs == "" && cause.Outcome == diagnose.InUse:
			// The holder may be the service itself.
			f.Severity = Warning
		}
		list = append(list, f)
	}
	if r.Status == diagnose.StatusUnknown {
		f := c.about("facts-missing", Unknown, "%s: whether port %d can be bound could not be determined", c.Who(), r.Target.Port)
		f.Port = r.Target.Port
		list = append(list, f)
	}
	for _, found := range r.Findings {
		severity := Note
		if found.Severity == diagnose.SeverityWarning {
			severity = Warning
		}
		f := c.about(found.Code, severity, "%s: %s", c.Who(), found.Title)
		f.Port, f.Culprit, f.Evidence = r.Target.Port, found.Culprit, found.Evidence
		list = append(list, f)
	}
	return list
}

func fixesOf(r *diagnose.Report, code string) []diagnose.Fix {
	fixes := []diagnose.Fix{}
	for _, f := range r.Fixes {
		if f.Cause == code {
			fixes = append(fixes, f)
		}
	}
	return fixes
}

// is says whether a culprit is the process, unit or container of that name.
func is(c *diagnose.Culprit, name string) bool {
	if c == nil || name == "" {
		return false
	}
	return c.Name == name || c.Unit == name || c.Unit == name+".service" || c.Container == name
}
