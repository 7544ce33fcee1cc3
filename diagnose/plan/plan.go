package plan

import (
	"net/netip"

	"github.com/portwhy/portwhy/diagnose/listeners"
)

// Schema names the form of a plan's file.
const Schema = "portwhy.plan/v1"

// Plan is what a file declares: which service listens where in which
// environment, and who talks to whom.
type Plan struct {
	File         string
	Environments []Environment
	Policy       Policy
	Services     []Service
	Connections  []Connection
}

// Position in the plan's file, from 1.
type Position struct{ Line, Column int }

// Environment is one place where the services run together: dev, test, prod.
type Environment struct {
	Name string
	// Hosts of the environment. Without any, all services are on one host.
	Hosts []Host
	At    Position
}

// Host of an environment.
type Host struct {
	Name      string
	Addresses []netip.Addr
	// Firewall are files with the host's rules, as written in the plan.
	Firewall []string
	At       Position
}

// host returns the host of a name, nil if the environment has none such.
func (e *Environment) host(name string) *Host {
	for i := range e.Hosts {
		if e.Hosts[i].Name == name {
			return &e.Hosts[i]
		}
	}
	return nil
}

// Policy is where new ports are taken from.
type Policy struct {
	// Ranges to take from, in order. Without any: DefaultRanges.
	Ranges []Range
	// Reserved are not given out.
	Reserved []Range
}

// DefaultRanges are the registered ports below those that Linux, macOS and
// Windows hand out to clients (RFC 6335 section 6, ip_local_port_range).
func DefaultRanges() []Range { return []Range{{8000, 9999}, {10000, 32767}, {1024, 7999}} }

// Service is one program of the plan.
type Service struct {
	Name  string
	Owner string
	About string
	// Runs is the process, unit or container that it is, by name; empty: not told.
	Runs string
	// On is the host's name by environment.
	On    map[string]string
	Ports []Port
	At    Position
}

// Port that a service listens on.
type Port struct {
	Name    string
	Network string // tcp, udp
	// Numbers by environment. It has none where the port isn't open.
	Numbers map[string]Range
	// Bind is the address by environment; none: the wildcard.
	Bind map[string]netip.Addr
	// Exposure is who is meant to reach it; empty: not told.
	Exposure listeners.Reach
	// Speaks is the protocol as a URL's scheme, empty if it isn't told.
	Speaks string
	At     Position
}

// Connection is an edge: From talks to a port of To.
type Connection struct {
	// From is a service's name, or Source is an address outside the plan.
	From   string
	Source netip.Addr
	To     string
	Port   string
	// Environments in which it is so; none: all.
	Environments []string
	// Denied: it must not work.
	Denied bool
	At     Position
}

// Environment returns the environment of a name.
func (p *Plan) Environment(name string) (*Environment, bool) {
	for i := range p.Environments {
		if p.Environments[i].Name == name {
			return &p.Environments[i], true
		}
	}
	return nil, false
}

// service returns the service of a name, nil if there is none.
func (p *Plan) service(name string) *Service {
	for i := range p.Services {
		if p.Services[i].Name == name {
			return &p.Services[i]
		}
	}
	return nil
}

// port returns the port of a name, nil if there is none.
func (s *Service) port(name string) *Port {
	for i := range s.Ports {
		if s.Ports[i].Name == name {
			return &s.Ports[i]
		}
	}
	return nil
}

// Claims are the ports that the services have in an environment.
func (p *Plan) Claims(environment string) []Claim {
	var list []Claim
	for _, s := range p.Services {
		for _, port := range s.Ports {
			r, ok := port.Numbers[environment]
			if !ok {
				continue
			}
			list = append(list, Claim{File: p.File, Line: port.At.Line, Column: port.At.Column, Environment: environment, Host: s.On[environment],
				Service: s.Name, Name: port.Name, Network: port.Network, Address: port.Bind[environment], Ports: r})
		}
	}
	return list
}
