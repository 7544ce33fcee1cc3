package text

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

// fold gives all statements of a rule their types and names, in order, and
// leaves out what the rest implies.
func fold(f rules.Family, stmts []*stmt) []*stmt {
	c := newContext(f)
	var out []*stmt
	for _, s := range stmts {
		c.current, c.pending, c.replaced = s, nil, false
		if s.expr != nil {
			c.foldExpr(s)
			if c.replaced {
				out = append(out, c.pending...)
				c.prev = nil
				continue
			}
			if s.dead { // it closed a range that the one before opened
				continue
			}
			out = append(out, s)
			c.prev = s
			continue
		}
		c.foldAction(s)
		out = append(out, s)
		c.prev = s
		c.reset() // what is done must stay behind what was compared before
	}
	return out
}

func (c *context) foldExpr(s *stmt) {
	s.expr = c.post(s.expr)
	if c.replaced || c.prev == nil || c.prev.expr == nil {
		return
	}
	// `>= a` and `<= b` of the same are a range.
	a, b := c.prev.expr, s.expr
	if a.kind != relation || b.kind != relation || !same(bare(a.left), bare(b.left)) {
		return
	}
	switch {
	case a.op == gte && b.op == lte:
		a.op = eq
	case a.op == lt && b.op == gt:
		a.op = neq
	default:
		return
	}
	a.right = &node{kind: ranged, left: a.right, right: b.right, typ: b.right.typ, order: b.right.order, bits: b.right.bits}
	s.dead = true
}

// bare is what stands under a change of byte order.
func bare(n *node) *node {
	if n.kind == unary {
		return n.left
	}
	return n
}

func (c *context) foldAction(s *stmt) {
	switch e := s.from.(type) {
	case *rules.Payload:
		c.foldWrite(s)
		return
	case *rules.Reject:
		c.foldReject(s, e)
		return
	case *rules.NAT, *rules.Masq, *rules.Redir, *rules.TProxy:
		if s.x != nil {
			s.x = c.post(s.x)
		}
		if s.y != nil {
			c.reset()
			s.y = c.post(s.y)
		}
		return
	case *rules.Dynset:
		c.inKey = true
		s.x = c.post(s.x)
		c.inKey = false
		if s.y != nil {
			s.y = c.post(s.y)
		}
		return
	}
	if s.x != nil {
		s.x = c.post(s.x)
	}
	if s.y != nil {
		s.y = c.post(s.y)
	}
	if e, ok := s.from.(*rules.CT); ok && e.Key == ctEvent {
		s.x = orList(s.x)
	}
}

// foldReject leaves out the protocol that the kind of reject implies.
func (c *context) foldReject(s *stmt, e *rules.Reject) {
	f := c.family
	switch f {
	case rules.IP, rules.IP6:
		if e.Type == 1 && c.exists(2) {
			c.release(2)
		}
	case rules.Inet, rules.Bridge, rules.Netdev:
		if e.Type == 2 {
			break
		}
		switch c.headers[1] {
		case ip:
			f = rules.IP
		case ip6:
			f = rules.IP6
		}
		if c.exists(1) {
			c.release(1)
		}
	}
	s.x = &node{kind: fixed, key: uint32(f)}
}

// post types an expression and what is in it, and gives what stands in its place.
func (c *context) post(n *node) *node {
	switch n.kind {
	case mapped:
		if b := n.left; b.kind == binary2 && b.op == and && b.left.kind == payload && b.right.kind == value {
			c.cut(n, &n.left)
		}
		n.left = c.post(n.left)
		if n.right.shift == 0 {
			n.right.usedWith(n.left)
		}
	case concat:
		key := c.inKey
		c.inKey = true
		for i, k := range n.kids {
			if i < len(n.types) && n.types[i] != nil {
				k.setType(n.types[i], n.types[i].Order)
			}
			n.kids[i] = c.post(k)
		}
		c.inKey = key
		n.types = nil
		for _, k := range n.kids {
			n.types = append(n.types, k.typ)
		}
	case unary:
		n.left = c.post(n.left)
		n.typ, n.order = n.left.typ, words.Host
		if n.left.order == words.Host {
			n.order = words.Network
		}
	case binary2:
		return c.postBinary(n)
	case relation:
		return c.postRelation(n)
	case payload:
		c.complete(n)
		c.kill(n)
	case value:
		return c.postValue(n)
	case ranged:
		n.left, n.right = c.post(n.left), c.post(n.right)
	case prefix:
		n.left = c.post(n.left)
	case exthdr:
		base := 1
		if n.ext.Op == 1 {
			base = 2
		}
		if n.ext.Op <= 2 && c.exists(base) {
			c.release(base)
		}
	case ct:
		c.ctAddress(n)
	case fixed:
		if n.left != nil {
			n.left = c.post(n.left)
		}
	}
	return n
}

// usedWith tells an anonymous set what it is compared with, where the set's own
// type doesn't say how long a field is or in which order.
func (n *node) usedWith(left *node) {
	if n.kind != set || !n.set.Anonymous {
		return
	}
	n.typ, n.order = left.typ, left.order
	if left.kind == concat {
		n.kids = left.kids
	}
}

// ctAddress types an address of conntrack that the rule's family is for.
func (c *context) ctAddress(n *node) {
	if n.key != ctSaddr && n.key != ctDaddr {
		return
	}
	k := words.KeyByNumber(words.CTKeys, n.key)
	switch c.headers[1] {
	case ip:
		k = words.KeyByName(words.CTKeys, "ip "+k.Name)
	case ip6:
		k = words.KeyByName(words.CTKeys, "ip6 "+k.Name)
	default:
		return
	}
	n.typ, n.bits, n.text = k.Type, k.Bits, ctName(k, n.dir)
}

func (c *context) postValue(n *node) *node {
	if isString(n.typ) {
		return n
	}
	if n.order == words.Host && littleHost {
		n.n = n.n.Swap(n.bits / 8)
	}
	if isBitmask(n.typ) {
		return bitList(n)
	}
	return n
}

// bitList writes a value of several flags as flag | flag.
func bitList(n *node) *node {
	var tree *node
	for at := n.n.Scan1(0); at < 128; at = n.n.Scan1(at + 1) {
		f := &node{kind: value, typ: n.typ, order: n.order, bits: n.bits, n: wide.Small(1).Shl(at)}
		if tree == nil {
			tree = f
			continue
		}
		tree = &node{kind: binary2, op: or, left: tree, right: f, typ: n.typ, order: n.order, bits: n.bits}
	}
	if tree == nil || tree.kind == value {
		return n
	}
	return tree
}

// orList makes flag | flag a list with commas.
func orList(n *node) *node {
	if n.kind != binary2 || n.op != or {
		return n
	}
	l := &node{kind: list, typ: n.typ, order: n.order, bits: n.bits}
	for ; n.kind == binary2 && n.op == or; n = n.left {
		l.kids = append(l.kids, n.right)
	}
	l.kids = append(l.kids, n)
	for i, j := 0, len(l.kids)-1; i < j; i, j = i+1, j-1 {
		l.kids[i], l.kids[j] = l.kids[j], l.kids[i]
	}
	return l
}

func (c *context) postBinary(n *node) *node {
	n.left = c.post(n.left)
	if n.op == shiftLeft || n.op == shiftRight {
		n.right.typ, n.right.order = words.Integer, words.None
		n.typ, n.order = n.left.typ, n.left.order
		return n
	}
	n.right.setType(n.left.typ, n.left.order)
	if n.op == and && c.inKey && n.left.kind == payload && n.right.kind == value {
		out := n
		c.cut(n, &out)
		return out
	}
	n.right = c.post(n.right)
	n.typ, n.order = n.left.typ, n.left.order
	return n
}

// cut replaces a masked field (*at) by the smaller field that the mask cuts
// out, and shifts what it is compared with by as much.
func (c *context) cut(in *node, at **node) bool {
	b := *at
	left, mask := b.left, b.right
	var shift int
	switch left.kind {
	case payload:
		var ok bool
		if shift, ok = c.trim(left, mask); !ok {
			return false
		}
	case exthdr:
		if !left.cutOption(mask) {
			return false
		}
		shift = mask.n.Scan1(0)
	default:
		return false
	}
	if in.right != nil && in.right != mask {
		in.right.adjust(shift, left.bits)
	}
	*at = left
	switch {
	case left.kind == payload:
		c.postMatch(in, left)
	case in.right != nil && in.right != mask:
		in.right.setType(left.typ, left.order)
	}
	return true
}

func (n *node) cutOption(mask *node) bool {
	off := mask.n.Scan1(0)
	end := mask.n.Scan0(off + 1)
	if n.optionField != nil && n.ext.Op != 0 || n.ext.Op > 2 {
		return false
	}
	return n.findOption(n.offset+(mask.bits+7)/8*8-end, end-off)
}

func (n *node) adjust(shift, bits int) {
	switch n.kind {
	case value:
		n.n, n.bits = n.n.Shr(shift), bits
	case ranged:
		n.left.adjust(shift, bits)
		n.right.adjust(shift, bits)
	case set:
		if n.set.Anonymous {
			n.shift, n.bits = shift, bits
		}
	}
}

// postMatch types a comparison of a payload.
func (c *context) postMatch(n *node, p *node) {
	if n.kind == relation && (n.op == eq || n.op == neq) {
		switch n.right.kind {
		case value:
			c.expandMatch(n, p)
			return
		case set:
			c.checkICMP(n.right.set, p)
		}
	}
	c.complete(p)
	if n.right != nil {
		n.right.setType(p.typ, p.order)
		if n.kind == relation && n.right.kind != set && n.right.kind != mapped {
			n.right = c.post(n.right)
		}
	}
	c.kill(p)
}

// checkICMP notes what type of message an anonymous set of types names first.
func (c *context) checkICMP(s *rules.Set, p *node) {
	h := c.header(p.base)
	if !s.Anonymous || s.Elements.Len() == 0 || p.bits != 8 || p.offset != 0 || s.KeyLen != 1 || len(s.Elements.Key(0)) != 1 ||
		c.hasICMP || h != icmp && h != icmpv6 || p.base != 2 {
		return
	}
	t := uint64(s.Elements.Key(0)[0])
	for _, e := range s.Elements.All() { // nft lists them in order
		if len(e.Key) == 1 && uint64(e.Key[0]) < t {
			t = uint64(e.Key[0])
		}
	}
	p.header, p.field, p.typ = h, &h.Fields[0], h.Fields[0].Type
	c.icmpType, c.hasICMP = t, t != 0
}

func (c *context) expandMatch(n *node, p *node) {
	base := int(p.base)
	c.replaced = true
	for _, part := range c.expand(p) {
		v := n.right.splice(part.bits)
		v.setType(part.typ, part.order)
		if part.field != nil && part.header != th && part.bits < part.field.Bits {
			v.n, v.bits = v.n.Shl(part.field.Bits-part.bits), part.field.Bits
			v = &node{kind: prefix, left: v, plen: part.bits, typ: part.typ, order: part.order, bits: part.field.Bits}
		}
		r := &node{kind: relation, op: n.op, left: part, right: v}
		s := &stmt{expr: r}
		below := c.header(uint32(base))
		if n.op == eq {
			c.learn(part, v)
		}
		c.pending = append(c.pending, s)
		if h := c.header(uint32(base)); part.protocol && n.op == eq && v.kind == value && below != nil {
			if next := upper(h, v.n.Lo); next != nil && next.Base == h.Base {
				base--
			}
		}
		c.kill(part)
		if n.op == eq && part.protocol && base >= -1 && base < 3 {
			c.store(s, base)
		}
		if base < 0 {
			base = 0
		}
	}
}
