package config

import (
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// HAProxy reads bind lines, and the addresses of old "listen NAME ADDRESS:PORT"
// lines (HAProxy configuration manual, "bind"). What depends on a variable of
// the environment is not read.
func HAProxy(file File) []host.Claim {
	var claims []host.Claim
	file.lines(func(number int, line string) {
		if len(claims) > maxClaims {
			return
		}
		body, commented := uncomment(line)
		key, rest := keyword(body)
		if key != "bind" && key != "listen" {
			return
		}
		words := strings.Fields(rest)
		switch {
		case key == "bind" && len(words) > 0:
		case key == "listen" && len(words) > 1 && !commented:
			words = words[1:]
		default:
			return
		}
		list := words[0]
		for _, where := range strings.Split(unquote(list), ",") {
			claim := file.claim("haproxy", key, number, line)
			claim.Unit, claim.Disabled = "haproxy.service", commented
			claims = haproxyBind(claims, claim, where)
		}
	})
	return bound(claims)
}

// haproxyBind adds what one address of a bind line opens.
func haproxyBind(claims []host.Claim, claim host.Claim, where string) []host.Claim {
	for _, prefix := range []string{"ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@"} {
		where = strings.TrimPrefix(where, prefix)
	}
	for _, prefix := range []string{"quic4@", "quic6@", "quic@", "udp4@", "udp6@", "udp@"} {
		if rest, ok := strings.CutPrefix(where, prefix); ok {
			where, claim.Network = rest, "udp"
		}
	}
	if name, ok := strings.CutPrefix(where, "abns@"); ok {
		where = "unix@@" + name
	}
	if name, ok := strings.CutPrefix(where, "unix@"); ok || strings.HasPrefix(where, "/") {
		if !ok {
			name = where
		}
		claim.Network, claim.Path = "unix", host.Clean([]byte(name), 256)
		return append(claims, claim)
	}
	i := strings.LastIndexByte(where, ':')
	if i < 0 || strings.ContainsAny(where, "$@") {
		return claims
	}
	address := strings.Trim(where[:i], "[]")
	if address == "" {
		address = "*"
	}
	for _, n := range portRange(where[i+1:]) {
		claim.Address, claim.Port = host.Clean([]byte(address), 255), n
		claims = append(claims, claim)
	}
	return claims
}
