package diagnose

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/portwhy/portwhy/platform/host"
)

// Target is what the user asked about, parsed but not resolved.
type Target struct {
	// Input is the target as it was written, but for what may be a secret in a
	// URL: "…" stands for user and password, and for what follows a ? or #. So no
	// answer, log or recording tells it.
	Input   string
	Network string // tcp, udp, unix
	Host    string // name or address; empty for unix, "localhost" for a bare port
	Addr    netip.Addr
	Port    uint16
	Path    string // unix: the socket
	// Scheme is the application protocol to speak after connecting, empty for none.
	Scheme  string
	Service string // service name as given, or by scheme
	URLPath string
	// AnyHost: no host was given (bare port).
	AnyHost bool
}

// TargetError is a target that can't be understood. Input is without secrets, as
// in a [Target].
type TargetError struct {
	Input, Why string
}

func (e *TargetError) Error() string {
	in := e.Input
	if len(in) > 80 {
		in = in[:80] + "…"
	}
	return fmt.Sprintf("target %q: %s", in, e.Why)
}

const maxTarget = 2048

// ParseTarget understands every form of a target: 62893, :62893,
// localhost:62893, [::1%lo]:80, udp://10.0.0.1:53, https://host/path,
// unix:///run/x.sock, localhost:postgresql. Errors are *TargetError.
func ParseTarget(input string) (Target, error) {
	bad := func(format string, args ...any) (Target, error) {
		return Target{}, &TargetError{shown(input), fmt.Sprintf(format, args...)}
	}
	t := Target{Input: shown(input), Network: "tcp"}
	switch {
	case input == "":
		return bad("is empty; give a port, HOST:PORT, a URL or unix:///PATH")
	case len(input) > maxTarget:
		return bad("is longer than %d bytes", maxTarget)
	case !utf8.ValidString(input):
		return bad("is not valid UTF-8")
	}
	for _, r := range input {
		if unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r) {
			return bad("has a space or control character")
		}
	}
	if path, ok := strings.CutPrefix(input, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" || path[0] != '/' && path[0] != '@' {
			return bad("a unix socket needs an absolute path or @name, as in unix:///run/x.sock")
		}
		if len(path) > 107 {
			return bad("a unix socket's path has at most 107 bytes (unix(7))")
		}
		t.Network, t.Path = "unix", path
		return t, nil
	}
	rest := input
	defaultPort := uint16(0)
	if scheme, after, ok := strings.Cut(input, "://"); ok {
		scheme = strings.ToLower(scheme)
		rest = after
		switch scheme {
		case "tcp", "tcp4", "tcp6":
		case "udp", "udp4", "udp6":
			t.Network = "udp"
		default:
			s, known := schemes[scheme]
			if !known {
				return bad("unknown scheme %q; known are tcp, udp, unix, %s", scheme, strings.Join(schemeNames(), ", "))
			}
			t.Scheme, t.Service, defaultPort = s.speak, scheme, s.port
		}
		var ok bool
		if _, rest, t.URLPath, ok = splitURL(rest); !ok {
			return bad("has a /, ? or # in its user or password; leave these out, they are not needed")
		}
		if t.URLPath != "" {
			u, err := url.Parse(t.URLPath)
			if err != nil || t.URLPath[0] != '/' && t.Scheme == "" {
				return bad("has a path that is not a URL's")
			}
			t.URLPath = u.RequestURI()
			if t.Scheme == "" && t.URLPath != "/" {
				return bad("%s has no path", scheme)
			}
		}
	} else if strings.ContainsAny(rest, "/?#@") {
		return bad("has a path or a user, but no scheme; write it as in https://HOST/PATH, unix:///PATH or HOST:PORT")
	}
	h, port, err := splitTarget(rest)
	if err != "" {
		return bad("%s", err)
	}
	if port == "" {
		switch {
		case h == "":
			return bad("has neither a host nor a port")
		case defaultPort != 0:
			t.Port = defaultPort
		case isNumber(h):
			h, port = "", h
		default:
			return bad("has no port; write %s:PORT", h)
		}
	}
	if port != "" {
		n, why := parsePort(port)
		if why != "" {
			return bad("%s", why)
		}
		t.Port = n
		if !isNumber(port) {
			t.Service = strings.ToLower(port)
			if t.Scheme == "" && t.Network == "tcp" {
				t.Scheme = schemes[t.Service].speak
			}
		}
	}
	if h == "" {
		h, t.AnyHost = "localhost", true
	}
	if addr, perr := netip.ParseAddr(h); perr == nil {
		t.Addr = addr
		if addr.Is4In6() {
			t.Addr = addr.Unmap()
		}
	} else if why := checkName(h); why != "" {
		return bad("%s", why)
	}
	t.Host = h
	return t, nil
}

// splitURL parts what follows the scheme of a URL: user and password (of no use,
// and not kept), HOST:PORT, and the path with all that comes after it. It is not
// ok if a user's password seems to go on in the path.
func splitURL(rest string) (user, address, path string, ok bool) {
	address = rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		address, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], address[i+1:], path, true
	}
	if i := strings.LastIndexByte(path, '@'); i >= 0 {
		if _, port, why := splitTarget(address); why == "" && port != "" {
			if _, why = parsePort(port); why != "" {
				return rest[:len(address)+i], path[i+1:], "", false
			}
		}
	}
	return "", address, path, true
}

// shown is a target without what may be a secret in it.
func shown(input string) string {
	if strings.HasPrefix(input, "unix:") {
		return input
	}
	before, rest := "", input
	if scheme, after, ok := strings.Cut(input, "://"); ok {
		before, rest = scheme+"://", after
	}
	user, address, path, _ := splitURL(rest)
	if user != "" {
		before += "…@"
	}
	return before + address + host.HideQuery(path)
}

// splitTarget splits HOST:PORT; an IPv6 address needs brackets if a port follows.
func splitTarget(s string) (h, port, why string) {
	if strings.HasPrefix(s, "[") {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return "", "", "has '[' without ']'"
		}
		h, s = s[1:i], s[i+1:]
		a, err := netip.ParseAddr(h)
		if err != nil || !a.Is6() {
			return "", "", fmt.Sprintf("%q in brackets is not an IPv6 address", h)
		}
		if s == "" {
			return h, "", ""
		}
		if s[0] != ':' {
			return "", "", fmt.Sprintf("expected ':' and a port after ']', found %q", s)
		}
		if s[1:] == "" {
			return "", "", "has no port after ':'"
		}
		return h, s[1:], ""
	}
	switch strings.Count(s, ":") {
	case 0:
		return s, "", ""
	case 1:
		h, port, _ = strings.Cut(s, ":")
		if port == "" {
			return "", "", "has no port after ':'"
		}
		return h, port, ""
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return "", "", fmt.Sprintf("an IPv6 address needs brackets before a port: [%s]:PORT", s)
	}
	return "", "", "has more than one ':'; an IPv6 address needs brackets, as in [::1]:80"
}

func isNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parsePort understands a number from 1 to 65535 or a service name.
func parsePort(s string) (uint16, string) {
	if isNumber(s) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n > 65535 {
			return 0, fmt.Sprintf("port %s is above 65535", s)
		}
		if n == 0 {
			return 0, "port 0 is no port: the kernel takes it as \"any free one\""
		}
		return uint16(n), ""
	}
	if n := ServicePort(s); n != 0 {
		return n, ""
	}
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return 0, fmt.Sprintf("%q is neither a port from 1 to 65535 nor a known service name", s)
}

// checkName says why a host name can't be one (RFC 1123, underscores allowed).
func checkName(h string) string {
	if len(strings.TrimSuffix(h, ".")) > 253 {
		return "the host name is longer than 253 bytes"
	}
	digits := true
	for _, label := range strings.Split(strings.TrimSuffix(h, "."), ".") {
		if label == "" {
			return fmt.Sprintf("the host name %q has an empty part", h)
		}
		if len(label) > 63 {
			return "a part of the host name is longer than 63 bytes"
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Sprintf("the host name %q has a part that begins or ends with '-'", h)
		}
		for _, c := range []byte(label) {
			if c < '0' || c > '9' {
				digits = false
			}
			if c >= 0x80 {
				return fmt.Sprintf("the host name %q is not ASCII; write its xn-- form", h)
			}
			if !(c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return fmt.Sprintf("the host name %q has the character %q", h, c)
			}
		}
	}
	if digits || strings.HasPrefix(strings.ToLower(h), "0x") {
		return fmt.Sprintf("%q looks like an address but is none; write all four parts in decimal, as in 127.0.0.1", h)
	}
	return ""
}
