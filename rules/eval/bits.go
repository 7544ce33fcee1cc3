package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// Operations of bitwise (NFT_BITWISE_*).
const (
	bitwiseMaskXor = iota
	bitwiseLeft
	bitwiseRight
	bitwiseAnd
	bitwiseOr
	bitwiseXor
)

// bitwise is nft_bitwise_eval: over whole words, in the host's order where it shifts.
func (w *walk) bitwise(e *rules.Bitwise) rules.VerdictKind {
	n := int(e.Len+3) / 4 * 4
	have := w.register(e.Source, n)
	if have == nil || n == 0 || w.register(e.Dest, n) == nil {
		return w.either(blame{"bitwise", "it is not well formed"})
	}
	if b := w.blind(e.Source, n); b != nil {
		return w.hide(e.Dest, n, *b)
	}
	var buffer [64]byte
	out := buffer[:n]
	switch e.Op {
	case bitwiseMaskXor:
		if len(e.Mask) != int(e.Len) || len(e.Xor) != int(e.Len) {
			return w.either(blame{"bitwise", "it is not well formed"})
		}
		for i := range e.Mask {
			out[i] = have[i]&e.Mask[i] ^ e.Xor[i]
		}
	case bitwiseLeft, bitwiseRight:
		if len(e.Data) < 4 {
			return w.either(blame{"bitwise", "it is not well formed"})
		}
		shiftWords(out, have, e.Op == bitwiseLeft, binary.NativeEndian.Uint32(e.Data)%32)
	case bitwiseAnd, bitwiseOr, bitwiseXor:
		other := append(make([]byte, 0, 64), e.Data...)
		if e.HasSource2 {
			if b := w.blind(e.Source2, n); b != nil {
				return w.hide(e.Dest, n, *b)
			}
			other = w.register(e.Source2, n)
		}
		for len(other) < n && !e.HasSource2 {
			other = append(other, 0)
		}
		if len(other) < n {
			return w.either(blame{"bitwise", "it reads beyond the registers"})
		}
		for i := range out {
			switch e.Op {
			case bitwiseAnd:
				out[i] = have[i] & other[i]
			case bitwiseOr:
				out[i] = have[i] | other[i]
			default:
				out[i] = have[i] ^ other[i]
			}
		}
	default:
		return w.either(blame{"bitwise", "its operation is not known"})
	}
	return w.load(e.Dest, out)
}

// shiftWords shifts as the kernel does: from the last word to the first or back,
// with what falls out of one word carried into the next.
func shiftWords(out, have []byte, left bool, by uint32) {
	var carry uint32
	n := len(have) / 4
	for k := range n {
		i := k
		if left {
			i = n - 1 - k
		}
		v := binary.NativeEndian.Uint32(have[i*4:])
		if left {
			binary.NativeEndian.PutUint32(out[i*4:], v<<by|carry)
			carry = v >> (32 - by)
		} else {
			binary.NativeEndian.PutUint32(out[i*4:], carry|v>>by)
			carry = v << (32 - by)
		}
	}
}

// hash is nft_jhash_eval; a symmetric hash is keyed by what only the kernel has.
func (w *walk) hash(e *rules.Hash) rules.VerdictKind {
	n := int(e.Len)
	if e.Type != 0 || !e.HasSeed {
		return w.hide(e.Dest, 4, blame{"hash", "its key is drawn by chance"})
	}
	data := w.register(e.Source, n)
	if data == nil {
		return w.either(blame{"hash", "it reads beyond the registers"})
	}
	if b := w.blind(e.Source, n); b != nil {
		return w.hide(e.Dest, 4, *b)
	}
	scaled := uint32(uint64(jhash(data, e.Seed)) * uint64(e.Modulus) >> 32)
	return w.load32(e.Dest, scaled+e.Offset)
}

// jhash is Bob Jenkins' lookup3 as in linux/jhash.h.
func jhash(k []byte, seed uint32) uint32 {
	start := 0xdeadbeef + uint32(len(k)) + seed
	a, b, c := start, start, start
	rotate := func(x uint32, n uint) uint32 { return x<<n | x>>(32-n) }
	for len(k) > 12 {
		a += binary.NativeEndian.Uint32(k)
		b += binary.NativeEndian.Uint32(k[4:])
		c += binary.NativeEndian.Uint32(k[8:])
		a = (a - c) ^ rotate(c, 4)
		c += b
		b = (b - a) ^ rotate(a, 6)
		a += c
		c = (c - b) ^ rotate(b, 8)
		b += a
		a = (a - c) ^ rotate(c, 16)
		c += b
		b = (b - a) ^ rotate(a, 19)
		a += c
		c = (c - b) ^ rotate(b, 4)
		b += a
		k = k[12:]
	}
	if len(k) == 0 {
		return c
	}
	for i, v := range k {
		shift := uint(i%4) * 8
		switch i / 4 {
		case 0:
			a += uint32(v) << shift
		case 1:
			b += uint32(v) << shift
		default:
			c += uint32(v) << shift
		}
	}
	c = (c ^ b) - rotate(b, 14)
	a = (a ^ c) - rotate(c, 11)
	b = (b ^ a) - rotate(a, 25)
	c = (c ^ b) - rotate(b, 16)
	a = (a ^ c) - rotate(c, 4)
	b = (b ^ a) - rotate(a, 14)
	return (c ^ b) - rotate(b, 24)
}
