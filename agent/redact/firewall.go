package redact

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// ruleset goes through the bytes of a firewall's rules and sets that are
// addresses. Its strings are gone through as all others are.
func (w *walker) ruleset(rs *rules.Ruleset, view uint64) {
	for _, table := range rs.Tables {
		t := w.tracker(table, view)
		for _, c := range table.Chains {
			for _, rule := range c.Rules {
				t.track(rule.Exprs.All())
				w.places(t.places)
				w.extensions(rule)
			}
		}
		for _, o := range table.Objects {
			t.track(rules.Exprs{o.Expr})
			w.places(t.places)
		}
		for _, s := range table.Sets {
			w.set(s, t.sets[s.Name])
		}
	}
}

// tracker makes a tracker for a table, and finds out what is in its sets: by
// their types, else by what rules look up in them and use their values for. What
// was seen is remembered for the changes, as the rules then are others.
func (w *walker) tracker(table *rules.Table, view uint64) *tracker {
	t := &tracker{family: table.Family, sets: map[string]*setPlaces{}}
	for _, s := range table.Sets {
		id := setID{view, table.Family, table.Name, s.Name}
		if w.sets[id] == nil {
			w.sets[id] = &setPlaces{key: typeCells(s.KeyType, s.KeyLen), data: typeCells(s.DataType, s.DataLen)}
		}
		t.sets[s.Name] = w.sets[id]
	}
	// Twice: a rule may tell of a set that an earlier one uses.
	for range 2 {
		for _, c := range table.Chains {
			for _, rule := range c.Rules {
				t.track(rule.Exprs.All())
			}
		}
	}
	return t
}

// setID names a set in a recording.
type setID struct {
	view       uint64
	family     rules.Family
	table, set string
}

func (w *walker) places(list []place) {
	mapped := false // a network is mapped to another
	for _, p := range list {
		mapped = mapped || p.network > 0
	}
	for _, p := range list {
		if w.mode == changing {
			p.change(w.Redactor)
			continue
		}
		p.see(w.addresses)
		if mapped && p.from == 0 && p.mask != nil {
			w.addresses.of(p.kind).below(p.bitsAt(p.data), common(p.bitsAt(p.mask), ones))
		}
	}
}

// nft's numbers of the types that are addresses, and how many bits each has in
// the number of a concatenation (enum nft_data_types and TYPE_BITS of nft's
// datatype.h).
const (
	typeIPv4 = 7
	typeIPv6 = 8
	typeMAC  = 9
	typeBits = 6
)

// typeCells says what the bytes of a set's type are.
func typeCells(number uint32, length int) map[int]cell {
	cells := map[int]cell{}
	if number >= 1<<31 || length <= 0 || length > registerBytes {
		return cells
	}
	var fields []kind
	for ; number > 0; number >>= typeBits {
		fields = append(fields, map[uint32]kind{typeIPv4: ip4, typeIPv6: ip6, typeMAC: mac}[number&(1<<typeBits-1)])
	}
	if len(fields) == 1 {
		put(cells, fields[0], 0)
		return cells
	}
	// The last field has the lowest bits. Only where the lengths of all fields are
	// known is their place; of the others all are padded to four bytes.
	at := length
	for _, k := range fields {
		size := (k.size() + 3) / 4 * 4
		if k == noAddress {
			size = 4
		}
		at -= size
		if at < 0 {
			break
		}
		put(cells, k, at)
	}
	if at != 0 {
		clear(cells) // a field is longer; the rules tell
	}
	return cells
}

func put(cells map[int]cell, k kind, at int) {
	for i := range k.size() {
		cells[at+i] = cell{kind: k, at: i, mask: 0xff}
	}
}

// keyRun is a run of bytes of one address.
type keyRun struct {
	first, n, at int
	kind         kind
	mask         []byte
}

func runsOf(cells map[int]cell, length int) (list []keyRun) {
	for i := range min(length, registerBytes) {
		c := cells[i]
		if c.kind == noAddress {
			continue
		}
		if n := len(list); n > 0 {
			last := &list[n-1]
			if last.first+last.n == i && last.kind == c.kind && last.at+last.n == c.at {
				last.n++
				last.mask = append(last.mask, c.mask)
				continue
			}
		}
		list = append(list, keyRun{i, 1, c.at, c.kind, []byte{c.mask}})
	}
	for i := range list {
		list[i].mask = maskOf(list[i].mask, list[i].n)
	}
	return list
}

// set goes through the elements of a set.
func (w *walker) set(s *rules.Set, places *setPlaces) {
	keys := runsOf(places.key, s.KeyLen)
	if s.Interval && !s.Concat && len(keys) > 0 {
		if len(keys) == 1 && keys[0].at == 0 && keys[0].n == s.KeyLen {
			w.borders(s, keys[0].kind)
		} else {
			w.keep("sets of ranges whose keys are more than an address", s.Name)
		}
	}
	for _, e := range s.Elements.All() {
		if !s.Interval || s.Concat || len(e.KeyEnd) > 0 {
			w.element(&e, keys)
		}
		w.values(&e, places)
	}
}

// element goes through a key, whose fields may be ranges.
func (w *walker) element(e *rules.Element, keys []keyRun) {
	var list []place
	for _, k := range keys {
		if p := (place{kind: k.kind, from: k.at, data: cut(e.Key, k.first, k.n), to: cut(e.KeyEnd, k.first, k.n), mask: k.mask}); p.data != nil {
			list = append(list, p)
		}
	}
	w.places(list)
}

// values goes through the value of a map's element.
func (w *walker) values(e *rules.Element, places *setPlaces) {
	done := map[int]bool{}
	var list []place
	for _, pair := range places.pairs {
		p := place{kind: places.data[pair.from].kind, data: cut(e.Data, pair.from, pair.size), to: cut(e.Data, pair.to, pair.size)}
		if p.kind == noAddress || p.data == nil || p.to == nil || pair.from == pair.to || done[pair.from] {
			continue
		}
		if pair.network > 0 {
			p.network = common(p.bitsAt(p.data), p.bitsAt(p.to))
		}
		done[pair.from], done[pair.to] = true, true
		list = append(list, p)
	}
	for _, k := range runsOf(places.data, len(e.Data)) {
		if !done[k.first] {
			list = append(list, place{kind: k.kind, from: k.at, data: cut(e.Data, k.first, k.n)})
		}
	}
	w.places(list)
}

func (w *walker) keep(what, which string) {
	if w.mode == changing {
		w.tally.kept(what, which)
	}
}

// extensions goes through what an iptables rule's structures hold besides
// addresses.
func (w *walker) extensions(rule *rules.Rule) {
	for _, e := range rule.Exprs.All() {
		switch e := e.(type) {
		case *rules.Match:
			switch e.Ext {
			case "u32", "bpf", "among":
				w.keep("what an iptables match "+e.Ext+" compares", fmt.Sprintf("%x", e.Data))
			}
		case *rules.Opaque:
			// It is not evaluated, so its bytes need not be there.
			if w.mode == changing && len(e.Data) > 0 {
				clear(e.Data)
				w.tally.note("bytes of expressions that are not understood", fmt.Sprintf("%p", e), "zeros")
			}
		}
	}
}
