package firewall

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// curiosity is what a ruleset asks of a packet that nobody tells who describes it:
// its hop limit, how long it is and what it carries. Few rulesets do, and to look
// out for bytes that are not known makes the way past many rules longer.
type curiosity struct{ hops, length, contents bool }

// curious looks through all rules.
func curious(set *rules.Ruleset) (c curiosity) {
	var scratch rules.Scratch
	for _, t := range set.Tables {
		for _, chain := range t.Chains {
			for _, r := range chain.Rules {
				exprs := r.Exprs
				for e := exprs.Next(&scratch); e != nil; e = exprs.Next(&scratch) {
					c.of(e)
				}
			}
		}
	}
	return c
}

// Bases of a payload expression, NFT_PAYLOAD_*, and the key of meta length.
const (
	networkHeader = 1
	innerHeader   = 3
	metaLength    = 0
)

func (c *curiosity) of(e rules.Expr) {
	switch e := e.(type) {
	case *rules.Payload:
		c.payload(int(e.Offset), int(e.Offset+e.Len), e.Base)
	case *rules.Meta:
		c.length = c.length || e.Key == metaLength
	case *rules.Inner:
		*c = curiosity{true, true, true}
	case *rules.Match:
		switch e.Ext {
		case "ttl", "hl":
			c.hops = true
		case "length":
			c.length = true
		case "string", "u32", "bpf":
			*c = curiosity{true, true, true}
		}
	}
}

// payload is of the bytes of a header. An address of IPv6 begins where IPv4 has
// its TTL.
func (c *curiosity) payload(from, to int, base uint32) {
	covers := func(at int) bool { return from <= at && at < to }
	switch {
	case base == networkHeader:
		c.length = c.length || covers(2) || covers(3) || covers(4) || covers(5)
		c.hops = c.hops || covers(7) || covers(8) && to-from < 16
	case base >= innerHeader:
		c.contents = true
	case base == transportHeader && to > 4:
		c.length = c.length || from < 8
		c.contents = true
	}
}

// carried is how many bytes a packet carries of which nothing is known.
const carried = 512

// forget says which bytes of a packet were not told.
func (q parsed) forget(p *eval.Packet, c curiosity) {
	header, length, hops := 20, 2, 8
	if p.Family == rules.IP6 {
		header, length, hops = 40, 4, 7
	}
	udp := q.protocol == protocolUDP || q.protocol == protocolUDPLite
	from := len(p.Data)
	switch {
	case udp:
		from = header + 8
	case q.protocol == protocolTCP && !q.bare():
		from -= carried
	case q.protocol == protocolICMP || q.protocol == protocolICMP6:
		from = header + 2 // the checksum, which goes by the rest
	}
	if c.contents && from < len(p.Data) {
		p.Forget(from, len(p.Data), "what the packet carries was not told")
	}
	if c.hops && q.way != eval.Out && q.way != eval.Through {
		p.Forget(hops, hops+1, "the packet's hop limit was not told")
	}
	if c.length {
		const why = "how long the packet is was not told"
		p.Forget(length, length+2, why)
		if udp {
			p.Forget(header+4, header+8, why) // and the checksum, which goes by that
		}
	}
}
