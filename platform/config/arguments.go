package config

import (
	"path"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Endpoint is a place to listen at, as a command line or a variable names it.
type Endpoint struct {
	Network string // tcp, udp, unix
	Address string // as written; empty if only a port is named
	Port    uint16
	Path    string // unix
	Key     string // the option or variable
}

// Arguments guesses from a command line where the program is told to listen:
// options whose name says port, listen, bind or address, and the ways of some
// well-known programs. There is no standard for it, so it is a hint: options
// that name a far end (upstream, target, database, …) are left out.
func Arguments(args []string) []Endpoint {
	args = unwrap(args)
	if len(args) == 0 {
		return nil
	}
	switch path.Base(args[0]) {
	case "socat", "socat1":
		return socatArguments(args[1:])
	case "nc", "ncat", "netcat", "nc.openbsd", "nc.traditional":
		return ncArguments(args[1:])
	case "ssh", "autossh":
		return sshArguments(args[1:])
	case "curl", "wget", "psql", "mysql", "redis-cli", "telnet", "rsync", "ping", "iptables", "nft", "ip":
		return nil
	}
	return optionArguments(args)
}

// unwrap takes a command line out of the shell or the tool that runs it.
func unwrap(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	switch path.Base(args[0]) {
	case "sh", "bash", "dash", "ash", "zsh":
		for i, arg := range args[1:] {
			if strings.HasPrefix(arg, "-") && strings.HasSuffix(arg, "c") && i+2 < len(args) {
				return strings.Fields(strings.TrimPrefix(strings.TrimSpace(args[i+2]), "exec "))
			}
		}
	case "env", "sudo", "nice", "setpriv", "timeout", "nsenter", "unshare":
		for i := 1; i < len(args); i++ {
			if strings.HasPrefix(args[i], "/") {
				return args[i:]
			}
		}
	}
	return args
}

// optionArguments reads options, and addresses that stand alone.
func optionArguments(args []string) []Endpoint {
	var found []Endpoint
	address := ""
	container := slices.Contains([]string{"docker", "podman", "nerdctl"}, path.Base(args[0]))
	add := func(list ...Endpoint) {
		if len(found) < 64 {
			found = append(found, list...)
		}
	}
	for i := 1; i < len(args); i++ {
		arg := args[i]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			switch {
			case arg == "http.server" && args[i-1] == "-m":
				n := uint16(8000)
				for _, later := range args[i+1:] {
					if number, ok := port(later); ok {
						n = number
					}
				}
				add(Endpoint{Network: "tcp", Port: n, Key: arg})
			case !container && standsAlone(arg) && !(strings.HasPrefix(args[i-1], "-") && isFarEnd(args[i-1])):
				if e, ok := where(arg); ok && e.Port != 0 {
					e.Key = "argument"
					add(e)
				}
			}
			continue
		}
		name, value, assigned := strings.Cut(arg, "=")
		flag := strings.ToLower(strings.TrimLeft(name, "-"))
		short := len(name) == 2
		// -p8080
		if n, ok := port(strings.TrimPrefix(arg, "-p")); ok && strings.HasPrefix(arg, "-p") {
			add(Endpoint{Network: "tcp", Port: n, Key: "-p"})
			continue
		}
		kind := optionKind(flag, name)
		if kind == "" {
			continue
		}
		if !assigned {
			if i+1 >= len(args) || strings.HasPrefix(args[i+1], "-") {
				continue
			}
			i++
			value = args[i]
		}
		network := "tcp"
		if strings.Contains(flag, "udp") {
			network = "udp"
		}
		switch kind {
		case "port":
			if container {
				add(publishArgument(value, name)...)
			} else if n, ok := port(value); ok {
				add(Endpoint{Network: network, Port: n, Key: name})
			} else if e, ok := where(value); ok && e.Port != 0 {
				e.Key = name
				add(e)
			}
		case "listen":
			if short && !strings.Contains(value, ":") && !strings.HasPrefix(value, "/") {
				// -b and -l with a number mean anything; with an address, that.
				if _, number := port(value); !number {
					address = value
				}
				continue
			}
			for _, one := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ';' }) {
				e, ok := where(one)
				if !ok {
					continue
				}
				if e.Port == 0 && e.Path == "" {
					address = e.Address
					continue
				}
				if e.Network == "tcp" {
					e.Network = network
				}
				e.Key = name
				add(e)
			}
		case "address":
			address = value
		}
	}
	for i := range found {
		if found[i].Address == "" && found[i].Path == "" && hostname(strings.Trim(address, "[]:")) || found[i].Address == "" && strings.Contains(address, "::") {
			found[i].Address = host.Clean([]byte(strings.Trim(address, "[]")), 255)
		}
	}
	return found
}

// farEnd are words of options that name somebody else's port.
var farEnd = []string{
	"upstream", "target", "remote", "connect", "proxy", "backend", "peer", "database", "db", "redis", "mysql",
	"postgres", "pg", "pgport", "amqp", "rabbit", "kafka", "smtp", "mail", "dest", "join", "seed", "advertise", "discovery",
	"container", "mongo", "elastic", "memcache", "ldap", "nats", "consul", "vault", "statsd", "syslog", "external", "public",
	"mac", "client", "allow", "trusted", "forward",
}

// optionKind tells whether an option names a port, a place to listen, or an
// address alone.
func optionKind(flag, name string) string {
	switch name {
	case "-p":
		return "port"
	case "-l", "-b", "-H", "-S":
		return "listen"
	}
	if isFarEnd(flag) {
		return ""
	}
	words := optionWords(flag)
	last := ""
	if len(words) > 0 {
		last = words[len(words)-1]
	}
	switch last {
	case "export", "import", "report", "support", "transport", "viewport", "passport":
		return ""
	case "publish", "ports":
		return "port"
	case "host", "hostname", "ip", "interface":
		return "address"
	case "addr", "address", "addresses", "urls", "http", "https", "endpoint":
		return "listen"
	}
	switch {
	case strings.HasSuffix(last, "port"):
		return "port"
	case strings.Contains(flag, "listen"), strings.Contains(flag, "bind"), strings.HasSuffix(last, "addr"):
		return "listen"
	}
	return ""
}

// optionWords splits http-listen_addr and web.port.
func optionWords(flag string) []string {
	return strings.FieldsFunc(strings.ToLower(flag), func(r rune) bool { return r == '-' || r == '_' || r == '.' })
}

// isFarEnd reports whether an option is about another host's port.
func isFarEnd(flag string) bool {
	for _, word := range optionWords(flag) {
		for _, far := range farEnd {
			if word == far || len(far) > 3 && strings.HasPrefix(word, far) {
				return true
			}
		}
	}
	return false
}

// standsAlone tells whether an argument that belongs to no option looks like a
// place to listen and not like a far end.
func standsAlone(arg string) bool {
	i := strings.LastIndexByte(arg, ':')
	if i < 0 {
		return false
	}
	switch arg[:i] {
	case "", "*", "0.0.0.0", "[::]", "127.0.0.1", "[::1]", "localhost":
		return true
	}
	return false
}

// where reads an address of any of the usual forms, also as a URL.
func where(s string) (Endpoint, bool) {
	e := Endpoint{Network: "tcp"}
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		switch scheme {
		case "unix":
			e.Network, e.Path = "unix", host.Clean([]byte(rest), 256)
			return e, strings.HasPrefix(rest, "/")
		case "udp", "udp4", "udp6":
			e.Network = "udp"
		case "tcp", "tcp4", "tcp6", "http", "https", "ws", "wss", "grpc":
		default:
			return e, false
		}
		s, _, _ = strings.Cut(rest, "/")
	} else if rest, ok := strings.CutPrefix(s, "unix:"); ok || strings.HasPrefix(s, "/") {
		if !ok {
			rest = s
		}
		e.Network, e.Path = "unix", host.Clean([]byte(rest), 256)
		return e, strings.HasPrefix(rest, "/")
	}
	var ok bool
	e.Address, e.Port, ok = endpoint(strings.Replace(s, "+:", "*:", 1))
	if !strings.Contains(s, ":") && e.Port != 0 {
		e.Address = ""
	}
	return e, ok
}

// publishArgument reads -p of docker run: [[IP:]HOST:]CONTAINER[/PROTO].
func publishArgument(value, key string) []Endpoint {
	value, network, found := strings.Cut(value, "/")
	if !found {
		network = "tcp"
	}
	if network != "tcp" && network != "udp" {
		return nil
	}
	i := strings.LastIndexByte(value, ':')
	if i < 0 {
		return nil // the engine chooses the host's port
	}
	address, ports := "*", value[:i]
	if j := strings.LastIndexByte(ports, ':'); j >= 0 {
		address, ports = strings.Trim(ports[:j], "[]"), ports[j+1:]
	}
	var list []Endpoint
	for _, n := range portRange(ports) {
		list = append(list, Endpoint{Network: network, Address: host.Clean([]byte(address), 64), Port: n, Key: key})
	}
	return list
}
