package eval

import (
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// headsLeast is from how many rules on a chain is looked through once for those
// whose head a packet can match.
const headsLeast = 64

// headsMost bounds how many places are remembered: packets of ever other flows
// may be asked about.
const headsMost = 1 << 20

// headKey is what the heads of a chain ask of a packet, as far as [walk.quickHead]
// decides them.
type headKey struct {
	chain    *rules.Chain
	src, dst [4]byte
	protocol byte
}

// candidates are the rules of the walk's chain, by their place, that the packet
// passes the head of, or may pass; nil for all. In a large chain most rules are
// about other addresses, and what is asked about one flow meets each of them again:
// there, back, from other ports.
func (w *walk) candidates() []int32 {
	p := &w.packet
	if len(w.chain.Rules) < headsLeast || p.Family != rules.IP || len(p.Data) < 20 || len(p.hidden) > 0 || w.headOf(w.chain.Rules[0]) == nil {
		return nil
	}
	key := headKey{chain: w.chain, src: [4]byte(p.Data[12:16]), dst: [4]byte(p.Data[16:20]), protocol: p.Data[9]}
	list, ok := w.m.heads[key]
	if !ok {
		list = []int32{} // not nil: there may be none
		for i, r := range w.chain.Rules {
			if head := w.headOf(r); head != nil {
				if v, ok := w.quickHead(head); ok && v == rules.Break {
					continue
				}
			}
			list = append(list, int32(i))
		}
		if w.m.kept += len(list) + 1; w.m.kept > headsMost {
			w.m.heads, w.m.kept = map[headKey][]int32{}, len(list)+1
		}
		w.m.heads[key] = list
	}
	return list
}

// headOf is the head that a rule begins with; nil if there is none.
func (w *walk) headOf(r *rules.Rule) *rules.IPTables {
	exprs := r.Exprs
	head, _ := exprs.Next(&w.running).(*rules.IPTables)
	return head
}

// skim goes through a chain's rules from a place on, leaving out those that the
// packet can't pass the head of.
type skim struct {
	list []int32 // nil: all
	at   int     // in the list
}

// skimming begins at a rule of the walk's chain.
func (w *walk) skimming(from int) skim {
	s := skim{list: w.candidates()}
	if s.list != nil {
		s.at, _ = slices.BinarySearch(s.list, int32(from))
	}
	return s
}

// next is the place of the next rule to run, from i on; at least the number of
// rules if there is none.
func (s *skim) next(i, rules int) int {
	if s.list == nil {
		return i
	}
	for s.at < len(s.list) && int(s.list[s.at]) < i {
		s.at++
	}
	if s.at == len(s.list) {
		return rules
	}
	return int(s.list[s.at])
}
