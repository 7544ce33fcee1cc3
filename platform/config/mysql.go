package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// MySQL reads port, bind-address, socket and skip-networking from the server's
// groups of my.cnf and what it includes; the last setting of a name holds
// (MySQL manual, 4.2.2.2). The groups of clients name ports too, but open none.
// Default port is 3306, on all addresses.
func MySQL(main File, read Reader) []host.Claim {
	p := &mysql{includes: newIncludes(main, read), program: "mysql", unit: "mysql.service", set: map[string]mysqlSetting{}}
	p.file(main)
	return p.finish()
}

type mysql struct {
	*includes
	program, unit string
	set           map[string]mysqlSetting
	commented     []mysqlSetting
}

type mysqlSetting struct {
	value string
	claim host.Claim
}

func (p *mysql) file(file File) {
	group := ""
	if strings.Contains(file.Path, "mariadb") {
		p.program, p.unit = "mariadb", "mariadb.service"
	}
	file.lines(func(number int, line string) {
		body := strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(body, "!includedir"); ok {
			p.each(path.Dir(file.Path), strings.TrimSpace(name)+"/*.cnf", p.file)
			return
		}
		if name, ok := strings.CutPrefix(body, "!include"); ok {
			p.each(path.Dir(file.Path), strings.TrimSpace(name), p.file)
			return
		}
		if strings.HasPrefix(body, "[") {
			group, _, _ = strings.Cut(body[1:], "]")
			return
		}
		if !mysqlServerGroup(group) {
			return
		}
		body, commented := uncomment(body)
		if strings.HasPrefix(body, ";") {
			return
		}
		name, value, assigned := strings.Cut(body, "=")
		value, _, _ = strings.Cut(value, "#")
		value = unquote(strings.TrimSpace(value))
		// Dashes and underscores mean the same in option names.
		name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
		switch name {
		case "port", "bind-address", "socket", "skip-networking":
			setting := mysqlSetting{value, file.claim(p.program, name, number, line)}
			if !commented {
				p.set[name] = setting
			} else if _, ok := port(value); ok && assigned && name == "port" && len(p.commented) < 16 {
				setting.claim.Disabled = true
				p.commented = append(p.commented, setting)
			}
		}
	})
}

// mysqlServerGroup knows [mysqld], [server], [mariadb], and those with a
// version, [mysqld-8.0] and [mariadb-10.11].
func mysqlServerGroup(group string) bool {
	switch group {
	case "server", "mysqld", "mariadb", "mariadbd", "galera":
		return true
	}
	for _, prefix := range []string{"mysqld-", "mariadb-", "mariadbd-"} {
		if rest, ok := strings.CutPrefix(group, prefix); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return true
		}
	}
	return false
}

func (p *mysql) finish() []host.Claim {
	number := uint16(3306)
	portLine, portSet := p.set["port"]
	if n, ok := port(portLine.value); ok {
		number = n
	} else {
		portSet = false
	}
	bind, bindSet := p.set["bind-address"]
	addresses := []string{"*"}
	if bindSet {
		addresses = splitList(bind.value)
	}
	// skip-networking alone, or with any value but these, closes the port.
	off := false
	skip, skipSet := p.set["skip-networking"]
	if skipSet {
		switch strings.ToLower(skip.value) {
		case "0", "off", "false":
		default:
			off = true
		}
	}
	var claims []host.Claim
	add := func(claim host.Claim, address string, n uint16) {
		claim.Program, claim.Unit, claim.Address, claim.Port = p.program, p.unit, address, n
		claims = append(claims, claim)
	}
	for _, address := range addresses {
		if portSet {
			portLine.claim.Disabled = off
			add(portLine.claim, address, number)
		}
		if bindSet {
			bind.claim.Disabled = off
			add(bind.claim, address, number)
		}
	}
	if s, ok := p.set["socket"]; ok {
		s.claim.Network, s.claim.Path = "unix", host.Clean([]byte(s.value), 256)
		add(s.claim, "", 0)
	}
	if off {
		// The line that keeps the port closed, for whoever asks why.
		skip.claim.Disabled = true
		add(skip.claim, "*", number)
	}
	for _, s := range p.commented {
		n, _ := port(s.value)
		add(s.claim, "*", n)
	}
	return bound(claims)
}
