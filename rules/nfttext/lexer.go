package nfttext

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	end     kind = iota // of the text
	newline             // with the handle of a comment `# handle N` before it, if any
	word                // a name, a keyword, an address, a duration
	quoted              // text without its quotes
	wild                // a name with an asterisk: eth*
	number              // decimal, octal (a leading 0) or hexadecimal
	sign                // an operator or a bracket
)

// token is a piece of the text. text is part of what was read, not a copy.
type token struct {
	kind   kind
	text   string
	value  uint64 // of a number, or a newline's handle
	offset int    // of its first byte
	line   int    // from 1
	column int    // in bytes, from 1
}

// is says whether it is a keyword or a sign.
func (t token) is(text string) bool {
	return (t.kind == word || t.kind == sign) && t.text == text
}

// describe names it in a message.
func (t token) describe() string {
	switch t.kind {
	case end:
		return "the end of the text"
	case newline:
		return "the end of the line"
	case quoted:
		return strconv.Quote(short(t.text))
	case sign:
		if operator(t.text) == 0 {
			return strconv.QuoteToASCII(t.text)
		}
	}
	return short(t.text)
}

// short bounds what a message repeats of the text.
func short(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}

// lexer cuts a text into tokens, as nft does (its scanner knows no context
// here: what is a keyword is for the parser to say).
type lexer struct {
	text   string
	offset int
	line   int
	start  int // offset of the line
}

// next is the token at the offset. What can't begin a token is a sign of its
// own, which nothing expects.
func (l *lexer) next() token {
	var handle uint64
	for l.offset < len(l.text) {
		switch c := l.text[l.offset]; {
		case c == ' ' || c == '\t' || c == '\r' && strings.HasPrefix(l.text[l.offset+1:], "\n"):
			l.offset++
			continue
		case c == '#':
			n := strings.IndexByte(l.text[l.offset:], '\n')
			if n < 0 {
				n = len(l.text) - l.offset
			}
			handle = handleOf(l.text[l.offset+1 : l.offset+n])
			l.offset += n
			continue
		case c == '\\' && strings.HasPrefix(l.text[l.offset+1:], "\n"):
			l.offset += 2
			l.newLine()
			continue
		}
		break
	}
	t := token{offset: l.offset, line: l.line, column: l.offset - l.start + 1}
	if l.offset == len(l.text) {
		return t
	}
	rest := l.text[l.offset:]
	n := 1
	switch c := rest[0]; {
	case c == '\n':
		t.kind, t.value = newline, handle
	case c == '"':
		n = strings.IndexByte(rest[1:], '"')
		if n < 0 {
			t.kind, t.text = sign, rest[:1]
			l.offset++
			return t
		}
		t.kind, t.text = quoted, rest[1:1+n]
		l.offset += n + 2
		if i := strings.LastIndexByte(t.text, '\n'); i >= 0 {
			l.line += strings.Count(t.text, "\n")
			l.start = t.offset + 1 + i + 1
		}
		return t
	default:
		t.kind, n, t.value = scan(rest)
	}
	t.text = rest[:n]
	if t.kind == word && rest[0] == '[' {
		t.text = rest[1 : n-1]
	}
	l.offset += n
	if t.kind == newline {
		l.newLine()
	}
	return t
}

// newLine is called behind a line's end.
func (l *lexer) newLine() { l.line, l.start = l.line+1, l.offset }

// handleOf reads the comment that nft -a writes, without its #. It is 0 for any other.
func handleOf(comment string) uint64 {
	s, ok := strings.CutPrefix(strings.TrimSpace(comment), "handle ")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// scan finds the longest token that a text begins with. Of two of one length
// the first here is taken.
func scan(s string) (kind, int, uint64) {
	switch n := operator(s); {
	case s[0] == '[':
		// An IPv6 address in brackets is one token.
		if n := ipv6(s[1:]); n > 0 && n+1 < len(s) && s[n+1] == ']' {
			return word, n + 2, 0
		}
		return sign, 1, 0
	case n > 0 && s[0] != '.' && s[0] != ':':
		return sign, n, 0
	}
	k, best, value := sign, 0, uint64(0)
	take := func(as kind, n int) bool {
		if n > best {
			k, best, value = as, n, 0
			return true
		}
		return false
	}
	if hexDigit(s[0]) || s[0] == ':' {
		take(word, ipv6(s))
		take(word, mac(s))
		take(word, ipv4(s))
		take(word, classID(s))
	}
	if digit(s[0]) {
		for _, name := range []string{"8021ad", "8021q"} {
			if strings.HasPrefix(s, name) {
				take(word, len(name))
			}
		}
		take(word, duration(s))
		if n := numeral(s); take(number, n) {
			v, err := strconv.ParseUint(s[:n], 0, 64)
			if err != nil || s[0] == '0' && n > 1 && !octalOrHex(s[:n]) {
				k = word
			}
			value = v
		}
	}
	n := name(s)
	take(word, n)
	// eth*, eth\*, \*, a\*b
	switch rest := s[n:]; {
	case n > 0 && strings.HasPrefix(rest, "*"):
		take(wild, n+1)
	case strings.HasPrefix(rest, `\*`):
		more := 0
		if n > 0 {
			more = name(rest[2:])
		}
		take(wild, n+2+more)
	}
	switch {
	case best == 0:
		_, n := utf8.DecodeRuneInString(s)
		return sign, n, 0
	case best == 1 && s[0] == '.':
		return sign, 1, 0
	}
	return k, best, value
}

// octalOrHex says whether digits behind a 0 are octal ones; 0x has been read.
func octalOrHex(s string) bool {
	return s[1] == 'x' || s[1] == 'X' || strings.Trim(s, "01234567") == ""
}

func operator(s string) int {
	if len(s) > 1 {
		switch s[:2] {
		case "==", "!=", "<=", ">=", "<<", ">>":
			return 2
		}
	}
	if strings.IndexByte("<>,.:;{}()[]^&|!/-*@$=+", s[0]) >= 0 {
		return 1
	}
	return 0
}

func digit(c byte) bool    { return c >= '0' && c <= '9' }
func letter(c byte) bool   { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func hexDigit(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// run is how many bytes at the beginning are of a class, at most most.
func run(s string, most int, class func(byte) bool) int {
	n := 0
	for n < len(s) && n < most && class(s[n]) {
		n++
	}
	return n
}

func name(s string) int {
	if s == "" || !letter(s[0]) && s[0] != '_' && s[0] != '.' {
		return 0
	}
	return 1 + run(s[1:], len(s), func(c byte) bool {
		return letter(c) || digit(c) || c == '/' || c == '-' || c == '_' || c == '.'
	})
}

func numeral(s string) int {
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && hexDigit(s[2]) {
		return 2 + run(s[2:], len(s), hexDigit)
	}
	return run(s, len(s), digit)
}

// duration is 1d2h3m4s5ms, each part but one left out at will.
func duration(s string) int {
	n := 0
	for _, unit := range []string{"d", "h", "m", "s", "ms"} {
		d := run(s[n:], len(s), digit)
		if d == 0 {
			break
		}
		after := s[n+d:]
		if unit == "m" && strings.HasPrefix(after, "ms") {
			continue
		}
		if strings.HasPrefix(after, unit) {
			n += d + len(unit)
		}
	}
	return n
}

// classID is of tc, two hexadecimal halves, and must be followed by a blank, a
// colon, a hyphen, a comma or a brace.
func classID(s string) int {
	n := run(s, 4, hexDigit)
	if n == 0 || n+1 >= len(s) || s[n] != ':' {
		return 0
	}
	m := run(s[n+1:], 4, hexDigit)
	if m == 0 || n+1+m == len(s) || strings.IndexByte(" \t\n:-},", s[n+1+m]) < 0 {
		return 0
	}
	return n + 1 + m
}

func ipv4(s string) int {
	n := 0
	for i := range 4 {
		if i > 0 {
			if n >= len(s) || s[n] != '.' {
				return 0
			}
			n++
		}
		d := run(s[n:], 3, digit)
		if d == 0 {
			return 0
		}
		n += d
	}
	return n
}

func mac(s string) int {
	n := 0
	for i := range 6 {
		if i > 0 {
			if n >= len(s) || s[n] != ':' {
				return 0
			}
			n++
		}
		d := run(s[n:], 2, hexDigit)
		if d == 0 {
			return 0
		}
		n += d
	}
	return n
}

// ipv6 is the longest address that a text begins with.
func ipv6(s string) int {
	const groups = 8
	n, best, count, gap := 0, 0, 0, false
	if strings.HasPrefix(s, "::") {
		n, best, gap = 2, 2, true
	}
	for count < groups {
		h := run(s[n:], 4, hexDigit)
		if h == 0 {
			break
		}
		if gap && count <= groups-2 {
			if v4 := ipv4(s[n:]); v4 > 0 {
				best = n + v4
				break
			}
		}
		count++
		n += h
		if gap && count < groups || !gap && count == groups {
			best = n
		}
		if n == len(s) || s[n] != ':' {
			break
		}
		if !gap && count < groups && strings.HasPrefix(s[n:], "::") {
			gap, n = true, n+2
			best = n
			continue
		}
		n++
	}
	return best
}
