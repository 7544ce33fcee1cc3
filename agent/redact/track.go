package redact

import (
	"encoding/binary"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// Keys of the kernel's expressions that have to do with addresses: NFT_META_*,
// NFT_CT_*, NFT_RT_* and NFT_XFRM_KEY_* of linux/netfilter/nf_tables.h, and
// NF_NAT_RANGE_NETMAP.
const (
	metaProtocol     = 1
	metaNFProto      = 15
	metaBridgeMAC    = 37
	ctSource         = 8
	ctDestination    = 9
	ctSource4        = 19
	ctDestination4   = 20
	ctSource6        = 21
	ctDestination6   = 22
	rtNextHop4       = 1
	rtNextHop6       = 2
	xfrmDestination4 = 1
	xfrmDestination6 = 2
	xfrmSource4      = 3
	xfrmSource6      = 4
	natNetmap        = 64
)

// track follows the expressions of one rule.
func (t *tracker) track(list rules.Exprs) {
	t.cells, t.places = [64]cell{}, nil
	t.l3 = t.family
	switch t.family {
	case rules.Inet, rules.Netdev, rules.Bridge:
		t.l3 = 0
	}
	for _, e := range list {
		t.expr(e)
	}
	t.places = merge(t.places)
}

func (t *tracker) expr(e rules.Expr) {
	switch e := e.(type) {
	case *rules.Immediate:
		for i := range e.Data {
			*t.reg(e.Dest, i) = cell{data: e.Data, index: i}
		}
	case *rules.Payload:
		t.load(e)
	case *rules.Cmp:
		t.compare(e)
	case *rules.Range:
		t.runs(e.Source, len(e.From), func(first, n int, c cell) {
			t.add(place{kind: c.kind, from: c.at, data: e.From[first : first+n], to: cut(e.To, first, n)})
		})
	case *rules.Bitwise:
		t.bitwise(e)
	case *rules.Lookup:
		t.lookup(e)
	case *rules.Dynset:
		t.dynset(e)
	case *rules.NAT:
		t.nat(e)
	case *rules.TProxy:
		if e.HasAddr {
			t.address(e.Addr, e.Family)
		}
	case *rules.Dup:
		if e.HasAddr {
			t.address(e.Addr, t.family)
		}
	case *rules.Fwd:
		if e.HasAddr {
			t.address(e.Addr, e.Family)
		}
	case *rules.ObjRef:
		if s := t.sets[e.Set]; s != nil {
			t.learnKey(s, e.Source)
		}
	case *rules.IPTables:
		t.head(e.Src, e.SrcMask)
		t.head(e.Dst, e.DstMask)
	case *rules.ARPTables:
		t.structure(e.Data, arpHead)
	case *rules.Match:
		t.structure(e.Data, matchPlaces(e.Ext, e.Rev, t.family))
	case *rules.Target:
		t.structure(e.Data, targetPlaces(e.Ext, e.Rev, t.family))
	case *rules.Inner:
		for _, x := range e.Exprs {
			if p, ok := x.(*rules.Payload); ok {
				t.load(p)
			}
		}
	case *rules.TunnelKey:
		t.whole(e.Src)
		t.whole(e.Dst)
	default:
		t.loads(e)
	}
}

// loads are the expressions that write to a register what isn't from a header.
func (t *tracker) loads(e rules.Expr) {
	switch e := e.(type) {
	case *rules.Meta:
		if e.Write {
			return
		}
		switch e.Key {
		case metaNFProto:
			*t.reg(e.Reg, 0) = cell{about: nfproto}
		case metaProtocol:
			*t.reg(e.Reg, 0), *t.reg(e.Reg, 1) = cell{about: ethertype}, cell{about: ethertype}
		case metaBridgeMAC:
			t.fill(e.Reg, mac)
		default:
			t.fill(e.Reg, noAddress)
		}
	case *rules.CT:
		if e.Write {
			return
		}
		switch e.Key {
		case ctSource4, ctDestination4:
			t.fill(e.Reg, ip4)
		case ctSource6, ctDestination6:
			t.fill(e.Reg, ip6)
		case ctSource, ctDestination:
			t.fill(e.Reg, kindOf(t.l3))
		default:
			t.fill(e.Reg, noAddress)
		}
	case *rules.RT:
		t.fill(e.Dest, map[uint32]kind{rtNextHop4: ip4, rtNextHop6: ip6}[e.Key])
	case *rules.XFRM:
		t.fill(e.Dest, map[uint32]kind{xfrmDestination4: ip4, xfrmSource4: ip4, xfrmDestination6: ip6, xfrmSource6: ip6}[e.Key])
	case *rules.Fib:
		t.fill(e.Dest, noAddress)
	case *rules.Socket:
		t.fill(e.Dest, noAddress)
	case *rules.Exthdr:
		if !e.Write && !e.Reset {
			t.fill(e.Reg, noAddress)
		}
	case *rules.Hash:
		t.fill(e.Dest, noAddress)
	case *rules.Numgen:
		t.fill(e.Dest, noAddress)
	case *rules.Tunnel:
		t.fill(e.Dest, noAddress)
	case *rules.OSF:
		t.fill(e.Dest, noAddress)
	case *rules.Byteorder:
		for i := range min(int(e.Len), 64) {
			*t.reg(e.Dest, i) = cell{}
		}
	}
}

func kindOf(f rules.Family) kind {
	switch f {
	case rules.IP, rules.ARP:
		return ip4
	case rules.IP6:
		return ip6
	}
	return noAddress
}

// fill says that a register holds a whole address, or none.
func (t *tracker) fill(r rules.Reg, k kind) {
	for i := range max(k.size(), 16) {
		*t.reg(r, i) = cell{}
		if i < k.size() {
			*t.reg(r, i) = cell{kind: k, at: i, mask: 0xff}
		}
	}
}

func (t *tracker) add(p place) {
	if p.to != nil && len(p.to) != len(p.data) {
		p.to = nil
	}
	t.places = append(t.places, p)
}

func cut(b []byte, first, n int) []byte {
	if first+n > len(b) {
		return nil
	}
	return b[first : first+n]
}

func (t *tracker) compare(e *rules.Cmp) {
	switch c := *t.reg(e.Source, 0); {
	case c.about == nfproto && e.Op == 0 && len(e.Data) >= 1:
		t.l3 = rules.Family(e.Data[0])
	case c.about == ethertype && e.Op == 0 && len(e.Data) >= 2:
		switch binary.BigEndian.Uint16(e.Data) {
		case 0x0800:
			t.l3 = rules.IP
		case 0x86dd:
			t.l3 = rules.IP6
		case 0x0806:
			t.l3 = rules.ARP
		}
	}
	const equal, unequal = 0, 1
	t.runs(e.Source, len(e.Data), func(first, n int, c cell) {
		t.add(place{kind: c.kind, from: c.at, data: e.Data[first : first+n], mask: t.masks(e.Source, first, n), ordered: e.Op != equal && e.Op != unequal})
	})
}

func (t *tracker) bitwise(e *rules.Bitwise) {
	const maskXor, and = 0, 3
	for i := range min(int(e.Len), 64) {
		c := *t.reg(e.Source, i)
		switch {
		case e.Op == maskXor && i < len(e.Mask):
			c.mask &= e.Mask[i]
			if i < len(e.Xor) && e.Xor[i] != 0 && c.kind != noAddress {
				// Bits that a rule sets are to be the same in every address.
				t.add(place{kind: c.kind, from: c.at, data: []byte{0}, mask: []byte{^e.Mask[i] | e.Xor[i]}})
			}
			if e.Mask[i] == 0 && i < len(e.Xor) && c.kind == noAddress {
				c = cell{}
			}
		case e.Op == and && i < len(e.Data):
			c.mask &= e.Data[i]
		default:
			c = cell{}
		}
		*t.reg(e.Dest, i) = c
	}
}

// address is a register that is used as one address.
func (t *tracker) address(r rules.Reg, f rules.Family) {
	k := kindOf(f)
	for i := range k.size() {
		t.use(t.reg(r, i), cell{kind: k, at: i, mask: 0xff})
	}
}

func (t *tracker) nat(e *rules.NAT) {
	k := kindOf(e.Family)
	if k == noAddress || !e.HasAddrMin {
		return
	}
	least, most := *t.reg(e.AddrMin, 0), cell{}
	if e.HasAddrMax && e.AddrMax != e.AddrMin {
		most = *t.reg(e.AddrMax, 0)
	}
	n := k.size()
	switch {
	case least.data != nil && most.data != nil && least.index+n <= len(least.data) && most.index+n <= len(most.data):
		p := place{kind: k, data: least.data[least.index : least.index+n], to: most.data[most.index : most.index+n]}
		if e.Flags&natNetmap != 0 {
			p.network = common(p.bitsAt(p.data), p.bitsAt(p.to))
		}
		t.add(p)
		return
	case least.set != nil && most.set == least.set:
		pair := dataPair{from: least.index, to: most.index, size: n}
		if e.Flags&natNetmap != 0 {
			pair.network = 1
		}
		if !slices.Contains(least.set.pairs, pair) {
			least.set.pairs = append(least.set.pairs, pair)
		}
	}
	t.address(e.AddrMin, e.Family)
	if e.HasAddrMax {
		t.address(e.AddrMax, e.Family)
	}
}

func (t *tracker) lookup(e *rules.Lookup) {
	s := t.sets[e.Set]
	if s == nil {
		return
	}
	t.learnKey(s, e.Source)
	if e.HasDest {
		for i := range 64 - int(e.Dest)*4 {
			*t.reg(e.Dest, i) = cell{set: s, index: i}
			if c, ok := s.data[i]; ok {
				*t.reg(e.Dest, i) = cell{set: s, index: i, kind: c.kind, at: c.at, mask: 0xff}
			}
		}
	}
}

// learnKey notes what a rule looks a set up with.
func (t *tracker) learnKey(s *setPlaces, r rules.Reg) {
	for i := range 64 - min(int(r), 16)*4 {
		c := *t.reg(r, i)
		if c.kind == noAddress {
			continue
		}
		if old := s.key[i]; old.kind == c.kind {
			c.mask &= old.mask // looked up with a part of it
		}
		s.key[i] = c
	}
}

func (t *tracker) dynset(e *rules.Dynset) {
	s := t.sets[e.Set]
	if s == nil {
		return
	}
	t.learnKey(s, e.Key)
	for i, c := range s.key {
		t.use(t.reg(e.Key, i), c)
	}
	if e.HasData {
		for i, c := range s.data {
			t.use(t.reg(e.Data, i), c)
		}
	}
}

// head is an address with a mask of an iptables rule.
func (t *tracker) head(data, mask []byte) {
	if k := kindOfLength(len(data)); k != noAddress && t.family != rules.Bridge {
		t.add(place{kind: k, data: data, mask: maskOf(mask, len(data))})
	}
}

func (t *tracker) whole(data []byte) {
	if k := kindOfLength(len(data)); k != noAddress {
		t.add(place{kind: k, data: data})
	}
}

func kindOfLength(n int) kind {
	switch n {
	case 4:
		return ip4
	case 16:
		return ip6
	}
	return noAddress
}

// maskOf is a mask if it is one and leaves something out.
func maskOf(mask []byte, n int) []byte {
	if len(mask) != n {
		return nil
	}
	for _, b := range mask {
		if b != 0xff {
			return mask
		}
	}
	return nil
}
