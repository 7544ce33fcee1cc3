package talk

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// http2Preface is what a client sends first (RFC 9113, 3.4): the preface and
// an empty SETTINGS frame.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// http asks for a page. It asks with GET and not with HEAD because many
// applications answer HEAD otherwise, and it is the answer to a browser that
// is wanted; GET is safe by RFC 9110, 9.2.1.
func (s *session) http() {
	s.send([]byte(request(s.query.Name, s.query.Path, s.conn.RemoteAddr(), s.talk.Asked == "https")))
	s.listen(func(b []byte) bool { return Recognise(b).Complete })
	a := Recognise(s.heard)
	if a.Protocol == "http" && s.talk.Asked == "https" {
		a.Protocol = "https"
	}
	s.conclude(a)
	if t := s.talk.TLS; t != nil && (t.Problem != "" || t.Alert != "" && s.talk.Heard != "https") {
		s.talk.OK = false
	}
	if s.talk.TLS != nil && s.talk.Heard == "" && len(s.heard) == 0 {
		// The handshake is what was heard.
		s.talk.Heard = "tls"
	}
	if s.talk.Heard == s.talk.Asked {
		s.drain()
	}
}

// request is a request for path (RFC 9112).
func request(name, path string, remote net.Addr, secure bool) string {
	return "GET " + cleanPath(path) + " HTTP/1.1\r\nHost: " + hostField(name, remote, secure) +
		"\r\nUser-Agent: portwhy\r\nAccept: */*\r\nConnection: close\r\n\r\n"
}

// cleanPath makes a path that can stand in a request line: what can't is
// percent-encoded.
func cleanPath(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if len(path) > 2000 {
		path = path[:2000]
	}
	var out strings.Builder
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '#' {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// hostField is the Host field: the name, with the port unless it is the
// scheme's own.
func hostField(name string, remote net.Addr, secure bool) string {
	address, err := netip.ParseAddrPort(remote.String())
	if name == "" {
		name = "localhost"
		if err == nil {
			name = address.Addr().WithZone("").Unmap().String()
		}
	}
	if strings.Contains(name, ":") {
		name = "[" + strings.Trim(name, "[]") + "]"
	}
	if port := address.Port(); err == nil && (secure && port != 443 || !secure && port != 80) {
		name += ":" + strconv.Itoa(int(port))
	}
	return name
}

// checkName refuses a server name that is none: it becomes part of what is
// sent.
func checkName(name string) error {
	if len(name) > 255 {
		return fmt.Errorf("server name of %d bytes is too long", len(name))
	}
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/\"<>@?#`, c) >= 0 {
			return fmt.Errorf("server name %q: byte %d can't be in a host name", name, i)
		}
	}
	return nil
}

// wantsTLS are words with which servers answer plain HTTP on a port for HTTPS:
// nginx, Apache httpd, Go's net/http, and others after them.
var wantsTLS = []string{
	"plain HTTP request was sent to HTTPS port",
	"speaking plain HTTP to an SSL-enabled server port",
	"Client sent an HTTP request to an HTTPS server",
	"This combination of host and port requires TLS",
}

// httpReply recognises a status line (RFC 9112, 4), or a page without one.
func httpReply(b []byte) (Answer, bool) {
	line, ended := firstLine(b)
	if !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		start := bytes.ToLower(b[:min(len(b), 16)])
		page := bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
		return Answer{Protocol: "http", Banner: host.Clean(line, maxBanner), Complete: ended}, page
	}
	a := Answer{Protocol: "http", Banner: host.Clean(line, maxBanner)}
	if fields := strings.Fields(string(line)); ended && len(fields) > 1 && len(fields[1]) == 3 {
		if status, err := strconv.Atoi(fields[1]); err == nil && status >= 100 {
			a.Status = status
		}
	}
	head, body, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole {
		head, body, whole = bytes.Cut(b, []byte("\n\n"))
	}
	if server := field(head, "server"); server != "" {
		a.Banner = host.Clean([]byte(a.Banner+"; Server: "+server), maxBanner)
	}
	// Only the text of an error tells that TLS is wanted: the rest of a page
	// is of no interest.
	a.Complete = whole && a.Status != 400
	for _, words := range wantsTLS {
		if a.Status == 400 && bytes.Contains(body, []byte(words)) {
			a.Protocol, a.Complete = "https", true
		}
	}
	if bytes.Contains(body, []byte("access MongoDB over HTTP")) {
		a.Protocol = "mongodb"
	}
	return a, true
}

// field is the value of a header field.
func field(head []byte, name string) string {
	for line := range bytes.Lines(head) {
		key, value, found := bytes.Cut(line, []byte(":"))
		if found && strings.EqualFold(string(key), name) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}
