package compile

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/portwhy/portwhy/rules/words"
)

// num is an unsigned number of up to 128 bits, as wide as a register's data. A
// string is the number that its bytes make, the first the most significant.
type num struct{ hi, lo uint64 }

func small(n uint64) num { return num{0, n} }

// fromBytes reads the most significant byte first.
func fromBytes(b []byte) num {
	var n num
	for _, c := range b {
		n.hi = n.hi<<8 | n.lo>>56
		n.lo = n.lo<<8 | uint64(c)
	}
	return n
}

// fromText reads a decimal, hexadecimal (0x) or octal (0) number.
func fromText(s string) (num, bool) {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return small(v), true
	}
	if len(s) < 3 || s[0] != '0' || s[1]|0x20 != 'x' {
		return num{}, false
	}
	digits := s[2:]
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	if len(digits) > 32 {
		return num{}, false
	}
	cut := max(len(digits)-16, 0)
	lo, err := strconv.ParseUint(digits[cut:], 16, 64)
	if err != nil {
		return num{}, false
	}
	var hi uint64
	if cut > 0 {
		if hi, err = strconv.ParseUint(digits[:cut], 16, 64); err != nil {
			return num{}, false
		}
	}
	return num{hi, lo}, true
}

// export is the number's last size bytes in an order.
func (n num) export(order words.Order, size int) []byte {
	return n.appendTo(make([]byte, 0, size), order, size)
}

// appendTo appends the number's last size bytes in an order.
func (n num) appendTo(to []byte, order words.Order, size int) []byte {
	at := len(to)
	for range size {
		to = append(to, 0)
	}
	b := to[at:]
	for i := size - 1; i >= 0; i-- {
		b[i] = byte(n.lo)
		n = n.shr(8)
	}
	if order == words.Host && littleEndian() {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	return to
}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

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
func (n num) not() num      { return num{^n.hi, ^n.lo} }

func (n num) next() num {
	lo, carry := bits.Add64(n.lo, 1, 0)
	return num{n.hi + carry, lo}
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
	n := small(1).shl(count)
	lo, borrow := bits.Sub64(n.lo, 1, 0)
	return num{n.hi - borrow, lo}
}

// prefixMask has the first length of size bits set.
func prefixMask(size, length int) num { return ones(size).xor(ones(size - length)) }

// trailingZeros is 128 for zero.
func (n num) trailingZeros() int {
	if n.lo != 0 {
		return bits.TrailingZeros64(n.lo)
	}
	return 64 + bits.TrailingZeros64(n.hi)
}

func (n num) String() string {
	if n.hi == 0 {
		return strconv.FormatUint(n.lo, 10)
	}
	return "0x" + strconv.FormatUint(n.hi, 16) + "…"
}
