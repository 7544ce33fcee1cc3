package config

import (
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// socatArguments reads addresses such as TCP-LISTEN:8080,fork,bind=127.0.0.1
// (socat(1), "address types").
func socatArguments(args []string) []Endpoint {
	var found []Endpoint
	for _, arg := range args {
		kind, rest, ok := strings.Cut(arg, ":")
		if !ok || len(found) >= 16 {
			continue
		}
		protocol, mode, ok := strings.Cut(strings.ToUpper(kind), "-")
		switch {
		case !ok:
			continue
		case mode == "LISTEN", mode == "L", mode == "RECV", mode == "RECVFROM":
		default:
			continue
		}
		options := strings.Split(rest, ",")
		e := Endpoint{Network: "tcp", Key: host.Clean([]byte(kind), 64)}
		switch protocol {
		case "TCP", "TCP4", "TCP6", "OPENSSL", "SSL":
		case "UDP", "UDP4", "UDP6":
			e.Network = "udp"
		case "UNIX":
			e.Network, e.Path = "unix", host.Clean([]byte(options[0]), 256)
			found = append(found, e)
			continue
		default:
			continue
		}
		if e.Port, ok = port(options[0]); !ok {
			continue
		}
		e.Address = "*"
		for _, option := range options[1:] {
			if bind, ok := strings.CutPrefix(option, "bind="); ok {
				e.Address = host.Clean([]byte(strings.Trim(bind, "[]")), 255)
			}
		}
		found = append(found, e)
	}
	return found
}

// ncArguments reads nc -l [-p] [HOST] PORT of the different netcats.
func ncArguments(args []string) []Endpoint {
	e := Endpoint{Network: "tcp", Key: "-l"}
	listens, wantPort := false, false
	for _, arg := range args {
		if wantPort {
			e.Port, _ = port(arg)
			wantPort = false
			continue
		}
		switch {
		case arg == "--listen":
			listens = true
		case arg == "--udp":
			e.Network = "udp"
		case strings.HasPrefix(arg, "--"):
		case strings.HasPrefix(arg, "-"):
			listens = listens || strings.Contains(arg, "l")
			if strings.Contains(arg, "u") {
				e.Network = "udp"
			}
			wantPort = strings.HasSuffix(arg, "p")
		default:
			if n, ok := port(arg); ok {
				e.Port = n
			} else if hostname(arg) {
				e.Address = arg
			}
		}
	}
	if !listens || e.Port == 0 {
		return nil
	}
	return []Endpoint{e}
}

// sshArguments reads local forwards: -L [BIND:]PORT:HOST:HOSTPORT and
// -D [BIND:]PORT; without BIND they listen on loopback (ssh(1)).
func sshArguments(args []string) []Endpoint {
	var found []Endpoint
	for i := 0; i < len(args) && len(found) < 64; i++ {
		option, value := args[i], ""
		if len(option) < 2 || option[0] != '-' || option[1] != 'L' && option[1] != 'D' {
			continue
		}
		if value = option[2:]; value == "" && i+1 < len(args) {
			i++
			value = args[i]
		}
		e := Endpoint{Network: "tcp", Address: "localhost", Key: option[:2]}
		if strings.HasPrefix(value, "/") {
			e = Endpoint{Network: "unix", Key: option[:2]}
			e.Path, _, _ = strings.Cut(value, ":")
			e.Path = host.Clean([]byte(e.Path), 256)
			found = append(found, e)
			continue
		}
		parts := splitOutsideBrackets(value)
		own := len(parts)
		if option[1] == 'L' {
			own -= 2 // HOST:HOSTPORT
			if n := len(parts); n > 0 && strings.HasPrefix(parts[n-1], "/") {
				own = n - 1
			}
		}
		var ok bool
		switch own {
		case 1:
			e.Port, ok = port(parts[0])
		case 2:
			e.Port, ok = port(parts[1])
			if e.Address = host.Clean([]byte(strings.Trim(parts[0], "[]")), 255); e.Address == "" {
				e.Address = "*"
			}
		}
		if ok {
			found = append(found, e)
		}
	}
	return found
}

// splitOutsideBrackets splits at colons that are not part of an IPv6 address.
func splitOutsideBrackets(s string) []string {
	var parts []string
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ':':
			if depth == 0 {
				parts = append(parts, s[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, s[from:])
}

// Variable tells where a program is told to listen by an environment variable:
// PORT, HTTP_PORT, LISTEN_ADDR, BIND and the like, but not those of clients,
// such as DB_PORT.
func Variable(name, value string) []Endpoint {
	lower := strings.ToLower(name)
	kind := optionKind(lower, "")
	if kind == "" || kind == "address" {
		return nil
	}
	var found []Endpoint
	for _, one := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ';' }) {
		if e, ok := where(one); ok && (e.Port != 0 || e.Path != "" && kind == "listen") && len(found) < 16 {
			e.Key = host.Clean([]byte(name), 64)
			found = append(found, e)
		}
	}
	return found
}
