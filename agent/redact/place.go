package redact

import (
	"bytes"
	"net/netip"
)

// place is where in the model of a firewall bytes of an address are.
type place struct {
	kind kind
	from int // which byte of the address is the first
	data []byte
	// mask says which bits count; nil for all.
	mask []byte
	// to is the end of a range that begins with data; nil for one address.
	to []byte
	// ordered: the bytes are compared as less or greater.
	ordered bool
	// network: only the bits before bits are the rule's, the others stay the
	// packet's; 0 for none.
	network int
}

// bitsAt puts bytes of an address where they belong.
func (p place) bitsAt(data []byte) bitString {
	var b bitString
	copy(b[min(p.from, 16):], data)
	return b
}

// see has the permutation keep what the place asks for.
func (p place) see(a *addresses) {
	tree := a.of(p.kind)
	switch {
	case p.from > 0:
		// What comes before isn't known.
		mask := p.mask
		if mask == nil {
			mask = bytes.Repeat([]byte{0xff}, len(p.data))
		}
		tree.keepBits(p.bitsAt(mask))
	case p.mask != nil:
		tree.keepBits(p.bitsAt(p.mask))
	case p.network > 0:
		tree.below(p.bitsAt(p.data), p.network)
		if p.to != nil {
			tree.below(p.bitsAt(p.to), p.network)
		}
	case p.to != nil:
		if bytes.Compare(p.data, p.to) <= 0 {
			tree.span(p.bitsAt(p.data), p.last())
		}
	case p.ordered:
		tree.keepRange(bitString{}, p.bitsAt(p.data))
		tree.keepRange(p.bitsAt(p.data), ones)
	}
}

// last is the end of a range with all bits behind it.
func (p place) last() bitString {
	b := p.bitsAt(p.to)
	for i := len(p.to); i < p.kind.size(); i++ {
		b[i] = 0xff
	}
	return b
}

// change maps the bytes, and tells of each whole address.
func (p place) change(r *Redactor) {
	tree := r.addresses.of(p.kind)
	length := 8 * len(p.data)
	old := bytes.Clone(p.data)
	switch {
	case p.from > 0:
		return // kept by see
	case p.mask != nil:
		b := p.bitsAt(p.data)
		n := min(common(p.bitsAt(p.mask), ones), length)
		mapped := tree.apply(b, n)
		for i := range p.data {
			p.data[i] = mapped[i] | p.data[i]&^mask(n, i)
		}
	case p.to != nil:
		mapRange(tree, p.data, p.to)
	default:
		b := tree.apply(p.bitsAt(p.data), length)
		copy(p.data, b[:])
	}
	if !bytes.Equal(old, p.data) {
		r.noteBytes(p.kind, old, p.data)
	}
}

// mask has ones for the first n bits; it gives the byte i of it.
func mask(n, i int) byte {
	switch rest := n - 8*i; {
	case rest <= 0:
		return 0
	case rest < 8:
		return ^byte(0xff >> rest)
	}
	return 0xff
}

// mapRange maps the ends of a range, which see kept one: those of a prefix to
// those of its image.
func mapRange(tree *permutation, from, to []byte) {
	var a, b bitString
	copy(a[:], from)
	copy(b[:], to)
	length := 8 * len(from)
	n := min(common(a, b), length)
	if a.after(n) == (bitString{}) && b.after(n) == ones.first(length-n) {
		a = tree.apply(a, n)
		for i := range from {
			from[i], to[i] = a[i], a[i]|^mask(n, i)
		}
		return
	}
	a, b = tree.apply(a, length), tree.apply(b, length)
	copy(from, a[:])
	copy(to, b[:])
}

func (r *Redactor) noteBytes(k kind, old, new []byte) {
	size := k.size()
	full := func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, size-len(b))...) }
	if len(old) > size {
		return
	}
	if k == mac {
		r.tally.note(ofMAC, hardwareText(full(old)), hardwareText(full(new)))
		return
	}
	a, _ := netip.AddrFromSlice(full(old))
	b, _ := netip.AddrFromSlice(full(new))
	r.tally.note(ofIP, a.String(), b.String())
}
