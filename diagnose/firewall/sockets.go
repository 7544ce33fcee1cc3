package firewall

import (
	"net/netip"

	"github.com/portwhy/portwhy/diagnose/takers"
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
	var connected, waiting []host.Socket
	for _, s := range sockets {
		if _, ok := takers.Fits(s, a.dst, a.device); !ok {
			continue
		}
		mine, known := a.connected(&s)
		switch waits := a.waits(&s); {
		case !known, s.Brief && (mine || waits):
			return nil, false
		case mine:
			connected = append(connected, s)
		case waits:
			waiting = append(waiting, s)
		}
	}
	if len(connected) == 0 {
		connected = takers.Of(waiting, a.dst, a.device)
	}
	var found *eval.Socket
	for _, s := range connected {
		one := &eval.Socket{Transparent: s.Transparent, Wildcard: s.Local.Addr().WithZone("").Unmap().IsUnspecified(), Mark: s.Mark, UID: s.UID}
		if found != nil && *found != *one {
			return nil, false
		}
		found = one
	}
	// A connection that is being made has no socket that is listed.
	return found, found != nil || !a.tcp || a.first
}

// waits reports whether a socket takes what comes to its port from anybody.
func (a *arrival) waits(s *host.Socket) bool {
	if a.tcp {
		return s.State == host.Listen
	}
	return !s.Remote.IsValid() || s.Remote.Port() == 0
}

// connected reports whether a socket is connected to the packet's sender; not known
// where that can't be told, or what its options are.
func (a *arrival) connected(s *host.Socket) (mine, known bool) {
	remote := s.Remote
	switch {
	case a.waits(s), s.State == host.BoundInactive, !remote.IsValid(), remote.Port() == 0, remote.Addr().WithZone("").Unmap() != a.src.WithZone(""):
		return false, true
	case !a.fromPort:
		return false, a.first // one that begins has a port of its own
	case remote.Port() != a.sport:
		return false, true
	case s.State == host.TimeWait:
		return false, false
	}
	return true, true
}
