package ipset

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

func TestNameSets(t *testing.T) {
	data := func(numbers ...uint16) []byte {
		var b []byte
		for _, n := range numbers {
			b = append(binary.NativeEndian.AppendUint16(b, n), 0, 0)
		}
		return b
	}
	match := &rules.Match{Ext: "set", Rev: 4, Data: data(7)}
	gone := &rules.Match{Ext: "set", Rev: 1, Data: data(9)}
	short := &rules.Match{Ext: "set", Rev: 1}
	target := &rules.Target{Ext: "SET", Rev: 3, Data: data(0xffff, 7, 8)}
	old := &rules.Target{Ext: "SET", Rev: 1, Data: data(8, 0xffff)}
	NameSets(&rules.Ruleset{
		IPSets: []*rules.IPSet{{Name: "a", Index: 7}, {Name: "b", Index: 8}, {Name: "text", Index: unknownIndex}},
		Tables: []*rules.Table{{Chains: []*rules.Chain{{Rules: []*rules.Rule{{Exprs: rules.ListOf(match, gone, short, target)}, {Exprs: rules.ListOf(old)}}}}}},
	})
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"match", match.Sets, []string{"a"}}, {"gone", gone.Sets, nil}, {"short", short.Sets, nil},
		{"target", target.Sets, []string{"", "a", "b"}}, {"old target", old.Sets, []string{"b", "", ""}},
	} {
		if !slices.Equal(c.got, c.want) || (c.got == nil) != (c.want == nil) {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
}
