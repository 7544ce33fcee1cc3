package xt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// number reads an integer as strtoul(3) does with base 0: decimal, 0x or 0.
func number(s string, low, high uint64) (uint64, error) {
	v, err := uint64(0), error(nil)
	switch {
	case strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X"):
		v, err = strconv.ParseUint(s[2:], 16, 64)
	case len(s) > 1 && s[0] == '0':
		v, err = strconv.ParseUint(s[1:], 8, 64)
	default:
		v, err = strconv.ParseUint(s, 10, 64)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	if v < low || v > high {
		return 0, fmt.Errorf("%s is not between %d and %d", s, low, high)
	}
	return v, nil
}

func maxOf(size int) uint64 { return 1<<(8*size-1)<<1 - 1 }

// integer is a number of size bytes.
func integer(at, size int) value { return integerIn(at, size, 0, maxOf(size)) }

func integerIn(at, size int, low, high uint64) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		v, err := number(w[0], low, high)
		b.put(at, size, v)
		return err
	}, func(b *blob) (string, bool) {
		return strconv.FormatUint(b.uint(at, size), 10), true
	}}
}

// hexInteger is a number that is printed in hexadecimal with 0x.
func hexInteger(at, size int) value {
	return value{1, integer(at, size).parse, func(b *blob) (string, bool) {
		return "0x" + strconv.FormatUint(b.uint(at, size), 16), true
	}}
}

// span is low:high, each of size bytes and high behind low.
func span(at, size int) value { return spanAt(at, at+size, size, ":") }

func spanAt(low, high, size int, separator string) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		from, to, ranged := strings.Cut(w[0], separator)
		lo, hi, err := uint64(0), maxOf(size), error(nil)
		if from != "" || !ranged {
			if lo, err = number(from, 0, maxOf(size)); err != nil {
				return err
			}
		}
		if !ranged {
			hi = lo
		} else if to != "" {
			if hi, err = number(to, 0, maxOf(size)); err != nil {
				return err
			}
		}
		if lo > hi {
			return fmt.Errorf("%s ends before it starts", w[0])
		}
		b.put(low, size, lo)
		b.put(high, size, hi)
		return nil
	}, func(b *blob) (string, bool) {
		lo, hi := b.uint(low, size), b.uint(high, size)
		if lo == hi {
			return strconv.FormatUint(lo, 10), true
		}
		return strconv.FormatUint(lo, 10) + separator + strconv.FormatUint(hi, 10), true
	}}
}

// port reads a port's number or one of the services' names that are written in
// rules. iptables-save writes numbers, so it is people's files that have names.
func port(s string) (uint16, error) {
	if v, err := strconv.ParseUint(s, 10, 16); err == nil {
		return uint16(v), nil
	} else if len(s) == 0 || s[0] >= '0' && s[0] <= '9' || s[0] == '-' || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a port", s)
	}
	if p, ok := services[s]; ok {
		return p, nil
	}
	return 0, fmt.Errorf("%q is not a port", s)
}

// ports is a port or low:high, in two 16-bit integers in the host's order.
func ports(low, high int) value {
	v := spanAt(low, high, 2, ":")
	v.parse = func(b *blob, _ bool, w []string) error {
		from, to, ranged := strings.Cut(w[0], ":")
		lo, hi, err := uint16(0), uint16(0xffff), error(nil)
		if from != "" || !ranged {
			if lo, err = port(from); err != nil {
				return err
			}
		}
		if !ranged {
			hi = lo
		} else if to != "" {
			if hi, err = port(to); err != nil {
				return err
			}
		}
		if lo > hi {
			return fmt.Errorf("%s ends before it starts", w[0])
		}
		b.put(low, 2, uint64(lo))
		b.put(high, 2, uint64(hi))
		return nil
	}
	return v
}

// notAllPorts shows ports that are not 0:65535.
func notAllPorts(low, high int) func(*blob) bool {
	return func(b *blob) bool { return b.u16(low) != 0 || b.u16(high) != 0xffff }
}

// markMask is mark/mask, the mask all ones where it is missing.
func markMask(mark, mask int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		v, m, err := valueMask(w[0])
		b.put(mark, 4, v)
		b.put(mask, 4, m)
		return err
	}, func(b *blob) (string, bool) {
		s := fmt.Sprintf("0x%x", b.u32(mark))
		if m := b.u32(mask); m != 0xffffffff {
			s += fmt.Sprintf("/0x%x", m)
		}
		return s, true
	}}
}

func valueMask(s string) (uint64, uint64, error) {
	v, m, masked := strings.Cut(s, "/")
	mark, err := number(v, 0, 0xffffffff)
	if err != nil {
		return 0, 0, err
	}
	mask := uint64(0xffffffff)
	if masked {
		mask, err = number(m, 0, 0xffffffff)
	}
	return mark, mask, err
}

// word is a string of fewer than size bytes that is printed as it is, and
// quoted one that is printed as xtables_save_string does.
func word(at, size int) value { return stringOf(at, size, false) }

func quoted(at, size int) value { return stringOf(at, size, true) }

func stringOf(at, size int, quote bool) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		if len(w[0]) >= size {
			return fmt.Errorf("it is longer than %d bytes", size-1)
		}
		if w[0] == "" && !quote || strings.ContainsAny(w[0], "\n\x00") {
			return fmt.Errorf("%q can't be its value", w[0])
		}
		clear(b.d[at : at+size])
		copy(b.d[at:], w[0])
		return nil
	}, func(b *blob) (string, bool) {
		s := b.string(at, size)
		if strings.ContainsAny(s, "\n") {
			return "", false
		}
		if quote {
			return Quote(s), true
		}
		return s, s != "" && !strings.ContainsAny(s, " \t\"'\\")
	}}
}

// Quote is a string as iptables-save writes it: between quotes unless it is only
// letters, digits, - and _ (xtables_save_string of libxtables).
func Quote(s string) string {
	plain := s != ""
	quoted := make([]byte, 1, len(s)+2)
	quoted[0] = '"'
	for i := range len(s) {
		c := s[i]
		plain = plain && (c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
		if c == '"' || c == '\\' || c == '\'' {
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, c)
	}
	if plain {
		return s
	}
	return string(append(quoted, '"'))
}

// name is a word for a number.
type name struct {
	text string
	v    uint64
}

func nameOf(names []name, v uint64) (string, bool) {
	for _, n := range names {
		if n.v == v {
			return n.text, true
		}
	}
	return "", false
}

func named(names []name, s string) (uint64, error) {
	for _, n := range names {
		if strings.EqualFold(n.text, s) {
			return n.v, nil
		}
	}
	return 0, fmt.Errorf("%q is not known", s)
}

// choice is one of names.
func choice(at, size int, names []name) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		v, err := named(names, w[0])
		b.put(at, size, v)
		return err
	}, func(b *blob) (string, bool) {
		return nameOf(names, b.uint(at, size))
	}}
}

// flagList is any of names, separated by commas; the first of names whose value
// is 0, if there is one, stands for none.
func flagList(at, size int, names []name) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		v := uint64(0)
		for s := range strings.SplitSeq(w[0], ",") {
			f, err := named(names, s)
			if err != nil {
				return err
			}
			v |= f
		}
		b.put(at, size, v)
		return nil
	}, func(b *blob) (string, bool) {
		return flagText(names, b.uint(at, size))
	}}
}

func flagText(names []name, v uint64) (string, bool) {
	var on []string
	for _, n := range names {
		if v == 0 && n.v == 0 {
			return n.text, true
		}
		if n.v != 0 && v&n.v == n.v {
			on, v = append(on, n.text), v&^n.v
		}
	}
	return strings.Join(on, ","), v == 0 && on != nil
}

func (b *blob) putAddress(at int, s string) error {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || len(a.AsSlice()) != b.addressLen() {
		return fmt.Errorf("%q is not an address of family %s", s, b.family)
	}
	copy(b.d[at:], a.AsSlice())
	return nil
}

func (b *blob) addressText(at int) string {
	a, _ := netip.AddrFromSlice(b.d[at : at+b.addressLen()])
	return ipText(a)
}

// ipText is the address as inet_ntop(3) writes it, which gives the IPv4 form to
// two prefixes of IPv6.
func ipText(a netip.Addr) string {
	if d := a.As16(); a.Is6() && netip.PrefixFrom(netip.IPv6Unspecified(), 96).Contains(a) && (d[12] != 0 || d[13] != 0) {
		return fmt.Sprintf("::%d.%d.%d.%d", d[12], d[13], d[14], d[15])
	}
	return a.String()
}

// network is address/mask, the mask printed only if it isn't full. Both have
// room for IPv6; without a mask all of it is ones.
func network(at, mask int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		addr, m, masked := strings.Cut(w[0], "/")
		if err := b.putAddress(at, addr); err != nil {
			return err
		}
		if !masked {
			copy(b.d[mask:mask+16], bytes.Repeat([]byte{0xff}, 16))
			return nil
		}
		return b.putMask(mask, m)
	}, func(b *blob) (string, bool) {
		s := b.addressText(at)
		if n, ok := prefixLen(b.d[mask : mask+b.addressLen()]); !ok {
			s += "/" + b.addressText(mask)
		} else if n != 8*b.addressLen() {
			s += "/" + strconv.Itoa(n)
		}
		return s, true
	}}
}

// putMask reads a length, or a mask written as an address.
func (b *blob) putMask(at int, s string) error {
	if n, err := number(s, 0, uint64(8*b.addressLen())); err == nil {
		copy(b.d[at:], prefixMask(int(n), b.addressLen()))
		return nil
	}
	if err := b.putAddress(at, s); err != nil {
		return fmt.Errorf("%q is not a mask", s)
	}
	return nil
}

// prefixMask is a mask of size bytes whose first n bits are set.
func prefixMask(n, size int) []byte {
	mask := make([]byte, size)
	for i := range n {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}

// prefixLen is how many bits a mask sets; false if they are not its first ones.
func prefixLen(mask []byte) (int, bool) {
	n := 0
	for n < 8*len(mask) && mask[n/8]&(0x80>>(n%8)) != 0 {
		n++
	}
	return n, bytes.Equal(mask, prefixMask(n, len(mask)))
}

// addresses is first-last.
func addresses(first, last int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		from, to, ranged := strings.Cut(w[0], "-")
		if !ranged {
			to = from
		}
		if err := b.putAddress(first, from); err != nil {
			return err
		}
		if err := b.putAddress(last, to); err != nil {
			return err
		}
		n := b.addressLen()
		if string(b.d[first:first+n]) > string(b.d[last:last+n]) {
			return fmt.Errorf("%s ends before it starts", w[0])
		}
		return nil
	}, func(b *blob) (string, bool) {
		return b.addressText(first) + "-" + b.addressText(last), true
	}}
}

// mac is an Ethernet address.
func mac(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		parts := strings.Split(w[0], ":")
		if len(parts) != 6 {
			return fmt.Errorf("%q is not a MAC address", w[0])
		}
		for i, s := range parts {
			v, err := strconv.ParseUint(s, 16, 8)
			if err != nil || len(s) > 2 {
				return fmt.Errorf("%q is not a MAC address", w[0])
			}
			b.d[at+i] = byte(v)
		}
		return nil
	}, func(b *blob) (string, bool) {
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b.d[at], b.d[at+1], b.d[at+2], b.d[at+3], b.d[at+4], b.d[at+5]), true
	}}
}

// fixed writes v, and needs no word: an option that is one of several modes.
func fixed(at, size int, v uint64) value {
	return value{parse: func(b *blob, _ bool, _ []string) error {
		b.put(at, size, v)
		return nil
	}}
}

// is6 reports whether the rule is IPv6's.
func (b *blob) is6() bool { return b.family == rules.IP6 }

func putNet16(d []byte, v uint16) { binary.BigEndian.PutUint16(d, v) }
