package text

import (
	"encoding/binary"
	"fmt"
	"github.com/portwhy/portwhy/rules/wide"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// stmt is a statement of a rule: a comparison (expr), or something that is done
// with up to two expressions.
type stmt struct {
	expr  *node // relation, flags, mapped
	print func(*writer, *stmt)
	x, y  *node
	from  rules.Expr // nil for what can't be folded, which is raw
	raw   rules.Expr
	inner []*stmt // of a dynset
	dead  bool
}

// reader folds a rule's expressions, which work on registers, into statements.
type reader struct {
	p     *printer
	regs  [16]*node
	stmts []*stmt
	// carried is what the rule has told of the packet in a tunnel.
	carried carried
}

func (r *reader) get(reg rules.Reg) *node {
	if int(reg) >= len(r.regs) {
		return nil
	}
	return r.regs[reg].clone()
}

// maxNodes bounds what one register may stand for: every use of a register is
// a copy, so that a rule of a few expressions could ask for more than fits.
const maxNodes = 200

// put is false for what is too large, which is then shown as it is.
func (r *reader) put(reg rules.Reg, n *node) bool {
	if int(reg) >= len(r.regs) || n.count() > maxNodes {
		return false
	}
	r.regs[reg] = n
	return true
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	all := 1 + n.left.count() + n.right.count() + n.mask.count()
	for _, k := range n.kids {
		all += k.count()
	}
	return all
}

// concat takes as many registers as are that many bits long.
func (r *reader) concat(reg rules.Reg, bits int) *node {
	c := &node{kind: concat, bits: bits}
	for bits > 0 {
		k := r.get(reg)
		if k == nil || k.bits <= 0 {
			return nil
		}
		c.kids = append(c.kids, k)
		words := (k.bits + 31) / 32
		bits -= 32 * words
		reg += rules.Reg(words)
	}
	return c
}

// wide is what a register holds, or several of them if one is too short.
func (r *reader) wide(reg rules.Reg, bits int) *node {
	n := r.get(reg)
	if n != nil && n.bits > 0 && n.bits < bits {
		return r.concat(reg, bits)
	}
	return n
}

func (r *reader) add(s *stmt) { r.stmts = append(r.stmts, s) }

func (r *reader) match(left, right *node, o op) {
	r.add(&stmt{expr: &node{kind: relation, op: o, left: left, right: right}})
}

// raw is for what nft's language has no words for.
func (r *reader) raw(e rules.Expr) {
	r.add(&stmt{raw: e, print: func(w *writer, s *stmt) { w.raw(s.raw) }})
}

func (r *reader) read(e rules.Expr) {
	if !r.load(e) && !r.compare(e) && !r.do(e) {
		r.raw(e)
	}
}

// load handles what puts something into a register.
func (r *reader) load(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.Immediate:
		if e.Verdict != nil {
			return false
		}
		return r.put(e.Dest, constant(e.Data))
	case *rules.Payload:
		if e.Write || e.Len == 0 || e.Len > 64 || e.Base > 4 || e.Offset > 1<<20 {
			return false
		}
		return r.put(e.Reg, rawPayload(e.Base, 8*int(e.Offset), 8*int(e.Len)))
	case *rules.Meta:
		k := words.KeyByNumber(words.MetaKeys, e.Key)
		if e.Write || k == nil {
			return false
		}
		protocol := e.Key == metaProtocol || e.Key == metaIIFType || e.Key == metaNFProto || e.Key == metaL4Proto
		return r.put(e.Reg, &node{kind: meta, key: e.Key, typ: k.Type, order: k.Order, bits: k.Bits, text: metaName(k), protocol: protocol})
	case *rules.CT:
		k := words.KeyByNumber(words.CTKeys, e.Key)
		if e.Write || k == nil {
			return false
		}
		n := &node{kind: ct, key: e.Key, dir: e.Dir, typ: k.Type, order: k.Order, bits: k.Bits,
			protocol: e.Key == ctL3Proto || e.Key == ctProtocol}
		n.text = ctName(k, e.Dir)
		return r.put(e.Reg, n)
	case *rules.Exthdr:
		if e.Write || e.Reset || e.Len > 64 || e.Offset > 1<<16 {
			return false
		}
		n := optionNode(e)
		if n == nil {
			return false
		}
		return r.put(e.Reg, n)
	case *rules.Bitwise:
		n := r.get(e.Source)
		if n == nil || e.HasSource2 {
			return false
		}
		if n = bitwise(n, e); n == nil {
			return false
		}
		return r.put(e.Dest, n)
	case *rules.Byteorder:
		n := r.get(e.Source)
		if n == nil {
			return false
		}
		return r.put(e.Dest, &node{kind: unary, left: n, bits: n.bits})
	case *rules.Lookup:
		if !e.HasDest {
			return false
		}
		return r.lookup(e)
	case *rules.Inner:
		return r.inner(e)
	case *rules.Hash:
		n := &node{kind: fixed, typ: words.Integer, order: words.Host, bits: 32}
		text := fmt.Sprintf(" mod %d", e.Modulus)
		if e.HasSeed {
			text += fmt.Sprintf(" seed 0x%x", e.Seed)
		}
		if e.Offset != 0 {
			text += fmt.Sprintf(" offset %d", e.Offset)
		}
		switch e.Type {
		case 1:
			n.text = "symhash" + text
		default:
			if n.left = r.wide(e.Source, 8*int(e.Len)); n.left == nil {
				return false
			}
			n.text = text
		}
		return r.put(e.Dest, n)
	default:
		n := fixedNode(e)
		if n == nil {
			return false
		}
		return r.put(destination(e), n)
	}
}

// compare handles what breaks the rule off.
func (r *reader) compare(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.Cmp:
		left := r.get(e.Source)
		if left == nil || e.Op > 5 || len(e.Data) == 0 || len(e.Data) > 16 {
			return false
		}
		right := constant(e.Data)
		switch {
		case left.bits > right.bits && !isString(left.typ):
			n := *right
			n.n, n.bits = n.n.Shl(left.bits-right.bits), left.bits
			right = &node{kind: prefix, left: &n, plen: right.bits, bits: left.bits}
		case left.bits > 0 && left.bits < right.bits:
			left = r.concat(e.Source, right.bits)
			if left == nil {
				return false
			}
			c := &node{kind: concat, bits: right.bits}
			for _, k := range left.kids {
				part := right.splice(k.bits)
				if part == nil {
					return false
				}
				c.kids = append(c.kids, part)
				right.splice((32 - k.bits%32) % 32)
			}
			right = c
		}
		r.match(left, right, op(e.Op))
		if op(e.Op) == eq {
			r.learnInner(left, e.Data)
		}
	case *rules.Range:
		left := r.get(e.Source)
		if left == nil || e.Op > 1 || len(e.From) > 16 || len(e.To) > 16 || len(e.From) == 0 || len(e.To) == 0 {
			return false
		}
		r.match(left, &node{kind: ranged, left: constant(e.From), right: constant(e.To), bits: 8 * len(e.From)}, op(e.Op))
	case *rules.Lookup:
		return r.lookup(e)
	default:
		return false
	}
	return true
}

func (r *reader) lookup(e *rules.Lookup) bool {
	s := r.p.set(e.Set)
	if s == nil {
		return false
	}
	left := r.wide(e.Source, 8*s.KeyLen)
	if left == nil {
		return false
	}
	right := &node{kind: set, set: s, bits: 8 * s.KeyLen}
	if !e.HasDest {
		o := eq
		if e.Invert {
			o = neq
		}
		r.match(left, right, o)
		return true
	}
	m := &node{kind: mapped, left: left, right: right, bits: 8 * s.DataLen}
	if s.Verdicts {
		r.add(&stmt{expr: m})
		return true
	}
	if types := words.Split(s.DataType); len(types) == 1 {
		m.typ, m.order = types[0], types[0].Order
	}
	return r.put(e.Dest, m)
}

// bitwise is mask and xor, or a shift, in nft's operators: of a mask and an xor
// of arbitrary bits, & clears, ^ turns and | sets.
func bitwise(n *node, e *rules.Bitwise) *node {
	operate := func(o op, v num) *node {
		return &node{kind: binary2, op: o, left: n, right: &node{kind: value, n: v, bits: n.bits}, bits: n.bits}
	}
	switch e.Op {
	case 0:
		if len(e.Mask) != int(e.Len) || len(e.Xor) != int(e.Len) || e.Len > 16 || e.Len == 0 {
			return nil
		}
		m, x := wide.FromBytes(e.Mask), wide.FromBytes(e.Xor)
		o := m.And(x).Xor(x)
		x = x.And(m)
		m = m.Or(o)
		width := 8 * int(e.Len)
		if m.Scan0(0) < n.bits {
			n = operate(and, m)
			n.right.bits = width
		}
		if !x.Zero() {
			n = operate(xor, x)
			n.right.bits = width
		}
		if !o.Zero() {
			n = operate(or, o)
			n.right.bits = width
		}
		return n
	case 1, 2:
		if len(e.Data) != 4 {
			return nil
		}
		o := map[uint32]op{1: shiftLeft, 2: shiftRight}[e.Op]
		n = operate(o, wide.Small(uint64(binary.NativeEndian.Uint32(e.Data))))
		n.right.bits = 32
		return n
	}
	return nil
}

func metaName(k *words.Key) string {
	if words.BareMeta[k.Name] {
		return k.Name
	}
	return "meta " + k.Name
}

func ctName(k *words.Key, dir int8) string {
	if dir == 0 || dir == 1 {
		return "ct " + words.Directions[dir].Name + " " + k.Name
	}
	return "ct " + k.Name
}

// optionNode is nil for what nft has no words for.
func optionNode(e *rules.Exthdr) *node {
	n := &node{kind: exthdr, ext: e, typ: words.Integer, order: words.Network, bits: 8 * int(e.Len), offset: 8 * int(e.Offset)}
	n.findOption(n.offset, n.bits)
	if e.Flags&1 != 0 {
		n.typ = words.Boolean
	}
	if n.option == nil && e.Op != 1 {
		return nil
	}
	return n
}

// findOption names the option, and the field at a place in it, if there is one.
func (n *node) findOption(offset, bits int) bool {
	tables := [...][]*words.Option{words.ExtensionHeaders, words.TCPOptions, words.IPOptions, words.SCTPChunks}
	if n.ext.Op >= uint32(len(tables)) {
		return false
	}
	for _, o := range tables[n.ext.Op] {
		if o.Type != n.ext.Type {
			continue
		}
		if n.option == nil {
			n.option = o
		}
		for i := range o.Fields {
			if f := &o.Fields[i]; f.Offset == offset && f.Bits == bits {
				n.option, n.optionField, n.typ = o, f, f.Type
				n.offset, n.bits = offset, bits
				return true
			}
		}
	}
	return false
}

func destination(e rules.Expr) rules.Reg {
	switch e := e.(type) {
	case *rules.Fib:
		return e.Dest
	case *rules.RT:
		return e.Dest
	case *rules.Socket:
		return e.Dest
	case *rules.OSF:
		return e.Dest
	case *rules.Numgen:
		return e.Dest
	case *rules.XFRM:
		return e.Dest
	}
	return 255
}

// fixedNode is an expression whose text depends on nothing else.
func fixedNode(e rules.Expr) *node {
	n := &node{kind: fixed}
	switch e := e.(type) {
	case *rules.Fib:
		flags := e.Flags &^ words.FibPresent
		for _, f := range words.FibFlags {
			if flags&uint32(f.Value) != 0 {
				if n.text != "" {
					n.text += " . "
				}
				n.text += f.Name
				flags &^= uint32(f.Value)
			}
		}
		name := words.Name(words.FibResults, uint64(e.Result))
		if flags != 0 || name == "" {
			return nil
		}
		n.text = "fib " + n.text + " " + name
		n.typ, n.order = words.FibResultTypes[e.Result], words.Host
		n.bits = n.typ.Bits
		if n.typ == words.String {
			n.bits = 128
		}
		if e.Flags&words.FibPresent != 0 {
			n.typ, n.bits = words.Boolean, 8
		}
	case *rules.RT:
		k := words.KeyByNumber(words.RTKeys, e.Key)
		if k == nil {
			return nil
		}
		n.keyed("rt ", k)
	case *rules.Socket:
		k := words.KeyByNumber(words.SocketKeys, e.Key)
		if k == nil {
			return nil
		}
		n.keyed("socket ", k)
		if k.Type == words.CgroupV2 {
			n.text += fmt.Sprintf(" level %d", e.Level)
		}
	case *rules.OSF:
		n.text = "osf "
		if ttl := words.Name(words.OSFTTL, uint64(e.TTL)); ttl != "" {
			n.text += "ttl " + ttl + " "
		}
		if n.text += "name"; e.Flags&1 != 0 {
			n.text = n.text[:len(n.text)-4] + "version"
		}
		n.typ, n.order, n.bits = words.String, words.Host, 128
	case *rules.Numgen:
		mode := "inc"
		if e.Type == 1 {
			mode = "random"
		}
		n.text = fmt.Sprintf("numgen %s mod %d", mode, e.Modulus)
		if e.Offset != 0 {
			n.text += fmt.Sprintf(" offset %d", e.Offset)
		}
		n.typ, n.order, n.bits = words.Integer, words.Host, 32
	case *rules.XFRM:
		k := words.KeyByNumber(words.IPsecKeys, e.Key)
		if k == nil || e.Dir > 1 {
			return nil
		}
		dir := [...]string{"in", "out"}[e.Dir]
		if e.SPNum != 0 {
			dir += fmt.Sprintf(" spnum %d", e.SPNum)
		}
		n.keyed("ipsec "+dir+" ", k)
	default:
		return nil
	}
	return n
}

func (n *node) keyed(before string, k *words.Key) {
	n.text, n.typ, n.order, n.bits = before+k.Name, k.Type, k.Order, k.Bits
}
