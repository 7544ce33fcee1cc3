package checks

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// The numbers of the protocols of errors (IPPROTO_ICMP, IPPROTO_ICMPV6).
const protocolICMP, protocolICMPv6 = 1, 58

// arrival is a packet from outside as this host answers it.
type arrival struct {
	from, at netip.AddrPort // behind NAT
	device   string
	mark     uint32
	unmarked bool // the mark is not known
	rejected bool // a rule answers it
}

// wayBack is how this host sends an answer.
type wayBack struct {
	query    host.RouteQuery
	route    host.Route
	carries  string // why it has its mark
	packets  uint32 // the mark, where it is that of what it answers
	evidence []diagnose.Evidence
	unknown  string // why its mark is not known
	rejects  bool   // a rule answers
	refuses  bool   // nothing takes the packet, and an error of ICMP says so
}

// arrivalOf is a packet as rules let it come to this host, or reject it; false for
// one of which NAT makes what can't be told.
func arrivalOf(t *firewall.Trace) (arrival, bool) {
	to := t.Packet
	if to.Src == nil || to.Dst == nil || to.Sport == nil || to.Dport == nil {
		return arrival{}, false
	}
	a := arrival{from: netip.AddrPortFrom(*to.Src, *to.Sport), at: netip.AddrPortFrom(*to.Dst, *to.Dport), device: t.Asked.IIF, rejected: t.Verdict == "reject"}
	mark, known := t.Mark()
	a.mark, a.unmarked = mark, !known
	return a, true
}

// answerTo finds the mark and the way of an answer, as the kernel routes what a
// socket sends (inet_csk_route_req; inet_request_mark of net/inet_sock.h), and what
// it sends by itself: resets and ICMP errors (ip_send_unicast_reply, icmp_send,
// nf_send_reset: IP4_REPLY_MARK and IP6_REPLY_MARK).
func answerTo(p *diagnose.Pass, in arrival) (wayBack, error) {
	a, err := markOf(p, in)
	if err != nil || a.unknown != "" {
		return a, err
	}
	a.route, err = p.Host.RouteTo(p.Ctx, a.query)
	return a, err
}

// markOf is an answer with its mark, not yet routed.
func markOf(p *diagnose.Pass, in arrival) (wayBack, error) {
	network := p.Flow.Network
	if p.Flow.FromPort == 0 {
		in.from = netip.AddrPortFrom(in.from.Addr(), 0) // any
	}
	a := wayBack{rejects: in.rejected, query: host.RouteQuery{Destination: in.from.Addr(), Source: in.at.Addr(), UID: new(uint32),
		Protocol: protocolNumber[network], SourcePort: in.at.Port(), DestinationPort: in.from.Port()}}
	key := "net.ipv4.fwmark_reflect"
	if in.at.Addr().Is6() {
		key = "net.ipv6.fwmark_reflect"
	}
	var listener *host.Socket
	if !in.rejected {
		socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: network, Port: in.at.Port(), States: listening(network)})
		if err != nil {
			return a, err
		}
		listener = lookup(socks, in.at.Addr(), in.device)
	}
	switch {
	case listener != nil:
		a.query.UID, a.query.OutDevice = &listener.UID, listener.Device
		a.query.Mark, key = listener.Mark, ""
		if network == "tcp" && listener.Mark == 0 {
			key = "net.ipv4.tcp_fwmark_accept" // of both families
		}
		if listener.Mark != 0 {
			a.carries = "its socket has set it, SO_MARK"
			a.evidence = append(a.evidence, diagnose.Evidence{Source: "INET_DIAG_MARK", What: socketAddress(*listener), Value: fmt.Sprintf("%#x", listener.Mark)})
		}
	case network == "udp":
		a.refuses = !in.rejected
		a.query.Protocol, a.query.SourcePort, a.query.DestinationPort = protocolICMP, 0, 0
		if in.at.Addr().Is6() {
			a.query.Protocol = protocolICMPv6
		}
	}
	return a, a.take(p, in, key)
}

// take gives the answer the mark of what it answers where a setting says so.
func (a *wayBack) take(p *diagnose.Pass, in arrival, key string) error {
	if key == "" || in.mark == 0 && !in.unmarked {
		return nil
	}
	s, err := p.Host.Sysctl(p.Ctx, key)
	switch {
	case errors.Is(err, host.ErrUnsupported):
		return nil
	case err != nil:
		return err
	case strings.TrimSpace(s.Value) == "0":
		return nil
	}
	a.evidence = append(a.evidence, sysctlEvidence(s))
	if !in.unmarked {
		a.query.Mark, a.packets, a.carries = in.mark, in.mark, key+" = "+strings.TrimSpace(s.Value)
		return nil
	}
	asked, err := asksForMarks(p, in.from.Addr())
	if asked {
		a.unknown = fmt.Sprintf("it has the mark of the packet (%s = %s), policy rules ask for that, and it can't be told", key, strings.TrimSpace(s.Value))
	}
	return err
}

// replies is what the model of the firewall asks of the host: how it answers.
func replies(p *diagnose.Pass) func(*firewall.Trace) firewall.Reply {
	return func(there *firewall.Trace) firewall.Reply {
		in, ok := arrivalOf(there)
		if !ok {
			return firewall.Reply{}
		}
		way := answerTo
		if there.Packet.Way != "in" { // it stays on this host
			way = markOf
		}
		a, err := way(p, in)
		switch {
		case err != nil && in.mark == 0 && !in.unmarked:
			return firewall.Reply{} // as most answers are: what can't be asked seldom matters
		case err != nil:
			return firewall.Reply{Unknown: "the way of the answer: " + err.Error()}
		}
		r := firewall.Reply{Mark: a.query.Mark, Refused: a.refuses, Unknown: a.unknown}
		if !lost(a.route) {
			r.Out = a.route.Device
		}
		return r
	}
}
