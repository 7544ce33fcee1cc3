package nftjson

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/portwhy/portwhy/rules/syntax"
)

// Bounds of what is read. nft itself stays far below: names have at most 128
// bytes, expressions nest some levels deep.
const (
	maxDepth  = 64
	maxText   = 1 << 16
	maxValues = 1 << 20 // in one object of the ruleset
)

// scanner reads JSON (RFC 8259) one value at a time, and knows where it is.
type scanner struct {
	r            *bufio.Reader
	file         string
	line, column int // of the next byte
	depth        int
	values       int
	buf          []byte
}

func newScanner(file string, r io.Reader) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, 1<<16), file: file, line: 1, column: 1}
}

func (s *scanner) pos() syntax.Pos { return syntax.Pos{File: s.file, Line: s.line, Column: s.column} }

// bail is how reading is given up; it goes no further than Parse.
type bail struct{ err error }

func failf(pos syntax.Pos, format string, args ...any) { panic(bail{pos.Errorf(format, args...)}) }

const end = 0 // no byte that JSON has outside of strings

// peek is the next byte, end if there is none.
func (s *scanner) peek() byte {
	b, err := s.r.Peek(1)
	if err == nil {
		return b[0]
	}
	if !errors.Is(err, io.EOF) {
		panic(bail{err})
	}
	return end
}

func (s *scanner) next() byte {
	b, err := s.r.ReadByte()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			panic(bail{err})
		}
		failf(s.pos(), "the document ends too early")
	}
	if b == '\n' {
		s.line, s.column = s.line+1, 1
	} else {
		s.column++
	}
	return b
}

// token skips blanks and tells the byte that follows.
func (s *scanner) token() byte {
	for {
		switch b := s.peek(); b {
		case ' ', '\t', '\r', '\n':
			s.next()
		default:
			return b
		}
	}
}

func (s *scanner) expect(b byte, what string) {
	if s.token() != b {
		failf(s.pos(), "%s was expected", what)
	}
	s.next()
}

// more steps to the next item of an array or object that ends with closing.
// first says that none was read yet.
func (s *scanner) more(first bool, closing byte) bool {
	b := s.token()
	switch {
	case b == closing:
		s.next()
		return false
	case first:
		return true
	case b == ',':
		s.next()
		if s.token() == closing {
			failf(s.pos(), "a value was expected behind the comma")
		}
		return true
	}
	failf(s.pos(), "a comma or %c was expected", closing)
	return false
}

// value reads a value of any kind.
func (s *scanner) value() value {
	if s.values++; s.values > maxValues {
		failf(s.pos(), "more than %d values in one object", maxValues)
	}
	b := s.token()
	v := value{pos: s.pos()}
	switch {
	case b == '"':
		v.kind, v.text = text, s.text()
	case b == '{' || b == '[':
		s.compound(&v, b)
	case b == '-' || b >= '0' && b <= '9':
		s.number(&v)
	case b == 't':
		s.word("true")
		v.kind, v.number = boolean, 1
	case b == 'f':
		s.word("false")
		v.kind = boolean
	case b == 'n':
		s.word("null")
		v.kind = null
	default:
		failf(v.pos, "a value was expected")
	}
	return v
}

func (s *scanner) compound(v *value, b byte) {
	if s.depth++; s.depth > maxDepth {
		failf(v.pos, "nested more than %d deep", maxDepth)
	}
	s.next()
	if b == '[' {
		v.kind = array
		for s.more(len(v.list) == 0, ']') {
			v.list = append(v.list, s.value())
		}
	} else {
		v.kind = object
		for s.more(len(v.keys) == 0, '}') {
			at := s.pos()
			key := s.key()
			for _, k := range v.keys {
				if k == key {
					failf(at, "property %q is there twice", key)
				}
			}
			if len(v.keys) == maxProperties {
				failf(at, "more than %d properties", maxProperties)
			}
			v.keys = append(v.keys, key)
			v.list = append(v.list, s.value())
		}
	}
	s.depth--
}

// key reads a property's name and the colon behind it.
func (s *scanner) key() string {
	if s.token() != '"' {
		failf(s.pos(), "a property's name was expected")
	}
	key := s.text()
	s.expect(':', "a colon")
	return key
}

func (s *scanner) word(w string) {
	at := s.pos()
	for i := range len(w) {
		if s.peek() != w[i] {
			failf(at, "a value was expected")
		}
		s.next()
	}
}

func (s *scanner) number(v *value) {
	s.buf = s.buf[:0]
	for {
		b := s.peek()
		if b < '0' && b != '-' && b != '+' && b != '.' || b > '9' && b != 'e' && b != 'E' {
			break
		}
		s.buf = append(s.buf, s.next())
		if len(s.buf) > 32 {
			failf(v.pos, "a number of up to 64 bits was expected")
		}
	}
	t := string(s.buf)
	v.kind = number
	digits := strings.TrimPrefix(t, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) > 1 && digits[0] == '0' {
		failf(v.pos, "a whole number of up to 64 bits was expected, not %s", t)
	}
	v.number, v.negative = n, len(digits) < len(t) && n != 0
	if v.negative && n > 1<<63 {
		failf(v.pos, "a whole number of up to 64 bits was expected, not %s", t)
	}
}

// text reads a string.
func (s *scanner) text() string {
	at := s.pos()
	s.next()
	s.buf = s.buf[:0]
	for {
		b := s.next()
		switch {
		case b == '"':
			if !utf8.Valid(s.buf) {
				failf(at, "a string that is not UTF-8")
			}
			return string(s.buf)
		case b == '\\':
			s.escape()
		case b < 0x20:
			failf(at, "a string that isn't closed in its line")
		default:
			s.buf = append(s.buf, b)
		}
		if len(s.buf) > maxText {
			failf(at, "a string of more than %d bytes", maxText)
		}
	}
}

func (s *scanner) escape() {
	at := s.pos()
	b := s.next()
	switch b {
	case '"', '\\', '/':
		s.buf = append(s.buf, b)
	case 'b':
		s.buf = append(s.buf, '\b')
	case 'f':
		s.buf = append(s.buf, '\f')
	case 'n':
		s.buf = append(s.buf, '\n')
	case 'r':
		s.buf = append(s.buf, '\r')
	case 't':
		s.buf = append(s.buf, '\t')
	case 'u':
		c := s.hex(at)
		if c >= 0xd800 && c < 0xdc00 {
			if s.next() != '\\' || s.next() != 'u' {
				failf(at, "half a character")
			}
			low := s.hex(at)
			if low < 0xdc00 || low > 0xdfff {
				failf(at, "half a character")
			}
			c = 0x10000 + (c-0xd800)<<10 + low - 0xdc00
		}
		if c >= 0xdc00 && c < 0xe000 || c == 0 {
			failf(at, "no character")
		}
		s.buf = utf8.AppendRune(s.buf, c)
	default:
		failf(at, `no escape \%c`, b)
	}
}

func (s *scanner) hex(at syntax.Pos) rune {
	var c rune
	for range 4 {
		d, err := strconv.ParseUint(string(rune(s.next())), 16, 8)
		if err != nil {
			failf(at, "four hexadecimal digits were expected")
		}
		c = c<<4 | rune(d)
	}
	return c
}
