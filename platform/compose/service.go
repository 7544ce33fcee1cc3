package compose

import (
	"slices"
	"strconv"
	"strings"
)

// Service is one service, with what has to do with ports.
type Service struct {
	Place // of its name
	Name  string
	Ports []Port
	// Expose are ports that the image's program opens, and that nothing publishes.
	Expose []Port
	// NetworkMode is bridge, host, none, service:NAME, container:NAME or empty;
	// Mode is where it stands.
	NetworkMode string
	Mode        Place
	// Replicas is how many containers up starts on this host.
	Replicas int
	// Enabled: no profile keeps it from starting. Profiles are those it has.
	Enabled  bool
	Profiles []string
	// Command and Environment are as written; variables are put in.
	Command     []string
	Environment map[string]string
}

// Port is one entry of ports. First is 0 where the engine chooses.
type Port struct {
	Place
	Text    string // as written
	Network string // tcp, udp, sctp
	HostIP  string
	// First and Last are the host's ports; Any: one of them is enough.
	First, Last uint16
	Any         bool
	// Target and TargetLast are the container's.
	Target, TargetLast uint16
	// Unset are variables without a value or default that it was made with.
	Unset []string
}

// services reads the services of the merged model.
func (l *loading) services(model *node, active []string) error {
	services := model.get("services")
	if services == nil || services.null {
		return nil
	}
	if services.kind != mapping {
		return l.fail(services.place, "services takes names with values")
	}
	names := slices.Sorted(slices.Values(services.keys))
	for _, name := range names {
		n := services.of[name]
		if n == nil || n.mark == resets {
			continue
		}
		if n.kind != mapping {
			if n.null {
				continue
			}
			return l.fail(n.place, "the service %s takes keys with values", cut(name))
		}
		s, err := l.service(name, n)
		if err != nil {
			return err
		}
		s.Enabled = len(s.Profiles) == 0 || slices.ContainsFunc(s.Profiles, func(p string) bool { return slices.Contains(active, p) }) || slices.Contains(active, "*")
		l.project.Services = append(l.project.Services, s)
	}
	return nil
}

func (l *loading) service(name string, n *node) (Service, error) {
	at := n.key
	if at.file == "" {
		at = n.place
	}
	s := Service{Place: l.place(at), Name: name, Replicas: 1}
	var err error
	if s.Ports, err = l.portList(n.get("ports"), l.port); err != nil {
		return s, err
	}
	if s.Expose, err = l.portList(n.get("expose"), l.exposed); err != nil {
		return s, err
	}
	if l.ports += len(s.Ports) + len(s.Expose); l.ports > maxPorts {
		return s, l.fail(at, "more than %d ports are declared", maxPorts)
	}
	if mode := n.get("network_mode"); mode != nil && mode.kind == scalar && !mode.null {
		s.NetworkMode, s.Mode = mode.text, l.place(mode.place)
	}
	if p := n.get("profiles"); p != nil {
		for _, item := range p.list {
			s.Profiles = append(s.Profiles, item.text)
		}
	}
	for _, count := range []*node{n.get("deploy").get("replicas"), n.get("scale")} {
		if count == nil || count.null {
			continue
		}
		i, err := strconv.Atoi(count.text)
		if err != nil || i < 0 {
			return s, l.fail(count.place, "expected a number of containers, found %q", cut(count.text))
		}
		s.Replicas = i
	}
	if c := n.get("command"); c != nil {
		for _, item := range c.list {
			s.Command = append(s.Command, item.text)
		}
		if c.kind == scalar {
			s.Command = strings.Fields(c.text)
		}
	}
	if e := n.get("environment"); e != nil && !e.null {
		s.Environment = map[string]string{}
		for key, v := range asMapping(e).of {
			s.Environment[key] = v.text
		}
	}
	return s, nil
}

// portList reads a list; where one entry says the same as another the last one
// holds, at the place of the first.
func (l *loading) portList(n *node, read func(*node) (Port, error)) ([]Port, error) {
	if n == nil || n.null {
		return nil, nil
	}
	if n.kind != sequence {
		return nil, l.fail(n.place, "expected a list of ports")
	}
	var list []Port
	index := map[portKey]int{}
	for _, item := range n.list {
		if item.null {
			continue
		}
		p, err := read(item)
		if err != nil {
			return nil, err
		}
		p.Unset = item.unsets()
		key := portKey{p.Network, p.HostIP, p.First, p.Last, p.Target, p.TargetLast, item.get("published").isNumber()}
		if key.ip == "" {
			key.ip = "0.0.0.0"
		}
		if i, ok := index[key]; ok {
			list[i] = p
			continue
		}
		index[key] = len(list)
		list = append(list, p)
	}
	return list, nil
}

// portKey is what two entries have in common that say the same.
type portKey struct {
	network, ip                     string
	first, last, target, targetLast uint16
	// compose-go takes a published port that is written as a number for another
	// than the same one as text.
	number bool
}

// unsets are the variables without a value in the whole entry.
func (n *node) unsets() []string {
	unset := slices.Clone(n.unset)
	for _, key := range n.keys {
		unset = append(unset, n.of[key].unset...)
	}
	slices.Sort(unset)
	return slices.Compact(unset)
}
