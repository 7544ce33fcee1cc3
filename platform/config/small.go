package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Squid reads http_port, https_port, icp_port and snmp_port of squid.conf.
func Squid(main File, read Reader) []host.Claim {
	in := newIncludes(main, read)
	var claims []host.Claim
	var each func(file File)
	each = func(file File) {
		file.lines(func(number int, line string) {
			body, commented := uncomment(line)
			key, rest := keyword(body)
			switch key {
			case "http_port", "https_port", "icp_port", "snmp_port", "include":
			default:
				return
			}
			words := strings.Fields(rest)
			if len(words) == 0 || len(claims) > maxClaims {
				return
			}
			if key == "include" {
				if !commented {
					in.each(path.Dir(main.Path), words[0], each)
				}
				return
			}
			claim := file.claim("squid", key, number, line)
			claim.Unit, claim.Disabled = "squid.service", commented
			if key == "icp_port" || key == "snmp_port" {
				claim.Network = "udp"
			}
			address, n, ok := endpoint(words[0])
			if !ok || n == 0 {
				return
			}
			claim.Address, claim.Port = address, n
			claims = append(claims, claim)
		})
	}
	each(main)
	return bound(claims)
}

// Memcached reads Debian's /etc/memcached.conf: one option of the program on a
// line, -p, -U, -l, -s as in memcached(1). Default port is 11211.
func Memcached(file File) []host.Claim {
	var ports, claims []host.Claim
	var listen []host.Claim
	file.lines(func(number int, line string) {
		if len(ports)+len(listen) > 64 {
			return
		}
		body, commented := uncomment(line)
		words := strings.Fields(strings.Replace(body, "=", " ", 1))
		if len(words) != 2 || !strings.HasPrefix(words[0], "-") {
			return
		}
		claim := file.claim("memcached", words[0], number, line)
		claim.Unit, claim.Disabled = "memcached.service", commented
		switch words[0] {
		case "-p", "--port", "-U", "--udp-port":
			if words[0] == "-U" || words[0] == "--udp-port" {
				claim.Network = "udp"
			}
			if n, ok := port(words[1]); ok {
				claim.Port = n
				ports = append(ports, claim)
			}
		case "-l", "--listen":
			for _, name := range splitList(words[1]) {
				if address, n, ok := endpoint(name); ok {
					claim.Address, claim.Port = address, n
					listen = append(listen, claim)
				}
			}
		case "-s", "--unix-socket":
			claim.Network, claim.Path = "unix", host.Clean([]byte(words[1]), 256)
			claims = append(claims, claim)
		}
	})
	addresses, number := []string{}, uint16(11211)
	for _, p := range ports {
		if !p.Disabled && p.Network == "tcp" {
			number = p.Port
		}
	}
	for _, l := range listen {
		if l.Port == 0 {
			l.Port = number
		}
		if !l.Disabled {
			addresses = append(addresses, l.Address)
		}
		claims = append(claims, l)
	}
	if len(addresses) == 0 {
		addresses = []string{"*"}
	}
	for _, p := range ports {
		for _, address := range addresses {
			p.Address = address
			claims = append(claims, p)
		}
	}
	return bound(claims)
}

// Dnsmasq reads port and listen-address of dnsmasq.conf and what it includes.
// Default port is 53; port 0 answers no DNS (dnsmasq(8)).
func Dnsmasq(main File, read Reader) []host.Claim {
	in := newIncludes(main, read)
	var ports, listen []host.Claim
	var each func(file File)
	each = func(file File) {
		file.lines(func(number int, line string) {
			body, commented := uncomment(line)
			body, _, _ = strings.Cut(body, " #")
			key, value, _ := strings.Cut(body, "=")
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			if len(ports)+len(listen) > 256 {
				return
			}
			claim := file.claim("dnsmasq", key, number, line)
			claim.Unit, claim.Disabled = "dnsmasq.service", commented
			switch key {
			case "port":
				if n, ok := port(value); ok {
					claim.Port = n
					ports = append(ports, claim)
				}
			case "listen-address":
				for _, address := range splitList(value) {
					claim.Address = address
					listen = append(listen, claim)
				}
			case "conf-file":
				if !commented {
					in.each(path.Dir(file.Path), value, each)
				}
			case "conf-dir":
				if dir, _, _ := strings.Cut(value, ","); !commented && dir != "" {
					in.each(path.Dir(file.Path), dir+"/*", each)
				}
			}
		})
	}
	each(main)
	addresses, number := []string{}, uint16(53)
	for _, p := range ports {
		if !p.Disabled {
			number = p.Port
		}
	}
	var claims []host.Claim
	both := func(claim host.Claim) {
		for _, claim.Network = range []string{"udp", "tcp"} {
			claims = append(claims, claim)
		}
	}
	for _, l := range listen {
		if !l.Disabled {
			addresses = append(addresses, l.Address)
		}
		l.Port = number
		both(l)
	}
	if len(addresses) == 0 {
		addresses = []string{"*"}
	}
	for _, p := range ports {
		for _, p.Address = range addresses {
			both(p)
		}
	}
	return bound(claims)
}
