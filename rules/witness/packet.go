package witness

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// The addresses of a packet of which a rule asks none (RFC 5737, RFC 3849).
var (
	documentation4 = [2][4]byte{{198, 51, 100, 7}, {198, 51, 100, 8}}
	documentation6 = [2][16]byte{{0x20, 1, 0x0d, 0xb8, 15: 7}, {0x20, 1, 0x0d, 0xb8, 15: 8}}
)

func (w *wants) packet(hook rules.Hook) *eval.Packet {
	p := &eval.Packet{Family: w.family, Mark: w.mark, UID: w.uid, HasOwner: w.hasUID, In: w.in, Out: w.out}
	if w.state != eval.New {
		p.State = w.state
	}
	switch hook {
	case rules.Output, rules.Postrouting, rules.Egress:
		if p.Out == "" {
			p.Out = "eth0"
		}
		if hook == rules.Output {
			p.In = ""
		}
	case rules.Forward:
		p.In, p.Out = or(p.In, "eth0"), or(p.Out, "eth1")
	default:
		p.In, p.Out = or(p.In, "eth0"), ""
	}
	header := w.network()
	body := w.transport()
	for _, e := range w.edits {
		to := header
		if e.base == baseTransport {
			to = body
		}
		if e.base == baseNetwork || e.base == baseTransport {
			if int(e.offset)+len(e.value) <= len(to) {
				copy(to[e.offset:], e.value)
			}
		}
	}
	p.Data = append(header, body...)
	return p
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (w *wants) network() []byte {
	body := len(w.transport())
	if w.family == rules.IP6 {
		b := []byte{0x60, 0, 0, 0, 0, byte(body), w.protocolOf(), 64}
		src, dst := documentation6[0], documentation6[1]
		copy(src[:], w.src)
		copy(dst[:], w.dst)
		return append(append(b, src[:]...), dst[:]...)
	}
	b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, w.protocolOf(), 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+body))
	src, dst := documentation4[0], documentation4[1]
	copy(src[:], w.src)
	copy(dst[:], w.dst)
	return append(append(b, src[:]...), dst[:]...)
}

// protocolOf is the protocol; IPv6 has its own ICMP.
func (w *wants) protocolOf() uint8 {
	if w.family == rules.IP6 && w.protocol == icmp {
		return icmp6
	}
	return w.protocol
}

func (w *wants) transport() []byte {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, w.sport), w.dport)
	switch w.protocolOf() {
	case tcp:
		flags := w.flags
		switch {
		case flags != 0:
		case w.state == eval.Established || w.state == eval.Related:
			flags = 0x10
		default:
			flags = 0x02
		}
		return append(ports, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0)
	case udp:
		return append(ports, 0, 8, 0, 0)
	case icmp:
		return []byte{8, 0, 0, 0, 0, 1, 0, 1}
	case icmp6:
		return []byte{128, 0, 0, 0, 0, 1, 0, 1}
	}
	return append(ports, make([]byte, 16)...)
}
