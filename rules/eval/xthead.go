package eval

import (
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Inversions of a rule's head: IPT_INV_* of linux/netfilter_ipv4/ip_tables.h,
// the same for IPv6.
const (
	invIn       = 0x01
	invOut      = 0x02
	invSrc      = 0x08
	invDst      = 0x10
	invFragment = 0x20
	invProto    = 0x40
)

// Flags of a rule's head.
const (
	headFragment = 1 // IPT_F_FRAG
	headProto6   = 1 // IP6T_F_PROTO
)

// head is ip_packet_match of net/ipv4/netfilter/ip_tables.c and ip6_packet_match
// of net/ipv6/netfilter/ip6_tables.c.
func (w *walk) head(e *rules.IPTables) rules.VerdictKind {
	p := &w.packet
	var doubt *blame
	for _, side := range []struct {
		destination bool
		want, mask  []byte
		inv         uint8
	}{{false, e.Src, e.SrcMask, invSrc}, {true, e.Dst, e.DstMask, invDst}} {
		ok, b := w.headAddress(side.destination, side.want, side.mask, e.Inv&side.inv != 0)
		if b != nil {
			doubt = b
		} else if !ok {
			return rules.Break
		}
	}
	if b := w.inBlame(); b != nil && e.In != "" && e.In != "+" {
		doubt = b
	} else if nameMatches(e.In, p.In) == (e.Inv&invIn != 0) {
		return rules.Break
	}
	if b := w.outBlame(); b != nil && e.Out != "" && e.Out != "+" {
		doubt = b
	} else if nameMatches(e.Out, p.Out) == (e.Inv&invOut != 0) {
		return rules.Break
	}
	var v rules.VerdictKind
	if p.Family == rules.IP6 {
		v = w.headProtocol6(e)
	} else {
		v = w.headProtocol4(e)
	}
	if v == rules.Continue && doubt != nil {
		return w.perhaps(*doubt)
	}
	return v
}

// headAddress compares one address; the blame is set if that can't be told.
func (w *walk) headAddress(destination bool, want, mask []byte, inv bool) (bool, *blame) {
	from, to, ok := w.packet.addressSpan(destination)
	if !ok {
		return false, nil
	}
	have := w.packet.Data[from:to]
	if len(mask) != len(have) || len(want) != len(have) {
		return !inv, nil // no mask matches every address
	}
	same := true
	var doubt *blame
	for i := range have {
		if mask[i] == 0 && want[i] == 0 {
			continue
		}
		if b := w.packet.blind(from+i, from+i+1); b != nil {
			doubt = b
		} else if have[i]&mask[i] != want[i] {
			same = false
		}
	}
	if !same || doubt == nil {
		return same != inv, nil
	}
	return false, doubt
}

func (w *walk) headProtocol4(e *rules.IPTables) rules.VerdictKind {
	d := w.packet.Data
	if len(d) < 20 {
		return rules.Break
	}
	if e.Proto != 0 && (uint16(d[9]) == e.Proto) == (e.Inv&invProto != 0) {
		return rules.Break
	}
	later := d[6]&0x1f != 0 || d[7] != 0
	if (e.Flags&headFragment != 0 && !later) != (e.Inv&invFragment != 0) {
		return rules.Break
	}
	return rules.Continue
}

// headProtocol6 looks at the protocol only if the rule's flags say so.
func (w *walk) headProtocol6(e *rules.IPTables) rules.VerdictKind {
	if e.Flags&headProto6 == 0 {
		return rules.Continue
	}
	_, protocol, found, _ := w.packet.transport()
	if !found {
		return rules.Drop // hotdrop: the extension headers are cut off
	}
	switch {
	case uint16(protocol) == e.Proto:
		return matched(e.Inv&invProto == 0)
	case e.Proto != 0:
		return matched(e.Inv&invProto != 0)
	}
	return rules.Continue
}

// nameMatches compares a device's name: an empty want matches any, one that
// ends in + as a prefix.
func nameMatches(want, have string) bool {
	if prefix, ok := strings.CutSuffix(want, "+"); ok {
		return strings.HasPrefix(have, prefix)
	}
	return want == "" || want == have
}
