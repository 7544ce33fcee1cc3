package eval

import (
	"encoding/binary"
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// Keys of meta: NFT_META_* of linux/netfilter/nf_tables.h.
const (
	metaLen = iota
	metaProtocol
	metaPriority
	metaMark
	metaIif
	metaOif
	metaIifName
	metaOifName
	metaIifType
	metaOifType
	metaUID
	metaGID
	metaNftrace
	metaClassID
	metaSecmark
	metaNFProto
	metaL4
	metaBridgeIn
	metaBridgeOut
	metaPacketType
	metaCPU
	metaIifGroup
	metaOifGroup
	metaCgroup
	metaRandom
	metaSecpath
	metaIifKind
	metaOifKind
	metaBridgePVID
	metaBridgeVProto
	metaTimeNS
	metaTimeDay
	metaTimeHour
	metaSdif
	metaSdifName
	metaBroute
	metaInType // __NFT_META_IIFTYPE
	metaBridgeMAC
)

const (
	etherIP  uint16 = 0x0800
	etherARP uint16 = 0x0806
	etherIP6 uint16 = 0x86dd
	nameLen         = 16
)

// meta is nft_meta_get_eval and nft_meta_set_eval of net/netfilter/nft_meta.c.
func (w *walk) meta(e *rules.Meta) rules.VerdictKind {
	if e.Write {
		return w.setMeta(e)
	}
	p := &w.packet
	switch e.Key {
	case metaLen:
		return w.length(e)
	case metaProtocol:
		b := [2]byte{}
		binary.BigEndian.PutUint16(b[:], p.ether())
		return w.load(e.Reg, b[:])
	case metaPriority:
		if w.priorityUnknown != nil {
			return w.hide(e.Reg, 4, *w.priorityUnknown)
		}
		return w.load32(e.Reg, p.Priority)
	case metaMark:
		if w.markUnknown != nil {
			return w.hide(e.Reg, 4, *w.markUnknown)
		}
		return w.load32(e.Reg, p.Mark)
	case metaIif:
		if b := w.inBlame(); b != nil {
			return w.hide(e.Reg, 4, *b)
		}
		return w.loadIndex(e, p.In, p.InIndex)
	case metaIifName:
		if b := w.inBlame(); b != nil {
			return w.hide(e.Reg, nameLen, *b)
		}
		return w.loadName(e.Reg, p.In)
	case metaIifType:
		// Of the device that the packet stands at, whichever that is.
		return w.deviceIfTold(e, w.stands)
	case metaInType, metaIifGroup, metaIifKind:
		return w.deviceIfTold(e, p.In)
	case metaOif, metaOifName, metaOifType, metaOifGroup, metaOifKind:
		return w.metaOut(e)
	case metaUID, metaGID, metaCgroup:
		return w.owner(e)
	case metaNFProto:
		return w.load8(e.Reg, byte(w.nfproto()))
	case metaL4:
		_, protocol, found, _ := p.upper()
		if !found {
			return rules.Break
		}
		return w.load8(e.Reg, protocol)
	case metaPacketType:
		kind, why := w.typeAsked()
		if why != nil {
			return w.hide(e.Reg, 1, *why)
		}
		return w.load8(e.Reg, kind)
	case metaBridgeIn:
		return w.bridgeName(e, p.In)
	case metaBridgeOut:
		return w.bridgeName(e, p.Out)
	case metaBridgeMAC:
		return w.bridgeMAC(e)
	case metaBridgePVID, metaBridgeVProto:
		return w.bridgeVLAN(e)
	case metaClassID:
		return w.classID(e)
	case metaSecmark:
		return w.hide(e.Reg, 4, blame{"meta secmark", "the number of a security context is not known"})
	case metaCPU:
		return w.hide(e.Reg, 4, blame{"meta cpu", "which processor handles the packet is not known"})
	case metaRandom:
		return w.hide(e.Reg, 4, blame{"meta random", "it is drawn by chance"})
	case metaSecpath:
		// A packet as it is described here has not been decrypted.
		return w.load8(e.Reg, 0)
	case metaSdif:
		// It is not from a VRF: that ends the way before.
		return w.load32(e.Reg, 0)
	case metaSdifName:
		return w.loadName(e.Reg, "")
	case metaTimeNS, metaTimeDay, metaTimeHour:
		return w.clock(e)
	}
	return w.maybe(e.Reg, nameLen, blame{fmt.Sprintf("meta key %d", e.Key), "it is not known"})
}

// nfproto is the family of the hook; ingress of inet has that of the packet
// (nft_do_chain_inet_ingress).
func (w *walk) nfproto() rules.Family {
	if w.family == rules.Netdev && w.table != nil && w.table.Family == rules.Inet {
		return w.packet.Family
	}
	return w.family
}

// loadIndex loads a device's number.
func (w *walk) loadIndex(e *rules.Meta, name string, given uint32) rules.VerdictKind {
	index, why := w.indexOf(name, given)
	if why != "" {
		return w.hide(e.Reg, 4, blame{"meta", why})
	}
	return w.load32(e.Reg, index)
}

// metaOut loads of the device that the packet leaves by.
func (w *walk) metaOut(e *rules.Meta) rules.VerdictKind {
	p := &w.packet
	b := w.outBlame()
	switch {
	case e.Key == metaOif && b != nil:
		return w.hide(e.Reg, 4, *b)
	case e.Key == metaOif:
		return w.loadIndex(e, p.Out, p.OutIndex)
	case e.Key == metaOifName && b != nil:
		return w.hide(e.Reg, nameLen, *b)
	case e.Key == metaOifName:
		return w.loadName(e.Reg, p.Out)
	case b != nil:
		return w.maybe(e.Reg, nameLen, *b)
	}
	return w.device(e, p.Out)
}

// classID loads the realm of the packet's route; what has just arrived has no
// route yet.
func (w *walk) classID(e *rules.Meta) rules.VerdictKind {
	if w.routeless() {
		return rules.Break
	}
	return w.realm(e.Reg, "meta rtclassid")
}

// routeless reports whether the packet has no route yet.
func (w *walk) routeless() bool {
	return w.way != "" && w.way != Through && (w.hook == rules.Prerouting || w.hook == rules.Ingress)
}

// setMeta is nft_meta_set_eval.
func (w *walk) setMeta(e *rules.Meta) rules.VerdictKind {
	p := &w.packet
	have := w.register(e.Reg, 4)
	if have == nil {
		return w.either(blame{"meta", "it reads beyond the registers"})
	}
	b := w.blind(e.Reg, 4)
	switch e.Key {
	case metaMark:
		w.changed = true
		w.markUnknown = nil
		if b != nil {
			reason := *b
			w.markUnknown = &reason
			return rules.Continue
		}
		p.Mark = binary.NativeEndian.Uint32(have)
	case metaPriority:
		w.changed = true
		if w.priorityUnknown = b; b == nil {
			p.Priority = binary.NativeEndian.Uint32(have)
		}
	case metaPacketType:
		return w.setPacketType(have[0], b)
	case metaNftrace, metaSecmark: // nobody here can know what they read
	case metaBroute:
		if b != nil {
			return w.either(*b)
		}
		w.changed, w.brouted = true, have[0] != 0
	default:
		return w.either(blame{fmt.Sprintf("meta key %d", e.Key), "setting it is not known"})
	}
	return rules.Continue
}

// inBlame is why the device that the packet came by is not known.
func (w *walk) inBlame() *blame {
	if w.inUntold && w.packet.In == "" && w.hook != rules.Egress {
		return &blame{"iif", "the device that it came by was not told"}
	}
	return nil
}

// outBlame is why the device that the packet leaves by is not known.
func (w *walk) outBlame() *blame {
	if w.outUnknown != nil && w.hook != rules.Output { // there it is still the one it had when it came
		return w.outUnknown
	}
	leaves := w.hook == rules.Output || w.hook == rules.Forward || w.hook == rules.Postrouting || w.hook == rules.Egress
	if w.way != "" && leaves && w.packet.Out == "" {
		return &blame{"oif", "the device that it leaves by was not told"}
	}
	return nil
}

// ether is the packet's type in a link header.
func (p *Packet) ether() uint16 {
	switch p.Family {
	case rules.IP6:
		return etherIP6
	case rules.ARP:
		return etherARP
	case rules.Bridge:
		if n := len(p.Link); n >= frameLen {
			return binary.BigEndian.Uint16(p.Link[n-2:])
		}
		return 0
	}
	return etherIP
}

func (w *walk) loadName(r rules.Reg, s string) rules.VerdictKind {
	var b [nameLen]byte
	copy(b[:], s)
	return w.load(r, b[:])
}

// indexOf is a device's number, 0 for none.
func (w *walk) indexOf(name string, given uint32) (uint32, string) {
	if name == "" || given != 0 {
		return given, ""
	}
	if ask := w.m.host.Device; ask != nil {
		if d, ok := ask(name); ok {
			return d.Index, ""
		}
	}
	return 0, "the index of device " + name + " is not known"
}

// deviceIfTold is device for one that the packet came by.
func (w *walk) deviceIfTold(e *rules.Meta, name string) rules.VerdictKind {
	if b := w.inBlame(); b != nil && name == "" {
		return w.maybe(e.Reg, nameLen, *b)
	}
	return w.device(e, name)
}

// device loads what a device is; without one the rule breaks off.
func (w *walk) device(e *rules.Meta, name string) rules.VerdictKind {
	if name == "" {
		return rules.Break
	}
	var d Device
	ok := false
	if ask := w.m.host.Device; ask != nil {
		d, ok = ask(name)
	}
	if !ok {
		return w.maybe(e.Reg, nameLen, blame{"meta", "device " + name + " is not known"})
	}
	switch e.Key {
	case metaIifType, metaOifType, metaInType:
		var b [2]byte
		binary.NativeEndian.PutUint16(b[:], d.Type)
		return w.load(e.Reg, b[:])
	case metaIifGroup, metaOifGroup:
		return w.load32(e.Reg, d.Group)
	}
	if d.Kind == "" {
		return rules.Break
	}
	return w.loadName(e.Reg, d.Kind)
}

var ownerWords = map[uint32]string{metaUID: "meta skuid", metaGID: "meta skgid", metaCgroup: "meta cgroup"}

// owner loads the id of the process that sent the packet. One that arrived
// belongs to none, unless a connection's socket was found early.
func (w *walk) owner(e *rules.Meta) rules.VerdictKind {
	p := &w.packet
	switch {
	case !w.arrived:
		if e.Key == metaCgroup {
			return w.maybe(e.Reg, 4, blame{ownerWords[e.Key], "the class that a control group gives the sender is not known"})
		}
		if !p.HasOwner {
			return w.maybe(e.Reg, 4, blame{ownerWords[e.Key], "the sending process is not known"})
		}
		if e.Key == metaGID {
			return w.load32(e.Reg, p.GID)
		}
		return w.load32(e.Reg, p.UID)
	case w.hook == rules.Input:
		if protocol, _ := p.Protocol(); protocol == protocolTCP && w.flow.state == New {
			return rules.Break
		}
		return w.maybe(e.Reg, 4, blame{ownerWords[e.Key], "whether a connected socket takes the packet is not known"})
	}
	return rules.Break
}

// clock loads the time (nft_meta_get_eval_time): nanoseconds since 1970, the
// second of the day in UTC. The day is that of the kernel's own time zone
// (sys_tz), which nothing tells.
func (w *walk) clock(e *rules.Meta) rules.VerdictKind {
	now := w.m.host.Now
	if e.Key == metaTimeDay {
		return w.hide(e.Reg, 1, blame{"meta day", "the kernel's time zone is not known"})
	}
	if now.IsZero() {
		return w.hide(e.Reg, 8, blame{"meta time", "it depends on when the packet comes"})
	}
	now = now.UTC()
	if e.Key == metaTimeHour {
		return w.load32(e.Reg, uint32(now.Hour()*3600+now.Minute()*60+now.Second()))
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(now.UnixNano()))
	return w.load(e.Reg, b[:])
}

// maybe is for a load that may also break off, of what is not known.
func (w *walk) maybe(r rules.Reg, n int, b blame) rules.VerdictKind {
	w.hide(r, n, b)
	return w.perhaps(b)
}
