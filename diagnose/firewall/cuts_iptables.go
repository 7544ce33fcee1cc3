package firewall

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xt"
)

func (c *cutter) masked(address, mask []byte) {
	if len(mask) == 0 || len(address) != len(mask) {
		return
	}
	bits, ok := prefixLength(mask)
	if !ok {
		c.doubt("iptables", "it looks at single bits of an address")
		return
	}
	kind := fourField
	if len(address) == 16 {
		kind = sixField
	}
	c.cut(field{kind, len(address), bits}, address, address)
}

// match cuts at what a match of iptables tells apart.
func (c *cutter) match(m *rules.Match) {
	ports := func(list *[]uint16, from, to uint16) { *list = cutPorts(*list, from, to) }
	switch m.Ext {
	case "tcp":
		if d, ok := xt.DecodeTCP(m); ok {
			ports(&c.Source, d.SourceFrom, d.SourceTo)
			ports(&c.Answer, d.DestFrom, d.DestTo)
		}
	case "udp", "udplite":
		if d, ok := xt.DecodeUDP(m); ok {
			ports(&c.Source, d.SourceFrom, d.SourceTo)
			ports(&c.Answer, d.DestFrom, d.DestTo)
		}
	case "multiport":
		if d, ok := xt.DecodeMultiport(m); ok {
			for _, p := range d.Ports {
				ports(&c.Source, p.From, max(p.From, p.To))
				ports(&c.Answer, p.From, max(p.From, p.To))
			}
		}
	case "iprange":
		if d, ok := xt.DecodeIPRange(c.table.Family, m); ok {
			for _, r := range [][2]netip.Addr{{d.SourceFrom, d.SourceTo}, {d.DestFrom, d.DestTo}} {
				if r[0].IsValid() && r[1].IsValid() {
					c.addresses(r[0], r[1])
				}
			}
		}
	case "conntrack":
		if d, ok := xt.DecodeConntrack(m); ok {
			size := 4
			if c.table.Family == rules.IP6 {
				size = 16
			}
			for _, a := range []xt.MaskedAddr{d.OrigSrc, d.OrigDst, d.ReplSrc, d.ReplDst} {
				c.masked(a.Addr[:size], a.Mask[:size])
			}
			for _, p := range []xt.PortRange{d.OrigSrcPorts, d.ReplSrcPorts} {
				ports(&c.Source, p.From, max(p.From, p.To))
			}
			for _, p := range []xt.PortRange{d.OrigDstPorts, d.ReplDstPorts} {
				ports(&c.Answer, p.From, max(p.From, p.To))
			}
		}
	case "set":
		for _, name := range m.Sets {
			c.ipset(name, 0)
		}
		if len(m.Sets) == 0 {
			c.doubt("match set", "which ipset it looks into is not known")
		}
	case "u32", "bpf", "cluster", "string":
		c.doubt("match "+m.Ext, "it may look at single bits of an address")
	}
}

// maxNested is how deep lists of sets are followed; the kernel allows no nesting.
const maxNested = 4

// ipset cuts around the entries of an ipset, and of those that it lists.
func (c *cutter) ipset(name string, depth int) {
	if c.ipsets[name] {
		return
	}
	s := c.set.IPSet(name)
	if s == nil || !s.Known || depth > maxNested {
		c.doubt("match set", fmt.Sprintf("the entries of ipset %s were not all read", name))
		return
	}
	c.ipsets[name] = true
	for _, e := range s.Elements {
		if s.Type == "list:set" {
			c.ipset(e.Entry, depth+1)
			continue
		}
		for entry := range strings.SplitSeq(e.Entry, ",") {
			c.entry(entry)
		}
	}
}

// entry reads one part of an entry: a network, an address, a range of them, or
// ports; what is none of these tells no clients apart.
func (c *cutter) entry(text string) {
	if p, err := netip.ParsePrefix(text); err == nil {
		c.addresses(p.Masked().Addr(), lastOfPrefix(p))
		return
	}
	from, to, ranged := strings.Cut(text, "-")
	if !ranged {
		to = from
	}
	a, err := netip.ParseAddr(from)
	b, err2 := netip.ParseAddr(to)
	if err == nil && err2 == nil && a.Is4() == b.Is4() && a.Compare(b) <= 0 {
		c.addresses(a, b)
		return
	}
	if i := strings.LastIndexByte(from, ':'); i >= 0 {
		from = from[i+1:]
	}
	if !ranged {
		to = from
	}
	low, err := strconv.ParseUint(from, 10, 16)
	high, err2 := strconv.ParseUint(to, 10, 16)
	if err == nil && err2 == nil {
		c.Source, c.Answer = cutPorts(c.Source, uint16(low), uint16(high)), cutPorts(c.Answer, uint16(low), uint16(high))
	}
}
