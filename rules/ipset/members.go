package ipset

import (
	"iter"
	"net/netip"
)

// members are the entries that the kernel makes of one that has ranges:
// single addresses, or the fewest networks, and single ports.
func (k *kind) members(s span) iter.Seq[member] {
	return func(yield func(member) bool) {
		slot, more := 0, true
		var nets [2]bool
		for _, d := range k.dims {
			if d == dimNet || d == dimIP {
				nets[slot] = d == dimNet
				slot++
			}
		}
		one := s.member
		for first := range s.addressesOf(0, nets[0]) {
			one.addresses[0] = first
			for second := range s.addressesOf(1, nets[1]) {
				one.addresses[1] = second
				for port := int(s.port); more && port <= int(max(s.port, s.lastPort)); port++ {
					one.port = uint16(port)
					more = yield(one)
				}
				if !more {
					return
				}
			}
		}
	}
}

// addressesOf yields the addresses or networks of a slot; the zero prefix if the
// type has none there.
func (s *span) addressesOf(slot int, net bool) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		p, last := s.addresses[slot], s.last[slot]
		switch {
		case !p.IsValid() || !last.IsValid() && (net || p.IsSingleIP()):
			yield(p)
			return
		case !last.IsValid():
			p = p.Masked()
			last = lastOf(p)
		}
		for a := p.Addr(); a.IsValid() && !last.Less(a); {
			next := netip.PrefixFrom(a, a.BitLen())
			for net && next.Bits() > 0 {
				wider, _ := a.Prefix(next.Bits() - 1)
				if wider.Addr() != a || last.Less(lastOf(wider)) {
					break
				}
				next = wider
			}
			if !yield(next) {
				return
			}
			a = lastOf(next).Next()
		}
	}
}
