package render

import (
	"strings"
	"unicode/utf8"
)

// Command writes an argument vector so that it can be pasted into a POSIX
// shell and means the same there, whatever the arguments hold. Characters that
// are not visible take the $'…' form, which bash, zsh and ksh read.
func Command(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = quote(a, i == 0)
	}
	return strings.Join(words, " ")
}

func quote(arg string, first bool) string {
	switch {
	case bare(arg) && !(first && strings.Contains(arg, "=")):
		return arg
	case plain(arg) || allVisible(arg):
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for len(arg) > 0 {
		r, n := utf8.DecodeRuneInString(arg)
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(arg[0])
		case visible(r) && (r != utf8.RuneError || n > 1):
			b.WriteString(arg[:n])
		default:
			// Bytes, so that it means the same in every locale; three octal
			// digits, so that a digit that follows is not taken as one more.
			for i := range n {
				c := arg[i]
				b.WriteByte('\\')
				b.WriteByte('0' + c>>6)
				b.WriteByte('0' + c>>3&7)
				b.WriteByte('0' + c&7)
			}
		}
		arg = arg[n:]
	}
	b.WriteByte('\'')
	return b.String()
}

// bare reports whether a word means itself to a shell without quotes.
func bare(arg string) bool {
	for i := 0; i < len(arg); i++ {
		c := arg[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_./:@%+,=", c) >= 0:
		default:
			return false
		}
	}
	return arg != ""
}

func allVisible(s string) bool {
	for _, r := range s {
		if !visible(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}
