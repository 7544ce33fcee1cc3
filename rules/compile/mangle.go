package compile

import (
	"github.com/portwhy/portwhy/rules/wide"
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// field is a payload expression that is written to: whole, not masked.
func (r *rule) field(e syntax.Expr) *node {
	switch e := e.(type) {
	case *syntax.RawPayload:
		n := r.rawPayload(e)
		for n.kind == operation {
			n = n.left
		}
		n.bits, n.offset = int(e.Len), int(e.Offset)
		return n
	case *syntax.Payload:
		if e.Tunnel != "" {
			r.failf(e.Pos, "the packet in a tunnel can't be written to")
		}
		n := r.payload(e)
		for n.kind == operation {
			n = n.left
		}
		n.bits = n.field.Bits
		return n
	}
	r.failf(e.Position(), "a field was expected")
	return nil
}

// checksum is where a header has its checksum, and of what type (NFT_PAYLOAD_CSUM_*).
func checksum(h *words.Header) (offset, kind uint32) {
	if h == nil {
		return 0, 0
	}
	switch h.Name {
	case "ip", "icmp", "igmp", "icmpv6", "udp", "tcp":
		kind = 1
	case "sctp":
		kind = 2
	default:
		return 0, 0
	}
	return uint32(h.Field("checksum").Offset / 8), kind
}

// inPseudoHeader reports whether the checksum of the transport header covers a
// field of the network header.
func inPseudoHeader(n *node) bool {
	if n.header == nil || n.field == nil {
		return false
	}
	switch n.header.Name + " " + n.field.Name {
	case "ip saddr", "ip daddr", "ip protocol", "ip length", "ip6 saddr", "ip6 daddr", "ip6 nexthdr", "ip6 length":
		return true
	}
	return false
}

// manglePacket writes to a field (stmt_evaluate_payload). What is not whole
// bytes, or an odd number of those under a checksum, is loaded with what is
// around it, changed and stored.
func (r *rule) manglePacket(key, value syntax.Expr) {
	f := r.field(key)
	n := r.arg(value, f.typ, f.order, f.bits)
	if !n.known() {
		n = r.reorder(n, f.order)
	}
	csumOffset, csumKind := checksum(f.header)
	needSum := csumKind != 0 || f.base == inner
	offset, length := f.offset/8, f.bits/8
	if f.offset%8 != 0 || f.bits%8 != 0 || needSum && length%2 == 1 {
		extra, shift := shiftOf(f.offset, f.bits)
		length = (f.bits + extra + 7) / 8
		if needSum && length%2 == 1 {
			length++
			if offset%2 == 1 { // an even offset is faster
				offset--
			} else {
				shift += 8
			}
		}
		n = r.around(f, n, offset, length, shift)
	}
	store := &rules.Payload{Base: f.base, Offset: uint32(offset), Len: uint32(length), Write: true}
	if csumKind != 0 && csumOffset != 0 {
		store.CsumType, store.CsumOffset = csumKind, csumOffset
	}
	if f.base == network && inPseudoHeader(f) || f.base == inner {
		store.CsumFlags = 1 // NFT_PAYLOAD_L4CSUM_PSEUDOHDR
	}
	r.write(n, func(reg rules.Reg) rules.Expr {
		out := *store
		out.Reg = reg
		return &out
	})
}

// around is the bytes around a field with the field's new value in them.
func (r *rule) around(f, value *node, offset, length, shift int) *node {
	width := length * 8
	if value.kind != constant {
		unsuref("payload", "nft 1.0.6 writes only known values to a part of %d bytes", length)
	}
	load := &node{kind: payload, pos: f.pos, typ: words.Integer, order: f.order, bits: width, base: f.base, offset: offset * 8, raw: true}
	mask := &node{kind: constant, typ: words.Integer, order: f.order, bits: width, n: wide.Ones(f.bits).Shl(shift).Xor(wide.Ones(width))}
	and := &node{kind: operation, pos: f.pos, typ: f.typ, order: f.order, bits: width, op: "&", left: load, right: mask}
	put := &node{kind: constant, typ: words.Integer, order: f.order, bits: width, n: value.n.Shl(shift)}
	return &node{kind: operation, pos: f.pos, typ: f.typ, order: f.order, bits: width, op: "^", left: and, right: put}
}

// setUpdate changes a set or map from within a rule.
func (r *rule) setUpdate(st *syntax.SetUpdate) {
	s := r.named(st.Pos, st.Set)
	op, ok := map[string]uint32{"add": 0, "update": 1, "delete": 2}[st.Op]
	if !ok {
		r.failf(st.Pos, "no change %q of a set: add, update or delete was expected", st.Op)
	}
	key, elem := r.dynamicKey(s, st.Elem)
	out := &rules.Dynset{Set: s.Name, Op: op}
	list := st.Statements
	if elem != nil {
		out.TimeoutMS = elem.TimeoutMS
		list = append(list[:len(list):len(list)], elem.Statements...)
	}
	for _, sub := range list {
		out.Exprs = append(out.Exprs, r.stateful(sub))
	}
	var data *node
	if st.Data != nil {
		if s.data == nil || s.Verdicts {
			r.failf(st.Data.Position(), "%s is no map of values", s.Name)
		}
		e := st.Data
		if el, ok := e.(*syntax.Elem); ok {
			e = el.Key
		}
		data = r.argLike(e, s.data)
	} else if s.Map {
		r.failf(st.Pos, "%s is a map: a value was expected", s.Name)
	}
	if data == nil {
		s.flag(setEval)
	}
	r.add(&statement{emit: func(g *emitter) { g.dynset(*out, key, data) }})
}

// argLike is a value of the type of a map's values.
func (r *rule) argLike(e syntax.Expr, d *node) *node {
	if d.kind != concat {
		return r.arg(e, d.typ, d.order, d.bits)
	}
	r.ctx = context{bits: d.bits, key: d}
	n := r.eval(e)
	if n.kind != mapped && !slices.Equal(n.types(), d.types()) || !n.single() {
		r.failf(n.pos, "a value of the map's type was expected")
	}
	return n
}

func (r *rule) dynamicKey(s *set, e syntax.Expr) (*node, *syntax.Elem) {
	elem, ok := e.(*syntax.Elem)
	if ok {
		e = elem.Key
	}
	r.ctx = context{}
	if s.key != nil {
		r.ctx = context{typ: s.key.typ, order: s.key.order, bits: s.key.bits}
		if s.key.kind == concat {
			r.ctx = context{bits: s.key.bits, key: s.key}
		}
	}
	key := r.eval(e)
	if !key.single() || key.kind == verdict {
		r.failf(e.Position(), "a single value was expected as the key")
	}
	s.usedBy(r, key, context{})
	return key, elem
}

func (g *emitter) dynset(out rules.Dynset, key, data *node) {
	out.Key = g.take(key)
	g.value(key, out.Key)
	if data != nil {
		out.HasData = true
		out.Data = g.take(data)
		g.value(data, out.Data)
		g.release(data)
	}
	g.release(key)
	g.add(&out)
}

// meter makes a set of its own and runs a statement for each key in it.
func (r *rule) meter(st *syntax.Meter) {
	elem, _ := st.Key.(*syntax.Elem)
	e := st.Key
	if elem != nil {
		e = elem.Key
	}
	key := r.eval(e)
	if key.known() {
		r.failf(e.Position(), "something of the packet was expected as the key")
	}
	s := r.table.sets[st.Name]
	if s == nil {
		s = &set{Set: &rules.Set{Name: st.Name, Size: st.Size, Known: false, Count: -1}, key: key, keyTypes: key.types(), unknown: "a meter fills itself"}
		s.flag(setAnonymous | setEval)
		s.KeyType, s.KeyLen = words.Join(s.keyTypes), keyBytes(key)
		r.table.add(s)
	}
	out := &rules.Dynset{Set: s.Name, Exprs: []rules.Expr{r.stateful(st.Stmt)}}
	if elem != nil && elem.TimeoutMS > 0 {
		s.flag(setTimeout)
		out.Op, out.TimeoutMS = 1, elem.TimeoutMS
	}
	r.add(&statement{emit: func(g *emitter) { g.dynset(*out, key, nil) }})
}
