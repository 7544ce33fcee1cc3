package plan

import (
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose/document"
	"github.com/portwhy/portwhy/diagnose/spelling"
)

// The bounds of a plan.
const (
	maxServices     = 2000
	maxEnvironments = 50
	maxConnections  = 10000
)

// Read reads a plan. Its errors name file, line and column ([document.Error]).
func Read(file string, in io.Reader) (*Plan, error) {
	root, err := document.Read(file, in)
	if err != nil {
		return nil, err
	}
	f, err := root.Fields("schema", "environments", "policy", "services", "connections")
	if err != nil {
		return nil, err
	}
	if f["schema"].IsZero() {
		return nil, root.Errorf("expected schema: %s", Schema)
	}
	if _, err := f["schema"].OneOf(Schema); err != nil {
		return nil, err
	}
	r := &reader{plan: &Plan{File: file}}
	for _, part := range []struct {
		name string
		read func(document.Node) error
	}{{"environments", r.environments}, {"policy", r.policy}, {"services", r.services}, {"connections", r.connections}} {
		if err := part.read(f[part.name]); err != nil {
			return nil, err
		}
	}
	if len(r.plan.Services) == 0 {
		return nil, root.Errorf("expected services: none is declared")
	}
	return r.plan, nil
}

type reader struct{ plan *Plan }

func at(n document.Node) Position {
	line, column := n.Position()
	return Position{line, column}
}

// name checks a key that becomes a name of the plan: words are told apart by
// dots, commas and spaces elsewhere.
func name(e document.Entry) (string, error) {
	if e.Name == "" || len(e.Name) > 63 || strings.Trim(e.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return "", e.Key.Errorf("%q is no name: it has letters, digits, - and _, at most 63", cut(e.Name))
	}
	return e.Name, nil
}

func cut(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// DefaultEnvironment is the one of a plan that declares none.
const DefaultEnvironment = "default"

func (r *reader) environments(n document.Node) error {
	if n.IsZero() {
		r.plan.Environments = []Environment{{Name: DefaultEnvironment}}
		return nil
	}
	if n.IsList() {
		list, err := n.List()
		if err != nil {
			return err
		}
		for _, m := range list {
			word, err := m.Text()
			if err != nil {
				return err
			}
			if _, err := name(document.Entry{Name: word, Key: m}); err != nil {
				return err
			}
			if _, twice := r.plan.Environment(word); twice {
				return m.Errorf("%q is given twice", word)
			}
			r.plan.Environments = append(r.plan.Environments, Environment{Name: word, At: at(m)})
		}
		return r.someEnvironments(n)
	}
	entries, err := n.Entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		env, err := r.environment(e)
		if err != nil {
			return err
		}
		r.plan.Environments = append(r.plan.Environments, env)
	}
	return r.someEnvironments(n)
}

func (r *reader) someEnvironments(n document.Node) error {
	if len(r.plan.Environments) == 0 || len(r.plan.Environments) > maxEnvironments {
		return n.Errorf("expected from 1 to %d environments", maxEnvironments)
	}
	return nil
}

func (r *reader) environment(e document.Entry) (Environment, error) {
	env := Environment{At: at(e.Key)}
	var err error
	if env.Name, err = name(e); err != nil {
		return env, err
	}
	f, err := e.Value.Fields("hosts")
	if err != nil {
		return env, err
	}
	hosts, err := f["hosts"].Entries()
	if err != nil {
		return env, err
	}
	for _, h := range hosts {
		host := Host{At: at(h.Key)}
		if host.Name, err = name(h); err != nil {
			return env, err
		}
		f, err := h.Value.Fields("addresses", "firewall")
		if err != nil {
			return env, err
		}
		if host.Addresses, err = addresses(f["addresses"]); err != nil {
			return env, err
		}
		if host.Firewall, err = files(f["firewall"]); err != nil {
			return env, err
		}
		env.Hosts = append(env.Hosts, host)
	}
	return env, nil
}

func addresses(n document.Node) ([]netip.Addr, error) {
	nodes, err := n.List()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, m := range nodes {
		a, err := hostAddress(m)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func hostAddress(n document.Node) (netip.Addr, error) {
	a, err := address(n)
	if err == nil && (a.IsUnspecified() || a.IsMulticast()) {
		err = n.Errorf("expected the address of a host, found %q", a)
	}
	return a, err
}

func address(n document.Node) (netip.Addr, error) {
	text, err := n.Text()
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, n.Errorf("expected an IPv4 or IPv6 address, found %q", cut(text))
	}
	return a.Unmap(), nil
}

// files are names of files beside the plan: one that leads elsewhere is
// refused, so that a plan from somebody else reads nothing of this host.
func files(n document.Node) ([]string, error) {
	nodes, err := n.List()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, m := range nodes {
		file, err := m.Text()
		if err != nil {
			return nil, err
		}
		if !fs.ValidPath(file) {
			return nil, m.Errorf("%q leads out of the plan's directory", cut(file))
		}
		list = append(list, file)
	}
	return list, nil
}

func (r *reader) policy(n document.Node) error {
	f, err := n.Fields("ranges", "reserved")
	if err != nil {
		return err
	}
	if r.plan.Policy.Ranges, err = ranges(f["ranges"]); err != nil {
		return err
	}
	r.plan.Policy.Reserved, err = ranges(f["reserved"])
	return err
}

func ranges(n document.Node) ([]Range, error) {
	nodes, err := n.List()
	if err != nil {
		return nil, err
	}
	var list []Range
	for _, m := range nodes {
		one, err := portRange(m)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

func portRange(n document.Node) (Range, error) {
	text, err := n.Text()
	if err != nil {
		return Range{}, err
	}
	one, err := ParseRange(text)
	if err != nil {
		return Range{}, n.Errorf("%v", err)
	}
	return one, nil
}

// perEnvironment reads a value that holds everywhere, or one by environment. A
// single value is left out where it doesn't fit, unless it fits nowhere.
func perEnvironment[T any](r *reader, n document.Node, read func(*Environment, document.Node) (T, error)) (map[string]T, error) {
	values := map[string]T{}
	if n.IsZero() {
		return values, nil
	}
	if !n.IsMap() {
		var failed error
		for i := range r.plan.Environments {
			env := &r.plan.Environments[i]
			if v, err := read(env, n); err == nil {
				values[env.Name] = v
			} else {
				failed = err
			}
		}
		if len(values) == 0 {
			return nil, failed
		}
		return values, nil
	}
	entries, err := n.Entries()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		env, err := r.environmentOf(e.Key)
		if err != nil {
			return nil, err
		}
		if values[env.Name], err = read(env, e.Value); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (r *reader) environmentOf(n document.Node) (*Environment, error) {
	word, err := n.Text()
	if err != nil {
		return nil, err
	}
	env, ok := r.plan.Environment(word)
	if !ok {
		var known []string
		for _, e := range r.plan.Environments {
			known = append(known, e.Name)
		}
		return nil, n.Errorf("no environment %q%s", cut(word), meant(word, known))
	}
	return env, nil
}

func meant(word string, known []string) string {
	if near, ok := spelling.Near(word, known); ok {
		return "; " + near + " was meant?"
	}
	return ""
}

func (r *reader) connections(n document.Node) error {
	nodes, err := n.List()
	if err != nil {
		return err
	}
	for _, m := range nodes {
		if err := r.connection(m); err != nil {
			return err
		}
		if len(r.plan.Connections) > maxConnections {
			return m.Errorf("expected at most %d connections", maxConnections)
		}
	}
	return nil
}

func (r *reader) connection(n document.Node) error {
	f, err := n.Fields("from", "to", "environments", "expect")
	if err != nil {
		return err
	}
	for _, key := range []string{"from", "to"} {
		if f[key].IsZero() {
			return n.Errorf("expected %s: a service", key)
		}
	}
	edge := Connection{At: at(n)}
	if err := r.to(f["to"], &edge); err != nil {
		return err
	}
	environments, err := f["environments"].List()
	if err != nil {
		return err
	}
	for _, m := range environments {
		env, err := r.environmentOf(m)
		if err != nil {
			return err
		}
		edge.Environments = append(edge.Environments, env.Name)
	}
	if e := f["expect"]; !e.IsZero() {
		word, err := e.OneOf("connected", "blocked")
		if err != nil {
			return err
		}
		edge.Denied = word == "blocked"
	}
	from, err := f["from"].List()
	if err != nil {
		return err
	}
	for _, m := range from {
		one := edge
		if one.From, one.Source, err = r.from(m); err != nil {
			return err
		}
		r.plan.Connections = append(r.plan.Connections, one)
	}
	return nil
}

func (r *reader) from(n document.Node) (service string, source netip.Addr, err error) {
	word, err := n.Text()
	if err != nil {
		return "", source, err
	}
	if _, err := netip.ParseAddr(word); err == nil {
		source, err := hostAddress(n)
		return "", source, err
	}
	if r.plan.service(word) == nil {
		return "", source, n.Errorf("no service %q%s", cut(word), meant(word, r.names()))
	}
	return word, source, nil
}

func (r *reader) names() []string {
	var names []string
	for _, s := range r.plan.Services {
		names = append(names, s.Name)
	}
	return names
}

// to reads SERVICE.PORT, or SERVICE if that has one port.
func (r *reader) to(n document.Node, edge *Connection) error {
	word, err := n.Text()
	if err != nil {
		return err
	}
	service, port, named := strings.Cut(word, ".")
	s := r.plan.service(service)
	if s == nil {
		return n.Errorf("no service %q%s", cut(service), meant(service, r.names()))
	}
	var ports []string
	for _, p := range s.Ports {
		ports = append(ports, p.Name)
	}
	switch {
	case !named && len(ports) == 1:
		port = ports[0]
	case !named:
		return n.Errorf("%s has %d ports: name one, as in %s.PORT", service, len(ports), service)
	case !slices.Contains(ports, port):
		return n.Errorf("%s has no port %q%s", service, cut(port), meant(port, ports))
	}
	for _, env := range r.plan.Environments {
		if s.port(port).Numbers[env.Name].Len() > 1 {
			return n.Errorf("%s is a range in %s: a connection goes to one port", word, env.Name)
		}
	}
	edge.To, edge.Port = service, port
	return nil
}
