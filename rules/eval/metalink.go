package eval

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/portwhy/portwhy/rules"
)

// length loads skb->len: with the link header where that has been put before.
func (w *walk) length(e *rules.Meta) rules.VerdictKind {
	if b := w.packet.lengthBlind(); b != nil {
		return w.hide(e.Reg, 4, *b)
	}
	n := len(w.packet.Data)
	f := w.ahead
	if w.hook == rules.Egress {
		f = &w.frame
	}
	switch {
	case f == nil:
	case f.why != "":
		return w.hide(e.Reg, 4, blame{"meta length", f.why})
	case f.tagged():
		n += len(f.data) - tagLen
	default:
		n += len(f.data)
	}
	return w.load32(e.Reg, uint32(n))
}

// lengthBlind is why the packet's length is not known, nil if it is.
func (p *Packet) lengthBlind() *blame {
	switch p.Family {
	case rules.IP:
		return p.blind(2, 4)
	case rules.IP6:
		return p.blind(4, 6)
	}
	return nil
}

// bridgeName loads the name of the bridge that a port belongs to, empty if the
// packet has no such device (nft_meta_bridge_get_eval).
func (w *walk) bridgeName(e *rules.Meta, port string) rules.VerdictKind {
	if port == "" || w.bridge != "" {
		if port != "" {
			port = w.bridge
		}
		return w.loadName(e.Reg, port)
	}
	d, ok := w.facts(port)
	if !ok {
		return w.hide(e.Reg, nameLen, blame{"meta", "which bridge " + port + " belongs to is not known"})
	}
	if m, ok := w.facts(d.Master); ok && m.Kind == kindBridge {
		return w.loadName(e.Reg, d.Master)
	}
	return w.loadName(e.Reg, "")
}

// bridgeIn is the port that the packet came by, and its bridge; none says that there
// is none.
func (w *walk) bridgeIn() (port, bridge Device, none, known bool) {
	if w.packet.In == "" {
		return port, bridge, true, true
	}
	port, ok := w.facts(w.packet.In)
	bridge, known = w.facts(port.Master)
	return port, bridge, ok && (port.Master == "" || known && bridge.Kind != kindBridge), ok && known
}

// bridgeMAC loads the hardware address of the bridge that the packet came by.
func (w *walk) bridgeMAC(e *rules.Meta) rules.VerdictKind {
	_, bridge, none, known := w.bridgeIn()
	switch {
	case none:
		return rules.Break
	case !known || len(bridge.MAC) != 6:
		return w.maybe(e.Reg, 6, blame{"meta", "the hardware address of the bridge of " + w.packet.In + " is not known"})
	}
	return w.load(e.Reg, bridge.MAC)
}

// bridgeVLAN loads the VLAN that the port puts frames into, or what kind of tags
// the bridge has; only a bridge that filters by VLAN has either.
func (w *walk) bridgeVLAN(e *rules.Meta) rules.VerdictKind {
	port, bridge, none, known := w.bridgeIn()
	switch {
	case none:
		return rules.Break
	case !known || bridge.Bridge == nil:
		return w.maybe(e.Reg, 2, blame{"meta", "the VLANs of the port are not known"})
	case !bridge.Bridge.VLANFiltering:
		return rules.Break
	}
	var b [2]byte
	if e.Key == metaBridgePVID {
		binary.NativeEndian.PutUint16(b[:], port.PVID)
	} else {
		binary.BigEndian.PutUint16(b[:], bridge.Bridge.VLANProtocol)
	}
	return w.load(e.Reg, b[:])
}

// setPacketType changes what the packet is taken for (PACKET_*). One that is for
// this host stays on its way; what becomes of the rest is for those that take it.
func (w *walk) setPacketType(kind byte, b *blame) rules.VerdictKind {
	have, why := w.packetType()
	switch {
	case b != nil:
		return w.either(*b)
	case kind > packetOther || why == nil && have == kind:
		return rules.Continue
	case kind != packetHost:
		return w.either(blame{"meta pkttype", "what becomes of a packet that is taken for another's is not modelled"})
	}
	w.changed, w.forHost = true, true
	return rules.Continue
}

// Types of packets: PACKET_* of linux/if_packet.h.
const (
	packetHost = iota
	packetBroadcast
	packetMulticast
	packetOther
)

// typeAsked is packetType where a rule asks for it: without its link header, what
// is for many may have come as a broadcast, a multicast, or to this host alone.
func (w *walk) typeAsked() (byte, *blame) {
	if w.arrived && !w.forHost && w.packet.Link == nil && w.packet.In != "lo" && w.forMany(w.packet.Address(true)) {
		return 0, &blame{"meta pkttype", "the packet's link header is not known"}
	}
	return w.packetType()
}

// forMany reports whether an address may be that of more hosts than one. Where no
// host tells its broadcast addresses, they end in 255.
func (w *walk) forMany(to netip.Addr) bool {
	switch {
	case !to.IsValid() || to.IsMulticast() || to == broadcastAll:
		return true
	case !to.Is4():
		return false
	}
	if ask := w.m.host.AddressType; ask != nil {
		kind, ok := ask(to, "", false)
		return !ok || kind == Broadcast
	}
	return to.As4()[3] == 255
}

// packetType is what the packet was taken for by its link header's destination
// (eth_type_trans, br_handle_frame); br_netfilter has hooks of IP see those for
// others as if they were for this host.
func (w *walk) packetType() (byte, *blame) {
	if w.forHost || !w.arrived {
		return packetHost, nil
	}
	mac := w.packet.Link
	if len(mac) >= macLen && mac[0]&1 != 0 {
		for _, b := range mac[:macLen] {
			if b != 0xff {
				return packetMulticast, nil
			}
		}
		return packetBroadcast, nil
	}
	atPort := w.family == rules.Bridge || w.family == rules.Netdev && w.hook == rules.Ingress && w.packet.InPort != ""
	switch {
	case w.family != rules.Bridge && !atPort:
		return packetHost, nil
	case len(mac) < macLen:
		return 0, &blame{"meta pkttype", "the packet's link header is not known"}
	case w.family == rules.Bridge && w.way != Bridged:
		return packetHost, nil
	case w.way == Bridged:
		return packetOther, nil
	}
	d, _ := w.facts(w.packet.In)
	switch {
	case len(d.MAC) != macLen:
		return 0, &blame{"meta pkttype", "the link address of device " + w.packet.In + " is not known"}
	case bytes.Equal(d.MAC, mac[:macLen]):
		return packetHost, nil
	}
	return packetOther, nil
}
