package firewall

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// Packet is a packet as people ask for it. Addresses are A, A:PORT or [A]:PORT;
// what is left out is not known to rules that ask for it.
type Packet struct {
	Proto string `json:"proto"` // tcp, udp, icmp, icmpv6, sctp, … or a number
	Src   string `json:"src"`
	Dst   string `json:"dst"`
	IIF   string `json:"iif,omitempty"`
	OIF   string `json:"oif,omitempty"`
	Way   string `json:"way,omitempty"` // in, out, forward, local; empty: routing decides
	// State is new, established, related, invalid or untracked; empty is new.
	State string `json:"state,omitempty"`
	Mark  Number `json:"mark,omitempty"`
	UID   Number `json:"uid,omitempty"`
	Flags string `json:"flags,omitempty"` // TCP flags, as in syn,ack
}

// Number is an unsigned 32-bit number, written as nft and iptables do: 10 or
// 0xa. Empty is none.
type Number string

// UnmarshalJSON takes a JSON number, or a text as on the command line.
func (n *Number) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
	} else if s = string(b); s == "null" {
		s = ""
	}
	*n = Number(s)
	return nil
}

// value is the number, 0 if there is none.
func (n Number) value(what string) (uint32, error) {
	if n == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(string(n), 0, 32)
	if err != nil {
		return 0, fmt.Errorf("%s %q: it is a number from 0 to 4294967295", what, cut(string(n)))
	}
	return uint32(v), nil
}

// cut bounds a text from outside that stands in an error.
func cut(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// protocols are those that have a name here: of etc/protocols, as nft and
// iptables know them.
var protocols = map[string]uint8{"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
	"icmpv6": 58, "ipv6-icmp": 58, "icmp6": 58, "ospf": 89, "pim": 103, "vrrp": 112, "comp": 108, "sctp": 132, "udplite": 136}

const (
	protocolICMP    = 1
	protocolTCP     = 6
	protocolUDP     = 17
	protocolDCCP    = 33
	protocolICMP6   = 58
	protocolSCTP    = 132
	protocolUDPLite = 136
)

// states are the names of conntrack's states, as nft has them.
var states = map[string]uint32{"": 0, "new": eval.New, "established": eval.Established, "related": eval.Related, "invalid": eval.Invalid, "untracked": eval.Untracked}

// ways are the words for a packet's way.
var ways = map[string]eval.Way{"": "", "in": eval.In, "out": eval.Out, "forward": eval.Forward, "local": eval.Through}

// tcpFlags are the bits of the 14th byte of a TCP header (RFC 9293).
var tcpFlags = map[string]uint8{"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "ece": 64, "cwr": 128}

// endpoint is an address with a port, if that was told.
type endpoint struct {
	addr netip.Addr
	port uint16
	has  bool
}

func parseEndpoint(what, s string) (endpoint, error) {
	if s == "" {
		return endpoint{}, fmt.Errorf("%s is missing: it is an address, as in 10.0.0.1:80 or [2001:db8::1]:80", what)
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return endpoint{addr: a.WithZone("").Unmap()}, nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return endpoint{}, fmt.Errorf("%s %q: it is an address, as in 10.0.0.1:80 or [2001:db8::1]:80", what, cut(s))
	}
	return endpoint{ap.Addr().WithZone("").Unmap(), ap.Port(), true}, nil
}

// parsed is a packet that was understood.
type parsed struct {
	src, dst endpoint
	protocol uint8
	flags    uint8
	state    uint32
	mark     uint32
	uid      uint32
	hasUID   bool
	way      eval.Way
	iif, oif string
}

// parse checks what was asked.
func (p Packet) parse() (q parsed, err error) {
	var ok bool
	if q.protocol, ok = protocols[strings.ToLower(p.Proto)]; !ok {
		n, err := strconv.ParseUint(p.Proto, 10, 8)
		if err != nil {
			if p.Proto == "" {
				return q, fmt.Errorf("proto is missing: tcp, udp, icmp, icmpv6, … or a number")
			}
			return q, fmt.Errorf("proto %q: it is tcp, udp, icmp, icmpv6, … or a number up to 255", cut(p.Proto))
		}
		q.protocol = uint8(n)
	}
	if q.src, err = parseEndpoint("src", p.Src); err != nil {
		return q, err
	}
	if q.dst, err = parseEndpoint("dst", p.Dst); err != nil {
		return q, err
	}
	if q.src.addr.Is4() != q.dst.addr.Is4() {
		return q, fmt.Errorf("src %s and dst %s are of different families", q.src.addr, q.dst.addr)
	}
	if !hasPorts(q.protocol) && (q.src.has || q.dst.has) {
		return q, fmt.Errorf("proto %s has no ports", p.Proto)
	}
	if q.protocol == protocolICMP && !q.dst.addr.Is4() || q.protocol == protocolICMP6 && q.dst.addr.Is4() {
		return q, fmt.Errorf("proto %s doesn't go to %s: IPv4 has icmp, IPv6 icmpv6", p.Proto, q.dst.addr)
	}
	if q.state, ok = states[strings.ToLower(p.State)]; !ok {
		return q, fmt.Errorf("state %q: it is new, established, related, invalid or untracked", cut(p.State))
	}
	if q.way, ok = ways[strings.ToLower(p.Way)]; !ok {
		return q, fmt.Errorf("way %q: it is in, out, forward or local", cut(p.Way))
	}
	if q.mark, err = p.Mark.value("mark"); err != nil {
		return q, err
	}
	if q.uid, err = p.UID.value("uid"); err != nil {
		return q, err
	}
	q.hasUID = p.UID != ""
	q.iif, q.oif = p.IIF, p.OIF
	for _, d := range []struct{ what, name string }{{"iif", p.IIF}, {"oif", p.OIF}} {
		if len(d.name) > 15 || strings.ContainsAny(d.name, "/ \t\n\x00") {
			return q, fmt.Errorf("%s %q: a device has a name of up to 15 characters", d.what, cut(d.name))
		}
	}
	q.flags, err = p.tcpFlags(q)
	return q, err
}

func (p Packet) tcpFlags(q parsed) (bits uint8, err error) {
	if p.Flags == "" {
		if q.state == eval.Established {
			return tcpFlags["ack"], nil
		}
		return tcpFlags["syn"], nil
	}
	if q.protocol != protocolTCP {
		return 0, fmt.Errorf("flags %q: only tcp has them", cut(p.Flags))
	}
	for name := range strings.SplitSeq(strings.ToLower(p.Flags), ",") {
		bit, ok := tcpFlags[strings.TrimSpace(name)]
		if !ok && strings.TrimSpace(name) != "none" {
			return 0, fmt.Errorf("flags %q: they are fin, syn, rst, psh, ack, urg, ecn, cwr or none", cut(p.Flags))
		}
		bits |= bit
	}
	return bits, nil
}

func hasPorts(protocol uint8) bool {
	switch protocol {
	case protocolTCP, protocolUDP, protocolDCCP, protocolSCTP, protocolUDPLite:
		return true
	}
	return false
}

// family of the packet.
func (q parsed) family() rules.Family {
	if q.dst.addr.Is4() {
		return rules.IP
	}
	return rules.IP6
}
