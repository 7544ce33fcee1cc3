package xt

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// blob is a structure that is being filled from text, or printed.
type blob struct {
	d      []byte
	family rules.Family
	proto  uint16
	sets   []string
	e      *extension
	given  uint64 // which of e's options
}

// gave reports whether text gave the option.
func (b *blob) gave(name string) bool {
	for i := range b.e.options {
		if b.e.options[i].names[0] == name {
			return b.given&(1<<i) != 0
		}
	}
	return false
}

// uint is the integer of 1, 2, 4 or 8 bytes at at, in the host's order.
func (b *blob) uint(at, size int) uint64 {
	switch size {
	case 1:
		return uint64(b.d[at])
	case 2:
		return uint64(binary.NativeEndian.Uint16(b.d[at:]))
	case 4:
		return uint64(binary.NativeEndian.Uint32(b.d[at:]))
	}
	return binary.NativeEndian.Uint64(b.d[at:])
}

func (b *blob) put(at, size int, v uint64) {
	switch size {
	case 1:
		b.d[at] = byte(v)
	case 2:
		binary.NativeEndian.PutUint16(b.d[at:], uint16(v))
	case 4:
		binary.NativeEndian.PutUint32(b.d[at:], uint32(v))
	default:
		binary.NativeEndian.PutUint64(b.d[at:], v)
	}
}

func (b *blob) u16(at int) uint16 { return uint16(b.uint(at, 2)) }
func (b *blob) u32(at int) uint32 { return uint32(b.uint(at, 4)) }
func (b *blob) u64(at int) uint64 { return b.uint(at, 8) }

// net16 is the integer at at in network order.
func (b *blob) net16(at int) uint16 { return binary.BigEndian.Uint16(b.d[at:]) }

func (b *blob) set(x bit) {
	if x.mask != 0 {
		b.put(x.at, x.size, b.uint(x.at, x.size)|x.mask)
	}
}

func (b *blob) has(x bit) bool {
	return x.mask != 0 && b.uint(x.at, x.size)&x.mask != 0
}

// string is what stands at at, up to a NUL.
func (b *blob) string(at, size int) string {
	s, _, _ := bytes.Cut(b.d[at:at+size], []byte{0})
	return string(s)
}

// addressLen is how many bytes an address of the family has.
func (b *blob) addressLen() int {
	if b.family == rules.IP6 {
		return 16
	}
	return 4
}

// bits8, bits16 and bits32 are bits of an integer of that many bits.
func bits8(at int, mask uint64) bit  { return bit{at, 1, mask} }
func bits16(at int, mask uint64) bit { return bit{at, 2, mask} }
func bits32(at int, mask uint64) bit { return bit{at, 4, mask} }

func always(*blob) bool { return true }

// unless shows an option whose integer is not v.
func unless(at, size int, v uint64) func(*blob) bool {
	return func(b *blob) bool { return b.uint(at, size) != v }
}

// equals shows an option whose integer is v.
func equals(at, size int, v uint64) func(*blob) bool {
	return func(b *blob) bool { return b.uint(at, size) == v }
}

func either(a, c func(*blob) bool) func(*blob) bool {
	return func(b *blob) bool { return a(b) || c(b) }
}
