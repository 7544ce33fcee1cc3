package eval

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// quick runs the expressions that most rules begin with, where nothing about
// them is in doubt, just as expr does. It is there for its speed: nearly all
// rules of a large ruleset break off at one of these. What it doesn't decide (ok
// is false, and nothing has changed) is expr's.
func (w *walk) quick(e rules.Expr) (v rules.VerdictKind, ok bool) {
	switch e := e.(type) {
	case *rules.Cmp:
		return w.quickCmp(e)
	case *rules.Payload:
		return w.quickPayload(e)
	case *rules.Meta:
		return w.quickMeta(e)
	case *rules.IPTables:
		return w.quickHead(e)
	case *rules.Match:
		return w.quickMatch(e)
	case *rules.Counter:
		return rules.Continue, true
	}
	return 0, false
}

func (w *walk) quickCmp(e *rules.Cmp) (rules.VerdictKind, bool) {
	start := int(e.Source) * 4
	end := start + len(e.Data)
	if e.Op > 1 || w.unknown != 0 || end > len(w.registers) {
		return 0, false
	}
	same := false
	switch have := w.registers[start:end]; len(e.Data) {
	case 1:
		same = have[0] == e.Data[0]
	case 2:
		same = binary.NativeEndian.Uint16(have) == binary.NativeEndian.Uint16(e.Data)
	case 4:
		same = binary.NativeEndian.Uint32(have) == binary.NativeEndian.Uint32(e.Data)
	default:
		same = bytes.Equal(have, e.Data)
	}
	return matched(same == (e.Op == 0)), true
}

// quickPayload loads a whole register of a packet without hidden bytes, or the
// ports' half of one.
func (w *walk) quickPayload(e *rules.Payload) (rules.VerdictKind, bool) {
	p := &w.packet
	to := int(e.Reg) * 4
	if e.Write || e.Len != 2 && e.Len != 4 || to+4 > len(w.registers) || len(p.hidden) > 0 || w.unknown != 0 {
		return 0, false
	}
	start := 0
	switch e.Base {
	case baseNetwork:
	case baseTransport:
		offset, _, found, header := p.upper()
		switch {
		case !found:
			return rules.Break, true
		case !header:
			return 0, false
		}
		start = offset
	default:
		return 0, false
	}
	from := uint64(start) + uint64(e.Offset)
	if from+uint64(e.Len) > uint64(len(p.Data)) {
		return rules.Break, true
	}
	if e.Len == 4 {
		binary.LittleEndian.PutUint32(w.registers[to:], binary.LittleEndian.Uint32(p.Data[from:]))
	} else {
		binary.LittleEndian.PutUint32(w.registers[to:], uint32(binary.LittleEndian.Uint16(p.Data[from:])))
	}
	return rules.Continue, true
}

func (w *walk) quickMeta(e *rules.Meta) (rules.VerdictKind, bool) {
	to := int(e.Reg) * 4
	if e.Write || to+4 > len(w.registers) || w.unknown != 0 {
		return 0, false
	}
	var b byte
	switch e.Key {
	case metaL4:
		_, protocol, found, _ := w.packet.upper()
		if !found {
			return rules.Break, true
		}
		b = protocol
	case metaNFProto:
		b = byte(w.nfproto())
	default:
		return 0, false
	}
	binary.LittleEndian.PutUint32(w.registers[to:], uint32(b))
	return rules.Continue, true
}

// quickHead knows heads without devices and fragments, for IPv4.
func (w *walk) quickHead(e *rules.IPTables) (rules.VerdictKind, bool) {
	p := &w.packet
	if p.Family != rules.IP || len(p.Data) < 20 || len(p.hidden) > 0 || e.In != "" || e.Out != "" ||
		e.Flags&headFragment != 0 || e.Inv&(invIn|invOut|invFragment) != 0 {
		return 0, false
	}
	if !quickAddress(p.Data[12:16], e.Src, e.SrcMask, e.Inv&invSrc != 0) ||
		!quickAddress(p.Data[16:20], e.Dst, e.DstMask, e.Inv&invDst != 0) {
		return rules.Break, true
	}
	if e.Proto != 0 && (uint16(p.Data[9]) == e.Proto) == (e.Inv&invProto != 0) {
		return rules.Break, true
	}
	return rules.Continue, true
}

func quickAddress(have, want, mask []byte, inv bool) bool {
	if len(want) != 4 || len(mask) != 4 {
		return !inv // no mask matches every address
	}
	return (binary.NativeEndian.Uint32(have)&binary.NativeEndian.Uint32(mask) == binary.NativeEndian.Uint32(want)) != inv
}

// quickMatch runs the matches on ports without looking for them among all.
func (w *walk) quickMatch(m *rules.Match) (rules.VerdictKind, bool) {
	p := &w.packet
	if p.Family != rules.IP || len(p.Data) < 20 || w.table.Family == rules.Bridge || m.Rev != 0 {
		return 0, false
	}
	run, size := matchTCP, 12
	switch m.Ext {
	case "tcp":
	case "udp":
		run, size = matchUDP, 9
	default:
		return 0, false
	}
	if len(m.Data) < size {
		return 0, false
	}
	x := &w.scratch
	*x = probe{walk: w, d: m.Data}
	x.locate()
	a := run(x)
	if x.hotdrop {
		return rules.Drop, true
	}
	return matched(a.yes), a.why == ""
}
