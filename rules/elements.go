package rules

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
)

// Elements are the elements of a set, in the order of their source. Sets may have
// a million of them, so what most have lies side by side, in columns, and what an
// element has besides is held for those only that have something. The zero value
// is an empty list.
type Elements struct {
	count int
	size  int    // of each key in keys, in bytes
	keys  []byte // of all elements
	ends  []bool // of all elements or, if none is the end of a range, nil
	columns
	more []*besides // of all elements or, if none has anything, nil
}

// columns are what elements of a set have alike in kind: data and the ends of keys
// of some bytes, and times. Those of the first that is no end of a range count.
type columns struct {
	known      bool
	data, tail int  // bytes of each Data and KeyEnd
	timed      bool // there are times
	datas      []byte
	tails      []byte
	times      []uint64 // TimeoutMS and ExpiresMS, in turn
}

// besides is what an element has besides its key and the columns. One whose key is
// not as long as the others' has it here, and one that doesn't fit the columns has
// all here.
type besides struct {
	Element
	own, whole bool
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
	fits := plain && l.fits(&e, l.count)
	l.add(&e, fits)
	switch {
	case fits && e.bare():
		if l.more != nil {
			l.more = append(l.more, nil)
		}
	case fits && l.before(&e) != nil:
		l.more = append(l.more, l.before(&e)) // a million addresses may have the same verdict
	default:
		if l.more == nil {
			l.more = make([]*besides, l.count, l.room())
		}
		l.more = append(l.more, &besides{e, !plain, !fits})
	}
	l.count++
}

// fits reports whether an element has what the columns have; the first that comes,
// behind others, says what that is. The end of a range has nothing.
func (c *columns) fits(e *Element, behind int) bool {
	timed := e.TimeoutMS != 0 || e.ExpiresMS != 0
	if e.End {
		return e.Data == nil && e.KeyEnd == nil && !timed
	}
	if !c.known {
		*c = columns{known: true, data: len(e.Data), tail: len(e.KeyEnd), timed: timed}
		for range behind {
			c.add(&Element{}, false)
		}
	}
	return len(e.Data) == c.data && (e.Data == nil) == (c.data == 0) && len(e.KeyEnd) == c.tail && (e.KeyEnd == nil) == (c.tail == 0) && (c.timed || !timed)
}

// add takes what an element has into the columns, which have a place for each.
func (c *columns) add(e *Element, fits bool) {
	if !fits || e.End {
		c.datas, c.tails = append(c.datas, make([]byte, c.data)...), append(c.tails, make([]byte, c.tail)...)
	} else {
		c.datas, c.tails = append(c.datas, e.Data...), append(c.tails, e.KeyEnd...)
	}
	if c.timed {
		c.times = append(c.times, e.TimeoutMS, e.ExpiresMS)
	}
	if fits {
		e.Data, e.KeyEnd, e.TimeoutMS, e.ExpiresMS = nil, nil, 0, 0
	}
}

// into gives an element what the columns have of it.
func (c *columns) into(e *Element, i int) {
	part := func(column []byte, size int) []byte {
		if size == 0 {
			return nil
		}
		return column[i*size : (i+1)*size : (i+1)*size]
	}
	e.Data, e.KeyEnd = part(c.datas, c.data), part(c.tails, c.tail)
	if c.timed {
		e.TimeoutMS, e.ExpiresMS = c.times[2*i], c.times[2*i+1]
	}
}

// bare reports whether an element has nothing but what the columns take.
func (e *Element) bare() bool {
	return !e.CatchAll && e.Verdict == nil && e.Object == "" && e.Exprs == nil && e.Comment == ""
}

// before is what one of the last two elements has, if it is the same: between the
// starts of ranges are their ends.
func (l *Elements) before(e *Element) *besides {
	for i := l.count - 1; l.more != nil && i >= max(0, l.count-2); i-- {
		if m := l.more[i]; m != nil && !m.whole && m.Alike(e) {
			return m
		}
	}
	return nil
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
	whole := false
	if l.more != nil && l.more[i] != nil {
		e, whole = l.more[i].Element, l.more[i].whole
	}
	e.End = l.ends != nil && l.ends[i]
	if l.known && !whole && !e.End {
		l.into(&e, i)
	}
	e.Key = l.Key(i)
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
