package nft

import (
	"bytes"
	"hash/maphash"

	"github.com/portwhy/portwhy/rules"
)

// store is the memory of what there may be many of. Rules are alike: most of
// their expressions are in other rules, too, and are decoded once.
type store struct {
	seed  maphash.Seed
	known [knownSize]known // the last that fell on each place
	exprs []rules.Expr     // of the rule that is being read
	rules []rules.Rule
	lists []rules.Expr
	bytes []byte
}

// known is an expression, and the bytes that it was decoded from.
type known struct {
	raw  []byte
	expr rules.Expr
}

const (
	knownSize  = 1 << 10
	rulesBlock = 128 // rules that are allocated at once
	exprsBlock = 8 * rulesBlock
	bytesBlock = 32 * rulesBlock
)

func newStore() store { return store{seed: maphash.MakeSeed()} }

// expression is like the function expression, and keeps nothing of b. Who has
// it must not change it.
func (s *store) expression(b []byte) rules.Expr {
	k := &s.known[maphash.Bytes(s.seed, b)%knownSize]
	if k.expr == nil || !bytes.Equal(k.raw, b) {
		k.raw, k.expr = append(k.raw[:0], b...), s.own(b)
	}
	return k.expr
}

// own decodes an expression whose bytes don't stay.
func (s *store) own(b []byte) rules.Expr {
	e := expression(b)
	switch x := e.(type) {
	case *rules.Cmp:
		x.Data = s.keep(x.Data)
	case *rules.Match:
		x.Data = s.keep(x.Data)
	case *rules.Payload, *rules.Meta, *rules.Counter:
	default:
		return expression(bytes.Clone(b))
	}
	return e
}

// keep is a copy. Those of rules that follow each other lie together, as rules
// are read in that order.
func (s *store) keep(b []byte) []byte {
	n := len(b)
	if len(s.bytes) < n {
		s.bytes = make([]byte, max(n, bytesBlock))
	}
	own := s.bytes[:n:n]
	s.bytes = s.bytes[n:]
	copy(own, b)
	return own
}

// expressions reads a rule's list of NFTA_LIST_ELEM.
func (s *store) expressions(b []byte) rules.Exprs {
	list := s.exprs[:0]
	for _, v := range each(b) {
		list = append(list, s.expression(v))
	}
	if a := open(b); a.bad != "" {
		list = append(list, malformed(a.bad, bytes.Clone(b)))
	}
	s.exprs = list
	if len(list) == 0 {
		return nil
	}
	n := len(list)
	if len(s.lists) < n {
		s.lists = make([]rules.Expr, max(n, exprsBlock))
	}
	own := s.lists[:n:n]
	s.lists = s.lists[n:]
	copy(own, list)
	return own
}

// malformed stands for the rest of a list of expressions.
func malformed(why string, b []byte) rules.Expr {
	return &rules.Opaque{Kind: "expressions", Why: why, Data: b}
}

func (s *store) newRule() *rules.Rule {
	if len(s.rules) == 0 {
		s.rules = make([]rules.Rule, rulesBlock)
	}
	r := &s.rules[0]
	s.rules = s.rules[1:]
	return r
}
