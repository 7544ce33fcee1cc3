package render

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxString bounds one string from outside in text, in characters.
const maxString = 1024

// Escape makes a string from outside fit to print: what is no visible character
// (C0, DEL, C1, bidirectional and zero-width controls, line separators, odd
// spaces, unassigned code points) becomes \n, \x1b, \u202e or \U000e0041, bytes
// that are not UTF-8 become \x80, and what is very long ends in an ellipsis.
func Escape(s string) string { return Cut(s, maxString) }

// Cut is [Escape] with a bound of its own, in characters of the result.
func Cut(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	var b strings.Builder
	width := 0
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		shown := s[:n]
		if !visible(r) || r == utf8.RuneError && n == 1 {
			shown = escaped(r, s[:n])
		}
		w := utf8.RuneCountInString(shown)
		if width+w > limit || width+w == limit && len(s) > n {
			b.WriteString("…")
			break
		}
		width += w
		b.WriteString(shown)
		s = s[n:]
	}
	return b.String()
}

// plain reports whether s is printable ASCII, which most names are.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// visible reports whether a character is safe on a terminal: a letter, mark,
// number, punctuation, symbol or the ASCII space.
func visible(r rune) bool { return strconv.IsPrint(r) }

func escaped(r rune, raw string) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case r == utf8.RuneError && len(raw) == 1:
		return `\x` + hex(uint32(raw[0]), 2)
	case r < 0x80:
		return `\x` + hex(uint32(r), 2)
	case r < 0x10000:
		return `\u` + hex(uint32(r), 4)
	}
	return `\U` + hex(uint32(r), 8)
}

func hex(n uint32, digits int) string {
	s := strconv.FormatUint(uint64(n), 16)
	return strings.Repeat("0", max(0, digits-len(s))) + s
}
