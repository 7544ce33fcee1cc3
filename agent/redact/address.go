package redact

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// addresses maps addresses, each family by a permutation of its own, so that
// what an address is for can still be seen: private stays private, a subnet
// stays one.
type addresses struct {
	four, six, link *permutation
	// mapped are the addresses that were asked for, by what they became.
	mapped map[netip.Addr]netip.Addr
	// networks are the first addresses of what networks became. They are no images
	// of addresses: behind a network's length all is zero, whatever that maps to.
	networks map[netip.Addr]bool
	macs     map[string]string
}

// kind is what a byte string means.
type kind int

const (
	noAddress kind = iota
	ip4
	ip6
	mac
)

func (k kind) size() int { return map[kind]int{ip4: 4, ip6: 16, mac: 6}[k] }

func (a *addresses) of(k kind) *permutation {
	return map[kind]*permutation{ip4: a.four, ip6: a.six, mac: a.link}[k]
}

// The blocks of IPv4 that have a meaning of their own: RFC 6890 and the IANA
// registries. Those that say nothing about who has them stay as they are.
var (
	same4 = []string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4"}
	kept4 = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
		"198.18.0.0/15", "192.88.99.0/24"}
)

// Those of IPv6. Link-local addresses that a person chose are small; others
// hold the device's own number. Those for neighbour discovery hold the end of
// an address.
var (
	same6 = []string{"::/8", "fe80::/10", "fe80::/96", "ff00::/8", "100::/64"}
	kept6 = []string{"2000::/3", "2001::/32", "2001:db8::/32", "3fff::/20", "fc00::/7", "fd00::/8", "fec0::/10", "fe80::/64", "ff02::1:ff00:0/104", "64:ff9b:1::/48"}
	with4 = []string{"::ffff:0:0/96", "64:ff9b::/96", "2002::/16"}
)

// Those of Ethernet: nobody, everybody, and the groups that come from IP and
// from IEEE's protocols.
var (
	sameMAC = []string{"000000000000/48", "ffffffffffff/48", "01005e000000/24", "0180c2000000/24", "333300000000/16"}
	keptMAC = []string{"3333ff000000/24"}
)

func newAddresses(key []byte) *addresses {
	a := &addresses{four: newPermutation(key, "4", 32), six: newPermutation(key, "6", 128), link: newPermutation(key, "link", 48),
		mapped: map[netip.Addr]netip.Addr{}, networks: map[netip.Addr]bool{}, macs: map[string]string{}}
	for _, block := range []struct {
		p    *permutation
		list []string
		same bool
		four *permutation
	}{{a.four, same4, true, nil}, {a.four, kept4, false, nil}, {a.six, same6, true, nil}, {a.six, kept6, false, nil}, {a.six, with4, false, a.four}} {
		for _, s := range block.list {
			prefix := netip.MustParsePrefix(s)
			block.p.within(region{node: node{bitsOf(prefix.Addr()), prefix.Bits()}, same: block.same, embeds: block.four})
		}
	}
	for _, s := range sameMAC {
		a.link.within(region{node: macBlock(s), same: true})
	}
	for _, s := range keptMAC {
		a.link.within(region{node: macBlock(s)})
	}
	// Locally administered, and a group's: bits that say what it is.
	a.link.levels[6], a.link.levels[7] = true, true
	return a
}

func macBlock(s string) node {
	number, length := uint64(0), 0
	for i := range 12 {
		number = number<<4 | uint64(hexValue(s[i]))
	}
	for _, c := range s[13:] {
		length = length*10 + int(c-'0')
	}
	var b bitString
	binary.BigEndian.PutUint64(b[:8], number<<16)
	return node{b, length}
}

func hexValue(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func bitsOf(a netip.Addr) bitString {
	var b bitString
	copy(b[:], a.AsSlice())
	return b
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) bitString {
	b := bitsOf(p.Masked().Addr())
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return b
}

func (a *addresses) permutation(addr netip.Addr) *permutation {
	if addr.Is4() {
		return a.four
	}
	return a.six
}

// addr maps an address. Its zone stays.
func (a *addresses) addr(old netip.Addr) netip.Addr {
	if !old.IsValid() {
		return old
	}
	bare := old.WithZone("")
	out, known := a.mapped[bare]
	if !known {
		p := a.permutation(old)
		b := p.apply(bitsOf(old), p.width)
		out, _ = netip.AddrFromSlice(b[:p.width/8])
		a.mapped[bare] = out
	}
	return out.WithZone(old.Zone())
}

// prefix maps a network, or an address with the length of its network.
func (a *addresses) prefix(old netip.Prefix) netip.Prefix {
	if !old.IsValid() {
		return old
	}
	out := netip.PrefixFrom(a.addr(old.Addr()), old.Bits())
	if old == old.Masked() {
		out = out.Masked()
		a.networks[out.Addr()] = true
	}
	return out
}

// subnet keeps the first and the last address of a network what they are, and
// says so before any address is mapped.
func (a *addresses) subnet(p netip.Prefix) {
	if p.IsValid() && p.Bits() < p.Addr().BitLen() {
		a.permutation(p.Addr()).keepRange(bitsOf(p.Masked().Addr()), lastOf(p))
	}
}

// span keeps a range of addresses one. A prefix is one anyway.
func (a *addresses) span(from, to netip.Addr) {
	if from.Is4() != to.Is4() || to.Less(from) {
		return
	}
	a.permutation(from).span(bitsOf(from), bitsOf(to))
}

// span is keepRange for a range that need not be a prefix.
func (p *permutation) span(from, to bitString) {
	n := min(common(from, to), p.width)
	if from.after(n) == (bitString{}) && to.after(n) == ones.first(p.width-n) {
		return
	}
	p.keepRange(from, to)
}

// hardware maps a link's address, which is a MAC address, or for a tunnel an
// address of IP.
func (a *addresses) hardware(old net.HardwareAddr) net.HardwareAddr {
	switch len(old) {
	case 4, 16:
		ip, _ := netip.AddrFromSlice(old)
		return net.HardwareAddr(a.addr(ip).AsSlice())
	case 6:
		var b bitString
		copy(b[:], old)
		b = a.link.apply(b, 48)
		out := net.HardwareAddr(append([]byte(nil), b[:6]...))
		if out.String() != old.String() {
			a.macs[old.String()] = out.String()
		}
		return out
	}
	// InfiniBand's and others: each part of six bytes by itself.
	out := append(net.HardwareAddr(nil), old...)
	for i := 0; i+6 <= len(old); i += 6 {
		var b bitString
		copy(b[:], old[i:i+6])
		b = a.link.apply(b, 48)
		copy(out[i:], b[:6])
	}
	return out
}

func hardwareText(b []byte) string { return net.HardwareAddr(b).String() }

// images are what addresses and networks became; they may be in a redacted document
// by right, though some are also addresses that were replaced.
func (a *addresses) images() map[string]bool {
	list := map[string]bool{}
	for old, addr := range a.mapped {
		if old != addr {
			list[addr.String()] = true
		}
	}
	for first := range a.networks {
		list[first.String()] = true
	}
	for _, link := range a.macs {
		list[link] = true
	}
	return list
}
