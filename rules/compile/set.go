package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// Flags of a set, NFT_SET_*.
const (
	setAnonymous = 1 << iota
	setConstant
	setInterval
	setMap
	setTimeout
	setEval
	setObject
	setConcat
	setExpr
)

// verdictBytes is how long the kernel says that a verdict is (struct nft_verdict).
const verdictBytes = 16

// set is a set while it is compiled.
type set struct {
	*rules.Set
	key, data *node // what elements are read as; nil if their length is not known
	keyTypes  []*words.Type
	autoMerge bool
	finished  bool
	again     bool   // it was declared more than once
	items     []item // of a set without a name
	borders   ranges // of an interval set
	// ranges says that a map's values are ranges: they are twice as long.
	ranges bool
	// pending are elements that can't be read before it is known how long they are.
	pending []syntax.Expr
	// unknown is why the elements can't be told.
	unknown string
}

func (s *set) flag(bits uint32) {
	s.Flags |= bits
	s.Anonymous = s.Flags&setAnonymous != 0
	s.Constant = s.Flags&setConstant != 0
	s.Interval = s.Flags&setInterval != 0
	s.Map = s.Flags&setMap != 0
	s.Timeout = s.Flags&setTimeout != 0
	s.Dynamic = s.Flags&setEval != 0
	s.Objects = s.Flags&setObject != 0
	s.Concat = s.Flags&setConcat != 0
}

// named finds a set of the table that the rule is in.
func (r *rule) named(pos syntax.Pos, name string) *set {
	s := r.table.sets[name]
	if s == nil {
		r.failf(pos, "table %s has no set %q so far", r.table.Name, name)
	}
	return s
}

// usedBy takes the lengths of a named set's keys and, of a map, its values from
// what it is looked up by and what its values are for, if its types don't tell.
func (s *set) usedBy(r *rule, left *node, values context) {
	if !s.waits() {
		return
	}
	if s.key == nil {
		s.key = like(left)
		s.KeyLen = keyBytes(s.key)
		if s.Concat {
			s.Fields = fieldBytes(s.key)
		}
	}
	if s.waits() && values.bits > 0 && values.typ == s.data.typ {
		s.data = &node{kind: constant, pos: s.data.pos, typ: values.typ, order: values.order, bits: values.bits}
		s.DataLen = keyBytes(s.data)
	}
	if !s.waits() {
		list := s.pending
		s.pending = nil
		place := &rule{c: r.c, table: r.table, proto: newProtocols(r.table.Family)}
		place.fill(s, list)
	}
}

// waits reports whether keys or values can't be read, because their length isn't known.
func (s *set) waits() bool {
	return s.key == nil || s.Map && !s.Verdicts && (s.data == nil || s.data.bits == 0)
}

// like is a value of the type and length of a node.
func like(n *node) *node {
	out := &node{kind: constant, pos: n.pos, typ: n.typ, order: n.order, bits: n.bits}
	if n.kind == concat {
		out.kind = concat
		for _, p := range n.parts {
			out.parts = append(out.parts, like(p))
		}
	}
	return out
}

func keyBytes(key *node) int {
	if key.kind == concat {
		return key.bits / 8
	}
	return key.bytes()
}

// setTypes gives a set its types. Integers and strings are as long as what they
// come from, which the type's name doesn't tell (see usedBy).
func (r *rule) setTypes(s *set, e *syntax.Set) {
	s.key = r.typeNode(e.Pos, e.Key)
	s.keyTypes = s.key.types()
	s.KeyType = words.Join(s.keyTypes)
	s.KeyLen = keyBytes(s.key)
	if s.key.kind == concat && s.Interval {
		s.flag(setConcat)
		s.Fields = fieldBytes(s.key)
	}
	if s.KeyLen == 0 || s.key.kind == concat && slices.ContainsFunc(s.key.parts, func(p *node) bool { return p.bits == 0 }) {
		s.key, s.KeyLen, s.Fields = nil, 0, nil
	}
	switch {
	case e.ObjType != "":
		kind, ok := words.Find(words.ObjectTypes, e.ObjType)
		if !ok {
			r.failf(e.Pos, "no kind of object %q", e.ObjType)
		}
		s.flag(setObject)
		s.ObjType = uint32(kind)
	case e.Map:
		s.flag(setMap)
		s.data = r.typeNode(e.Pos, e.Data)
		if s.data.typ == words.Verdict {
			s.Verdicts, s.DataType, s.DataLen = true, words.VerdictData, verdictBytes
			return
		}
		s.DataType = words.Join(s.data.types())
		s.DataLen = keyBytes(s.data)
		if e.DataInterval {
			s.ranges = true
		}
	}
}

func fieldBytes(key *node) []int {
	list := make([]int, len(key.parts))
	for i, p := range key.parts {
		list[i] = p.bytes()
	}
	return list
}

// typeNode is a value of a type, or of the type of an expression.
func (r *rule) typeNode(pos syntax.Pos, t syntax.Type) *node {
	if t.Typeof != nil {
		n := r.typeOf(t.Typeof)
		return n
	}
	if len(t.Names) == 0 {
		r.failf(pos, "a type was expected")
	}
	n := &node{kind: concat, pos: pos}
	for _, name := range t.Names {
		typ := words.TypeByName(name)
		if name == "queue" { // of newer nft: the number of a queue
			n.parts = append(n.parts, &node{kind: constant, pos: pos, typ: words.Integer, order: words.Host, bits: 16})
			n.bits += 32
			continue
		}
		if typ == nil {
			r.failf(pos, "no type %q", name)
		}
		order := typ.Order
		if stringType(typ) {
			order = words.Network
		}
		n.parts = append(n.parts, &node{kind: constant, pos: pos, typ: typ, order: order, bits: typ.Bits})
		n.bits += words32(typ.Bits) * 32
	}
	if len(n.parts) == 1 {
		return n.parts[0]
	}
	return n
}

// typeOf is a value like that of an expression, which is not part of any rule.
func (r *rule) typeOf(e syntax.Expr) *node {
	if list, ok := e.(*syntax.Concat); ok {
		n := &node{kind: concat, pos: e.Position()}
		for _, i := range list.Items {
			p := r.typeOf(i)
			n.parts = append(n.parts, p)
			n.bits += words32(p.bits) * 32
		}
		return n
	}
	if v, ok := e.(*syntax.Verdict); ok {
		return &node{kind: constant, pos: v.Pos, typ: words.Verdict}
	}
	outside := &rule{c: r.c, table: r.table, proto: newProtocols(r.table.Family)}
	// Whatever the expression needs to be used in a rule, its type needs not.
	p, ok := e.(*syntax.Payload)
	switch {
	case !ok:
	case p.Tunnel != "" || tunnels[p.Protocol] != nil:
		outside.proto.at[transport] = header("udp")
	default:
		if h := header(p.Protocol); h != nil && h.Base < inner {
			outside.proto.at[h.Base] = h
			if h.Base == transport {
				outside.proto.icmp = 0
			}
		}
	}
	if o, ok := e.(*syntax.Option); ok {
		switch o.Kind {
		case syntax.ExtensionHeader:
			outside.proto.at[network] = header("ip6")
		case syntax.IPOption:
			outside.proto.at[network] = header("ip")
		}
	}
	outside.eval(e)
	typ := outside.ctx
	if typ.typ == nil {
		r.failf(e.Position(), "an expression with a type was expected")
	}
	return &node{kind: constant, pos: e.Position(), typ: typ.typ, order: typ.order, bits: typ.bits}
}

// maxLiteral is how many elements a set can have that is written in a rule.
const maxLiteral = 1 << 17

// literal evaluates the elements of a set that is written in a rule, or of a
// named set (expr_evaluate_set).
func (r *rule) literal(e *syntax.SetLiteral) *node {
	n := &node{kind: literal, pos: e.Pos}
	if len(e.Items) > maxLiteral {
		unsuref("lookup", "the set has %d elements, which are too many to keep them", len(e.Items))
	}
	ctx := r.ctx
	for _, i := range e.Items {
		if inner, ok := i.(*syntax.SetLiteral); ok {
			r.ctx = ctx
			n.items = append(n.items, r.literal(inner).items...)
			continue
		}
		r.ctx = ctx
		it := r.item(i)
		n.items = append(n.items, it)
	}
	r.ctx = ctx
	// A set of one is the value itself, except in a map.
	if len(n.items) == 1 && r.elements == nil && !e.Keep {
		if key := n.items[0].key; (key.kind == constant || key.kind == prefix || key.kind == span) && n.items[0].elem == nil && n.items[0].data == nil {
			return key
		}
	}
	return n
}

// item evaluates an element. In a map r.elements is the map, which tells the
// type of the value.
func (r *rule) item(e syntax.Expr) item {
	var it item
	if m, ok := e.(*syntax.Mapping); ok {
		s := r.elements
		if s == nil || !s.Map && !s.Objects {
			r.failf(m.Pos, "a value in a set that is no map")
		}
		it = r.key(m.Key)
		if s.Objects {
			t, ok := m.Value.(*syntax.Text)
			if !ok {
				r.failf(m.Value.Position(), "an object's name was expected")
			}
			it.object = strings.Clone(t.Value) // not to hold the file's text
			return it
		}
		it.data = r.value(s, m.Value)
		return it
	}
	if s := r.elements; s != nil && (s.Map || s.Objects) {
		r.failf(e.Position(), "a key with a value was expected in a map")
	}
	return r.key(e)
}

// key evaluates an element without its value.
func (r *rule) key(e syntax.Expr) item {
	var it item
	if el, ok := e.(*syntax.Elem); ok {
		for _, st := range el.Statements {
			it.exprs = append(it.exprs, r.stateful(st))
		}
		it.elem = el
		e = el.Key
	}
	if m, ok := e.(*syntax.Mapping); ok {
		r.failf(m.Pos, "a mapping within an element")
	}
	it.key = r.eval(e)
	switch it.key.kind {
	case constant, prefix, span, wildcard, concat:
		if it.key.known() {
			return it
		}
	}
	r.failf(e.Position(), "an element must be a value")
	return it
}

// value is the value of a map's element.
func (r *rule) value(s *set, e syntax.Expr) *node {
	d := s.data
	r.ctx = context{typ: d.typ, order: d.order, bits: d.bits}
	if d.kind == concat {
		r.ctx = context{bits: d.bits, key: d}
	}
	v := r.eval(e)
	if (v.kind == verdict) != s.Verdicts || !v.known() && v.kind != verdict {
		r.failf(e.Position(), "a value of the map's type was expected")
	}
	if !v.single() {
		s.ranges = true
	}
	return v
}

// anonymous makes the set of a literal, with keys like left and, in a map,
// values like data. The kernel gives it its name.
func (r *rule) anonymous(left, data *node, lit *node) *node {
	s := &set{Set: &rules.Set{Known: true}, key: left, data: data, keyTypes: left.types(), items: lit.items}
	s.flag(setAnonymous | setConstant)
	s.KeyType = words.Join(s.keyTypes)
	prefix := "__set%d"
	if data != nil {
		prefix = "__map%d"
		s.flag(setMap)
		if data.typ == words.Verdict {
			s.Verdicts, s.DataType, s.DataLen = true, words.VerdictData, verdictBytes
		} else {
			s.DataType, s.DataLen = words.Join(data.types()), keyBytes(data)
		}
	}
	for _, i := range lit.items {
		if !i.key.single() && i.key.kind != wildcard {
			s.flag(setInterval)
			if i.key.kind == concat {
				s.flag(setConcat)
			}
		}
	}
	s.autoMerge = s.Interval && data == nil
	if s.Interval && !s.Concat {
		for i := range s.items {
			s.items[i].key = asSpan(s.items[i].key)
		}
	}
	if data != nil && left.kind != concat {
		r.refuseDisputed(s)
	}
	r.table.addAnonymous(s, prefix)
	return &node{kind: setRef, pos: lit.pos, set: s}
}

// refuseDisputed fails at an element of a map that has a key of another, to which
// it gives something else.
func (r *rule) refuseDisputed(s *set) {
	list := slices.DeleteFunc(slices.Clone(s.items), func(i item) bool { return i.key.kind == wildcard })
	first := func(i item) num { from, _ := i.key.bounds(); return from }
	slices.SortStableFunc(list, func(a, b item) int { return first(a).Cmp(first(b)) })
	for n := 1; n < len(list); n++ {
		from, to := list[n-1].key.bounds()
		next, last := list[n].key.bounds()
		a, b := s.with(list[n-1]), s.with(list[n])
		if next.Cmp(to) <= 0 && !(from == next && to == last && alike(&a, &b)) {
			r.failf(list[n].key.pos, "the element overlaps another of the map")
		}
	}
}

// asSpan is a prefix as a range.
func asSpan(n *node) *node {
	if n.kind != prefix {
		return n
	}
	from, to := n.bounds()
	first, last := *n.left, *n.left
	first.n, last.n = from, to
	return &node{kind: span, pos: n.pos, typ: n.typ, order: n.order, bits: n.bits, left: &first, right: &last}
}

// addAnonymous names a set as the kernel does: with the first number that is
// free (nf_tables_set_alloc_name).
func (t *table) addAnonymous(s *set, format string) {
	for {
		s.Name = fmt.Sprintf(format, t.numbers[format])
		t.numbers[format]++
		if t.sets[s.Name] == nil {
			break
		}
	}
	t.add(s)
}

func (t *table) add(s *set) {
	t.sets[s.Name] = s
	t.order = append(t.order, s)
	t.Sets = append(t.Sets, s.Set)
}

// movable reports whether an operation can be moved to the elements.
func (s *set) movable() bool {
	return !slices.ContainsFunc(s.items, func(i item) bool { return i.key.kind != constant && i.key.kind != span })
}

// move applies f to the elements' keys, and makes the key as long as they are.
func (s *set) move(f func(*node) *node) {
	for i := range s.items {
		k := s.items[i].key
		if k.kind == span {
			out := *k
			out.left, out.right = f(k.left), f(k.right)
			s.items[i].key = &out
		} else {
			s.items[i].key = f(k)
		}
	}
}
