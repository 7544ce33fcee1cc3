package redact

import (
	"net"
	"net/netip"
	"strings"
)

// literal is an address that is written in a text.
type literal struct {
	from, to int
	addr     netip.Addr
	mac      net.HardwareAddr
	dashes   bool // 10-0-0-5 for 10.0.0.5, or aa-bb-… for aa:bb:…
	bits     int  // of the prefix length behind it, else -1
}

// maxLiteral is longer than any address.
const maxLiteral = 64

// literals finds the addresses in a text, in order.
func literals(s string) (list []literal) {
	for i := 0; i < len(s); {
		c := s[i]
		if !isHex(c) && c != ':' {
			i++
			continue
		}
		end := i
		colons, dots, dashes := 0, 0, 0
		for end < len(s) && (isHex(s[end]) || s[end] == ':' || s[end] == '.' || s[end] == '-') {
			switch s[end] {
			case ':':
				colons++
			case '.':
				dots++
			case '-':
				dashes++
			}
			end++
		}
		if colons >= 2 || dots >= 3 || dashes >= 3 {
			list = literalsIn(s, i, end, list)
		}
		i = end
	}
	return list
}

// literalsIn looks at a run of hexadecimal digits and separators.
func literalsIn(s string, from, to int, list []literal) []literal {
	for i := from; i < to; {
		l, ok := literalAt(s, i, to)
		if ok {
			list = append(list, l)
			i = l.to
			continue
		}
		for i++; i < to && !mayBegin(s, i); i++ {
		}
	}
	return list
}

// mayBegin reports whether an address may begin at s[i], which is not the first.
func mayBegin(s string, i int) bool {
	if before := s[i-1]; isAlnum(before) || before == ':' && s[i] == ':' {
		return false
	}
	return isHex(s[i]) || s[i] == ':'
}

// literalAt reads the address that begins at s[from].
func literalAt(s string, from, to int) (literal, bool) {
	if from > 0 && isAlnum(s[from-1]) && !(isDigit(s[from]) && isLetter(s[from-1])) {
		return literal{}, false
	}
	end := min(to, from+maxLiteral)
	// What follows the first digits says what it may be.
	first := span(s, from, min(end, from+5), isHex)
	if first == end {
		return literal{}, false
	}
	var l literal
	ok := false
	switch s[first] {
	case ':':
		if l, ok = colonMAC(s, from, end); !ok {
			l, ok = literal6(s, from, end)
		}
	case '.':
		l, ok = literal4(s, from, end)
	case '-':
		l, ok = dashed(s, from, end)
	}
	if !ok {
		return literal{}, false
	}
	l.bits = -1
	if l.addr.IsValid() && l.to < len(s) && s[l.to] == '/' && !l.dashes {
		l.bits = prefixLength(s[l.to+1:], l.addr.BitLen())
	}
	return l, true
}

func prefixLength(s string, most int) int {
	n := 0
	i := 0
	for i < len(s) && i < 4 && isDigit(s[i]) {
		n = n*10 + int(s[i]-'0')
		i++
	}
	if i == 0 || n > most || i < len(s) && (isAlnum(s[i]) || s[i] == '.' && i+1 < len(s) && isDigit(s[i+1])) {
		return -1
	}
	return n
}

func span(s string, from, end int, ok func(c byte) bool) int {
	for from < end && ok(s[from]) {
		from++
	}
	return from
}

func colonMAC(s string, from, end int) (literal, bool) {
	to := span(s, from, end, func(c byte) bool { return isHex(c) || c == ':' })
	if to-from != 17 || to < len(s) && isAlnum(s[to]) {
		return literal{}, false
	}
	mac, err := net.ParseMAC(s[from:to])
	return literal{from: from, to: to, mac: mac}, err == nil
}

func literal6(s string, from, end int) (literal, bool) {
	to := span(s, from, end, func(c byte) bool { return isHex(c) || c == ':' || c == '.' })
	// Marks of a sentence, and a port or a comment behind it.
	for to > from && (s[to-1] == '.' || s[to-1] == ':' && (to-from < 3 || s[to-2] != ':')) {
		to--
	}
	if strings.Count(s[from:to], ":") < 2 || to < len(s) && isAlnum(s[to]) {
		return literal{}, false
	}
	a, err := netip.ParseAddr(s[from:to])
	return literal{from: from, to: to, addr: a}, err == nil
}

func literal4(s string, from, end int) (literal, bool) {
	if from > 1 && s[from-1] == '.' && isDigit(s[from-2]) {
		return literal{}, false // a number of more parts
	}
	to, ok := fourNumbers(s, from, end, '.')
	if !ok {
		return literal{}, false
	}
	a, err := netip.ParseAddr(s[from:to])
	return literal{from: from, to: to, addr: a}, err == nil
}

// fourNumbers finds the end of four numbers with a separator between them, and
// no more.
func fourNumbers(s string, from, end int, separator byte) (to int, ok bool) {
	to = from
	for n := range 4 {
		if n > 0 {
			if to >= end || s[to] != separator {
				return 0, false
			}
			to++
		}
		digits := to
		to = span(s, to, min(end, to+3), isDigit)
		if to == digits {
			return 0, false
		}
	}
	return to, to == len(s) || !isDigit(s[to]) && (s[to] != separator || to+1 == len(s) || !isDigit(s[to+1]))
}

// dashed reads an address of IPv4 in a host name, or a MAC address with dashes.
func dashed(s string, from, end int) (literal, bool) {
	if to := span(s, from, end, func(c byte) bool { return isHex(c) || c == '-' }); to-from == 17 {
		mac, err := net.ParseMAC(s[from:to])
		if err == nil && (to == len(s) || !isAlnum(s[to])) {
			return literal{from: from, to: to, mac: mac, dashes: true}, true
		}
	}
	to, ok := fourNumbers(s, from, end, '-')
	if !ok {
		return literal{}, false
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(s[from:to], "-", "."))
	return literal{from: from, to: to, addr: a, dashes: true}, err == nil
}

// write maps a literal as it is written.
func (a *addresses) write(l literal) string {
	switch {
	case l.mac != nil && l.dashes:
		return strings.ReplaceAll(a.hardware(l.mac).String(), ":", "-")
	case l.mac != nil:
		return a.hardware(l.mac).String()
	case l.dashes:
		return strings.ReplaceAll(a.addr(l.addr).String(), ".", "-")
	case l.bits >= 0:
		return a.prefix(netip.PrefixFrom(l.addr, l.bits)).Addr().String()
	}
	return a.addr(l.addr).String()
}

// learn keeps the ranges that a text names.
func (a *addresses) learn(s string) {
	list := literals(s)
	for i := 1; i < len(list); i++ {
		x, y := list[i-1], list[i]
		if x.to+1 == y.from && s[x.to] == '-' && x.addr.IsValid() && y.addr.IsValid() && x.addr.BitLen() == y.addr.BitLen() {
			a.span(x.addr, y.addr)
		}
	}
}
