package plan

import (
	"cmp"
	"fmt"
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
		runs := cmp.Or(o.Container, o.Unit, o.Process)
		name := serviceName(runs)
		s := p.service(name)
		if s == nil {
			p.Services = append(p.Services, Service{Name: name, Runs: runs})
			s = &p.Services[len(p.Services)-1]
		}
		s.add(o)
	}
	slices.SortFunc(p.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// add takes a listener among a service's ports. The wildcards of both families
// are one port.
func (s *Service) add(o *listeners.Listener) {
	a, err := parseListener(o.Address)
	if err != nil {
		return
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		if p.Network != o.Network || p.Numbers[DefaultEnvironment] != One(o.Port) {
			continue
		}
		if have := p.Bind[DefaultEnvironment]; have == a || !have.IsValid() && a.IsUnspecified() {
			p.Exposure = widest(p.Exposure, o.Reach)
			return
		} else if have.IsUnspecified() && a.IsUnspecified() {
			delete(p.Bind, DefaultEnvironment)
			p.Exposure = widest(p.Exposure, o.Reach)
			return
		}
	}
	base := fmt.Sprintf("%s%d", o.Network, o.Port)
	name := base
	for n := 2; s.port(name) != nil; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	p := Port{Name: name, Network: o.Network, Numbers: map[string]Range{DefaultEnvironment: One(o.Port)}, Bind: bindOf(a), Exposure: o.Reach}
	s.Ports = append(s.Ports, p)
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
