package text

import (
	"encoding/binary"
	"fmt"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// tunnels are those whose packets nft looks into, by the type of inner.
var tunnels = map[uint32]*words.Header{
	1: {Name: "vxlan", Fields: []words.Field{{Name: "flags", Type: words.Integer, Bits: 8}, {Name: "vni", Type: words.Integer, Offset: 32, Bits: 24}}},
	2: {Name: "geneve", Fields: []words.Field{{Name: "type", Type: words.EtherType, Offset: 16, Bits: 16}, {Name: "vni", Type: words.Integer, Offset: 32, Bits: 24}}},
	3: {Name: "gre"},
	4: {Name: "gretap"},
}

// carried is what a rule has told of the packet in a tunnel.
type carried struct {
	tunnel  uint32
	headers [3]*words.Header
	said    [3]*stmt // which comparison did
}

// inner reads a load from the packet that a tunnel carries.
func (r *reader) inner(e *rules.Inner) bool {
	tunnel := tunnels[e.Type]
	if tunnel == nil || len(e.Exprs) != 1 {
		return false
	}
	if r.carried.tunnel != e.Type {
		r.carried = carried{tunnel: e.Type}
	}
	n := &node{kind: fixed, tunnel: e.Type, order: words.Network}
	switch x := e.Exprs[0].(type) {
	case *rules.Meta:
		k := words.KeyByNumber(words.MetaKeys, x.Key)
		if k == nil || x.Write || x.Key != metaProtocol && x.Key != metaL4Proto {
			return false
		}
		n.keyed(tunnel.Name+" meta ", k)
		n.key = x.Key
		return r.put(x.Reg, n)
	case *rules.Payload:
		const tunnelHeader = 4
		if x.Write || x.Len == 0 || x.Len > 16 || x.Offset > 1<<16 || x.Base > tunnelHeader || x.Base == 3 {
			return false
		}
		h := tunnel
		switch x.Base {
		case 0:
			h = ether
		case 1, 2:
			h = r.carried.headers[x.Base]
			r.implied(h, x.Base)
		}
		offset, bits := 8*int(x.Offset), 8*int(x.Len)
		n.bits, n.typ = bits, rawInteger
		n.text = fmt.Sprintf("%s @%s,%d,%d", tunnel.Name, [...]string{"ll", "nh", "th", "ih", "tun"}[x.Base], offset, bits)
		for i := range fieldsOf(h) {
			f := &h.Fields[i]
			// The start of an address is a prefix.
			if f.Offset == offset && (f.Bits == bits || f.Bits > bits && f.Type != nil && f.Type.Prefix) {
				n.text, n.typ, n.bits = tunnel.Name+" "+h.Name+" "+f.Name, f.Type, f.Bits
				if h == tunnel {
					n.text = tunnel.Name + " " + f.Name
				}
				break
			}
		}
		return r.put(x.Reg, n)
	}
	return false
}

func fieldsOf(h *words.Header) []words.Field {
	if h == nil {
		return nil
	}
	return h.Fields
}

// implied leaves out the comparison that a header of the packet in the tunnel
// implies; that of ICMP implies which protocol is below it, too.
func (r *reader) implied(h *words.Header, base uint32) {
	if h == nil {
		return
	}
	kill := func(base uint32) {
		if s := r.carried.said[base]; s != nil {
			s.dead = true
			r.carried.said[base] = nil
		}
	}
	kill(base)
	if h == icmp || h == icmpv6 {
		kill(1)
	}
}

// learnInner takes in what an equality says of the packet in a tunnel.
func (r *reader) learnInner(left *node, data []byte) {
	if left.tunnel == 0 || left.tunnel != r.carried.tunnel || len(r.stmts) == 0 {
		return
	}
	s := r.stmts[len(r.stmts)-1]
	var h *words.Header
	base := uint32(1)
	switch {
	case left.key == metaL4Proto && len(data) == 1:
		base, h = 2, upper(ip, uint64(data[0]))
	case (left.key == metaProtocol || left.typ == words.EtherType) && len(data) == 2:
		h = upper(ether, uint64(binary.BigEndian.Uint16(data)))
	}
	if h != nil && h.Base == base {
		r.carried.headers[base], r.carried.said[base] = h, s
	}
}
