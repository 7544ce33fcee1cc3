package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// Resolution is what the firewall does with the question for the hardware address
// of a neighbour (ARP, or the neighbour discovery of IPv6), and with the answer.
type Resolution struct{ Question, Answer *Trace }

// Stopped is the message that a rule or policy stops, nil if none does.
func (r Resolution) Stopped() *Trace {
	for _, t := range []*Trace{r.Question, r.Answer} {
		if (t.Verdict == "drop" || t.Verdict == "reject") && t.DecidedBy != nil {
			return t
		}
	}
	return nil
}

// Open reports whether both messages pass.
func (r Resolution) Open() bool {
	return r.Question.Verdict == "accept" && r.Answer.Verdict == "accept"
}

// Ask is what becomes of the question that this host asks on a device for the
// hardware address of hop, from its own address, and of the answer.
func (t *Tracer) Ask(device string, own, hop netip.Addr) Resolution {
	there, back := Packet{Way: string(eval.Out), OIF: device}, Packet{Way: string(eval.In), IIF: device}
	return Resolution{t.message(there, own, hop, own, false), t.message(back, hop, own, own, true)}
}

// Asked is the same where the neighbour asks for this host's own address.
func (t *Tracer) Asked(device string, own, hop netip.Addr) Resolution {
	there, back := Packet{Way: string(eval.In), IIF: device}, Packet{Way: string(eval.Out), OIF: device}
	return Resolution{t.message(there, hop, own, own, false), t.message(back, own, hop, own, true)}
}

// AskedAcross is the same for two hosts on ports of a bridge of this host.
func (t *Tracer) AskedAcross(bridge string, from, to End, asker, hop netip.Addr) Resolution {
	all := End{to.Port, groupOf(hop)}
	there, back := Packet{}.Across(bridge, from, all), Packet{}.Across(bridge, to, from)
	return Resolution{t.message(there, asker, hop, netip.Addr{}, false), t.message(back, hop, asker, netip.Addr{}, true)}
}

// groupOf is the hardware address to which the question for an address is sent:
// to all, or to those whose address ends like it (RFC 2464, 7).
func groupOf(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "ff:ff:ff:ff:ff:ff"
	}
	b := a.As16()
	return fmt.Sprintf("33:33:ff:%02x:%02x:%02x", b[13], b[14], b[15])
}

// message is a question for an address or the answer to it, from one end to the
// other, on the way that asked has; own is this host's.
func (t *Tracer) message(asked Packet, from, to, own netip.Addr, answer bool) *Trace {
	from, to = from.WithZone("").Unmap(), to.WithZone("").Unmap()
	q := parsed{way: eval.Way(asked.Way), iif: asked.IIF, oif: asked.OIF, src: endpoint{addr: from}, dst: endpoint{addr: to}, protocol: protocolICMP6}
	asked.Proto = "icmpv6"
	device := asked.IIF + asked.OIF
	if asked.bridged {
		device = asked.IIF
	}
	var mine, sender []byte // hardware addresses that are known
	if own.IsValid() {
		mine = t.hardwareAddress(device)
	}
	if from == own.WithZone("").Unmap() {
		sender = mine
	}
	var p *eval.Packet
	if to.Is4() {
		asked.Proto = "arp"
		p = arp(from, to, sender, mine, answer)
	} else {
		p = discovery(&q, from, to, sender, answer)
	}
	asked.Src, asked.Dst = q.src.addr.String(), q.dst.addr.String()
	return t.run(t.document(asked), p, q, nil)
}

// hardwareAddress is a device's own, nil if it isn't known.
func (t *Tracer) hardwareAddress(device string) []byte {
	if t.facts.Device == nil {
		return nil
	}
	d, _ := t.facts.Device(device)
	if len(d.MAC) != hardwareLen {
		return nil
	}
	return d.MAC
}

const (
	hardwareLen = 6
	notTold     = "the neighbour's hardware address was not told"
)

// arp is a message of ARP for Ethernet and IPv4 (RFC 826). sender is the sender's
// hardware address, and own this host's.
func arp(from, to netip.Addr, sender, own []byte, answer bool) *eval.Packet {
	const request, reply = 1, 2
	p := &eval.Packet{Family: rules.ARP, Data: []byte{0, 1, 8, 0, hardwareLen, 4, 0, request}}
	target := make([]byte, hardwareLen) // a question has none
	if answer {
		p.Data[7] = reply
		if target = own; sender != nil {
			target = nil // this host's goes to the neighbour
		}
	}
	for _, end := range []struct {
		mac  []byte
		addr netip.Addr
	}{{sender, from}, {target, to}} {
		if end.mac == nil {
			p.Forget(len(p.Data), len(p.Data)+hardwareLen, notTold)
			end.mac = make([]byte, hardwareLen)
		}
		p.Data = append(append(p.Data, end.mac...), end.addr.AsSlice()...)
	}
	return p
}

// discovery is a neighbour solicitation or advertisement (RFC 4861, 4.3 and 4.4).
func discovery(q *parsed, from, to netip.Addr, sender []byte, answer bool) *eval.Packet {
	const solicit, advertise, flags = 135, 136, 0x60 // solicited, override
	const sourceLink, targetLink = 1, 2
	body := []byte{solicit, 0, 0, 0, 0, 0, 0, 0}
	target, option := to, byte(sourceLink)
	if answer {
		body[0], body[4], target, option = advertise, flags, from, targetLink
	} else {
		group := netip.MustParseAddr("ff02::1:ff00:0").As16()
		low := to.As16()
		copy(group[13:], low[13:])
		q.dst.addr = netip.AddrFrom16(group)
	}
	body = append(append(body, target.AsSlice()...), option, 1)
	body = append(body, make([]byte, hardwareLen)...)
	copy(body[len(body)-hardwareLen:], sender)
	p := &eval.Packet{Family: rules.IP6, Data: []byte{0x60, 0, 0, 0, 0, byte(len(body)), protocolICMP6, 255}}
	p.Data = append(append(p.Data, q.src.addr.AsSlice()...), q.dst.addr.AsSlice()...)
	pseudo := uint32(sum(q.src.addr.AsSlice(), 0)) + uint32(sum(q.dst.addr.AsSlice(), 0)) + protocolICMP6 + uint32(len(body))
	binary.BigEndian.PutUint16(body[2:], ^sum(body, pseudo))
	header := len(p.Data)
	p.Data = append(p.Data, body...)
	if sender == nil {
		p.Forget(header+2, header+4, notTold)
		p.Forget(len(p.Data)-hardwareLen, len(p.Data), notTold)
	}
	return p
}
