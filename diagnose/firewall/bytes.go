package firewall

import (
	"encoding/binary"
	"math/bits"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// packet makes the bytes: headers as this kind of host sends them (a SYN of 60
// bytes, an echo request of 84, a datagram without a payload). What was not told
// is marked as not known.
func (q parsed) packet() *eval.Packet {
	body := q.transport()
	p := &eval.Packet{Family: q.family(), Mark: q.mark, State: q.state, UID: q.uid, HasOwner: q.hasUID}
	if p.Family == rules.IP {
		p.Data = []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, q.protocol, 0, 0}
		p.Data = append(append(p.Data, q.src.addr.AsSlice()...), q.dst.addr.AsSlice()...)
		binary.BigEndian.PutUint16(p.Data[2:], uint16(20+len(body)))
		binary.BigEndian.PutUint16(p.Data[10:], ^sum(p.Data, 0))
	} else {
		p.Data = []byte{0x60, 0, 0, 0, 0, 0, q.protocol, 64}
		p.Data = append(append(p.Data, q.src.addr.AsSlice()...), q.dst.addr.AsSlice()...)
		binary.BigEndian.PutUint16(p.Data[4:], uint16(len(body)))
	}
	header := len(p.Data)
	p.Data = append(p.Data, body...)
	if eval.HasPorts(q.protocol) {
		if !q.src.has {
			p.Forget(header, header+2, "the source port was not told")
		}
		if !q.dst.has {
			p.Forget(header+2, header+4, "the destination port was not told")
		}
	}
	return p
}

// bare reports whether a segment of TCP carries nothing: it begins or ends a
// connection.
func (q parsed) bare() bool { return q.flags&(flagSYN|flagFIN|flagRST) != 0 || q.flags&flagACK == 0 }

// link is the Ethernet header of what goes over a bridge, nil where an address in
// it isn't known.
func (p Packet) link(family rules.Family) []byte {
	types := map[rules.Family]uint16{rules.IP: 0x0800, rules.IP6: 0x86dd, rules.ARP: 0x0806}
	to, from := hardware(p.dstMAC), hardware(p.srcMAC)
	if len(to) != hardwareLen || len(from) != hardwareLen {
		return nil
	}
	return binary.BigEndian.AppendUint16(append(to, from...), types[family])
}

// transport is what follows the network header.
func (q parsed) transport() []byte {
	var b []byte
	checksum := -1
	switch q.protocol {
	case protocolTCP:
		b = q.tcp()
		checksum = 16
	case protocolUDP, protocolUDPLite:
		b = binary.BigEndian.AppendUint16(q.ports(), 8+carried)
		b = append(b, make([]byte, 2+carried)...)
		checksum = 6
	case protocolICMP:
		b = append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 56)...) // echo request
		if q.about != "" {
			b = append([]byte{3, q.code, 0, 0, 0, 0, 0, 0}, q.about...) // destination unreachable
		}
		binary.BigEndian.PutUint16(b[2:], ^sum(b, 0))
	case protocolICMP6:
		b = append([]byte{128, 0, 0, 0, 0, 1, 0, 1}, make([]byte, 56)...)
		if q.about != "" {
			b = append([]byte{1, q.code, 0, 0, 0, 0, 0, 0}, q.about...)
		}
		checksum = 2
	case protocolSCTP: // INIT
		b = append(q.ports(), 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20)
		b = append(b, make([]byte, 16)...)
	case protocolDCCP: // request
		b = append(q.ports(), 5, 0, 0, 0, 1, 0, 0, 0)
		b = append(b, make([]byte, 8)...)
	default:
		b = make([]byte, 8)
	}
	if checksum >= 0 {
		pseudo := uint32(sum(q.src.addr.AsSlice(), 0)) + uint32(sum(q.dst.addr.AsSlice(), 0)) + uint32(q.protocol) + uint32(len(b))
		binary.BigEndian.PutUint16(b[checksum:], ^sum(b, pseudo))
	}
	return b
}

func (q parsed) ports() []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, q.src.port), q.dst.port)
}

// tcp is a header; a first SYN has the options that Linux sends.
func (q parsed) tcp() []byte {
	var options []byte
	if q.flags == flagSYN {
		mss := []byte{2, 4, 0x05, 0xb4}
		if !q.dst.addr.Is4() {
			mss = []byte{2, 4, 0x05, 0xa0}
		}
		options = append(mss, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7) // SACK permitted, timestamps, window scale
	}
	b := append(q.ports(), 0, 0, 0, 1, 0, 0, 0, 0, byte(20+len(options))/4<<4, q.flags)
	if q.flags&flagACK != 0 {
		b[11] = 1
	}
	b = append(b, 0xfa, 0xf0, 0, 0, 0, 0)
	if !q.bare() {
		b = append(b, make([]byte, carried)...)
	}
	return append(b, options...)
}

// sum is the Internet checksum's sum (RFC 1071).
func sum(b []byte, start uint32) uint16 {
	total := start
	for i := 0; i+1 < len(b); i += 2 {
		total += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 != 0 {
		total += uint32(b[len(b)-1]) << 8
	}
	for bits.Len32(total) > 16 {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
