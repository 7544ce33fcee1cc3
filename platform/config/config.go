// Package config reads, from the configuration files of common servers, which
// ports and sockets they are told to open. It knows no operating system: files
// come in as bytes, and an include asks for more through a [Reader].
//
// Every reader here answers "which line names this port". It does not say that
// the program runs, nor that it has read the file since it changed.
package config

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	maxClaims = 4096 // of one program
	maxLine   = 8192 // bytes; what is longer is not read
	maxText   = 240
	maxDepth  = 12 // of includes
	maxRange  = 256
)

// File is one configuration file. Path is where the program finds it; Data may
// be any bytes.
type File struct {
	Path     string
	Data     []byte
	Modified time.Time
}

// Reader returns the files that a pattern in the syntax of path.Match names, in
// order of their names. Patterns are absolute. What can't be read is left out.
type Reader func(pattern string) []File

// lines calls f for each line with its number from 1, without the line end.
func (file File) lines(f func(number int, line string)) {
	data := string(file.Data)
	for number := 1; data != ""; number++ {
		var line string
		line, data, _ = strings.Cut(data, "\n")
		if len(line) <= maxLine {
			f(number, strings.TrimSuffix(line, "\r"))
		}
	}
}

// claim starts a claim about a line of the file.
func (file File) claim(program, key string, number int, line string) host.Claim {
	return host.Claim{
		Program:  program,
		Key:      key,
		Network:  "tcp",
		File:     host.Clean([]byte(file.Path), 4096),
		Line:     number,
		Text:     host.Clean([]byte(strings.TrimSpace(line)), maxText),
		Modified: file.Modified,
	}
}

// includes follows include directives: every file is read once, so that files
// that include each other come to an end.
type includes struct {
	read  Reader
	seen  map[string]bool
	depth int
}

func newIncludes(main File, read Reader) *includes {
	if read == nil {
		read = func(string) []File { return nil }
	}
	return &includes{read: read, seen: map[string]bool{main.Path: true}}
}

// each calls f for the files that pattern names and that were not read before.
// A relative pattern starts at dir.
func (in *includes) each(dir, pattern string, f func(File)) {
	if pattern == "" || in.depth >= maxDepth || strings.ContainsRune(pattern, 0) {
		return
	}
	if !path.IsAbs(pattern) {
		pattern = dir + "/" + pattern
	}
	pattern = path.Clean(pattern)
	in.depth++
	for _, file := range in.read(pattern) {
		if !in.seen[file.Path] {
			in.seen[file.Path] = true
			f(file)
		}
	}
	in.depth--
}

// port reads a port number from 1 to 65535.
func port(s string) (uint16, bool) {
	if s == "" || len(s) > 5 || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n != 0
}

// endpoint splits what servers accept as "where to listen": 80, :80, *:80,
// name:80, 10.0.0.1:80, [::]:80, and without port a name or an address, for
// which the port is 0. A wildcard comes back as *.
func endpoint(s string) (address string, number uint16, ok bool) {
	if n, ok := port(s); ok {
		return "*", n, true
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return s, 0, true
	}
	if inner, rest, found := strings.Cut(strings.TrimPrefix(s, "["), "]"); found && strings.HasPrefix(s, "[") {
		if _, err := netip.ParseAddr(inner); err != nil {
			return "", 0, false
		}
		if rest == "" {
			return inner, 0, true
		}
		n, ok := port(strings.TrimPrefix(rest, ":"))
		return inner, n, ok && rest[0] == ':'
	}
	address, digits, found := strings.Cut(s, ":")
	if found {
		if number, ok = port(digits); !ok {
			return "", 0, false
		}
	}
	if address == "" || address == "*" {
		return "*", number, found || address == "*"
	}
	return host.Clean([]byte(address), 255), number, hostname(address)
}

// hostname reports whether s could be a name or an address in a configuration.
func hostname(s string) bool {
	// A number alone is a port that is out of range.
	if s == "" || len(s) > 253 || strings.Trim(s, "0123456789") == "" {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c >= 0x80:
		default:
			return false
		}
	}
	return true
}

// portRange reads 80 or 8000-8010; a range that is too long is cut.
func portRange(s string) []uint16 {
	low, high, found := strings.Cut(s, "-")
	first, ok := port(low)
	if !ok {
		return nil
	}
	if !found {
		return []uint16{first}
	}
	last, ok := port(high)
	if !ok || last < first {
		return nil
	}
	var list []uint16
	for n := int(first); n <= int(last) && len(list) < maxRange; n++ {
		list = append(list, uint16(n))
	}
	return list
}

// uncomment returns what follows the comment signs, and whether there are any.
func uncomment(line string) (rest string, commented bool) {
	trimmed := strings.TrimSpace(line)
	if !strings.HasPrefix(trimmed, "#") {
		return trimmed, false
	}
	return strings.TrimSpace(strings.TrimLeft(trimmed, "#")), true
}

// keyword returns the first word of a line and the rest. Most lines of these files
// are prose in comments: what is not a setting goes no further than this.
func keyword(body string) (key, rest string) {
	if i := strings.IndexAny(body, " \t"); i >= 0 {
		return body[:i], body[i+1:]
	}
	return body, ""
}

// unquote takes the quotes from a word that is wholly quoted.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// itoa writes a port.
func itoa(n uint16) string { return strconv.Itoa(int(n)) }

// bound leaves out claims of nothing and cuts a list to what is carried.
func bound(claims []host.Claim) []host.Claim {
	claims = slices.DeleteFunc(claims, func(c host.Claim) bool { return c.Port == 0 && c.Path == "" })
	return claims[:min(len(claims), maxClaims)]
}
