package compile

import (
	"github.com/portwhy/portwhy/rules/wide"
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

type kind uint8

// What a node is. Those up to wildcard are known before any packet comes.
const (
	constant kind = iota
	prefix        // left / length
	span          // left - right
	setRef        // a set, which is named or was made for the rule
	literal       // elements that are not a set yet
	verdict
	wildcard
	concat // of constants, or of loads
	payload
	meta
	ct
	option
	load      // anything else that gives a value
	operation // left op right
	swap      // left, its bytes turned around
	mapped    // what a map gives for left
)

// node is an expression with its type: the words of nft(8) for what it is, and
// how long and in which order the value in the register is.
type node struct {
	kind kind
	pos  syntax.Pos
	typ  *words.Type // nil of a concatenation, whose fields are parts
	// order is None for a single byte. Strings are Network: their bytes stay where they are.
	order words.Order
	bits  int
	// protocol says that comparing this tells what protocol comes next.
	protocol    bool
	n           num // constant
	length      int // prefix, in bits
	left, right *node
	op          string // operation: & | ^ << >>; swap: ntoh hton
	parts       []*node
	// payload: where the value is, in bits
	header *words.Header
	field  *words.Field
	base   uint32
	offset int
	raw    bool
	key    uint32  // meta, ct
	tunnel *tunnel // payload, meta: of the packet in it; nil of the packet itself
	expr   func(rules.Reg) rules.Expr
	fib    *rules.Fib // load: it can ask for presence only
	// turned: it is brought to the order of what it is written to.
	turned bool
	set    *set
	items  []item
	// verdict
	verdict *rules.Verdict
	// max is the largest value that can come of it, 0 if that is not known.
	max uint64
}

// item is an element of a literal. Key is a constant, prefix, span, concat or
// wildcard; data is nil in a set.
type item struct {
	key, data *node
	object    string
	elem      *syntax.Elem // nil if it has nothing but a key
	exprs     []rules.Expr
}

func (n *node) bytes() int { return (n.bits + 7) / 8 }

func (n *node) isString() bool { return n.typ != nil && stringType(n.typ) }

func stringType(t *words.Type) bool { return t == words.String || t.Base == words.String }

func bitmaskType(t *words.Type) bool {
	return t != nil && (t == words.Bitmask || t.Base == words.Bitmask)
}

// known reports whether no packet is needed for the value.
func (n *node) known() bool {
	if n.kind == concat {
		return !slices.ContainsFunc(n.parts, func(p *node) bool { return !p.known() })
	}
	return n.kind < concat
}

// single reports whether it is one value.
func (n *node) single() bool {
	switch n.kind {
	case prefix, span, literal, setRef, wildcard:
		return false
	case concat:
		return !slices.ContainsFunc(n.parts, func(p *node) bool { return !p.single() })
	}
	return true
}

// types are the types of the fields; one if it is no concatenation.
func (n *node) types() []*words.Type {
	if n.kind != concat {
		return []*words.Type{n.typ}
	}
	list := make([]*words.Type, len(n.parts))
	for i, p := range n.parts {
		list[i] = p.typ
	}
	return list
}

// words32 is how many registers a value takes.
func words32(bits int) int { return (bits + 31) / 32 }

// export is the value as it stands in a register or in a set without ranges.
func (n *node) export() []byte {
	if n.kind != concat {
		return export(n.n, n.order, n.bytes())
	}
	var b []byte
	for _, p := range n.parts {
		b = append(b, padded(p.export())...)
	}
	return b
}

// padded fills a field of a concatenation up to whole registers.
func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// bounds are the first and last value of a constant, prefix or span.
func (n *node) bounds() (from, to num) {
	switch n.kind {
	case prefix:
		return n.left.n, n.left.n.Or(wide.Ones(n.left.bits - n.length))
	case span:
		return n.left.n, n.right.n
	}
	return n.n, n.n
}

// exportBound is one of the two in network order, in which ranges are looked up.
func (n *node) exportBounds() (from, to []byte) {
	if n.kind == concat {
		for _, p := range n.parts {
			a, b := p.exportBounds()
			from, to = append(from, padded(a)...), append(to, padded(b)...)
		}
		return from, to
	}
	a, b := n.bounds()
	return export(a, words.Network, n.bytes()), export(b, words.Network, n.bytes())
}
