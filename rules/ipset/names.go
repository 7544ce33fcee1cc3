package ipset

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// setPlaces are where the structures of the match set and the target SET have
// the numbers of sets, by revision (linux/netfilter/xt_set.h).
var (
	matchPlaces  = [][]int{{0}, {0}, {0}, {0}, {0}}
	targetPlaces = [][]int{{0, 32}, {0, 4}, {0, 4}, {0, 4, 8}}
)

// NameSets writes the names of sets to the matches and targets that the kernel
// gave, which have their numbers only; see [rules.Match]. One whose set is not in
// the ruleset is left as it is.
func NameSets(set *rules.Ruleset) {
	names := map[uint16]string{}
	for _, s := range set.IPSets {
		if s.Index != unknownIndex {
			names[s.Index] = s.Name
		}
	}
	var s rules.Scratch
	for _, t := range set.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				exprs := r.Exprs
				for e := exprs.Next(&s); e != nil; e = exprs.Next(&s) {
					nameSets(e, names)
				}
			}
		}
	}
}

func nameSets(e rules.Expr, names map[uint16]string) {
	switch e := e.(type) {
	case *rules.Match:
		if e.Ext == "set" && e.Sets == nil && int(e.Rev) < len(matchPlaces) {
			e.Sets = namesAt(e.Data, matchPlaces[e.Rev], names)
		}
	case *rules.Target:
		if e.Ext == "SET" && e.Sets == nil && int(e.Rev) < len(targetPlaces) {
			e.Sets = namesAt(e.Data, targetPlaces[e.Rev], names)
			for e.Sets != nil && len(e.Sets) < 3 {
				e.Sets = append(e.Sets, "")
			}
		}
	}
}

// namesAt are the names of the numbers at some places, nil if one is not known.
func namesAt(data []byte, places []int, names map[uint16]string) []string {
	var list []string
	for _, at := range places {
		if at+2 > len(data) {
			return nil
		}
		number := binary.NativeEndian.Uint16(data[at:])
		name, ok := names[number]
		if !ok && number != unknownIndex {
			return nil
		}
		list = append(list, name)
	}
	return list
}
