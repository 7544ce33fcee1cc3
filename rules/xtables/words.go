package xtables

import "strings"

// word is one word of a line: what it says, where it starts (column from 1, in
// bytes) and whether it was quoted.
type word struct {
	text   string
	column int
	quoted bool
}

// splitWords takes a line apart as iptables-restore does: blanks separate
// words; between double quotes they don't, and a backslash takes the next byte
// as it is. A closing quote ends the word. At is the column of an opening quote
// that is never closed, else 0.
func splitWords(words []word, line string) (list []word, open int) {
	for i := 0; i < len(line); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		start := i
		for i < len(line) && line[i] != ' ' && line[i] != '\t' && line[i] != '"' {
			i++
		}
		w := word{text: line[start:i], column: start + 1}
		if i < len(line) && line[i] == '"' {
			quote := i + 1
			inner, n, closed := unquote(line[quote:])
			if !closed {
				return words, quote
			}
			w.text, w.quoted = w.text+inner, true
			i = quote + n
		}
		words = append(words, w)
	}
	return words, 0
}

// unquote reads up to the closing quote and says how many bytes that took.
func unquote(s string) (inner string, n int, closed bool) {
	i := strings.IndexAny(s, `"\`)
	if i < 0 {
		return "", 0, false
	}
	if s[i] == '"' {
		return s[:i], i + 1, true
	}
	var b strings.Builder
	for i = 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1, true
		case '\\':
			if i++; i == len(s) {
				return "", 0, false
			}
		}
		b.WriteByte(s[i])
	}
	return "", 0, false
}
