package eval

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// expr runs one expression: Continue goes on to the rule's next, Break to the
// next rule.
func (w *walk) expr(e rules.Expr) rules.Verdict {
	switch e := e.(type) {
	case *rules.Immediate:
		if e.Verdict != nil {
			return *e.Verdict
		}
		return w.load(e.Dest, e.Data, e)
	case *rules.Payload:
		return w.payload(e)
	case *rules.Cmp:
		return w.cmp(e)
	case *rules.Range:
		return w.inRange(e)
	case *rules.Bitwise:
		return w.bitwise(e)
	case *rules.Byteorder:
		return w.byteorder(e)
	case *rules.Meta:
		return w.meta(e)
	case *rules.CT:
		return w.ct(e)
	case *rules.Lookup:
		return w.lookup(e)
	case *rules.Counter, *rules.Log, *rules.Last:
		return goesOn
	case *rules.Reject:
		w.reject = e
		return drops
	case *rules.Limit, *rules.Quota, *rules.ConnLimit:
		return w.test(e, "it depends on what has passed before")
	}
	return w.either(e, "it is not modelled yet")
}

// either follows both ways past an expression that loads or does what is not
// known. What the rest of the rule tests is then unknown too: on one way the
// rule breaks off, on the other all of it matches.
func (w *walk) either(e rules.Expr, why string) rules.Verdict {
	if w.undecided(e.Name(), why) {
		return w.leap()
	}
	return breaksOff
}

// test follows both ways past an expression that only matches or doesn't.
func (w *walk) test(e rules.Expr, why string) rules.Verdict {
	return matched(w.undecided(e.Name(), why))
}

// leap is what a rule ends in if all of its tests match; unclear if it does
// more than test, such as changing a mark.
func (w *walk) leap() rules.Verdict {
	for _, e := range w.rule.Exprs {
		if acts(e) {
			return rules.Verdict{Kind: unclear}
		}
	}
	switch e := w.rule.Exprs[len(w.rule.Exprs)-1].(type) {
	case *rules.Immediate:
		if e.Verdict != nil {
			return *e.Verdict
		}
	case *rules.Reject:
		w.reject = e
		return drops
	}
	return breaksOff
}

// acts reports whether an expression does more than test, count or, as the last
// of its rule, give a verdict that is known beforehand.
func acts(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.CT, *rules.Meta:
		return written(e)
	case *rules.Payload:
		return e.Write
	case *rules.Exthdr:
		return e.Write || e.Reset
	case *rules.Lookup:
		return e.HasDest
	case *rules.Immediate, *rules.Reject, *rules.Cmp, *rules.Range, *rules.Bitwise, *rules.Byteorder,
		*rules.Counter, *rules.Log, *rules.Last, *rules.Limit, *rules.Quota, *rules.ConnLimit,
		*rules.Fib, *rules.RT, *rules.Socket, *rules.OSF, *rules.Hash, *rules.Numgen,
		*rules.XFRM, *rules.Tunnel, *rules.Match, *rules.IPTables:
		return false
	}
	return true
}

func written(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.CT:
		return e.Write
	case *rules.Meta:
		return e.Write
	}
	return false
}

// unclear is no verdict of the kernel's: the walk gives up.
const unclear rules.VerdictKind = -128

// register is n bytes from a register on, nil if they are not there.
func (w *walk) register(r rules.Reg, n int) []byte {
	start := int(r) * 4
	if n < 0 || start+n > len(w.registers) {
		return nil
	}
	return w.registers[start : start+n]
}

// load writes to a register; its last word is filled up with zeros.
func (w *walk) load(r rules.Reg, data []byte, e rules.Expr) rules.Verdict {
	whole := w.register(r, (len(data)+3)/4*4)
	if whole == nil {
		return w.either(e, "it writes beyond the registers")
	}
	clear(whole)
	copy(whole, data)
	return goesOn
}

func (w *walk) load32(r rules.Reg, v uint32, e rules.Expr) rules.Verdict {
	return w.load(r, binary.NativeEndian.AppendUint32(nil, v), e)
}

// payload is nft_payload_eval.
func (w *walk) payload(e *rules.Payload) rules.Verdict {
	if e.Write {
		return w.either(e, "changes of the packet are not modelled yet")
	}
	start := 0
	switch e.Base {
	case 1:
	case 2:
		offset, _, _, header := w.packet.transport()
		if !header {
			return breaksOff
		}
		start = offset
	default:
		return w.either(e, "only the network and transport headers are known")
	}
	first := uint64(start) + uint64(e.Offset)
	if first+uint64(e.Len) > uint64(len(w.packet.Data)) {
		return breaksOff
	}
	return w.load(e.Reg, w.packet.Data[first:first+uint64(e.Len)], e)
}

// cmp is nft_cmp_eval.
func (w *walk) cmp(e *rules.Cmp) rules.Verdict {
	have := w.register(e.Source, len(e.Data))
	if have == nil {
		return w.either(e, "it reads beyond the registers")
	}
	d := bytes.Compare(have, e.Data)
	var match bool
	switch e.Op {
	case 0:
		match = d == 0
	case 1:
		match = d != 0
	case 2:
		match = d < 0
	case 3:
		match = d <= 0
	case 4:
		match = d > 0
	case 5:
		match = d >= 0
	default:
		return w.either(e, fmt.Sprintf("comparison %d is not known", e.Op))
	}
	return matched(match)
}

func matched(yes bool) rules.Verdict {
	if yes {
		return goesOn
	}
	return breaksOff
}

// inRange is nft_range_eval.
func (w *walk) inRange(e *rules.Range) rules.Verdict {
	have := w.register(e.Source, len(e.From))
	if have == nil || len(e.From) != len(e.To) || e.Op > 1 {
		return w.either(e, "the range is not well formed")
	}
	inside := bytes.Compare(have, e.From) >= 0 && bytes.Compare(have, e.To) <= 0
	return matched(inside == (e.Op == 0))
}

// bitwise is nft_bitwise_eval for mask and xor.
func (w *walk) bitwise(e *rules.Bitwise) rules.Verdict {
	n := int(e.Len)
	have := w.register(e.Source, n)
	if e.Op != 0 || have == nil || len(e.Mask) != n || len(e.Xor) != n {
		return w.either(e, "only mask and xor are modelled yet")
	}
	out := make([]byte, n)
	for i := range out {
		out[i] = have[i]&e.Mask[i] ^ e.Xor[i]
	}
	return w.load(e.Dest, out, e)
}

// byteorder is nft_byteorder_eval: units are turned round where the host's
// order is not the network's.
func (w *walk) byteorder(e *rules.Byteorder) rules.Verdict {
	n, size := int(e.Len), int(e.Size)
	have := w.register(e.Source, n)
	if have == nil || size != 2 && size != 4 && size != 8 {
		return w.either(e, "the conversion is not well formed")
	}
	out := bytes.Clone(have)
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for i := 0; i+size <= n; i += size {
			for a, b := i, i+size-1; a < b; a, b = a+1, b-1 {
				out[a], out[b] = out[b], out[a]
			}
		}
	}
	return w.load(e.Dest, out, e)
}

// Keys of meta and ct: NFT_META_* and NFT_CT_* of linux/netfilter/nf_tables.h.
const (
	metaLen, metaProtocol, metaMark         = 0, 1, 3
	metaIif, metaOif                        = 4, 5
	metaIifName, metaOifName                = 6, 7
	metaNftrace, metaNFProto, metaL4        = 12, 15, 16
	ctState                                 = 0
	etherIP, etherIP6                uint16 = 0x0800, 0x86dd
	nameLen                                 = 16
)

// meta is nft_meta_get_eval and nft_meta_set_eval.
func (w *walk) meta(e *rules.Meta) rules.Verdict {
	p := &w.packet
	if e.Write {
		switch e.Key {
		case metaNftrace:
			return goesOn
		case metaMark:
			if have := w.register(e.Reg, 4); have != nil {
				p.Mark = binary.NativeEndian.Uint32(have)
				return goesOn
			}
		}
		return w.either(e, fmt.Sprintf("setting meta key %d is not modelled yet", e.Key))
	}
	switch e.Key {
	case metaLen:
		return w.load32(e.Reg, uint32(len(p.Data)), e)
	case metaProtocol:
		ether := etherIP
		if p.Family == rules.IP6 {
			ether = etherIP6
		}
		return w.load(e.Reg, binary.BigEndian.AppendUint16(nil, ether), e)
	case metaMark:
		return w.load32(e.Reg, p.Mark, e)
	case metaIif:
		return w.load32(e.Reg, p.InIndex, e)
	case metaOif:
		return w.load32(e.Reg, p.OutIndex, e)
	case metaIifName:
		return w.load(e.Reg, name(p.In), e)
	case metaOifName:
		return w.load(e.Reg, name(p.Out), e)
	case metaNFProto:
		return w.load(e.Reg, []byte{byte(p.Family)}, e)
	case metaL4:
		_, protocol, found, _ := p.transport()
		if !found {
			return breaksOff
		}
		return w.load(e.Reg, []byte{protocol}, e)
	}
	return w.either(e, fmt.Sprintf("meta key %d is not modelled yet", e.Key))
}

// name is a device's name as registers hold it.
func name(s string) []byte {
	b := make([]byte, nameLen)
	copy(b, s)
	return b
}

// ct is nft_ct_get_eval for the state.
func (w *walk) ct(e *rules.CT) rules.Verdict {
	switch {
	case e.Write:
		return w.either(e, fmt.Sprintf("setting ct key %d is not modelled yet", e.Key))
	case e.Key != ctState:
		return w.either(e, fmt.Sprintf("ct key %d is not modelled yet", e.Key))
	case w.packet.State == 0:
		return w.either(e, "the packet's conntrack state is not known")
	}
	return w.load32(e.Reg, w.packet.State, e)
}
