package config

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// DotEnv reads the variables of a .env file that usually say where the program
// listens: PORT, HTTP_PORT, LISTEN_ADDR and the like, and the program's own URL
// if it has a port on this host. Those of clients, such as DB_PORT and
// DATABASE_URL, are left out. Values of other variables are not kept.
func DotEnv(file File) []Declared {
	values := map[string]Declared{}
	var order []string
	file.lines(func(number int, line string) {
		body := strings.TrimSpace(line)
		name, value, ok := strings.Cut(strings.TrimPrefix(body, "export "), "=")
		name = strings.TrimSpace(name)
		if strings.HasPrefix(body, "#") || !ok || !variableName(name) || len(order) >= maxSettings {
			return
		}
		e, ok := envEndpoint(name, envValue(value))
		if !ok {
			return
		}
		claim := file.claim("env", name, number, line)
		claim.Text = host.Clean([]byte(name), 64)
		claim.Network, claim.Address, claim.Port = e.Network, e.Address, e.Port
		if _, set := values[name]; !set {
			order = append(order, name)
		}
		values[name] = Declared{Claim: claim, Service: host.Clean([]byte(name), 64), Column: Column(line, e.Port, 0), Doubt: "the variable is named like one that says where to listen"}
	})
	list := make([]Declared, 0, len(order))
	for _, name := range order {
		list = append(list, values[name]) // the last one holds
	}
	return list
}

// envValue takes quotes, or a comment behind an unquoted value, off.
func envValue(s string) string {
	s = strings.TrimSpace(s)
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		if inner, _, ok := strings.Cut(s[1:], s[:1]); ok {
			return inner
		}
		return ""
	}
	s, _, _ = strings.Cut(s, " #")
	return strings.TrimSpace(s)
}

func envEndpoint(name, value string) (Endpoint, bool) {
	for _, e := range Variable(name, value) {
		if e.Port != 0 {
			return e, true
		}
	}
	if !strings.HasSuffix(strings.ToUpper(name), "URL") || isFarEnd(strings.ToLower(name)) {
		return Endpoint{}, false
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ws" && u.Scheme != "wss" {
		return Endpoint{}, false
	}
	n, ok := port(u.Port())
	a, _ := netip.ParseAddr(u.Hostname())
	if !ok || u.Hostname() != "localhost" && !a.IsLoopback() && !a.IsUnspecified() {
		return Endpoint{}, false
	}
	return Endpoint{Network: "tcp", Port: n, Key: name}, true
}

// EnvPort is PORT of a .env file, 0 if it isn't set there.
func EnvPort(file File) uint16 {
	for _, d := range DotEnv(file) {
		if d.Key == "PORT" {
			return d.Port
		}
	}
	return 0
}
