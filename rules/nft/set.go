package nft

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// Flags of a set, NFT_SET_*.
const (
	setAnonymous = 1 << iota
	setConstant
	setInterval
	setMap
	setTimeout
	setEval
	setObject
	setConcat
)

// verdictType is the data type of a verdict map, NFT_DATA_VERDICT.
const verdictType = 0xffffff00

func (d *Decoder) set(t *rules.Table, a *attributes) {
	flags := a.u32(3)
	has := func(bit uint32) bool { return flags&bit != 0 }
	s := &rules.Set{Name: a.name(2), Handle: a.u64(16), ID: a.u32(10), Flags: flags, Count: -1,
		KeyType: a.u32(4), KeyLen: int(a.u32(5)), DataType: a.u32(6), DataLen: int(a.u32(7)),
		Anonymous: has(setAnonymous), Constant: has(setConstant), Interval: has(setInterval), Map: has(setMap),
		Timeout: has(setTimeout), Dynamic: has(setEval), Objects: has(setObject), Concat: has(setConcat),
		TimeoutMS: a.u64(11), ObjType: a.u32(15), Exprs: a.both(17, 18), Comment: a.comment(13, 7)}
	s.Verdicts = s.Map && s.DataType == verdictType
	if v, ok := a.get(9); ok {
		a.description(s, v)
	}
	if a.has(20) { // NFTA_SET_COUNT, of newer kernels
		s.Count = int(a.u32(20))
	}
	t.Sets = append(t.Sets, s)
	d.sets[memberKey{t, s.Name}] = s
}

// description reads an NFTA_SET_DESC_*: the size, and the lengths of a
// concatenation's fields.
func (a *attributes) description(s *rules.Set, b []byte) {
	desc := open(b)
	s.Size = desc.u32(1)
	fields, _ := desc.get(2)
	for _, v := range each(fields) {
		field := open(v)
		s.Fields = append(s.Fields, int(field.need32(1)))
		desc.fold(field)
	}
	a.fold(desc)
}

func (d *Decoder) elements(t *rules.Table, a *attributes) {
	name := a.name(2)
	s := d.sets[memberKey{t, name}]
	if s == nil {
		a.fail("no set %s", name)
		return
	}
	list, _ := a.get(3)
	for _, v := range each(list) {
		e := open(bytes.Clone(v))
		s.Elements.Append(element(&e))
		if why := e.close(); why != "" {
			a.fail("element of %s: %s", name, why)
		}
	}
	a.fold(open(list))
}

// element reads an NFTA_SET_ELEM_*.
func element(a *attributes) rules.Element {
	flags := a.u32(3) // NFT_SET_ELEM_INTERVAL_END, NFT_SET_ELEM_CATCHALL
	if flags > 3 {
		a.fail("flags %#x", flags)
	}
	a.skip(8)
	e := rules.Element{Key: a.dataIf(1), KeyEnd: a.dataIf(10), End: flags&1 != 0, CatchAll: flags&2 != 0,
		TimeoutMS: a.u64(4), ExpiresMS: a.u64(5), Comment: a.comment(6, 0), Object: a.text(9), Exprs: a.both(7, 11)}
	if a.has(2) {
		e.Data, e.Verdict = a.value(2)
	}
	if !e.CatchAll && e.Key == nil {
		a.fail("no key")
	}
	return e
}

// decoderOfObject reads NFTA_OBJ_DATA of a type of object, NFT_OBJECT_*; nil if
// it is not known. Those of an expression's name have its form.
func decoderOfObject(kind uint32) (string, func(*attributes) rules.Expr) {
	switch kind {
	case 1:
		return "counter", counter
	case 2:
		return "quota", quota
	case 3:
		return "ct helper", helper
	case 4:
		return "limit", limit
	case 5:
		return "connlimit", connlimit
	case 6:
		return "tunnel object", tunnelKey
	case 7:
		return "ct timeout", timeout
	case 8:
		return "secmark", secmark
	case 9:
		return "ct expectation", expectation
	case 10:
		return "synproxy", synproxy
	}
	return "object", nil
}

func (d *Decoder) object(t *rules.Table, a *attributes) {
	o := &rules.Object{Name: a.name(2), Type: a.need32(3), Handle: a.u64(6)}
	o.Comment = a.comment(8, 0)
	data, _ := a.get(4)
	name, decoder := decoderOfObject(o.Type)
	o.Expr = decodeBy(name, decoder, data)
	t.Objects = append(t.Objects, o)
}

func (d *Decoder) flowtable(t *rules.Table, a *attributes) {
	f := &rules.Flowtable{Name: a.name(2), Handle: a.u64(5), Flags: a.u32(7)}
	if v, ok := a.get(3); ok { // NFTA_FLOWTABLE_HOOK_*
		h := open(v)
		f.Priority = int32(h.u32(2))
		list, _ := h.get(3)
		f.Devices = devices(list)
		a.fold(h)
	}
	t.Flowtables = append(t.Flowtables, f)
}

// ElementsRequest is what a request for a set's elements has behind struct
// nfgenmsg.
func ElementsRequest(table, set string) []byte {
	return append(attribute(tableAttribute, table), attribute(nameAttribute, set)...)
}

// ElementRequest is what a request for the element that a key falls on has
// behind struct nfgenmsg: of a set of ranges the border that opens the range, of
// a nil key the catch-all element.
func ElementRequest(table, set string, key []byte) []byte {
	var element []byte
	if key == nil {
		element = attributeBytes(3, []byte{0, 0, 0, 2}) // NFTA_SET_ELEM_FLAGS: NFT_SET_ELEM_CATCHALL
	} else {
		element = nested(1, attributeBytes(1, key)) // NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
	}
	return append(ElementsRequest(table, set), nested(3, nested(1, element))...) // NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_LIST_ELEM
}

// attribute writes a text as an attribute.
func attribute(kind uint16, s string) []byte { return attributeBytes(kind, append([]byte(s), 0)) }

func attributeBytes(kind uint16, v []byte) []byte {
	n := 4 + len(v)
	b := make([]byte, (n+3)&^3)
	binary.NativeEndian.PutUint16(b, uint16(n))
	binary.NativeEndian.PutUint16(b[2:], kind)
	copy(b[4:], v)
	return b
}

// nested writes an attribute that holds others (NLA_F_NESTED).
func nested(kind uint16, v []byte) []byte { return attributeBytes(kind|1<<15, v) }

// Element reads the answer to [ElementRequest]: the body of a message
// NewElements, behind struct nfgenmsg.
func Element(body []byte) (*rules.Element, error) {
	a := open(body)
	list, _ := a.get(3)
	a.skip(1, 2)
	var found *rules.Element
	for _, v := range each(list) {
		e := open(v)
		x := element(&e)
		if why := e.close(); why != "" {
			a.fail("element: %s", why)
		}
		found = &x
	}
	a.fold(open(list))
	if found == nil {
		a.fail("no element")
	}
	return found, a.err("element")
}
