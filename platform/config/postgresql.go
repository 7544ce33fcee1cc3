package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// PostgreSQL reads port, listen_addresses and unix_socket_directories from
// postgresql.conf and what it includes; the last setting of a name holds
// (PostgreSQL manual, 20.1.2). Defaults: port 5432 on localhost, a socket in
// /var/run/postgresql. postgresql.auto.conf in the data directory comes last.
//
// The port and the addresses are claims on their own lines. A commented
// listen_addresses is a disabled claim: its default, loopback, is what holds.
func PostgreSQL(main File, read Reader) []host.Claim {
	p := &postgresql{includes: newIncludes(main, read), set: map[string]pgSetting{}, commented: map[string]pgSetting{}}
	p.file(main)
	data := path.Dir(main.Path)
	if s, ok := p.set["data_directory"]; ok && path.IsAbs(s.value) {
		data = s.value
	}
	p.each(data, "postgresql.auto.conf", p.file)
	return p.finish(main)
}

type postgresql struct {
	*includes
	set       map[string]pgSetting
	commented map[string]pgSetting
}

// pgSetting is the line that a setting stands on.
type pgSetting struct {
	value string
	claim host.Claim
}

func (p *postgresql) file(file File) {
	file.lines(func(number int, line string) {
		body, commented := uncomment(line)
		name, value, ok := pgAssignment(body)
		if !ok {
			return
		}
		switch name = strings.ToLower(name); name {
		case "include", "include_if_exists":
			if !commented {
				p.each(path.Dir(file.Path), value, p.file)
			}
		case "include_dir":
			if !commented && value != "" {
				p.each(path.Dir(file.Path), value+"/*.conf", p.file)
			}
		case "port", "listen_addresses", "unix_socket_directories", "data_directory":
			setting := pgSetting{value, file.claim("postgresql", name, number, line)}
			if commented {
				setting.claim.Disabled = true
				p.commented[name] = setting
			} else {
				p.set[name] = setting
			}
		}
	})
}

// pgAssignment splits name = 'value' # comment; the equals sign is optional.
func pgAssignment(line string) (name, value string, ok bool) {
	cut := strings.IndexAny(line, " \t=")
	if cut <= 0 {
		return "", "", false
	}
	name, rest := line[:cut], strings.TrimSpace(line[cut:])
	rest = strings.TrimSpace(strings.TrimPrefix(rest, "="))
	if !strings.HasPrefix(rest, "'") {
		value, _, _ = strings.Cut(rest, "#")
		value = strings.TrimSpace(value)
		return name, value, value != "" && !strings.ContainsAny(value, " \t")
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\'' && i+1 < len(rest) && rest[i+1] == '\'', rest[i] == '\\' && i+1 < len(rest):
			i++
			b.WriteByte(rest[i])
		case rest[i] == '\'':
			return name, b.String(), true
		default:
			b.WriteByte(rest[i])
		}
	}
	return "", "", false
}

func (p *postgresql) finish(main File) []host.Claim {
	number := uint16(5432)
	if n, ok := port(p.set["port"].value); ok {
		number = n
	} else {
		delete(p.set, "port")
	}
	listen, listenSet := p.set["listen_addresses"]
	if !listenSet {
		listen.value = "localhost"
	}
	unit := pgUnit(main.Path)
	var claims []host.Claim
	add := func(s pgSetting, address string, number uint16) {
		if s.claim.Line == 0 {
			return
		}
		s.claim.Unit, s.claim.Address, s.claim.Port = unit, address, number
		claims = append(claims, s.claim)
	}
	addresses := splitList(listen.value)
	for _, address := range addresses {
		add(p.set["port"], address, number)
		if listenSet {
			add(listen, address, number)
		}
	}
	if len(addresses) == 0 {
		// listen_addresses = '': only the unix socket is served.
		dirs := "/var/run/postgresql"
		if s, ok := p.set["unix_socket_directories"]; ok {
			dirs = s.value
		}
		for _, dir := range splitList(dirs) {
			listen.claim.Network = "unix"
			listen.claim.Path = path.Join(dir, ".s.PGSQL."+itoa(number))
			add(listen, "", 0)
		}
	}
	if s, ok := p.commented["port"]; ok && p.set["port"].claim.Line == 0 {
		// The commented line shows the default, which holds.
		if n, ok := port(s.value); ok {
			for _, address := range addresses {
				add(s, address, n)
			}
		}
	}
	if s, ok := p.commented["listen_addresses"]; ok && !listenSet {
		for _, address := range splitList(s.value) {
			add(s, address, number)
		}
	}
	return bound(claims)
}

// pgUnit knows Debian's units: postgresql@15-main.service reads
// /etc/postgresql/15/main/postgresql.conf.
func pgUnit(file string) string {
	parts := strings.Split(file, "/")
	if len(parts) == 6 && strings.HasPrefix(file, "/etc/postgresql/") {
		return host.Clean([]byte("postgresql@"+parts[3]+"-"+parts[4]+".service"), 255)
	}
	return "postgresql.service"
}

// splitList splits a list by commas, at most 64 items.
func splitList(s string) []string {
	var list []string
	for _, item := range strings.Split(s, ",") {
		if item = strings.Trim(strings.TrimSpace(item), `"`); item != "" && len(list) < 64 {
			list = append(list, host.Clean([]byte(item), 255))
		}
	}
	return list
}
