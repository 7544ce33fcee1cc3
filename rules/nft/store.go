package nft

import (
	"bytes"
	"hash/maphash"

	"github.com/portwhy/portwhy/rules"
)

// store is the memory of what there may be many of. Rules are alike: most of
// their expressions are in other rules, too, and are decoded once.
type store struct {
	seed   maphash.Seed
	known  [knownSize]known // the last that fell on each place
	exprs  []rules.Expr     // of the rule that is being read
	bytes  []byte
	packer rules.Packer
}

// known is an expression, and the bytes that it was decoded from.
type known struct {
	raw  []byte
	expr rules.Expr
}

const (
	knownSize  = 1 << 10
	bytesBlock = 4096
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

// keep is a copy, in memory that many share.
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

// expressions reads a rule's list of NFTA_LIST_ELEM. It holds until the next is read.
func (s *store) expressions(b []byte) []rules.Expr {
	list := s.exprs[:0]
	for _, v := range each(b) {
		list = append(list, s.expression(v))
	}
	if a := open(b); a.bad != "" {
		list = append(list, malformed(a.bad, bytes.Clone(b)))
	}
	s.exprs = list
	return list
}

// malformed stands for the rest of a list of expressions.
func malformed(why string, b []byte) rules.Expr {
	return &rules.Opaque{Kind: "expressions", Why: why, Data: b}
}
