package firewall

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/words"
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

	// The ports of a bridge by which it comes and leaves; bridged: it doesn't leave
	// the bridge.
	inPort, outPort string
	bridged         bool
	// Hardware addresses of both ends; empty where they are not known.
	srcMAC, dstMAC string
	// about is the packet that an error of ICMP is about, which it says can't reach
	// its destination for the reason that code gives; empty: it is none.
	about string
	code  uint8
}

// End is one of two hosts on a bridge: the bridge's port for it and the host's
// hardware address, as aa:bb:cc:dd:ee:ff.
type End struct{ Port, MAC string }

// Across is a packet that a bridge takes from one of its ports to another.
func (p Packet) Across(bridge string, from, to End) Packet {
	p.Way, p.IIF, p.OIF, p.inPort, p.outPort, p.bridged = string(eval.Bridged), bridge, bridge, from.Port, to.Port, true
	p.srcMAC, p.dstMAC = from.MAC, to.MAC
	return p
}

// AcrossBridge reports whether the packet goes between two ports of a bridge.
func (t *Trace) AcrossBridge() bool { return t.Asked.bridged }

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

// protocolNamed is a protocol's number by its name in /etc/protocols, or by what
// nft and people call ICMP of IPv6.
func protocolNamed(name string) (uint8, bool) {
	if name == "icmpv6" || name == "icmp6" {
		return protocolICMP6, true
	}
	n, ok := words.InetProto.Value(name)
	return uint8(n), ok
}

const (
	protocolICMP    = 1
	protocolTCP     = 6
	protocolUDP     = 17
	protocolDCCP    = 33
	protocolICMP6   = 58
	protocolSCTP    = 132
	protocolUDPLite = 136
)

// ways are the words for a packet's way.
var ways = map[string]eval.Way{"": "", "in": eval.In, "out": eval.Out, "forward": eval.Forward, "local": eval.Through}

// Bits of the 14th byte of a TCP header (RFC 9293).
const flagFIN, flagSYN, flagRST, flagACK = 0x01, 0x02, 0x04, 0x10

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
	about    string
	code     uint8
}

// parse checks what was asked.
func (p Packet) parse() (q parsed, err error) {
	var ok bool
	if q.protocol, ok = protocolNamed(strings.ToLower(p.Proto)); !ok {
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
	if !eval.HasPorts(q.protocol) && (q.src.has || q.dst.has) {
		return q, fmt.Errorf("proto %s has no ports", p.Proto)
	}
	if q.protocol == protocolICMP && !q.dst.addr.Is4() || q.protocol == protocolICMP6 && q.dst.addr.Is4() {
		return q, fmt.Errorf("proto %s doesn't go to %s: IPv4 has icmp, IPv6 icmpv6", p.Proto, q.dst.addr)
	}
	if q.state, ok = stateNamed(strings.ToLower(p.State)); !ok {
		return q, fmt.Errorf("state %q: it is new, established, related, invalid or untracked", cut(p.State))
	}
	if q.way, ok = ways[strings.ToLower(p.Way)]; p.bridged {
		q.way = eval.Bridged
	} else if !ok {
		return q, fmt.Errorf("way %q: it is in, out, forward or local", cut(p.Way))
	}
	if q.mark, err = p.Mark.value("mark"); err != nil {
		return q, err
	}
	if q.uid, err = p.UID.value("uid"); err != nil {
		return q, err
	}
	q.hasUID = p.UID != ""
	q.iif, q.oif, q.about, q.code = p.IIF, p.OIF, p.about, p.code
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
			return flagACK, nil
		}
		return flagSYN, nil
	}
	if q.protocol != protocolTCP {
		return 0, fmt.Errorf("flags %q: only tcp has them", cut(p.Flags))
	}
	for name := range strings.SplitSeq(strings.ToLower(p.Flags), ",") {
		bit, ok := words.TCPFlag.Value(strings.TrimSpace(name))
		if !ok && strings.TrimSpace(name) != "none" {
			return 0, fmt.Errorf("flags %q: they are fin, syn, rst, psh, ack, urg, ecn, cwr or none", cut(p.Flags))
		}
		bits |= uint8(bit)
	}
	return bits, nil
}

// stateNamed is a state of conntrack by nft's name, 0 if none is told.
func stateNamed(name string) (uint32, bool) {
	if name == "" {
		return 0, true
	}
	n, ok := words.CTState.Value(name)
	return uint32(n), ok
}

// family of the packet.
func (q parsed) family() rules.Family {
	if q.dst.addr.Is4() {
		return rules.IP
	}
	return rules.IP6
}
