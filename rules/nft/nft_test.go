package nft

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// raw writes an attribute, join several.
func raw(kind uint16, value ...byte) []byte {
	b := make([]byte, 4, 4+len(value)+3)
	binary.NativeEndian.PutUint16(b, uint16(4+len(value)))
	binary.NativeEndian.PutUint16(b[2:], kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func nest(kind uint16, parts ...[]byte) []byte { return raw(kind|0x8000, join(parts...)...) }

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func be32(kind uint16, n uint32) []byte { return raw(kind, binary.BigEndian.AppendUint32(nil, n)...) }

func exprBytes(name string, data ...[]byte) []byte {
	return join(attribute(1, name), nest(2, data...))
}

func TestExpression(t *testing.T) {
	cmpData := [][]byte{be32(1, 8), be32(2, 1), nest(3, raw(1, 1, 2))}
	for _, c := range []struct {
		what string
		give []byte
		want rules.Expr // nil: an Opaque
	}{
		{"cmp", exprBytes("cmp", cmpData...), &rules.Cmp{Op: 1, Data: []byte{1, 2}}},
		{"of an attribute that is not known", exprBytes("cmp", append(cmpData, be32(9, 0))...), nil},
		{"of an attribute beyond 63", exprBytes("cmp", append(cmpData, be32(99, 0))...), nil},
		{"of an attribute twice", exprBytes("cmp", append(cmpData, be32(2, 0))...), nil},
		{"without data", exprBytes("cmp", cmpData[:2]...), nil},
		{"of a bad register", exprBytes("cmp", be32(1, 24), cmpData[1], cmpData[2]), nil},
		{"of a short number", exprBytes("cmp", cmpData[0], raw(2, 1), cmpData[2]), nil},
		{"of a name that is not known", exprBytes("nosuch", cmpData...), nil},
		{"without a name", nest(2, cmpData...), nil},
		{"cut", exprBytes("cmp", cmpData...)[:30], nil},
		{"register", exprBytes("meta", be32(1, 2), be32(2, 3)), &rules.Meta{Key: 3, Reg: 4}},
		{"both registers", exprBytes("meta", be32(1, 2), be32(2, 3), be32(3, 1)), nil},
		{"queue verdict", exprBytes("immediate", be32(1, 0), nest(2, nest(2, be32(1, 0x50003)))),
			&rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Queue, Code: 0x50003}}},
		{"jump", exprBytes("immediate", be32(1, 0), nest(2, nest(2, be32(1, 0xfffffffd), attribute(2, "c")))),
			&rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Jump, Chain: "c", Code: 0xfffffffd}}},
		{"jump to nowhere", exprBytes("immediate", be32(1, 0), nest(2, nest(2, be32(1, 0xfffffffd)))), nil},
		{"match", exprBytes("match", attribute(1, "tcp"), be32(2, 0), raw(3, 1, 2, 3, 4)),
			&rules.Match{Ext: "tcp", Data: []byte{1, 2, 3, 4, 0, 0, 0, 0}}},
		{"match without data", exprBytes("match", attribute(1, "tcp"), be32(2, 0)), nil},
		{"match of a large revision", exprBytes("match", attribute(1, "tcp"), be32(2, 256), raw(3)), nil},
		{"limit flags", exprBytes("limit", raw(1, make([]byte, 8)...), raw(2, make([]byte, 8)...), be32(5, 2)), nil},
		{"notrack", attribute(1, "notrack"), &rules.Notrack{}},
		{"inner", exprBytes("inner", be32(1, 0), be32(2, 1), be32(3, 15), be32(4, 8), nest(5, exprBytes("meta", be32(1, 1), be32(2, 1)))),
			&rules.Inner{Type: 1, Flags: 15, HdrSize: 8, Exprs: rules.Exprs{&rules.Meta{Key: 1}}}},
		{"inner that isn't a load", exprBytes("inner", be32(2, 1), be32(3, 15), be32(4, 8), nest(5, exprBytes("notrack"))), nil},
		{"inner that stores", exprBytes("inner", be32(2, 1), be32(3, 15), be32(4, 8), nest(5, exprBytes("meta", be32(3, 1), be32(2, 1)))), nil},
		{"inner of what is not known", exprBytes("inner", be32(2, 1), be32(3, 15), be32(4, 8), nest(5, exprBytes("nosuch"))), nil},
	} {
		got := expression(c.give)
		if o, opaque := got.(*rules.Opaque); opaque {
			if c.want != nil || o.Why == "" {
				t.Errorf("%s: %+v", c.what, o)
			}
		} else if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

// messages are a small ruleset: type, family, attributes.
func messages() [][]byte {
	name := attribute(1, "filter")
	elements := nest(3, nest(1, nest(1, raw(1, 0, 22)), nest(2, nest(2, be32(1, 1)))), nest(1, be32(3, 2)))
	return [][]byte{
		join([]byte{NewTable, 2}, name, be32(2, 9), raw(6, 0, 2, 'x', 0)),
		join([]byte{NewChain, 2}, name, attribute(3, "INPUT"), nest(4, be32(1, 1), be32(2, 0)), be32(5, 0), attribute(7, "filter")),
		join([]byte{NewRule, 2}, name, attribute(2, "INPUT"), nest(4, nest(1, exprBytes("notrack")), nest(1, exprBytes("nosuch")))),
		join([]byte{NewSet, 2}, name, attribute(2, "s"), be32(3, 8), be32(6, verdictType), nest(9, be32(1, 7), nest(2, nest(1, be32(1, 2)))), be32(20, 2)),
		join([]byte{NewElements, 2}, name, attribute(2, "s"), elements),
		join([]byte{NewObject, 2}, name, attribute(2, "o"), be32(3, 3), nest(4, attribute(1, "ftp"))),
		join([]byte{NewFlowtable, 2}, name, attribute(2, "f"), nest(3, be32(1, 0), be32(2, 5), nest(3, attribute(1, "lo"), attribute(2, "eth")))),
	}
}

func TestMessages(t *testing.T) {
	d := NewDecoder()
	for _, m := range messages() {
		if err := d.Message(m[0], m[1], m[2:]); err != nil {
			t.Fatal(err)
		}
	}
	set := d.Ruleset()
	table := set.Tables[0]
	if table.Backend != rules.IptablesNFT || !table.Dormant() || len(table.Flags) != 2 || table.Flags[1] != "8" || table.Comment != "x" {
		t.Errorf("%+v", table)
	}
	chain := table.Chain("INPUT")
	if chain.Hook != rules.Input || chain.Policy != "drop" || len(chain.Rules) != 1 || len(chain.Rules[0].Exprs.All()) != 2 {
		t.Errorf("%+v", chain)
	}
	s := table.Set("s")
	if !s.Verdicts || s.Size != 7 || s.Count != 2 || len(s.Fields) != 1 || s.Elements.Len() != 2 ||
		s.Elements.At(0).Verdict.Kind != rules.Accept || !s.Elements.At(1).CatchAll {
		t.Errorf("%+v", s)
	}
	if o, ok := table.Objects[0].Expr.(*rules.Opaque); !ok || o.Why == "" {
		t.Errorf("%+v", table.Objects[0])
	}
	if f := table.Flowtables[0]; f.Priority != 5 || !reflect.DeepEqual(f.Devices, []string{"lo", "eth*"}) {
		t.Errorf("%+v", f)
	}
	for _, m := range [][]byte{
		join([]byte{NewChain, 2}, attribute(1, "nosuch"), attribute(3, "c")),
		join([]byte{NewRule, 2}, attribute(1, "filter"), attribute(2, "nosuch")),
		join([]byte{NewElements, 2}, attribute(1, "filter"), attribute(2, "nosuch")),
		{NewTable, 2, 9, 0, 1, 0},
		{99, 2},
	} {
		if err := d.Message(m[0], m[1], m[2:]); err == nil {
			t.Errorf("%v was taken", m)
		}
	}
}

// Messages may be overwritten once they were read, and expressions that are in
// several rules are one.
func TestNothingIsKept(t *testing.T) {
	rule := func(parts ...[]byte) []byte {
		return join([]byte{NewRule, 2}, attribute(1, "filter"), attribute(2, "INPUT"), nest(4, parts...))
	}
	compare := func(port byte) []byte {
		return nest(1, exprBytes("payload", be32(1, 8), be32(2, 1), be32(3, uint32(port)), be32(4, 2)))
	}
	all := append(messages(), rule(compare(22)), rule(compare(23), nest(1, exprBytes("match", attribute(1, "tcp"), be32(2, 0), raw(3, 1, 2, 3, 4)))), rule(compare(22), raw(1, 9)))
	kept, overwritten := NewDecoder(), NewDecoder()
	for _, m := range all {
		own := bytes.Clone(m)
		for _, err := range []error{kept.Message(m[0], m[1], m[2:]), overwritten.Message(own[0], own[1], own[2:])} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range own {
			own[i] = 0xee
		}
	}
	if !reflect.DeepEqual(kept.Ruleset(), overwritten.Ruleset()) {
		t.Error("what was read has changed with the messages")
	}
	list := overwritten.Tables()[0].Chain("INPUT").Rules
	if len(list) != 4 || list[1].Exprs.All()[0] != list[3].Exprs.All()[0] || list[1].Exprs.All()[0] == list[2].Exprs.All()[0] {
		t.Errorf("%+v", list)
	}
}

func TestObjects(t *testing.T) {
	host32 := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	for _, c := range []struct {
		kind uint32
		data []byte
		want rules.Expr // nil: an Opaque
	}{
		{3, join(attribute(1, "ftp"), raw(2, 0, 2), raw(3, 6)), &rules.Helper{Kind: "ftp", L3: rules.IP, L4: 6}},
		{3, join(attribute(1, "ftp"), raw(2, 9, 2), raw(3, 6)), nil},
		{7, join(raw(1, 0, 10), raw(2, 17), nest(3, be32(1, 30), be32(2, 60))), &rules.Timeout{L3: rules.IP6, L4: 17, Seconds: []uint32{30, 60}}},
		{7, join(raw(1, 0, 10), raw(2, 17), nest(3, be32(1, 30), be32(3, 60))), nil},
		{8, attribute(1, "a:b:c"), &rules.Secmark{Context: "a:b:c"}},
		{8, nil, nil},
		{9, join(raw(1, 0, 2), raw(2, 6), raw(3, 1, 2), raw(4, host32(5)...), raw(5, 9)),
			&rules.Expectation{L3: rules.IP, L4: 6, Port: 258, TimeoutMS: 5, Size: 9}},
		{9, join(raw(1, 0, 2), raw(2, 6), raw(3, 1, 2), raw(4, 5), raw(5, 9)), nil},
		{6, join(be32(1, 7), nest(2, raw(1, 1, 2, 3, 4), raw(2, 5, 6, 7, 8)), raw(7, 0, 0), raw(8, 0x12, 0xb5), be32(4, 1), raw(5, 3), raw(6, 64), nest(9)),
			&rules.TunnelKey{ID: 7, Src: []byte{1, 2, 3, 4}, Dst: []byte{5, 6, 7, 8}, Dport: 4789, Flags: 1, TOS: 3, TTL: 64, Options: []byte{}}},
		{6, join(be32(1, 7), nest(3, raw(2, 5, 6, 7, 8))), nil},
		{6, be32(1, 7), nil},
		{10, join(raw(1, 5, 0xb4), raw(2, 7), be32(3, 3)), &rules.Synproxy{MSS: 1460, Wscale: 7, Flags: 3}},
		{77, nil, nil},
	} {
		name, decoder := decoderOfObject(c.kind)
		got := decodeBy(name, decoder, c.data)
		if o, opaque := got.(*rules.Opaque); opaque {
			if c.want != nil || o.Why == "" {
				t.Errorf("%d: %+v", c.kind, o)
			}
		} else if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d: %+v, want %+v", c.kind, got, c.want)
		}
	}
}

func TestMadeByIptables(t *testing.T) {
	input := &rules.Chain{Name: "INPUT", Hook: rules.Input}
	for _, c := range []struct {
		table rules.Table
		want  bool
	}{
		{rules.Table{Family: rules.IP6, Name: "filter", Chains: []*rules.Chain{input, {Name: "user"}}}, true},
		{rules.Table{Family: rules.Inet, Name: "filter", Chains: []*rules.Chain{input}}, false},
		{rules.Table{Family: rules.IP, Name: "nat", Chains: []*rules.Chain{input}}, false},
		{rules.Table{Family: rules.IP, Name: "filter", Chains: []*rules.Chain{input, {Name: "in", Hook: rules.Input}}}, false},
		{rules.Table{Family: rules.IP, Name: "filter", Chains: []*rules.Chain{{Name: "user"}}}, false},
	} {
		if got := MadeByIptables(&c.table); got != c.want {
			t.Errorf("%+v: %v", c.table, got)
		}
	}
}

// Whatever comes, nothing panics, and what is taken is a whole ruleset.
func FuzzMessage(f *testing.F) {
	for _, m := range messages() {
		f.Add(m)
	}
	f.Add(join([]byte{NewRule, 2}, attribute(1, "filter"), attribute(2, "INPUT"), nest(4, nest(1,
		exprBytes("dynset", attribute(1, "s"), be32(3, 0), be32(4, 8), nest(7, exprBytes("limit")))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		d := NewDecoder()
		for _, m := range messages() {
			if err := d.Message(m[0], m[1], m[2:]); err != nil {
				t.Fatal(err)
			}
		}
		if d.Message(b[0], b[1], b[2:]) != nil {
			return
		}
		for _, table := range d.Ruleset().Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					for _, e := range r.Exprs.All() {
						if e == nil {
							t.Fatalf("%+v", r)
						}
					}
				}
			}
		}
	})
}
