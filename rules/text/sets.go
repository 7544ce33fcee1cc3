package text

import (
	"github.com/portwhy/portwhy/rules/wide"
	"sort"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// item is an element as it is written.
type item struct {
	key  *node // nil: everything else
	elem *rules.Element
	// sort orders plain sets, as nft does.
	sort []byte
}

// setRef writes a set where a rule uses it.
func (w *writer) setRef(n *node) {
	s := n.set
	if !s.Anonymous {
		w.str("@")
		w.name(s.Name)
		return
	}
	w.str("{ ")
	for i, it := range items(s, n) {
		if i > 0 {
			w.str(", ")
		}
		w.item(s, it, n.dataOrder)
	}
	w.str(" }")
}

// items are a set's elements in the order and form nft lists them. used is
// where a rule uses the set (a node of kind set), nil for a set by itself.
func items(s *rules.Set, used *node) []item {
	types := words.Split(s.KeyType)
	if used == nil {
		used = &node{kind: set, set: s}
	}
	switch {
	case !s.Interval:
		return plainItems(s, types, used)
	case len(types) > 1:
		return concatItems(s, types, used)
	}
	return intervalItems(s, types, used)
}

// keyNode types a key, which is one value or a concatenation.
func keyNode(key []byte, types []*words.Type, interval bool, used *node) *node {
	if len(types) <= 1 {
		n := constant(key)
		if len(types) == 0 {
			return n
		}
		order := types[0].Order
		n.typ = types[0]
		if used != nil && order == words.None {
			order = used.order
			if used.typ == rawInteger {
				n.typ = rawInteger
			}
		}
		n.order = order
		if used != nil && used.bits > 0 && used.bits < n.bits && n.kind == value {
			n.n, n.bits = n.n.Shr(used.shift), used.bits
		}
		finish(n, interval)
		return n
	}
	c := &node{kind: concat}
	for i, t := range types {
		bits, order := t.Bits, t.Order
		switch {
		case used != nil && i < len(used.kids):
			k := used.kids[i]
			t, bits = k.typ, k.bits
			if order == words.None {
				order = k.order
			}
		case bits == 0 && used != nil && i < len(used.set.Fields):
			bits = 8 * used.set.Fields[i]
		case bits == 0: // an integer fills a register if nothing else is known
			bits = min(32, 8*len(key))
		}
		size := (bits + 7) / 8
		if size > len(key) {
			return &node{kind: unread, text: rawBytes(key)}
		}
		k := constant(key[:size])
		k.typ, k.order = t, order
		finish(k, interval)
		k.bits = bits
		c.kids = append(c.kids, k)
		key = key[min((size+3)/4*4, len(key)):]
	}
	return c
}

// finish turns a number in the host's order around; sets of intervals keep all
// in network order.
func finish(n *node, interval bool) {
	if n.kind != value || isString(n.typ) || interval || n.order != words.Host || !littleHost {
		return
	}
	n.n = n.n.Swap(n.bits / 8)
}

func plainItems(s *rules.Set, types []*words.Type, used *node) []item {
	out := make([]item, 0, s.Elements.Len())
	for _, e := range s.Elements.All() {
		if e.CatchAll {
			out = append(out, item{elem: &e})
			continue
		}
		k := keyNode(e.Key, types, false, used)
		out = append(out, item{key: flagsOf(k), elem: &e, sort: sortKey(k, e.Key)})
	}
	mergeSort(out)
	return out
}

// flagsOf writes sets of bits as their flags.
func flagsOf(k *node) *node {
	if k.kind == value && isBitmask(k.typ) {
		return bitList(k)
	}
	for i, x := range k.kids {
		k.kids[i] = flagsOf(x)
	}
	return k
}

// sortKey is what nft compares elements by: numbers as such, strings and
// concatenations from their last byte, flags by the lowest one.
func sortKey(k *node, key []byte) []byte {
	switch {
	case k.kind == value && isBitmask(k.typ) && !k.n.Zero():
		return wide.Small(1).Shl(k.n.Scan1(0)).Bytes(make([]byte, 16))
	case k.kind == value && !isString(k.typ):
		return k.n.Bytes(make([]byte, 16))
	case k.kind == concat:
		var b []byte
		for _, x := range k.kids {
			v := x.n
			if x.order == words.Host && littleHost && !isString(x.typ) {
				v = v.Swap(x.bits / 8)
			}
			b = append(b, v.Bytes(make([]byte, min((x.bits+7)/8, 16)))...)
		}
		key = b
	}
	if !littleHost {
		return key
	}
	r := make([]byte, len(key))
	for i, c := range key {
		r[len(key)-1-i] = c
	}
	return r
}

// mergeSort sorts as nft does, which shows where keys are equal: of two, that
// of the second half comes first.
func mergeSort(a []item) {
	if len(a) < 2 {
		return
	}
	half := (len(a) + 1) / 2
	mergeSort(a[:half])
	mergeSort(a[half:])
	first := append([]item(nil), a[:half]...)
	second := append([]item(nil), a[half:]...)
	for i := range a {
		if len(second) == 0 || len(first) > 0 && less(&first[0], &second[0]) {
			a[i], first = first[0], first[1:]
		} else {
			a[i], second = second[0], second[1:]
		}
	}
}

func less(a, b *item) bool {
	if a.key == nil || b.key == nil {
		return b.key == nil && a.key != nil
	}
	return string(a.sort) < string(b.sort)
}

// intervalItems makes ranges of the borders that the kernel keeps.
func intervalItems(s *rules.Set, types []*words.Type, used *node) []item {
	type border struct {
		at  num
		e   *rules.Element
		end bool
	}
	var borders []border
	var rest *rules.Element
	for _, e := range s.Elements.All() {
		switch {
		case e.CatchAll:
			rest = &e
			continue
		case len(e.Key) > 16:
			return rawItems(s)
		}
		borders = append(borders, border{wide.FromBytes(e.Key), &e, e.End})
	}
	sort.SliceStable(borders, func(i, j int) bool {
		if c := borders[i].at.Cmp(borders[j].at); c != 0 {
			return c < 0
		}
		return borders[i].end && !borders[j].end
	})
	var out []item
	add := func(low border, width num) {
		n := keyNode(low.e.Key, types, true, used)
		if shift := shiftOf(used); shift > 0 {
			width = width.Shr(shift)
		}
		out = append(out, item{key: interval(n, width), elem: low.e})
	}
	for i := range borders {
		low := borders[i]
		if low.end {
			continue
		}
		last := wide.Ones(8 * len(low.e.Key)).Sub(low.at)
		if i+1 < len(borders) {
			last = borders[i+1].at.Sub(low.at).Sub(wide.Small(1))
		}
		if last.Hi == ^uint64(0) && last.Lo == ^uint64(0) && !low.at.Zero() {
			last = num{} // twice the same border
		}
		add(low, last)
	}
	if rest != nil {
		out = append(out, item{elem: rest})
	}
	return out
}

func shiftOf(used *node) int {
	if used == nil {
		return 0
	}
	return used.shift
}

// interval is from low on and so much more: one value, a prefix, the start of a
// string, or a range.
func interval(low *node, width num) *node {
	if width.Zero() || low.kind != value {
		return flagsOf(low)
	}
	free := width.Scan0(0)
	whole := free <= low.bits && width == wide.Ones(free) && low.n.And(width).Zero()
	switch {
	case whole && low.typ != nil && low.typ.Prefix:
		return &node{kind: prefix, left: low, plen: low.bits - free, typ: low.typ, bits: low.bits}
	case whole && isString(low.typ) && (low.bits-free)%8 == 0:
		n := *low
		n.n, n.bits = n.n.Shr(free), n.bits-free
		return &n
	}
	high := *low
	sum := num{}
	sum.Lo = low.n.Lo + width.Lo
	sum.Hi = low.n.Hi + width.Hi
	if sum.Lo < low.n.Lo {
		sum.Hi++
	}
	high.n = sum
	return &node{kind: ranged, left: low, right: &high, typ: low.typ, bits: low.bits}
}

func concatItems(s *rules.Set, types []*words.Type, used *node) []item {
	out := make([]item, 0, s.Elements.Len())
	for _, e := range s.Elements.All() {
		if e.CatchAll {
			out = append(out, item{elem: &e})
			continue
		}
		k := keyNode(e.Key, types, true, used)
		if len(e.KeyEnd) > 0 && k.kind == concat {
			end := keyNode(e.KeyEnd, types, true, used)
			if end.kind != concat {
				return rawItems(s)
			}
			for j := range k.kids {
				if k.kids[j].kind == value && end.kids[j].kind == value {
					k.kids[j] = interval(k.kids[j], end.kids[j].n.Sub(k.kids[j].n))
				}
			}
		}
		out = append(out, item{key: k, elem: &e})
	}
	return out
}

// rawItems are elements whose keys can't be read.
func rawItems(s *rules.Set) []item {
	var out []item
	for _, e := range s.Elements.All() {
		out = append(out, item{key: &node{kind: unread, text: rawBytes(e.Key)}, elem: &e})
	}
	return out
}

func (w *writer) item(s *rules.Set, it item, order words.Order) {
	if it.key == nil {
		w.str("*")
	} else {
		w.node(it.key)
	}
	e := it.elem
	if len(e.Exprs) > 0 {
		rd := &reader{p: w.p}
		for _, x := range e.Exprs {
			rd.read(x)
		}
		for _, st := range rd.stmts {
			w.str(" ")
			w.stmt(st)
		}
	}
	if e.TimeoutMS != 0 {
		w.str(" timeout ")
		w.span(e.TimeoutMS)
	}
	if e.ExpiresMS != 0 && !w.stateless {
		w.str(" expires ")
		w.span(e.ExpiresMS)
	}
	if e.Comment != "" {
		w.str(" comment ")
		w.quoted(e.Comment)
	}
	switch {
	case e.Verdict != nil:
		w.str(" : ")
		w.verdict(e.Verdict)
	case s.Objects:
		w.str(" : ")
		w.quoted(e.Object)
	case s.Map && !s.Verdicts && len(e.Data) > 0:
		w.str(" : ")
		w.node(dataNode(s, e.Data, order))
	}
}

// dataNode types what a map gives. Twice as long as its type is, it is a range.
func dataNode(s *rules.Set, data []byte, order words.Order) *node {
	types := words.Split(s.DataType)
	size := 0
	for _, t := range types {
		size += (t.Bytes() + 3) / 4 * 4
	}
	if len(types) == 1 {
		size = types[0].Bytes()
	}
	if size == 0 || len(data) != 2*size {
		return flagsOf(keyNode(data, types, false, &node{kind: set, set: s, order: order}))
	}
	a, b := keyNode(data[:size], types, false, nil), keyNode(data[size:], types, false, nil)
	if a.kind != concat {
		return pair(a, b, true)
	}
	if b.kind != concat {
		return a
	}
	for i := range a.kids {
		if a.kids[i].kind != value || b.kids[i].kind != value || a.kids[i].n == b.kids[i].n {
			continue
		}
		t := a.kids[i].typ
		a.kids[i] = pair(a.kids[i], b.kids[i], t == words.IPv4Addr || t == words.IPv6Addr)
	}
	return a
}
