package compile

import (
	"slices"
	"strconv"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// set declares a named set.
func (c *Compiler) set(d *syntax.Set) {
	r := c.in(d.Pos, d.Family, d.Table)
	s := &set{Set: &rules.Set{Name: d.Name, Handle: d.Handle, Size: d.Size, TimeoutMS: d.TimeoutMS, Comment: d.Comment}, autoMerge: d.AutoMerge}
	known := append([]words.Symbol{}, words.SetFlags...)
	s.flag(r.flags(d.Pos, d.Flags, known))
	if d.TimeoutMS > 0 {
		s.flag(setTimeout)
	}
	if err := catch(func() { r.setTypes(s, d) }); err != nil {
		s.key, s.KeyLen, s.Fields = nil, 0, nil
		s.forget(c.unsure(err).why)
	}
	for _, st := range d.Statements {
		s.Exprs = append(s.Exprs, r.stateful(st))
	}
	if len(d.Statements) > 1 {
		s.flag(setExpr)
	}
	if old := r.table.sets[d.Name]; old != nil {
		// Adding it again only adds elements (nf_tables_newset).
		if !old.like(s) {
			r.failf(d.Pos, "set %s is there already, and not of this kind", d.Name)
		}
		old.again = true
		r.fill(old, d.Elements)
		return
	}
	r.table.add(s)
	r.fill(s, d.Elements)
}

// like reports whether the kernel takes a set for the same (nft_set_is_same).
func (s *set) like(other *set) bool {
	return s.KeyType == other.KeyType && s.DataType == other.DataType && s.ObjType == other.ObjType && s.Flags == other.Flags &&
		len(s.Exprs) == len(other.Exprs)
}

// fill adds elements to a set. If one can't be told, none of the set are known.
func (r *rule) fill(s *set, list []syntax.Expr) {
	if s.unknown != "" {
		return
	}
	if s.waits() {
		if s.pending = append(s.pending, list...); len(s.pending) > maxElements {
			s.forget("the ruleset has too many elements to keep them")
		}
		return
	}
	r.elements = s
	for _, e := range list {
		r.ctx = context{typ: s.key.typ, order: s.key.order, bits: s.key.bits}
		if s.key.kind == concat {
			r.ctx = context{bits: s.key.bits, key: s.key}
		}
		err := catch(func() {
			it := r.item(e)
			if s.Interval && !s.Concat {
				it.key = asSpan(it.key)
			} else if !s.Interval && !it.key.single() && it.key.kind != wildcard {
				r.failf(e.Position(), "a range in a set without the flag interval")
			}
			s.take(it)
		})
		if err != nil {
			s.forget(r.c.unsure(err).why)
			return
		}
		if r.c.elements++; r.c.elements > maxElements {
			s.forget("the ruleset has too many elements to keep them")
			return
		}
	}
}

// setMore takes what is said of a set behind its elements.
func (c *Compiler) setMore(d *syntax.SetMore) {
	r := c.in(d.Pos, d.Family, d.Table)
	s := r.named(d.Pos, d.Set)
	if !s.again {
		for _, st := range d.Statements {
			s.Exprs = append(s.Exprs, r.stateful(st))
		}
		if len(d.Statements) > 1 {
			s.flag(setExpr)
		}
	}
	s.autoMerge = s.autoMerge || d.AutoMerge
	if d.Unknown != "" {
		s.forget(d.Unknown)
	}
}

func (c *Compiler) object(d *syntax.Object) {
	r := c.in(d.Pos, d.Family, d.Table)
	kinds := append([]words.Symbol{{Name: "connlimit", Value: 5}}, words.ObjectTypes...)
	kind, ok := words.Find(kinds, d.Kind)
	if !ok {
		r.failf(d.Pos, "no kind of object %q", d.Kind)
	}
	out := &rules.Object{Name: d.Name, Handle: d.Handle, Type: uint32(kind), Comment: d.Comment}
	if r.table.objects[objectKey{out.Type, d.Name}] != nil {
		return // adding it again changes nothing (nf_tables_newobj)
	}
	switch v := d.Value.(type) {
	case *syntax.Counter, *syntax.Quota, *syntax.Limit, *syntax.ConnLimit:
		out.Expr = r.stateful(v)
	case *syntax.Synproxy:
		out.Expr = r.synproxy(v)
	case *syntax.HelperObject:
		out.Expr = &rules.Helper{Kind: v.Type, L3: r.l3(v.Pos, d, v.L3Proto), L4: r.l4(v.Pos, v.Protocol)}
	case *syntax.TimeoutObject:
		out.Expr = r.timeout(d, v)
	case *syntax.ExpectationObject:
		out.Expr = &rules.Expectation{L3: r.l3(v.Pos, d, v.L3Proto), L4: r.l4(v.Pos, v.Protocol), Port: v.Port, TimeoutMS: v.TimeoutMS, Size: v.Size}
	case *syntax.Secmark:
		out.Expr = &rules.Secmark{Context: v.Context}
	default:
		// What these do is not modelled, and neither are their settings.
		out.Expr = &rules.Opaque{Kind: d.Kind, Why: "the expression is not known"}
	}
	r.table.objects[objectKey{out.Type, d.Name}] = out
	r.table.Objects = append(r.table.Objects, out)
}

// l3 is the family that an object of conntrack is for: the table's, if nothing
// else is said.
func (r *rule) l3(at syntax.Pos, d *syntax.Object, name string) rules.Family {
	if name == "" {
		return d.Family
	}
	f, ok := rules.ParseFamily(name)
	if !ok {
		r.failf(at, "no family %q", name)
	}
	return f
}

func (r *rule) l4(at syntax.Pos, name string) uint8 {
	if n, ok := words.Find(words.Protocols, name); ok {
		return uint8(n)
	}
	n, err := strconv.ParseUint(name, 10, 8)
	if err != nil {
		r.failf(at, "no protocol %q", name)
	}
	return uint8(n)
}

// timeout has the kernel's own seconds for the states of which nothing is said.
func (r *rule) timeout(d *syntax.Object, v *syntax.TimeoutObject) rules.Expr {
	e := &rules.Timeout{L3: r.l3(v.Pos, d, v.L3Proto), L4: r.l4(v.Pos, v.Protocol)}
	said := 0
	for _, state := range words.TimeoutStates[e.L4] {
		seconds, ok := v.Policy[state.Name]
		if ok {
			said++
		} else {
			seconds = uint32(state.Value)
		}
		e.Seconds = append(e.Seconds, seconds)
	}
	if said != len(v.Policy) {
		r.failf(v.Pos, "the policy has a state that %s has not", v.Protocol)
	}
	return e
}

func (c *Compiler) flowtable(d *syntax.Flowtable) {
	r := c.in(d.Pos, d.Family, d.Table)
	out := &rules.Flowtable{Name: d.Name, Handle: d.Handle, Priority: d.Priority, Devices: d.Devices,
		Flags: r.flags(d.Pos, d.Flags, []words.Symbol{{Name: "offload", Value: 1}})}
	if d.Counter {
		out.Flags |= 2 // NFT_FLOWTABLE_COUNTER
	}
	for _, old := range r.table.Flowtables {
		if old.Name != out.Name {
			continue
		}
		// Adding it again adds devices (nf_tables_flowtable_update).
		for _, device := range out.Devices {
			if !slices.Contains(old.Devices, device) {
				old.Devices = append(old.Devices, device)
			}
		}
		return
	}
	r.table.Flowtables = append(r.table.Flowtables, out)
}
