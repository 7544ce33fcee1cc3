package eval

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// expr runs one expression: Continue goes on to the rule's next, Break to the
// next rule.
func (w *walk) expr(e rules.Expr) rules.VerdictKind {
	switch e := e.(type) {
	case *rules.Payload:
		return w.payload(e)
	case *rules.Cmp:
		return w.cmp(e)
	case *rules.Meta:
		return w.meta(e)
	case *rules.Immediate:
		if e.Verdict != nil {
			return w.verdictOf(e.Verdict)
		}
		return w.load(e.Dest, e.Data)
	case *rules.Counter, *rules.Log, *rules.Last:
		return rules.Continue
	case *rules.Lookup:
		return w.lookup(e)
	case *rules.Range:
		return w.inRange(e)
	case *rules.Bitwise:
		return w.bitwise(e)
	case *rules.Byteorder:
		return w.byteorder(e)
	case *rules.CT:
		return w.ct(e)
	case *rules.Reject:
		w.reject = e
		return rules.Drop
	case *rules.Notrack:
		w.untrack()
		return rules.Continue
	case *rules.Limit, *rules.Quota, *rules.ConnLimit:
		return w.perhaps(blame{e.Name(), "it depends on what has passed before"})
	case *rules.NAT:
		return w.natExpr(e)
	case *rules.Masq:
		return w.masqExpr(e)
	case *rules.IPTables:
		return w.head(e)
	case *rules.Match:
		return w.match(e)
	case *rules.Target:
		return w.target(e)
	}
	return w.other(e)
}

// verdictOf gives a verdict.
func (w *walk) verdictOf(v *rules.Verdict) rules.VerdictKind {
	w.next, w.code = v.Chain, v.Code
	return v.Kind
}

// register is n bytes from a register on, nil if they are not there.
func (w *walk) register(r rules.Reg, n int) []byte {
	start := int(r) * 4
	if n < 0 || start+n > len(w.registers) {
		return nil
	}
	return w.registers[start : start+n]
}

// words is a bit for each word that n bytes from a register on cover.
func words(r rules.Reg, n int) uint16 { return uint16((1<<((n+3)/4) - 1) << r) }

// blind is why one of the bytes of a register is not known, nil if all are.
func (w *walk) blind(r rules.Reg, n int) *blame {
	if w.unknown == 0 {
		return nil
	}
	if bits := w.unknown & words(r, n); bits != 0 {
		for i := range w.reasons {
			if bits&(1<<i) != 0 {
				return &w.reasons[i]
			}
		}
	}
	return nil
}

// hide says that what a register holds is not known.
func (w *walk) hide(r rules.Reg, n int, b blame) rules.VerdictKind {
	bits := words(r, n)
	w.unknown |= bits
	for i := range w.reasons {
		if bits&(1<<i) != 0 {
			w.reasons[i] = b
		}
	}
	return rules.Continue
}

// load writes to a register; its last word is filled up with zeros.
func (w *walk) load(r rules.Reg, data []byte) rules.VerdictKind {
	n := (len(data) + 3) / 4 * 4
	whole := w.register(r, n)
	if whole == nil {
		return w.either(blame{"register", "it writes beyond the registers"})
	}
	w.unknown &^= words(r, n)
	if n != len(data) {
		clear(whole[n-4:])
	}
	copy(whole, data)
	return rules.Continue
}

// load32 writes a number in the host's order, load8 a byte.
func (w *walk) load32(r rules.Reg, v uint32) rules.VerdictKind {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return w.load(r, b[:])
}

func (w *walk) load8(r rules.Reg, v byte) rules.VerdictKind {
	b := [1]byte{v}
	return w.load(r, b[:])
}

// Bases of payload (NFT_PAYLOAD_*).
const (
	baseLink      = 0
	baseNetwork   = 1
	baseTransport = 2
	baseInner     = 3
	baseTunnel    = 4
)

// fast reports whether the kernel loads without a look at whether the packet is
// a later fragment (nft_payload_fast_eval in net/netfilter/nf_tables_core.c, as
// nft_payload_select_ops chooses it): what stands there is then taken for a
// header.
func fast(e *rules.Payload) bool {
	switch e.Len {
	case 1, 2, 4:
		return e.Offset%e.Len == 0
	}
	return false
}

// payload is nft_payload_eval and nft_payload_fast_eval.
func (w *walk) payload(e *rules.Payload) rules.VerdictKind {
	if e.Write {
		return w.store(e)
	}
	start := 0
	switch e.Base {
	case baseNetwork:
	case baseTransport:
		offset, _, found, header := w.packet.upper()
		if !header && !(found && fast(e)) {
			return rules.Break
		}
		start = offset
	default:
		return w.payloadElsewhere(e)
	}
	first := uint64(start) + uint64(e.Offset)
	end := first + uint64(e.Len)
	if end > uint64(len(w.packet.Data)) {
		return rules.Break
	}
	if w.packet.hidden != nil {
		if b := w.packet.blind(int(first), int(end)); b != nil {
			return w.hide(e.Reg, int(e.Len), *b)
		}
	}
	return w.load(e.Reg, w.packet.Data[first:end])
}

// cmp is nft_cmp_eval.
func (w *walk) cmp(e *rules.Cmp) rules.VerdictKind {
	have := w.register(e.Source, len(e.Data))
	if have == nil {
		return w.either(blame{"cmp", "it reads beyond the registers"})
	}
	if b := w.blind(e.Source, len(e.Data)); b != nil {
		return w.perhaps(*b)
	}
	d := bytes.Compare(have, e.Data)
	switch e.Op {
	case 0:
		return matched(d == 0)
	case 1:
		return matched(d != 0)
	case 2:
		return matched(d < 0)
	case 3:
		return matched(d <= 0)
	case 4:
		return matched(d > 0)
	case 5:
		return matched(d >= 0)
	}
	return w.either(blame{"cmp", fmt.Sprintf("comparison %d is not known", e.Op)})
}

// inRange is nft_range_eval.
func (w *walk) inRange(e *rules.Range) rules.VerdictKind {
	have := w.register(e.Source, len(e.From))
	if have == nil || len(e.From) != len(e.To) || e.Op > 1 {
		return w.either(blame{"range", "it is not well formed"})
	}
	if b := w.blind(e.Source, len(e.From)); b != nil {
		return w.perhaps(*b)
	}
	inside := bytes.Compare(have, e.From) >= 0 && bytes.Compare(have, e.To) <= 0
	return matched(inside == (e.Op == 0))
}

// byteorder is nft_byteorder_eval: units are turned round where the host's
// order is not the network's.
func (w *walk) byteorder(e *rules.Byteorder) rules.VerdictKind {
	n, size := int(e.Len), int(e.Size)
	have := w.register(e.Source, n)
	if have == nil || size != 2 && size != 4 && size != 8 {
		return w.either(blame{"byteorder", "it is not well formed"})
	}
	if b := w.blind(e.Source, n); b != nil {
		return w.hide(e.Dest, n, *b)
	}
	var buffer [64]byte
	out := buffer[:copy(buffer[:], have)]
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		for i := 0; i+size <= n; i += size {
			for a, b := i, i+size-1; a < b; a, b = a+1, b-1 {
				out[a], out[b] = out[b], out[a]
			}
		}
	}
	return w.load(e.Dest, out)
}
