package firewall

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// Cuts are where rules begin to tell addresses, or ports of a client, apart: two
// neighbours between which there is no cut fare alike. Addresses count as a
// packet's source and as an answer's destination.
type Cuts struct {
	Four, Six []netip.Addr // sorted; each begins a range
	// Source and Answer are the ports of a client: as the source of its packets,
	// and as the destination of what it is answered.
	Source, Answer []uint16
	// Doubts are where rules tell addresses apart in a way that has no ranges, or
	// by what was not read.
	Doubts []Doubt
	// Less is the ruleset without such rules as only stop packets, which have no
	// place in Doubts: what it stops, the whole ruleset stops. Nil: there are none.
	Less *rules.Ruleset
}

// CutsOf reads the rules of a ruleset.
func CutsOf(set *rules.Ruleset) *Cuts {
	c := &cutter{set: set, ipsets: map[string]bool{}}
	for _, t := range set.Tables {
		if t.Dormant() || t.Family == rules.ARP {
			continue
		}
		for _, chain := range t.Chains {
			for _, r := range chain.Rules {
				before := len(c.Doubts)
				c.rule(t, chain, r)
				if len(c.Doubts) > before && stops(r) {
					c.Doubts = c.Doubts[:before]
					c.left = append(c.left, r)
				}
			}
		}
	}
	c.Less = without(set, c.left)
	c.Four, c.Six = tidy(c.Four, netip.Addr.Compare), tidy(c.Six, netip.Addr.Compare)
	c.Source, c.Answer = tidy(c.Source, cmp.Compare[uint16]), tidy(c.Answer, cmp.Compare[uint16])
	return &c.Cuts
}

func tidy[T comparable](list []T, compare func(T, T) int) []T {
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

// stops reports whether a rule can do nothing to a packet but stop it.
func stops(r *rules.Rule) bool {
	ends := false
	for _, e := range r.Exprs.All() {
		switch x := e.(type) {
		case *rules.Cmp, *rules.Range, *rules.Bitwise, *rules.Byteorder, *rules.Hash, *rules.Fib, *rules.RT, *rules.Counter, *rules.Log, *rules.IPTables, *rules.Match:
		case *rules.Payload:
			if x.Write {
				return false
			}
		case *rules.Meta:
			if x.Write {
				return false
			}
		case *rules.CT:
			if x.Write {
				return false
			}
		case *rules.Lookup:
			if x.HasDest {
				return false
			}
		case *rules.Immediate:
			if x.Verdict == nil || x.Verdict.Kind != rules.Drop {
				return false
			}
			ends = true
		case *rules.Reject:
			ends = true
		default:
			return false
		}
	}
	return ends
}

// without copies a ruleset but for some rules; nil if there are none.
func without(set *rules.Ruleset, left []*rules.Rule) *rules.Ruleset {
	if len(left) == 0 {
		return nil
	}
	less := &rules.Ruleset{IPSets: set.IPSets}
	for _, t := range set.Tables {
		table := *t
		table.Chains = make([]*rules.Chain, len(t.Chains))
		for i, c := range t.Chains {
			chain := *c
			chain.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r *rules.Rule) bool { return slices.Contains(left, r) })
			table.Chains[i] = &chain
		}
		less.Tables = append(less.Tables, &table)
	}
	return less
}

type cutter struct {
	Cuts
	left   []*rules.Rule // that Less is without
	set    *rules.Ruleset
	ipsets map[string]bool // that were read
	table  *rules.Table
	where  func() *Rule
	family rules.Family  // of the packets that the rule is about; Inet: both
	fields map[int]field // by the byte of the registers where they begin
}

// field is what of an address or port is in registers: its first bytes.
type field struct {
	kind fieldKind
	have int // bytes
	bits int // that a mask has left
}

type fieldKind int

const (
	fourField fieldKind = iota
	sixField
	sourcePort
	answerPort
)

// Keys of expressions, by their numbers in linux/netfilter/nf_tables.h.
const (
	metaProtocol, metaNFProto                   = 1, 15
	ctSrc, ctDst, ctProtoSrc, ctProtoDst        = 8, 9, 11, 12
	ctSrcIP, ctDstIP, ctSrcIP6, ctDstIP6        = 19, 20, 21, 22
	rtNexthop4, rtNexthop6                      = 1, 2
	baseLink, baseNetwork, baseTransport uint32 = 0, 1, 2
	linkHeader                                  = 14 // bytes of Ethernet
)

func (c *cutter) rule(t *rules.Table, chain *rules.Chain, r *rules.Rule) {
	c.table, c.family, c.fields = t, t.Family, map[int]field{}
	c.where = (&ruleAt{t, chain, r}).describe
	guards := map[rules.Reg]bool{} // registers that hold the family
	for _, e := range r.Exprs.All() {
		switch x := e.(type) {
		case *rules.Meta:
			if !x.Write {
				c.load(x.Reg, 16, nil)
				guards[x.Reg] = x.Key == metaNFProto || x.Key == metaProtocol
			}
		case *rules.Cmp:
			if guards[x.Source] && x.Op == 0 {
				c.guard(x.Data)
			}
			c.compare(x.Source, x.Data, x.Data)
		case *rules.Payload:
			if !x.Write {
				delete(guards, x.Reg)
				c.payload(x)
			}
		case *rules.CT:
			if !x.Write {
				delete(guards, x.Reg)
				c.conntrack(x)
			}
		case *rules.Immediate:
			c.load(x.Dest, len(x.Data), nil)
		default:
			c.other(e)
		}
	}
}

// guard notes the family that a rule asks for: NFPROTO_* or an EtherType.
func (c *cutter) guard(data []byte) {
	switch {
	case len(data) == 1 && data[0] == byte(rules.IP), len(data) == 2 && data[0] == 0x08 && data[1] == 0x00:
		c.family = rules.IP
	case len(data) == 1 && data[0] == byte(rules.IP6), len(data) == 2 && data[0] == 0x86 && data[1] == 0xdd:
		c.family = rules.IP6
	}
}

func (c *cutter) other(e rules.Expr) {
	switch x := e.(type) {
	case *rules.Range:
		c.compare(x.Source, x.From, x.To)
	case *rules.Bitwise:
		c.bitwise(x)
	case *rules.Byteorder:
		c.changed(x.Source, int(x.Len), "byteorder")
		c.load(x.Dest, int(x.Len), nil)
	case *rules.Hash:
		c.changed(x.Source, int(x.Len), "hash")
		c.load(x.Dest, 4, nil)
	case *rules.Lookup:
		c.lookup(x.Set, x.Source)
		if x.HasDest {
			c.load(x.Dest, 16, nil)
		}
	case *rules.ObjRef:
		if x.Set != "" {
			c.lookup(x.Set, x.Source)
		}
	case *rules.RT:
		if x.Key == rtNexthop4 || x.Key == rtNexthop6 {
			c.doubt("rt nexthop", "it is the destination itself, or not, by the routes")
		}
		c.load(x.Dest, 16, nil)
	case *rules.Fib:
		c.load(x.Dest, 16, nil) // what it tells changes where routes do
	case *rules.Exthdr:
		if !x.Write {
			c.load(x.Reg, int(x.Len), nil)
		}
	case *rules.IPTables:
		c.masked(x.Src, x.SrcMask)
		c.masked(x.Dst, x.DstMask)
	case *rules.Match:
		c.match(x)
	}
}

func (c *cutter) doubt(expression, why string) {
	c.Doubts = append(c.Doubts, Doubt{Rule: c.where(), Expression: expression, Why: why})
}

// word is the size of a register, in bytes.
const word = 4

// load forgets what registers held, and notes what they hold now.
func (c *cutter) load(reg rules.Reg, size int, now map[int]field) {
	start := int(reg) * word
	for i := range (size + word - 1) / word * word {
		delete(c.fields, start+i)
	}
	for at, f := range now {
		c.fields[start+at] = f
	}
}

// held are the fields in the bytes from a register on, by where they begin there.
func (c *cutter) held(source rules.Reg, size int) map[int]field {
	found := map[int]field{}
	for at := range size {
		if f, ok := c.fields[int(source)*word+at]; ok {
			found[at] = f
		}
	}
	return found
}

// part is a field of a header.
type part struct {
	at, size int
	kind     fieldKind
}

var (
	fourParts = []part{{12, 4, fourField}, {16, 4, fourField}}
	sixParts  = []part{{8, 16, sixField}, {24, 16, sixField}}
	portParts = []part{{0, 2, sourcePort}, {2, 2, answerPort}}
)

func (c *cutter) payload(x *rules.Payload) {
	from, to := int(x.Offset), int(x.Offset)+int(x.Len)
	var parts []part
	switch {
	case x.Base == baseTransport:
		parts = portParts
	case x.Base == baseNetwork && c.family == rules.IP:
		parts = fourParts
	case x.Base == baseNetwork && c.family == rules.IP6:
		parts = sixParts
	case x.Base == baseNetwork:
		// The rule doesn't say of which family; nft says so of every address.
		parts = slices.Concat(fourParts, sixParts)
	case x.Base == baseLink && to > linkHeader:
		c.doubt("payload", "it reads beyond the link's header")
	}
	now := map[int]field{}
	for _, p := range parts {
		have := min(to, p.at+p.size) - p.at
		switch {
		case to <= p.at || from >= p.at+p.size:
		case from > p.at:
			if c.family == rules.IP || c.family == rules.IP6 || x.Base == baseTransport {
				c.doubt("payload", "it reads the end of an address or port alone")
			}
		default:
			now[p.at-from] = field{p.kind, have, 8 * have}
		}
	}
	c.load(x.Reg, int(x.Len), now)
}

func (c *cutter) conntrack(x *rules.CT) {
	now := map[int]field{}
	switch x.Key {
	case ctSrcIP, ctDstIP:
		now[0] = field{fourField, 4, 32}
	case ctSrcIP6, ctDstIP6:
		now[0] = field{sixField, 16, 128}
	case ctSrc, ctDst:
		switch c.family {
		case rules.IP:
			now[0] = field{fourField, 4, 32}
		case rules.IP6:
			now[0] = field{sixField, 16, 128}
		default:
			c.doubt("ct", "of which family its address is isn't told")
		}
	case ctProtoSrc:
		now[0] = field{sourcePort, 2, 16}
	case ctProtoDst:
		now[0] = field{answerPort, 2, 16}
	}
	c.load(x.Reg, 16, now)
}

// changed doubts a field that something other than a mask makes of another value.
func (c *cutter) changed(source rules.Reg, size int, by string) {
	if len(c.held(source, size)) > 0 {
		c.doubt(by, "it makes another value of an address or port")
	}
}

func (c *cutter) bitwise(x *rules.Bitwise) {
	now := map[int]field{}
	for at, f := range c.held(x.Source, int(x.Len)) {
		if x.Op != 0 || at+f.have > len(x.Mask) || at+f.have > len(x.Xor) {
			c.doubt("bitwise", "it makes another value of an address or port")
			continue
		}
		bits, prefix := prefixLength(x.Mask[at : at+f.have])
		if !prefix || slices.ContainsFunc(x.Xor[at:at+f.have], func(b byte) bool { return b != 0 }) {
			c.doubt("bitwise", "it looks at single bits of an address or port")
			continue
		}
		f.bits = min(f.bits, bits)
		now[at] = f
	}
	c.load(x.Dest, int(x.Len), now)
}

// prefixLength is how many ones a mask begins with, and whether all else is zero.
func prefixLength(mask []byte) (bits int, ok bool) {
	for i := range 8 * len(mask) {
		if mask[i/8]&(0x80>>(i%8)) == 0 {
			break
		}
		bits++
	}
	for i := bits; i < 8*len(mask); i++ {
		if mask[i/8]&(0x80>>(i%8)) != 0 {
			return bits, false
		}
	}
	return bits, true
}

// compare cuts around each field that is compared with a range of values.
func (c *cutter) compare(source rules.Reg, from, to []byte) {
	for at, f := range c.held(source, len(from)) {
		c.cut(f, tail(from, at), tail(to, at))
	}
}

func tail(b []byte, at int) []byte { return b[min(at, len(b)):] }

// cut makes a range begin at the first value and one behind the last.
func (c *cutter) cut(f field, from, to []byte) {
	size := map[fieldKind]int{fourField: 4, sixField: 16, sourcePort: 2, answerPort: 2}[f.kind]
	first, last := make([]byte, size), slices.Repeat([]byte{0xff}, size)
	have := min(f.have, len(from), len(to))
	copy(first, from[:have])
	copy(last, to[:have])
	for i := range 8 * size {
		if i >= min(f.bits, 8*have) {
			first[i/8] &^= 0x80 >> (i % 8)
			last[i/8] |= 0x80 >> (i % 8)
		}
	}
	switch f.kind {
	case sourcePort:
		c.Source = cutPorts(c.Source, binary.BigEndian.Uint16(first), binary.BigEndian.Uint16(last))
	case answerPort:
		c.Answer = cutPorts(c.Answer, binary.BigEndian.Uint16(first), binary.BigEndian.Uint16(last))
	default:
		a, _ := netip.AddrFromSlice(first)
		b, _ := netip.AddrFromSlice(last)
		c.addresses(a, b)
	}
}

func cutPorts(list []uint16, from, to uint16) []uint16 {
	list = append(list, from)
	if to != 0xffff {
		list = append(list, to+1)
	}
	return list
}

func (c *cutter) addresses(from, to netip.Addr) {
	list := &c.Six
	if from.Is4() {
		list = &c.Four
	}
	*list = append(*list, from)
	if next := to.Next(); next.IsValid() {
		*list = append(*list, next)
	}
}

// lookup cuts around the elements of a set.
func (c *cutter) lookup(name string, source rules.Reg) {
	s := c.table.Set(name)
	if s == nil {
		c.doubt("lookup", "the set is not known")
		return
	}
	for at, f := range c.held(source, s.KeyLen) {
		if !s.Known {
			c.doubt("lookup", fmt.Sprintf("the elements of set %s were not all read", s.Name))
			return
		}
		for _, e := range s.Elements.All() {
			switch {
			case e.CatchAll:
			case e.KeyEnd != nil:
				c.cut(f, tail(e.Key, at), tail(e.KeyEnd, at))
			default:
				c.cut(f, tail(e.Key, at), tail(e.Key, at))
			}
		}
	}
}

// lastOfPrefix is the last address of a network.
func lastOfPrefix(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
