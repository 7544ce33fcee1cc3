package xtables

import (
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
				again := p.packer.Rule()
				*again = *r
				r = again
			}
			s.head.Src, s.head.SrcMask, s.head.Dst, s.head.DstMask = src.address, src.mask, dst.address, dst.mask
			list[0] = &s.head
			r.Exprs = p.packer.List(list)
			made = append(made, r)
		}
	}
	p.made = made
	return made, nil
}

// sameExprs reports whether two rules do the same, as -D compares them.
func sameExprs(a, b rules.List) bool { return reflect.DeepEqual(a.All(), b.All()) }
