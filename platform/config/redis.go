package config

import (
	"path"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Redis reads port, tls-port, bind and unixsocket from redis.conf and what it
// includes; the last setting of a name holds. Defaults are port 6379 and, since
// no bind means all addresses, "*"; port 0 opens no port (redis.conf's own
// text). Valkey and KeyDB read the same syntax; program names which it is.
func Redis(program, unit string, main File, read Reader) []host.Claim {
	p := &redis{includes: newIncludes(main, read), program: program, set: map[string]redisSetting{}}
	p.file(main)
	return p.finish(unit)
}

type redis struct {
	*includes
	program   string
	set       map[string]redisSetting
	commented []redisSetting
}

type redisSetting struct {
	args  []string
	claim host.Claim
}

func (p *redis) file(file File) {
	file.lines(func(number int, line string) {
		body, commented := uncomment(line)
		key, rest := keyword(body)
		switch key = strings.ToLower(key); key {
		case "include", "port", "tls-port", "bind", "unixsocket":
		default:
			return
		}
		args := strings.Fields(rest)
		if len(args) == 0 || len(args) > 64 {
			return
		}
		for i := range args {
			args[i] = unquote(args[i])
		}
		switch key {
		case "include":
			if !commented {
				p.each(path.Dir(file.Path), args[0], p.file)
			}
		default:
			setting := redisSetting{args, file.claim(p.program, key, number, line)}
			if !commented {
				p.set[key] = setting
				return
			}
			// The file's own prose starts with such words too; a setting is
			// one number and no more.
			if _, ok := port(args[0]); ok && len(args) == 1 && strings.HasSuffix(key, "port") && len(p.commented) < 16 {
				setting.claim.Disabled = true
				p.commented = append(p.commented, setting)
			}
		}
	})
}

func (p *redis) finish(unit string) []host.Claim {
	addresses := []string{"*"}
	bind, bindSet := p.set["bind"]
	if bindSet {
		addresses = nil
		for _, a := range bind.args {
			// "-" before an address: do not fail if the host lacks it.
			if a = strings.TrimPrefix(a, "-"); a != "" {
				addresses = append(addresses, host.Clean([]byte(a), 255))
			}
		}
	}
	var claims []host.Claim
	add := func(claim host.Claim, address string, n uint16) {
		claim.Unit, claim.Address, claim.Port = unit, address, n
		claims = append(claims, claim)
	}
	for _, key := range []string{"port", "tls-port"} {
		n := uint16(0)
		if key == "port" {
			n = 6379
		}
		setting, set := p.set[key]
		if set {
			// 0, or what is no port: nothing is opened.
			n, _ = port(setting.args[0])
		}
		for _, address := range addresses {
			if n == 0 {
				break
			}
			if set {
				add(setting.claim, address, n)
			}
			if bindSet {
				add(bind.claim, address, n)
			}
		}
	}
	if s, ok := p.set["unixsocket"]; ok {
		s.claim.Network, s.claim.Path = "unix", host.Clean([]byte(s.args[0]), 256)
		add(s.claim, "", 0)
	}
	for _, s := range p.commented {
		n, _ := port(s.args[0])
		add(s.claim, addresses[0], n)
	}
	return bound(claims)
}
