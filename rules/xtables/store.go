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
