package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// Protocols that carry packets (linux/in.h).
const (
	protocolIPIP = 4
	protocolGRE  = 47
)

// innerOffset is where what the transport header carries starts
// (__nft_payload_inner_offset); false if there is nothing the kernel knows of.
func (p *Packet) innerOffset() (offset int, b *blame, ok bool) {
	offset, protocol, _, header := p.upper()
	if !header {
		return 0, nil, false
	}
	there := func(n int) bool { return offset+n <= len(p.Data) }
	switch protocol {
	case protocolUDP:
		return offset + 8, nil, true
	case protocolTCP:
		if !there(20) {
			return 0, nil, false
		}
		return offset + int(p.Data[offset+12]>>4)*4, p.blind(offset+12, offset+13), true
	case protocolGRE:
		if !there(4) {
			return 0, nil, false
		}
		const checksum, routing, key, sequence, version = 0x8000, 0x4000, 0x2000, 0x1000, 7
		flags := binary.BigEndian.Uint16(p.Data[offset:])
		if flags&(version|routing) != 0 {
			return 0, nil, false
		}
		start := offset + 4
		for _, bit := range []uint16{checksum, key, sequence} {
			if flags&bit != 0 {
				start += 4
			}
		}
		return start, p.blind(offset, offset+2), true
	case protocolIPIP:
		return offset, nil, true
	}
	return 0, nil, false
}

// Flags of inner (NFT_INNER_*), and its type of Geneve, whose header has options.
const (
	innerHeaderSize = 1
	innerLink       = 2
	innerNetwork    = 4
	innerTransport  = 8

	innerGeneve = 2
)

// carried is what a tunnel carries: where its headers are, -1 for none
// (struct nft_inner_tun_ctx).
type carried struct {
	tunnel, link, network, transport int
	ether                            uint16
	protocol                         uint8
}

// inner is nft_inner_eval of net/netfilter/nft_inner.c.
func (w *walk) inner(e *rules.Inner) rules.VerdictKind {
	if len(e.Exprs) != 1 {
		return w.either(blame{"inner", "it is not well formed"})
	}
	p := &w.packet
	offset, b, ok := p.innerOffset()
	if !ok {
		return rules.Break
	}
	c, found := p.carried(e, offset)
	if b == nil && len(p.hidden) > 0 {
		b = p.blind(offset, len(p.Data))
	}
	if b != nil {
		return w.maybe(innerDest(e.Exprs[0]), 16, *b)
	}
	if !found {
		return rules.Break
	}
	switch x := e.Exprs[0].(type) {
	case *rules.Meta:
		switch {
		case x.Write:
		case x.Key == metaProtocol:
			return w.load(x.Reg, binary.BigEndian.AppendUint16(nil, c.ether))
		case x.Key == metaL4 && c.transport < 0:
			return rules.Break
		case x.Key == metaL4:
			return w.load8(x.Reg, c.protocol)
		}
	case *rules.Payload:
		if x.Write {
			break
		}
		at := map[uint32]int{baseTunnel: c.tunnel, baseLink: c.link, baseNetwork: c.network, baseTransport: c.transport}
		start, known := at[x.Base]
		first := uint64(max(start, 0)) + uint64(x.Offset)
		if !known || start < 0 || first+uint64(x.Len) > uint64(len(p.Data)) {
			return rules.Break
		}
		return w.load(x.Reg, p.Data[first:first+uint64(x.Len)])
	}
	return w.either(blame{"inner", "it is not well formed"})
}

func innerDest(e rules.Expr) rules.Reg {
	switch e := e.(type) {
	case *rules.Meta:
		return e.Reg
	case *rules.Payload:
		return e.Reg
	}
	return 0
}

// carried finds the headers of what a tunnel carries (nft_inner_parse).
func (p *Packet) carried(e *rules.Inner, offset int) (carried, bool) {
	c := carried{-1, -1, -1, -1, 0, 0}
	d := p.Data
	if e.Flags&innerHeaderSize != 0 {
		start, protocol, _, _ := p.upper()
		switch protocol {
		case protocolGRE:
			c.tunnel = start
		case protocolUDP:
			c.tunnel = offset
			if e.Type == innerGeneve {
				if offset+8 > len(d) {
					return c, false
				}
				offset += int(d[offset]&0x3f) * 4
			}
			offset += int(e.HdrSize & 0xff)
		default:
			return c, false
		}
	}
	switch {
	case e.Flags&(innerLink|innerNetwork) != 0:
		return c, c.parse(d, offset, e.Flags&innerLink != 0)
	case e.Flags&innerTransport != 0:
		c.transport = offset
	}
	return c, true
}

// parse is nft_inner_parse_l2l3.
func (c *carried) parse(d []byte, at int, link bool) bool {
	kind := uint16(0)
	switch {
	case link:
		if at+frameLen > len(d) {
			return false
		}
		c.ether = binary.BigEndian.Uint16(d[at+typeAt:])
		n := frameLen
		if kind = c.ether; kind == etherVLAN {
			if n += tagLen; at+n > len(d) {
				return false
			}
			kind = binary.BigEndian.Uint16(d[at+typeAt+tagLen:])
		}
		if kind != etherIP && kind != etherIP6 {
			return false
		}
		c.link = at
		at += n
	case at+4 > len(d):
		return false
	default:
		kind = map[byte]uint16{4: etherIP, 6: etherIP6}[d[at]>>4]
		c.ether = kind
	}
	switch {
	case kind == etherIP && at+20 <= len(d) && d[at]>>4 == 4 && d[at]&15 >= 5:
		c.network = at
		if binary.BigEndian.Uint16(d[at+6:])&0x1fff == 0 {
			c.transport, c.protocol = at+int(d[at]&15)*4, d[at+9]
		}
		return true
	case kind == etherIP6 && at+40 <= len(d) && d[at]>>4 == 6:
		c.network = at
		inside := Packet{Family: rules.IP6, Data: d[at:]}
		offset, protocol, found, header := inside.transport6(true)
		if header {
			c.transport, c.protocol = at+offset, protocol
		}
		return found
	}
	return false
}
