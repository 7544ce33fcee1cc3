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
		return w.load32(e.Reg, uint32(len(p.Data)))
	case metaProtocol:
		b := [2]byte{}
		binary.BigEndian.PutUint16(b[:], p.ether())
		return w.load(e.Reg, b[:])
	case metaPriority:
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
		if index, why := w.indexOf(p.In, p.InIndex); why != "" {
			return w.hide(e.Reg, 4, blame{"meta iif", why})
		} else {
			return w.load32(e.Reg, index)
		}
	case metaOif:
		if b := w.outBlame(); b != nil {
			return w.hide(e.Reg, 4, *b)
		}
		if index, why := w.indexOf(p.Out, p.OutIndex); why != "" {
			return w.hide(e.Reg, 4, blame{"meta oif", why})
		} else {
			return w.load32(e.Reg, index)
		}
	case metaIifName:
		if b := w.inBlame(); b != nil {
			return w.hide(e.Reg, nameLen, *b)
		}
		return w.loadName(e.Reg, p.In)
	case metaOifName:
		if b := w.outBlame(); b != nil {
			return w.hide(e.Reg, nameLen, *b)
		}
		return w.loadName(e.Reg, p.Out)
	case metaIifType, metaIifGroup, metaIifKind:
		if b := w.inBlame(); b != nil {
			return w.maybe(e.Reg, nameLen, *b)
		}
		return w.device(e, p.In)
	case metaOifType, metaOifGroup, metaOifKind:
		if b := w.outBlame(); b != nil {
			return w.maybe(e.Reg, nameLen, *b)
		}
		return w.device(e, p.Out)
	case metaUID, metaGID:
		return w.owner(e)
	case metaNFProto:
		return w.load8(e.Reg, byte(p.Family))
	case metaL4:
		_, protocol, found, _ := p.transport()
		if !found {
			return rules.Break
		}
		return w.load8(e.Reg, protocol)
	case metaPacketType:
		return w.load8(e.Reg, w.packetType())
	case metaSecpath, metaSdif:
		// A packet as it is described here is neither from IPsec nor from a VRF.
		return w.load32(e.Reg, 0)
	case metaSdifName:
		return w.loadName(e.Reg, "")
	case metaTimeNS, metaTimeDay, metaTimeHour:
		return w.clock(e)
	}
	return w.maybe(e.Reg, 16, blame{fmt.Sprintf("meta key %d", e.Key), "neither packet nor host facts tell it"})
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
		if b != nil {
			return w.either(*b)
		}
		w.changed = true
		p.Priority = binary.NativeEndian.Uint32(have)
	case metaNftrace, metaSecmark:
	default:
		return w.either(blame{fmt.Sprintf("meta key %d", e.Key), "setting it is not modelled"})
	}
	return rules.Continue
}

// inBlame is why the device that the packet came by is not known.
func (w *walk) inBlame() *blame {
	if w.arrived && w.packet.In == "" {
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
	case metaIifType, metaOifType:
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

// owner loads the id of the process that sent the packet. One that arrived
// belongs to none, unless a connection's socket was found early.
func (w *walk) owner(e *rules.Meta) rules.VerdictKind {
	p := &w.packet
	switch {
	case !w.arrived:
		if !p.HasOwner {
			return w.maybe(e.Reg, 4, blame{"meta skuid", "the sending process is not known"})
		}
		if e.Key == metaGID {
			return w.load32(e.Reg, p.GID)
		}
		return w.load32(e.Reg, p.UID)
	case w.hook == rules.Input:
		if protocol, _ := p.Protocol(); protocol == protocolTCP && w.flow.state == New {
			return rules.Break
		}
		return w.maybe(e.Reg, 4, blame{"meta skuid", "whether a connected socket takes the packet is not known"})
	}
	return rules.Break
}

// packetType is PACKET_* of linux/if_packet.h by the link header's destination.
func (w *walk) packetType() byte {
	const host, broadcast, multicast = 0, 1, 2
	if !w.arrived || len(w.packet.Link) < 6 || w.packet.Link[0]&1 == 0 {
		return host
	}
	for _, b := range w.packet.Link[:6] {
		if b != 0xff {
			return multicast
		}
	}
	return broadcast
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
