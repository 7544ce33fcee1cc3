package compile

import (
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/wide"
	"github.com/portwhy/portwhy/rules/words"
)

// The keys that tell protocols, NFT_META_* and NFT_CT_*.
const (
	metaProtocol = 1
	metaIIFType  = 8
	metaNFProto  = 15
	metaL4Proto  = 16
	ctL3Proto    = 7
	ctProtocol   = 10
)

// newPayload is a field of a header before it is asked what it needs.
func newPayload(pos syntax.Pos, h *words.Header, f *words.Field) *node {
	return &node{kind: payload, pos: pos, typ: f.Type, order: words.Network, bits: f.Bits, protocol: saysProtocol(h, f),
		header: h, field: f, base: h.Base, offset: f.Offset, raw: h.Name == "th"}
}

func newMeta(pos syntax.Pos, k *words.Key) *node {
	n := &node{kind: meta, pos: pos, typ: k.Type, order: k.Order, bits: k.Bits, key: k.Number,
		expr: func(r rules.Reg) rules.Expr { return &rules.Meta{Key: k.Number, Reg: r} }}
	switch k.Number {
	case metaProtocol, metaIIFType, metaNFProto, metaL4Proto:
		n.protocol = true
	}
	if stringType(k.Type) {
		n.order = words.Network
	}
	return n
}

// need sees to it that a rule is about the header of a field before the field
// is loaded: it adds the comparisons that are missing in front of the statement
// (__expr_evaluate_payload), and moves a field behind stacked link headers.
func (r *rule) need(p *node) {
	if p.raw {
		return
	}
	base := int(p.base)
	at := r.proto.at[base]
	if at == nil {
		r.addDependency(p)
		if at = r.proto.at[base]; at == p.header {
			r.needMessage(p)
			return
		}
		if base == link {
			number, ok := numberOf(at, p.header)
			if !ok {
				r.conflict(p, at)
			}
			dep := r.linkDependency(p, number)
			p.offset += linkLength(r.proto.stacked[:min(1, len(r.proto.stacked))])
			r.before(dep)
			return
		}
	}
	if at == nil {
		r.failf(p.pos, "%s %s can't be used in family %s", p.header.Name, p.field.Name, r.proto.family)
	}
	if p.base == at.Base && base == transport && len(r.proto.transports) > 1 {
		r.conflict(p, at)
	}
	if at == p.header {
		if base == link {
			p.offset += linkLength(r.proto.stacked)
		}
		r.needMessage(p)
		return
	}
	if p.base == at.Base && r.settle(p, at) {
		return
	}
	r.conflict(p, at)
}

func (r *rule) conflict(p *node, at *words.Header) {
	r.failf(p.pos, "%s, but the rule is about %s until here", p.header.Name, at.Name)
}

// settle resolves a link header that differs from what the rule is about
// (resolve_protocol_conflict).
func (r *rule) settle(p *node, at *words.Header) bool {
	base := int(p.base)
	if base == link {
		if at == inetLink || at == netdevLink {
			if p.header.Name != "ether" && p.header.Name != "vlan" {
				return false
			}
			r.before(r.compareMeta(p.pos, "iiftype", 1))
			at = p.header
		} else {
			for _, h := range r.proto.stacked {
				if h == p.header {
					return true
				}
			}
		}
	}
	if base < transport && r.proto.at[base+1] != nil {
		return r.proto.at[base] == p.header
	}
	number, ok := numberOf(at, p.header)
	if !ok || base != link {
		return r.proto.at[base] == p.header
	}
	dep := r.linkDependency(p, number)
	p.offset += linkLength(r.proto.stacked)
	r.before(dep)
	return true
}

// linkDependency compares the type in the current link header.
func (r *rule) linkDependency(p *node, number uint64) *statement {
	at := r.proto.at[link]
	key, _ := protocolKey(at)
	if key == nil {
		r.conflict(p, at)
	}
	return r.compare(newPayload(p.pos, at, key), wide.Small(number))
}

// addDependency compares what stands below a header (payload_gen_dependency).
func (r *rule) addDependency(p *node) {
	base := int(p.base)
	if base < r.proto.lowest() {
		if base < r.proto.lowest()-1 || p.header.Name != "ether" && p.header.Name != "vlan" && p.header.Name != "ip" && p.header.Name != "ip6" && p.header.Name != "arp" {
			r.failf(p.pos, "%s can't be used in family %s", p.header.Name, r.proto.family)
		}
		r.before(r.compareMeta(p.pos, "iiftype", 1))
		return
	}
	var below *words.Header
	if base > link {
		below = r.proto.at[base-1]
	}
	if below == nil {
		below = r.specialDependency(p)
	}
	if below == nil {
		r.failf(p.pos, "%s needs a rule that says the protocol below it", p.header.Name)
	}
	// Bridge: the EtherType that the kernel keeps is right behind a VLAN tag, too.
	if r.proto.family == rules.Bridge && below.Name == "ether" && (p.header.Name == "ip" || p.header.Name == "ip6") {
		below = netdevLink
	}
	r.before(r.below(p.pos, below, p.header))
}

// specialDependency is for families that hold several network protocols.
func (r *rule) specialDependency(p *node) *words.Header {
	var family *words.Header
	switch r.proto.family {
	case rules.Inet:
		family = inetLink
	case rules.Bridge:
		family = header("ether")
	case rules.Netdev:
		family = netdevLink
	}
	switch int(p.base) {
	case network:
		return family
	case transport:
		upper := map[string]string{"icmp": "ip", "igmp": "ip", "icmpv6": "ip6"}[p.header.Name]
		if upper == "" {
			return service
		}
		at := r.proto.at[link]
		if at == nil {
			at = family
		}
		if at == nil {
			return service
		}
		r.before(r.below(p.pos, at, header(upper)))
		return header(upper)
	}
	return nil
}

// below compares the key of a header with the number of the one above.
func (r *rule) below(pos syntax.Pos, base, upper *words.Header) *statement {
	number, ok := numberOf(base, upper)
	if !ok {
		r.failf(pos, "%s can't stand above %s", upper.Name, base.Name)
	}
	if field, key := protocolKey(base); field != nil {
		return r.compare(newPayload(pos, base, field), wide.Small(number))
	} else if key != "" {
		return r.compareMeta(pos, key, number)
	}
	r.failf(pos, "%s can't stand above %s", upper.Name, base.Name)
	return nil
}

func (r *rule) compareMeta(pos syntax.Pos, key string, value uint64) *statement {
	return r.compare(newMeta(pos, words.KeyByName(words.MetaKeys, key)), wide.Small(value))
}

// compare is a comparison that the rule implies.
func (r *rule) compare(left *node, value num) *statement {
	left.tunnel = r.tunnel
	if left.kind == payload {
		r.need(left)
	}
	right := &node{kind: constant, pos: left.pos, typ: left.typ, order: left.order, bits: left.bits, n: value}
	if left.protocol {
		r.proto.compared(left, value)
	}
	return &statement{match: &relation{op: "==", left: left, right: right}}
}

// severalMessages stands for the ICMP types that have a field: more of them than a
// request and its reply.
const severalMessages = 256

// needMessage adds the ICMP type that a field belongs to (payload_gen_icmp_dependency).
func (r *rule) needMessage(p *node) {
	if p.field == nil || len(p.field.Messages) == 0 {
		return
	}
	want := uint64(p.field.Messages[0])
	if len(p.field.Messages) > 2 {
		want = severalMessages
	}
	if is := r.proto.icmp; is == want || want == severalMessages && is < severalMessages && slices.Contains(p.field.Messages, uint8(is)) {
		return
	}
	switch {
	case r.proto.icmp == 0 || r.proto.icmp == severalMessages:
	case want == severalMessages:
		unsuref("payload", "the rule names types of messages of which some have no %s %s", p.header.Name, p.field.Name)
	default:
		r.failf(p.pos, "%s %s is not in messages of type %d", p.header.Name, p.field.Name, r.proto.icmp)
	}
	r.proto.icmp = want
	kind := newPayload(p.pos, p.header, p.header.Field("type"))
	kind.tunnel = r.tunnel
	if len(p.field.Messages) == 1 {
		r.before(r.compare(kind, wide.Small(want)))
		return
	}
	lit := &node{kind: literal, pos: p.pos}
	for _, m := range p.field.Messages {
		lit.items = append(lit.items, item{key: &node{kind: constant, pos: p.pos, typ: kind.typ, order: words.Network, bits: 8, n: wide.Small(uint64(m))}})
	}
	r.before(&statement{match: &relation{op: "==", left: kind, right: r.anonymous(kind, nil, lit)}})
}
