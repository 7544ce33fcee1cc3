package eval

import (
	"bytes"
	"slices"
	"sort"

	"github.com/portwhy/portwhy/rules"
)

// index finds a table's chains and sets by name.
type index struct {
	chains map[string]*rules.Chain
	sets   map[string]*rules.Set
	asked  map[string]*setIndex // of sets that were asked: most never are
	flows  map[string]bool      // flowtables that rules put flows into
	doubts map[string]string    // why a set's elements are not known
}

func (x *index) offloads(flowtable string) bool { return x.flows[flowtable] }

func newIndex(t *rules.Table) *index {
	x := &index{chains: make(map[string]*rules.Chain, len(t.Chains)), sets: make(map[string]*rules.Set, len(t.Sets)), asked: map[string]*setIndex{}, flows: map[string]bool{}, doubts: t.SetDoubts}
	for _, c := range t.Chains {
		x.chains[c.Name] = c
		if len(t.Flowtables) == 0 {
			continue
		}
		for _, r := range c.Rules {
			for _, e := range r.Exprs.All() {
				if f, ok := e.(*rules.FlowOffload); ok {
					x.flows[f.Table] = true
				}
			}
		}
	}
	for _, s := range t.Sets {
		x.sets[s.Name] = s
	}
	return x
}

// set is the index of a set by its name; nil if the table has none of that name.
func (x *index) set(name string) *setIndex {
	s := x.sets[name]
	if s == nil {
		return nil
	}
	i := x.asked[name]
	if i == nil {
		i = &setIndex{set: s}
		x.asked[name] = i
	}
	return i
}

// setIndex finds elements; it is made when the set is first asked.
type setIndex struct {
	set     *rules.Set
	made    bool
	exact   []int32         // places of elements of one key each, in order of their keys
	borders []int32         // of those of an interval set, in order of their keys
	ranges  []rules.Element // of fields
	rest    *rules.Element  // the catch-all
}

// make sorts the elements by how they are looked for.
func (x *setIndex) make() {
	x.made = true
	list := &x.set.Elements
	for i, el := range list.All() {
		switch {
		case el.CatchAll:
			x.rest = &el
		case x.set.Interval && len(el.KeyEnd) > 0:
			x.ranges = append(x.ranges, el)
		case x.set.Interval && !x.set.Concat:
			x.borders = append(x.borders, int32(i))
		default:
			x.exact = append(x.exact, int32(i))
		}
	}
	slices.SortStableFunc(x.exact, func(a, b int32) int { return bytes.Compare(list.Key(int(a)), list.Key(int(b))) })
	// Where one range ends and the next starts, the start counts: it comes last.
	slices.SortStableFunc(x.borders, func(a, b int32) int {
		if d := bytes.Compare(list.Key(int(a)), list.Key(int(b))); d != 0 {
			return d
		}
		switch end := list.At(int(a)).End; {
		case end == list.At(int(b)).End:
			return 0
		case end:
			return -1
		}
		return 1
	})
}

// find looks a key up; what stands for everything else only counts if nothing
// else matches (nft_set_catchall_lookup).
func (x *setIndex) find(key []byte) *rules.Element {
	if !x.made {
		x.make()
	}
	list := &x.set.Elements
	at := sort.Search(len(x.exact), func(i int) bool { return bytes.Compare(list.Key(int(x.exact[i])), key) >= 0 })
	if at < len(x.exact) && bytes.Equal(list.Key(int(x.exact[at])), key) {
		el := list.At(int(x.exact[at]))
		return &el
	}
	for i := range x.ranges {
		if el := &x.ranges[i]; inFields(x.set, key, el) {
			return el
		}
	}
	// The nearest border at or below the key.
	n := sort.Search(len(x.borders), func(i int) bool { return bytes.Compare(list.Key(int(x.borders[i])), key) > 0 })
	if n > 0 {
		if el := list.At(int(x.borders[n-1])); !el.End {
			return &el
		}
	}
	return x.rest
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

// lookup is nft_lookup_eval.
func (w *walk) lookup(e *rules.Lookup) rules.VerdictKind {
	x := w.index.set(e.Set)
	if x == nil {
		return w.either(blame{"lookup", "set " + e.Set + " is not in the ruleset"})
	}
	key := w.register(e.Source, x.set.KeyLen)
	if key == nil {
		return w.either(blame{"lookup", "it reads beyond the registers"})
	}
	if b := w.blind(e.Source, x.set.KeyLen); b != nil {
		return w.anyElement(e, x.set, *b)
	}
	found, why := w.element(x, key)
	if why != "" {
		return w.anyElement(e, x.set, blame{"lookup", why})
	}
	if (found == nil) != e.Invert {
		return rules.Break
	}
	if found == nil || !e.HasDest {
		return rules.Continue
	}
	if found.Verdict != nil {
		return w.verdictOf(found.Verdict)
	}
	return w.load(e.Dest, found.Data)
}

// element finds a key in a set, and says why where it can't be told.
func (w *walk) element(x *setIndex, key []byte) (*rules.Element, string) {
	var found *rules.Element
	if x.set.Known {
		found = x.find(key)
	} else {
		ask := w.m.host.Element
		if ask == nil {
			why := "the elements of set " + x.set.Name + " are not known"
			if d := w.index.doubts[x.set.Name]; d != "" {
				why += ": " + d
			}
			return nil, why
		}
		var ok bool
		if found, ok = ask(w.table, x.set, key); !ok {
			return nil, "set " + x.set.Name + " gave no answer"
		}
	}
	switch {
	case w.touched[x.set]:
		return found, "the packet itself has changed set " + x.set.Name
	case found != nil && (found.TimeoutMS != 0 || found.ExpiresMS != 0) && !w.lasts(found):
		return found, "the element of set " + x.set.Name + " expires"
	case found != nil && conditional(found.Exprs):
		return found, "the element of set " + x.set.Name + " has a condition of its own"
	}
	return found, ""
}

// lasts reports whether an element that ends is there for as long as the answer
// is wanted.
func (w *walk) lasts(e *rules.Element) bool {
	hold := w.m.host.Holds
	return hold > 0 && e.ExpiresMS > uint64(hold.Milliseconds())
}

// conditional reports whether an element's expressions do more than count.
func conditional(exprs []rules.Expr) bool {
	return slices.ContainsFunc(exprs, func(e rules.Expr) bool {
		switch e.(type) {
		case *rules.Counter, *rules.Last:
			return false
		}
		return true
	})
}

// verdictsMax bounds how many verdicts of a map are followed.
const verdictsMax = 16

// anyElement follows all ways past a lookup whose key or set isn't known.
func (w *walk) anyElement(e *rules.Lookup, set *rules.Set, b blame) rules.VerdictKind {
	if !e.HasDest {
		return w.perhaps(b)
	}
	if !set.Verdicts {
		v := w.perhaps(b)
		if v == rules.Continue {
			w.hide(e.Dest, set.DataLen, b)
		}
		return v
	}
	var open []*rules.Verdict
	for _, el := range set.Elements.All() {
		v := el.Verdict
		if v != nil && !slices.ContainsFunc(open, func(o *rules.Verdict) bool { return *o == *v }) {
			open = append(open, v)
		}
	}
	if !set.Known || len(open) > verdictsMax {
		return w.either(b)
	}
	if n := w.choose(len(open)+1, b); n > 0 {
		return w.verdictOf(open[n-1])
	}
	return rules.Break
}
