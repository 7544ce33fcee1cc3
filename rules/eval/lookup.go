package eval

import (
	"bytes"

	"github.com/portwhy/portwhy/rules"
)

// lookup is nft_lookup_eval.
func (w *walk) lookup(e *rules.Lookup) rules.Verdict {
	set := w.table.Set(e.Set)
	if set == nil {
		return w.either(e, "set "+e.Set+" is not in the ruleset")
	}
	if !set.Known {
		return w.either(e, "the elements of set "+e.Set+" are not known")
	}
	key := w.register(e.Source, set.KeyLen)
	if key == nil {
		return w.either(e, "it reads beyond the registers")
	}
	found := find(set, key)
	if found != nil && (found.TimeoutMS != 0 || found.ExpiresMS != 0 || len(found.Exprs) > 0) {
		return w.either(e, "the element of set "+e.Set+" expires or has conditions of its own")
	}
	if (found == nil) != e.Invert {
		return breaksOff
	}
	if found == nil || !e.HasDest {
		return goesOn
	}
	if found.Verdict != nil {
		return *found.Verdict
	}
	return w.load(e.Dest, found.Data, e)
}

// find looks a key up; what stands for everything else only counts if nothing
// else matches (nft_set_catchall_lookup).
func find(set *rules.Set, key []byte) *rules.Element {
	var rest, border *rules.Element
	for i := range set.Elements {
		el := &set.Elements[i]
		switch {
		case el.CatchAll:
			rest = el
		case set.Interval && len(el.KeyEnd) > 0:
			if inFields(set, key, el) {
				return el
			}
		case set.Interval && !set.Concat:
			// The nearest border at or below the key; where one range ends and the
			// next starts, the start counts.
			d := bytes.Compare(el.Key, key)
			if d > 0 {
				continue
			}
			if border == nil || bytes.Compare(el.Key, border.Key) > 0 || bytes.Equal(el.Key, border.Key) && border.End {
				border = el
			}
		case bytes.Equal(el.Key, key):
			return el
		}
	}
	if border != nil && !border.End {
		return border
	}
	return rest
}

// inFields reports whether each field of a key lies between the element's
// (nft_set_pipapo.c).
func inFields(set *rules.Set, key []byte, el *rules.Element) bool {
	fields := set.Fields
	if len(fields) == 0 {
		fields = []int{set.KeyLen}
	}
	at := 0
	for _, n := range fields {
		end := at + n
		if n <= 0 || end > len(key) || end > len(el.Key) || end > len(el.KeyEnd) {
			return false
		}
		if bytes.Compare(key[at:end], el.Key[at:end]) < 0 || bytes.Compare(key[at:end], el.KeyEnd[at:end]) > 0 {
			return false
		}
		at += (n + 3) / 4 * 4
	}
	return true
}
