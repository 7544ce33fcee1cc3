package xtables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// network is an address with its mask, both 4 or 16 bytes; nil matches all.
type network struct{ address, mask []byte }

// networks reads what follows -s or -d: addresses with or without a mask,
// separated by commas, and adds it to nets. It says what is wrong with the one that
// it can't read.
func (p *parser) networks(nets []network, list string) ([]network, string) {
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimLeft(s, " \t")
		n, wrong := p.network(s)
		if wrong != "" {
			return nil, wrong
		}
		nets = append(nets, n)
		if len(nets) > listMax {
			return nil, "too many addresses"
		}
	}
	return nets, ""
}

// network reads ADDRESS[/MASK]. With a mask of zero the address is not looked
// at, as in any/0 (xtables_ipparse_multiple in libxtables).
func (p *parser) network(s string) (n network, wrong string) {
	address, mask := s, ""
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		address, mask = s[:i], s[i+1:]
	}
	n.mask = p.mask(mask, address != s)
	if n.mask == nil {
		return network{}, "not a mask: " + strconv.Quote(mask)
	}
	if zeros(n.mask) {
		return network{}, ""
	}
	var buffer [16]byte
	a, ok := p.address(buffer[:0], address)
	if !ok {
		return network{}, "not an " + p.familyName() + " address: " + strconv.Quote(address)
	}
	for i := range a {
		a[i] &= n.mask[i]
	}
	n.address = append([]byte(nil), a...)
	return n, ""
}

func (p *parser) familyName() string {
	if p.table.Family == rules.IP6 {
		return "IPv6"
	}
	return "IPv4"
}

// address reads a numeric address. IPv4 may be cut short, 10.1 is 10.1.0.0.
// Names are not looked up: what they stood for is not known.
func (p *parser) address(to []byte, s string) ([]byte, bool) {
	if p.table.Family == rules.IP6 {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is4() || a.Zone() != "" {
			return nil, false
		}
		b := a.As16()
		return append(to, b[:]...), true
	}
	n := 0
	for {
		part, rest, more := strings.Cut(s, ".")
		v, ok := number(part, 0xff)
		if !ok || n == 4 {
			return nil, false
		}
		to = append(to, byte(v))
		n++
		if !more {
			break
		}
		s = rest
	}
	return append(to, make([]byte, 4-n)...), true
}

// mask reads a mask: a number of bits or an address; nil if it is none.
func (p *parser) mask(s string, given bool) []byte {
	size := 4
	if p.table.Family == rules.IP6 {
		size = 16
	}
	if !given {
		return p.bits(size*8, size)
	}
	if n, ok := number(s, uint64(size*8)); ok {
		return p.bits(int(n), size)
	}
	var buffer [16]byte
	m, ok := p.address(buffer[:0], s)
	if !ok || size == 4 && strings.Count(s, ".") != 3 {
		return nil
	}
	return append([]byte(nil), m...)
}

// bits is a mask of n ones. There are few, so they are made once.
func (p *parser) bits(n, size int) []byte {
	if p.masks == nil {
		p.masks = map[int][]byte{}
	}
	key := size<<8 | n
	m := p.masks[key]
	if m == nil {
		m = make([]byte, size)
		for i := range n {
			m[i/8] |= 0x80 >> (i % 8)
		}
		p.masks[key] = m
	}
	return m
}

func zeros(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// number reads a number as strtoul(3) does with base 0: 10, 0x0a or 012.
func number(s string, limit uint64) (uint64, bool) {
	if len(s) == 0 || s[0] < '0' || s[0] > '9' || strings.ContainsAny(s, "_oObB") && !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0X") {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 0, 64)
	return n, err == nil && n <= limit
}

// protocols are the names of protocols: those that iptables knows itself
// (xtables_chain_protos in libxtables) and those of Debian's /etc/protocols.
var protocols = map[string]uint16{
	"all": 0, "tcp": 6, "sctp": 132, "udp": 17, "udplite": 136, "icmp": 1, "icmpv6": 58, "ipv6-icmp": 58,
	"esp": 50, "ah": 51, "mobility-header": 135, "ipv6-mh": 135, "mh": 135,
	"ip": 0, "hopopt": 0, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "egp": 8, "igp": 9, "pup": 12, "hmp": 20,
	"xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "ipv6": 41,
	"ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "skip": 57, "ipv6-nonxt": 59,
	"ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89, "ax.25": 93, "ipip": 94, "etherip": 97,
	"encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "isis": 124, "fc": 133, "mpls-in-ip": 137,
	"manet": 138, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142, "ethernet": 143,
}

// protocol reads a protocol's number or name, in capitals or not.
func protocol(s string) (uint16, bool) {
	if n, ok := number(s, 0xff); ok {
		return uint16(n), true
	}
	n, ok := protocols[s]
	if !ok {
		n, ok = protocols[strings.ToLower(s)]
	}
	return n, ok
}
