//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"

	"github.com/portwhy/portwhy/platform/host"
)

// nameMax bounds names that come from the kernel; the longest, of devices and
// of nftables' tables and chains, have 15 and 255 bytes.
const nameMax = 256

// reader walks a message of netlink attributes and keeps the first error, so
// that a parser reads as a list of fields and fails as a whole.
type reader struct {
	err error
}

func (r *reader) fail(what string, v []byte, want int) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s has %d bytes, want %d", errMalformed, what, len(v), want)
	}
}

// header cuts a fixed header of n bytes off b.
func (r *reader) header(what string, b []byte, n int) (header, rest []byte) {
	if len(b) < n {
		r.fail(what, b, n)
		return make([]byte, n), nil
	}
	return b[:n], b[min(align4(n), len(b)):]
}

// attributes yields the attributes in b: type without flags, and value. See
// struct nlattr in netlink(7).
func (r *reader) attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			length := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) & 0x3fff
			if length < 4 || length > len(b) {
				r.fail(fmt.Sprintf("attribute %d", kind), b, length)
				return
			}
			if !yield(kind, b[4:length]) {
				return
			}
			b = b[min(align4(length), len(b)):]
		}
	}
}

// fixed is a value of at least n bytes, zeros if it is shorter.
func (r *reader) fixed(what string, v []byte, n int) []byte {
	if len(v) < n {
		r.fail(what, v, n)
		return make([]byte, n)
	}
	return v
}

func (r *reader) u8(what string, v []byte) uint8 { return r.fixed(what, v, 1)[0] }

func (r *reader) u16(what string, v []byte) uint16 {
	return binary.NativeEndian.Uint16(r.fixed(what, v, 2))
}

func (r *reader) u32(what string, v []byte) uint32 {
	return binary.NativeEndian.Uint32(r.fixed(what, v, 4))
}

func (r *reader) u64(what string, v []byte) uint64 {
	return binary.NativeEndian.Uint64(r.fixed(what, v, 8))
}

// big16 and big32 are numbers in network order, as all of netfilter's.
func (r *reader) big16(what string, v []byte) uint16 {
	return binary.BigEndian.Uint16(r.fixed(what, v, 2))
}

func (r *reader) big32(what string, v []byte) uint32 {
	return binary.BigEndian.Uint32(r.fixed(what, v, 4))
}

// text is a string that ends at its first NUL byte.
func (r *reader) text(v []byte) string {
	if i := bytes.IndexByte(v, 0); i >= 0 {
		v = v[:i]
	}
	return host.Clean(v, nameMax)
}

// address is an IPv4 or IPv6 address.
func (r *reader) address(what string, v []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		r.fail(what, v, 4)
	}
	return a
}

// prefix is an address with a length.
func (r *reader) prefix(what string, a netip.Addr, bits int) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	p := netip.PrefixFrom(a, bits)
	if !p.IsValid() && r.err == nil {
		r.err = fmt.Errorf("%w: %s has length %d", errMalformed, what, bits)
	}
	return p
}

// putAttribute appends an attribute to a request.
func putAttribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align4(len(value))-len(value))...)
}

func putUint32(b []byte, kind uint16, value uint32) []byte {
	return putAttribute(b, kind, binary.NativeEndian.AppendUint32(nil, value))
}

// putIndex puts a link's index into a header at offset.
func putIndex(header []byte, offset, index int) {
	binary.NativeEndian.PutUint32(header[offset:], uint32(index))
}
