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

// workMax bounds how many things commands look at.
const workMax = 1 << 28

// work counts what a command has to look at.
func (c *Compiler) work(at syntax.Pos, n int) {
	if c.worked += n; c.worked > workMax {
		panic(bail{at.Errorf("expected fewer commands that change what has many rules or things in it")})
	}
}

// Has tells whether a table (Kind table), chain, set, map, flowtable or object
// is there.
func (c *Compiler) Has(kind string, ref Ref) (has bool, err error) {
	err = catch(func() {
		if kind == "table" {
			has = c.findTable(ref) != nil
		} else if t := c.tables[tableKey{ref.Family, ref.Table}]; t != nil {
			has = c.find(t, kind, ref).found()
		}
	})
	return has, err
}

// Flush forgets all tables of a family, or all with family 0.
func (c *Compiler) Flush(ref Ref) error {
	return catch(func() {
		c.work(ref.Pos, len(c.list))
		c.list = slices.DeleteFunc(c.list, func(t *table) bool {
			if ref.Family != 0 && t.Family != ref.Family {
				return false
			}
			t.gone = true
			delete(c.tables, tableKey{t.Family, t.Name})
			return true
		})
	})
}

// FlushTable takes the rules of all chains of a table away.
func (c *Compiler) FlushTable(ref Ref) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		c.work(ref.Pos, len(t.Chains))
		for _, chain := range t.Chains {
			chain.Rules = nil
		}
		t.stale = true
	})
}

// FlushChain takes the rules of a chain away.
func (c *Compiler) FlushChain(ref Ref) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		c.find(t, "chain", ref).must(ref).chain.Rules = nil
		t.stale = true
	})
}

// FlushSet takes the elements of a set or map away.
func (c *Compiler) FlushSet(ref Ref) error {
	return catch(func() {
		s := c.find(c.in(ref.Pos, ref.Family, ref.Table).table, "set", ref).must(ref).set
		c.elements -= s.Elements.Len() + s.borders.Len()
		s.Elements, s.borders = rules.Elements{}, ranges{}
	})
}

// RenameChain gives a chain another name.
func (c *Compiler) RenameChain(ref Ref, name string) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		chain := c.find(t, "chain", ref).must(ref).chain
		if t.chains[name] != nil {
			panic(bail{ref.Errorf("chain %s is there already", name)})
		}
		delete(t.chains, chain.Name)
		t.chains[name] = chain
		c.rename(ref.Pos, t, chain.Name, name)
		chain.Name = name
	})
}

// rename leads to a chain by its new name who led to it by its old one.
func (c *Compiler) rename(at syntax.Pos, t *table, old, name string) {
	t.verdicts(func(v *rules.Verdict) {
		c.work(at, 1)
		if v.Chain == old {
			v.Chain = name
		}
	})
	clear(c.shared.verdict) // they may lead elsewhere now
	if at, ok := t.wanted[old]; ok {
		t.wanted[name] = at
	}
}

// verdicts calls f for each verdict of a table's rules and sets.
func (t *table) verdicts(f func(*rules.Verdict)) {
	for _, chain := range t.Chains {
		for _, r := range chain.Rules {
			for _, e := range r.Exprs.All() {
				if i, ok := e.(*rules.Immediate); ok && i.Verdict != nil {
					f(i.Verdict)
				}
			}
		}
	}
	for _, s := range t.order {
		for _, el := range s.Elements.All() {
			if el.Verdict != nil {
				f(el.Verdict)
			}
		}
		for _, more := range s.borders.more {
			if more != nil && more.Verdict != nil {
				f(more.Verdict)
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
		if t.gone {
			continue
		}
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
			t := c.findTable(ref)
			if t == nil {
				panic(bail{ref.Errorf("no table %s %s so far", ref.Family, ref.Table)})
			}
			t.gone = true
			delete(c.tables, tableKey{t.Family, t.Name})
			return
		}
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		f := c.find(t, kind, ref).must(ref)
		t.stale = true
		switch {
		case f.chain != nil:
			if len(f.chain.Rules) > 0 {
				panic(bail{ref.Errorf("expected a chain without rules: %s has %d", f.chain.Name, len(f.chain.Rules))})
			}
			delete(t.chains, f.chain.Name)
		case f.set != nil:
			delete(t.sets, f.set.Name)
		case f.object != nil:
			delete(t.objects, objectKey{f.object.Type, f.object.Name})
		case f.flowtable != nil:
			c.work(ref.Pos, len(t.Flowtables))
			t.Flowtables = slices.DeleteFunc(t.Flowtables, func(x *rules.Flowtable) bool { return x == f.flowtable })
		}
	})
}

func (c *Compiler) findTable(ref Ref) *table {
	if ref.Handle == 0 {
		return c.tables[tableKey{ref.Family, ref.Table}]
	}
	c.work(ref.Pos, len(c.list))
	for _, t := range c.list {
		if !t.gone && t.Family == ref.Family && t.Handle == ref.Handle {
			return t
		}
	}
	return nil
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

func (c *Compiler) find(t *table, kind string, ref Ref) found {
	f := found{kind: kind}
	number, _ := words.Find(words.ObjectTypes, kind)
	if ref.Handle == 0 {
		switch kind {
		case "chain":
			f.chain = t.chains[ref.Name]
		case "set", "map":
			f.set = t.sets[ref.Name]
		case "flowtable":
		default:
			f.object = t.objects[objectKey{uint32(number), ref.Name}]
		}
		if f.set != nil && kind == "map" && !f.set.Map && !f.set.Objects {
			f.set = nil
		}
		if kind != "flowtable" {
			return f
		}
	}
	c.work(ref.Pos, len(t.Chains)+len(t.order)+len(t.Flowtables)+len(t.Objects))
	for _, x := range t.Chains {
		if kind == "chain" && x.Handle == ref.Handle && t.chains[x.Name] == x {
			f.chain = x
		}
	}
	for _, s := range t.order {
		if (kind == "set" || kind == "map" && (s.Map || s.Objects)) && s.Handle == ref.Handle && t.sets[s.Name] == s {
			f.set = s
		}
	}
	for _, x := range t.Flowtables {
		if kind == "flowtable" && (ref.Handle == 0 && x.Name == ref.Name || ref.Handle != 0 && x.Handle == ref.Handle) {
			f.flowtable = x
		}
	}
	for _, o := range t.Objects {
		if uint64(o.Type) == number && o.Handle == ref.Handle && t.objects[objectKey{o.Type, o.Name}] == o {
			f.object = o
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
		c.work(d.Pos, (last-i)/8) // they are moved in one go
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
		i = slices.IndexFunc(list, func(r *rules.Rule) bool { handle := r.About().Handle; return handle == w.Number && handle != 0 })
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
		a := r.About()
		a.Handle = handle
		r.Tell(a)
		chain.Rules[i], chain.Rules = r, chain.Rules[:last]
		t.stale = true
	})
}

// DeleteRule takes the rule with a handle away.
func (c *Compiler) DeleteRule(ref Ref) error {
	return catch(func() {
		t := c.in(ref.Pos, ref.Family, ref.Table).table
		chain := c.find(t, "chain", Ref{Name: ref.Name}).must(ref).chain
		i := c.ruleAt(ref.Pos, chain.Rules, Where{By: "handle", Number: ref.Handle})
		chain.Rules = slices.Delete(chain.Rules, i, i+1)
		t.stale = true
	})
}

// sweep forgets what was deleted, and the sets and chains without names that no
// rule refers to any more.
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
			for _, e := range r.Exprs.All() {
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
	for _, c := range t.Chains {
		if bound(c) && !chains[c.Name] {
			delete(t.chains, c.Name)
		}
	}
	t.Chains = slices.DeleteFunc(t.Chains, func(c *rules.Chain) bool { return t.chains[c.Name] != c })
	for _, s := range t.order {
		if s.Anonymous && !sets[s.Name] {
			delete(t.sets, s.Name)
		}
	}
	t.order = slices.DeleteFunc(t.order, func(s *set) bool { return t.sets[s.Name] != s })
	t.Sets = t.Sets[:0]
	for _, s := range t.order {
		t.Sets = append(t.Sets, s.Set)
	}
	t.Objects = slices.DeleteFunc(t.Objects, func(o *rules.Object) bool { return t.objects[objectKey{o.Type, o.Name}] != o })
}

// bound tells whether a chain is the body of a jump (NFT_CHAIN_BINDING).
func bound(c *rules.Chain) bool { return slices.Contains(c.Flags, "binding") }
