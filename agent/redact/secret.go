package redact

import (
	"encoding/base64"
	"strings"
)

// found is a secret in a text.
type found struct {
	from, to int
	why      string // in the summary's words
}

// Why a piece of text was taken for a secret.
const (
	byName    = "passwords, keys and tokens, by the name before them"
	byForm    = "tokens and private keys, by their form"
	byURL     = "user names and passwords in URLs"
	byRandom  = "words that look random"
	elsewhere = "secrets that were found in another place"
)

// finder looks for secrets in texts. It reads each byte a bounded number of
// times, whatever a text is made of.
type finder struct {
	// known are numbers that look random and are none: of containers, for instance.
	known map[string]bool
	steps int // bytes looked at
}

// in finds the secrets of a text, in no particular order; they may overlap.
func (f *finder) in(s string) []found {
	var list []found
	list = privateKeys(s, list)
	for from, to := range words(s) {
		f.steps += to - from
		list = credentials(s, from, to, list)
		list = f.forms(s, from, to, list)
	}
	list = f.named(s, list)
	return list
}

// privateKeys finds PEM blocks (RFC 7468) of private keys; one that doesn't
// end goes to the end of the text.
func privateKeys(s string, list []found) []found {
	const begin, end = "-----BEGIN ", "-----END "
	for at := 0; ; {
		i := strings.Index(s[at:], begin)
		if i < 0 {
			return list
		}
		from := at + i
		label := s[from+len(begin) : min(len(s), from+len(begin)+40)]
		at = from + len(begin)
		if !strings.Contains(label, "PRIVATE KEY") {
			continue
		}
		to := len(s)
		if j := strings.Index(s[at:], end); j >= 0 {
			to = min(len(s), at+j+len(end))
			if k := strings.Index(s[to:], "-----"); k >= 0 && k < 60 {
				to += k + 5
			}
		}
		list = append(list, found{from, to, byForm})
		at = to
	}
}

// words goes through what stands between spaces, quotes and control characters.
func words(s string) func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		from := 0
		for i := 0; i <= len(s); i++ {
			if i < len(s) && !breaks(s[i]) {
				continue
			}
			if i > from && !yield(from, i) {
				return
			}
			from = i + 1
		}
	}
}

func breaks(c byte) bool {
	return c <= ' ' || c == '"' || c == '\'' || c == '`' || c == '<' || c == '>' || c == 0x7f
}

// credentials finds user:password@ in the URLs of a word, and what stands like
// that without a scheme, as in the connection strings of Go's MySQL driver.
func credentials(s string, from, to int, list []found) []found {
	const mark = "://"
	word := s[from:to]
	at := strings.Index(word, mark)
	if at < 0 {
		at = strings.LastIndexByte(word, '@')
		colon := strings.IndexByte(word, ':')
		if colon > 0 && at > colon+1 && isName(word[:colon]) && colon <= 64 {
			list = append(list, found{from + colon + 1, from + at, byURL})
		}
		return list
	}
	for at >= 0 {
		at += len(mark)
		end := len(word)
		next := strings.Index(word[at:], mark)
		if next >= 0 {
			// The next URL's scheme ends here; what is before it belongs to it.
			next += at
			end = next
			for end > at && isLetter(word[end-1]) && next-end < 20 {
				end--
			}
		}
		// A password may hold a slash or an @, so everything before the last @ goes.
		if last := strings.LastIndexByte(word[at:end], '@'); last > 0 {
			user := word[at : at+last]
			if colon := strings.IndexByte(user, ':'); colon >= 0 {
				if colon+1 < len(user) {
					list = append(list, found{from + at + colon + 1, from + at + last, byURL})
				}
			} else if len(user) >= 16 {
				list = append(list, found{from + at, from + at + last, byURL}) // a token
			}
		}
		at = next
	}
	return list
}

// isName reports whether s is a plain name.
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return s != ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isAlnum(c byte) bool  { return isLetter(c) || isDigit(c) }

// basicPassword is the password of HTTP's basic authentication (RFC 7617).
func basicPassword(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(s) > 4096 {
		return "", false
	}
	_, password, ok := strings.Cut(string(b), ":")
	return password, ok && password != ""
}
