package text_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/text"
)

// random makes expressions from bytes: what they hold is arbitrary, and nothing
// says that they fit together.
type random struct{ b []byte }

func (r *random) byte() byte {
	if len(r.b) == 0 {
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *random) u32() uint32 {
	switch c := r.byte(); c % 4 {
	case 0:
		return uint32(r.byte()) % 40
	case 1:
		return uint32(r.byte())
	case 2:
		return 1 << (r.byte() % 32)
	}
	return uint32(r.byte())<<24 | uint32(r.byte())<<16 | uint32(r.byte())<<8 | uint32(r.byte())
}

func (r *random) bool() bool     { return r.byte()&1 != 0 }
func (r *random) reg() rules.Reg { return rules.Reg(r.byte() % 17) }

func (r *random) data() []byte {
	n := [...]int{0, 1, 2, 4, 6, 8, 16, 17, 3, 64}[r.byte()%10]
	b := make([]byte, n)
	for i := range b {
		b[i] = r.byte()
	}
	return b
}

func (r *random) verdict() *rules.Verdict {
	return &rules.Verdict{Kind: rules.VerdictKind(int32(r.byte()%10) - 5), Chain: "c\x1b[2J", Code: r.u32()}
}

func (r *random) expr(depth int) rules.Expr {
	set := []string{"s", "m", "v", "none"}[r.byte()%4]
	family := rules.Family(r.byte() % 12)
	switch r.byte() % 39 {
	case 0:
		if r.bool() {
			return &rules.Immediate{Verdict: r.verdict()}
		}
		return &rules.Immediate{Dest: r.reg(), Data: r.data()}
	case 1, 2:
		return &rules.Payload{Base: r.u32() % 6, Offset: r.u32(), Len: r.u32(), Write: r.bool(), Reg: r.reg()}
	case 3:
		return &rules.Payload{Base: uint32(r.byte() % 3), Offset: uint32(r.byte() % 24), Len: uint32(r.byte()%17) + 1, Reg: r.reg()}
	case 4, 5:
		return &rules.Cmp{Source: r.reg(), Op: r.u32() % 7, Data: r.data()}
	case 6:
		return &rules.Range{Source: r.reg(), Op: r.u32() % 3, From: r.data(), To: r.data()}
	case 7, 8:
		m := r.data()
		return &rules.Bitwise{Source: r.reg(), Dest: r.reg(), HasSource2: r.byte() == 7, Op: r.u32() % 7, Len: uint32(len(m)), Mask: m, Xor: make([]byte, len(m)), Data: r.data()}
	case 9:
		return &rules.Byteorder{Source: r.reg(), Dest: r.reg()}
	case 10, 11:
		return &rules.Meta{Key: r.u32(), Write: r.bool(), Reg: r.reg()}
	case 12:
		return &rules.CT{Key: r.u32(), Write: r.bool(), Reg: r.reg(), Dir: int8(r.byte())}
	case 13:
		return &rules.Lookup{Set: set, Source: r.reg(), HasDest: r.bool(), Dest: r.reg(), Invert: r.bool()}
	case 14:
		d := &rules.Dynset{Set: set, Op: r.u32(), Key: r.reg(), Data: r.reg(), HasData: r.bool(), TimeoutMS: uint64(r.u32())}
		if depth < 3 {
			d.Exprs = []rules.Expr{r.expr(depth + 1)}
		}
		return d
	case 15:
		return &rules.Exthdr{Type: r.byte(), Op: r.u32() % 6, Offset: r.u32(), Len: r.u32(), Flags: r.u32(), Write: r.bool(), Reset: r.bool(), Reg: r.reg()}
	case 16:
		return &rules.Fib{Dest: r.reg(), Result: r.u32() % 6, Flags: r.u32()}
	case 17:
		return &rules.RT{Dest: r.reg(), Key: r.u32()}
	case 18:
		return &rules.Socket{Dest: r.reg(), Key: r.u32(), Level: r.u32()}
	case 19:
		return &rules.OSF{Dest: r.reg(), TTL: r.byte(), Flags: r.u32()}
	case 20:
		return &rules.Hash{Source: r.reg(), Dest: r.reg(), Len: r.u32(), Modulus: r.u32(), HasSeed: r.bool(), Type: r.u32() % 3}
	case 21:
		return &rules.Numgen{Dest: r.reg(), Modulus: r.u32(), Type: r.u32(), Offset: r.u32()}
	case 22:
		return &rules.Limit{Rate: uint64(r.u32()), Unit: uint64(r.u32()), Burst: r.u32(), Type: r.u32() % 3, Invert: r.bool()}
	case 23:
		return &rules.Log{Prefix: "p\x07\u202e", Group: 3, HasGroup: r.bool(), Level: r.u32(), LogFlags: r.u32()}
	case 24:
		return &rules.Reject{Type: r.u32() % 4, Code: r.byte()}
	case 25:
		return &rules.NAT{Type: r.u32() % 3, Family: family, AddrMin: r.reg(), AddrMax: r.reg(), ProtoMin: r.reg(), ProtoMax: r.reg(),
			HasAddrMin: r.bool(), HasAddrMax: r.bool(), HasProtoMin: r.bool(), HasProtoMax: r.bool(), Flags: r.u32()}
	case 26:
		return &rules.Redir{HasProtoMin: r.bool(), HasProtoMax: r.bool(), ProtoMin: r.reg(), ProtoMax: r.reg(), Flags: r.u32()}
	case 27:
		return &rules.TProxy{Family: family, HasAddr: r.bool(), HasPort: r.bool(), Addr: r.reg(), Port: r.reg()}
	case 28:
		return &rules.QueueTo{Num: uint16(r.u32()), Total: uint16(r.u32()), Flags: uint16(r.u32()), HasSource: r.bool(), Source: r.reg()}
	case 29:
		return &rules.Dup{HasAddr: r.bool(), HasDev: r.bool(), Addr: r.reg(), Dev: r.reg()}
	case 30:
		return &rules.Fwd{Dev: r.reg(), HasAddr: r.bool(), Addr: r.reg(), Family: family}
	case 31:
		if r.bool() {
			return &rules.ObjRef{Set: set, Source: r.reg()}
		}
		return &rules.ObjRef{Object: "o\n", Type: r.u32()}
	case 32:
		return &rules.XFRM{Dest: r.reg(), Key: r.u32(), SPNum: r.u32(), Dir: r.byte()}
	case 33:
		return &rules.IPTables{Src: r.data(), SrcMask: r.data(), Dst: r.data(), DstMask: r.data(), In: "e\x1b+", Out: "\u202e", Proto: uint16(r.u32()), Flags: r.byte(), Inv: r.byte()}
	case 34:
		return &rules.Match{Ext: []string{"tcp", "comment", "m\x1b", "conntrack"}[r.byte()%4], Rev: r.byte() % 4, Data: r.data()}
	case 35:
		return &rules.Target{Ext: []string{"LOG", "t\n", "DNAT"}[r.byte()%3], Rev: r.byte() % 3, Data: r.data()}
	case 36:
		return &rules.Opaque{Kind: "match:x\n", Data: r.data()}
	case 37:
		e := &rules.Inner{Type: uint32(r.byte() % 6), Flags: r.u32(), HdrSize: r.u32()}
		if depth < 3 {
			e.Exprs = rules.Exprs{r.expr(depth + 1)}
		}
		return e
	}
	return &rules.Opaque{Kind: "last\x00", Why: "no\nword", Data: r.data()}
}

func (r *random) table() *rules.Table {
	t := &rules.Table{Backend: rules.NFT, Family: []rules.Family{rules.Inet, rules.IP, rules.IP6, rules.ARP, rules.Bridge, rules.Netdev, 99}[r.byte()%7], Name: "t\x1b"}
	for i, name := range []string{"s", "m", "v"} {
		key := r.data()
		s := &rules.Set{Name: name, KeyType: r.u32(), KeyLen: len(key), DataType: r.u32(), DataLen: int(r.byte() % 70), Anonymous: r.bool(),
			Interval: r.bool(), Map: i > 0, Verdicts: i == 2, Known: true}
		for n := range r.byte() % 4 {
			e := rules.Element{Key: r.data(), KeyEnd: r.data(), End: r.bool(), CatchAll: r.byte() == 9, Data: r.data()}
			if i == 2 && n == 0 {
				e.Verdict = r.verdict()
			}
			s.Elements.Append(e)
		}
		t.Sets = append(t.Sets, s)
	}
	for _, e := range []rules.Expr{&rules.Helper{Kind: "k\x1b", L3: rules.IP, L4: r.byte()}, &rules.Timeout{L4: 6, Seconds: []uint32{r.u32(), r.u32()}},
		&rules.Expectation{L4: r.byte(), TimeoutMS: r.u32()}, &rules.Secmark{Context: "s\x07"}, &rules.TunnelKey{ID: r.u32(), Src: r.data(), Dst: r.data(), Options: r.data()}} {
		t.Objects = append(t.Objects, &rules.Object{Name: "o\x1b", Type: r.u32() % 12, Expr: e, Comment: "c\x00"})
	}
	rule := &rules.Rule{}
	rule.Tell(rules.About{Comment: "a\x00b"})
	var exprs []rules.Expr
	for range r.byte() % 24 {
		exprs = append(exprs, r.expr(0))
	}
	rule.Exprs = rules.ListOf(exprs...)
	t.Chains = []*rules.Chain{{Name: "c\x1b[2J", Flags: []string{"binding"}, Rules: []*rules.Rule{rule}}, {Name: "d", Rules: []*rules.Rule{rule}}}
	return t
}

func total(t *testing.T, b []byte) {
	table := (&random{b}).table()
	for _, backend := range []rules.Backend{rules.NFT, rules.IptablesNFT, rules.IptablesLegacy} {
		table.Backend = backend
		out := text.Table(table)
		for _, c := range out {
			if c < 0x20 && c != '\n' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x202e {
				t.Fatalf("%q has the control character %#x", out, c)
			}
		}
	}
}

// FuzzText holds that printing any expressions ends, in text without control
// characters.
func FuzzText(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(strings.Repeat("\x03\x01\x02\x04", 60)))
	f.Fuzz(total)
}

func TestTextIsTotal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		b := make([]byte, r.IntN(900))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		total(t, b)
	}
}
