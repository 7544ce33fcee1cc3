package text

import (
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

const (
	ctEvent     = 18
	metaSecMark = 14
)

// do handles what has an effect; false if a register it needs is not loaded, or
// it isn't known.
func (r *reader) do(e rules.Expr) bool {
	s := &stmt{from: e}
	// operand takes a register as something of a type.
	operand := func(has bool, reg rules.Reg, t *words.Type) *node {
		if !has {
			return nil
		}
		n := r.get(reg)
		if n != nil && t != nil {
			n.setType(t, t.Order)
		}
		return n
	}
	switch e := e.(type) {
	case *rules.Immediate:
		if e.Verdict == nil {
			return false
		}
		s.print = func(w *writer, s *stmt) { w.verdict(s.from.(*rules.Immediate).Verdict) }
	case *rules.Counter, *rules.Limit, *rules.Quota, *rules.ConnLimit, *rules.Last, *rules.Log, *rules.Notrack, *rules.Synproxy,
		*rules.FlowOffload:
		s.print = func(w *writer, s *stmt) { w.simple(s.from) }
	case *rules.Reject:
		s.print = func(w *writer, s *stmt) { w.reject(s.from.(*rules.Reject), rules.Family(s.x.key)) }
		s.x = &node{kind: fixed, key: uint32(r.p.family)}
	case *rules.Meta:
		k := words.KeyByNumber(words.MetaKeys, e.Key)
		if k == nil || !e.Write {
			return false
		}
		if s.x = r.get(e.Reg); s.x == nil {
			return false
		}
		s.x.setType(k.Type, k.Order)
		s.print = func(w *writer, s *stmt) {
			w.str(metaName(words.KeyByNumber(words.MetaKeys, s.from.(*rules.Meta).Key)) + " set ")
			w.node(s.x)
		}
	case *rules.CT:
		k := words.KeyByNumber(words.CTKeys, e.Key)
		if k == nil || !e.Write {
			return false
		}
		if s.x = r.get(e.Reg); s.x == nil {
			return false
		}
		s.x.setType(k.Type, k.Order)
		s.print = func(w *writer, s *stmt) {
			e := s.from.(*rules.CT)
			w.str(ctName(words.KeyByNumber(words.CTKeys, e.Key), e.Dir) + " set ")
			w.node(s.x)
		}
	case *rules.Payload:
		if !e.Write || e.Len == 0 || e.Len > 64 || e.Base > 4 || e.Offset > 1<<20 {
			return false
		}
		s.x = rawPayload(e.Base, 8*int(e.Offset), 8*int(e.Len))
		if s.y = r.get(e.Reg); s.y == nil {
			return false
		}
		s.print = printSet
	case *rules.Exthdr:
		if e.Len > 64 || e.Offset > 1<<16 {
			return false
		}
		if s.x = optionNode(e); s.x == nil {
			return false
		}
		if e.Reset {
			c := *e
			c.Flags |= 1
			s.x.ext = &c
			s.print = func(w *writer, s *stmt) { w.str("reset "); w.node(s.x) }
			break
		}
		if s.y = r.get(e.Reg); s.y == nil || !e.Write {
			return false
		}
		s.y.setType(s.x.typ, s.x.order)
		s.print = printSet
	case *rules.NAT:
		addr := words.IPv4Addr
		if e.Family == rules.IP6 {
			addr = words.IPv6Addr
		}
		s.x = pair(operand(e.HasAddrMin, e.AddrMin, addr), operand(e.HasAddrMax && e.AddrMax != e.AddrMin, e.AddrMax, addr), true)
		both := s.x != nil && s.x.kind == mapped && s.x.bits > addr.Bits // a map may give the port, or a range, as well
		if !both {
			s.y = pair(operand(e.HasProtoMin, e.ProtoMin, words.InetService), operand(e.HasProtoMax && e.ProtoMax != e.ProtoMin, e.ProtoMax, words.InetService), false)
		}
		if e.Type > 1 || s.x == nil && e.HasAddrMin || s.y == nil && e.HasProtoMin && !both {
			return false
		}
		s.print = func(w *writer, s *stmt) { w.nat(s.from.(*rules.NAT), s.x, s.y) }
	case *rules.Masq:
		s.y = pair(operand(e.HasProtoMin, e.ProtoMin, words.InetService), operand(e.HasProtoMax && e.ProtoMax != e.ProtoMin, e.ProtoMax, words.InetService), false)
		s.print = func(w *writer, s *stmt) {
			w.str("masquerade")
			w.ports(s.y)
			w.natFlags(s.from.(*rules.Masq).Flags)
		}
	case *rules.Redir:
		s.y = pair(operand(e.HasProtoMin, e.ProtoMin, words.InetService), operand(e.HasProtoMax && e.ProtoMax != e.ProtoMin, e.ProtoMax, words.InetService), false)
		s.print = func(w *writer, s *stmt) {
			w.str("redirect")
			w.ports(s.y)
			w.natFlags(s.from.(*rules.Redir).Flags)
		}
	case *rules.TProxy:
		addr := words.IPv4Addr
		if e.Family == rules.IP6 {
			addr = words.IPv6Addr
		}
		s.x, s.y = operand(e.HasAddr, e.Addr, addr), operand(e.HasPort, e.Port, words.InetService)
		if s.x == nil && e.HasAddr || s.y == nil && e.HasPort {
			return false
		}
		s.print = func(w *writer, s *stmt) { w.tproxy(s.from.(*rules.TProxy), s.x, s.y) }
	case *rules.QueueTo:
		if s.x = operand(e.HasSource, e.Source, nil); s.x == nil && e.HasSource {
			return false
		}
		s.print = func(w *writer, s *stmt) { w.queue(s.from.(*rules.QueueTo), s.x) }
	case *rules.Dup:
		var addr *words.Type
		switch r.p.family {
		case rules.IP:
			addr = words.IPv4Addr
		case rules.IP6:
			addr = words.IPv6Addr
		}
		s.x, s.y = operand(e.HasAddr, e.Addr, addr), operand(e.HasDev, e.Dev, words.IfaceIndex)
		if s.x == nil && e.HasAddr || s.y == nil && e.HasDev {
			return false
		}
		if s.x == nil {
			s.x, s.y = s.y, nil
		}
		s.print = func(w *writer, s *stmt) {
			w.str("dup")
			if s.x != nil {
				w.str(" to ")
				w.node(s.x)
			}
			if s.y != nil {
				w.str(" device ")
				w.node(s.y)
			}
		}
	case *rules.Fwd:
		addr := words.IPv4Addr
		if e.Family == rules.IP6 {
			addr = words.IPv6Addr
		}
		s.x, s.y = operand(true, e.Dev, words.IfaceIndex), operand(e.HasAddr, e.Addr, addr)
		if s.x == nil || s.y == nil && e.HasAddr {
			return false
		}
		s.print = func(w *writer, s *stmt) {
			w.str("fwd ")
			if s.y != nil {
				w.str(s.from.(*rules.Fwd).Family.String() + " to ")
				w.node(s.y)
				w.str(" device ")
			} else {
				w.str("to ")
			}
			w.node(s.x)
		}
	case *rules.ObjRef:
		if e.Set != "" {
			t := r.p.set(e.Set)
			if t == nil {
				return false
			}
			left := r.wide(e.Source, 8*t.KeyLen)
			if left == nil {
				return false
			}
			s.x = &node{kind: mapped, left: left, right: &node{kind: set, set: t, bits: 8 * t.KeyLen}, typ: words.String}
		}
		s.print = func(w *writer, s *stmt) { w.objRef(s.from.(*rules.ObjRef), s.x) }
	case *rules.Dynset:
		return r.dynset(e, s)
	default:
		return false
	}
	r.add(s)
	return true
}

func printSet(w *writer, s *stmt) {
	w.node(s.x)
	w.str(" set ")
	w.node(s.y)
}

// pair makes a range of two ends, and of addresses a prefix if it is one.
func pair(a, b *node, prefixes bool) *node {
	if a == nil || b == nil {
		return a
	}
	if prefixes && a.kind == value && b.kind == value {
		if plen, ok := prefixLen(a.n, b.n, a.bits); ok {
			return &node{kind: prefix, left: a, plen: plen, typ: a.typ, order: a.order, bits: a.bits}
		}
	}
	return &node{kind: ranged, left: a, right: b, typ: a.typ, order: a.order, bits: a.bits}
}

// prefixLen says how long the prefix is that a range from a to b makes.
func prefixLen(a, b num, bits int) (int, bool) {
	free := a.Xor(b).Scan0(0)
	if a.Xor(b).Scan1(free+1) < bits || a.Scan1(0) < free {
		return 0, false
	}
	return bits - free, true
}

func (r *reader) dynset(e *rules.Dynset, s *stmt) bool {
	t := r.p.set(e.Set)
	if t == nil || e.Op > 2 {
		return false
	}
	if s.x = r.get(e.Key); s.x == nil {
		return false
	}
	if s.x.bits < 8*t.KeyLen {
		if s.x = r.concat(e.Key, 8*t.KeyLen); s.x == nil {
			return false
		}
		s.x.types = words.Split(t.KeyType)
	}
	if e.HasData {
		if s.y = r.wide(e.Data, 8*t.DataLen); s.y == nil {
			return false
		}
		if types := words.Split(t.DataType); len(types) == 1 {
			s.y.setType(types[0], types[0].Order)
		} else if s.y.kind == concat {
			s.y.types = types
		}
	}
	inner := &reader{p: r.p, regs: r.regs}
	for _, x := range e.Exprs {
		if _, nested := x.(*rules.Dynset); nested {
			inner.raw(&rules.Opaque{Kind: "dynset", Why: "within a dynset"})
			continue
		}
		inner.read(x)
	}
	s.inner = inner.stmts
	s.print = func(w *writer, s *stmt) { w.dynset(s) }
	r.add(s)
	return true
}

func (w *writer) dynset(s *stmt) {
	e := s.from.(*rules.Dynset)
	t := w.p.set(e.Set)
	state := w.stateless
	w.stateless = true
	if t.Anonymous {
		w.str("meter ")
		w.name(t.Name)
		w.printf(" size %d { ", t.Size)
	} else {
		w.str([...]string{"add", "update", "delete"}[e.Op])
		w.str(" @")
		w.name(t.Name)
		w.str(" { ")
	}
	w.node(s.x)
	if e.TimeoutMS != 0 {
		w.str(" timeout ")
		w.span(e.TimeoutMS)
	}
	for _, i := range s.inner {
		w.str(" ")
		w.stmt(i)
	}
	if s.y != nil {
		w.str(" : ")
		w.node(s.y)
	}
	w.str(" }")
	w.stateless = state
}

func (w *writer) stmt(s *stmt) {
	if s.expr != nil {
		w.node(s.expr)
		return
	}
	s.print(w, s)
}

func (w *writer) verdict(v *rules.Verdict) {
	switch v.Kind {
	case rules.Continue:
		w.str("continue")
	case rules.Break:
		w.str("break")
	case rules.Return:
		w.str("return")
	case rules.Jump, rules.Goto:
		word := "jump "
		if v.Kind == rules.Goto {
			word = "goto "
		}
		w.str(word)
		if c := w.p.anonymousChain(v.Chain); c != nil && !slices.Contains(w.opened, c) {
			w.anonymousChain(c)
			return
		}
		w.name(v.Chain)
	case rules.Accept:
		w.str("accept")
	case rules.Drop:
		w.str("drop")
	case rules.Stolen:
		w.str("stolen")
	default:
		if v.Code&0xff == uint32(rules.Queue) || v.Kind == rules.Queue {
			w.str("queue")
			return
		}
		w.printf("unknown verdict value %d", v.Code)
	}
}

// anonymousChain writes a chain that has no name where it is called.
func (w *writer) anonymousChain(c *rules.Chain) {
	w.str("{\n")
	outermost := len(w.opened) == 0
	w.opened = append(w.opened, c)
	for _, r := range c.Rules {
		w.str("\t\t\t")
		w.rule(c, r)
		w.str("\n")
	}
	if outermost {
		w.opened = w.opened[:0]
	}
	w.str("\t\t}")
}
