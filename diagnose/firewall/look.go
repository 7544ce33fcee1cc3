package firewall

import (
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/rules/eval"
)

// Look is what the firewall does with a flow: with its first packet, and with
// the answer to it.
type Look struct {
	There *Trace
	// Back is nil where the first packet doesn't get there, or where the answer
	// can't be told: BackUnknown is then why.
	Back        *Trace
	BackUnknown string
	// Then is what follows the answer, for TCP: the packet that completes the
	// connection. Nil where nothing does, or the answer doesn't come back.
	Then *Trace
}

// Look takes a flow's first packet through the firewall, and the answer back.
func (t *Tracer) Look(first Packet) (*Look, error) {
	there, err := t.Trace(first)
	if err != nil {
		return nil, err
	}
	l := &Look{There: there}
	if there.Verdict != "accept" {
		return l, t.rejects(there)
	}
	back, why := answer(there)
	if why != "" {
		l.BackUnknown = why
		return l, nil
	}
	if there.zoneOff {
		l.BackUnknown = "into which zone of conntrack rules put the flow is not known"
		return l, nil
	}
	if back, why = t.replied(there, back); why != "" {
		l.BackUnknown = why
		return l, nil
	}
	came := *there.came
	came.Zone = there.zone
	if there.flowMark != nil {
		came.FlowMark, came.FlowMarked = *there.flowMark, true
	}
	if l.Back, err = t.trace(back, &came); err != nil {
		return nil, err
	}
	if l.Back.Verdict == "accept" && back.State == "established" && strings.EqualFold(first.Proto, "tcp") {
		then := first
		then.State, then.Flags = "established", "ack"
		l.Then, err = t.Trace(then)
	}
	return l, err
}

// rejects sees whether the reset or the error that answers a rejected packet from
// outside gets away: it goes by OUTPUT, as related to the packet's connection
// (nf_send_reset, nf_send_unreach).
func (t *Tracer) rejects(there *Trace) error {
	p := there.Packet
	if there.Verdict != "reject" || there.RejectWith == nil || p.Way != string(eval.In) || p.Src == nil || p.Dst == nil {
		return nil
	}
	back := Packet{Proto: there.Asked.Proto, Src: end(*p.Dst, p.Dport), Dst: end(*p.Src, p.Sport), Flags: "rst,ack", State: "related", Way: string(eval.Out), OIF: there.Asked.IIF}
	if there.state == 0 || there.state == eval.Untracked {
		back.State = "invalid" // conntrack hasn't seen what it belongs to
	}
	if *there.RejectWith != "tcp-reset" {
		code, known := rejectCode(*there.RejectWith)
		if !known {
			return nil
		}
		back = unreachable(there, back, code)
	}
	back, why := t.replied(there, back)
	if why != "" {
		return nil // the rejection is certain, if not what it looks like
	}
	came := *there.came
	came.Hands = true
	if there.flowMark != nil {
		came.FlowMark, came.FlowMarked = *there.flowMark, true
	}
	reset, err := t.trace(back, &came)
	if err == nil && reset.Verdict == "drop" {
		there.ClientSees, there.Reset = string(diagnose.Timeout), reset
	}
	return err
}

// LookFrom is [Tracer.Look] for a client whose source port is not known, but one
// of a range that the given ports stand for: where they fare differently, what
// becomes of the packet is unknown.
func (t *Tracer) LookFrom(first Packet, ports []uint16) (*Look, error) {
	src, err := parseEndpoint("src", first.Src)
	if err != nil {
		return nil, err
	}
	var all *Look
	for _, port := range ports {
		first.Src = netip.AddrPortFrom(src.addr, port).String()
		l, err := t.Look(first)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = l
		}
		if l.There.Packet.Mark != all.There.Packet.Mark {
			all.There.unmarked = true // it depends on the port
		}
		if !sameEnd(all.There, l.There) || !sameEnd(all.Back, l.Back) || !sameEnd(all.Then, l.Then) {
			all.There.Verdict, all.There.ClientSees, all.There.DecidedBy, all.Back, all.Then = unknownWord, unknownWord, nil, nil, nil
			all.There.Unknown = append(all.There.Unknown, Doubt{Expression: "source port", Why: "what becomes of the packet depends on the port that the client happens to get"})
			return all, nil
		}
	}
	return all, nil
}

// SameEnd reports whether the same rule or policy of the same chain decided about
// packets of the same direction.
func (t *Trace) SameEnd(other *Trace) bool {
	return t.SameDecider(other) && t.Asked.State == other.Asked.State
}

// SameDecider reports whether the same rule or policy of the same chain decided.
func (t *Trace) SameDecider(other *Trace) bool {
	a, b := t.DecidedBy, other.DecidedBy
	return a != nil && b != nil && a.Hook == b.Hook && a.Backend == b.Backend && a.Family == b.Family && a.Table == b.Table && a.Chain == b.Chain &&
		a.Policy == b.Policy && a.Text == b.Text
}

// sameEnd reports whether two packets end alike: by the same rule, at the same address.
func sameEnd(a, b *Trace) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Verdict != b.Verdict || a.decided != b.decided || a.chain != b.chain {
		return false
	}
	to, _ := a.Rewritten()
	other, _ := b.Rewritten()
	return a.Packet.Way == b.Packet.Way && to.Addr() == other.Addr() && (a.Asked.Dst != b.Asked.Dst || to == other)
}

// Rewritten is where the packet's destination was changed to, and whether it was.
func (t *Trace) Rewritten() (to netip.AddrPort, changed bool) {
	asked, err := parseEndpoint("dst", t.Asked.Dst)
	if err != nil || t.Packet.Dst == nil {
		return netip.AddrPort{}, false
	}
	port := asked.port
	if t.Packet.Dport != nil {
		port = *t.Packet.Dport
	}
	to = netip.AddrPortFrom(*t.Packet.Dst, port)
	return to, to != netip.AddrPortFrom(asked.addr, asked.port)
}

// answer is the packet that comes back: from where the first one came out, to
// where that says that it is from.
func answer(t *Trace) (back Packet, why string) {
	p := t.Packet
	switch {
	case p.Src == nil || p.Dst == nil:
		return Packet{}, "NAT rewrites the flow to what can't be told"
	case t.state == eval.Mixed || p.Way == "":
		return Packet{}, "what conntrack makes of the packet is not known"
	}
	back = Packet{Proto: t.Asked.Proto, Src: end(*p.Dst, p.Dport), Dst: end(*p.Src, p.Sport)}
	if strings.EqualFold(back.Proto, "tcp") {
		back.Flags = "syn,ack"
	}
	// What was not tracked on its way there is new to conntrack on its way back.
	if t.state == eval.New || t.state == eval.Established || t.state == 0 {
		back.State = "established"
	}
	switch eval.Way(p.Way) {
	case eval.Bridged:
		back = back.Across(t.Asked.IIF, End{t.Asked.outPort, t.Asked.dstMAC}, End{t.Asked.inPort, t.Asked.srcMAC})
	case eval.Through:
		back.Way = "local"
	case eval.In:
		back.Way, back.OIF = "out", t.Asked.IIF
	case eval.Out:
		back.Way, back.IIF = "in", t.out
	case eval.Forward:
		back.Way, back.IIF, back.OIF = "forward", t.out, t.Asked.IIF
	}
	return back, ""
}

// end is an address with its port, if that is known.
func end(a netip.Addr, port *uint16) string {
	if port == nil {
		return a.String()
	}
	return netip.AddrPortFrom(a, *port).String()
}
