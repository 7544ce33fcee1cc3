package compile

import (
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// Ref names a table or, with Name or Handle, a thing in it.
type Ref struct {
	syntax.Pos
	Family      rules.Family
	Table, Name string
	Handle      uint64
}

// workMax bounds how many rules are looked at or moved by commands.
const workMax = 1 << 31

// work counts what a command has to look at or move.
func (c *Compiler) work(at syntax.Pos, n int) {
	if c.worked += n; c.worked > workMax {
		panic(bail{at.Errorf("expected fewer commands that change chains of many rules")})
	}
}

// Has tells whether a table (Kind table), chain, set, map, flowtable or object
// is there.
func (c *Compiler) Has(kind string, ref Ref) bool {
	for _, t := range c.list {
		if t.Family != ref.Family {
			continue
		}
		if kind == "table" {
			if t.Name == ref.Table && ref.Handle == 0 || ref.Handle != 0 && t.Handle == ref.Handle {
				return true
			}
		} else if t.Name == ref.Table && t.find(kind, ref).found() {
			return true
		}
	}
	return false
}

// Flush forgets all tables of a family, or all with family 0.
func (c *Compiler) Flush(f rules.Family) {
	c.list = slices.DeleteFunc(c.list, func(t *table) bool {
		if f != 0 && t.Family != f {
			return false
		}
		delete(c.tables, tableKey{t.Family, t.Name})
		return true
	})
}

// FlushTable takes the rules of all chains of a table away.
func (c *Compiler) FlushTable(ref Ref) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		for _, chain := range t.Chains {
			chain.Rules = nil
		}
		t.release()
	})
}

// FlushChain takes the rules of a chain away.
func (c *Compiler) FlushChain(ref Ref) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		chain := t.find("chain", ref).must(ref).chain
		c.work(ref.Pos, len(chain.Rules))
		chain.Rules = nil
		t.release()
	})
}

// FlushSet takes the elements of a set or map away.
func (c *Compiler) FlushSet(ref Ref) error {
	return catch(func() {
		s := c.in(ref.Pos, ref.Family, ref.Table).table.find("set", ref).must(ref).set
		s.Elements, s.borders = nil, nil
	})
}

// RenameChain gives a chain another name.
func (c *Compiler) RenameChain(ref Ref, name string) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		chain := t.find("chain", ref).must(ref).chain
		if t.chains[name] != nil {
			panic(bail{ref.Errorf("chain %s is there already", name)})
		}
		delete(t.chains, chain.Name)
		t.chains[name] = chain
		rename(t, chain.Name, name)
		chain.Name = name
	})
}

// rename leads to a chain by its new name who led to it by its old one.
func rename(t *table, old, name string) {
	t.verdicts(func(v *rules.Verdict) {
		if v.Chain == old {
			v.Chain = name
		}
	})
	if at, ok := t.wanted[old]; ok {
		t.wanted[name] = at
	}
}

// verdicts calls f for each verdict of a table's rules and sets.
func (t *table) verdicts(f func(*rules.Verdict)) {
	for _, chain := range t.Chains {
		for _, r := range chain.Rules {
			for _, e := range r.Exprs {
				if i, ok := e.(*rules.Immediate); ok && i.Verdict != nil {
					f(i.Verdict)
				}
			}
		}
	}
	for _, s := range t.order {
		for _, el := range s.Elements {
			if el.Verdict != nil {
				f(el.Verdict)
			}
		}
		for _, b := range s.borders {
			if b.more != nil && b.more.Verdict != nil {
				f(b.more.Verdict)
			}
		}
		for _, i := range s.items {
			if i.data != nil && i.data.verdict != nil {
				f(i.data.verdict)
			}
		}
	}
}

// Check tells whether all is there that rules and sets lead to, once everything
// was added. The error is a *rules.SyntaxError.
func (c *Compiler) Check() error {
	for _, t := range c.list {
		missing := false
		for name := range t.wanted {
			missing = missing || t.chains[name] == nil
		}
		if !missing {
			continue
		}
		t.sweep()
		name := ""
		t.verdicts(func(v *rules.Verdict) {
			if v.Chain != "" && t.chains[v.Chain] == nil && name == "" {
				name = v.Chain
			}
		})
		if name != "" {
			return t.wanted[name].Errorf("table %s has no chain %q", t.Name, name)
		}
	}
	return nil
}

// Delete takes a table, chain, set, map, flowtable or object away. A chain must
// be without rules, as the kernel wants it.
func (c *Compiler) Delete(kind string, ref Ref) error {
	return catch(func() {
		if kind == "table" {
			c.deleteTable(ref)
			return
		}
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		f := t.find(kind, ref).must(ref)
		switch {
		case f.chain != nil:
			if len(f.chain.Rules) > 0 {
				panic(bail{ref.Errorf("expected a chain without rules: %s has %d", f.chain.Name, len(f.chain.Rules))})
			}
			delete(t.chains, f.chain.Name)
			t.Chains = without(t.Chains, f.chain)
		case f.set != nil:
			delete(t.sets, f.set.Name)
			t.order = without(t.order, f.set)
			t.Sets = without(t.Sets, f.set.Set)
		case f.object != nil:
			t.Objects = without(t.Objects, f.object)
		case f.flowtable != nil:
			t.Flowtables = without(t.Flowtables, f.flowtable)
		}
	})
}

func without[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(list, func(y T) bool { return y == x })
}

func (c *Compiler) deleteTable(ref Ref) {
	for i, t := range c.list {
		if t.Family == ref.Family && (ref.Handle == 0 && t.Name == ref.Table || ref.Handle != 0 && t.Handle == ref.Handle) {
			delete(c.tables, tableKey{t.Family, t.Name})
			c.list = slices.Delete(c.list, i, i+1)
			return
		}
	}
	panic(bail{ref.Errorf("no table %s %s so far", ref.Family, ref.Table)})
}

// found is what a name or handle led to; all are nil if to nothing.
type found struct {
	kind      string
	chain     *rules.Chain
	set       *set
	object    *rules.Object
	flowtable *rules.Flowtable
}

func (f found) found() bool {
	return f.chain != nil || f.set != nil || f.object != nil || f.flowtable != nil
}

func (f found) must(ref Ref) found {
	if !f.found() {
		panic(bail{ref.Errorf("table %s has no such %s so far", ref.Table, f.kind)})
	}
	return f
}

func (t *table) find(kind string, ref Ref) found {
	f := found{kind: kind}
	is := func(name string, handle uint64) bool {
		return ref.Handle == 0 && name == ref.Name || ref.Handle != 0 && handle == ref.Handle
	}
	switch kind {
	case "chain":
		if ref.Handle == 0 {
			f.chain = t.chains[ref.Name]
			return f
		}
		for _, c := range t.Chains {
			if is(c.Name, c.Handle) {
				f.chain = c
			}
		}
	case "set", "map":
		for _, s := range t.order {
			if is(s.Name, s.Handle) && (kind == "set" || s.Map || s.Objects) {
				f.set = s
			}
		}
	case "flowtable":
		for _, x := range t.Flowtables {
			if is(x.Name, x.Handle) {
				f.flowtable = x
			}
		}
	default:
		number, _ := words.Find(words.ObjectTypes, kind)
		for _, o := range t.Objects {
			if is(o.Name, o.Handle) && uint64(o.Type) == number {
				f.object = o
			}
		}
	}
	return f
}

// Where is a place in a chain: By is handle, position (which is a handle, too),
// index (from 0) or empty, which is the chain's end or, for insert, its beginning.
type Where struct {
	Insert bool
	By     string
	Number uint64
}

// Place adds a rule at a place in its chain: behind the rule there or, for
// insert, in front of it.
func (c *Compiler) Place(d *syntax.Rule, w Where) error {
	return catch(func() {
		c.rule(d)
		chain := c.tables[tableKey{d.Family, d.Table}].chains[d.Chain]
		last := len(chain.Rules) - 1
		i := last
		switch {
		case w.By != "":
			i = c.ruleAt(d.Pos, chain.Rules[:last], w)
			if !w.Insert {
				i++
			}
		case w.Insert:
			i = 0
		}
		c.work(d.Pos, last-i)
		r := chain.Rules[last]
		copy(chain.Rules[i+1:], chain.Rules[i:last])
		chain.Rules[i] = r
	})
}

func (c *Compiler) ruleAt(at syntax.Pos, list []*rules.Rule, w Where) int {
	i := -1
	if w.By == "index" {
		if w.Number < uint64(len(list)) {
			i = int(w.Number)
		}
	} else {
		c.work(at, len(list))
		i = slices.IndexFunc(list, func(r *rules.Rule) bool { return r.Handle == w.Number && r.Handle != 0 })
	}
	if i < 0 {
		panic(bail{at.Errorf("the chain has no rule of %s %d so far", strings.Replace(w.By, "position", "handle", 1), w.Number)})
	}
	return i
}

// Replace puts a rule in the place of the one with a handle, and keeps the handle.
func (c *Compiler) Replace(d *syntax.Rule, handle uint64) error {
	return catch(func() {
		c.rule(d)
		t := c.tables[tableKey{d.Family, d.Table}]
		chain := t.chains[d.Chain]
		last := len(chain.Rules) - 1
		i := c.ruleAt(d.Pos, chain.Rules[:last], Where{By: "handle", Number: handle})
		r := chain.Rules[last]
		r.Handle = handle
		chain.Rules[i], chain.Rules = r, chain.Rules[:last]
		t.release()
	})
}

// DeleteRule takes the rule with a handle away.
func (c *Compiler) DeleteRule(ref Ref) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		chain := t.find("chain", Ref{Name: ref.Name}).must(ref).chain
		i := c.ruleAt(ref.Pos, chain.Rules, Where{By: "handle", Number: ref.Handle})
		c.work(ref.Pos, len(chain.Rules)-i)
		chain.Rules = slices.Delete(chain.Rules, i, i+1)
		t.stale = true
	})
}

// release forgets the sets and chains without names that no rule refers to any
// more.
func (t *table) release() { t.stale = true }

// sweep does what release has left for later.
func (t *table) sweep() {
	if !t.stale {
		return
	}
	t.stale = false
	sets, chains := map[string]bool{}, map[string]bool{}
	var visit func(list []*rules.Rule)
	verdict := func(v *rules.Verdict) {
		if v == nil || chains[v.Chain] {
			return
		}
		if c := t.chains[v.Chain]; c != nil && bound(c) {
			chains[c.Name] = true
			visit(c.Rules)
		}
	}
	visit = func(list []*rules.Rule) {
		for _, r := range list {
			for _, e := range r.Exprs {
				switch e := e.(type) {
				case *rules.Lookup:
					sets[e.Set] = true
				case *rules.ObjRef:
					sets[e.Set] = true
				case *rules.Immediate:
					verdict(e.Verdict)
				}
			}
		}
	}
	for _, c := range t.Chains {
		if !bound(c) {
			visit(c.Rules)
		}
	}
	t.Chains = slices.DeleteFunc(t.Chains, func(c *rules.Chain) bool {
		gone := bound(c) && !chains[c.Name]
		if gone {
			delete(t.chains, c.Name)
		}
		return gone
	})
	gone := func(s *rules.Set) bool { return s.Anonymous && !sets[s.Name] }
	t.order = slices.DeleteFunc(t.order, func(s *set) bool {
		if gone(s.Set) {
			delete(t.sets, s.Name)
		}
		return gone(s.Set)
	})
	t.Sets = slices.DeleteFunc(t.Sets, gone)
}

// bound tells whether a chain is the body of a jump (NFT_CHAIN_BINDING).
func bound(c *rules.Chain) bool { return slices.Contains(c.Flags, "binding") }
