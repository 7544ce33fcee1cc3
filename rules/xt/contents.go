package xt

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Structures of xt_string.h and xt_u32.h: what is in a packet.

const patternMax = 128 // XT_STRING_MAX_PATTERN_SIZE

var contentMatches = []extension{
	{name: "string", rev: 1, size: 160, init: func(b *blob) { b.put(2, 2, 0xffff) }, options: []option{
		{names: []string{"--hex-string"}, value: hexPattern, not: bits8(149, 1), shown: needsHex},
		{names: []string{"--string"}, value: pattern, not: bits8(149, 1), shown: func(b *blob) bool { return !needsHex(b) }},
		{names: []string{"--algo"}, value: word(4, 16), shown: always, need: true},
		{names: []string{"--from"}, value: integer(0, 2), shown: unless(0, 2, 0)},
		{names: []string{"--to"}, value: integer(2, 2), shown: unless(2, 2, 0xffff)},
		{names: []string{"--icase"}, on: bits8(149, 2)}}, finish: func(b *blob) error {
		if b.gave("--string") == b.gave("--hex-string") {
			return fmt.Errorf("it takes one of --string and --hex-string")
		}
		return nil
	}},
	{name: "u32", size: 1982, options: []option{{names: []string{"--u32"}, value: value{1, parseU32, printU32}, not: bits8(1981, 1), shown: always, need: true}}},
}

func patternOf(b *blob) []byte { return b.d[20 : 20+min(int(b.d[148]), patternMax)] }

// needsHex says whether the pattern has what can't stand between quotes.
func needsHex(b *blob) bool {
	p := patternOf(b)
	for _, c := range p {
		if c < 0x20 || c > 0x7e {
			return true
		}
	}
	return len(p) > 0 && p[len(p)-1] == '\\'
}

func putPattern(b *blob, p []byte) error {
	if len(p) == 0 || len(p) > patternMax {
		return fmt.Errorf("a string has 1 to %d bytes", patternMax)
	}
	copy(b.d[20:], p)
	b.d[148] = byte(len(p))
	return nil
}

var pattern = value{1, func(b *blob, _ bool, w []string) error { return putPattern(b, []byte(w[0])) },
	func(b *blob) (string, bool) {
		return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(string(patternOf(b))) + `"`, b.d[148] > 0 && b.d[148] <= patternMax
	}}

// hexPattern is text with bytes in hexadecimal between bars, and a backslash
// before what is meant literally.
var hexPattern = value{1, func(b *blob, _ bool, w []string) error {
	var p []byte
	inHex := false
	for s := w[0]; s != ""; {
		switch {
		case s[0] == '|':
			inHex = !inHex
			s = s[1:]
			if inHex {
				s = strings.TrimLeft(s, " ")
			}
		case inHex:
			c, err := strconv.ParseUint(s[:min(2, len(s))], 16, 8)
			if err != nil || len(s) < 3 {
				return fmt.Errorf("%q is not hexadecimal up to a bar", w[0])
			}
			p = append(p, byte(c))
			s = strings.TrimPrefix(s[2:], " ")
		case s[0] == '\\':
			if len(s) < 2 {
				return fmt.Errorf("%q ends in a backslash", w[0])
			}
			p = append(p, s[1])
			s = s[2:]
		default:
			p = append(p, s[0])
			s = s[1:]
		}
	}
	return putPattern(b, p)
}, func(b *blob) (string, bool) {
	return `"|` + hex.EncodeToString(patternOf(b)) + `|"`, b.d[148] <= patternMax
}}

// A test of u32 is up to 11 numbers, each with the operation before it, then up
// to 11 ranges, and how many there are of both. Up to 11 tests are joined.
const (
	u32Most   = 11 // XT_U32_MAXSIZE + 1
	u32Test   = 180
	u32Ranges = 88
	u32Counts = 176
	u32Tests  = 1980
)

// u32Signs are XT_U32_AND, LEFTSH, RIGHTSH and AT.
var u32Signs = []string{"&", "<<", ">>", "@"}

func parseU32(b *blob, _ bool, w []string) error {
	tests := strings.Split(w[0], "&&")
	if len(tests) > u32Most {
		return fmt.Errorf("more than %d tests", u32Most)
	}
	b.d[u32Tests] = byte(len(tests))
	for i, s := range tests {
		location, ranges, _ := strings.Cut(s, "=")
		d := i * u32Test
		if err := parseU32Location(b, d, location); err != nil {
			return err
		}
		list := strings.Split(ranges, ",")
		if len(list) > u32Most {
			return fmt.Errorf("more than %d ranges", u32Most)
		}
		b.d[d+u32Counts+1] = byte(len(list))
		for j, r := range list {
			low, high, ranged := strings.Cut(r, ":")
			if !ranged {
				high = low
			}
			for k, n := range []string{low, high} {
				v, err := number(strings.TrimSpace(n), 0, 0xffffffff)
				if err != nil {
					return err
				}
				b.put(d+u32Ranges+8*j+4*k, 4, v)
			}
		}
	}
	return nil
}

func parseU32Location(b *blob, d int, s string) error {
	sign := 0
	for n := 0; ; n++ {
		if n == u32Most {
			return fmt.Errorf("more than %d numbers", u32Most)
		}
		end, next := len(s), -1
		for k, op := range u32Signs {
			if at := strings.Index(s, op); at >= 0 && at < end {
				end, next = at, k
			}
		}
		v, err := number(strings.TrimSpace(s[:end]), 0, 0xffffffff)
		if err != nil {
			return err
		}
		b.put(d+8*n, 4, v)
		b.d[d+8*n+4] = byte(sign)
		b.d[d+u32Counts] = byte(n + 1)
		if next < 0 {
			return nil
		}
		s, sign = s[end+len(u32Signs[next]):], next
	}
}

func printU32(b *blob) (string, bool) {
	hexadecimal := func(at int) string { return "0x" + strconv.FormatUint(b.uint(at, 4), 16) }
	var s strings.Builder
	s.WriteByte('"')
	count := int(b.d[u32Tests])
	for i := range count {
		d := i * u32Test
		if i >= u32Most {
			return "", false
		}
		numbers, ranges := int(b.d[d+u32Counts]), int(b.d[d+u32Counts+1])
		if numbers < 1 || numbers > u32Most || ranges < 1 || ranges > u32Most {
			return "", false
		}
		if i > 0 {
			s.WriteString("&&")
		}
		for n := range numbers {
			if n > 0 {
				op := int(b.d[d+8*n+4])
				if op >= len(u32Signs) {
					return "", false
				}
				s.WriteString(u32Signs[op])
			}
			s.WriteString(hexadecimal(d + 8*n))
		}
		for r := range ranges {
			s.WriteByte("=,"[min(r, 1)])
			at := d + u32Ranges + 8*r
			s.WriteString(hexadecimal(at))
			if b.u32(at) != b.u32(at+4) {
				s.WriteString(":" + hexadecimal(at+4))
			}
		}
	}
	s.WriteByte('"')
	return s.String(), count > 0
}
