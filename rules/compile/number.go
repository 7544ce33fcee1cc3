package compile

import (
	"encoding/binary"
	"strconv"

	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

// num is a number as wide as a register's data. A string is the number that its
// bytes make, the first the most significant.
type num = wide.Num

// fromText reads a decimal, hexadecimal (0x) or octal (0) number.
func fromText(s string) (num, bool) {
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return wide.Small(v), true
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
	return num{Hi: hi, Lo: lo}, true
}

// export is the number's last size bytes in an order.
func export(n num, order words.Order, size int) []byte {
	return appendTo(n, make([]byte, 0, size), order, size)
}

// appendTo appends the number's last size bytes in an order.
func appendTo(n num, to []byte, order words.Order, size int) []byte {
	at := len(to)
	for range size {
		to = append(to, 0)
	}
	b := to[at:]
	for i := size - 1; i >= 0; i-- {
		b[i] = byte(n.Lo)
		n = n.Shr(8)
	}
	if order == words.Host && littleEndian() {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	return to
}

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }
