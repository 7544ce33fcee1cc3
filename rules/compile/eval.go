package compile

import (
	"errors"
	"fmt"
	"github.com/portwhy/portwhy/rules/wide"

	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// context is what the value that comes next is compared with or written to.
type context struct {
	typ   *words.Type
	order words.Order
	bits  int
	max   uint64 // the largest value, 0 if the type tells
	key   *node  // of a concatenation: its fields
}

// bail is how a statement is given up. Its error is a *rules.SyntaxError, or an
// unsure, and goes no further than catch.
type bail struct{ err error }

// unsure is why a statement can't be told, though it is well-formed.
type unsure struct{ kind, why string }

func (u *unsure) Error() string { return u.kind + ": " + u.why }

func (r *rule) failf(pos syntax.Pos, format string, args ...any) {
	panic(bail{pos.Errorf(format, args...)})
}

func unsuref(kind, format string, args ...any) {
	panic(bail{&unsure{kind, fmt.Sprintf(format, args...)}})
}

// catch runs f and gives what it bailed out with.
func catch(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(bail)
			if !ok {
				panic(p)
			}
			err = b.err
		}
	}()
	f()
	return nil
}

func asUnsure(err error) *unsure {
	var u *unsure
	errors.As(err, &u)
	return u
}

// rule is a rule while it is compiled, or another place where expressions are.
type rule struct {
	c     *Compiler
	table *table
	proto protocols
	// tunnel is the one whose packet is asked about now, nil for none.
	tunnel *tunnel
	ctx    context
	// list are the statements so far; at is where the current one goes.
	list []*statement
	at   int
	// elements is the set whose elements are evaluated.
	elements *set
	depth    int
}

// statement is an evaluated statement: a comparison or anything else.
type statement struct {
	match *relation
	emit  func(*emitter)
}

// relation compares left with right.
type relation struct {
	op          string // ==, !=, <, …; in and ! are tests of bits
	left, right *node
}

// before puts a statement in front of the current one.
func (r *rule) before(s *statement) {
	r.list = append(r.list, nil)
	copy(r.list[r.at+1:], r.list[r.at:])
	r.list[r.at] = s
	r.at++
}

// first puts a statement in front of the rule.
func (r *rule) first(s *statement) {
	r.list = append([]*statement{s}, r.list...)
	r.at++
}

func (r *rule) add(s *statement) {
	r.list = append(r.list, s)
	r.at = len(r.list)
}

// primary makes a node's type that of what follows.
func (r *rule) primary(n *node) *node {
	r.ctx = context{typ: n.typ, order: n.order, bits: n.bits, max: n.max}
	return n
}

// The deepest nesting of expressions, which nft's own grammar never reaches.
const maxDepth = 64

// eval gives an expression its type (expr_evaluate). Constants take theirs from
// the context, loads set it.
func (r *rule) eval(e syntax.Expr) *node {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		r.failf(e.Position(), "nested too deeply")
	}
	switch e := e.(type) {
	case *syntax.Number, *syntax.Text, *syntax.Bool:
		return r.constant(e)
	case *syntax.Wildcard:
		return &node{kind: wildcard, pos: e.Pos}
	case *syntax.SetRef:
		return &node{kind: setRef, pos: e.Pos, set: r.named(e.Pos, e.Name)}
	case *syntax.List:
		return r.bits(e)
	case *syntax.Concat:
		return r.concat(e)
	case *syntax.SetLiteral:
		return r.literal(e)
	case *syntax.Prefix:
		return r.prefix(e)
	case *syntax.Range:
		return r.span(e)
	case *syntax.Binary:
		return r.binary(e)
	case *syntax.Map:
		return r.mapExpr(e)
	case *syntax.Verdict:
		return &node{kind: verdict, pos: e.Pos, typ: words.Verdict, verdict: r.verdict(e)}
	case *syntax.UnknownExpr:
		unsuref(e.Kind, "%s", e.Why)
	}
	return r.load(e)
}

// load is an expression that asks the packet or the host.
func (r *rule) load(e syntax.Expr) *node {
	switch e := e.(type) {
	case *syntax.Payload:
		return r.payload(e)
	case *syntax.RawPayload:
		return r.rawPayload(e)
	case *syntax.Option:
		return r.option(e)
	case *syntax.Meta:
		return r.primary(r.meta(e))
	case *syntax.CT:
		return r.primary(r.ct(e))
	case *syntax.RT:
		return r.primary(r.rt(e))
	case *syntax.Fib:
		return r.primary(r.fib(e))
	case *syntax.Socket:
		return r.primary(r.socket(e))
	case *syntax.OSF:
		return r.primary(r.osf(e))
	case *syntax.IPsec:
		return r.primary(r.ipsec(e))
	case *syntax.Numgen:
		return r.numgen(e)
	case *syntax.Hash:
		return r.hash(e)
	case *syntax.Tunnel:
		unsuref("tunnel", "a tunnel's metadata is not modelled")
	}
	r.failf(e.Position(), "no expression that can stand here")
	return nil
}

// bits is a list of bits of a bit mask: all of them together.
func (r *rule) bits(e *syntax.List) *node {
	ctx := r.ctx
	if !bitmaskType(ctx.typ) {
		r.failf(e.Pos, "only flags can be listed")
	}
	var all num
	for _, i := range e.Items {
		r.ctx = ctx
		n := r.eval(i)
		if n.kind != constant {
			r.failf(n.pos, "a flag was expected")
		}
		all = all.Or(n.n)
	}
	r.ctx = ctx
	return &node{kind: constant, pos: e.Pos, typ: ctx.typ, order: words.Host, bits: ctx.bits, n: all}
}

// concat puts fields side by side. Constants take their types from the key that
// they are compared with.
func (r *rule) concat(e *syntax.Concat) *node {
	key := r.ctx.key
	if key != nil && (key.kind != concat || len(key.parts) != len(e.Items)) {
		r.failf(e.Pos, "%d fields where %d were expected", len(e.Items), len(key.types()))
	}
	n := &node{kind: concat, pos: e.Pos}
	for i, part := range e.Items {
		r.ctx = context{}
		if key != nil {
			k := key.parts[i]
			r.ctx = context{typ: k.typ, order: k.order, bits: k.bits}
		}
		p := r.eval(part)
		switch p.kind {
		case literal, setRef, wildcard, verdict, concat:
			r.failf(p.pos, "not a field of a concatenation")
		}
		n.parts = append(n.parts, p)
		n.bits += words32(p.bits) * 32
	}
	r.ctx = context{bits: n.bits, key: n}
	if key != nil {
		r.ctx.key = key
	}
	return n
}

// prefix clears what it doesn't cover (expr_evaluate_prefix).
func (r *rule) prefix(e *syntax.Prefix) *node {
	base := r.eval(e.Addr)
	if base.kind != constant {
		r.failf(e.Pos, "a prefix needs a value")
	}
	if int64(e.Len) > int64(base.bits) {
		r.failf(e.Pos, "a prefix of %d bits, but the value has %d", e.Len, base.bits)
	}
	cut := *base
	cut.n = base.n.And(wide.PrefixMask(base.bits, int(e.Len)))
	return &node{kind: prefix, pos: e.Pos, typ: base.typ, order: base.order, bits: base.bits, left: &cut, length: int(e.Len)}
}

func (r *rule) span(e *syntax.Range) *node {
	from, to := r.spanEnds(e)
	if from.n.Cmp(to.n) > 0 {
		r.failf(e.Pos, "a range that ends before it starts")
	}
	return &node{kind: span, pos: e.Pos, typ: from.typ, order: from.order, bits: from.bits, left: from, right: to}
}

func (r *rule) spanEnds(e *syntax.Range) (from, to *node) {
	ctx := r.ctx
	from = r.eval(e.From)
	r.ctx = ctx
	to = r.eval(e.To)
	if from.kind != constant || to.kind != constant || from.isString() {
		r.failf(e.Pos, "a range needs two numbers")
	}
	return from, to
}

// binary is an operation on bits (expr_evaluate_binop).
func (r *rule) binary(e *syntax.Binary) *node {
	room := r.ctx.bits
	left := r.eval(e.Left)
	shift := e.Op == "<<" || e.Op == ">>"
	if shift {
		r.ctx = context{typ: words.Integer, order: left.order, bits: max(r.ctx.bits, 32)}
	} else if n, ok := e.Right.(*syntax.Number); ok && !left.known() && r.ctx.bits < room && n.Value>>r.ctx.bits != 0 && n.Value>>room == 0 {
		unsuref("bitwise", "nft 1.0.6 has no %s of %d bits and %#x; newer versions widen the value", e.Op, r.ctx.bits, n.Value)
	}
	right := r.eval(e.Right)
	switch {
	case left.kind == concat, left.known() && left.kind != constant, left.bits == 0:
		r.failf(e.Pos, "%s needs a number on its left", e.Op)
	case right.kind != constant:
		if !right.known() {
			unsuref("bitwise", "an operation between two values of the packet is not known to nft 1.0.6")
		}
		r.failf(e.Pos, "%s needs a number on its right", e.Op)
	}
	if shift {
		return r.shift(e, left, right)
	}
	if e.Op != "&" && e.Op != "|" && e.Op != "^" {
		r.failf(e.Pos, "no operator %q", e.Op)
	}
	turned := *right
	turned.order = left.order
	n := &node{kind: operation, pos: e.Pos, typ: left.typ, order: left.order, bits: left.bits, op: e.Op, left: left, right: &turned}
	return fold(n)
}

func (r *rule) shift(e *syntax.Binary, left, right *node) *node {
	if right.n.Cmp(wide.Small(uint64(left.bits))) >= 0 {
		// Newer nft widens the value to what it is written to.
		unsuref("bitwise", "nft 1.0.6 has no shift of %d bits by %s", left.bits, right.n)
	}
	by := *right
	by.order = words.Host
	left = r.reorder(left, words.Host)
	n := &node{kind: operation, pos: e.Pos, typ: left.typ, order: words.Host, bits: left.bits, op: e.Op, left: left, right: &by}
	return fold(n)
}

// fold computes an operation on two constants.
func fold(n *node) *node {
	if n.left.kind != constant {
		return n
	}
	a, b := n.left.n, n.right.n
	switch n.op {
	case "&":
		a = a.And(b)
	case "|":
		a = a.Or(b)
	case "^":
		a = a.Xor(b)
	case "<<":
		a = a.Shl(int(b.Lo))
	case ">>":
		a = a.Shr(int(b.Lo))
	}
	return &node{kind: constant, pos: n.pos, typ: n.typ, order: n.order, bits: n.bits, n: a.And(wide.Ones(n.bits))}
}

// reorder turns a value's bytes around where the other order is needed
// (byteorder_conversion). Strings and single bytes stay as they are.
func (r *rule) reorder(n *node, order words.Order) *node {
	if n.kind == concat {
		out := *n
		out.parts = nil
		for _, p := range n.parts {
			if p.order == words.Host && !p.isString() && !p.known() {
				p = turn(p, order)
			}
			out.parts = append(out.parts, p)
		}
		return &out
	}
	if n.order == order || n.isString() {
		return n
	}
	if n.known() || n.bits/8 < 2 {
		out := *n
		out.order = order
		return &out
	}
	return turn(n, order)
}

func turn(n *node, order words.Order) *node {
	op := "hton"
	if order == words.Host {
		op = "ntoh"
	}
	return &node{kind: swap, pos: n.pos, typ: n.typ, order: order, bits: n.bits, op: op, left: n}
}
