package firewall

import (
	"fmt"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/text"
	"github.com/portwhy/portwhy/rules/words"
)

// RulesSchema names the JSON form of [Page].
const RulesSchema = "portwhy.rules/v1"

// Page is the ruleset as one document. Its JSON form is a promise: within v1
// fields are only added.
type Page struct {
	Schema string        `json:"schema"`
	Tool   diagnose.Tool `json:"tool"`
	At     time.Time     `json:"at"`
	// Fingerprint is what [Page.Seal] fills in.
	Fingerprint string       `json:"fingerprint"`
	Tables      []Table      `json:"tables"`
	IPSets      []IPSet      `json:"ipsets"`
	Opaque      []Opaque     `json:"opaque"`
	Limits      []host.Limit `json:"limits"`
}

// Table is a table of nftables or iptables.
type Table struct {
	Backend    rules.Backend `json:"backend"`
	Family     string        `json:"family"`
	Name       string        `json:"name"`
	Handle     *uint64       `json:"handle"`
	Flags      []string      `json:"flags"`
	Comment    string        `json:"comment,omitempty"`
	Chains     []Chain       `json:"chains"`
	Sets       []Set         `json:"sets"`
	Objects    []Object      `json:"objects"`
	Flowtables []Flowtable   `json:"flowtables"`
}

// Chain is a chain; hook, priority, type and policy are null for one that only
// jumps lead to.
type Chain struct {
	Name     string      `json:"name"`
	Handle   *uint64     `json:"handle"`
	Hook     *rules.Hook `json:"hook"`
	Priority *int32      `json:"priority"`
	Type     *string     `json:"type"`
	Policy   *string     `json:"policy"`
	Devices  []string    `json:"devices"`
	Packets  *uint64     `json:"packets"` // of the policy; null where it doesn't count
	Bytes    *uint64     `json:"bytes"`
	Comment  string      `json:"comment,omitempty"`
	Rules    []PageRule  `json:"rules"`
}

// PageRule is a rule. Opaque are the kernel's names of what in it is not
// understood.
type PageRule struct {
	Handle  *uint64  `json:"handle"`
	Number  int      `json:"number"`
	Text    string   `json:"text"`
	Comment string   `json:"comment,omitempty"`
	Packets *uint64  `json:"packets"` // null where the rule doesn't count
	Bytes   *uint64  `json:"bytes"`
	Opaque  []string `json:"opaque"`
	File    string   `json:"file,omitempty"`
	Line    int      `json:"line,omitempty"`
}

// Set is a named set or map of nftables.
type Set struct {
	Name   string   `json:"name"`
	Handle *uint64  `json:"handle"`
	Type   string   `json:"type"` // as nft writes it: ipv4_addr . inet_service, or with : and a map's values
	Map    bool     `json:"map"`
	Flags  []string `json:"flags"`
	Size   *uint32  `json:"size"`
	// Elements is how many there are, null if that is not known; ElementsKnown
	// says whether they were all read.
	Elements      *int `json:"elements"`
	ElementsKnown bool `json:"elements_known"`
	// Digest tells elements apart; empty for a set that changes by itself or was
	// not read whole.
	Digest  string `json:"digest,omitempty"`
	Comment string `json:"comment,omitempty"`
}

// Object is a named stateful object.
type Object struct {
	Name   string  `json:"name"`
	Handle *uint64 `json:"handle"`
	Type   string  `json:"type"`
}

// Flowtable is a fast path for forwarded flows.
type Flowtable struct {
	Name     string   `json:"name"`
	Handle   *uint64  `json:"handle"`
	Priority int32    `json:"priority"`
	Devices  []string `json:"devices"`
}

// IPSet is a set of ipset.
type IPSet struct {
	Name          string `json:"name"`
	Type          string `json:"type"`
	Family        string `json:"family,omitempty"`
	Elements      *int   `json:"elements"`
	ElementsKnown bool   `json:"elements_known"`
	Digest        string `json:"digest,omitempty"` // as of a [Set]
}

// Opaque is what is not understood.
type Opaque struct {
	Rule       *Rule  `json:"rule"` // null for what is not in a rule, such as an object
	Expression string `json:"expression"`
	Why        string `json:"why"`
}

// NewPage describes a ruleset. The printer fills in the text of each rule.
func NewPage(set *rules.Ruleset, printer *text.Printer, limits []host.Limit, at time.Time, version string) *Page {
	p := &Page{Schema: RulesSchema, Tool: diagnose.ToolOf(version), At: at,
		Tables: []Table{}, IPSets: []IPSet{}, Opaque: []Opaque{}, Limits: limits}
	if p.Limits == nil {
		p.Limits = []host.Limit{}
	}
	for _, t := range set.Tables {
		write(t, printer)
		p.Tables = append(p.Tables, p.table(t))
	}
	for _, s := range set.IPSets {
		known := IPSet{Name: s.Name, Type: s.Type, ElementsKnown: s.Known}
		if s.Family != 0 {
			known.Family = s.Family.String()
		}
		if s.Known {
			n := len(s.Elements)
			known.Elements = &n
		}
		p.IPSets = append(p.IPSets, known)
	}
	return p
}

// write gives each rule its text, unless its file did.
func write(t *rules.Table, printer *text.Printer) {
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if r.Text == "" {
				printer.Rules(t)
				return
			}
		}
	}
}

func handle(n uint64) *uint64 {
	if n == 0 {
		return nil
	}
	return &n
}

func (p *Page) table(t *rules.Table) Table {
	d := Table{Backend: t.Backend, Family: t.Family.String(), Name: t.Name, Handle: handle(t.Handle), Flags: all(t.Flags), Comment: t.Comment,
		Chains: []Chain{}, Sets: []Set{}, Objects: []Object{}, Flowtables: []Flowtable{}}
	for _, c := range t.Chains {
		d.Chains = append(d.Chains, p.chain(t, c))
	}
	for _, s := range t.Sets {
		p.stateful(s.Exprs)
		for _, e := range s.Elements.All() {
			p.stateful(e.Exprs)
		}
		if !s.Anonymous {
			d.Sets = append(d.Sets, describeSet(s))
		}
	}
	for _, o := range t.Objects {
		name := "object"
		if o.Expr != nil {
			name = o.Expr.Name()
			p.stateful(rules.Exprs{o.Expr})
		}
		d.Objects = append(d.Objects, Object{o.Name, handle(o.Handle), name})
	}
	for _, f := range t.Flowtables {
		d.Flowtables = append(d.Flowtables, Flowtable{f.Name, handle(f.Handle), f.Priority, all(f.Devices)})
	}
	return d
}

// stateful notes what is not understood and is in no rule.
func (p *Page) stateful(exprs rules.Exprs) {
	for _, e := range exprs {
		p.expression(nil, e, nil)
	}
}

// all is the list, never nil.
func all(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (p *Page) chain(t *rules.Table, c *rules.Chain) Chain {
	d := Chain{Name: c.Name, Handle: handle(c.Handle), Devices: all(c.Devices), Comment: c.Comment, Rules: make([]PageRule, 0, len(c.Rules))}
	if c.Base() {
		hook, priority, kind, policy := c.Hook, c.Priority, c.Type, c.Policy
		d.Hook, d.Priority, d.Type, d.Policy = &hook, &priority, &kind, &policy
		if t.Backend != rules.NFT {
			packets, bytes := c.Packets, c.Bytes
			d.Packets, d.Bytes = &packets, &bytes
		}
	}
	in := &ruleAt{table: t, chain: c}
	var s rules.Scratch
	for _, r := range c.Rules {
		about := r.About()
		rule := PageRule{Handle: handle(about.Handle), Number: int(r.Number), Text: r.Text, Comment: about.Comment, Opaque: []string{}, File: about.File, Line: int(r.Line)}
		if about.Counted {
			counted := [2]uint64{about.Packets, about.Bytes}
			rule.Packets, rule.Bytes = &counted[0], &counted[1]
		}
		in.rule = r
		exprs := r.Exprs
		for e := exprs.Next(&s); e != nil; e = exprs.Next(&s) {
			rule.Opaque = p.expression(in, e, rule.Opaque)
		}
		d.Rules = append(d.Rules, rule)
	}
	return d
}

// ruleAt is a rule with where it is; nil for none.
type ruleAt struct {
	table *rules.Table
	chain *rules.Chain
	rule  *rules.Rule
}

// describe tells which rule it is.
func (at *ruleAt) describe() *Rule {
	if at == nil {
		return nil
	}
	number, about := int(at.rule.Number), at.rule.About()
	return &Rule{Backend: at.table.Backend, Family: at.table.Family.String(), Table: at.table.Name, Chain: at.chain.Name,
		Handle: handle(about.Handle), Number: &number, Text: at.rule.Text, File: about.File, Line: int(at.rule.Line)}
}

// expression notes what is not understood, and adds its names.
func (p *Page) expression(in *ruleAt, e rules.Expr, names []string) []string {
	switch x := e.(type) {
	case *rules.Opaque:
		names = append(names, x.Kind)
		p.Opaque = append(p.Opaque, Opaque{in.describe(), x.Kind, x.Why})
	case *rules.Dynset:
		for _, e := range x.Exprs {
			names = p.expression(in, e, names)
		}
	}
	return names
}

func describeSet(s *rules.Set) Set {
	d := Set{Name: s.Name, Handle: handle(s.Handle), Type: text.SetType(s), Map: s.Map, Flags: []string{}, ElementsKnown: s.Known, Comment: s.Comment}
	for _, f := range words.SetFlags {
		if s.Flags&uint32(f.Value) != 0 {
			d.Flags = append(d.Flags, f.Name)
		}
	}
	if s.Size != 0 {
		size := s.Size
		d.Size = &size
	}
	if n := elementsOf(s); n >= 0 {
		d.Elements = &n
	}
	return d
}

// elementsOf is how many elements a set has, -1 if that is not known. Ranges are
// kept by their borders, and nobody counts those.
func elementsOf(s *rules.Set) int {
	ranges := s.Interval && !s.Concat
	switch {
	case s.Known && ranges:
		return s.Elements.Starts()
	case s.Known:
		return s.Elements.Len()
	case ranges && s.Count > 0:
		return s.Count / 2 // about: a range up to the last key has one border
	}
	return s.Count
}

// Where says where a rule stands, in one line.
func (r Rule) Where() string {
	s := fmt.Sprintf("%s %s %s", r.Family, r.Table, r.Chain)
	switch {
	case r.Handle != nil:
		s += fmt.Sprintf(" handle %d", *r.Handle)
	case r.Number != nil:
		s += fmt.Sprintf(" rule %d", *r.Number)
	}
	return s
}
