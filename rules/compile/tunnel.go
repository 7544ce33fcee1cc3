package compile

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

// tunnel is what carries packets that rules look into (NFT_INNER_*).
type tunnel struct {
	number, header, flags uint32
	// family is how nft counts what is known of the packet in it: from its link
	// header, or from its network header on.
	family rules.Family
	// protocol is the tunnel's number in the IP header. UDP has to be named by the
	// rule itself, with the port.
	protocol uint64
	fields   []words.Field // of its own header, but for those of GRE
}

const (
	protocolUDP = 17
	protocolGRE = 47

	tunnelHeader = 4 // NFT_PAYLOAD_TUN_HEADER
)

// tunnels are those of nft 1.0.9, by name.
var tunnels = map[string]*tunnel{
	"vxlan": {1, 8, 0xf, rules.Bridge, protocolUDP, []words.Field{
		{Name: "flags", Type: words.Integer, Bits: 8}, {Name: "vni", Type: words.Integer, Offset: 32, Bits: 24}}},
	"geneve": {2, 8, 0xf, rules.Bridge, protocolUDP, []words.Field{
		{Name: "type", Type: words.EtherType, Offset: 16, Bits: 16}, {Name: "vni", Type: words.Integer, Offset: 32, Bits: 24}}},
	"gre":    {3, 4, 0xc, rules.Netdev, protocolGRE, nil},
	"gretap": {4, 4, 0xe, rules.Bridge, protocolGRE, nil},
}

// inside is what a rule is known to be about within a tunnel. It is never changed,
// but replaced: who takes a statement back has the one before.
type inside struct {
	tunnel *tunnel
	proto  protocols
}

// within has what f asks be asked of the packet in a tunnel.
func (r *rule) within(pos syntax.Pos, t *tunnel, f func() *node) *node {
	in := newProtocols(t.family)
	if was := r.proto.inside; was != nil && was.tunnel == t {
		in = was.proto
	} else {
		r.carries(pos, t)
	}
	outer := r.proto
	r.proto, r.tunnel = in, t
	defer func() {
		outer.inside = &inside{t, r.proto}
		r.proto, r.tunnel = outer, nil
	}()
	return f()
}

// carries sees to it that the rule is about packets that can be of a tunnel.
func (r *rule) carries(pos syntax.Pos, t *tunnel) {
	if t.protocol == protocolUDP {
		if r.proto.at[transport] != header("udp") {
			r.failf(pos, "a rule that looks into this tunnel has to name a port of udp before")
		}
		return
	}
	r.before(r.compareMeta(pos, "l4proto", t.protocol))
}

// carried is a field of the packet in a tunnel.
func (r *rule) carried(e *syntax.Payload) *node {
	t := tunnels[e.Tunnel]
	if t == nil {
		r.failf(e.Pos, "no tunnel %q", e.Tunnel)
	}
	if h := header(e.Protocol); h != nil && h.Base == link && t.family != rules.Bridge {
		r.failf(e.Pos, "%s carries no link header", e.Tunnel)
	}
	plain := *e
	plain.Tunnel = ""
	return r.within(e.Pos, t, func() *node { return r.payload(&plain) })
}

// ofTunnel is a field of a tunnel's own header.
func (r *rule) ofTunnel(e *syntax.Payload, t *tunnel) *node {
	for _, f := range t.fields {
		if f.Name != e.Field {
			continue
		}
		return r.within(e.Pos, t, func() *node {
			n := &node{kind: payload, pos: e.Pos, typ: f.Type, order: words.Network, bits: f.Bits, base: tunnelHeader, offset: f.Offset, raw: true, tunnel: t}
			r.primary(n)
			return r.trim(n)
		})
	}
	unsuref("inner", "the field %s of %s is not modelled", e.Field, e.Protocol)
	return nil
}

// compared takes over what equality tells of the packet, or of the one in the
// tunnel that is asked about.
func (r *rule) compared(left *node, value num) {
	in := r.proto.inside
	switch {
	case left.tunnel == nil:
		r.proto.compared(left, value)
	case in != nil && in.tunnel == left.tunnel:
		next := *in
		next.proto.compared(left, value)
		r.proto.inside = &next
	}
}

// ask is a load from the packet or, of a tunnel's, from the one in it.
func (n *node) ask(e rules.Expr) rules.Expr {
	if n.tunnel == nil {
		return e
	}
	return &rules.Inner{Type: n.tunnel.number, Flags: n.tunnel.flags, HdrSize: n.tunnel.header, Exprs: rules.Exprs{e}}
}
