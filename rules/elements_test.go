package rules

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// A list has what was put in, whatever keys and parts the elements have, and
// comes back from JSON as it was.
func TestElements(t *testing.T) {
	key := rapid.SampledFrom([][]byte{nil, {}, {1}, {1, 2, 3, 4}, {5, 6, 7, 8}, {0, 0, 0, 0}})
	one := rapid.Custom(func(t *rapid.T) Element {
		e := Element{Key: key.Draw(t, "key"), End: rapid.Bool().Draw(t, "end")}
		switch rapid.IntRange(0, 12).Draw(t, "part") {
		case 0:
			e.KeyEnd = []byte{9, 9}
		case 1:
			e.CatchAll = true
		case 2:
			e.Data = []byte{1}
		case 3:
			e.Verdict = &Verdict{Kind: Drop}
		case 4:
			e.Object = "o"
		case 5:
			e.TimeoutMS, e.ExpiresMS = 2, 1
		case 6:
			e.Exprs = Exprs{&Counter{Packets: 1}}
		case 7:
			e.Comment = "c"
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(one, 0, 20).Draw(t, "elements")
		list := ElementsOf(want...)
		if list.Len() != len(want) {
			t.Fatalf("%d elements, want %d", list.Len(), len(want))
		}
		for i, got := range list.All() {
			if !reflect.DeepEqual(got, want[i]) || !reflect.DeepEqual(list.Key(i), want[i].Key) {
				t.Fatalf("element %d: %+v with key %v, want %+v", i, got, list.Key(i), want[i])
			}
		}
		b, err := json.Marshal(&Set{Elements: list})
		if err != nil {
			t.Fatal(err)
		}
		var back Set
		if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back.Elements, list) {
			t.Fatalf("%v: %s", err, b)
		}
	})
}

// A key and a place for what it has besides are all that a plain element takes.
func TestElementsAreSmall(t *testing.T) {
	const n = 100_000
	var list Elements
	list.Grow(n, 4)
	at := 0
	allocations := testing.AllocsPerRun(n-1, func() {
		list.Append(Element{Key: []byte{10, byte(at >> 16), byte(at >> 8), byte(at)}})
		at++
	})
	if allocations > 1 || len(list.keys) != 4*n || list.more != nil {
		t.Errorf("%.1f allocations an element, %d bytes of keys", allocations, len(list.keys))
	}
}

// Neighbours that have the same besides their keys have it in one place.
func TestAlikeElementsShare(t *testing.T) {
	var l Elements
	for i := range 1000 {
		l.Append(Element{Key: []byte{byte(i >> 8), byte(i)}, Verdict: &Verdict{Kind: Drop}})
	}
	l.Append(Element{Key: []byte{9, 9}, Verdict: &Verdict{Kind: Accept}})
	if l.more[0] != l.more[999] || l.more[0] == l.more[1000] {
		t.Error("a verdict is held more than once, or one for another")
	}
	if e := l.At(999); e.Verdict.Kind != Drop || e.Key[1] != 999&255 {
		t.Errorf("%+v", e)
	}
	if e := l.At(1000); e.Verdict.Kind != Accept {
		t.Errorf("%+v", e)
	}
}
