package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules/eval"
)

// Reply is how a host sends the answer to a packet: with which mark, and by which
// device as it is routed first. Empty Out: by the device that the packet came by.
// Refused: nothing takes the packet, one of UDP, and an error of ICMP says so. Unknown
// is why the mark can't be told, where something depends on it.
type Reply struct {
	Mark    uint32
	Out     string
	Refused bool
	Unknown string
}

// Answering is the same firewall on a host that answers what comes in as told;
// without it an answer has no mark.
func (t *Tracer) Answering(reply func(there *Trace) Reply) *Tracer {
	other := *t
	other.reply = reply
	return &other
}

// replied puts what the host does into the answer to a packet; why is what can't be
// told.
func (t *Tracer) replied(there *Trace, back Packet) (Packet, string) {
	way := eval.Way(there.Packet.Way)
	if t.reply == nil || way != eval.In && way != eval.Through {
		return back, ""
	}
	r := t.reply(there)
	if r.Unknown != "" {
		return back, r.Unknown
	}
	if r.Refused {
		back = refusal(there, back)
	}
	if r.Mark != 0 {
		back.Mark = Number(fmt.Sprint(r.Mark))
	}
	if way == eval.In && r.Out != "" {
		back.OIF = r.Out
	}
	return back, ""
}

// portUnreachable are the codes of ICMP and ICMPv6 that say that nothing takes a
// datagram (icmp_send in udp_rcv, icmpv6_send in udpv6_rcv).
const portUnreachable, portUnreachable6 = 3, 4

// refusal is the error of ICMP that says that nothing takes a packet. It belongs to
// the packet's connection.
func refusal(there *Trace, back Packet) Packet {
	code := uint8(portUnreachable)
	if there.Packet.Dst.Is6() {
		code = portUnreachable6
	}
	state := "invalid" // conntrack doesn't know what it is about
	if back.State == "established" {
		state = "related"
	}
	back = unreachable(there, back, code)
	back.State = state
	return back
}

// unreachable is an error of ICMP in place of another answer to a packet.
func unreachable(there *Trace, back Packet, code uint8) Packet {
	p := there.Packet
	about := parsed{src: endpoint{addr: *p.Src}, dst: endpoint{addr: *p.Dst}, flags: flagSYN}
	about.protocol, _ = protocolNamed(strings.ToLower(there.Asked.Proto))
	if p.Sport != nil && p.Dport != nil {
		about.src.port, about.dst.port = *p.Sport, *p.Dport
	}
	back.Proto, back.Flags, back.Src, back.Dst, back.about, back.code = "icmp", "", p.Dst.String(), p.Src.String(), string(about.packet().Data), code
	if p.Dst.Is6() {
		back.Proto = "icmpv6"
	}
	return back
}

// Refusal reports whether the packet is an error of ICMP about what it answers.
func (t *Trace) Refusal() bool { return t.Asked.about != "" }

// Mark is the packet's mark as rules leave it, and whether it is known.
func (t *Trace) Mark() (mark uint32, known bool) { return t.Packet.Mark, !t.unmarked }

// Lost reports whether this host loses a packet of its own because rules at OUTPUT
// have changed what routing looks at, and there is no way for what it is then.
func (t *Trace) Lost() bool { return t.anew && t.DecidedBy == nil && t.Reason != "" }

// Unrouted reports whether this host loses a packet from elsewhere because it has no
// way for it where it is routed, behind the rules of PREROUTING.
func (t *Trace) Unrouted() bool {
	return !t.anew && t.Verdict == "drop" && t.DecidedBy == nil && t.Reason != "" && t.off == "" && t.Asked.IIF != ""
}

// Astray reports whether the packet is routed by a mark that isn't known: anew behind
// the rules of OUTPUT, or for another host behind those of PREROUTING.
func (t *Trace) Astray() bool {
	return t.unmarked && (t.anew || t.Packet.Way == string(eval.Forward))
}

// LeavesBy is the device by which the packet leaves in the end, empty if that isn't
// known.
func (t *Trace) LeavesBy() string { return t.out }

// Arrival is the mark that a packet from outside, from any of some ports, has when it
// is routed, behind the rules of PREROUTING; 0 for one that doesn't get so far. Not
// known: it can't be told, or depends on the port.
func (t *Tracer) Arrival(asked Packet, ports []uint16) (mark uint32, known bool, err error) {
	src, err := parseEndpoint("src", asked.Src)
	if err != nil {
		return 0, false, err
	}
	var marks []uint32
	watched := *t
	ask := t.facts.Route
	watched.facts.Route = func(q eval.Query) (eval.Route, bool) {
		if q.In != "" && !slices.Contains(marks, q.Mark) {
			marks = append(marks, q.Mark)
		}
		if ask == nil {
			return eval.Route{}, false
		}
		return ask(q)
	}
	other := watched.of(t.set)
	for _, port := range ports {
		asked.Src = netip.AddrPortFrom(src.addr, port).String()
		before := len(marks)
		trace, err := other.Trace(asked)
		if err != nil {
			return 0, false, err
		}
		lost := len(marks) == before && (trace.Verdict == "drop" || trace.Verdict == "reject")
		if len(marks) > 1 || trace.unmarked || trace.Verdict == unknownWord || len(marks) == 0 && !lost {
			return 0, false, nil
		}
	}
	if len(marks) == 0 {
		return 0, true, nil
	}
	return marks[0], true, nil
}

// Marker is the step whose rule gave a packet the mark that it leaves with; nil if
// none did: without the rule the mark is another.
func (t *Tracer) Marker(of *Trace) *Step {
	var first *eval.Packet
	if of.came != nil {
		first = of.came.First
	}
	for _, effect := range []string{"set", "accept"} {
		for i := len(of.Steps) - 1; i >= 0; i-- {
			s := &of.Steps[i]
			if s.Effect != effect || s.at.rule == nil {
				continue
			}
			without, err := t.WithoutStep(s).trace(of.Asked, first)
			if err == nil && (without.Packet.Mark != of.Packet.Mark || of.unmarked != without.unmarked) {
				return s
			}
		}
	}
	return nil
}
