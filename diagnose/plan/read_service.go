package plan

import (
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/document"
	"github.com/portwhy/portwhy/diagnose/listeners"
)

func (r *reader) services(n document.Node) error {
	entries, err := n.Entries()
	if err != nil {
		return err
	}
	if len(entries) > maxServices {
		return n.Errorf("expected at most %d services, found %d", maxServices, len(entries))
	}
	for _, e := range entries {
		s, err := r.service(e)
		if err != nil {
			return err
		}
		r.plan.Services = append(r.plan.Services, s)
	}
	return nil
}

func (r *reader) service(e document.Entry) (Service, error) {
	s := Service{At: at(e.Key)}
	var err error
	if s.Name, err = name(e); err != nil {
		return s, err
	}
	f, err := e.Value.Fields("owner", "about", "runs", "on", "ports")
	if err != nil {
		return s, err
	}
	for key, to := range map[string]*string{"owner": &s.Owner, "about": &s.About, "runs": &s.Runs} {
		if f[key].IsZero() {
			continue
		}
		if *to, err = f[key].Text(); err != nil {
			return s, err
		}
	}
	if s.On, err = r.on(f["on"], e.Key); err != nil {
		return s, err
	}
	ports, err := f["ports"].Entries()
	if err != nil {
		return s, err
	}
	for _, p := range ports {
		port, err := r.port(p)
		if err != nil {
			return s, err
		}
		s.Ports = append(s.Ports, port)
	}
	return s, nil
}

// on reads which host a service is on. Where an environment has several, each
// service names one.
func (r *reader) on(n, service document.Node) (map[string]string, error) {
	on, err := perEnvironment(r, n, func(env *Environment, v document.Node) (string, error) {
		host, err := v.Text()
		if err != nil {
			return "", err
		}
		if env.host(host) == nil {
			var known []string
			for _, h := range env.Hosts {
				known = append(known, h.Name)
			}
			return "", v.Errorf("environment %s has no host %q%s", env.Name, cut(host), meant(host, known))
		}
		return host, nil
	})
	if err != nil {
		return nil, err
	}
	for _, env := range r.plan.Environments {
		switch {
		case on[env.Name] != "" || len(env.Hosts) == 0:
		case len(env.Hosts) == 1:
			on[env.Name] = env.Hosts[0].Name
		default:
			return nil, service.Errorf("expected on: which of the %d hosts of %s it is on", len(env.Hosts), env.Name)
		}
	}
	return on, nil
}

func (r *reader) port(e document.Entry) (Port, error) {
	p := Port{Network: "tcp", At: at(e.Key)}
	var err error
	if p.Name, err = name(e); err != nil {
		return p, err
	}
	if !e.Value.IsMap() {
		p.Numbers, err = r.numbers(e.Value)
		if err == nil && len(p.Numbers) == 0 {
			err = e.Key.Errorf("expected a port")
		}
		return p, err
	}
	f, err := e.Value.Fields("port", "protocol", "bind", "exposure", "speaks")
	if err != nil {
		return p, err
	}
	if f["port"].IsZero() {
		return p, e.Key.Errorf("expected port: its number")
	}
	if p.Numbers, err = r.numbers(f["port"]); err != nil {
		return p, err
	}
	if n := f["protocol"]; !n.IsZero() {
		if p.Network, err = n.OneOf("tcp", "udp"); err != nil {
			return p, err
		}
	}
	if p.Bind, err = perEnvironment(r, f["bind"], func(_ *Environment, v document.Node) (netip.Addr, error) { return bindAddress(v) }); err != nil {
		return p, err
	}
	if n := f["exposure"]; !n.IsZero() {
		word, err := n.OneOf(string(listeners.ReachLoopback), string(listeners.ReachHost), string(listeners.ReachLAN), string(listeners.ReachAny))
		if err != nil {
			return p, err
		}
		p.Exposure = listeners.Reach(word)
	}
	if n := f["speaks"]; !n.IsZero() {
		if p.Speaks, err = n.Text(); err != nil {
			return p, err
		}
		if _, err := diagnose.ParseTarget(p.Speaks + "://localhost:1"); err != nil || p.Network != "tcp" {
			return p, n.Errorf("%q is no protocol that can be spoken here", cut(p.Speaks))
		}
	}
	return p, nil
}

// bindAddress reads an address; * is the wildcard of both families.
func bindAddress(n document.Node) (netip.Addr, error) {
	if word, err := n.Text(); err == nil && word == "*" {
		return netip.Addr{}, nil
	}
	return address(n)
}

func (r *reader) numbers(n document.Node) (map[string]Range, error) {
	return perEnvironment(r, n, func(_ *Environment, v document.Node) (Range, error) { return portRange(v) })
}
