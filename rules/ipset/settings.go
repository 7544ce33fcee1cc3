package ipset

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/portwhy/portwhy/rules"
)

// settings are the options of a set that decide what it holds.
type settings struct {
	mask     netip.Addr // of netmask or bitmask; the zero value keeps all bits
	markMask uint32
	limit    int // of entries
	// The range of a bitmap.
	first, last         netip.Addr
	firstPort, lastPort uint16
	timeout             bool // entries have one
	counters            bool
}

// maxElem is how many entries a hash holds if it isn't told (IPSET_DEFAULT_MAXELEM).
const maxElem = 65536

// newSettings reads a set's options.
func newSettings(k *kind, set *rules.IPSet) (settings, error) {
	s := settings{markMask: 0xffffffff, limit: maxElem}
	_, s.timeout = set.Options["timeout"]
	_, s.counters = set.Options["counters"]
	for name, bits := range map[string]int{"timeout": 32, "maxelem": 31, "hashsize": 32, "size": 31} {
		v, ok := set.Options[name]
		n, err := strconv.ParseUint(v, 0, bits)
		if ok && err != nil {
			return s, fmt.Errorf("expected a number for %s, not %q", name, v)
		}
		if ok && name == "maxelem" {
			s.limit = int(n)
		}
	}
	if v, ok := set.Options["markmask"]; ok {
		n, err := strconv.ParseUint(v, 0, 32)
		if s.markMask = uint32(n); err != nil {
			return s, fmt.Errorf("expected a number for markmask, not %q", v)
		}
	}
	if err := s.readMask(set); err != nil {
		return s, err
	}
	if k.ranged {
		return s, s.readRange(k, set)
	}
	return s, nil
}

func (s *settings) readMask(set *rules.IPSet) error {
	bits := 32
	if set.Family == rules.IP6 {
		bits = 128
	}
	if v, ok := set.Options["netmask"]; ok {
		n, err := strconv.ParseUint(v, 10, 8)
		if err != nil || n == 0 || int(n) > bits {
			return fmt.Errorf("expected a netmask of 1 to %d, not %q", bits, v)
		}
		s.mask = prefixMask(int(n), bits)
	}
	if v, ok := set.Options["bitmask"]; ok {
		m, err := netip.ParseAddr(v)
		if err != nil || m.BitLen() != bits {
			return fmt.Errorf("expected a bitmask, not %q", v)
		}
		s.mask = m
	}
	return nil
}

// prefixMask is the mask of a prefix as an address.
func prefixMask(ones, bits int) netip.Addr {
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if bits == 128 {
		b := [16]byte{}
		for i := range b {
			b[i] = 255
		}
		all = netip.AddrFrom16(b)
	}
	p, _ := all.Prefix(ones)
	return p.Addr()
}

func (s *settings) readRange(k *kind, set *rules.IPSet) error {
	v := set.Options["range"]
	if k.dims[0] == dimBare {
		var err error
		s.firstPort, s.lastPort, err = parsePorts(v)
		return err
	}
	p, last, err := parseAddresses(rules.IP, v)
	if err != nil {
		return err
	}
	s.first = s.masked(p.Masked().Addr())
	if s.last = last; !last.IsValid() {
		s.last = lastOf(p)
	}
	return nil
}

// lastOf is a prefix's last address.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return a.Unmap()
	}
	return a
}

// masked is an address without the bits that the set doesn't look at.
func (s *settings) masked(a netip.Addr) netip.Addr {
	if !s.mask.IsValid() || s.mask.BitLen() != a.BitLen() {
		return a
	}
	x, m := a.As16(), s.mask.As16()
	for i := range x {
		if a.Is4() && i < 12 {
			continue
		}
		x[i] &= m[i]
	}
	if a.Is4() {
		return netip.AddrFrom16(x).Unmap()
	}
	return netip.AddrFrom16(x)
}
