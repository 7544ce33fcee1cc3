// Package wide has unsigned numbers of up to 128 bits, as wide as a register of the
// kernel's rules is.
package wide

import (
	"fmt"
	"math/bits"
	"strconv"
)

// Num is an unsigned number of up to 128 bits.
type Num struct{ Hi, Lo uint64 }

// Small is a number of up to 64 bits.
func Small(n uint64) Num { return Num{0, n} }

// FromBytes reads the most significant byte first.
func FromBytes(b []byte) Num {
	var n Num
	for _, c := range b {
		n.Hi = n.Hi<<8 | n.Lo>>56
		n.Lo = n.Lo<<8 | uint64(c)
	}
	return n
}

// Bytes writes the number's last n bytes, the most significant first.
func (n Num) Bytes(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(n.Lo)
		n = n.Shr(8)
	}
	return b
}

// Shr shifts to the right by so many bits.
func (n Num) Shr(by int) Num {
	switch {
	case by <= 0:
		return n
	case by >= 128:
		return Num{}
	case by >= 64:
		return Num{0, n.Hi >> (by - 64)}
	}
	return Num{n.Hi >> by, n.Lo>>by | n.Hi<<(64-by)}
}

// Shl shifts to the left by so many bits.
func (n Num) Shl(by int) Num {
	switch {
	case by <= 0:
		return n
	case by >= 128:
		return Num{}
	case by >= 64:
		return Num{n.Lo << (by - 64), 0}
	}
	return Num{n.Hi<<by | n.Lo>>(64-by), n.Lo << by}
}

// And has the bits that both have.
func (n Num) And(o Num) Num { return Num{n.Hi & o.Hi, n.Lo & o.Lo} }

// Or has the bits that either has.
func (n Num) Or(o Num) Num { return Num{n.Hi | o.Hi, n.Lo | o.Lo} }

// Xor has the bits that one has.
func (n Num) Xor(o Num) Num { return Num{n.Hi ^ o.Hi, n.Lo ^ o.Lo} }

// Zero reports whether it is 0.
func (n Num) Zero() bool { return n.Hi|n.Lo == 0 }

// Sub subtracts, modulo 2 to the 128.
func (n Num) Sub(o Num) Num {
	lo, borrow := bits.Sub64(n.Lo, o.Lo, 0)
	hi, _ := bits.Sub64(n.Hi, o.Hi, borrow)
	return Num{hi, lo}
}

// Cmp is -1, 0 or 1 for less, equal, more.
func (n Num) Cmp(o Num) int {
	switch {
	case n == o:
		return 0
	case n.Hi < o.Hi || n.Hi == o.Hi && n.Lo < o.Lo:
		return -1
	}
	return 1
}

// Ones is a number of that many one bits.
func Ones(count int) Num {
	if count >= 128 {
		return Num{^uint64(0), ^uint64(0)}
	}
	return Num{0, 1}.Shl(count).Sub(Num{0, 1})
}

// Scan1 is the place of the first one bit at or above from, 128 if there is none.
func (n Num) Scan1(from int) int {
	n = n.Shr(from)
	switch {
	case n.Lo != 0:
		return from + bits.TrailingZeros64(n.Lo)
	case n.Hi != 0:
		return from + 64 + bits.TrailingZeros64(n.Hi)
	}
	return 128
}

// Scan0 is the place of the first zero bit at or above from.
func (n Num) Scan0(from int) int {
	return min(Num{^n.Hi, ^n.Lo}.Scan1(from), 128)
}

// Swap turns the order of the lowest size bytes around.
func (n Num) Swap(size int) Num {
	var b [16]byte
	size = min(max(size, 0), 16)
	n.Bytes(b[:size])
	for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return FromBytes(b[:size])
}

// Hex is the number in hexadecimal digits.
func (n Num) Hex() string {
	if n.Hi == 0 {
		return strconv.FormatUint(n.Lo, 16)
	}
	return fmt.Sprintf("%x%016x", n.Hi, n.Lo)
}

// String is the number in decimal digits.
func (n Num) String() string {
	if n.Hi == 0 {
		return strconv.FormatUint(n.Lo, 10)
	}
	const chunk = 1e19 // the largest power of ten in 64 bits
	high, rest := bits.Div64(n.Hi%chunk, n.Lo, chunk)
	if top, middle := bits.Div64(n.Hi/chunk, high, chunk); top != 0 {
		return fmt.Sprintf("%d%019d%019d", top, middle, rest)
	}
	return fmt.Sprintf("%d%019d", high, rest)
}

// Not has the bits that n has not.
func (n Num) Not() Num { return Num{^n.Hi, ^n.Lo} }

// Next is one more, modulo 2 to the 128.
func (n Num) Next() Num {
	lo, carry := bits.Add64(n.Lo, 1, 0)
	return Num{n.Hi + carry, lo}
}

// PrefixMask has the first length of size bits set.
func PrefixMask(size, length int) Num { return Ones(size).Xor(Ones(size - length)) }
