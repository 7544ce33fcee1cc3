//go:build linux

package oracle

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules/eval"
)

// answerTo makes the answer to a packet where it came out; nil if there can be none.
func answerTo(p *packet, a arrival) *packet {
	back := &packet{id: p.id, ttl: 50, payload: 4, proto: p.proto, first: p, state: eval.Established, peer: a.where}
	d := a.data
	header := 40
	if p.src.Is4() {
		header = 20
		back.src, _ = netip.AddrFromSlice(d[16:20])
		back.dst, _ = netip.AddrFromSlice(d[12:16])
	} else {
		back.src, _ = netip.AddrFromSlice(d[24:40])
		back.dst, _ = netip.AddrFromSlice(d[8:24])
	}
	l4 := d[header:]
	switch p.proto {
	case protoTCP:
		if back.flags = flagACK; l4[13]&flagSYN != 0 {
			back.flags = flagSYN | flagACK
		}
		fallthrough
	case protoUDP:
		back.sport, back.dport = binary.BigEndian.Uint16(l4[2:]), binary.BigEndian.Uint16(l4)
	case protoICMP:
		back.sport, back.dport = binary.BigEndian.Uint16(l4[4:]), 0
	default:
		back.sport, back.dport = binary.BigEndian.Uint16(l4[4:]), 129<<8
	}
	switch {
	case !known(back.dst):
		return nil
	case a.where != host && (back.src.IsLoopback() || back.dst.IsLoopback()):
		return nil // none such comes by a device
	case a.where == host && p.device() != "" && !local(back.dst):
		back.way, back.peer = eval.Out, 0
	case a.where == host:
		back.way, back.peer = eval.Through, 0
	case p.device() != "":
		back.way = eval.Forward
	default:
		back.way = eval.In
	}
	return back
}

// local reports whether an address is the host's.
func local(a netip.Addr) bool {
	for v := range own {
		if slices.Contains(own[v], a.String()) || slices.Contains(loops[v], a.String()) {
			return true
		}
	}
	return false
}

// known reports whether an address is one of those that are somebody's.
func known(a netip.Addr) bool {
	for v := range near {
		for _, list := range [][]string{near[v][0], near[v][1], own[v], loops[v]} {
			if slices.Contains(list, a.String()) {
				return true
			}
		}
	}
	return false
}

// answer sends a packet and gives the answer to it, nil if it came out nowhere or
// the answer would not be known for one.
func (w *world) answer(p *packet, byID map[uint16]*outcome) (*packet, error) {
	if _, err := w.wire.send(p); err != nil {
		return nil, err
	}
	if err := w.gather(byID); err != nil {
		return nil, err
	}
	o := byID[p.id]
	if len(o.arrivals) != 1 {
		return nil, nil
	}
	back := answerTo(p, o.arrivals[0])
	if back == nil {
		return nil, nil
	}
	for _, known := range []func() (bool, error){
		func() (bool, error) { return w.flows.has(p, false) },
		func() (bool, error) { return w.flows.has(back, true) },
	} {
		if ok, err := known(); !ok {
			return nil, err
		}
	}
	return back, nil
}
