package declare

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/diagnose/preflight"
	"github.com/portwhy/portwhy/platform/compose"
	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

// compose reads the files of one project.
func (r *reading) compose(files []source) error {
	t := files[0].tree
	o := compose.Options{Read: t.compose, Env: r.options.Env, Profiles: r.options.Profiles, Show: t.show, Name: filepath.Base(filepath.Join(t.dir, filepath.FromSlash(path.Dir(files[0].name))))}
	for _, f := range files {
		o.Files = append(o.Files, f.name)
	}
	if len(files) == 1 {
		switch over, err := t.overrideOf(files[0].name); {
		case err != nil:
			r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: t.show(over), Kind: Compose,
				Title: fmt.Sprintf("what %s changes is not known: %s", path.Base(over), reason(err))})
		case over != "":
			o.Files = append(o.Files, over)
		}
	}
	for _, name := range r.options.EnvFiles {
		// The user named it, so it may lie anywhere.
		outer, base, err := newTree(name, "")
		if err != nil {
			return &Error{File: name, Why: err.Error()}
		}
		data, err := outer.read(base, compose.MaxFile)
		if err != nil {
			return &Error{File: name, Why: reason(err)}
		}
		if t.given == nil {
			t.given = map[string][]byte{}
		}
		key := named + name
		t.given[key] = data
		o.EnvFiles = append(o.EnvFiles, key)
	}
	p, err := compose.Load(r.ctx, o)
	var bad *compose.Error
	if errors.As(err, &bad) {
		return &Error{File: bad.File, Line: bad.Line, Column: bad.Column, Why: bad.Why}
	}
	if err != nil {
		return &Error{File: t.show(files[0].name), Why: err.Error()}
	}
	for _, f := range p.Files {
		r.result.Files = append(r.result.Files, preflight.File{Path: f, Kind: Compose, Project: p.Name})
	}
	for _, u := range p.Unread {
		needs := "give a local copy"
		if u.Why == compose.ErrOutside.Error() {
			needs = "let it be read: --root DIR, a directory above both"
		}
		r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: u.File, Line: u.Line, Column: u.Column, Kind: Compose,
			Title: fmt.Sprintf("the ports of %s are not known: %s", u.What, u.Why), Needs: needs})
	}
	first := len(r.result.Declared)
	defer func() {
		slices.SortStableFunc(r.result.Declared[first:], func(a, b preflight.Declared) int {
			return cmp.Or(slices.Index(p.Files, a.File)-slices.Index(p.Files, b.File), a.Line-b.Line, a.Column-b.Column)
		})
	}()
	for _, s := range p.Services {
		if s.Enabled && s.Replicas > 0 {
			r.service(p, s, t)
			continue
		}
		if len(s.Ports) > 0 && !s.Enabled {
			r.limit(host.Limit{What: "the ports of " + s.Name, Why: "its profile is not active", Needs: "--profile " + s.Profiles[0]})
		}
	}
	return nil
}

// service takes over one service of a project.
func (r *reading) service(p *compose.Project, s compose.Service, t *tree) {
	base := preflight.Declared{Kind: Compose, Project: p.Name, Replicas: s.Replicas, Dir: t.dir}
	base.Service = s.Name
	add := func(port compose.Port, first, last uint16, doubt string) {
		d := base
		d.File, d.Line, d.Column, d.Text = port.File, port.Line, port.Column, port.Text
		d.Network, d.Ports, d.Any, d.Target, d.Doubt = port.Network, plan.Range{First: first, Last: last}, port.Any, port.Target, doubt
		d.Address, _ = netip.ParseAddr(port.HostIP)
		d.V6Only = d.Address == netip.IPv6Unspecified() // the engine has a socket for each family
		r.result.Declared = append(r.result.Declared, d)
	}
	mode, _, _ := strings.Cut(s.NetworkMode, ":")
	switch mode {
	case "host":
		r.hostNetwork(base, s, add)
		return
	case "none", "service", "container":
		if len(s.Ports) > 0 {
			r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: s.Mode.File, Line: s.Mode.Line, Column: s.Mode.Column, Kind: Compose, Service: s.Name, Note: true,
				Title: fmt.Sprintf("the ports of %s are not published: network_mode is %s", s.Name, s.NetworkMode)})
		}
		return
	}
	for _, port := range s.Ports {
		unset := strings.Join(port.Unset, " and ")
		if unset != "" {
			r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: port.File, Line: port.Line, Column: port.Column, Kind: Compose, Service: s.Name,
				Title: fmt.Sprintf("what %s publishes depends on %s, which no .env sets", s.Name, unset), Needs: fmt.Sprintf("give it: --env %s=VALUE, or --env %s to take it from this shell", port.Unset[0], port.Unset[0])})
			unset += " is not set here"
		}
		if port.First != 0 {
			add(port, port.First, port.Last, unset)
		}
	}
}

// hostNetwork: a service with the host's network opens what its program opens.
// Files tell that only as a hint.
func (r *reading) hostNetwork(base preflight.Declared, s compose.Service, add func(compose.Port, uint16, uint16, string)) {
	if len(s.Ports) > 0 {
		r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: s.Mode.File, Line: s.Mode.Line, Column: s.Mode.Column, Kind: Compose, Service: s.Name, Note: true,
			Title: fmt.Sprintf("the ports of %s are not published: with network_mode: host its program binds them itself", s.Name)})
	}
	hints := 0
	hint := func(port compose.Port, first, last uint16) {
		hints++
		add(port, first, last, "that "+s.Name+" opens it is only a hint: it has the host's network")
	}
	for _, port := range append(slices.Clone(s.Ports), s.Expose...) {
		port.Any = false
		hint(port, port.Target, port.TargetLast)
	}
	endpoints := config.Arguments(append([]string{s.Name}, s.Command...))
	for name, value := range s.Environment {
		endpoints = append(endpoints, config.Variable(name, value)...)
	}
	for _, e := range endpoints {
		if e.Port != 0 && e.Network != "unix" {
			ip := ""
			if a, err := netip.ParseAddr(e.Address); err == nil {
				ip = a.String()
			}
			hint(compose.Port{Place: s.Mode, Text: e.Key, Network: e.Network, HostIP: ip}, e.Port, e.Port)
		}
	}
	if hints == 0 {
		r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: s.Mode.File, Line: s.Mode.Line, Column: s.Mode.Column, Kind: Compose, Service: s.Name,
			Title: fmt.Sprintf("which ports %s opens is not known: it has the host's network, and the file doesn't say", s.Name), Needs: "name them in the file: expose: [PORT]"})
	}
}
