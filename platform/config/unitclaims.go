package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Claims tells which ports the unit names: by Listen…= of a socket, by the
// arguments of its command line and by its environment, see [Arguments] and
// [Variable]. What a variable of the environment hands to the command line is
// claimed on the line that sets the variable.
func (u Unit) Claims(read Reader) []host.Claim {
	var claims []host.Claim
	add := func(line unitLine, program string, e Endpoint) {
		claim := line.file.claim(program, e.Key, line.number, line.text)
		claim.Unit, claim.Network, claim.Address, claim.Port, claim.Path = u.Name, e.Network, e.Address, e.Port, e.Path
		claims = append(claims, claim)
	}
	for i, l := range u.Listens {
		e := Endpoint{Network: l.Network, Port: l.Address.Port(), Path: l.Path}
		if l.Path == "" {
			e.Address = l.Address.Addr().String()
		}
		e.Key, _, _ = strings.Cut(strings.TrimSpace(u.lines[i].text), "=")
		add(u.lines[i], "systemd", e)
	}
	env := append([]UnitVariable(nil), u.Env...)
	if read != nil {
		for _, pattern := range u.EnvFiles {
			if path.IsAbs(pattern) {
				for _, file := range read(pattern) {
					env = append(env, environmentFile(file)...)
				}
			}
		}
	}
	// The last assignment of a name holds; those of files come after all others.
	values := map[string]UnitVariable{}
	for _, v := range env {
		values[v.Name] = v
	}
	program := "systemd"
	used := map[string]bool{}
	for _, exec := range u.Exec {
		program = "systemd"
		if args := unwrap(exec.Args); len(args) > 0 && args[0] != "" {
			program = host.Clean([]byte(path.Base(args[0])), 64)
		}
		own := map[Endpoint]bool{}
		for _, e := range Arguments(exec.Args) {
			own[e] = true
			add(exec.line, program, e)
		}
		args, from := expand(exec.Args, values)
		for name := range from {
			used[name] = true
		}
		if len(from) == 0 {
			continue
		}
		for _, e := range Arguments(args) {
			if !own[e] {
				add(sourceOf(e, from, exec.line), program, e)
			}
		}
	}
	for _, v := range env {
		if used[v.Name] || values[v.Name] != v {
			continue
		}
		for _, e := range Variable(v.Name, v.Value) {
			add(v.line, program, e)
		}
	}
	return bound(claims)
}

// expand puts variables into a command line as systemd does: $NAME as a word is
// split into words, ${NAME} stays within its word (systemd.service(5)). It
// returns which were used.
func expand(args []string, values map[string]UnitVariable) ([]string, map[string]UnitVariable) {
	used := map[string]UnitVariable{}
	var out []string
	for _, arg := range args {
		if len(out) > 512 {
			break
		}
		if name, ok := strings.CutPrefix(arg, "$"); ok && variableName(name) {
			if v, ok := values[name]; ok {
				used[name] = v
				out = append(out, unitWords(v.Value)...)
			}
			continue
		}
		rest := arg
		var b strings.Builder
		for b.Len() < maxLine {
			i := strings.Index(rest, "${")
			if i < 0 {
				break
			}
			name, after, ok := strings.Cut(rest[i+2:], "}")
			if !ok {
				break
			}
			b.WriteString(rest[:i])
			if v, ok := values[name]; ok {
				used[name] = v
				b.WriteString(v.Value)
			}
			rest = after
		}
		b.WriteString(rest)
		out = append(out, b.String())
	}
	return out, used
}

// sourceOf finds the variable whose value holds the port, or the path.
func sourceOf(e Endpoint, from map[string]UnitVariable, line unitLine) unitLine {
	needle := e.Path
	if e.Port != 0 {
		needle = itoa(e.Port)
	}
	best := ""
	for name, v := range from {
		if strings.Contains(v.Value, needle) && (best == "" || name < best) {
			best, line = name, v.line
		}
	}
	return line
}

func variableName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case c >= '0' && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// environmentFile reads NAME=value lines as systemd does (systemd.exec(5),
// EnvironmentFile=): values may be quoted, and quoted ones span lines.
func environmentFile(file File) []UnitVariable {
	var list []UnitVariable
	unitLines(file, func(line unitLine, body string) {
		name, value, ok := strings.Cut(strings.TrimPrefix(body, "export "), "=")
		if ok && variableName(strings.TrimSpace(name)) && len(list) < maxSettings {
			list = append(list, UnitVariable{strings.TrimSpace(name), unquote(strings.TrimSpace(value)), line})
		}
	})
	return list
}
