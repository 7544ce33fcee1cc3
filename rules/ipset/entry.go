package ipset

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/words"
)

// member is one entry as the kernel keeps it.
type member struct {
	addresses [2]netip.Prefix // in order; of a type of addresses all their bits
	protocol  uint8
	port      uint16 // of ICMP, type * 256 + code
	mac       [6]byte
	hasMAC    bool // in bitmap:ip,mac it may be left open
	mark      uint32
	device    string
	bridged   bool // device is a bridge's port (physdev:)
	set       string
}

// span is an entry as it is written: from a member to one whose addresses and
// port are as large or larger. Its addresses are prefixes unless last is set.
type span struct {
	member
	last     [2]netip.Addr
	lastPort uint16
}

const protoTCP, protoUDP, protoICMP, protoICMP6, protoSCTP, protoUDPLite = 6, 17, 1, 58, 132, 136

func withPorts(protocol uint8) bool {
	switch protocol {
	case protoTCP, protoUDP, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

// parseEntry reads an entry as ipset(8) takes it: the parts of its type,
// separated by commas.
func (k *kind) parseEntry(family rules.Family, entry string) (span, error) {
	var s span
	rest, more := entry, true
	slot := 0
	for i, d := range k.dims {
		if !more {
			if d == dimMAC && k.ranged {
				break // bitmap:ip,mac: the address alone
			}
			return s, fmt.Errorf("expected %d parts separated by commas", len(k.dims))
		}
		var part string
		if part, rest, more = strings.Cut(rest, ","); i == len(k.dims)-1 && more {
			return s, fmt.Errorf("expected no more than %d parts", len(k.dims))
		}
		if err := s.parsePart(d, slot, family, part); err != nil {
			return s, err
		}
		if d == dimIP || d == dimNet {
			slot++
		}
	}
	return s, nil
}

func (s *span) parsePart(d dimension, slot int, family rules.Family, part string) (err error) {
	switch d {
	case dimIP, dimNet:
		s.addresses[slot], s.last[slot], err = parseAddresses(family, part)
	case dimPort:
		err = s.parsePort(family, part)
	case dimBare:
		s.port, s.lastPort, err = parsePorts(part)
	case dimMAC:
		s.mac, err = parseMAC(part)
		s.hasMAC = err == nil
	case dimMark:
		n, wrong := strconv.ParseUint(part, 0, 32)
		if s.mark = uint32(n); wrong != nil {
			err = fmt.Errorf("expected a mark, not %q", part)
		}
	case dimDevice:
		s.device, s.bridged = strings.CutPrefix(part, "physdev:")
		if len(s.device) == 0 || len(s.device) > 15 {
			err = fmt.Errorf("expected a device's name, not %q", part)
		}
	case dimSet:
		if s.set = part; len(part) == 0 || len(part) > nameMax {
			err = fmt.Errorf("expected the name of a set, not %q", part)
		}
	}
	return err
}

// parseAddresses reads an address, a network or a range of addresses, whose end
// is then valid.
func parseAddresses(family rules.Family, s string) (netip.Prefix, netip.Addr, error) {
	wrong := func() (netip.Prefix, netip.Addr, error) {
		return netip.Prefix{}, netip.Addr{}, fmt.Errorf("expected an %s address or network, not %q", familyName(family), s)
	}
	from, to, ranged := strings.Cut(s, "-")
	from, length, network := strings.Cut(from, "/")
	a, err := netip.ParseAddr(from)
	if err != nil || a.Zone() != "" || a.Is4() != (family == rules.IP) || ranged && network {
		return wrong()
	}
	bits := a.BitLen()
	if network {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits {
			return wrong()
		}
		bits = int(n)
	}
	p := netip.PrefixFrom(a, bits)
	if !ranged {
		return p, netip.Addr{}, nil
	}
	last, err := netip.ParseAddr(to)
	if err != nil || last.Zone() != "" || last.Is4() != a.Is4() {
		return wrong()
	}
	if last.Less(a) {
		p, last = netip.PrefixFrom(last, bits), a
	}
	return p, last, nil
}

func familyName(f rules.Family) string {
	if f == rules.IP6 {
		return "IPv6"
	}
	return "IPv4"
}

// parsePort reads [PROTOCOL:]PORT[-PORT]; without a protocol it is TCP. For
// ICMP a type and code or their name stands in place of the port, for other
// protocols 0.
func (s *span) parsePort(family rules.Family, part string) error {
	name, port, named := strings.Cut(part, ":")
	if !named {
		name, port = "tcp", part
	}
	protocol, ok := protocolNumber(name)
	if !ok {
		return fmt.Errorf("expected a protocol, not %q", name)
	}
	s.protocol = protocol
	switch {
	case withPorts(protocol):
		var err error
		s.port, s.lastPort, err = parsePorts(port)
		return err
	case protocol == protoICMP && family == rules.IP:
		return s.parseCode(codes4, port)
	case protocol == protoICMP6 && family == rules.IP6:
		return s.parseCode(codes6, port)
	case protocol == protoICMP || protocol == protoICMP6:
		return fmt.Errorf("expected a protocol of %s, not %s", familyName(family), name)
	case port != "0":
		return fmt.Errorf("expected port 0 for protocol %s", name)
	}
	return nil
}

func (s *span) parseCode(codes []code, part string) error {
	for _, c := range codes {
		if c.name == part {
			s.port, s.lastPort = c.number, c.number
			return nil
		}
	}
	t, c, _ := strings.Cut(part, "/")
	a, err1 := strconv.ParseUint(t, 0, 8)
	b, err2 := strconv.ParseUint(c, 0, 8)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("expected an ICMP type/code or its name, not %q", part)
	}
	s.port = uint16(a<<8 | b)
	s.lastPort = s.port
	return nil
}

func parsePorts(part string) (from, to uint16, err error) {
	a, b, ranged := strings.Cut(part, "-")
	if !ranged {
		b = a
	}
	first, err1 := strconv.ParseUint(a, 0, 16)
	last, err2 := strconv.ParseUint(b, 0, 16)
	if errors.Join(err1, err2) != nil {
		return 0, 0, fmt.Errorf("expected a port, not %q", part)
	}
	return uint16(min(first, last)), uint16(max(first, last)), nil
}

func parseMAC(s string) (mac [6]byte, err error) {
	for i := range mac {
		var part string
		part, s, _ = strings.Cut(s, ":")
		n, wrong := strconv.ParseUint(part, 16, 8)
		if wrong != nil || len(part) != 2 || i == 5 && s != "" {
			return mac, errors.New("expected a MAC address")
		}
		mac[i] = byte(n)
	}
	return mac, nil
}

var protocolNames = func() map[string]uint8 {
	m := map[string]uint8{"icmpv6": protoICMP6}
	for _, p := range words.Protocols {
		m[p.Name] = uint8(p.Value)
	}
	return m
}()

var protocolTexts = func() map[uint8]string {
	m := map[uint8]string{}
	for _, p := range words.Protocols {
		m[uint8(p.Value)] = p.Name
	}
	return m
}()

func protocolNumber(s string) (uint8, bool) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		return uint8(n), n != 0
	}
	n, ok := protocolNames[strings.ToLower(s)]
	return n, ok && n != 0
}

// format writes a member as `ipset save` does.
func (k *kind) format(m *member) string {
	b := make([]byte, 0, 64)
	slot := 0
	for i, d := range k.dims {
		if d == dimMAC && !m.hasMAC {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		switch d {
		case dimIP:
			b = m.addresses[slot].Addr().AppendTo(b)
			slot++
		case dimNet:
			if p := m.addresses[slot]; p.IsSingleIP() {
				b = p.Addr().AppendTo(b)
			} else {
				b = p.AppendTo(b)
			}
			slot++
		case dimPort:
			b = m.appendPort(b)
		case dimBare:
			b = strconv.AppendUint(b, uint64(m.port), 10)
		case dimMAC:
			b = fmt.Appendf(b, "%02X:%02X:%02X:%02X:%02X:%02X", m.mac[0], m.mac[1], m.mac[2], m.mac[3], m.mac[4], m.mac[5])
		case dimMark:
			b = fmt.Appendf(b, "0x%08x", m.mark)
		case dimDevice:
			if m.bridged {
				b = append(b, "physdev:"...)
			}
			b = append(b, m.device...)
		case dimSet:
			b = append(b, m.set...)
		}
	}
	return string(b)
}

func (m *member) appendPort(b []byte) []byte {
	if name := protocolTexts[m.protocol]; name != "" {
		b = append(b, name...)
	} else {
		b = strconv.AppendUint(b, uint64(m.protocol), 10)
	}
	b = append(b, ':')
	var codes []code
	switch m.protocol {
	case protoICMP:
		codes = codes4
	case protoICMP6:
		codes = codes6
	default:
		return strconv.AppendUint(b, uint64(m.port), 10)
	}
	for _, c := range codes {
		if c.number == m.port {
			return append(b, c.name...)
		}
	}
	return fmt.Appendf(b, "%d/%d", m.port>>8, m.port&0xff)
}
