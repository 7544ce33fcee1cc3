package redact

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// borders goes through a set of ranges, whose elements are where a range begins
// and the first key behind it (see [rules.Element]). The images of ranges lie in
// another order, so they are sorted again.
func (w *walker) borders(s *rules.Set, k kind) {
	var starts, ends, rest []rules.Element
	for _, e := range s.Elements.All() {
		switch {
		case e.CatchAll || len(e.KeyEnd) > 0 || len(e.Key) != k.size():
			rest = append(rest, e)
		case e.End:
			ends = append(ends, e)
		default:
			starts = append(starts, e)
		}
	}
	byKey := func(a, b rules.Element) int { return bytes.Compare(a.Key, b.Key) }
	slices.SortStableFunc(starts, byKey)
	slices.SortStableFunc(ends, byKey)
	end := 0
	out := rest
	for i, start := range starts {
		// The range ends at the next border, whatever it is.
		for end < len(ends) && bytes.Compare(ends[end].Key, start.Key) <= 0 {
			if i == 0 && w.mode == changing {
				out = append(out, ends[end]) // what is before the first range
			}
			end++
		}
		var next *rules.Element
		if end < len(ends) {
			next = &ends[end]
		}
		if i+1 < len(starts) && (next == nil || bytes.Compare(starts[i+1].Key, next.Key) < 0) {
			next = &starts[i+1]
		}
		last := bytes.Repeat([]byte{0xff}, k.size())
		if next != nil {
			last = before(next.Key)
		}
		p := place{kind: k, data: start.Key, to: last}
		if w.mode == seeing {
			p.see(w.addresses)
			continue
		}
		p.data = bytes.Clone(p.data)
		p.change(w.Redactor)
		start.Key = p.data
		out = append(out, start)
		if behind, ok := after(p.to); ok {
			closing := rules.Element{Key: behind, End: true}
			if next != nil && next.End {
				closing = *next
				closing.Key = behind
			}
			out = append(out, closing)
		}
	}
	if w.mode == seeing {
		return
	}
	slices.SortStableFunc(out, func(a, b rules.Element) int {
		end := map[bool]int{true: -1}
		return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(end[a.End], end[b.End]))
	})
	s.Elements = rules.ElementsOf(out...)
}

// before is the key before one, after the one behind it; there is none behind
// the last.
func before(key []byte) []byte {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]--
		if out[i] != 0xff {
			break
		}
	}
	return out
}

func after(key []byte) ([]byte, bool) {
	out := bytes.Clone(key)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]++
		if out[i] != 0 {
			return out, true
		}
	}
	return out, false
}
