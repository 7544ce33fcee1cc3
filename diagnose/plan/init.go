package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose/listeners"
)

// clientPorts begin here: a UDP socket above is mostly a client's.
const clientPorts = 32768

// FromListeners makes a plan of what listens now, with one service for each
// unit, container or process. UDP sockets on ports that clients get are left
// out.
func FromListeners(l *listeners.List) *Plan {
	p := &Plan{Environments: []Environment{{Name: DefaultEnvironment}}}
	for i := range l.Listeners {
		o := &l.Listeners[i]
		if o.Network == "udp" && o.Port >= clientPorts {
			continue
		}
		a, err := netip.ParseAddr(o.Address)
		if err != nil {
			continue
		}
		p.made(cmp.Or(o.Container, o.Unit, o.Process)).add(o.Network, One(o.Port), a, o.Reach)
	}
	return p.sorted()
}

// FromClaims makes a plan of what other files declare, with a service for each
// of theirs.
func FromClaims(claims []Claim) *Plan {
	p := &Plan{Environments: []Environment{{Name: DefaultEnvironment}}}
	for _, c := range claims {
		s := p.made(c.Service)
		s.Runs = ""
		s.add(c.Network, c.Ports, c.Address, "")
	}
	return p.sorted()
}

// made is the service of a name from outside, which is new if need be.
func (p *Plan) made(runs string) *Service {
	name := serviceName(runs)
	if s := p.service(name); s != nil {
		return s
	}
	p.Services = append(p.Services, Service{Name: name, Runs: runs})
	return &p.Services[len(p.Services)-1]
}

func (p *Plan) sorted() *Plan {
	slices.SortFunc(p.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// add takes a port. The wildcards of both families are one.
func (s *Service) add(network string, ports Range, a netip.Addr, exposure listeners.Reach) {
	a = a.WithZone("").Unmap()
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Network != network || p.Numbers[DefaultEnvironment] != ports {
			continue
		}
		have := p.Bind[DefaultEnvironment]
		if have != a && !(anyone(have) && anyone(a)) {
			continue
		}
		if have != a {
			delete(p.Bind, DefaultEnvironment)
		}
		p.Exposure = widest(p.Exposure, exposure)
		return
	}
	base := network + ports.String()
	name := base
	for n := 2; s.port(name) != nil; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	s.Ports = append(s.Ports, Port{Name: name, Network: network, Numbers: map[string]Range{DefaultEnvironment: ports}, Bind: bindOf(a), Exposure: exposure})
}

// anyone is a wildcard.
func anyone(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }

// bindOf is a port's address; the wildcard of IPv6 takes IPv4 as well, which is
// what a plan means without one.
func bindOf(a netip.Addr) map[string]netip.Addr {
	if !a.IsValid() || a == netip.IPv6Unspecified() {
		return nil
	}
	return map[string]netip.Addr{DefaultEnvironment: a}
}

func widest(a, b listeners.Reach) listeners.Reach {
	if wider(b, a) {
		return b
	}
	return a
}

// serviceName makes a name of a plan out of what may come from anywhere.
func serviceName(s string) string {
	s = strings.TrimSuffix(strings.TrimSuffix(s, ".service"), ".socket")
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return r
		}
		return '-'
	}, s)
	s = strings.Trim(s, "-")
	return cmp.Or(s[:min(len(s), 63)], "unseen")
}
