package text

import (
	"fmt"
	"math/bits"
	"strconv"
)

// num is an unsigned number of up to 128 bits, as wide as a register's data.
type num struct{ hi, lo uint64 }

// fromBytes reads the most significant byte first.
func fromBytes(b []byte) num {
	var n num
	for _, c := range b {
		n.hi = n.hi<<8 | n.lo>>56
		n.lo = n.lo<<8 | uint64(c)
	}
	return n
}

// bytes writes the number's last n bytes, the most significant first.
func (n num) bytes(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(n.lo)
		n = n.shr(8)
	}
	return b
}

func (n num) shr(by int) num {
	switch {
	case by <= 0:
		return n
	case by >= 128:
		return num{}
	case by >= 64:
		return num{0, n.hi >> (by - 64)}
	}
	return num{n.hi >> by, n.lo>>by | n.hi<<(64-by)}
}

func (n num) shl(by int) num {
	switch {
	case by <= 0:
		return n
	case by >= 128:
		return num{}
	case by >= 64:
		return num{n.lo << (by - 64), 0}
	}
	return num{n.hi<<by | n.lo>>(64-by), n.lo << by}
}

func (n num) and(o num) num { return num{n.hi & o.hi, n.lo & o.lo} }
func (n num) or(o num) num  { return num{n.hi | o.hi, n.lo | o.lo} }
func (n num) xor(o num) num { return num{n.hi ^ o.hi, n.lo ^ o.lo} }
func (n num) zero() bool    { return n.hi|n.lo == 0 }

func (n num) sub(o num) num {
	lo, borrow := bits.Sub64(n.lo, o.lo, 0)
	hi, _ := bits.Sub64(n.hi, o.hi, borrow)
	return num{hi, lo}
}

func (n num) cmp(o num) int {
	switch {
	case n == o:
		return 0
	case n.hi < o.hi || n.hi == o.hi && n.lo < o.lo:
		return -1
	}
	return 1
}

// ones is a number of that many one bits.
func ones(count int) num {
	if count >= 128 {
		return num{^uint64(0), ^uint64(0)}
	}
	return num{0, 1}.shl(count).sub(num{0, 1})
}

// scan1 is the place of the first one bit at or above from, 128 if there is none.
func (n num) scan1(from int) int {
	n = n.shr(from)
	switch {
	case n.lo != 0:
		return from + bits.TrailingZeros64(n.lo)
	case n.hi != 0:
		return from + 64 + bits.TrailingZeros64(n.hi)
	}
	return 128
}

// scan0 is the place of the first zero bit at or above from.
func (n num) scan0(from int) int {
	return min(num{^n.hi, ^n.lo}.scan1(from), 128)
}

// swap turns the order of the lowest size bytes around.
func (n num) swap(size int) num {
	var b [16]byte
	size = min(max(size, 0), 16)
	n.bytes(b[:size])
	for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return fromBytes(b[:size])
}

func (n num) hex() string {
	if n.hi == 0 {
		return strconv.FormatUint(n.lo, 16)
	}
	return fmt.Sprintf("%x%016x", n.hi, n.lo)
}

func (n num) decimal() string {
	if n.hi == 0 {
		return strconv.FormatUint(n.lo, 10)
	}
	const chunk = 1e19 // the largest power of ten in 64 bits
	high, rest := bits.Div64(n.hi%chunk, n.lo, chunk)
	if top := n.hi / chunk; top != 0 {
		return fmt.Sprintf("%d%019d%019d", top, high, rest)
	}
	return fmt.Sprintf("%d%019d", high, rest)
}
