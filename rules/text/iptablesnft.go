package text

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/portwhy/portwhy/rules"
)

// translation makes of a rule of iptables-nft, which is one of nftables, what
// iptables had: a head, matches and a target. iptables-nft loads a field into a
// register and compares it at once, in always the same ways (add_addr,
// add_nft_tcpudp and others in nft.c and nft-shared.c of iptables 1.8.9); what
// else it can't have made is refused. iptables-nft-save takes more than that, but
// gets some of it wrong: a log without a group becomes NFLOG, `ip6 nexthdr` -p, and of
// two comparisons of one field the first is lost.
//
// One rule is saved with another meaning than it has, because it was made like
// that: ! --sport 1 ! --dport 2 matches, in the kernel, unless both are those.
type translation struct {
	p       *printer
	head    rules.IPTables
	exprs   rules.Exprs // the head, matches, and last the target
	loaded  load
	tcp     *rules.Match
	udp     *rules.Match
	said    int  // which said… there was
	ended   bool // by a target
	comment bool
}

// load is what was loaded last.
type load struct {
	kind          loadKind
	reg           rules.Reg
	key           uint32 // of meta
	base, at, len uint32 // of payload
	mask          []byte
	used          bool
	data          []byte // of an immediate
}

type loadKind int

const (
	nothing loadKind = iota
	ofMeta
	ofPayload
	ofImmediate
)

// Parts of a rule that may be there once.
const (
	saidIn = 1 << iota
	saidOut
	saidProto
	saidSrc
	saidDst
	saidFragment
	saidCounter
	saidFlags
	saidSportLow
	saidSportHigh
	saidDportLow
	saidDportHigh
)

// Operations of cmp, and keys of meta that iptables uses.
const (
	cmpEq, cmpNeq, cmpLt, cmpLte, cmpGt, cmpGte = 0, 1, 2, 3, 4, 5

	metaMark, metaIIF, metaOIF, metaIIFName, metaOIFName, metaNFTrace, metaPktType = 3, 4, 5, 6, 7, 12, 19
)

func (x *translation) translate(p *printer, r *rules.Rule) bool {
	*x = translation{p: p, exprs: append(x.exprs[:0], nil)}
	if p.family != rules.IP && p.family != rules.IP6 {
		return false
	}
	for _, e := range r.Exprs.All() {
		if x.ended || !x.expr(e) {
			return false
		}
	}
	if !x.settled() {
		return false
	}
	if r.About().Comment != "" && !x.comment {
		x.userComment(r.About().Comment)
	}
	x.exprs[0] = &x.head
	return true
}

// userComment is a comment of nft's user data, where iptables-nft keeps none but
// reads one: behind the matches.
func (x *translation) userComment(s string) {
	at := len(x.exprs)
	if x.ended {
		at--
	}
	m := x.match("comment", 0, 256)
	copy(m.Data[:255], s)
	copy(x.exprs[at+1:], x.exprs[at:])
	x.exprs[at] = m
}

func (x *translation) once(part int) bool {
	if x.said&part != 0 {
		return false
	}
	x.said |= part
	return true
}

func (x *translation) end(e rules.Expr) bool {
	x.exprs = append(x.exprs, e)
	x.ended = true
	return true
}

func (x *translation) expr(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.Counter:
		return x.once(saidCounter)
	case *rules.Meta:
		if e.Write {
			return e.Key == metaNFTrace && x.trace(e.Reg)
		}
		return x.load(load{kind: ofMeta, reg: e.Reg, key: e.Key})
	case *rules.Payload:
		return !e.Write && x.load(load{kind: ofPayload, reg: e.Reg, base: e.Base, at: e.Offset, len: e.Len})
	case *rules.Bitwise:
		l := &x.loaded
		if (l.kind != ofMeta && l.kind != ofPayload) || l.used || l.mask != nil || e.Op != 0 || e.HasSource2 || e.Source != l.reg || e.Dest != l.reg ||
			len(e.Mask) == 0 || int(e.Len) != len(e.Mask) || !allZero(e.Xor) {
			return false
		}
		l.mask = e.Mask
		return true
	case *rules.Cmp:
		l := &x.loaded
		if e.Source != l.reg || len(e.Data) == 0 || l.mask != nil && len(l.mask) != len(e.Data) {
			return false
		}
		l.used = true
		switch l.kind {
		case ofMeta:
			return x.meta(e)
		case ofPayload:
			return int(l.len) == len(e.Data) && x.payload(e)
		}
		return false
	case *rules.Range:
		return x.portRange(e)
	case *rules.Immediate:
		return x.immediate(e)
	case *rules.Limit:
		return x.limit(e)
	case *rules.Log:
		return e.HasGroup && e.LogFlags == 0 && x.end(e)
	case *rules.Match:
		x.comment = x.comment || e.Ext == "comment"
		x.exprs = append(x.exprs, e)
		return true
	case *rules.Target:
		return x.end(e)
	}
	return false
}

func (x *translation) load(l load) bool {
	ok := x.settled()
	x.loaded = l
	return ok
}

// settled says that nothing was loaded in vain, which might have ended the rule. A
// device's name always can be: iptables-nft does so for -i +.
func (x *translation) settled() bool {
	l := &x.loaded
	return l.kind == nothing || l.used || l.kind == ofMeta && l.mask == nil && (l.key == metaIIFName || l.key == metaOIFName)
}

func (x *translation) trace(reg rules.Reg) bool {
	l := &x.loaded
	if l.kind != ofImmediate || l.reg != reg || len(l.data) == 0 || l.data[0] != 1 {
		return false
	}
	l.used = true
	return x.end(&rules.Target{Ext: "TRACE"})
}

func (x *translation) immediate(e *rules.Immediate) bool {
	v := e.Verdict
	if v == nil {
		return x.load(load{kind: ofImmediate, reg: e.Dest, data: e.Data})
	}
	switch v.Kind {
	case rules.Accept, rules.Drop, rules.Return:
		return x.end(e)
	case rules.Jump, rules.Goto:
		return x.p.anonymousChain(v.Chain) == nil && x.end(e)
	}
	return false
}

// match adds a match with room for a structure of size bytes.
func (x *translation) match(name string, revision uint8, size int) *rules.Match {
	m := &rules.Match{Ext: name, Rev: revision, Data: make([]byte, (size+7)&^7)}
	x.exprs = append(x.exprs, m)
	return m
}

func equality(op uint32) bool { return op == cmpEq || op == cmpNeq }

func (x *translation) meta(e *rules.Cmp) bool {
	l := &x.loaded
	switch l.key {
	case metaIIFName:
		return l.mask == nil && x.once(saidIn) && x.deviceName(e, &x.head.In, notIn)
	case metaOIFName:
		return l.mask == nil && x.once(saidOut) && x.deviceName(e, &x.head.Out, notOut)
	case metaIIF:
		return l.mask == nil && x.once(saidIn) && x.deviceIndex(e, &x.head.In, notIn)
	case metaOIF:
		return l.mask == nil && x.once(saidOut) && x.deviceIndex(e, &x.head.Out, notOut)
	case metaL4Proto:
		return x.protocol(e)
	case metaMark: // struct xt_mark_mtinfo1
		if len(e.Data) != 4 || !equality(e.Op) {
			return false
		}
		m := x.match("mark", 1, 9)
		copy(m.Data, e.Data)
		copy(m.Data[4:], []byte{0xff, 0xff, 0xff, 0xff})
		copy(m.Data[4:8], l.mask)
		m.Data[8] = byte(e.Op)
		return true
	case metaPktType: // struct xt_pkttype_info
		if len(e.Data) != 1 || !equality(e.Op) || l.mask != nil {
			return false
		}
		m := x.match("pkttype", 0, 8)
		binary.NativeEndian.PutUint32(m.Data, uint32(e.Data[0]))
		binary.NativeEndian.PutUint32(m.Data[4:], e.Op)
		return true
	}
	return false
}

func (x *translation) invert(e *rules.Cmp, bit uint8) bool {
	if e.Op == cmpNeq {
		x.head.Inv |= bit
	}
	return equality(e.Op)
}

// deviceName reads a comparison with a name: up to its NUL the whole name, else
// the start of one. "INVAL/D" is what iptables-nft writes for any but all.
func (x *translation) deviceName(e *rules.Cmp, to *string, bit uint8) bool {
	name, rest, whole := bytes.Cut(e.Data, []byte{0})
	switch n := len(name); {
	case n == 0 || n > 15 || !allZero(rest) || name[n-1] == '+':
		return false
	case whole && e.Op == cmpEq && string(name) == "INVAL/D":
		*to = "+"
		x.head.Inv |= bit
		return true
	case whole:
		*to = string(name)
	case n > 14:
		return false
	default:
		*to = string(name) + "+"
	}
	return x.invert(e, bit)
}

// deviceIndex reads a comparison with a number, as old versions made.
func (x *translation) deviceIndex(e *rules.Cmp, to *string, bit uint8) bool {
	if len(e.Data) != 4 || x.p.Interface == nil {
		return false
	}
	*to = x.p.Interface(binary.NativeEndian.Uint32(e.Data))
	return *to != "" && x.invert(e, bit)
}

func (x *translation) protocol(e *rules.Cmp) bool {
	if len(e.Data) != 1 || e.Data[0] == 0 || x.loaded.mask != nil || !x.once(saidProto) {
		return false
	}
	x.head.Proto = uint16(e.Data[0])
	return x.invert(e, notProto)
}

// Bases of payload.
const networkHeader, transportHeader = 1, 2

func (x *translation) payload(e *rules.Cmp) bool {
	l := &x.loaded
	switch {
	case l.base == transportHeader:
		return x.transport(e)
	case l.base != networkHeader:
		return false
	case x.p.family == rules.IP:
		switch l.at {
		case 6:
			return x.fragment(e)
		case 8:
			return x.hops(e, "ttl")
		case 9:
			return x.protocol(e)
		case 12:
			return x.once(saidSrc) && x.address(e, 4, &x.head.Src, &x.head.SrcMask, notSrc)
		case 16:
			return x.once(saidDst) && x.address(e, 4, &x.head.Dst, &x.head.DstMask, notDst)
		}
		return false
	}
	switch l.at {
	case 7:
		return x.hops(e, "hl")
	case 8:
		return x.once(saidSrc) && x.address(e, 16, &x.head.Src, &x.head.SrcMask, notSrc)
	case 24:
		return x.once(saidDst) && x.address(e, 16, &x.head.Dst, &x.head.DstMask, notDst)
	}
	return false
}

// address reads a comparison with an address, with the bytes that a prefix
// fills, or with a mask.
func (x *translation) address(e *rules.Cmp, size int, address, mask *[]byte, bit uint8) bool {
	l := &x.loaded
	n := len(e.Data)
	if n > size || l.mask != nil && n != size {
		return false
	}
	both := make([]byte, 2*size)
	*address, *mask = both[:size:size], both[size:]
	copy(*address, e.Data)
	if l.mask != nil {
		copy(*mask, l.mask)
	} else {
		copy(*mask, bytes.Repeat([]byte{0xff}, n))
	}
	for i, b := range *address {
		if b&^(*mask)[i] != 0 {
			return false // matches nothing
		}
	}
	return x.invert(e, bit)
}

func (x *translation) fragment(e *rules.Cmp) bool {
	if !bytes.Equal(x.loaded.mask, []byte{0x1f, 0xff}) || !allZero(e.Data) || !x.once(saidFragment) {
		return false
	}
	x.head.Flags |= isFragment
	if e.Op == cmpEq {
		x.head.Inv |= notFragment
	}
	return equality(e.Op)
}

// hops is struct ipt_ttl_info or ip6t_hl_info: 0 equal, 1 not, 2 less, 3 greater.
func (x *translation) hops(e *rules.Cmp, name string) bool {
	if len(e.Data) != 1 || x.loaded.mask != nil {
		return false
	}
	mode, v := e.Op, int(e.Data[0])
	switch e.Op {
	case cmpLte:
		mode, v = 2, v+1
	case cmpGt:
		mode = 3
	case cmpGte:
		mode, v = 3, v-1
	}
	if v < 0 || v > 255 || mode > 3 {
		return false
	}
	m := x.match(name, 0, 2)
	m.Data[0], m.Data[1] = byte(mode), byte(v)
	return true
}

// limit is struct xt_rateinfo, with the time for a packet in 1/10000 s. A rate
// that this can't hold is not from iptables.
func (x *translation) limit(e *rules.Limit) bool {
	const scale = 10000
	if e.Type != 0 || e.Invert || e.Rate == 0 || e.Unit == 0 || e.Unit > math.MaxUint32 {
		return false
	}
	period := scale * e.Unit / e.Rate
	if period == 0 || period > math.MaxUint32 || scale*e.Unit/period != e.Rate {
		return false
	}
	m := x.match("limit", 0, 40)
	binary.NativeEndian.PutUint32(m.Data, uint32(period))
	binary.NativeEndian.PutUint32(m.Data[4:], e.Burst)
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
