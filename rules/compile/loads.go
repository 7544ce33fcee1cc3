package compile

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

func (r *rule) payload(e *syntax.Payload) *node {
	if e.Tunnel != "" {
		return r.carried(e)
	}
	h := header(e.Protocol)
	if h == nil {
		if t := tunnels[e.Protocol]; t != nil {
			return r.ofTunnel(e, t)
		}
		r.failf(e.Pos, "no protocol %q", e.Protocol)
	}
	f := h.Field(e.Field)
	for _, s := range words.ReadAs {
		if f == nil && s.Read == e.Protocol+" "+e.Field {
			f = h.Field(s.Printed[len(e.Protocol)+1:])
		}
	}
	if f == nil {
		r.failf(e.Pos, "%s has no field %q", e.Protocol, e.Field)
	}
	n := newPayload(e.Pos, h, f)
	n.tunnel = r.tunnel
	r.need(n)
	r.primary(n)
	return r.trim(n)
}

func (r *rule) rawPayload(e *syntax.RawPayload) *node {
	base, ok := map[string]uint32{"ll": link, "nh": network, "th": transport, "ih": inner}[e.Base]
	if !ok {
		r.failf(e.Pos, "no header %q: ll, nh, th or ih was expected", e.Base)
	}
	// The kernel keeps offsets in a byte (older ones) or 16 bits.
	if e.Len == 0 || e.Len > 128 || e.Offset > 8*65535 {
		r.failf(e.Pos, "1 to 128 bits within the packet were expected")
	}
	n := &node{kind: payload, pos: e.Pos, typ: words.Integer, order: words.Network, bits: int(e.Len), base: base, offset: int(e.Offset), raw: true}
	if base == transport && e.Len == 16 && (e.Offset == 0 || e.Offset == 16) {
		n.typ = words.InetService
	}
	r.primary(n)
	return r.trim(n)
}

// trim loads the whole bytes that a field of some bits lies in, and masks and
// shifts the rest away (expr_evaluate_bits).
func (r *rule) trim(n *node) *node {
	if n.offset%8 == 0 && n.bits%8 == 0 {
		return n
	}
	extra, shift := shiftOf(n.offset, n.bits)
	width := n.bits + shift
	mask := &node{kind: constant, pos: n.pos, typ: words.Integer, order: n.order, bits: width, n: wide.Ones(n.bits).Shl(shift)}
	whole := *n
	whole.bits += extra
	and := &node{kind: operation, pos: n.pos, typ: n.typ, order: n.order, bits: width, op: "&", left: &whole, right: mask}
	if shift == 0 {
		return and
	}
	by := &node{kind: constant, pos: n.pos, typ: words.Integer, order: words.Host, bits: 8, n: wide.Small(uint64(shift))}
	return &node{kind: operation, pos: n.pos, typ: n.typ, order: n.order, bits: width, op: ">>", left: and, right: by}
}

// shiftOf is how far a field of bits at an offset lies from the end of the last
// of the bytes that are loaded, and how many bits more than the field those are
// beyond rounding up (expr_offset_shift).
func shiftOf(offset, bits int) (extra, shift int) {
	shift = (bits+7)/8*8 - (offset%8 + bits)
	for shift < 0 {
		shift += 8
		extra += 8
	}
	return extra, shift
}

func (r *rule) option(e *syntax.Option) *node {
	n := r.optionField(e)
	r.primary(n)
	return r.trim(n)
}

// optionField is a field of an option, or with flags present whether it is there.
func (r *rule) optionField(e *syntax.Option) *node {
	if e.Kind == syntax.DCCPOption {
		if !e.Raw {
			r.failf(e.Pos, "an option of DCCP is known by its number")
		}
		return r.present(e.Pos, e.Number, 4)
	}
	op := uint32(e.Kind)
	switch e.Kind {
	case syntax.ExtensionHeader:
		r.needNetwork(e, "ip6")
	case syntax.IPOption:
		r.needNetwork(e, "ip")
	}
	if e.Raw {
		if e.Len == 0 || e.Len > 128 || e.Offset > 2048 {
			r.failf(e.Pos, "1 to 128 bits of the option were expected")
		}
		if e.Offset == 0 && e.Len == 8 {
			return r.present(e.Pos, e.Number, op)
		}
		return optionNode(e.Pos, e.Number, op, &words.Field{Type: words.Integer, Offset: int(e.Offset), Bits: int(e.Len)})
	}
	table := [][]*words.Option{words.ExtensionHeaders, words.TCPOptions, words.IPOptions, words.SCTPChunks}[e.Kind]
	o := words.OptionByName(table, e.Name)
	if o == nil {
		r.failf(e.Pos, "no option %q", e.Name)
	}
	if e.Field == "" {
		return r.present(e.Pos, o.Type, op)
	}
	f := o.Field(e.Field)
	if f == nil && e.Index < 2 {
		f = o.Field(e.Field + []string{"[1]", "[2]"}[e.Index])
	}
	if f == nil {
		r.failf(e.Pos, "%s has no field %q", e.Name, e.Field)
	}
	return optionNode(e.Pos, o.Type, op, f)
}

func (r *rule) needNetwork(e *syntax.Option, name string) {
	h := header(name)
	switch at := r.proto.at[network]; at {
	case h:
	case nil:
		below := r.proto.at[link]
		if below == nil {
			r.failf(e.Pos, "%s needs a rule that is about %s", e.Name, name)
		}
		r.first(r.below(e.Pos, below, h))
	default:
		r.failf(e.Pos, "an option of %s, but the rule is about %s until here", name, at.Name)
	}
}

// present asks whether there is an option: its first byte isn't looked at.
func (r *rule) present(pos syntax.Pos, kind uint8, op uint32) *node {
	n := optionNode(pos, kind, op, &words.Field{Type: words.Boolean, Bits: 8})
	n.key = 1
	return n
}

func optionNode(pos syntax.Pos, kind uint8, op uint32, f *words.Field) *node {
	n := &node{kind: option, pos: pos, typ: f.Type, order: words.Network, bits: f.Bits, offset: f.Offset, base: op}
	n.n = wide.Small(uint64(kind))
	return n
}

func (r *rule) metaKey(pos syntax.Pos, name string) *words.Key {
	switch name { // other words for the same
	case "ibriport", "ibridgename":
		name = "ibrname"
	case "obriport", "obridgename":
		name = "obrname"
	case "secpath":
		name = "ipsec"
	}
	k := words.KeyByName(words.MetaKeys, name)
	if k == nil {
		r.failf(pos, "meta has no key %q", name)
	}
	return k
}

func (r *rule) meta(e *syntax.Meta) *node {
	n := newMeta(e.Pos, r.metaKey(e.Pos, e.Key))
	if n.typ == words.Day {
		n.max = 6
	}
	return n
}

func (r *rule) ctKey(e *syntax.CT) (*words.Key, int8) {
	name := e.Key
	if e.Family != "" {
		name = e.Family + " " + name
	}
	k := words.KeyByName(words.CTKeys, name)
	if k == nil {
		r.failf(e.Pos, "ct has no key %q", name)
	}
	dir := int8(-1)
	if e.Dir != "" {
		v, ok := words.Find(words.Directions, e.Dir)
		if !ok {
			r.failf(e.Pos, "no direction %q: original or reply was expected", e.Dir)
		}
		// The kernel tells no direction of a protocol (nft_ct_get_dump).
		if k.Number != ctL3Proto && k.Number != ctProtocol {
			dir = int8(v)
		}
	}
	return k, dir
}

func (r *rule) ct(e *syntax.CT) *node {
	k, dir := r.ctKey(e)
	n := &node{kind: ct, pos: e.Pos, typ: k.Type, order: k.Order, bits: k.Bits, key: k.Number,
		protocol: k.Number == ctL3Proto || k.Number == ctProtocol,
		expr:     func(reg rules.Reg) rules.Expr { return &rules.CT{Key: k.Number, Dir: dir, Reg: reg} }}
	if n.typ == nil { // saddr, daddr: of the family that the rule is about
		switch at := r.proto.at[network]; {
		case at == header("ip"):
			n.typ, n.bits = words.IPv4Addr, 32
		case at == header("ip6"):
			n.typ, n.bits = words.IPv6Addr, 128
		default:
			r.failf(e.Pos, "ct %s needs ip or ip6 in front of it", e.Key)
		}
	}
	if stringType(n.typ) {
		n.order = words.Network
	}
	return n
}

func (r *rule) rt(e *syntax.RT) *node {
	name := e.Key
	if name == "nexthop" {
		family := e.Family
		if family == "" {
			at := r.proto.at[network]
			if at != header("ip") && at != header("ip6") {
				r.failf(e.Pos, "rt nexthop needs ip or ip6 in front of it")
			}
			family = at.Name
		}
		name = family + " nexthop"
	}
	k := words.KeyByName(words.RTKeys, name)
	if k == nil {
		r.failf(e.Pos, "rt has no key %q", name)
	}
	return &node{kind: load, pos: e.Pos, typ: k.Type, order: k.Order, bits: k.Bits, turned: true,
		expr: func(reg rules.Reg) rules.Expr { return &rules.RT{Key: k.Number, Dest: reg} }}
}

func (r *rule) fib(e *syntax.Fib) *node {
	result, ok := words.Find(words.FibResults, e.Result)
	if !ok {
		r.failf(e.Pos, "fib gives no %q: oif, oifname or type was expected", e.Result)
	}
	expr := &rules.Fib{Result: uint32(result)}
	for _, f := range e.Flags {
		bit, ok := words.Find(words.FibFlags, f)
		if !ok {
			r.failf(e.Pos, "fib can't look up by %q", f)
		}
		expr.Flags |= uint32(bit)
	}
	typ := words.FibResultTypes[expr.Result]
	n := &node{kind: load, pos: e.Pos, typ: typ, order: words.Host, bits: typ.Bits, fib: expr}
	if stringType(typ) {
		n.order, n.bits = words.Network, 128
	}
	n.expr = func(reg rules.Reg) rules.Expr {
		out := *expr
		out.Dest = reg
		return &out
	}
	if e.Present {
		r.askPresent(n)
	}
	return n
}

// askPresent makes fib tell only whether there is a result.
func (r *rule) askPresent(n *node) {
	n.fib.Flags |= words.FibPresent
	n.typ = words.Boolean
	n.order = words.Host
}

func (r *rule) socket(e *syntax.Socket) *node {
	k := words.KeyByName(words.SocketKeys, e.Key)
	if k == nil {
		r.failf(e.Pos, "socket has no key %q", e.Key)
	}
	if k.Type == words.CgroupV2 && !e.HasLevel {
		unsuref("socket", "JSON doesn't tell the level of socket cgroupv2")
	}
	level := e.Level
	n := &node{kind: load, pos: e.Pos, typ: k.Type, order: k.Order, bits: k.Bits,
		expr: func(reg rules.Reg) rules.Expr { return &rules.Socket{Key: k.Number, Level: level, Dest: reg} }}
	if k.Name == "transparent" || k.Name == "wildcard" {
		n.max = 1
	}
	return n
}

func (r *rule) osf(e *syntax.OSF) *node {
	expr := rules.OSF{}
	if e.TTL != "" {
		ttl, ok := words.Find(words.OSFTTL, e.TTL)
		if !ok {
			r.failf(e.Pos, "osf has no ttl %q", e.TTL)
		}
		expr.TTL = uint8(ttl)
	}
	switch e.Key {
	case "name":
	case "version":
		expr.Flags = 1 // NFT_OSF_F_VERSION
	default:
		r.failf(e.Pos, "osf has no key %q", e.Key)
	}
	return &node{kind: load, pos: e.Pos, typ: words.String, order: words.Network, bits: 128, expr: func(reg rules.Reg) rules.Expr {
		out := expr
		out.Dest = reg
		return &out
	}}
}

func (r *rule) ipsec(e *syntax.IPsec) *node {
	name := e.Key
	if name == "saddr" || name == "daddr" {
		family := e.Family
		if family == "" {
			family = "ip"
		}
		name = family + " " + name
	}
	k := words.KeyByName(words.IPsecKeys, name)
	if k == nil {
		r.failf(e.Pos, "ipsec has no key %q", name)
	}
	dir, ok := map[string]uint8{"in": 0, "out": 1}[e.Dir]
	if !ok || e.SPNum > 255 {
		r.failf(e.Pos, "a direction in or out and a number up to 255 were expected")
	}
	return &node{kind: load, pos: e.Pos, typ: k.Type, order: k.Order, bits: k.Bits,
		expr: func(reg rules.Reg) rules.Expr { return &rules.XFRM{Key: k.Number, Dir: dir, SPNum: e.SPNum, Dest: reg} }}
}

// chosen is the node of a number that the kernel makes up: its type is that of
// what it is written to, where that is a number of 32 bits.
func (r *rule) chosen(pos syntax.Pos, mod, offset uint32) *node {
	if mod == 0 || uint64(mod)+uint64(offset) > 1<<32 {
		r.failf(pos, "a modulus from 1 up to what 32 bits hold was expected")
	}
	n := &node{kind: load, pos: pos, typ: words.Integer, order: words.Host, bits: 32, max: uint64(mod) + uint64(offset) - 1}
	if t := r.ctx.typ; t != nil && t.Base == words.Integer && r.ctx.bits == 32 {
		n.typ = t
	}
	return n
}

func (r *rule) numgen(e *syntax.Numgen) *node {
	n := r.chosen(e.Pos, e.Mod, e.Offset)
	kind, ok := map[string]uint32{"inc": 0, "random": 1}[e.Mode]
	if !ok {
		r.failf(e.Pos, "numgen has no mode %q: inc or random was expected", e.Mode)
	}
	n.expr = func(reg rules.Reg) rules.Expr {
		return &rules.Numgen{Dest: reg, Modulus: e.Mod, Type: kind, Offset: e.Offset}
	}
	return r.primary(n)
}

func (r *rule) hash(e *syntax.Hash) *node {
	n := r.chosen(e.Pos, e.Mod, e.Offset)
	out := rules.Hash{Modulus: e.Mod, Offset: e.Offset, Type: 1}
	if e.Key != nil {
		r.ctx = context{}
		n.left = r.eval(e.Key)
		if n.left.known() {
			r.failf(e.Pos, "jhash needs a value of the packet")
		}
		out.Type, out.Len, out.Seed, out.HasSeed = 0, uint32(n.left.bytes()), e.Seed, e.HasSeed
	}
	n.expr = func(reg rules.Reg) rules.Expr {
		h := out
		h.Dest = reg
		return &h
	}
	return r.primary(n)
}
