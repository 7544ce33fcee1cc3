package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// What exthdr looks through (NFT_EXTHDR_OP_*).
const (
	exthdrIP6 = iota
	exthdrTCP
	exthdrIP
	exthdrSCTP
	exthdrDCCP
)

// exthdr is nft_exthdr_*_eval of net/netfilter/nft_exthdr.c.
func (w *walk) exthdr(e *rules.Exthdr) rules.VerdictKind {
	if e.Write || e.Reset {
		return w.setOption(e)
	}
	p := &w.packet
	at, found := 0, false
	switch e.Op {
	case exthdrIP6:
		if p.Family != rules.IP6 {
			return rules.Break
		}
		at, found = p.header6(e.Type)
	case exthdrTCP:
		var end int
		at, end, found = p.tcpOption(e.Type)
		// An option that is shorter than what is asked for is none (goto err).
		found = found && uint64(e.Offset)+uint64(e.Len) <= uint64(end-at)
	case exthdrIP:
		if p.Family != rules.IP {
			return rules.Break
		}
		if len(p.Data) > 20 && p.Data[0]&15 > 5 {
			return w.maybe(e.Reg, int(e.Len), blame{"exthdr", "options of IPv4 are not modelled"})
		}
	case exthdrSCTP:
		at, _, found = p.sctpChunk(e.Type)
	default:
		return w.maybe(e.Reg, int(e.Len), blame{"exthdr", "options of DCCP are not modelled"})
	}
	const present = 1
	if e.Flags&present != 0 {
		if found {
			return w.load8(e.Reg, 1)
		}
		return w.load8(e.Reg, 0)
	}
	first := uint64(at) + uint64(e.Offset)
	if !found || first+uint64(e.Len) > uint64(len(p.Data)) {
		return rules.Break
	}
	if b := p.blind(int(first), int(first)+int(e.Len)); b != nil {
		return w.hide(e.Reg, int(e.Len), *b)
	}
	return w.load(e.Reg, p.Data[first:first+uint64(e.Len)])
}

// header6 finds an extension header (ipv6_find_hdr of net/ipv6/exthdrs_core.c).
func (p *Packet) header6(kind uint8) (int, bool) {
	if len(p.Data) < 40 {
		return 0, false
	}
	for offset, next := 40, p.Data[6]; ; {
		if next == kind {
			return offset, offset <= len(p.Data)
		}
		if offset+8 > len(p.Data) {
			return 0, false
		}
		n := 8
		switch next {
		case 0, 43, 60:
			n = (int(p.Data[offset+1]) + 1) * 8
		case 44:
			if binary.BigEndian.Uint16(p.Data[offset+2:])&^7 != 0 {
				return 0, false
			}
		case 51:
			n = (int(p.Data[offset+1]) + 2) * 4
		default:
			return 0, false
		}
		next = p.Data[offset]
		offset += n
	}
}

// tcpOption finds an option of TCP and where it ends.
func (p *Packet) tcpOption(kind uint8) (at, end int, found bool) {
	offset, protocol, _, header := p.transport()
	if !header || protocol != protocolTCP || offset+20 > len(p.Data) {
		return 0, 0, false
	}
	n := int(p.Data[offset+12]>>4) * 4
	if n < 20 || offset+n > len(p.Data) {
		return 0, 0, false
	}
	options := p.Data[offset : offset+n]
	for i := 20; i < n-1; {
		size := 1 // no operation, and the end of the list, which doesn't end it here
		if options[i] > 1 && options[i+1] != 0 {
			size = int(options[i+1])
		}
		if options[i] == kind {
			if i+size > n {
				return 0, 0, false
			}
			return offset + i, offset + i + size, true
		}
		i += size
	}
	return 0, 0, false
}

// sctpChunk finds a chunk of SCTP (nft_exthdr_sctp_eval).
func (p *Packet) sctpChunk(kind uint8) (at, end int, found bool) {
	offset, protocol, _, header := p.transport()
	if !header || protocol != protocolSCTP {
		return 0, 0, false
	}
	for at = offset + 12; at+4 <= len(p.Data); {
		n := int(binary.BigEndian.Uint16(p.Data[at+2:]))
		if p.Data[at] == kind {
			return at, at + n, true
		}
		if n < 4 {
			break
		}
		at += (n + 3) / 4 * 4
	}
	return 0, 0, false
}

// setOption is nft_exthdr_tcp_set_eval and nft_exthdr_tcp_strip_eval: an MSS is
// only ever lowered.
func (w *walk) setOption(e *rules.Exthdr) rules.VerdictKind {
	p := &w.packet
	if e.Op != exthdrTCP {
		return w.either(blame{"exthdr", "writing it is not modelled"})
	}
	at, end, found := p.tcpOption(e.Type)
	if e.Reset {
		_, protocol, _, header := p.transport()
		if !header || protocol != protocolTCP {
			return rules.Break
		}
		if found {
			w.changed = true
			for i := at; i < end; i++ {
				p.Data[i] = 1
			}
		}
		return rules.Continue
	}
	if !found {
		// The kernel breaks off only if there is no TCP header (goto err).
		if _, protocol, _, header := p.transport(); !header || protocol != protocolTCP {
			return rules.Break
		}
		return rules.Continue
	}
	have := w.register(e.Reg, int(e.Len))
	first := at + int(e.Offset)
	if have == nil || e.Len > 4 || first+int(e.Len) > end {
		return rules.Break
	}
	if b := w.blind(e.Reg, int(e.Len)); b != nil {
		p.hide(first, first+int(e.Len), *b)
		return rules.Continue
	}
	const mss = 2
	if e.Len == 2 && e.Type == mss && binary.BigEndian.Uint16(p.Data[first:]) <= binary.BigEndian.Uint16(have) {
		return rules.Continue
	}
	w.changed = true
	copy(p.Data[first:], have)
	return rules.Continue
}
