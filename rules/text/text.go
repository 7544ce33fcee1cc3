// Package text prints rules as their own tool does: those of nftables as `nft
// list ruleset` of nft 1.0.6, those of iptables as iptables-save of 1.8.9.
//
// The kernel has no text of a rule, only expressions over registers. Printing
// follows them (registers.go), gives each value the type of what it is compared
// with, names the fields of the headers that the rule is known to be about, and
// leaves out the comparisons that a field implies (fold.go, context.go). What
// can't be folded back is written in brackets as the kernel has it, and a field
// that has no name as @base,offset,length. Nothing is dropped.
//
// Rules of iptables are already in its words (iptables.go), or for iptables on
// nftables are brought back into them (iptablesnft.go); bytes are written of what
// package xt doesn't know.
//
// Where nft is wrong, the text is right and differs: nft writes a range for two
// comparisons that follow each other even if they are of different things.
package text

import (
	"time"

	"github.com/portwhy/portwhy/rules"
)

// Printer prints with names that only the host can tell. The zero value prints
// numbers where it would need them.
type Printer struct {
	// Interface is a device's name by its index, empty if there is none.
	Interface func(index uint32) string
	// Location is the time zone of hours and dates, time.Local if nil.
	Location *time.Location
	// Now tells whether it is summer time; the current time if zero.
	Now time.Time
	// Counters writes what iptables' rules have counted before each rule of a
	// table, as iptables-save -c does.
	Counters bool
}

// Rule is a rule as its tool prints it.
func Rule(t *rules.Table, c *rules.Chain, r *rules.Rule) string {
	return (&Printer{}).Rule(t, c, r)
}

// Table is a whole table as its tool prints it.
func Table(t *rules.Table) string { return (&Printer{}).Table(t) }

// Ruleset is all tables, each as its tool prints it.
func Ruleset(s *rules.Ruleset) string { return (&Printer{}).Ruleset(s) }

// Rule is a rule as its tool prints it.
func (p *Printer) Rule(t *rules.Table, c *rules.Chain, r *rules.Rule) string {
	w := &writer{p: p.of(t, false)}
	w.rule(c, r)
	return string(w.buf)
}

// Rules fills the Text of every rule of a table.
func (p *Printer) Rules(t *rules.Table) {
	w := &writer{p: p.of(t, true)}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			w.buf = w.buf[:0]
			w.rule(c, r)
			r.Text = string(w.buf)
		}
	}
}

// Table is a whole table as its tool prints it.
func (p *Printer) Table(t *rules.Table) string {
	w := &writer{p: p.of(t, true)}
	w.table()
	return string(w.buf)
}

// Ruleset is all tables, each as its tool prints it.
func (p *Printer) Ruleset(s *rules.Ruleset) string {
	w := &writer{}
	for _, t := range s.Tables {
		w.p = p.of(t, true)
		if iptables(t) {
			w.title()
		}
		w.table()
	}
	return string(w.buf)
}

func (p *Printer) of(t *rules.Table, index bool) *printer {
	q := &printer{Printer: p, t: t, family: t.Family}
	if index {
		q.sets = make(map[string]*rules.Set, len(t.Sets))
		for _, s := range t.Sets {
			if _, again := q.sets[s.Name]; !again {
				q.sets[s.Name] = s
			}
		}
	}
	return q
}

// printer prints one table.
type printer struct {
	*Printer
	t      *rules.Table
	family rules.Family
	sets   map[string]*rules.Set
}

func (p *printer) set(name string) *rules.Set {
	if p.sets == nil {
		return p.t.Set(name)
	}
	return p.sets[name]
}

func (p *printer) location() *time.Location {
	if p.Location != nil {
		return p.Location
	}
	return time.Local
}

func (p *printer) now() time.Time {
	if p.Now.IsZero() {
		return time.Now()
	}
	return p.Now
}

// anonymousChain finds a chain that is written where it is called.
func (p *printer) anonymousChain(name string) *rules.Chain {
	c := p.t.Chain(name)
	if c == nil || !bound(c) {
		return nil
	}
	return c
}

// bound says whether a chain belongs to the rule that calls it (NFT_CHAIN_BINDING).
func bound(c *rules.Chain) bool {
	for _, f := range c.Flags {
		if f == "binding" {
			return true
		}
	}
	return false
}

// iptables says whether a table is written as iptables-save does.
func iptables(t *rules.Table) bool {
	return t.Backend == rules.IptablesLegacy || t.Backend == rules.IptablesNFT
}

func (w *writer) rule(c *rules.Chain, r *rules.Rule) {
	if !iptables(w.p.t) || !w.saved(c, r) {
		w.native(r)
	}
}

// native writes a rule as nft does.
func (w *writer) native(r *rules.Rule) {
	rd := &reader{p: w.p}
	for _, e := range r.Exprs.All() {
		rd.read(e)
	}
	first := true
	for _, s := range fold(w.p.family, rd.stmts) {
		if s.dead {
			continue
		}
		if !first {
			w.str(" ")
		}
		first = false
		w.stmt(s)
	}
	if r.About().Comment != "" {
		w.str(" comment ")
		w.quoted(r.About().Comment)
	}
}
