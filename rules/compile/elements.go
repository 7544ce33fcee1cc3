package compile

import (
	"bytes"
	"reflect"
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

// maxElements is how many elements a ruleset can have in named sets: beyond
// them a set's elements are not known. It bounds the memory that a file takes.
const maxElements = 1 << 20

// take adds an element to a named set.
func (s *set) take(i item) {
	s.borders.size = keyBytes(s.key)
	if !s.Interval || s.Concat || i.key.kind == wildcard {
		s.Elements.Append(s.element(i))
		return
	}
	var more *rules.Element
	if i.data != nil || i.object != "" || i.elem != nil || len(i.exprs) > 0 {
		el := s.with(i)
		more = &el
	}
	from, to := i.key.bounds()
	s.borders.add(from, to, more)
}

// expect makes room for elements that come: to grow a long list costs its size
// again.
func (s *set) expect(total int) {
	s.borders.size = s.KeyLen
	switch total = min(total, maxElements); {
	case s.unknown != "" || s.waits():
	case s.Interval && !s.Concat:
		s.borders.grow(total)
	default:
		s.Elements.Grow(total, s.KeyLen)
	}
}

// forget gives up the elements.
func (s *set) forget(why string) {
	s.unknown = why
	s.Elements, s.borders, s.items, s.pending = rules.Elements{}, ranges{}, nil, nil
}

// finish turns what a set was given into elements as the kernel has them, once.
func (s *set) finish() {
	if s.finished {
		return
	}
	s.finished = true
	if s.Anonymous { // of which there may be one for each rule
		defer func() { s.items, s.key, s.data, s.keyTypes = nil, nil, nil, nil }()
	}
	if s.unknown == "" && s.waits() {
		s.forget("neither its types nor a rule tell how long its keys and values are")
	}
	if s.unknown != "" {
		s.Known, s.Count = false, -1
		if s.ranges {
			s.DataLen *= 2
		}
		return
	}
	if s.Anonymous {
		s.KeyLen = keyBytes(s.key)
		if s.Concat {
			s.Fields = fieldBytes(s.key)
		}
		s.Size = uint32(len(s.items))
		for _, i := range s.items {
			s.take(i)
		}
	}
	if s.again && !s.Interval && !s.Map && !s.Objects {
		s.once()
	}
	if s.disputed() {
		s.forget("elements of it overlap, which nft refuses")
		s.Known, s.Count = false, -1
		return
	}
	if s.Interval && !s.Concat {
		s.intervals()
	}
	if s.ranges || len(s.Exprs) > 0 {
		var list rules.Elements
		for _, el := range s.Elements.All() {
			if !el.End {
				el.Exprs = s.statements(el.Exprs)
			}
			if s.ranges && len(el.Data) == s.DataLen {
				el.Data = append(el.Data[:len(el.Data):len(el.Data)], el.Data...)
			}
			list.Append(el)
		}
		s.Elements = list
	}
	if s.ranges {
		s.DataLen *= 2
	}
	if s.Constant && !s.Anonymous {
		s.Size = uint32(s.Elements.Len())
	}
	s.Known, s.Count = true, s.Elements.Len()
}

// statements are those of an element: its own, or those that the set gives each.
// Of several, JSON has only the first.
func (s *set) statements(own rules.Exprs) rules.Exprs {
	if len(own) == 0 {
		return s.Exprs
	}
	for n := len(own); n < len(s.Exprs); n++ {
		own = append(own[:n:n], &rules.Opaque{Kind: s.Exprs[n].Name(), Why: "only the first statement of an element is told"})
	}
	return own
}

// element is an item of a set that has no borders.
func (s *set) element(i item) rules.Element {
	el := s.with(i)
	switch {
	case i.key.kind == wildcard:
		el.CatchAll = true
	case s.Concat:
		el.Key, el.KeyEnd = i.key.exportBounds()
	default:
		el.Key = i.key.export()
	}
	return el
}

// with is what belongs to an item's key.
func (s *set) with(i item) rules.Element {
	el := rules.Element{Object: i.object, Exprs: i.exprs}
	if i.elem != nil {
		el.TimeoutMS, el.ExpiresMS, el.Comment = i.elem.TimeoutMS, i.elem.ExpiresMS, i.elem.Comment
	}
	if d := i.data; d != nil {
		if d.kind == verdict {
			el.Verdict = d.verdict
		} else {
			el.Data = exportValue(d)
		}
	}
	return el
}

// exportValue is the value of an element: of a range, the first and the last.
func exportValue(d *node) []byte {
	if d.single() {
		return d.export()
	}
	fields := []*node{d}
	if d.kind == concat {
		fields = d.parts
	}
	var first, last []byte
	for _, p := range fields {
		from, to := p.bounds()
		first = append(first, padded(export(from, p.order, p.bytes()))...)
		last = append(last, padded(export(to, p.order, p.bytes()))...)
	}
	return append(first, last...)
}

// disputed reports whether a key is in two elements that differ: nft takes no
// such set, and which of them holds is not known. It puts ranges in order, and
// leaves out those that are there already.
func (s *set) disputed() bool {
	if s.Interval && !s.Concat {
		list := &s.borders
		list.sort()
		before := list.Len()
		if s.autoMerge && !s.Map {
			list.merge()
			s.Size -= min(s.Size, uint32(before-list.Len()))
			return false
		}
		return !list.distinct()
	}
	if s.Concat || !s.Map && !s.Objects {
		return false // a key that is there twice says nothing else
	}
	order := make([]uint32, s.Elements.Len())
	for i := range order {
		order[i] = uint32(i)
	}
	byKey := func(a, b uint32) int { return bytes.Compare(s.Elements.Key(int(a)), s.Elements.Key(int(b))) }
	if !slices.IsSortedFunc(order, byKey) {
		slices.SortFunc(order, byKey)
	}
	for i := 1; i < len(order); i++ {
		if byKey(order[i-1], order[i]) != 0 {
			continue
		}
		a, b := s.Elements.At(int(order[i-1])), s.Elements.At(int(order[i]))
		if a.CatchAll == b.CatchAll && !alike(&a, &b) {
			return true
		}
	}
	return false
}

// once leaves the first of each element of a set that was declared again.
func (s *set) once() {
	var list rules.Elements
	seen := map[string]bool{}
	for _, el := range s.Elements.All() {
		if key := string(el.Key); !seen[key] {
			seen[key] = true
			list.Append(el)
		}
	}
	s.Elements = list
}

// alike reports whether two elements give the same; nil gives nothing.
func alike(a, b *rules.Element) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.Data, b.Data) && a.Object == b.Object && reflect.DeepEqual(a.Verdict, b.Verdict)
}

// intervals makes the borders of ranges (set_to_intervals): each range's first
// key, and as its end the first one behind it. One at zero is the end of
// nothing, for what lies in front of the first range.
func (s *set) intervals() {
	list := &s.borders
	size := keyBytes(s.key)
	all := wide.Ones(s.key.bits)
	var out rules.Elements
	out.Grow(2*list.Len()+1+s.Elements.Len(), size)
	key := make([]byte, 0, size)
	add := func(n num, el rules.Element) {
		el.Key = appendTo(n, key, words.Network, size)
		out.Append(el)
	}
	for n := range list.Len() {
		from, to := list.at(n)
		if n == 0 && from != (num{}) {
			add(num{}, rules.Element{End: true})
			if s.Anonymous {
				s.Size++ // nft counts the ranges, and then what they become
			}
		}
		if s.Anonymous {
			s.Size++
		}
		var el rules.Element
		if more := list.besides(n); more != nil {
			el = *more
		}
		add(from, el)
		if to == all {
			continue
		}
		next := to.Next()
		if s.Anonymous && n+1 < list.Len() {
			if then, _ := list.at(n + 1); then == next {
				continue // the next range's start ends this one
			}
		}
		add(next, rules.Element{End: true})
	}
	for _, el := range s.Elements.All() {
		out.Append(el)
	}
	s.Elements, s.borders = out, ranges{}
}
