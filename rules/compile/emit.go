package compile

import (
	"cmp"
	"github.com/portwhy/portwhy/rules/wide"
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// emitter writes expressions and hands out registers, as nft's
// netlink_linearize.c does: sixteen bytes for each value, or as many words as a
// concatenation has.
type emitter struct {
	exprs []rules.Expr
	free  int // the first word that is not taken
}

// The words of the registers.
const registers = 16

func (g *emitter) add(e rules.Expr) { g.exprs = append(g.exprs, e) }

// size is how many words a value takes. A nil one takes a whole register.
func size(n *node) int {
	if n != nil && n.kind == concat {
		return words32(n.bits)
	}
	return 4
}

func (g *emitter) take(n *node) rules.Reg {
	at := g.free
	if g.free += size(n); g.free > registers {
		panic(bail{&unsure{"registers", "the rule needs more registers than there are"}})
	}
	return rules.Reg(at)
}

func (g *emitter) release(n *node) { g.free -= size(n) }

// value loads a value into a register.
func (g *emitter) value(n *node, dest rules.Reg) {
	switch n.kind {
	case constant:
		g.add(&rules.Immediate{Dest: dest, Data: n.export()})
	case concat:
		for _, p := range n.parts {
			g.value(p, dest)
			dest += rules.Reg(words32(p.bits))
		}
	case payload:
		g.add(n.ask(&rules.Payload{Base: n.base, Offset: uint32(n.offset / 8), Len: uint32((n.bits + 7) / 8), Reg: dest}))
	case option:
		g.add(&rules.Exthdr{Type: uint8(n.n.Lo), Op: n.base, Offset: uint32(n.offset / 8), Len: uint32((n.bits + 7) / 8), Flags: n.key, Reg: dest})
	case meta, ct:
		g.add(n.ask(n.expr(dest)))
	case load:
		g.load(n, dest)
	case swap:
		g.value(n.left, dest)
		g.turn(n, dest)
	case operation:
		if n.op == "<<" || n.op == ">>" {
			g.value(n.left, dest)
			op := uint32(1)
			if n.op == ">>" {
				op = 2
			}
			g.add(&rules.Bitwise{Source: dest, Dest: dest, Op: op, Len: uint32(n.bytes()), Data: export(n.right.n, n.right.order, 4)})
			return
		}
		g.bitwise(n, dest)
	case mapped:
		g.value(n.left, dest)
		g.add(&rules.Lookup{Set: n.set.Name, Source: dest, Dest: dest, HasDest: true})
	default:
		panic(bail{&unsure{"expression", "it has no value"}})
	}
}

func (g *emitter) load(n *node, dest rules.Reg) {
	e := n.expr(dest)
	if h, ok := e.(*rules.Hash); ok && n.left != nil {
		source := g.take(n.left)
		g.value(n.left, source)
		g.release(n.left)
		h.Source = source
	}
	g.add(e)
}

func (g *emitter) turn(n *node, dest rules.Reg) {
	op := uint32(1)
	if n.op == "ntoh" {
		op = 0
	}
	unit := uint32(2)
	switch {
	case n.left.bits%64 == 0:
		unit = 8
	case n.left.bits%32 == 0:
		unit = 4
	}
	g.add(&rules.Byteorder{Source: dest, Dest: dest, Op: op, Len: uint32(n.bits / 8), Size: unit})
}

// bitwise makes one mask and one xor of a row of operations (netlink_gen_bitwise).
func (g *emitter) bitwise(n *node, dest rules.Reg) {
	var row []*node
	left := n
	for left.kind == operation && left.op != "<<" && left.op != ">>" {
		row = append(row, left)
		left = left.left
	}
	g.value(left, dest)
	mask, xor := wide.Ones(n.bits), num{}
	for i := len(row) - 1; i >= 0; i-- {
		v := row[i].right.n
		var m, x num
		switch row[i].op {
		case "&":
			m = v
		case "|":
			m, x = v.Not(), v
		case "^":
			m, x = wide.Ones(n.bits), v
		}
		xor = x.Xor(xor.And(m))
		mask = mask.And(m)
	}
	size := n.bytes()
	g.add(&rules.Bitwise{Source: dest, Dest: dest, Len: uint32(size), Mask: export(mask, n.order, size), Xor: export(xor, n.order, size)})
}

// reduce drops a comparison that the family implies and merges comparisons of
// fields that lie side by side (stmt_reduce).
func reduce(family rules.Family, list []*statement, unequal Unequal) []*statement {
	var out, fields []*statement
	for i, s := range list {
		if s.match == nil {
			// Until nft 1.0.6 a lone field was merged across the statement.
			out = mergeFields(out, fields, unequal)
			fields = nil
			out = append(out, s)
			continue
		}
		left, right := s.match.left, s.match.right
		if right.kind == constant {
			switch {
			case left.tunnel != nil:
			case left.kind == payload && (s.match.op == "==" || s.match.op == "in" || s.match.op == "!=" && unequal != UnequalApart):
				fields = append(fields, s)
			case i+1 < len(list) && left.kind == meta && left.key == metaProtocol && s.match.op != "!=" &&
				(family == rules.IP && right.n == wide.Small(0x0800) || family == rules.IP6 && right.n == wide.Small(0x86dd)):
				continue
			}
		}
		out = append(out, s)
	}
	return mergeFields(out, fields, unequal)
}

// mergeFields is payload_do_merge: of fields in order of their place, two that
// touch are loaded and compared at once.
func mergeFields(list, fields []*statement, unequal Unequal) []*statement {
	if len(fields) < 2 {
		return list
	}
	sorted := slices.Clone(fields)
	slices.SortStableFunc(sorted, func(a, b *statement) int {
		x, y := a.match.left, b.match.left
		return cmp.Or(cmp.Compare(x.base, y.base), cmp.Compare(x.offset, y.offset))
	})
	gone := map[*statement]bool{}
	last := sorted[0]
	for _, s := range sorted[1:] {
		if !canMerge(last, s) {
			last = s
			continue
		}
		// The one that says a protocol stays where it is: what follows needs it.
		keep, drop := last, s
		if s.match.left.protocol {
			keep, drop = s, last
		}
		merge2(keep, last.match, s.match, unequal)
		gone[drop] = true
		last = keep
	}
	return slices.DeleteFunc(list, func(s *statement) bool { return gone[s] })
}

// merge2 makes a statement of two comparisons of fields that touch.
func merge2(to *statement, a, b *relation, unequal Unequal) {
	if a.op == "!=" && unequal == UnequalUnknown {
		why := "nft before 1.1.0 makes one comparison of two with != that lie side by side, which matches if either differs; which nft this is from isn't told"
		*to = statement{emit: func(g *emitter) { g.add(&rules.Opaque{Kind: "cmp", Why: why}) }}
		return
	}
	left := &node{kind: payload, pos: a.left.pos, typ: words.Integer, order: words.Network, bits: a.left.bits + b.left.bits,
		base: a.left.base, offset: a.left.offset, raw: true, protocol: b.left.protocol}
	right := &node{kind: constant, pos: a.right.pos, typ: words.Integer, order: words.Network, bits: left.bits,
		n: a.right.n.Shl(b.left.bits).Or(b.right.n)}
	to.match = &relation{op: to.match.op, left: left, right: right}
}

func equals(op string) bool { return op != "!=" }

func canMerge(x, y *statement) bool {
	if x.match == nil || equals(x.match.op) != equals(y.match.op) {
		return false
	}
	a, b := x.match.left, y.match.left
	if a.base != b.base || a.offset+a.bits != b.offset || a.offset%8 != 0 || a.bits%8 != 0 || b.offset%8 != 0 || b.bits%8 != 0 {
		return false
	}
	total := a.bits + b.bits
	return total <= 32 || total <= 128 && (a.base == link || a.bits > 32 || b.bits > 32)
}
