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
		at, end, found, _ = p.tcpOption(e.Type)
		// An option that is shorter than what is asked for is none (goto err).
		found = found && uint64(e.Offset)+uint64(e.Len) <= uint64(end-at)
	case exthdrIP:
		if p.Family != rules.IP {
			return rules.Break
		}
		var b *blame
		if at, found, b = w.optionIP(e.Type); b != nil {
			return w.maybe(e.Reg, int(e.Len), *b)
		}
	case exthdrSCTP:
		if _, _, there, header := p.upper(); there && !header {
			return w.maybe(e.Reg, int(e.Len), blame{"exthdr", "what the kernel takes for chunks of a later fragment is not modelled"})
		}
		var end int
		at, end, found = p.sctpChunk(e.Type)
		if e.Flags&headerPresent == 0 {
			found = found && end <= len(p.Data) && uint64(e.Offset)+uint64(e.Len) <= uint64(end-at)
		}
	case exthdrDCCP:
		found = p.dccpOption(e.Type)
	default:
		return w.either(blame{"exthdr", "what it looks through is not known"})
	}
	if e.Flags&headerPresent != 0 {
		if found {
			return w.load8(e.Reg, 1)
		}
		return w.load8(e.Reg, 0)
	}
	first := uint64(at) + uint64(e.Offset)
	if !found || e.Op == exthdrDCCP || first+uint64(e.Len) > uint64(len(p.Data)) {
		return rules.Break
	}
	if b := p.blind(int(first), int(first)+int(e.Len)); b != nil {
		return w.hide(e.Reg, int(e.Len), *b)
	}
	return w.load(e.Reg, p.Data[first:first+uint64(e.Len)])
}

// headerPresent asks only whether the header or option is there.
const headerPresent = 1

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

// tcpOption finds an option of TCP and where it ends; broken says that the first
// of its kind reaches beyond the header.
func (p *Packet) tcpOption(kind uint8) (at, end int, found, broken bool) {
	offset, protocol, _, header := p.upper()
	if !header || protocol != protocolTCP || offset+20 > len(p.Data) {
		return 0, 0, false, false
	}
	n := int(p.Data[offset+12]>>4) * 4
	if n < 20 || offset+n > len(p.Data) {
		return 0, 0, false, false
	}
	options := p.Data[offset : offset+n]
	for i := 20; i < n-1; {
		size := 1 // no operation, and the end of the list, which doesn't end it here
		if options[i] > 1 && options[i+1] != 0 {
			size = int(options[i+1])
		}
		if options[i] == kind {
			if i+size > n {
				return 0, 0, false, true
			}
			return offset + i, offset + i + size, true, false
		}
		i += size
	}
	return 0, 0, false, false
}

// hasTCP reports whether the packet has a whole header of TCP
// (nft_tcp_header_pointer).
func (p *Packet) hasTCP() bool {
	offset, protocol, _, header := p.upper()
	if !header || protocol != protocolTCP || offset+20 > len(p.Data) {
		return false
	}
	n := int(p.Data[offset+12]>>4) * 4
	return n >= 20 && offset+n <= len(p.Data)
}

// sctpChunk finds a chunk of SCTP (nft_exthdr_sctp_eval).
func (p *Packet) sctpChunk(kind uint8) (at, end int, found bool) {
	offset, protocol, _, header := p.upper()
	if !header || protocol != protocolSCTP {
		return 0, 0, false
	}
	for at = offset + 12; at+4 <= len(p.Data); {
		n := int(binary.BigEndian.Uint16(p.Data[at+2:]))
		if n == 0 {
			break
		}
		if p.Data[at] == kind {
			return at, at + n, true
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
	at, end, found, broken := p.tcpOption(e.Type)
	if !p.hasTCP() {
		return rules.Break
	}
	tcp, _, _, _ := p.upper()
	const checksum = 16
	if e.Reset {
		switch {
		case broken:
			return rules.Drop
		case found:
			w.changed = true
			for i := at; i < end; i++ {
				p.mend(tcp+checksum, p.Data[i:i+1], []byte{1}, i)
				p.Data[i] = 1
			}
		}
		return rules.Continue
	}
	have := w.register(e.Reg, int(e.Len))
	first := at + int(e.Offset)
	switch {
	case have == nil:
		return w.either(blame{"exthdr", "it reads beyond the registers"})
	case broken || found && uint64(e.Offset)+uint64(e.Len) > uint64(end-at):
		return rules.Break
	case !found || e.Len != 2 && e.Len != 4:
		return rules.Continue
	}
	w.changed = true
	if b := w.blind(e.Reg, int(e.Len)); b != nil {
		p.hide(first, first+int(e.Len), *b)
		return rules.Continue
	}
	const mss = 2
	if e.Len == 2 && e.Type == mss && binary.BigEndian.Uint16(p.Data[first:]) <= binary.BigEndian.Uint16(have) {
		return rules.Continue
	}
	p.mend(tcp+checksum, append([]byte(nil), p.Data[first:first+int(e.Len)]...), have, first)
	copy(p.Data[first:], have)
	p.show(first, first+int(e.Len))
	return rules.Continue
}
