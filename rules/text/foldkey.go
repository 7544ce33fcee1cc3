package text

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

func (c *context) postRelation(n *node) *node {
	if n.left.kind == payload {
		c.postMatch(n, n.left)
		return n
	}
	n.left = c.post(n.left)
	if n.right.kind == concat {
		n.right.types = n.left.types
	}
	n.right.setType(n.left.typ, n.left.order)
	n.right.usedWith(n.left)
	n.right = c.post(n.right)
	switch n.left.kind {
	case ct:
		c.postKey(n, map[uint32]int{ctL3Proto: 0, ctSaddr: 1, ctDaddr: 1, ctProtocol: 1})
	case meta:
		c.postKey(n, map[uint32]int{metaNFProto: 0, metaProtocol: 0, metaL4Proto: 1})
	case binary2:
		return c.postMasked(n)
	}
	return n
}

// postKey takes in what a comparison of meta or ct says of headers.
func (c *context) postKey(n *node, bases map[uint32]int) {
	if n.op != eq || n.right.kind == ranged || n.right.kind == set {
		return
	}
	c.learn(n.left, n.right)
	base, ok := bases[n.left.key]
	if !ok {
		base = -1
	}
	if base >= 0 && c.exists(base) && c.keyImplies(n) {
		c.release(base)
	}
	if n.left.protocol {
		c.store(c.current, base)
	}
}

// keyImplies says whether what told the network header can be left out where
// meta l4proto comes: in families of several, only for ICMP, and only if that is
// the right one.
func (c *context) keyImplies(n *node) bool {
	d := c.dependency(1)
	if d == nil || d.expr.right.kind != value {
		return true
	}
	var nfproto rules.Family
	l, v := d.expr.left, d.expr.right.n.Lo
	byType := map[uint64]rules.Family{0x0800: rules.IP, 0x86dd: rules.IP6}
	switch {
	case l.kind == meta && l.key == metaNFProto:
		nfproto = rules.Family(v)
	case l.kind == meta && l.key == metaProtocol, l.kind == payload && l.base == 0 && l.typ == words.EtherType:
		nfproto = byType[v]
	default:
		return true
	}
	switch c.family {
	case rules.Inet, rules.Netdev, rules.Bridge:
	case rules.IP, rules.IP6:
		return c.family == nfproto
	default:
		return true
	}
	if n.left.kind != meta || n.left.key != metaL4Proto {
		return true
	}
	switch n.right.n.Lo {
	case 1:
		return nfproto != rules.IP6
	case 58:
		return nfproto != rules.IP
	}
	return false
}

// postMasked reads a comparison of a masked value: of flags, of a prefix, or of
// a field that the mask cuts out.
func (c *context) postMasked(n *node) *node {
	b, right := n.left, n.right
	constant := b.right.kind == value
	switch {
	case b.op == and && (n.op == eq || n.op == neq) && isBitmask(right.typ):
		switch {
		case right.kind == value && right.n.Zero():
			n.left, n.right = b.left, orList(b.right)
			n.op = map[op]op{neq: implicit, eq: negated}[n.op]
		case right.kind == value && constant && right.n == b.right.n:
		case right.kind == value || right.kind == binary2:
			return &node{kind: flags, op: n.op, left: b.left, right: orList(right), mask: orList(b.right)}
		}
	case b.op == and && constant && right.kind == value && b.left.typ != nil && b.left.typ.Prefix && isPrefix(b.right):
		n.left = b.left
		at := b.right.n.Scan1(0)
		plen := 0
		if at < 128 {
			plen = b.right.n.Scan0(at+1) - at
		}
		n.right = &node{kind: prefix, left: right, plen: plen, typ: right.typ, order: right.order, bits: right.bits}
	case b.op == and && constant:
		c.cut(n, &n.left)
	case b.op == shiftRight && b.left.kind == binary2 && b.left.op == and && constant && b.left.right.kind == value:
		if c.cut(b, &b.left) && b.right.n.Zero() {
			n.left = b.left
		}
	}
	return n
}

// isPrefix says whether a mask's ones are its first bits, or all zero.
func isPrefix(mask *node) bool {
	at := mask.n.Scan1(0)
	return at == 128 || mask.n.Scan0(at+1) >= mask.bits
}

// foldWrite reads a store into the packet. Where the field is not whole bytes,
// what is stored is the old value with the field's bits replaced.
func (c *context) foldWrite(s *stmt) {
	c.complete(s.x)
	if !known(s.x) {
		c.foldBits(s)
	}
	s.x = c.post(s.x)
	s.y.setType(s.x.typ, s.x.order)
	s.y = c.post(s.y)
}

func (c *context) foldBits(s *stmt) {
	y := s.y
	if y.kind != binary2 || y.right.kind != value {
		return
	}
	whole := wide.Ones(y.bits)
	var p *node
	var mask, set num
	switch {
	case y.op == or && y.left.kind == binary2 && y.left.op == and && y.left.left.kind == payload && y.left.right.kind == value:
		p, set = y.left.left, y.right.n
		mask = whole.Xor(y.left.right.n).Xor(set) // the bits that | sets are no longer in the mask
	case y.op == and && y.left.kind == payload:
		p, mask = y.left, whole.Xor(y.right.n)
	case y.op == or && y.left.kind == payload:
		p, set, mask = y.left, y.right.n, y.right.n
	default:
		return
	}
	if p.base != s.x.base || p.offset != s.x.offset || p.bits != s.x.bits {
		return
	}
	field := p.clone()
	shift, ok := c.trim(field, &node{kind: value, n: mask, bits: p.bits})
	if !ok {
		return
	}
	c.complete(field)
	if !known(field) {
		return
	}
	s.x = field
	s.y = &node{kind: value, n: set.Shr(shift), bits: field.bits}
}
