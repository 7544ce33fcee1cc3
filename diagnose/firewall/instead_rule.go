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

// With is the firewall as it would be with a new rule in the chain that decided.
// The rule is written as the chain's own tool takes it, without the chain: `tcp
// dport 80 accept`, or `-p tcp --dport 80 -j ACCEPT`.
func (t *Tracer) With(decided *Trace, place Place, rule string) (*Tracer, error) {
	added, err := t.parseRule(decided, rule)
	if err != nil {
		return nil, err
	}
	return t.changed(decided, func(c *rules.Chain) {
		at := slices.Index(c.Rules, decided.decided)
		switch {
		case place == OnTop:
			at = 0
		case at < 0:
			at = len(c.Rules)
		}
		c.Rules = slices.Insert(slices.Clone(c.Rules), at, added)
		for i, r := range c.Rules { // places have moved
			moved := *r
			moved.Number = i + 1
			c.Rules[i] = &moved
		}
	}), nil
}

// Instead is the firewall as it would be with another rule in place of the one
// that decided, written as in [Tracer.With].
func (t *Tracer) Instead(decided *Trace, rule string) (*Tracer, error) {
	other, err := t.parseRule(decided, rule)
	if err != nil {
		return nil, err
	}
	return t.changed(decided, func(c *rules.Chain) {
		c.Rules = slices.Clone(c.Rules)
		if at := slices.Index(c.Rules, decided.decided); at >= 0 {
			moved := *other
			moved.Number, moved.Handle = at+1, decided.decided.Handle
			c.Rules[at] = &moved
		}
	}), nil
}

func (t *Tracer) parseRule(decided *Trace, rule string) (*rules.Rule, error) {
	d := decided.DecidedBy
	var set *rules.Ruleset
	var err error
	if d.Backend == rules.NFT {
		options := nfttext.Options{Options: compile.Options{Interface: t.interfaceIndex}}
		set, err = nfttext.Parse("rule", fmt.Sprintf("table %s t {\n chain c {\n %s\n }\n}\n", d.Family, rule), options)
	} else {
		family, _ := rules.ParseFamily(d.Family)
		set, err = xtables.Parse("rule", fmt.Appendf(nil, "*filter\n:c - [0:0]\n-A c %s\nCOMMIT\n", rule), family)
	}
	if err != nil {
		return nil, err
	}
	for _, table := range set.Tables {
		if c := table.Chain("c"); c != nil && len(c.Rules) == 1 && len(table.Sets) == 0 {
			r := *c.Rules[0]
			r.Text, r.Line, r.File = strings.TrimPrefix(rule, "-A c "), 0, ""
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
			if r.Comment == comment {
				handles = append(handles, r.Handle)
			}
		}
	}
	return handles
}
