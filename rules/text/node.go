package text

import (
	"encoding/binary"
	"github.com/portwhy/portwhy/rules/wide"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

type kind uint8

const (
	value   kind = iota
	payload      // a field, or raw bits, of the packet
	meta
	ct
	exthdr
	fixed // anything that is its text and a type: rt, socket, fib, hash, …
	binary2
	unary // a change of byte order
	concat
	mapped // a value looked up in a map
	ranged
	prefix
	list     // flags with commas
	set      // a set, by reference
	relation // left op right, which is a statement
	flags    // left op right / mask
	unread   // what can't be folded back, as text in brackets
)

type op uint8

// The first six are NFT_CMP_*.
const (
	eq op = iota
	neq
	lt
	lte
	gt
	gte
	implicit // any of the flags
	negated  // none of the flags
	and
	or
	xor
	shiftLeft
	shiftRight
)

var opSigns = [...]string{eq: "==", neq: "!=", lt: "<", lte: "<=", gt: ">", gte: ">=", negated: "!",
	and: "&", or: "|", xor: "^", shiftLeft: "<<", shiftRight: ">>"}

// How tightly operators bind in nft's language; the lower the tighter.
var precedence = [...]uint8{shiftLeft: 1, shiftRight: 1, and: 2, xor: 3, or: 4}

// node is an expression of nft's language, in the making: types and names come
// in when the whole rule is known.
type node struct {
	kind  kind
	op    op
	typ   *words.Type
	order words.Order
	bits  int

	n     num           // value
	types []*words.Type // concat: its fields', if known
	text  string        // fixed, unread

	header      *words.Header // payload: nil while it is raw
	field       *words.Field
	base        uint32
	offset      int
	protocol    bool // it says what the next header is
	key         uint32
	tunnel      uint32 // of what is read from the packet in one, its type
	dir         int8
	option      *words.Option // exthdr
	optionField *words.Field
	ext         *rules.Exthdr

	set   *rules.Set
	shift int // of a set's elements, which nft compares shifted
	// dataOrder is that of what a map gives, if its type doesn't say.
	dataOrder words.Order

	left, right, mask *node
	kids              []*node
	plen              int
}

func known(p *node) bool { return p.header != nil && p.field != nil }

func (n *node) clone() *node {
	if n == nil {
		return nil
	}
	c := *n
	c.left, c.right, c.mask = n.left.clone(), n.right.clone(), n.mask.clone()
	if n.kids != nil {
		c.kids = make([]*node, len(n.kids))
		for i, k := range n.kids {
			c.kids[i] = k.clone()
		}
	}
	return &c
}

// constant is a value as it is in the kernel, read as if in network order.
func constant(b []byte) *node {
	if len(b) > 16 {
		return &node{kind: unread, text: rawBytes(b), bits: 8 * len(b)}
	}
	return &node{kind: value, n: wide.FromBytes(b), bits: 8 * len(b)}
}

// splice takes the first bits off a value.
func (n *node) splice(bits int) *node {
	bits = min(max(bits, 0), n.bits)
	c := &node{kind: value, n: n.n.Shr(n.bits - bits), bits: bits}
	n.bits -= bits
	n.n = n.n.And(wide.Ones(n.bits))
	return c
}

func (n *node) setType(t *words.Type, order words.Order) {
	switch n.kind {
	case prefix:
		n.left.setType(t, order)
	case ranged:
		n.left.setType(t, order)
		n.right.setType(t, order)
	case list:
		for _, k := range n.kids {
			k.setType(t, order)
		}
	}
	n.typ, n.order = t, order
}

// rawInteger is what has no name, written as hexadecimal.
var rawInteger = &words.Type{Number: words.Integer.Number, Name: words.Integer.Name}

// littleHost says whether numbers in the host's order have to be turned around.
var littleHost = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func isBitmask(t *words.Type) bool { return t != nil && t.Base == words.Bitmask }

func isString(t *words.Type) bool { return t == words.String || t == words.IfName }

// same tells whether two nodes read the same of a packet.
func same(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.kind != b.kind || a.op != b.op || a.bits != b.bits || a.n != b.n || a.text != b.text || a.header != b.header ||
		a.field != b.field || a.base != b.base || a.offset != b.offset || a.key != b.key || a.tunnel != b.tunnel || a.dir != b.dir ||
		a.option != b.option || a.optionField != b.optionField || len(a.kids) != len(b.kids) {
		return false
	}
	for i := range a.kids {
		if !same(a.kids[i], b.kids[i]) {
			return false
		}
	}
	return same(a.left, b.left) && same(a.right, b.right)
}
