package xtables

import "github.com/portwhy/portwhy/rules"

// store hands out memory in blocks: a large file has a million rules, and
// asking for each of their parts by itself costs time and space.
type store struct {
	rules   []rules.Rule
	heads   []rules.IPTables
	matches []rules.Match
	lists   []rules.Expr
	bytes   []byte
}

// Room is memory for the rules of a table, empty: most rules need a head, a match
// and three expressions. Who can have the system give large pieces of it at once
// saves a good part of the time that a large table costs.
type Room struct {
	Rules   []rules.Rule
	Heads   []rules.IPTables
	Matches []rules.Match
	Exprs   []rules.Expr
}

// RoomExprs is how many expressions of a rule a [Room] should have.
const RoomExprs = 3

// storeBlock is how many are allocated at once.
const storeBlock = 128

func (s *store) rule() *rules.Rule {
	if len(s.rules) == 0 {
		s.rules = make([]rules.Rule, storeBlock)
	}
	r := &s.rules[0]
	s.rules = s.rules[1:]
	return r
}

// block is memory for rules that stand side by side.
func (s *store) block(n int) []rules.Rule {
	if len(s.rules) < n {
		return make([]rules.Rule, n)
	}
	block := s.rules[:n:n]
	s.rules = s.rules[n:]
	return block
}

// cut takes what so many rules usually need from a store, as far as it has that.
func (s *store) cut(n int) store {
	return store{heads: cut(&s.heads, n), matches: cut(&s.matches, n), lists: cut(&s.lists, RoomExprs*n)}
}

func cut[T any](from *[]T, n int) []T {
	n = min(n, len(*from))
	part := (*from)[:n:n]
	*from = (*from)[n:]
	return part
}

func (s *store) head(h rules.IPTables) *rules.IPTables {
	if len(s.heads) == 0 {
		s.heads = make([]rules.IPTables, storeBlock)
	}
	to := &s.heads[0]
	s.heads = s.heads[1:]
	*to = h
	return to
}

func (s *store) match() *rules.Match {
	if len(s.matches) == 0 {
		s.matches = make([]rules.Match, storeBlock)
	}
	m := &s.matches[0]
	s.matches = s.matches[1:]
	return m
}

// list is a copy of a rule's expressions.
func (s *store) list(exprs []rules.Expr) []rules.Expr {
	n := len(exprs)
	if len(s.lists) < n {
		s.lists = make([]rules.Expr, max(n, 4*storeBlock))
	}
	to := s.lists[:n:n]
	s.lists = s.lists[n:]
	copy(to, exprs)
	return to
}

// keep is a copy of an address.
func (s *store) keep(b []byte) []byte {
	n := len(b)
	if len(s.bytes) < n {
		s.bytes = make([]byte, max(n, 16*storeBlock))
	}
	to := s.bytes[:n:n]
	s.bytes = s.bytes[n:]
	copy(to, b)
	return to
}
