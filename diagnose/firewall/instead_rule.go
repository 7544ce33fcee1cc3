package firewall

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/xtables"
)

// Place is where in a chain a rule is added.
type Place int

// The places: before the rule that decided (at the end, if the policy did), or
// before all others.
const (
	BeforeIt Place = iota
	OnTop
)

// supposed is the comment of rules that aren't really there.
const supposed = "supposed by portwhy, to see what follows"

// With is the firewall as it would be with a new rule in the chain that decided.
// The rule is written as the chain's own tool takes it, without the chain: `tcp
// dport 80 accept`, or `-p tcp --dport 80 -j ACCEPT`.
func (t *Tracer) With(decided *Trace, place Place, rule string) (*Tracer, error) {
	d := decided.DecidedBy
	added, err := t.parseRule(d.Backend, d.Family, rule)
	if err != nil {
		return nil, err
	}
	return t.changed(decided.chain, func(c *rules.Chain) {
		at := slices.Index(c.Rules, decided.decided)
		switch {
		case place == OnTop:
			at = 0
		case at < 0:
			at = len(c.Rules)
		}
		insert(c, at, added)
	}), nil
}

// Instead is the firewall as it would be with another rule in place of the one
// that decided, written as in [Tracer.With].
func (t *Tracer) Instead(decided *Trace, rule string) (*Tracer, error) {
	other, err := t.parseRule(decided.DecidedBy.Backend, decided.DecidedBy.Family, rule)
	if err != nil {
		return nil, err
	}
	return t.changed(decided.chain, func(c *rules.Chain) {
		c.Rules = slices.Clone(c.Rules)
		if at := slices.Index(c.Rules, decided.decided); at >= 0 {
			moved, about := *other, other.About()
			about.Handle = decided.decided.About().Handle
			moved.Tell(about)
			moved.Number = int32(at + 1)
			c.Rules[at] = &moved
		}
	}), nil
}

// insert adds a rule to a chain that is the caller's own.
func insert(c *rules.Chain, at int, added *rules.Rule) {
	c.Rules = slices.Insert(slices.Clone(c.Rules), at, added)
	for i, r := range c.Rules { // places have moved
		moved := *r
		moved.Number = int32(i + 1)
		c.Rules[i] = &moved
	}
}

// WithLast is the firewall as it would be with a new rule at the end of a chain
// of iptables; nil if there is no such chain.
func (t *Tracer) WithLast(backend rules.Backend, family, table, chain, rule string) (*Tracer, error) {
	for _, x := range t.set.Tables {
		if x.Backend != backend || x.Family.String() != family || x.Name != table || x.Chain(chain) == nil {
			continue
		}
		added, err := t.parseRule(backend, family, rule)
		if err != nil {
			return nil, err
		}
		return t.changed(x.Chain(chain), func(c *rules.Chain) { insert(c, len(c.Rules), added) }), nil
	}
	return nil, nil
}

// Beside is the firewall as it would be with a table of nftables more, written as
// nft takes it.
func (t *Tracer) Beside(table string) (*Tracer, error) {
	more, err := nfttext.Parse("table", table, nfttext.Options{Options: compile.Options{Interface: t.interfaceIndex}})
	if err != nil {
		return nil, err
	}
	set := *t.set
	set.Tables = slices.Concat(t.set.Tables, more.Tables)
	return t.of(&set), nil
}

func (t *Tracer) parseRule(backend rules.Backend, familyName, rule string) (*rules.Rule, error) {
	var set *rules.Ruleset
	var err error
	if backend == rules.NFT {
		options := nfttext.Options{Options: compile.Options{Interface: t.interfaceIndex}}
		set, err = nfttext.Parse("rule", fmt.Sprintf("table %s t {\n chain c {\n %s\n }\n}\n", familyName, rule), options)
	} else {
		family, _ := rules.ParseFamily(familyName)
		set, err = xtables.Parse("rule", fmt.Appendf(nil, "*nat\n:c - [0:0]\n-A c %s\nCOMMIT\n", rule), family)
	}
	if err != nil {
		return nil, err
	}
	for _, table := range set.Tables {
		if c := table.Chain("c"); c != nil && len(c.Rules) == 1 && len(table.Sets) == 0 {
			r := *c.Rules[0]
			about := r.About()
			about.File, about.Comment = "", supposed
			r.Tell(about)
			r.Text, r.Line = strings.TrimPrefix(rule, "-A c "), 0
			return &r, nil
		}
	}
	return nil, fmt.Errorf("%q is not one rule without sets", rule)
}

func (t *Tracer) interfaceIndex(name string) (uint32, bool) {
	n := t.index(name)
	return n, n != 0
}

// Commented are the handles of the rules of a chain of nftables with a comment.
func Commented(set *rules.Ruleset, family, table, chain, comment string) []uint64 {
	var handles []uint64
	for _, t := range set.Tables {
		if t.Backend != rules.NFT || t.Family.String() != family || t.Name != table {
			continue
		}
		c := t.Chain(chain)
		if c == nil {
			continue
		}
		for _, r := range c.Rules {
			if r.About().Comment == comment {
				handles = append(handles, r.About().Handle)
			}
		}
	}
	return handles
}
