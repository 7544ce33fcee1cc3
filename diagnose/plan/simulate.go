package plan

import (
	"fmt"
	"net/netip"
	"strings"
)

// Simulation is an environment as a net of its own: its hosts, one more for each
// address outside that connects, and the connections as questions to their
// clients' hosts.
type Simulation struct {
	Hosts []Host
	Edges []Edge
}

// Simulate plans a simulation. It fails if hosts can't be told apart by their
// addresses.
func (p *Plan) Simulate(env *Environment) (*Simulation, error) {
	s := &Simulation{Hosts: env.Hosts}
	if len(env.Hosts) == 0 {
		s.Hosts = []Host{{}}
	}
	owner := map[netip.Addr]string{}
	for _, h := range env.Hosts {
		if len(h.Addresses) == 0 && len(env.Hosts) > 1 {
			return nil, fmt.Errorf("%s:%d:%d: host %s has no addresses to be reached by", p.File, h.At.Line, h.At.Column, h.Name)
		}
		for _, a := range h.Addresses {
			if other, twice := owner[a]; twice {
				return nil, fmt.Errorf("%s:%d:%d: hosts %s and %s both have %s", p.File, h.At.Line, h.At.Column, other, h.Name, a)
			}
			owner[a] = h.Name
		}
	}
	for _, c := range p.Connections {
		if !c.Holds(env.Name) {
			continue
		}
		var e Edge
		if c.From != "" {
			e = p.edge(env, p.service(c.From).On[env.Name], c)
		} else {
			e = p.edge(env, p.service(c.To).On[env.Name], c)
			e.Client, e.Source = owner[c.Source], ""
			switch {
			case len(env.Hosts) == 0:
				e.Target, e.Why = "", "an environment without hosts has no outside"
			case e.Client == "":
				// No name of the plan has a dot, so this is nobody else's.
				e.Client = c.Source.String()
				if _, have := owner[c.Source]; !have {
					owner[c.Source] = e.Client
					s.Hosts = append(s.Hosts, Host{Name: e.Client, Addresses: []netip.Addr{c.Source}})
				}
			}
		}
		// Stand-ins speak no protocol.
		if _, at, ok := strings.Cut(e.Target, "://"); ok && e.Network == "tcp" {
			e.Target = at
		}
		s.Edges = append(s.Edges, e)
	}
	return s, nil
}

// ClientAddress is where a host's packets to another come from.
func (s *Simulation) ClientAddress(host, server string) netip.Addr {
	to := netip.Addr{}
	for _, h := range s.Hosts {
		if h.Name == server {
			to = first(h.Addresses, to)
		}
	}
	for _, h := range s.Hosts {
		if h.Name == host {
			return first(h.Addresses, to)
		}
	}
	return netip.Addr{}
}
