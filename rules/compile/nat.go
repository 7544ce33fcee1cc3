package compile

import (
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

var addressTypes = map[rules.Family]*words.Type{rules.IP: words.IPv4Addr, rules.IP6: words.IPv6Addr}

// address is an address of a family to send the packet to.
func (r *rule) address(e syntax.Expr, family rules.Family) *node {
	typ := addressTypes[family]
	if typ == nil {
		r.failf(e.Position(), "ip or ip6 must be said in front of the address")
	}
	return r.arg(e, typ, words.Network, typ.Bits)
}

func (r *rule) port(e syntax.Expr) *node { return r.arg(e, words.InetService, words.Network, 16) }

// natFamily is the family of what a statement translates to, 0 if it isn't told
// (nat_evaluate_family).
func (r *rule) natFamily(pos syntax.Pos, written string) rules.Family {
	if written != "" {
		f, ok := rules.ParseFamily(written)
		if !ok || f != rules.IP && f != rules.IP6 {
			r.failf(pos, "no family %q: ip or ip6 was expected", written)
		}
		return f
	}
	switch r.proto.family {
	case rules.IP, rules.IP6:
		return r.proto.family
	case rules.Inet:
		switch r.proto.at[network] {
		case header("ip"):
			return rules.IP
		case header("ip6"):
			return rules.IP6
		}
		return 0
	}
	r.failf(pos, "addresses can't be translated in family %s", r.proto.family)
	return 0
}

// target is where a packet is sent.
type target struct {
	addr, port *node
	// both: the map for the address gives a port behind it. ranges: it gives a
	// first and a last one.
	both, ranges bool
	family       rules.Family
}

func (r *rule) nat(st *syntax.NAT) {
	t := target{family: r.natFamily(st.Pos, st.Family)}
	flags := r.flags(st.Pos, st.Flags, append([]words.Symbol{{Name: "netmap", Value: words.NATNetmap}}, words.NATFlags...))
	if st.Prefix {
		flags |= words.NATNetmap
	}
	if st.Addr != nil {
		if r.givesPort(st.Addr) {
			t.both = true
			typ := addressTypes[t.family]
			if typ == nil {
				r.failf(st.Pos, "ip or ip6 must be said in front of the address")
			}
			key := &node{kind: concat, bits: words32(typ.Bits)*32 + 32, parts: []*node{
				{kind: constant, typ: typ, order: words.Network, bits: typ.Bits},
				{kind: constant, typ: words.InetService, order: words.Network, bits: 16}}}
			r.ctx = context{bits: key.bits, key: key}
			t.addr = r.eval(st.Addr)
		} else {
			t.addr = r.address(st.Addr, t.family)
		}
		t.ranges = t.addr.kind == mapped && t.addr.set.ranges
	}
	if st.Port != nil {
		t.port = r.port(st.Port)
		flags |= words.NATPorts
	}
	switch st.Kind {
	case "snat", "dnat":
		out := rules.NAT{Family: t.family, Flags: flags}
		if out.Family == 0 || t.addr == nil && r.proto.family == rules.Inet {
			out.Family = rules.Inet
		}
		if st.Kind == "dnat" {
			out.Type = 1
		}
		r.add(&statement{emit: func(g *emitter) { g.nat(out, t) }})
	case "masquerade", "redirect":
		if t.addr != nil {
			r.failf(st.Pos, "%s takes no address", st.Kind)
		}
		r.add(&statement{emit: func(g *emitter) {
			min, max, has := g.ports(t)
			if st.Kind == "masquerade" {
				g.add(&rules.Masq{Flags: flags, ProtoMin: min, HasProtoMin: has, ProtoMax: max, HasProtoMax: has})
			} else {
				g.add(&rules.Redir{Flags: flags, ProtoMin: min, HasProtoMin: has, ProtoMax: max, HasProtoMax: has})
			}
		}})
	default:
		r.failf(st.Pos, "no translation %q", st.Kind)
	}
}

// givesPort reports whether a map gives an address and a port.
func (r *rule) givesPort(e syntax.Expr) bool {
	m, ok := e.(*syntax.Map)
	if !ok {
		return false
	}
	switch d := m.Data.(type) {
	case *syntax.SetRef:
		s := r.named(d.Pos, d.Name)
		return s.data != nil && s.data.kind == concat
	case *syntax.SetLiteral:
		for _, i := range d.Items {
			if pair, ok := i.(*syntax.Mapping); ok {
				if _, ok := pair.Value.(*syntax.Concat); ok {
					return true
				}
			}
		}
	}
	return false
}

// bounds loads the first and last of a range, which are one for a single value
// (as the kernel has it where no last one is given). The registers of a range
// are taken before either is loaded.
func (g *emitter) bounds(n *node) (min, max rules.Reg) {
	min = g.take(nil)
	if n.kind != span {
		g.value(n, min)
		return min, min
	}
	max = g.take(nil)
	g.value(n.left, min)
	g.value(n.right, max)
	return min, max
}

func (g *emitter) ports(t target) (min, max rules.Reg, has bool) {
	if t.port == nil {
		return 0, 0, false
	}
	free := g.free
	min, max = g.bounds(t.port)
	g.free = free
	return min, max, true
}

// nat is netlink_gen_nat_stmt.
func (g *emitter) nat(out rules.NAT, t target) {
	free := g.free
	if t.addr != nil {
		out.HasAddrMin, out.HasAddrMax = true, true
		out.AddrMin, out.AddrMax = g.bounds(t.addr)
		width := rules.Reg(1)
		if t.family == rules.IP6 {
			width = 4
		}
		at := out.AddrMin
		switch {
		case t.ranges && t.both: // address, port, address, port
			out.ProtoMin, out.AddrMax, out.ProtoMax = at+width, at+width+1, at+2*width+1
			out.HasProtoMin, out.HasProtoMax = true, true
		case t.ranges:
			out.AddrMax = at + width
		case t.both:
			out.ProtoMin, out.ProtoMax = at+width, at+width
			out.HasProtoMin, out.HasProtoMax = true, true
		}
	}
	if t.port != nil {
		out.ProtoMin, out.ProtoMax = g.bounds(t.port)
		out.HasProtoMin, out.HasProtoMax = true, true
	}
	g.free = free
	// What the kernel adds itself (nft_nat_init).
	if out.HasAddrMin {
		out.Flags |= words.NATMapIPs
	}
	if out.HasProtoMin {
		out.Flags |= words.NATPorts
	}
	g.add(&out)
}

// looksUpProtocol reports whether the rule looks the transport protocol up in a
// set with a name.
func (r *rule) looksUpProtocol() bool {
	return slices.ContainsFunc(r.list, func(s *statement) bool {
		return s.match != nil && s.match.left.kind == meta && s.match.left.key == metaL4Proto && s.match.right.kind == setRef
	})
}

func (r *rule) tproxy(st *syntax.TProxy) {
	out := rules.TProxy{}
	if st.Family != "" || r.proto.family != rules.Inet {
		out.Family = r.natFamily(st.Pos, st.Family)
	}
	if r.proto.at[transport] == nil && !r.looksUpProtocol() {
		r.failf(st.Pos, "tproxy needs a rule that is about a transport protocol")
	}
	if st.Addr == nil && st.Port == nil {
		r.failf(st.Pos, "tproxy needs an address or a port")
	}
	var addr, port *node
	if st.Addr != nil {
		addr = r.address(st.Addr, out.Family)
	}
	if st.Port != nil {
		port = r.port(st.Port)
	}
	for _, n := range []*node{addr, port} {
		if n != nil && n.kind == span {
			r.failf(st.Pos, "tproxy takes no range")
		}
	}
	r.add(&statement{emit: func(g *emitter) {
		free, e := g.free, out
		if addr != nil {
			e.Addr, _ = g.bounds(addr)
			e.HasAddr = true
		}
		if port != nil {
			e.Port, _ = g.bounds(port)
			e.HasPort = true
		}
		g.free = free
		g.add(&e)
	}})
}

func (r *rule) dup(st *syntax.Dup) {
	if st.Addr == nil {
		r.failf(st.Pos, "dup needs where to")
	}
	if r.proto.family == rules.Netdev {
		dev := r.device32(st.Addr)
		r.write(dev, func(reg rules.Reg) rules.Expr { return &rules.Dup{Dev: reg, HasDev: true} })
		return
	}
	addr := r.address(st.Addr, r.proto.family)
	var dev *node
	if st.Dev != nil {
		dev = r.device32(st.Dev)
	}
	r.add(&statement{emit: func(g *emitter) {
		free, e := g.free, &rules.Dup{HasAddr: true}
		e.Addr = g.take(addr)
		g.value(addr, e.Addr)
		if dev != nil {
			e.HasDev, e.Dev = true, g.take(dev)
			g.value(dev, e.Dev)
		}
		g.free = free
		g.add(e)
	}})
}

func (r *rule) device32(e syntax.Expr) *node { return r.arg(e, words.IfaceIndex, words.Host, 32) }

func (r *rule) fwd(st *syntax.Fwd) {
	if r.proto.family != rules.Netdev || st.Dev == nil {
		r.failf(st.Pos, "fwd needs a device, and family netdev")
	}
	dev := r.device32(st.Dev)
	out := rules.Fwd{HasAddr: st.Addr != nil}
	var addr *node
	if st.Addr != nil {
		out.Family = r.natFamilyWritten(st.Pos, st.Family)
		addr = r.address(st.Addr, out.Family)
	}
	r.add(&statement{emit: func(g *emitter) {
		free, e := g.free, out
		e.Dev = g.take(dev)
		g.value(dev, e.Dev)
		if addr != nil {
			e.Addr = g.take(addr)
			g.value(addr, e.Addr)
		}
		g.free = free
		g.add(&e)
	}})
}

func (r *rule) natFamilyWritten(pos syntax.Pos, written string) rules.Family {
	if written == "" {
		r.failf(pos, "a family was expected: ip or ip6")
	}
	return r.natFamily(pos, written)
}

func (r *rule) queue(st *syntax.Queue) {
	out := rules.QueueTo{Total: 1, Flags: uint16(r.flags(st.Pos, st.Flags, []words.Symbol{{Name: "bypass", Value: 1}, {Name: "fanout", Value: 2}}))}
	if st.Num == nil {
		r.emit(&out)
		return
	}
	n := r.arg(st.Num, words.Integer, words.Host, 16)
	switch n.kind {
	case constant, span:
		from, to := n.bounds()
		out.Num, out.Total = uint16(from.Lo), uint16(to.Lo-from.Lo+1)
		r.emit(&out)
		return
	}
	r.write(n, func(reg rules.Reg) rules.Expr {
		return &rules.QueueTo{Source: reg, HasSource: true, Flags: out.Flags}
	})
}
