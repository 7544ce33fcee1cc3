//go:build linux

package oracle

import "slices"

// shrink leaves out of the rules and of the packet whatever is not needed for
// them to disagree still. It reports whether the packet alone disagrees at all:
// if it doesn't, nothing was changed.
func (w *world) shrink(r *ruleset, p *packet) bool {
	fails := func() bool {
		if w.load(r) != nil {
			return false
		}
		pairs, err := w.run([]*packet{p})
		return err == nil && len(pairs) == 1 && disagreement(&pairs[0].result, &pairs[0].outcome) != ""
	}
	if !fails() {
		return false
	}
	for smaller := true; smaller; {
		smaller = shrinkRules(r, fails)
		smaller = shrinkPacket(p, fails) || smaller
	}
	fails() // leaves the smallest loaded
	return true
}

func shrinkRules(r *ruleset, fails func() bool) (smaller bool) {
	for _, tool := range tools {
		for k := 0; k < len(r.tables[tool]); {
			old := r.tables[tool]
			r.tables[tool] = slices.Delete(slices.Clone(old), k, k+1)
			if fails() {
				smaller = true
			} else {
				r.tables[tool] = old
				k++
			}
		}
	}
	for i := 0; i < len(r.lists()); i++ {
		list := r.lists()[i]
		for k := 0; k < len(*list); {
			old := *list
			*list = slices.Delete(slices.Clone(old), k, k+1)
			if fails() {
				smaller = true
			} else {
				*list = old
				k++
			}
		}
	}
	for _, l := range r.lines() {
		for k := 0; k < len(l.words) && len(l.words) > 1; {
			old := l.words
			l.words = slices.Delete(slices.Clone(old), k, k+1)
			if fails() {
				smaller = true
			} else {
				l.words = old
				k++
			}
		}
	}
	return smaller
}

func shrinkPacket(p *packet, fails func() bool) (smaller bool) {
	simple := []func(p *packet){
		func(p *packet) { p.payload = 0 },
		func(p *packet) { p.options = false },
		func(p *packet) { p.tos = 0 },
		func(p *packet) { p.mark = 0 },
		func(p *packet) { p.ttl = 64 },
		func(p *packet) { p.dport = 5000 },
		func(p *packet) { p.sport = 40000 },
		func(p *packet) {
			if p.proto == protoTCP && p.state == 0 && !p.answer {
				p.flags = flagSYN
			}
		},
	}
	for _, f := range simple {
		old := *p
		f(p)
		switch {
		case *p == old:
		case fails():
			smaller = true
		default:
			*p = old
		}
	}
	return smaller
}
