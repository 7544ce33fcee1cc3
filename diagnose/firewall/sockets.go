package firewall

import (
	"net/netip"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules/eval"
)

// socket finds the socket of this host that a packet which has arrived belongs to,
// as nf_sk_lookup_slow_v4 and _v6 do (net/ipv4/netfilter/nf_socket_ipv4.c): one
// that is connected to its sender, else one that takes what comes to its port.
// It is false where that can't be told.
func (f *facts) socket(p *eval.Packet) (*eval.Socket, bool) {
	network := ""
	switch protocol, found := p.Protocol(); {
	case !found:
		return nil, true
	case protocol == protocolTCP:
		network = "tcp"
	case protocol == protocolUDP:
		network = "udp"
	default: // of ICMP, errors are about the socket of the packet in them
		return nil, protocol != protocolICMP && protocol != protocolICMP6
	}
	a := arrival{device: p.In, tcp: network == "tcp", src: p.Address(false), dst: p.Address(true), first: p.State == 0 || p.State == eval.New}
	var known bool
	a.sport, a.fromPort = p.Port(false)
	if a.dport, known = p.Port(true); !known || p.In == "" || !a.src.IsValid() || !a.dst.IsValid() {
		return nil, false
	}
	sockets, err := f.host.Sockets(f.ctx, host.SocketQuery{Network: network, Port: a.dport})
	if err != nil {
		return nil, false
	}
	return a.find(sockets)
}

// arrival is what of a packet says which socket it is for.
type arrival struct {
	device       string
	tcp          bool
	src, dst     netip.Addr
	sport, dport uint16
	fromPort     bool // sport is known
	first        bool // of its flow
}

// find is inet_lookup and udp4_lib_lookup, or those of IPv6.
func (a *arrival) find(sockets []host.Socket) (*eval.Socket, bool) {
	var best *eval.Socket
	most, sure := 0, true
	for i := range sockets {
		s := &sockets[i]
		score, known := a.score(s)
		if !known || score > 0 && s.Brief {
			return nil, false
		}
		if score == 0 || score < most {
			continue
		}
		found := &eval.Socket{Transparent: s.Transparent, Wildcard: s.Local.Addr().WithZone("").Unmap().IsUnspecified(), Mark: s.Mark, UID: s.UID}
		// Of sockets that share the port, one is picked by a hash.
		sure = score > most || sure && *found == *best
		best, most = found, score
	}
	if best == nil && a.tcp && !a.first {
		return nil, false // a connection that is being made has no socket that is listed
	}
	return best, sure
}

// score is how well a socket fits, 0 if it doesn't; false if that isn't known.
func (a *arrival) score(s *host.Socket) (int, bool) {
	const connected, exact, bound, own = 1000, 100, 10, 1
	local := s.Local.Addr().WithZone("")
	four := local.Is4() || local.Is4In6()
	score := own
	switch {
	case s.Interface != 0 && s.Device != a.device:
		return 0, true
	case local.Unmap() == a.dst.WithZone(""):
		score += exact
	case !local.Unmap().IsUnspecified(), four && !a.dst.Is4():
		return 0, true
	case !four && a.dst.Is4() && s.V6Only:
		return 0, true
	}
	if s.Interface != 0 {
		score += bound
	}
	if four == a.dst.Is4() {
		score += own
	}
	remote := s.Remote
	switch {
	case a.tcp && (s.State == host.Listen || s.State == host.BoundInactive):
		if s.State != host.Listen {
			return 0, true
		}
		return score, true
	case !remote.IsValid() || remote.Port() == 0:
		if a.tcp {
			return 0, true
		}
		return score, true
	case remote.Addr().WithZone("").Unmap() != a.src.WithZone(""):
		return 0, true
	case !a.fromPort:
		return 0, a.first // one that begins has a port of its own
	case remote.Port() != a.sport:
		return 0, true
	case s.State == host.TimeWait:
		return 0, false // its options are not told
	}
	return score + connected, true
}
