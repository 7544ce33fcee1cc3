package compile

import (
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// Where headers start, NFT_PAYLOAD_*.
const (
	link = iota
	network
	transport
	inner
)

// Protocols that have no header of their own: what stands below a header that
// the rule's family leaves open. nft calls them by the same names.
var (
	inetLink   = &words.Header{Name: "inet", Base: link}
	netdevLink = &words.Header{Name: "netdev", Base: link}
	service    = &words.Header{Name: "inet-service", Base: transport}
	unknownHdr = &words.Header{Name: "unknown"}
)

func header(name string) *words.Header { return words.HeaderByName(name) }

// transports are the protocols that nft knows above ip, ip6, and ah and comp
// (fewer).
var (
	transports = []string{"esp", "ah", "comp", "udp", "udplite", "tcp", "dccp", "sctp", "icmp", "igmp", "icmpv6"}
	inAH       = transports[:8]
	inLink     = []string{"ip", "arp", "ip6", "vlan"}
)

// above finds the protocol that a number in the header below stands for, nil if
// none is known. EtherTypes are in host order.
func above(base *words.Header, number uint64) *words.Header {
	var names []string
	switch base.Name {
	case "inet":
		switch rules.Family(number) {
		case rules.IP:
			return header("ip")
		case rules.IP6:
			return header("ip6")
		}
		return nil
	case "netdev", "ether", "vlan":
		names = inLink
		if number == 0x88a8 { // 802.1ad
			return header("vlan")
		}
	case "ip", "ip6", "inet-service":
		names = transports
	case "ah", "comp":
		names = inAH
	}
	for _, name := range names {
		if h := header(name); uint64(h.Number) == number {
			return h
		}
	}
	return nil
}

// numberOf is the reverse of above.
func numberOf(base, upper *words.Header) (uint64, bool) {
	n := uint64(upper.Number)
	if base == inetLink {
		n = uint64(upper.NFProto)
	}
	return n, upper.Number >= 0 && above(base, n) == upper
}

// protocolKey is the field of a header that says what is above it. Of ip, ip6
// and what has no header it is a key of meta.
func protocolKey(h *words.Header) (*words.Field, string) {
	switch h.Name {
	case "inet":
		return nil, "nfproto"
	case "netdev":
		return nil, "protocol"
	case "ip", "ip6", "inet-service":
		return nil, "l4proto"
	case "ether", "vlan", "icmp", "icmpv6":
		return h.Field("type"), ""
	case "ah", "comp":
		return h.Field("nexthdr"), ""
	}
	return nil, ""
}

// saysProtocol reports whether comparing a field tells the protocol above.
func saysProtocol(h *words.Header, f *words.Field) bool {
	if h.Name == "ip" {
		return f.Name == "protocol"
	}
	if h.Name == "ip6" {
		return f.Name == "nexthdr"
	}
	key, _ := protocolKey(h)
	return key == f
}

// protocols is what a rule is known to be about, so far: the protocol at each
// base, as nft's proto_ctx. What it lacks, a dependency is added for.
type protocols struct {
	family rules.Family
	at     [3]*words.Header
	// transports are all that the rule has named for the transport base: with
	// more than one, none of their fields can be used.
	transports []*words.Header
	// stacked are the link headers below the current one (ether below vlan).
	stacked []*words.Header
	// icmp is the ICMP type that was compared, 0 if none was.
	icmp uint64
	// inside is what is known within a tunnel, nil for nothing.
	inside *inside
}

func newProtocols(f rules.Family) protocols {
	p := protocols{family: f}
	switch f {
	case rules.IP:
		p.at[network] = header("ip")
	case rules.IP6:
		p.at[network] = header("ip6")
	case rules.ARP:
		p.at[network] = header("arp")
	case rules.Inet:
		p.at[link] = inetLink
	case rules.Bridge:
		p.at[link] = header("ether")
	case rules.Netdev:
		p.at[link] = netdevLink
	}
	return p
}

// lowest is the base at which the family's hooks start.
func (p *protocols) lowest() int {
	if p.family == rules.IP || p.family == rules.IP6 || p.family == rules.ARP {
		return network
	}
	return link
}

// hookHeader is the protocol that a family starts with.
func (p *protocols) hookHeader() *words.Header {
	fresh := newProtocols(p.family)
	return fresh.at[p.lowest()]
}

func (p *protocols) set(base int, h *words.Header) {
	if base > transport {
		return
	}
	if base == transport && !slices.Contains(p.transports, h) {
		p.transports = append(p.transports, h)
	}
	p.at[base] = h
}

// compared takes over what is known after a field or key was found equal to a
// value (relational_expr_pctx_update and what it calls).
func (p *protocols) compared(left *node, value num) {
	n := value.Lo
	switch left.kind {
	case payload:
		p.comparedField(left, n)
	case meta:
		p.comparedMeta(left.key, n)
	case ct:
		base := network
		if left.key == ctL3Proto {
			base = link
		}
		if below := p.at[base]; below != nil {
			if h := above(below, n); h != nil {
				p.set(base+1, h)
			}
		}
	}
}

func (p *protocols) comparedField(left *node, n uint64) {
	base := p.at[left.base]
	if base == nil {
		return
	}
	h := above(base, n)
	if h == nil {
		switch base.Name {
		case "icmp":
			// 0 is a reply to echo: it counts as the request, which has the same fields.
			if n == 0 {
				n = 8
			}
			p.icmp = n
		case "icmpv6":
			if n == 129 {
				n = 128
			}
			p.icmp = n
		}
		return
	}
	if h.Base == base.Base && h.Base == link && !left.raw {
		p.stacked = append(p.stacked, base)
	}
	p.set(int(h.Base), h)
}

func (p *protocols) comparedMeta(key uint32, n uint64) {
	or := func(h *words.Header) *words.Header {
		if h == nil {
			return unknownHdr
		}
		return h
	}
	switch key {
	case metaIIFType:
		if p.lowest() < network && p.family != rules.Inet && p.family != rules.Netdev {
			return
		}
		if n == 1 { // ARPHRD_ETHER
			p.set(link, header("ether"))
		} else {
			p.set(link, unknownHdr)
		}
	case metaNFProto:
		h := above(p.hookHeader(), n)
		if h == nil && rules.Family(n) == p.family && p.lowest() == network {
			h = p.hookHeader()
		}
		p.set(network, or(h))
	case metaL4Proto:
		p.set(transport, or(above(service, n)))
	case metaProtocol:
		if p.family == rules.Netdev || p.family == rules.Bridge {
			p.set(network, or(above(p.hookHeader(), n)))
		}
	}
}

// linkLength is how long the link headers below the current one are, in bits.
func linkLength(stack []*words.Header) int {
	bits := 0
	for _, h := range stack {
		switch h.Name {
		case "ether":
			bits += 112
		case "vlan":
			bits += 32
		}
	}
	return bits
}
