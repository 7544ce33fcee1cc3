// Package compile turns nft's language into what the kernel holds, as nft 1.0.6
// does: it gives values the types and byte orders of what they are compared
// with, adds the comparisons of protocols that a field implies, makes sets of
// what is written in rules, and writes expressions over registers. The
// functions name those of nft's src/evaluate.c, src/payload.c, src/intervals.c
// and src/netlink_linearize.c whose results they have.
//
// # What can't be told
//
// Names whose meaning only the host knows (users, devices by index, marks,
// ports that are not well-known, hours without a time zone) make the statement
// Opaque with the reason. A device's index is not needed where its name does:
// `iif "eth0"` becomes a comparison of iifname. What is not nft's language is a
// [rules.SyntaxError].
package compile

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nft"
	"github.com/portwhy/portwhy/rules/syntax"
)

// Options is what only the host of the rules can tell. The zero value tells nothing.
type Options struct {
	// Interface is a device's index by its name, false if there is none. The
	// index of lo is known without.
	Interface func(name string) (uint32, bool)
	// Location is the time zone of hours and dates.
	Location *time.Location
	// Listed says that nft wrote the ruleset: a statement that doesn't fit is then
	// a fault of what nft wrote, and becomes Opaque. Otherwise it is an error.
	Listed bool
	// Unequal is what the nft that made the rules makes of `tcp sport != 1 tcp dport != 2`.
	Unequal Unequal
}

// Unequal is what becomes of two comparisons with != of fields that lie side by
// side and have up to four bytes. Up to nft 1.0.9 they are merged into one, so
// that the rule matches if either differs; nft 1.1.0 keeps them apart. Where it
// isn't known, the two are Opaque.
type Unequal uint8

// What becomes of them.
const (
	UnequalUnknown Unequal = iota
	UnequalMerged
	UnequalApart
)

// Compiler takes a ruleset, one thing at a time.
type Compiler struct {
	opts   Options
	list   []*table
	tables map[tableKey]*table
	now    time.Time
	// elements is how many there are in named sets.
	elements int
	shared   shared
	// worked is how many things commands have looked at.
	worked int
}

type tableKey struct {
	family rules.Family
	name   string
}

// table is a table while it is compiled.
type table struct {
	*rules.Table
	chains  map[string]*rules.Chain
	sets    map[string]*set
	order   []*set
	numbers map[string]int        // of sets and chains without names
	wanted  map[string]syntax.Pos // chains, and where one first led there
	objects map[objectKey]*rules.Object
	gone    bool // deleted
	stale   bool // rules were taken away, and sets of theirs are still there
}

type objectKey struct {
	kind uint32
	name string
}

// New makes a compiler of an empty ruleset.
func New(opts Options) *Compiler {
	return &Compiler{opts: opts, tables: map[tableKey]*table{}, now: time.Now(), shared: newShared()}
}

// Add takes a thing of the ruleset. What it is in or refers to must have come
// before; chains only need to be there at the end. An error is a
// *rules.SyntaxError.
func (c *Compiler) Add(d syntax.Decl) error {
	err := catch(func() { c.add(d) })
	if u := asUnsure(err); u != nil {
		return d.Position().Errorf("%s", u.why)
	}
	return err
}

func (c *Compiler) add(d syntax.Decl) {
	switch d := d.(type) {
	case *syntax.Table:
		c.table(d)
	case *syntax.Chain:
		c.chain(d)
	case *syntax.Rule:
		c.rule(d)
	case *syntax.Set:
		c.set(d)
	case *syntax.Elements:
		r := c.in(d.Pos, d.Family, d.Table)
		s := r.named(d.Pos, d.Set)
		s.expect(d.Total)
		r.fill(s, d.Elements)
	case *syntax.SetMore:
		c.setMore(d)
	case *syntax.Object:
		c.object(d)
	case *syntax.Flowtable:
		c.flowtable(d)
	}
}

// in is the place for expressions in a table.
func (c *Compiler) in(pos syntax.Pos, family rules.Family, name string) *rule {
	t := c.tables[tableKey{family, name}]
	if t == nil {
		panic(bail{pos.Errorf("no table %s %s so far", family, name)})
	}
	return &rule{c: c, table: t, proto: newProtocols(family)}
}

func (c *Compiler) table(d *syntax.Table) {
	key := tableKey{d.Family, d.Name}
	if t := c.tables[key]; t != nil { // a block for a table that is there
		if d.Comment != "" {
			t.Comment = d.Comment
		}
		t.Flags = append(t.Flags, d.Flags...)
		return
	}
	t := &table{Table: &rules.Table{Backend: rules.NFT, Family: d.Family, Name: d.Name, Handle: d.Handle, Flags: d.Flags, Comment: d.Comment},
		chains: map[string]*rules.Chain{}, sets: map[string]*set{}, numbers: map[string]int{}, wanted: map[string]syntax.Pos{}, objects: map[objectKey]*rules.Object{}}
	c.tables[key] = t
	c.list = append(c.list, t)
}

func (t *table) addChain(c *rules.Chain) {
	t.chains[c.Name] = c
	t.Chains = append(t.Chains, c)
}

// body makes the chain of a verdict that has its rules with it. The kernel
// names it by a number (nft_chain_add).
func (c *Compiler) body(t *table, v *syntax.Verdict) string {
	t.numbers["__chain"]++
	chain := &rules.Chain{Name: "__chain" + strconv.Itoa(t.numbers["__chain"]), Flags: []string{"binding"}}
	t.addChain(chain)
	for _, d := range v.Rules {
		c.into(t, chain, d)
	}
	return chain.Name
}

func (c *Compiler) rule(d *syntax.Rule) {
	t := c.in(d.Pos, d.Family, d.Table).table
	chain := t.chains[d.Chain]
	if chain == nil {
		panic(bail{d.Pos.Errorf("table %s has no chain %q so far", d.Table, d.Chain)})
	}
	c.into(t, chain, d)
}

// into compiles a rule to the end of a chain.
func (c *Compiler) into(t *table, chain *rules.Chain, d *syntax.Rule) {
	r := &rule{c: c, table: t, proto: newProtocols(t.Family)}
	first := len(t.order)
	for _, st := range d.Statements {
		sets := len(t.order)
		r.at = len(r.list)
		before, proto := len(r.list), r.proto
		err := catch(func() { r.statement(st) })
		if err == nil {
			continue
		}
		u := c.unsure(err)
		// What the statement began is taken back.
		r.list, r.proto, r.depth, r.elements = r.list[:min(before, len(r.list))], proto, 0, nil
		t.drop(sets)
		r.opaque(u)
	}
	g := &emitter{}
	for _, s := range reduce(t.Family, r.list, c.opts.Unequal) {
		c.write(g, s)
	}
	for _, s := range t.order[first:] {
		s.finish() // nothing is added to a set without a name
	}
	out := c.shared.packer.Rule()
	*out = rules.Rule{Number: int32(len(chain.Rules) + 1), Exprs: c.shared.rule(t, g.exprs), Line: int32(d.Line)}
	about := rules.About{Handle: d.Handle, Comment: d.Comment, File: d.File}
	for _, e := range g.exprs {
		if n, ok := e.(*rules.Counter); ok {
			about.Counted, about.Packets, about.Bytes = true, n.Packets, n.Bytes
		}
	}
	c.shared.packer.Tell(out, about)
	chain.Rules = append(chain.Rules, out)
}

// drop forgets the sets from the n-th on, which a statement made that is given up.
func (t *table) drop(n int) {
	for _, s := range t.order[n:] {
		delete(t.sets, s.Name)
	}
	t.order, t.Sets = t.order[:n], t.Sets[:n]
}

// unsure is why a statement can't be told. What is wrong with it is passed on.
func (c *Compiler) unsure(err error) *unsure {
	if u := asUnsure(err); u != nil {
		return u
	}
	var wrong *rules.SyntaxError
	if !c.opts.Listed || !errors.As(err, &wrong) {
		panic(bail{err})
	}
	return &unsure{"statement", fmt.Sprintf("it can't be read as nft wrote it: %s (line %d, column %d)", wrong.Message, wrong.Line, wrong.Column)}
}

// write writes a statement, or says that it can't.
func (c *Compiler) write(g *emitter, s *statement) {
	before, free := len(g.exprs), g.free
	err := catch(func() {
		if s.match != nil {
			g.relation(s.match)
		} else {
			s.emit(g)
		}
	})
	if err == nil {
		return
	}
	u := c.unsure(err)
	g.exprs, g.free = append(g.exprs[:before], &rules.Opaque{Kind: u.kind, Why: u.why}), free
}

// Ruleset is what was added.
func (c *Compiler) Ruleset() *rules.Ruleset {
	out := &rules.Ruleset{}
	for _, t := range c.list {
		if t.gone {
			continue
		}
		t.sweep()
		t.SetDoubts = nil
		for _, s := range t.order {
			if s.finish(); s.unknown == "" {
				continue
			}
			if t.SetDoubts == nil {
				t.SetDoubts = map[string]string{}
			}
			t.SetDoubts[s.Name] = s.unknown
		}
		for _, chain := range t.Chains {
			for i, r := range chain.Rules {
				r.Number = int32(i + 1)
			}
		}
		if nft.MadeByIptables(t.Table) {
			t.Backend = rules.IptablesNFT
		}
		out.Tables = append(out.Tables, t.Table)
	}
	return out
}
