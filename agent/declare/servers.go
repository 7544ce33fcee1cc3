package declare

import (
	"errors"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose/plan"
	"github.com/portwhy/portwhy/diagnose/preflight"
	"github.com/portwhy/portwhy/platform/config"
	"github.com/portwhy/portwhy/platform/host"
)

// read reads a file that is no compose file.
func (r *reading) read(s source) error {
	var list []config.Declared
	switch s.kind {
	case Kubernetes:
		var err error
		if list, err = config.Kubernetes(s.file()); err != nil {
			var bad *config.SyntaxError
			if errors.As(err, &bad) {
				return &Error{File: s.tree.show(s.name), Line: bad.Line, Column: bad.Column, Why: bad.Why}
			}
			return &Error{File: s.tree.show(s.name), Why: err.Error()}
		}
	case Procfile:
		base := uint16(0)
		if data, err := s.tree.read(path.Join(path.Dir(s.name), ".env"), maxSource); err == nil {
			base = config.EnvPort(config.File{Data: data})
		}
		list = config.Procfile(s.file(), base)
	case Env:
		list = config.DotEnv(s.file())
	default:
		list = r.claims(s)
	}
	r.opened(s, "")
	for _, d := range list {
		r.add(s, d)
	}
	return nil
}

// claims reads what a unit or the configuration of a server says.
func (r *reading) claims(s source) []config.Declared {
	outside := func(pattern string) {
		r.limit(host.Limit{What: "ports named in " + pattern, Why: "it lies outside of " + s.tree.show("."), Needs: "--root DIR of a directory above"})
	}
	// Paths in such files are absolute, so the file gets its own.
	abs := config.File{Path: filepath.ToSlash(filepath.Join(s.tree.dir, filepath.FromSlash(s.name))), Data: s.data}
	files := map[string]config.File{abs.Path: abs}
	glob := s.tree.glob(outside)
	read := func(pattern string) []config.File {
		found := glob(pattern)
		for _, f := range found {
			files[f.Path] = f
		}
		return found
	}
	var claims []host.Claim
	doubt := ""
	if s.kind == Systemd {
		unit := []config.File{abs}
		unit = append(unit, read(abs.Path+".d/*.conf")...)
		claims = config.ParseUnit(path.Base(s.name), unit).Claims(read)
		doubt = socketDoubt(unit)
	} else {
		claims = config.Read(config.Kind(s.kind), abs, read, "")
	}
	type token struct {
		file string
		line int
		port uint16
	}
	lines, seen := map[string][]string{}, map[token]int{}
	var list []config.Declared
	for _, c := range claims {
		if c.Disabled || c.Port == 0 {
			continue
		}
		if lines[c.File] == nil {
			lines[c.File] = strings.Split(string(files[c.File].Data), "\n")
		}
		d := config.Declared{Claim: c, Service: c.Program, Doubt: doubt}
		if s.kind == Systemd {
			d.Service = c.Unit
		}
		if text := lines[c.File]; c.Line >= 1 && c.Line <= len(text) {
			at := token{c.File, c.Line, c.Port}
			d.Column = config.Column(text[c.Line-1], c.Port, seen[at])
			seen[at]++
		}
		if rel, err := filepath.Rel(s.tree.dir, filepath.FromSlash(c.File)); err == nil {
			d.File = s.tree.show(filepath.ToSlash(rel))
		}
		list = append(list, d)
	}
	return list
}

// socketDoubt says what of a socket unit keeps it apart from others, beyond
// address and port (systemd.socket(5)).
func socketDoubt(files []config.File) string {
	for _, f := range files {
		for line := range strings.Lines(string(f.Data)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key, value = strings.TrimSpace(key), strings.TrimSpace(value); {
			case key == "BindToDevice" && value != "":
				return "the unit is for the device " + value + " only"
			case key == "FreeBind" && value != "no" && value != "false":
				return "the unit may have an address that isn't here (FreeBind=)"
			case key == "BindIPv6Only" && value == "ipv6-only":
				return "the unit leaves IPv4 to others (BindIPv6Only=)"
			case key == "ReusePort" && value != "no" && value != "false":
				return "the unit shares its port (ReusePort=)"
			}
		}
	}
	return ""
}

// FromHost takes over what the configurations on this host say.
func FromHost(claims host.Claims) Result {
	r := &reading{}
	r.result.Limits = claims.Limits
	for _, c := range claims.List {
		if !c.Disabled && c.Port != 0 {
			r.add(source{kind: c.Program, tree: &tree{}}, config.Declared{Claim: c, Service: c.Program})
		}
	}
	for _, d := range r.result.Declared {
		if f := (preflight.File{Path: d.File, Kind: d.Kind}); !slices.Contains(r.result.Files, f) {
			r.result.Files = append(r.result.Files, f)
		}
	}
	return r.result
}

// add takes over one declared port; what the same program says twice is one.
func (r *reading) add(s source, c config.Declared) {
	if c.Port == 0 {
		r.result.Unknown = append(r.result.Unknown, preflight.Unknown{File: c.File, Line: c.Line, Column: c.Column, Kind: s.kind, Service: c.Service,
			Title: "which ports " + c.Service + " opens is not known: " + c.Doubt, Needs: "declare its ports in the manifest"})
		return
	}
	d := preflight.Declared{Kind: s.kind, Text: c.Text, Target: c.Target, Replicas: c.Replicas, Doubt: c.Doubt, Dir: s.tree.dir, Elsewhere: c.Key == "externalIPs"}
	d.File, d.Line, d.Column = c.File, c.Line, c.Column
	d.Service, d.Network, d.Ports = c.Service, c.Network, plan.Range{First: c.Port, Last: max(c.Port, c.Last)}
	if slices.Contains([]string{Kubernetes, Procfile, Env}, s.kind) {
		d.Unit, d.Program = "", ""
	} else {
		d.Unit, d.Program = c.Unit, c.Program
		if d.Program == "systemd" {
			d.Program = ""
		}
	}
	switch a, err := netip.ParseAddr(c.Address); {
	case err == nil:
		d.Address = a
		// nginx keeps IPv4 from it by itself (ngx_http_core_module, "ipv6only").
		d.V6Only = a == netip.IPv6Unspecified() && c.Program == "nginx" && !strings.Contains(c.Text, "ipv6only=off")
	case c.Address == "" || c.Address == "*":
		if c.Program == "nginx" {
			d.Address = netip.IPv4Unspecified() // "listen 80" leaves IPv6 to a line of its own
		}
	default:
		d.Named = c.Address
	}
	for _, have := range r.result.Declared {
		if have.Kind == d.Kind && have.Service == d.Service && have.Network == d.Network && have.Ports == d.Ports && have.Address == d.Address && have.Named == d.Named && s.kind != Kubernetes {
			return
		}
	}
	r.result.Declared = append(r.result.Declared, d)
}
