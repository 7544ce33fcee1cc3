package text

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// Where the family alone says what a packet's first header is, or where it is
// not known, these stand for it.
var (
	inetHeader   = &words.Header{Name: "inet"}
	netdevHeader = &words.Header{Name: "netdev"}
	unknown      = &words.Header{Name: "unknown"}

	ether  = words.HeaderByName("ether")
	vlan   = words.HeaderByName("vlan")
	arp    = words.HeaderByName("arp")
	ip     = words.HeaderByName("ip")
	ip6    = words.HeaderByName("ip6")
	icmp   = words.HeaderByName("icmp")
	icmpv6 = words.HeaderByName("icmpv6")
	igmp   = words.HeaderByName("igmp")
	ah     = words.HeaderByName("ah")
	comp   = words.HeaderByName("comp")
	th     = words.HeaderByName("th")
)

var transports = func() (all [256]*words.Header) {
	for _, h := range words.Headers {
		if h.Base == 2 && h.Number >= 0 {
			all[h.Number] = h
		}
	}
	return all
}()

// upper is the header that a protocol's number means behind another header.
func upper(below *words.Header, number uint64) *words.Header {
	switch below {
	case inetHeader:
		switch number {
		case uint64(rules.IP):
			return ip
		case uint64(rules.IP6):
			return ip6
		}
	case ether, vlan, netdevHeader:
		switch number {
		case 0x0800:
			return ip
		case 0x0806:
			return arp
		case 0x86dd:
			return ip6
		case 0x8100, 0x88a8:
			return vlan
		}
	case ip, ip6, ah, comp:
		if number > 255 {
			return nil
		}
		h := transports[number]
		if (below == ah || below == comp) && (h == icmp || h == icmpv6 || h == igmp) {
			return nil
		}
		return h
	}
	return nil
}

// length is how long a link header is, in bits, for what may stand behind it.
func length(h *words.Header) int {
	switch h {
	case ether:
		return 112
	case vlan:
		return 32
	}
	return 0
}

func saysProtocol(h *words.Header, f *words.Field) bool {
	switch f.Name {
	case "type":
		return h == ether || h == vlan || h == icmp || h == icmpv6
	case "protocol":
		return h == ip
	case "nexthdr":
		return h == ip6 || h == ah || h == comp
	}
	return false
}

// context is what the rule so far has told of the packet: which headers it has,
// and which comparisons said so. Those are left out when a later field of the
// header implies them.
type context struct {
	family   rules.Family
	hook     *words.Header // the header known from the family, and its base
	hookBase int
	headers  [3]*words.Header
	stacked  []*words.Header // link headers before the last one
	icmpType uint64
	hasICMP  bool

	// deps are the comparisons that may be left out, by the base whose header
	// implies them; the last is for headers behind the transport header.
	deps     [4]*stmt
	depICMP  uint64
	prev     *stmt
	inKey    bool // in a concatenation or a set's key
	pending  []*stmt
	current  *stmt
	replaced bool
}

func newContext(f rules.Family) *context {
	c := &context{family: f, hookBase: 1}
	switch f {
	case rules.Bridge:
		c.hook, c.hookBase = ether, 0
	case rules.Netdev:
		c.hook, c.hookBase = netdevHeader, 0
	case rules.Inet:
		c.hook, c.hookBase = inetHeader, 0
	case rules.IP:
		c.hook = ip
	case rules.IP6:
		c.hook = ip6
	case rules.ARP:
		c.hook = arp
	}
	c.headers[c.hookBase] = c.hook
	return c
}

func (c *context) header(base uint32) *words.Header {
	if base > 2 {
		return nil
	}
	return c.headers[base]
}

// behind finds the link header that an offset lies in, and where that starts.
func (c *context) behind(top *words.Header, p *node) (*words.Header, int) {
	if p.base != 0 || p.offset < length(top) {
		return top, 0
	}
	offset, total := p.offset, 0
	for _, h := range c.stacked {
		l := length(h)
		if offset < l {
			return h, total
		}
		offset -= l
		total += l
	}
	return top, total
}

// foreign says that a field belongs to ICMP messages of another type.
func (c *context) foreign(f *words.Field) bool {
	return f.Messages != nil && c.hasICMP && c.icmpType != uint64(f.Messages[0])
}

// complete names the field that a raw payload is, if its header is known.
func (c *context) complete(p *node) {
	h := c.header(p.base)
	if h == nil || h == inetHeader {
		return
	}
	h, skip := c.behind(h, p)
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Offset == p.offset-skip && f.Bits == p.bits && !c.foreign(f) {
			p.typ, p.header, p.field = f.Type, h, f
			return
		}
	}
}

// trim finds the field that a mask cuts out of a payload, which becomes that
// field. The mask is then implied, and what is compared shifted by shift.
func (c *context) trim(p *node, mask *node) (shift int, ok bool) {
	h := c.header(p.base)
	if h == nil {
		return 0, false
	}
	maskOffset := mask.n.Scan1(0)
	maskLen := mask.n.Scan0(maskOffset + 1)
	h, skip := c.behind(h, p)
	off := (mask.bits+7)/8*8 - maskLen
	at, left, total := p.offset-skip+off, p.bits, 0
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Offset != at {
			continue
		}
		if f.Bits > left {
			return 0, false
		}
		left -= f.Bits
		at += f.Bits
		total += f.Bits
		if left == 0 {
			return 0, false
		}
		if maskOffset+total == maskLen {
			p.offset += off
			p.bits = total
			return maskOffset, true
		}
	}
	return 0, false
}

func fieldNode(h *words.Header, f *words.Field, offset int) *node {
	return &node{kind: payload, header: h, field: f, base: h.Base, offset: offset, bits: f.Bits, typ: f.Type,
		order: words.Network, protocol: saysProtocol(h, f)}
}

// rawPayload is a payload without a name, but for the ports, whose place is
// the same in all transport headers.
func rawPayload(base uint32, offset, bits int) *node {
	p := &node{kind: payload, base: base, offset: offset, bits: bits, typ: rawInteger}
	if base == 2 && bits == 16 && (offset == 0 || offset == 16) {
		p.header, p.field, p.typ = th, &th.Fields[offset/16], words.InetService
	}
	return p
}

// expand takes a payload apart that covers several fields: nft loads adjacent
// ones at once.
func (c *context) expand(p *node) []*node {
	var parts []*node
	offset, rest := p.offset, p.bits
	if h := c.header(p.base); h != nil && h != unknown {
		var skip int
		h, skip = c.behind(h, p)
		offset -= skip
		for i := range h.Fields {
			f := &h.Fields[i]
			if f.Offset != offset || c.foreign(f) {
				continue
			}
			part := fieldNode(h, f, offset+skip)
			if f.Bits > rest {
				part.bits = rest
				return append(parts, part)
			}
			parts = append(parts, part)
			offset += f.Bits
			if rest -= f.Bits; rest == 0 {
				return parts
			}
		}
	}
	return append(parts, rawPayload(p.base, offset, rest))
}

func (c *context) exists(base int) bool {
	return c.deps[base] != nil || base == 2 && c.deps[3] != nil
}

func (c *context) dependency(base int) *stmt {
	if c.deps[base] == nil && base == 2 {
		return c.deps[3]
	}
	return c.deps[base]
}

func (c *context) release(base int) {
	if c.deps[base] == nil && base == 2 {
		base = 3
	}
	d := c.deps[base]
	if d == nil {
		return
	}
	d.dead = true
	if d == c.prev {
		c.prev = nil
	}
	c.deps[base] = nil
}

func (c *context) reset() {
	c.deps = [4]*stmt{}
	c.depICMP = 0
	c.prev = nil
}

// store notes a comparison that tells which header follows that at base.
func (c *context) store(s *stmt, base int) {
	l, r := s.expr.left, s.expr.right
	if l.kind == payload && r.kind == value && r.bits == 8 {
		t := r.n.Lo
		switch l.header {
		case icmp:
			if t == 0 {
				t = 8
			}
			if c.depICMP = t; t == 8 {
				return
			}
		case icmpv6:
			if c.depICMP = t; t == 128 || t == 129 {
				return
			}
		}
	}
	c.deps[base+1] = s
}

// kill leaves out what a payload implies.
func (c *context) kill(p *node) {
	if p.header == nil || p.base > 2 || !c.exists(int(p.base)) || !c.implied(p) {
		return
	}
	c.release(int(p.base))
}

func (c *context) implied(p *node) bool {
	d := c.dependency(int(p.base)).expr
	l := d.left
	switch c.family {
	case rules.Bridge, rules.Netdev, rules.Inet:
		if l.kind != payload {
			break
		}
		// `ip protocol` and `ip6 nexthdr` say more than the transport protocol.
		if l.base == 1 && (l.header == ip || l.header == ip6) && p.base == 2 {
			return false
		}
		if d.op == eq && p.base == l.base {
			if p.protocol {
				return false
			}
			if p.base == 0 {
				if l.header == vlan {
					return false
				}
				if l.header == ether && d.right.kind == value && d.right.bits == 16 {
					return d.right.n.Lo == 0x8100
				}
				return true
			}
		}
	}
	if p.base != 2 || l.kind != payload || l.base != 2 {
		return true
	}
	if l.header == icmp || l.header == icmpv6 {
		return p.field != nil && p.field.Messages != nil && l.header == p.header && c.depICMP == uint64(p.field.Messages[0])
	}
	return true
}

// learn takes in what an equality with a protocol's number says.
func (c *context) learn(l, r *node) {
	if !l.protocol || r.kind != value {
		return
	}
	v := r.n.Lo
	switch l.kind {
	case payload:
		below := c.header(l.base)
		h := upper(below, v)
		if h == nil {
			switch below {
			case icmp:
				if v == 0 {
					v = 8
				}
				c.icmpType, c.hasICMP = v, true
			case icmpv6:
				if v == 129 {
					v = 128
				}
				c.icmpType, c.hasICMP = v, v != 0
			}
			return
		}
		if h.Base == below.Base && h.Base == 0 && len(c.stacked) < 16 {
			c.stacked = append(c.stacked, below)
		}
		c.headers[h.Base] = h
	case meta:
		c.learnMeta(l.key, v)
	case ct:
		base := map[uint32]uint32{ctL3Proto: 0, ctProtocol: 1}[l.key]
		if below := c.headers[base]; below != nil {
			if h := upper(below, v); h != nil {
				c.headers[base+1] = h
			}
		}
	}
}

// Keys of meta and ct that say what header follows.
const (
	metaProtocol, metaIIFType, metaNFProto, metaL4Proto = 1, 8, 15, 16
	ctL3Proto, ctSaddr, ctDaddr, ctProtocol             = 7, 8, 9, 10
)

func (c *context) learnMeta(key uint32, v uint64) {
	orUnknown := func(h *words.Header) *words.Header {
		if h == nil {
			return unknown
		}
		return h
	}
	switch key {
	case metaIIFType:
		if c.hookBase < 1 && c.family != rules.Inet && c.family != rules.Netdev {
			return
		}
		if c.headers[0] = unknown; v == 1 {
			c.headers[0] = ether
		}
	case metaNFProto:
		h := upper(c.hook, v)
		if h == nil && v == uint64(c.family) && c.hookBase == 1 {
			h = c.hook
		}
		c.headers[1] = orUnknown(h)
	case metaL4Proto:
		c.headers[2] = orUnknown(upper(ip, v))
	case metaProtocol:
		if c.family == rules.Netdev || c.family == rules.Bridge {
			// The protocol is named for the network header; vlan is not one.
			c.headers[1] = orUnknown(upper(c.hook, v))
		}
	}
}
