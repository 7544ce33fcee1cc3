package compile

import (
	"github.com/portwhy/portwhy/rules/wide"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// relation compiles a comparison (expr_evaluate_relational).
func (r *rule) relation(e *syntax.Match) *statement {
	r.ctx = r.keyOf(e.Left, e.Right)
	left := r.eval(r.byDeviceName(e.Left, e.Right))
	if left.known() {
		r.failf(e.Pos, "something of the packet was expected on the left")
	}
	op := e.Op
	switch op {
	case "", "in":
		op = "in" // == where it is no bit mask
	case "==", "!=", "<", ">", "<=", ">=", "!":
	default:
		r.failf(e.Pos, "no comparison %q", op)
	}
	if _, ok := e.Right.(*syntax.Bool); ok && left.fib != nil {
		r.askPresent(left)
		r.primary(left)
	}
	right, op := r.rightSide(e, left, op)
	if err := matching(left, right); err != "" {
		r.failf(right.pos, "%s", err)
	}
	rel := &relation{op: op, left: left, right: right}
	switch op {
	case "==", "in":
		r.learn(left, right)
		r.equality(rel)
	case "!=", "!":
		if op == "!" && (left.kind == operation || right.kind != constant || !bitmaskType(right.typ)) {
			r.failf(e.Pos, "! needs a field on its left and flags on its right")
		}
		r.equality(rel)
	default:
		if left.kind == concat || !right.single() {
			r.failf(e.Pos, "%s needs single values", op)
		}
		rel.left = r.reorder(left, words.Network)
		rel.right = r.reorder(right, words.Network)
	}
	r.transfer(rel)
	return &statement{match: rel}
}

// keyOf is what a concatenation is that is looked up in a named set: the set's
// key tells the types of values in it (newer nft takes ip saddr . 22 @set).
func (r *rule) keyOf(left, right syntax.Expr) context {
	ref, ok := right.(*syntax.SetRef)
	if !ok {
		return context{}
	}
	list, ok := left.(*syntax.Concat)
	s := r.table.sets[ref.Name]
	if !ok || s == nil || s.key == nil || s.key.kind != concat || len(s.key.parts) != len(list.Items) {
		return context{}
	}
	return context{bits: s.key.bits, key: s.key}
}

// rightSide evaluates what is compared with. The hours of a range that goes
// over midnight are those outside of its reverse.
func (r *rule) rightSide(e *syntax.Match, left *node, op string) (*node, string) {
	hours, ok := e.Right.(*syntax.Range)
	if !ok || left.kind != meta || left.typ != words.Hour && left.typ != words.Day {
		return r.eval(e.Right), op
	}
	ctx := r.ctx
	from, to := r.spanEnds(hours)
	r.ctx = ctx
	if from.n.Cmp(to.n) > 0 && op != "<" && op != ">" {
		from, to = to, from
		if op == "!=" {
			op = "=="
		} else {
			op = "!="
		}
	}
	return &node{kind: span, pos: e.Pos, typ: from.typ, order: from.order, bits: from.bits, left: from, right: to}, op
}

// learn takes over what equality tells of the protocols.
func (r *rule) learn(left, right *node) {
	if !left.protocol {
		return
	}
	switch right.kind {
	case constant:
		r.compared(left, right.n)
	case literal:
		for _, i := range right.items {
			if i.key.kind == constant {
				r.compared(left, i.key.n)
			}
		}
	}
}

// equality brings both sides to one order of bytes: that of a range is the
// network's, so that it can be compared from the first byte on.
func (r *rule) equality(rel *relation) {
	right := rel.right
	switch right.kind {
	case span:
		rel.left = r.reorder(rel.left, words.Network)
		out := *right
		out.left, out.right = r.reorder(right.left, words.Network), r.reorder(right.right, words.Network)
		rel.right = &out
	case prefix:
		out := *right
		out.left = r.reorder(right.left, rel.left.order)
		out.order = rel.left.order
		rel.right = &out
	case constant:
		rel.right = r.reorder(right, rel.left.order)
	case literal:
		if len(right.items) == 0 {
			r.failf(right.pos, "the set is empty")
		}
		rel.right = r.anonymous(rel.left, nil, right)
		r.lookedUp(rel)
	case setRef:
		r.lookedUp(rel)
	default:
		r.failf(right.pos, "a value or a set was expected")
	}
}

func (r *rule) lookedUp(rel *relation) {
	s := rel.right.set
	s.usedBy(r, rel.left, context{})
	if s.Interval {
		rel.left = r.reorder(rel.left, words.Network)
	}
}

// matching says why two sides can't be compared, if they can't.
func matching(left, right *node) string {
	var types []*words.Type
	switch right.kind {
	case setRef:
		types = right.set.keyTypes
	case literal, wildcard:
		return ""
	case verdict:
		return "a verdict can't be compared"
	default:
		types = right.types()
	}
	have := left.types()
	if len(types) == 0 || slices.Equal(types, have) {
		return ""
	}
	if len(types) != len(have) {
		return "the two sides have different numbers of fields"
	}
	for i, t := range types {
		// Names of devices that fib tells are strings to nft 1.0.6.
		if t != have[i] && t != nil && have[i] != nil && !(t == words.IfName && have[i] == words.String) {
			return "a value of type " + have[i].Name + " was expected, not " + t.Name
		}
	}
	return ""
}

// transfer moves what can be undone from the packet's side to the constant's
// (binop_transfer): a field that lies within a byte is compared where it lies.
func (r *rule) transfer(rel *relation) {
	left := rel.left
	if left.kind != operation || left.op != "<<" && left.op != ">>" && left.op != "^" {
		return
	}
	by := int(left.right.n.Lo)
	move := func(n *node) *node {
		out := *n
		switch left.op {
		case "<<":
			if n.n.Scan1(0) < by {
				r.failf(n.pos, "the comparison is always false")
			}
			out.n = n.n.Shr(by)
		case ">>":
			out.bits = max(n.bits, left.bits)
			out.n = n.n.Shl(by).And(wide.Ones(out.bits))
		case "^":
			out.n = n.n.Xor(left.right.n)
		}
		return &out
	}
	right := rel.right
	switch right.kind {
	case constant:
		rel.right = move(right)
	case span:
		out := *right
		out.left, out.right = move(right.left), move(right.right)
		out.bits = out.left.bits
		rel.right = &out
	case setRef:
		if !right.set.Anonymous || !right.set.movable() {
			return
		}
		right.set.move(move)
	default:
		return
	}
	rel.left = left.left
	if left.op == ">>" && !shiftedMask(left.left, by) {
		mask := wide.Ones(left.left.bits).Shl(by).And(wide.Ones(left.left.bits))
		rel.left = &node{kind: operation, pos: left.pos, typ: left.typ, order: left.left.order, bits: left.left.bits, op: "&", left: left.left,
			right: &node{kind: constant, typ: left.typ, order: left.left.order, bits: left.left.bits, n: mask}}
	}
}

// shiftedMask reports whether a mask already clears what a shift would drop.
func shiftedMask(n *node, by int) bool {
	return n.kind == operation && n.op == "&" && n.right.n.And(wide.Ones(by)) == num{}
}

// byDeviceName is the left side of a comparison of devices by index with names
// whose index only the host knows: their names are compared instead, which is
// the same where the packet is told by the device's name.
func (r *rule) byDeviceName(left, right syntax.Expr) syntax.Expr {
	m, ok := left.(*syntax.Meta)
	if !ok || m.Key != "iif" && m.Key != "oif" && m.Key != "sdif" {
		return left
	}
	names, foreign := 0, 0
	items := []syntax.Expr{right}
	if s, ok := right.(*syntax.SetLiteral); ok {
		items = s.Items
	}
	for _, i := range items {
		if mapping, ok := i.(*syntax.Mapping); ok {
			i = mapping.Key
		}
		t, ok := i.(*syntax.Text)
		if !ok || t.Value == "" || strings.Trim(t.Value, "0123456789") == "" {
			continue
		}
		names++
		if catch(func() { r.device(&node{}, t.Value) }) != nil {
			foreign++
		}
	}
	if foreign == 0 || names != len(items) {
		return left
	}
	return &syntax.Meta{Pos: m.Pos, Key: m.Key + "name"}
}

// emitRelation writes the comparison (netlink_gen_relational).
func (g *emitter) relation(rel *relation) {
	left, right := rel.left, rel.right
	source := g.take(left)
	defer g.release(left)
	switch right.kind {
	case span:
		g.value(left, source)
		from, to := right.left.export(), right.right.export()
		if rel.op == "!=" {
			g.add(&rules.Range{Source: source, Op: 1, From: from, To: to})
			return
		}
		g.add(&rules.Cmp{Source: source, Op: cmpGTE, Data: from})
		g.add(&rules.Cmp{Source: source, Op: cmpLTE, Data: to})
		return
	case setRef:
		g.value(left, source)
		g.add(&rules.Lookup{Set: right.set.Name, Source: source, Invert: rel.op == "!="})
		return
	case prefix:
		g.prefix(rel, source)
		return
	}
	g.value(left, source)
	if (rel.op == "in" || rel.op == "!") && bitmaskType(right.typ) && right.typ != words.Bitmask {
		g.flags(rel, source)
		return
	}
	g.add(&rules.Cmp{Source: source, Op: cmpOp(rel.op), Data: right.export()})
}

// The comparisons, NFT_CMP_*.
const (
	cmpEQ = iota
	cmpNEQ
	cmpLT
	cmpLTE
	cmpGT
	cmpGTE
)

func cmpOp(op string) uint32 {
	switch op {
	case "!=":
		return cmpNEQ
	case "<":
		return cmpLT
	case "<=":
		return cmpLTE
	case ">":
		return cmpGT
	case ">=":
		return cmpGTE
	}
	return cmpEQ
}

// flags tests whether any (or, with !, none) of some bits is set.
func (g *emitter) flags(rel *relation, source rules.Reg) {
	size := rel.left.bytes()
	bits := rel.right.export()
	if rel.left.kind == operation {
		g.add(&rules.Cmp{Source: source, Op: cmpEQ, Data: bits})
		return
	}
	op := uint32(cmpNEQ)
	if rel.op == "!" {
		op = cmpEQ
	}
	g.add(&rules.Bitwise{Source: source, Dest: source, Len: uint32(size), Mask: bits, Xor: make([]byte, size)})
	g.add(&rules.Cmp{Source: source, Op: op, Data: make([]byte, size)})
}

// prefix compares the first bits: by loading less, where they are whole bytes.
func (g *emitter) prefix(rel *relation, source rules.Reg) {
	left, right := rel.left, rel.right
	if right.isString() || right.order == words.Network && right.length > 0 && right.length%8 == 0 {
		short := *left
		short.bits = right.length
		g.value(&short, source)
		g.add(&rules.Cmp{Source: source, Op: cmpOp(rel.op), Data: right.left.export()[:right.length/8]})
		return
	}
	g.value(left, source)
	size := right.bytes()
	g.add(&rules.Bitwise{Source: source, Dest: source, Len: uint32(size), Mask: export(wide.PrefixMask(right.bits, right.length), right.order, size),
		Xor: make([]byte, size)})
	g.add(&rules.Cmp{Source: source, Op: cmpOp(rel.op), Data: right.left.export()})
}
