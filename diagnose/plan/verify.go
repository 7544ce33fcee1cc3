package plan

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/listeners"
	"github.com/portwhy/portwhy/platform/host"
)

// VerifySchema names the JSON form of [Verified].
const VerifySchema = "portwhy.plan-verify/v1"

// Verified is what a plan's connections came to. Its JSON form is a promise:
// within v1 fields are only added.
type Verified struct {
	Schema      string               `json:"schema"`
	Tool        diagnose.Tool        `json:"tool"`
	At          time.Time            `json:"at"`
	Host        diagnose.HostSummary `json:"host"`
	File        string               `json:"file"`
	Environment string               `json:"environment"`
	On          string               `json:"on"` // the plan's name of this host
	// Simulated: the services were stand-ins in a net made for it.
	Simulated bool            `json:"simulated"`
	Edges     []Edge          `json:"edges"`
	Findings  []Finding       `json:"findings"`
	Status    diagnose.Status `json:"status"`
	Limits    []host.Limit    `json:"limits"`
}

// Edge is one declared connection, and what became of it.
type Edge struct {
	From    string `json:"from"` // a service, or an address outside the plan
	To      string `json:"to"`   // SERVICE.PORT
	Network string `json:"network"`
	Port    uint16 `json:"port"`
	// Client and Server are the hosts of both ends, by the plan's names.
	Client string `json:"client"`
	Server string `json:"server"`
	Expect string `json:"expect"` // connected, blocked
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Target and Source are what was asked; empty: it could not be.
	Target string           `json:"target"`
	Source string           `json:"source,omitempty"` // predicted from there; empty: tried from here
	Status diagnose.Status  `json:"status"`
	Why    string           `json:"why"`    // in a sentence, unless it is as declared
	Report *diagnose.Report `json:"report"` // null: it was not asked
}

// Edges are an environment's connections as questions to the host that the plan
// calls on. What can't be asked there says why.
func (p *Plan) Edges(env *Environment, on string) []Edge {
	var list []Edge
	for _, c := range p.Connections {
		if c.Holds(env.Name) {
			list = append(list, p.edge(env, on, c))
		}
	}
	return list
}

func (p *Plan) edge(env *Environment, on string, c Connection) Edge {
	to := p.service(c.To)
	port := to.port(c.Port)
	e := Edge{From: c.Who(), To: c.To + "." + c.Port, Network: port.Network, Server: to.On[env.Name], Expect: "connected", Line: c.At.Line, Column: c.At.Column, Status: diagnose.StatusUnknown}
	if c.From != "" {
		e.Client = p.service(c.From).On[env.Name]
	}
	if c.Denied {
		e.Expect = "blocked"
	}
	numbers, open := port.Numbers[env.Name]
	if !open {
		e.Why = fmt.Sprintf("%s has no port in %s", e.To, env.Name)
		return e
	}
	e.Port = numbers.First
	server := env.host(e.Server)
	client := c.Source
	fromHere := c.From != "" && e.Client == on
	if h := env.host(e.Client); h != nil && !fromHere {
		client = first(h.Addresses, netip.Addr{})
	}
	if !fromHere && e.Server != on {
		e.Why = "neither end is on this host"
		return e
	}
	address := serverAddress(server, port.Bind[env.Name], p.same(env, c), client)
	if address == "" {
		e.Why = fmt.Sprintf("the plan tells no address of %s's host", c.To)
		return e
	}
	if !fromHere {
		if !client.IsValid() {
			e.Why = fmt.Sprintf("the plan tells no address of %s's host", c.From)
			return e
		}
		e.Source = client.String()
	}
	e.Target = target(port, address, e.Port)
	return e
}

// serverAddress is where a client finds a service; empty if that isn't told.
func serverAddress(server *Host, bound netip.Addr, same bool, client netip.Addr) string {
	if bound.IsValid() && !bound.IsUnspecified() && (same || !bound.IsLoopback()) {
		return bound.String()
	}
	if server != nil {
		if a := first(server.Addresses, client); a.IsValid() {
			return a.String()
		}
	}
	if server == nil || same {
		return "localhost"
	}
	return ""
}

// first is the first address of the family of another, if one is like it.
func first(addresses []netip.Addr, like netip.Addr) netip.Addr {
	for _, a := range addresses {
		if !like.IsValid() || a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

func target(p *Port, address string, port uint16) string {
	at := fmt.Sprintf("%s:%d", address, port)
	if a, err := netip.ParseAddr(address); err == nil {
		at = netip.AddrPortFrom(a, port).String()
	}
	switch {
	case p.Speaks != "":
		return p.Speaks + "://" + at
	case p.Network == "udp":
		return "udp://" + at
	}
	return at
}

// Judge takes the answer to an edge's question.
func (e *Edge) Judge(r *diagnose.Report) {
	e.Report = r
	if e.Expect == "connected" {
		e.Status = r.Status
		if r.RootCause != nil && r.Status != diagnose.OK {
			e.Why = r.RootCause.Title
		}
		return
	}
	switch {
	case r.Status == diagnose.StatusUnknown:
		e.Status, e.Why = diagnose.StatusUnknown, "whether it gets through could not be determined"
	case r.Status != diagnose.Broken:
		e.Status, e.Why = diagnose.Broken, "it gets through, and must not"
	case r.RootCause != nil && r.RootCause.Code == "no-listener":
		// Nothing kept it out, so nothing shows that something would.
		e.Status, e.Why = diagnose.Warning, "nothing listens there, so nothing shows that it would be kept out"
	default:
		e.Status = diagnose.OK
		if r.RootCause != nil {
			e.Why = r.RootCause.Title
		}
	}
}

// Listening compares the ports that an environment's services should have on
// this host with what listens: absent, or open to more than is meant.
func (p *Plan) Listening(environment, on string, l *listeners.List) []Finding {
	var findings []Finding
	for _, c := range p.Here(environment, on) {
		exposure := p.service(c.Service).port(c.Name).Exposure
		found := false
		for i := range l.Listeners {
			o := &l.Listeners[i]
			if o.Network != c.Network || !c.Ports.Has(o.Port) || o.State != "" && o.State != host.Listen && o.Network == "tcp" {
				continue
			}
			if a, err := netip.ParseAddr(o.Address); err != nil || !overlap(c.Address, a) {
				continue
			}
			found = true
			if wider(o.Reach, exposure) {
				f := c.about("listener-too-open", Warning, "%s is meant for %s, and by its address %s can reach it", c.Who(), exposure, reachWords[o.Reach])
				f.Port = o.Port
				f.Culprit = &diagnose.Culprit{Kind: "socket", Address: o.Address, Name: o.Process, Unit: o.Unit, Container: o.Container}
				findings = append(findings, f)
			}
		}
		if !found && c.Ports.Len() == 1 {
			findings = append(findings, c.about("no-listener", Warning, "%s doesn't listen: nothing has %s here", c.Who(), c))
		}
	}
	return findings
}

var (
	reachRank  = map[listeners.Reach]int{listeners.ReachLoopback: 1, listeners.ReachHost: 2, listeners.ReachLAN: 3, listeners.ReachAny: 4}
	reachWords = map[listeners.Reach]string{listeners.ReachLoopback: "this host", listeners.ReachHost: "this host's containers", listeners.ReachLAN: "the local networks", listeners.ReachAny: "anybody"}
)

func wider(is, meant listeners.Reach) bool { return meant != "" && reachRank[is] > reachRank[meant] }
