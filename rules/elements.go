package rules

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
)

// Elements are the elements of a set, in the order of their source. Sets may have
// a million of them, so the keys lie side by side, and what an element has besides
// is held for those only that have something. The zero value is an empty list.
type Elements struct {
	count int
	size  int    // of each key in keys, in bytes
	keys  []byte // of all elements
	ends  []bool // of all elements or, if none is the end of a range, nil
	// Of a map whose first element has data and nothing else, values are the data of
	// those that are like it, each of width bytes: of whom more has nothing.
	values []byte
	width  int
	more   []*besides // of all elements or, if none has anything, nil
}

// besides is what an element has besides its key. One whose key is not as long as
// the others' has it here.
type besides struct {
	Element
	own bool
}

// ElementsOf makes a list.
func ElementsOf(list ...Element) Elements {
	var l Elements
	for _, e := range list {
		l.Append(e)
	}
	return l
}

// Len is how many elements there are.
func (l *Elements) Len() int { return l.count }

// Starts is how many elements are not the end of a range.
func (l *Elements) Starts() int {
	n := l.count
	for _, end := range l.ends {
		if end {
			n--
		}
	}
	return n
}

// Grow makes room for n more elements with keys of size bytes.
func (l *Elements) Grow(n, size int) { l.keys = slices.Grow(l.keys, n*size) }

// Append adds an element at the end. Its key is copied.
func (l *Elements) Append(e Element) {
	if l.size == 0 && len(e.Key) > 0 {
		l.size = len(e.Key)
		l.keys = append(l.keys, make([]byte, l.count*l.size)...)
	}
	plain := len(e.Key) == l.size && l.size > 0
	if plain {
		l.keys = append(l.keys, e.Key...)
		e.Key = nil
	} else {
		l.keys = append(l.keys, make([]byte, l.size)...)
	}
	if e.End && l.ends == nil {
		l.ends = make([]bool, l.count, l.room())
	}
	if l.ends != nil {
		l.ends = append(l.ends, e.End)
	}
	if l.count == 0 && plain && e.onlyData() {
		l.width = len(e.Data)
		l.values = make([]byte, 0, l.room()*l.width)
	}
	if l.width > 0 {
		l.appendValue(e, plain)
		return
	}
	nothing := plain && e.KeyEnd == nil && !e.CatchAll && e.Data == nil && e.Verdict == nil && e.Object == "" &&
		e.TimeoutMS == 0 && e.ExpiresMS == 0 && e.Exprs == nil && e.Comment == ""
	if !nothing && l.more == nil {
		l.more = make([]*besides, l.count, l.room())
	}
	switch {
	case !nothing && plain && l.before(&e) != nil:
		l.more = append(l.more, l.before(&e)) // a million addresses may have the same verdict
	case !nothing:
		l.more = append(l.more, &besides{e, !plain})
	case l.more != nil:
		l.more = append(l.more, nil)
	}
	l.count++
}

// before is what one of the last two elements has, if it is the same: between the
// starts of ranges are their ends.
func (l *Elements) before(e *Element) *besides {
	for i := l.count - 1; i >= max(0, l.count-2); i-- {
		if m := l.more[i]; m != nil && !m.own && m.Alike(e) {
			return m
		}
	}
	return nil
}

// appendValue ends Append where values lie side by side.
func (l *Elements) appendValue(e Element, plain bool) {
	fits := plain && e.onlyData() && len(e.Data) == l.width
	if fits {
		l.values = append(l.values, e.Data...)
	} else {
		l.values = append(l.values, make([]byte, l.width)...)
	}
	switch {
	case !fits && l.more == nil:
		l.more = make([]*besides, l.count, l.room())
		fallthrough
	case !fits:
		l.more = append(l.more, &besides{e, !plain})
	case l.more != nil:
		l.more = append(l.more, nil)
	}
	l.count++
}

// onlyData reports whether an element has data and, besides its key, nothing else.
func (e *Element) onlyData() bool {
	return len(e.Data) > 0 && e.KeyEnd == nil && !e.CatchAll && e.Verdict == nil && e.Object == "" &&
		e.TimeoutMS == 0 && e.ExpiresMS == 0 && e.Exprs == nil && e.Comment == ""
}

// Alike reports whether two elements have the same besides their keys. Those with
// expressions of their own are not compared.
func (e *Element) Alike(o *Element) bool {
	return bytes.Equal(e.KeyEnd, o.KeyEnd) && e.CatchAll == o.CatchAll && bytes.Equal(e.Data, o.Data) && e.Object == o.Object &&
		(e.Verdict == o.Verdict || e.Verdict != nil && o.Verdict != nil && *e.Verdict == *o.Verdict) &&
		e.TimeoutMS == o.TimeoutMS && e.ExpiresMS == o.ExpiresMS && e.Exprs == nil && o.Exprs == nil && e.Comment == o.Comment
}

// room is for how many elements there is room.
func (l *Elements) room() int { return max(l.count, cap(l.keys)/max(1, l.size)) }

// At is the element at a place, from 0.
func (l *Elements) At(i int) Element {
	var e Element
	switch {
	case l.more != nil && l.more[i] != nil:
		e = l.more[i].Element
	case l.width > 0:
		to := (i + 1) * l.width
		e.Data = l.values[i*l.width : to : to]
	}
	e.Key, e.End = l.Key(i), l.ends != nil && l.ends[i]
	return e
}

// Key is the key of the element at a place.
func (l *Elements) Key(i int) []byte {
	if l.more != nil && l.more[i] != nil && l.more[i].own {
		return l.more[i].Key
	}
	to := (i + 1) * l.size
	return l.keys[i*l.size : to : to]
}

// All are the elements with their places.
func (l *Elements) All() iter.Seq2[int, Element] {
	return func(yield func(int, Element) bool) {
		for i := range l.count {
			if !yield(i, l.At(i)) {
				return
			}
		}
	}
}

// MarshalJSON writes the elements as a list.
func (l Elements) MarshalJSON() ([]byte, error) {
	var list []Element
	for _, e := range l.All() {
		list = append(list, e)
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (l *Elements) UnmarshalJSON(b []byte) error {
	var list []Element
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*l = ElementsOf(list...)
	return nil
}
