package redact

import (
	"strings"
	"sync"
)

// seeHosts takes note of the hosts that a text names: in URLs, behind a name
// that says so, as the end of an address of mail, and by a domain that the world
// knows.
func (n *names) seeHosts(s string) {
	n.urlHosts(s)
	for i := 0; i < len(s); {
		if !isNameByte(s[i]) {
			i++
			continue
		}
		end := i
		for end < len(s) && isNameByte(s[end]) {
			end++
		}
		word := s[i:end]
		switch {
		case len(word) > 253:
		case hostKey(word):
			if from, to := value(s, end, false); to > from && to-from <= 253 {
				n.seeValue(s[from:to])
			}
		case end < len(s) && s[end] == '@':
			n.mail(word, s[end+1:min(len(s), end+255)])
		case isDomain(word):
			n.seeHost(strings.Trim(word, ".-"))
		}
		i = end
	}
}

func isNameByte(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' }

// urlHosts finds what stands behind :// and a user and password.
func (n *names) urlHosts(s string) {
	const mark = "://"
	for at := strings.Index(s, mark); at >= 0; {
		at += len(mark)
		end := at
		for end < len(s) && end-at < 512 && !breaks(s[end]) && s[end] != '/' && s[end] != '?' && s[end] != '#' && s[end] != ',' {
			end++
		}
		authority := s[at:end]
		n.seeValue(authority[strings.LastIndexByte(authority, '@')+1:])
		next := strings.Index(s[at:], mark)
		if next < 0 {
			return
		}
		at += next
	}
}

// seeValue takes note of a host that may have a port behind it.
func (n *names) seeValue(s string) {
	if host, ok := hostOfValue(s); ok {
		n.seeHost(strings.Trim(host, ".-"))
	}
}

// hostKey reports whether a name stands before a host.
func hostKey(word string) bool {
	if len(word) > 40 || len(word) < 4 {
		return false
	}
	word = lowered(strings.Trim(word, "-._"))
	for _, end := range []string{"host", "hostname", "server", "peer", "upstream"} {
		if strings.HasSuffix(word, end) {
			return true
		}
	}
	return false
}

// mail takes note of user@host, unless that is a unit of systemd, a version or a
// digest.
func (n *names) mail(user, behind string) {
	end := 0
	for end < len(behind) && isNameByte(behind[end]) {
		end++
	}
	host := strings.Trim(behind[:end], ".-")
	if host == "" || isDigit(host[0]) || end < len(behind) && behind[end] == ':' && strings.HasPrefix(host, "sha") {
		return
	}
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "service", "socket", "timer", "mount", "target", "path", "slice", "scope":
		return
	}
	n.see(userName, user[strings.LastIndexByte(user, '.')+1:])
	n.see(userName, user)
	n.seeHost(host)
}

// topDomains are endings of host names that are no endings of files.
var topDomains = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for _, d := range strings.Fields(`com org net edu gov mil int info biz io dev app cloud online site shop store tech xyz ai co uk de fr nl be ch at eu us ca au nz jp cn kr in br ru ua cz
		se no fi dk it es pt gr ie za mx ar cl tr il hu ro sk si hr lt lv ee lu local localdomain lan internal intranet corp home test example invalid private`) {
		set[d] = true
	}
	return set
})

// isDomain reports whether a word is a host name with a domain that is known.
func isDomain(word string) bool {
	word = strings.Trim(word, ".-")
	dot := strings.LastIndexByte(word, '.')
	return dot > 0 && topDomains()[lowered(word[dot+1:])] && word[0] != '_'
}
