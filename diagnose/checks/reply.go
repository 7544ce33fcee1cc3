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

// A packet that this host takes or rejects meets the answer's lack of a way before
// all that it is answered for, one that is dropped behind what drops it.
var (
	reply = &diagnose.Check{
		ID: "reply", Doc: "whether the answer to a packet from outside has a way back", Codes: []string{"reply-route"}, For: diagnose.AskConnect, Behind: true,
		Run: func(p *diagnose.Pass) error { return runReply(p, false) },
	}
	replyAfter = &diagnose.Check{
		ID: "reply-after", Doc: "whether the answer to a packet from outside would have a way back, if it were not dropped", Codes: []string{"reply-route"}, For: diagnose.AskConnect, Behind: true,
		Run: func(p *diagnose.Pass) error { return runReply(p, true) },
	}
)

func runReply(p *diagnose.Pass, dropped bool) error {
	f := p.Flow
	switch {
	case !f.From.IsValid() || f.Network == "unix" || !f.Local:
		p.Skip("nobody asks from elsewhere, or another host answers")
		return nil
	case f.Blocked() != dropped || dropped && f.Firewall == nil:
		p.Skip("told by another station, or no packet gets so far")
		return nil
	}
	tracer, look, err := lookIn(p)
	if err != nil {
		return err
	}
	if !dropped && look != nil && look.There.Verdict == "drop" {
		p.Skip("no packet gets so far")
		return nil
	}
	if dropped && stoppedWith(p, "reply-route") {
		p.Skip("told before")
		return nil
	}
	a, err := answerOf(p, look)
	switch {
	case err != nil:
		return err
	case a.unknown != "":
		f.Unsure = a.unknown
		p.Unknown(host.Limit{What: "which way the answer to " + f.From.String() + " takes", Why: a.unknown, Needs: "a look at the rules: portwhy rules, ip rule"})
	case lost(a.route):
		return stopReply(p, a, tracer, look, dropped)
	default:
		p.OK("the answer leaves: %s", routeText(a.route))
		noteOtherDevice(p, a, look)
	}
	return nil
}

func stoppedWith(p *diagnose.Pass, code string) bool {
	for _, c := range p.Stopped() {
		if c.Code == code {
			return true
		}
	}
	return false
}

// lookIn takes the flow's first packet through this host's rules; nil where there are
// none, or where they can't be asked.
func lookIn(p *diagnose.Pass) (*firewall.Tracer, *firewall.Look, error) {
	fw, err := p.Host.Firewall(p.Ctx)
	if err != nil || len(fw.Limits) > 0 || len(fw.Rules.Tables) == 0 {
		return nil, nil, nil
	}
	packet, ok := packetOf(p)
	if !ok {
		return nil, nil, nil
	}
	tracer := tracerOf(p, fw.Rules)
	look, err := lookOf(p, tracer, packet)
	return tracer, look, err
}

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
	carries  string // why it has the mark of what it answers; empty: it hasn't
	evidence []diagnose.Evidence
	unknown  string // why its mark is not known
	rejects  bool   // a rule answers
}

// answerOf is the answer to the flow's first packet.
func answerOf(p *diagnose.Pass, look *firewall.Look) (wayBack, error) {
	f := p.Flow
	in := arrival{from: netip.AddrPortFrom(f.From, f.FromPort), at: netip.AddrPortFrom(reached(f.Addr()), f.Port()), device: f.Inbound}
	switch {
	case f.Balanced || f.Firewall != nil && f.Firewall.Away, look != nil && look.There.Packet.Way != "in":
		// Another host answers, and this one hands that on.
		a := wayBack{query: host.RouteQuery{Destination: f.From}}
		var err error
		a.route, err = p.Host.RouteTo(p.Ctx, a.query)
		return a, err
	case look != nil:
		if arrived, ok := arrivalOf(look.There); ok {
			in = arrived
			if in.from.Addr() == f.From.WithZone("") {
				in.from = netip.AddrPortFrom(f.From, in.from.Port())
			}
		}
	default:
		// Rules that can't be read may have marked it.
		fw, err := p.Host.Firewall(p.Ctx)
		in.unmarked = err != nil || len(fw.Limits) > 0
	}
	if f.FromPort == 0 {
		in.from = netip.AddrPortFrom(in.from.Addr(), 0)
	}
	return answerTo(p, in)
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
	network := p.Flow.Network
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
		a.query.Protocol, a.query.SourcePort, a.query.DestinationPort = protocolICMP, 0, 0
		if in.at.Addr().Is6() {
			a.query.Protocol = protocolICMPv6
		}
	}
	if err := a.take(p, in, key); err != nil || a.unknown != "" {
		return a, err
	}
	var err error
	a.route, err = p.Host.RouteTo(p.Ctx, a.query)
	return a, err
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
		a.query.Mark, a.carries = in.mark, key+" = "+strings.TrimSpace(s.Value)
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
		a, err := answerTo(p, in)
		if err != nil {
			return firewall.Reply{Unknown: "the way of the answer: " + err.Error()}
		}
		r := firewall.Reply{Mark: a.query.Mark, Unknown: a.unknown}
		if !lost(a.route) {
			r.Out = a.route.Device
		}
		return r
	}
}

// stopReply: the answer has no way. dropped: neither has the packet.
func stopReply(p *diagnose.Pass, a wayBack, tracer *firewall.Tracer, look *firewall.Look, dropped bool) error {
	f := p.Flow
	what, lead := "the answer", "The packet arrives, but "
	switch {
	case dropped:
		lead = "Were it not for that, "
	case a.rejects:
		what, lead = "what the rule answers", "The packet is rejected, but "
	}
	asked := fmt.Sprintf("%s from %s", f.From, a.query.Source)
	if a.query.Mark != 0 {
		asked += fmt.Sprintf(" mark %#x", a.query.Mark)
	}
	c := diagnose.Cause{Code: "reply-route", Outcome: diagnose.Timeout, Asked: !dropped, Culprit: &diagnose.Culprit{Kind: "route", Address: f.From.String(), Text: routeText(a.route)},
		Evidence: []diagnose.Evidence{{Source: "RTM_GETROUTE", What: asked, Value: routeText(a.route)}},
		Title:    lead + fmt.Sprintf("%s from %s to %s has no way: %s.", what, f.Addr(), f.From, routeText(a.route))}
	t, err := readTables(p)
	if err != nil {
		return err
	}
	rule := t.decider(a.query, a.route)
	if rule != nil {
		text := policyText(*rule)
		c.Culprit.Text = text
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
		c.Title = lead + fmt.Sprintf("the policy rule %q sends %s to %s nowhere (%s).", text, what, f.From, routeText(a.route))
		if rule.Mask != 0 && a.query.Mark != 0 {
			c.Title = lead + fmt.Sprintf("%s has the mark %#x (%s), and the policy rule %q sends what has it nowhere (%s).", what, a.query.Mark, a.carries, text, routeText(a.route))
			c.Evidence = append(c.Evidence, a.evidence...)
			if look != nil && !strings.Contains(a.carries, "SO_MARK") {
				c.Evidence = append(c.Evidence, markedBy(tracer, look.There)...)
			}
		}
	}
	c.Fixes = t.wayOpened(a.query, a.route, rule, "")
	for i := range c.Fixes {
		c.Fixes[i].PredictedOutcome = diagnose.Connected
	}
	p.Stop(c)
	return nil
}

// markedBy is the rule that gave a packet its mark.
func markedBy(tracer *firewall.Tracer, t *firewall.Trace) []diagnose.Evidence {
	s := tracer.Marker(t)
	if s == nil {
		return nil
	}
	return []diagnose.Evidence{{Source: tool(s.Backend), What: s.Where(), Value: s.Text}}
}

// noteOtherDevice: the answer leaves by another device than the packet came by. Where
// each is on a link of its own, others on the way see one direction only.
func noteOtherDevice(p *diagnose.Pass, a wayBack, look *firewall.Look) {
	f := p.Flow
	out := a.route.Device
	if look != nil && look.Back != nil {
		out = look.Back.LeavesBy() // behind rules that have it routed anew
	}
	if f.Inbound == "" || out == "" || f.Inbound == out || f.Inbound == "lo" || out == "lo" {
		return
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return
	}
	in, other := linkByName(links, f.Inbound), linkByName(links, out)
	if in == nil || other == nil || in.Master == other.Index || other.Master == in.Index || in.Master != 0 && in.Master == other.Master {
		return
	}
	p.Note(diagnose.Finding{Code: "reply-route", Evidence: []diagnose.Evidence{{Source: "RTM_GETROUTE", What: fmt.Sprintf("%s from %s", f.From, a.query.Source), Value: routeText(a.route)}},
		Title: fmt.Sprintf("The answer leaves by %s, not by %s, by which the packet comes: a firewall on the way that sees one direction only may drop it, or %s itself, by its reverse path filter", out, f.Inbound, f.From)})
}
