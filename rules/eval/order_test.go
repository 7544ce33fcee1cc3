package eval

import (
	"fmt"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// Idle chains whose order isn't known are told before what may decide, as ones
// that may come later. Those that do something are tried in every order.
func TestOrder(t *testing.T) {
	chain := func(backend rules.Backend, name, kind string, priority int32, exprs ...rules.Expr) *rules.Table {
		c := &rules.Chain{Name: name, Hook: rules.Output, Type: kind, Priority: priority, Policy: "accept"}
		if len(exprs) > 0 {
			c.Rules = []*rules.Rule{{Number: 1, Exprs: rules.ListOf(exprs...)}}
		}
		return &rules.Table{Backend: backend, Family: rules.IP, Name: name, Chains: []*rules.Chain{c}}
	}
	filter := func(name string, exprs ...rules.Expr) *rules.Table {
		return chain(rules.NFT, name, "filter", 0, exprs...)
	}
	legacy := func(exprs ...rules.Expr) *rules.Table {
		return chain(rules.IptablesLegacy, "legacy", "filter", 0, exprs...)
	}
	mark := &rules.Meta{Key: metaMark, Write: true}
	for _, c := range []struct {
		name   string
		tables []*rules.Table
		want   []string
		doubts int
	}{
		{"an idle table beside a chain that drops", []*rules.Table{filter("a", drop), legacy()}, []string{"legacy~", "a drop"}, 0},
		{"a table that drops beside idle chains", []*rules.Table{filter("a"), filter("b"), legacy(drop)}, []string{"a~", "b~", "legacy drop"}, 0},
		{"both idle", []*rules.Table{filter("a"), legacy()}, []string{"legacy~", "a~"}, 0},
		{"both drop", []*rules.Table{filter("a", drop), legacy(drop)}, []string{"a drop"}, 1},
		{"one that marks, one that drops, one idle", []*rules.Table{filter("a", mark), filter("b"), legacy(drop)}, []string{"b~", "a set", "a", "legacy drop"}, 1},
		{"another priority", []*rules.Table{chain(rules.NFT, "a", "filter", 1), legacy()}, []string{"legacy", "a"}, 0},
		{"two of nftables", []*rules.Table{filter("a"), filter("b")}, []string{"b", "a"}, 0},
		{"where NAT stands", []*rules.Table{chain(rules.NFT, "n", "nat", 0, drop), chain(rules.NFT, "a", "filter", -100)}, []string{"a~", "n drop"}, 0},
		{"where NAT would stand", []*rules.Table{chain(rules.NFT, "a", "filter", -100)}, []string{"a"}, 0},
		{"NAT of both", []*rules.Table{chain(rules.NFT, "n", "nat", -100, drop), chain(rules.IptablesLegacy, "nat", "nat", -100)}, []string{"nat~", "n drop"}, 0},
	} {
		p := packet()
		p.In, p.Out, p.State = "", "lo", New
		got := Compile(&rules.Ruleset{Tables: c.tables}, Host{}).Hook(rules.Output, p)
		var steps []string
		for _, s := range got.Steps {
			switch {
			case s.Floats:
				steps = append(steps, s.Table.Name+"~")
			case s.Rule == nil:
				steps = append(steps, s.Table.Name)
			default:
				steps = append(steps, fmt.Sprint(s.Table.Name, " ", s.Effect))
			}
		}
		if !slices.Equal(steps, c.want) || len(got.Doubts) != c.doubts || got.Verdict == Unknown {
			t.Errorf("%s: %q with %d doubts and verdict %q, want %q with %d", c.name, steps, len(got.Doubts), got.Verdict, c.want, c.doubts)
		}
	}
}
