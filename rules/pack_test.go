package rules

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// drawExpr is an expression, of those that a Packer copies more often than others.
func drawExpr(t *rapid.T) Expr {
	bytes := func(most int) []byte { return rapid.SliceOfN(rapid.Byte(), 1, most).Draw(t, "bytes") }
	address := func() []byte {
		return rapid.SampledFrom([][]byte{nil, {10, 0, 0, 1}, {255, 255, 0, 0}, {15: 1}, {0xfe, 15: 1}, {1, 2, 3}}).Draw(t, "address")
	}
	name := func() string {
		n := rapid.IntRange(-1, 300).Draw(t, "name")
		if n < 0 {
			return ""
		}
		return fmt.Sprint("eth", n)
	}
	number := rapid.Uint64().Draw(t, "number")
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return &Cmp{Source: Reg(number % 20), Op: uint32(number >> 8 % 20), Data: bytes(300)}
	case 1:
		return &IPTables{Src: address(), SrcMask: address(), Dst: address(), DstMask: address(), In: name(), Out: name(),
			Proto: uint16(number), TOS: uint8(number >> 16), Flags: uint8(number >> 24), Inv: uint8(number >> 32)}
	case 2:
		return &Counter{number, number >> 32}
	case 3:
		m := &Match{Ext: rapid.SampledFrom([]string{"tcp", "set", "comment"}).Draw(t, "ext"), Rev: uint8(number), Data: bytes(100)}
		m.Data = append(m.Data, make([]byte, rapid.IntRange(0, 600).Draw(t, "zeros"))...)
		if number%7 == 0 {
			m.Sets = []string{"s"}
		}
		return m
	case 4:
		return &Immediate{Dest: Reg(number), Data: bytes(300)}
	case 5:
		all := kinds()
		return all[number%uint64(len(all))]
	}
	return &Immediate{Verdict: &Verdict{Kind: VerdictKind(number)}}
}

// What was packed is what is read, and stays so when more is packed.
func TestPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Packer
		var given [][]Expr
		var packed []List
		for range rapid.IntRange(1, 30).Draw(t, "rules") {
			list := rapid.SliceOfN(rapid.Custom(drawExpr), 0, 12).Draw(t, "list")
			given, packed = append(given, list), append(packed, p.List(list))
		}
		for i, want := range given {
			if got := packed[i].All(); len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual([]Expr(got), want) {
				t.Fatalf("list %d: %v, want %v", i, got, want)
			}
			if packed[i].Empty() != (len(want) == 0) {
				t.Fatalf("list %d of %d is empty: %v", i, len(want), packed[i].Empty())
			}
			rest := packed[i]
			var s Scratch
			for n, e := range want {
				if got := rest.Next(&s); !reflect.DeepEqual(got, e) {
					t.Fatalf("list %d: %d is %v, want %v", i, n, got, e)
				}
				if behind := rest.All(); len(behind) != len(want)-n-1 {
					t.Fatalf("list %d: %d behind %d of %d", i, len(behind), n, len(want))
				}
				// What is copied needs nothing of what was given.
				if Copies(e) == (rest.block.pool != nil && contains(rest.block.pool.exprs, e)) {
					t.Fatalf("%T is copied: %v, and held: %v", e, Copies(e), !Copies(e))
				}
			}
			if e := rest.Next(&s); e != nil {
				t.Fatalf("list %d: %v behind its end", i, e)
			}
			b, err := json.Marshal(packed[i])
			var back List
			if err == nil {
				err = json.Unmarshal(b, &back)
			}
			if err != nil || !reflect.DeepEqual(back.All(), packed[i].All()) && len(want) > 0 {
				t.Fatalf("list %d: %s is read as %v: %v", i, b, back.All(), err)
			}
		}
	})
}

func contains(list []Expr, e Expr) bool {
	for _, other := range list {
		if other == e {
			return true
		}
	}
	return false
}

// Many rules share what they have in common, and their code is in several blocks.
func TestManyArePacked(t *testing.T) {
	var p Packer
	load, drop := &Payload{Base: 1, Offset: 12, Len: 4}, &Immediate{Verdict: &Verdict{Kind: Drop}}
	var lists []List
	const n = 2 * sharedMost
	for i := range n {
		lists = append(lists, p.List([]Expr{load, &Cmp{Data: []byte{10, byte(i >> 16), byte(i >> 8), byte(i)}}, &Log{Group: uint16(i)}, drop}))
	}
	for i, l := range lists {
		e := l.All()
		if len(e) != 4 || e[0] != Expr(load) || e[1].(*Cmp).Data[3] != byte(i) || e[2].(*Log).Group != uint16(i) || e[3] != Expr(drop) {
			t.Fatalf("rule %d: %v", i, e)
		}
	}
	if most := n + 10; len(p.pool.exprs) > most {
		t.Errorf("%d expressions are held for %d rules with one of their own each", len(p.pool.exprs), n)
	}
}

// A change of what All gave is a change of a list that was not packed.
func TestListOf(t *testing.T) {
	l := ListOf(&Opaque{Kind: "a"}, &Counter{})
	l.All()[0].(*Opaque).Kind = "b"
	if got := l.All()[0].(*Opaque).Kind; got != "b" || l.Empty() || !ListOf().Empty() || ListOf().All() != nil {
		t.Error(got)
	}
}
