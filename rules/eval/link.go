package eval

import (
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// frame is the packet's link header where it stands now. A tag of a VLAN is in
// it as on the wire, although the kernel keeps it apart: nftables shows it so
// (nft_payload_copy_vlan in net/netfilter/nft_payload.c).
type frame struct {
	there  bool // the packet has a link header
	data   []byte
	hidden []span
	why    string // set if nothing of it is known
}

const (
	macLen      = 6
	frameLen    = 14 // ETH_HLEN
	tagLen      = 4  // VLAN_HLEN
	typeAt      = 12 // the type, or a tag and then the type
	etherVLAN   = 0x8100
	etherVLANAD = 0x88a8

	typeEthernet = 1   // ARPHRD_ETHER
	typeLoopback = 772 // ARPHRD_LOOPBACK
)

// tagged reports whether the header has a tag of a VLAN.
func (f *frame) tagged() bool {
	if len(f.data) < frameLen+tagLen {
		return false
	}
	kind := uint16(f.data[typeAt])<<8 | uint16(f.data[typeAt+1])
	return kind == etherVLAN || kind == etherVLANAD
}

// untag takes the tag off, as the device of the VLAN does (vlan_do_receive).
func (f *frame) untag() {
	if f.tagged() {
		f.data = slices.Concat(f.data[:typeAt], f.data[typeAt+tagLen:])
	}
}

// loopbackHeader is the link header that loopback makes (eth_header, with zeros
// for a device without ARP).
func loopbackHeader(f rules.Family) []byte {
	h := make([]byte, frameLen)
	h[12], h[13] = byte(etherIP>>8), byte(etherIP&0xff)
	if f == rules.IP6 {
		h[12], h[13] = byte(etherIP6>>8), byte(etherIP6&0xff)
	}
	return h
}

// arrivedFrame is the header that the packet came with.
func (w *walk) arrivedFrame() frame {
	f := frame{there: true, data: w.packet.Link}
	if f.data == nil {
		f.why = "the packet's link header is not known"
	}
	return f
}

// newFrame is the header that a packet gets to leave by a device. Whose address
// the next host has is not asked for, but for those that a destination tells.
func (w *walk) newFrame(name string) frame {
	d, ok := w.facts(name)
	p := &w.packet
	switch {
	case name == "lo" || ok && d.Type == typeLoopback:
		return frame{there: true, data: loopbackHeader(p.Family)}
	case !ok:
		return frame{there: true, why: "what device " + name + " is, is not known"}
	case d.Type != typeEthernet:
		return frame{there: true, why: "the link headers of device " + name + " are not modelled"}
	}
	f := frame{there: true, data: make([]byte, frameLen)}
	f.data[12], f.data[13] = byte(p.ether()>>8), byte(p.ether())
	if mac := groupMAC(p.Address(true)); mac != nil {
		copy(f.data, mac)
	} else {
		f.hidden = append(f.hidden, span{0, macLen, blame{"payload", "the next host's link address is not known"}})
	}
	if len(d.MAC) == macLen {
		copy(f.data[macLen:], d.MAC)
	} else {
		f.hidden = append(f.hidden, span{macLen, typeAt, blame{"payload", "the link address of device " + name + " is not known"}})
	}
	return f
}

// groupMAC is the link address of what is sent to many (ip_eth_mc_map,
// ipv6_eth_mc_map); nil for a single host, or what may be one.
func groupMAC(a netip.Addr) []byte {
	switch {
	case a.Is4() && a.IsMulticast():
		b := a.As4()
		return []byte{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case a.Is6() && a.IsMulticast():
		b := a.As16()
		return []byte{0x33, 0x33, b[12], b[13], b[14], b[15]}
	case a == broadcastAll:
		return []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	return nil
}

// payloadLink loads from the link header and, beyond it, from what it carries.
func (w *walk) payloadLink(e *rules.Payload) rules.VerdictKind {
	f := &w.frame
	n := int(e.Len)
	switch {
	case !f.there:
		return rules.Break
	case f.why != "":
		return w.maybe(e.Reg, n, blame{"payload", f.why})
	case len(f.data) == 0:
		return rules.Break
	}
	all := slices.Concat(f.data, w.packet.Data)
	end := uint64(e.Offset) + uint64(e.Len)
	if end > uint64(len(all)) {
		return rules.Break
	}
	hidden := slices.Clone(f.hidden)
	for _, s := range w.packet.hidden {
		hidden = append(hidden, span{s.from + len(f.data), s.to + len(f.data), s.blame})
	}
	if b := spanAt(hidden, int(e.Offset), int(end)); b != nil {
		return w.hide(e.Reg, n, *b)
	}
	return w.load(e.Reg, all[e.Offset:end])
}

// storeLink changes the link header. What it is for a tag the kernel keeps
// elsewhere, so that only whole fields of it can be written.
func (w *walk) storeLink(e *rules.Payload) rules.VerdictKind {
	f := &w.frame
	end := uint64(e.Offset) + uint64(e.Len)
	switch {
	case !f.there:
		return rules.Break
	case f.why != "":
		return w.either(blame{"payload", f.why})
	case end > uint64(len(f.data)):
		return w.either(blame{"payload", "changing what is behind the link header from there is not modelled"})
	case f.tagged() && end > typeAt:
		whole := e.Offset == typeAt && (e.Len == 2 || e.Len == 4) || e.Offset == typeAt+2 && e.Len == 2
		if !whole {
			return w.either(blame{"payload", "changing a part of a VLAN tag is not modelled"})
		}
	}
	data := w.register(e.Reg, int(e.Len))
	if data == nil {
		return w.either(blame{"payload", "it reads beyond the registers"})
	}
	w.changed = true
	f.data, f.hidden = slices.Clone(f.data), slices.Clone(f.hidden)
	if b := w.blind(e.Reg, int(e.Len)); b != nil {
		f.hidden = append(f.hidden, span{int(e.Offset), int(end), *b})
		return rules.Continue
	}
	f.hidden = without(f.hidden, int(e.Offset), int(end))
	copy(f.data[e.Offset:], data)
	return rules.Continue
}

// Kinds of devices (IFLA_INFO_KIND) that hand packets on to others below them,
// which have hooks of their own.
const (
	kindBridge = "bridge"
	kindVRF    = "vrf"
)

var (
	bundles = []string{"bond", "team", "hsr"}
	layers  = []string{"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"}
)

// facts is what the host tells of a device.
func (w *walk) facts(name string) (Device, bool) {
	if ask := w.m.host.Device; ask != nil && name != "" {
		return ask(name)
	}
	return Device{}, false
}

// watched reports whether rules stand at a device that is none of those named.
func (w *walk) watched(hook rules.Hook, except ...string) bool {
	return slices.ContainsFunc(w.m.at(hook, rules.Netdev), func(e entry) bool {
		return slices.ContainsFunc(e.chain.Devices, func(d string) bool { return !slices.Contains(except, d) })
	})
}

// bridges reports whether rules stand at any of a bridge's hooks.
func (w *walk) bridges(hooks ...rules.Hook) bool {
	return slices.ContainsFunc(hooks, func(h rules.Hook) bool { return len(w.m.at(h, rules.Bridge)) > 0 })
}

// stackMax bounds how many devices are followed downwards.
const stackMax = 16

// rise takes the packet from the wire up to a device: through the ingress hooks
// of it and of those below it, and through bridges.
func (w *walk) rise(name string, depth int) bool {
	if depth > stackMax {
		return w.giveUpAt("device", "devices are stacked too high")
	}
	switch below, how, why := w.below(name, w.packet.InPort); {
	case why != "":
		if w.watched(rules.Ingress, name, "lo") || how == kindBridge && w.bridges(rules.Prerouting, rules.Input) {
			return w.giveUpAt("device", why)
		}
	case how == kindBridge:
		if !w.rise(below, depth+1) || !w.enterBridge(below, name) {
			return false
		}
		if w.brouted {
			return true
		}
		if !w.passUp(below, name) {
			return false
		}
	case how != "":
		if !w.rise(below, depth+1) {
			return false
		}
		if w.brouted {
			return true
		}
		if how == "vlan" {
			w.frame.untag()
		}
	}
	return w.ingress(name)
}

// sink takes the packet from a device down to the wire.
func (w *walk) sink(name string, depth int) bool {
	if depth > stackMax {
		return w.giveUpAt("device", "devices are stacked too high")
	}
	w.between("", name, name)
	if !w.passAs(rules.Netdev, rules.Egress, allPriorities) {
		return false
	}
	switch below, how, why := w.below(name, w.packet.OutPort); {
	case why != "":
		if w.watched(rules.Egress, name, "lo") || how == kindBridge && w.bridges(rules.Output, rules.Postrouting) {
			return w.giveUpAt("device", why)
		}
	case how == kindBridge:
		return w.bridgeOut(below) && w.sink(below, depth+1)
	case how != "":
		if how == "vlan" && w.watched(rules.Egress, name, "lo") {
			w.frame = frame{there: true, why: "the tag of the VLAN is not known"}
		}
		return w.sink(below, depth+1)
	}
	return true
}

// below tells by which device a packet comes to another or leaves from it: the
// port of a bridge or bundle, or what a VLAN is on. An empty how is a device
// that has none below; why is set where that can't be told.
func (w *walk) below(name, port string) (below, how, why string) {
	if name == "lo" {
		return "", "", ""
	}
	d, ok := w.facts(name)
	switch {
	case !ok && port != "" && name != port:
		return port, kindBridge, "" // only a bridge or a bundle has ports
	case !ok:
		return "", kindBridge, "whether device " + name + " is a bridge, or has others below it, is not known"
	case d.Kind == kindBridge && port == "":
		return "", kindBridge, "which port of bridge " + name + " the packet takes is not known"
	case d.Kind == kindBridge:
		return port, kindBridge, ""
	case slices.Contains(bundles, d.Kind) && port == "":
		return "", d.Kind, "which port of " + name + " the packet takes is not known"
	case slices.Contains(bundles, d.Kind):
		return port, d.Kind, ""
	case slices.Contains(layers, d.Kind) && d.Parent == "":
		return "", d.Kind, "what device " + name + " is on is not known"
	case slices.Contains(layers, d.Kind):
		return d.Parent, d.Kind, ""
	}
	return "", "", ""
}

// between sets the devices that the next hook tells, and the one that the
// packet stands at (skb->dev).
func (w *walk) between(in, out, at string) {
	p := &w.packet
	if p.In != in {
		p.In, p.InIndex = in, w.deviceIndex(in)
	}
	if p.Out != out {
		p.Out, p.OutIndex = out, w.deviceIndex(out)
	}
	w.stands = at
}

// giveUpAt ends the walk between hooks without an answer.
func (w *walk) giveUpAt(expression, why string) bool {
	w.table, w.chain, w.rule = nil, nil, nil
	return w.giveUp(expression, why)
}
