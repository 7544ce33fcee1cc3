package compile

import (
	"bytes"
	"slices"
	"sort"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

// ranges are the ranges of keys of an interval set. There may be a million, so
// their borders lie side by side.
type ranges struct {
	size int              // of a key, in bytes
	keys []byte           // of each range the first key and the last
	more []*rules.Element // what belongs to each besides; nil if none has anything
}

func (r *ranges) add(from, to num, more *rules.Element) {
	if more != nil && r.more == nil {
		r.more = make([]*rules.Element, r.Len())
	}
	if r.more != nil {
		if n := len(r.more); more != nil && n > 0 && r.more[n-1] != nil && r.more[n-1].Alike(more) {
			more = r.more[n-1]
		}
		r.more = append(r.more, more)
	}
	r.keys = appendTo(from, r.keys, words.Network, r.size)
	r.keys = appendTo(to, r.keys, words.Network, r.size)
}

// grow makes room for n more.
func (r *ranges) grow(n int) { r.keys = slices.Grow(r.keys, 2*n*r.size) }

// Len is how many there are.
func (r *ranges) Len() int {
	if r.size == 0 {
		return 0
	}
	return len(r.keys) / (2 * r.size)
}

// pair is the first and the last key of a range.
func (r *ranges) pair(i int) []byte { return r.keys[2*i*r.size : 2*(i+1)*r.size] }

func (r *ranges) at(i int) (from, to num) {
	p := r.pair(i)
	return wide.FromBytes(p[:r.size]), wide.FromBytes(p[r.size:])
}

func (r *ranges) besides(i int) *rules.Element {
	if r.more == nil {
		return nil
	}
	return r.more[i]
}

// Less orders ranges by their first keys.
func (r *ranges) Less(i, j int) bool {
	return bytes.Compare(r.pair(i)[:r.size], r.pair(j)[:r.size]) < 0
}

// Swap exchanges two ranges.
func (r *ranges) Swap(i, j int) {
	a, b := r.pair(i), r.pair(j)
	for n := range a {
		a[n], b[n] = b[n], a[n]
	}
	if r.more != nil {
		r.more[i], r.more[j] = r.more[j], r.more[i]
	}
}

func (r *ranges) sort() {
	if !sort.IsSorted(r) {
		sort.Stable(r)
	}
}

// merge joins ranges in order that overlap or follow each other
// (setelem_automerge). What belongs to the first of them is kept.
func (r *ranges) merge() {
	n := 0
	for i := range r.Len() {
		from, to := r.at(i)
		if n > 0 {
			first, last := r.at(n - 1)
			if from.Cmp(last) <= 0 || from == last.Next() {
				if to.Cmp(last) > 0 {
					appendTo(to, appendTo(first, r.pair(n - 1)[:0], words.Network, r.size), words.Network, r.size)
				}
				continue
			}
		}
		r.move(n, i)
		n++
	}
	r.cut(n)
}

// distinct leaves one of ranges in order that are there twice, and reports whether
// no others have a key in common.
func (r *ranges) distinct() bool {
	n := 0
	for i := range r.Len() {
		if n > 0 {
			last, next := r.pair(n-1), r.pair(i)
			switch {
			case bytes.Compare(next[:r.size], last[r.size:]) > 0:
			case bytes.Equal(next, last) && alike(r.besides(n-1), r.besides(i)):
				continue
			default:
				return false
			}
		}
		r.move(n, i)
		n++
	}
	r.cut(n)
	return true
}

// move puts a range in the place of another.
func (r *ranges) move(to, from int) {
	copy(r.pair(to), r.pair(from))
	if r.more != nil {
		r.more[to] = r.more[from]
	}
}

// cut leaves the first n.
func (r *ranges) cut(n int) {
	r.keys = r.keys[:2*n*r.size]
	if r.more != nil {
		r.more = r.more[:n]
	}
}
