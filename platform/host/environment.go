package host

import "strings"

// Environment reads one NAME=value of a process's or unit's environment. ok is
// false for the names that say nothing of addresses, ports or proxies; they are
// not to be kept, for they may be secrets. Credentials in URLs are left out of
// the value.
func Environment(assignment string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(assignment, "=")
	if !ok || len(name) > 64 || !environmentName(strings.ToUpper(name)) {
		return "", "", false
	}
	return Clean([]byte(name), 64), Clean([]byte(withoutCredentials(value)), 512), true
}

// environmentName takes a name in upper case.
func environmentName(name string) bool {
	switch name {
	case "PORT", "HOST", "ADDR", "ADDRESS", "BIND", "LISTEN", "URLS",
		"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "SOCKS_PROXY", "NO_PROXY",
		"RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES", "DOCKER_HOST", "ASPNETCORE_URLS", "PGPORT", "PGHOST":
		return true
	}
	for _, suffix := range []string{"_PORT", "_HOST", "_ADDR", "_ADDRESS", "_BIND", "_LISTEN", "_PORTS"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "BIND_")
}

// withoutCredentials takes user:password@ out of each URL in a value.
func withoutCredentials(s string) string {
	var b strings.Builder
	for s != "" {
		word, rest := s, ""
		if i := strings.IndexAny(s, " ,;"); i >= 0 {
			word, rest = s[:i+1], s[i+1:]
		}
		s = rest
		scheme, after, found := strings.Cut(word, "://")
		if !found {
			scheme, after = "", word
		}
		// The authority ends at the first slash, but a password may hold one:
		// everything before the last @ goes.
		if i := strings.LastIndexByte(after, '@'); i >= 0 {
			after = after[i+1:]
		}
		if found {
			b.WriteString(scheme + "://")
		}
		b.WriteString(after)
	}
	return b.String()
}
