package compile

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// mapExpr is the value that a map gives; its type is that of the context
// (expr_evaluate_map).
func (r *rule) mapExpr(e *syntax.Map) *node { return r.mapOf(e.Pos, e.Key, e.Data) }

func (r *rule) mapOf(pos syntax.Pos, keyExpr, dataExpr syntax.Expr) *node {
	want := r.ctx
	r.ctx = context{}
	key := r.eval(r.byDeviceName(keyExpr, dataExpr))
	if key.known() {
		r.failf(pos, "a map needs something of the packet as its key")
	}
	var s *set
	switch d := dataExpr.(type) {
	case *syntax.SetRef:
		s = r.named(d.Pos, d.Name)
		if !s.Map || s.data == nil {
			r.failf(d.Pos, "%s is no map", d.Name)
		}
		s.usedBy(r, key, want)
	case *syntax.SetLiteral:
		s = r.mapLiteral(want, key, d)
	default:
		r.failf(dataExpr.Position(), "a map was expected")
	}
	if why := matching(key, &node{kind: setRef, set: s}); why != "" {
		r.failf(pos, "%s", why)
	}
	n := &node{kind: mapped, pos: pos, set: s}
	rel := &relation{op: "==", left: key, right: &node{kind: setRef, set: s}}
	r.transfer(rel)
	n.left = rel.left
	if s.Interval {
		n.left = r.reorder(n.left, words.Network)
	}
	n.typ, n.order, n.bits, n.parts = s.data.typ, s.data.order, s.data.bits, nil
	r.ctx = want
	return n
}

func (r *rule) mapLiteral(want context, key *node, d *syntax.SetLiteral) *set {
	data := want.key
	if data == nil {
		if want.typ == nil {
			r.failf(d.Pos, "what the map's values are isn't told here")
		}
		data = &node{kind: constant, pos: d.Pos, typ: want.typ, order: want.order, bits: want.bits}
	}
	like := &set{Set: &rules.Set{}, data: data}
	like.flag(setMap)
	like.Verdicts = data.typ == words.Verdict
	keyContext := r.ctx
	outer := r.elements
	r.elements = like
	r.ctx = keyContext
	lit := r.literal(d)
	r.elements = outer
	if len(lit.items) == 0 {
		r.failf(d.Pos, "the map is empty")
	}
	s := r.anonymous(key, data, lit).set
	s.ranges = like.ranges
	return s
}

// vmap takes the verdict for a key.
func (r *rule) vmap(e *syntax.VMap) {
	r.ctx = context{typ: words.Verdict}
	n := r.mapOf(e.Pos, e.Key, e.Data)
	if !n.set.Verdicts {
		r.failf(e.Pos, "%s has no verdicts", n.set.Name)
	}
	r.add(&statement{emit: func(g *emitter) {
		source := g.take(n.left)
		g.value(n.left, source)
		g.add(&rules.Lookup{Set: n.set.Name, Source: source, HasDest: true})
		g.release(n.left)
	}})
}

// objectMap runs the object that a map gives for a key (stmt_evaluate_objref_map).
func (r *rule) objectMap(kind uint32, e *syntax.Map) {
	r.ctx = context{}
	key := r.eval(e.Key)
	if key.known() {
		r.failf(e.Pos, "a map needs something of the packet as its key")
	}
	var s *set
	switch d := e.Data.(type) {
	case *syntax.SetRef:
		s = r.named(d.Pos, d.Name)
	case *syntax.SetLiteral:
		like := &set{Set: &rules.Set{}}
		like.flag(setObject)
		outer := r.elements
		r.elements = like
		lit := r.literal(d)
		r.elements = outer
		s = r.anonymousObjects(kind, key, lit)
	default:
		r.failf(e.Data.Position(), "a map was expected")
	}
	if !s.Objects {
		r.failf(e.Pos, "%s is no map of objects", s.Name)
	}
	s.usedBy(r, key, context{})
	if why := matching(key, &node{kind: setRef, set: s}); why != "" {
		r.failf(e.Pos, "%s", why)
	}
	if s.Interval {
		key = r.reorder(key, words.Network)
	}
	r.add(&statement{emit: func(g *emitter) {
		source := g.take(key)
		g.value(key, source)
		g.release(key)
		g.add(&rules.ObjRef{Set: s.Name, Source: source})
	}})
}

func (r *rule) anonymousObjects(kind uint32, key *node, lit *node) *set {
	s := &set{Set: &rules.Set{ObjType: kind}, key: key, keyTypes: key.types(), items: lit.items}
	s.flag(setAnonymous | setConstant | setObject)
	s.KeyType = words.Join(s.keyTypes)
	for _, i := range lit.items {
		if !i.key.single() && i.key.kind != wildcard {
			s.flag(setInterval)
			if i.key.kind == concat {
				s.flag(setConcat)
			}
		}
	}
	r.table.addAnonymous(s, "__objmap%d")
	return s
}
