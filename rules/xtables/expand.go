package xtables

import (
	"bytes"
	"reflect"

	"github.com/portwhy/portwhy/rules"
)

// expand makes the rules of a line: one for each pair of its sources and
// destinations.
func (p *parser) expand(s *spec) ([]*rules.Rule, error) {
	if len(s.src) == 0 {
		s.src = append(s.src, network{})
	}
	if len(s.dst) == 0 {
		s.dst = append(s.dst, network{})
	}
	if n := len(s.src) * len(s.dst); n > expandMax {
		return nil, p.fail(1, "expected fewer addresses: they make %d rules", n)
	}
	list := append(p.exprs[:0], nil)
	for _, e := range s.exts {
		if !e.target {
			list = append(list, e.expr)
		}
	}
	for _, e := range s.exts {
		if e.target {
			list = append(list, e.expr)
		}
	}
	if s.verdict != nil {
		list = append(list, s.verdict)
	}
	p.exprs = list
	made := p.made[:0]
	r := s.rule
	for _, src := range s.src {
		for _, dst := range s.dst {
			if len(made) > 0 {
				again := p.store.rule()
				*again = *r
				r = again
			}
			head := s.head
			head.Src, head.SrcMask, head.Dst, head.DstMask = src.address, src.mask, dst.address, dst.mask
			list[0] = p.sharedHead(head)
			r.Exprs = p.store.list(list)
			made = append(made, r)
		}
	}
	p.made = made
	return made, nil
}

// sharedHead is the same head as before if nothing differs.
func (p *parser) sharedHead(h rules.IPTables) *rules.IPTables {
	if p.last != nil && sameHead(p.last, &h) {
		return p.last
	}
	p.last = p.store.head(h)
	return p.last
}

func sameHead(a, b *rules.IPTables) bool {
	return a.In == b.In && a.Out == b.Out && a.Proto == b.Proto && a.Flags == b.Flags && a.Inv == b.Inv && a.TOS == b.TOS &&
		bytes.Equal(a.Src, b.Src) && bytes.Equal(a.SrcMask, b.SrcMask) && bytes.Equal(a.Dst, b.Dst) && bytes.Equal(a.DstMask, b.DstMask)
}

// sameExprs reports whether two rules do the same, as -D compares them.
func sameExprs(a, b []rules.Expr) bool { return reflect.DeepEqual(a, b) }
