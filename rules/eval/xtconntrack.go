package eval

import (
	"encoding/binary"

	"github.com/portwhy/portwhy/rules"
)

// flowMatchers are the matches on what conntrack knows of the packet's flow.
var flowMatchers = map[string][]matcher{
	"conntrack": {{rev: 1, size: 152, run: matchConntrack}, {rev: 2, size: 154, run: matchConntrack}, {rev: 3, size: 162, run: matchConntrack}},
	"state":     {{rev: 0, size: 4, run: matchState}},
	"connmark":  {{rev: 1, size: 9, run: matchConnmark}},
	"connlabel": {{rev: 0, size: 4, run: matchConnlabel}},
	"connbytes": {{rev: 0, size: 18, run: matchConnbytes}},
	"helper":    {{rev: 0, size: 34, run: matchHelper}},
	"cluster":   {{rev: 0, size: 16, run: matchCluster}},
}

const flowUnknown = "the kernel's table of connections tells it, and it is not read"

// entry tells whether the packet has a conntrack entry (nf_ct_get).
func (w *walk) entry() answer {
	if w.way != "" {
		if w.flow.template && !w.flow.tracked {
			return unsure("the packet has the template of an entry")
		}
		return holds(w.flow.tracked)
	}
	state, why := w.ctState()
	if why != "" {
		return unsure(why)
	}
	return holds(state != Invalid && state != Untracked)
}

// stale is why what conntrack has of the flow is not known; it is for a flow that
// starts with this packet.
func (w *walk) stale() string {
	if w.way == "" || !w.flow.fresh {
		return flowUnknown
	}
	return ""
}

// connmark is the mark of the packet's connection, or why it is not known.
func (w *walk) connmark() (uint32, *blame) {
	if w.flow.markUnknown != nil {
		return 0, w.flow.markUnknown
	}
	if w.way == "" {
		return 0, &blame{"ct", flowUnknown}
	}
	return w.flow.mark, nil
}

// originalTuple is the flow as it was seen first.
func (w *walk) originalTuple() (tuple, string) { return w.flow.original, w.stale() }

// replyTuple is that of the answers to a new flow, as NAT has mapped it so far.
func (w *walk) replyTuple() (tuple, string) {
	if why := w.stale(); why != "" {
		return tuple{}, why
	}
	p := &w.flow.now
	if len(p.hidden) > 0 {
		return tuple{}, p.hidden[0].why
	}
	return p.tuple().answer(), ""
}

// What a rule of conntrack asks (XT_CONNTRACK_*).
const (
	askState = 1 << iota
	askProto
	askOrigSrc
	askOrigDst
	askReplSrc
	askReplDst
	askStatus
	askExpires
	askOrigSrcPort
	askOrigDstPort
	askReplSrcPort
	askReplDstPort
	askDirection
	asked // beyond them is how the rule is printed
)

// matchConntrack is conntrack_mt of xt_conntrack.c.
func matchConntrack(x *probe) answer {
	has, inv := x.arg16(146)&(asked-1), x.arg16(148)
	states, statuses := x.arg16(150), uint32(0)
	if x.rev == 1 {
		states, statuses = x.arg8(150), x.arg8(151)
	} else {
		statuses = x.arg16(152)
	}
	entry := x.entry()
	state := isSo
	if has&askState != 0 {
		state = x.stateIn(states, entry).unless(inv&askState != 0)
	}
	switch {
	case state == isNot:
		return isNot
	case entry == isNot:
		return all(state, holds(has&askState != 0))
	}
	a := state
	ask := func(what uint32, is func() answer) {
		if has&what != 0 && a != isNot {
			a = all(a, is().unless(inv&what != 0))
		}
	}
	ask(askDirection, func() answer {
		if why := x.stale(); why != "" {
			return unsure(why)
		}
		return isSo
	})
	x.askTuples(ask)
	ask(askStatus, func() answer {
		const modelled = 0x1ff
		if why := x.stale(); why != "" {
			return unsure(why)
		}
		sides := all(when(statuses&statusSrcNAT != 0, x.flow.source.changed()), when(statuses&statusDstNAT != 0, x.flow.destination.changed()))
		switch {
		case x.flow.status(x.arrived && x.way == Through)&statuses != 0:
			return isSo
		case sides.why != "":
			return sides
		case statuses&^modelled != 0:
			return unsure("this status is not modelled")
		}
		return isNot
	})
	ask(askExpires, func() answer { return unsure("it depends on when the flow was last seen") })
	if a.yes && entry.why != "" {
		// Without an entry it matches only a rule that asks for the state.
		if has&^askState == 0 {
			return a
		}
		return unsure(entry.why)
	}
	return a
}

// askTuples asks for addresses, ports and protocol.
func (x *probe) askTuples(ask func(uint32, func() answer)) {
	original, why := x.originalTuple()
	reply, whyReply := x.replyTuple()
	address := func(a []byte, at int, why string) func() answer {
		return func() answer {
			if why != "" {
				return unsure(why)
			}
			return holds(masked(a, x.d[at:], x.d[at+16:]))
		}
	}
	ask(askOrigSrc, address(original.src, 0, why))
	ask(askOrigDst, address(original.dst, 32, why))
	ask(askReplSrc, address(reply.src, 64, whyReply))
	ask(askReplDst, address(reply.dst, 96, whyReply))
	ask(askProto, func() answer {
		if x.way == "" {
			return unsure(flowUnknown)
		}
		return holds(uint32(x.flow.original.protocol) == x.arg16(136))
	})
	port := func(have []byte, nth int, why string) func() answer {
		return func() answer {
			const gre = 47
			switch protocol := x.flow.original.protocol; {
			case why != "":
				return unsure(why)
			case protocol == gre:
				return unsure("keys of GRE are not modelled")
			case protocol == protocolDCCP:
				return unsure("whether the kernel tracks ports of DCCP depends on its version")
			case x.rev < 3:
				return holds(string(have) == string(x.d[138+2*nth:140+2*nth]))
			}
			v := uint32(binary.BigEndian.Uint16(have))
			return holds(x.arg16(138+2*nth) <= v && v <= x.arg16(154+2*nth))
		}
	}
	ask(askOrigSrcPort, port(original.sport, 0, why))
	ask(askOrigDstPort, port(original.dport, 1, why))
	ask(askReplSrcPort, port(reply.sport, 2, whyReply))
	ask(askReplDstPort, port(reply.dport, 3, whyReply))
}

// masked reports whether an address is the wanted one under a mask.
func masked(a, want, mask []byte) bool {
	for i := range a {
		if (a[i]^want[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// Bits of a state that ct state doesn't have (XT_CONNTRACK_STATE_*).
const (
	stateSNAT      = 1 << 6
	stateDNAT      = 1 << 7
	stateUntracked = 1 << 8
)

// stateIn reports whether the packet's state is among some.
func (x *probe) stateIn(states uint32, entry answer) answer {
	state, why := x.ctState()
	if why != "" {
		return unsure(why)
	}
	if state == Untracked {
		return holds(states&stateUntracked != 0)
	}
	if states&(state&^Untracked) != 0 {
		return isSo
	}
	if states&(stateSNAT|stateDNAT) == 0 || entry == isNot {
		return isNot
	}
	if why := x.stale(); why != "" {
		return unsure(why)
	}
	return anyOf(all(holds(states&stateSNAT != 0), x.flow.source.changed()), all(holds(states&stateDNAT != 0), x.flow.destination.changed()))
}

// changed reports whether a mapping has changed anything.
func (m mapping) changed() answer {
	if m.unsure && !m.nat {
		return unsure("whether the mapping changed anything is not known")
	}
	return holds(m.nat)
}

// matchState is state_mt of xt_state.c.
func matchState(x *probe) answer {
	state, why := x.ctState()
	if why != "" {
		return unsure(why)
	}
	return holds(x.arg32(0)&state != 0)
}

// matchConnmark is connmark_mt of xt_connmark.c.
func matchConnmark(x *probe) answer {
	entry := x.entry()
	if entry == isNot {
		return isNot
	}
	mark, b := x.connmark()
	switch {
	case entry.why != "":
		return entry
	case b != nil && x.arg32(4) == 0:
		return holds(x.arg32(0) == 0).unless(x.d[8] != 0)
	case b != nil:
		return unsure(b.why)
	}
	return holds(mark&x.arg32(4) == x.arg32(0)).unless(x.d[8] != 0)
}

// matchConnlabel is connlabel_mt of xt_connlabel.c; it may set the label.
func matchConnlabel(x *probe) answer {
	const inverted, set = 1, 2
	bit, options := x.arg16(0), x.arg16(2)
	invert := options&inverted != 0
	entry := x.entry()
	f := &x.flow
	switch {
	case entry == isNot, bit > 127:
		return holds(invert)
	case entry.why != "", x.way == "", !f.labelsKnown:
		f.labelsKnown = false
		return unsure("the labels of the connection are not known")
	}
	// An array of unsigned long, in the host's order.
	at := f.labels[bit/64*8:]
	have := binary.NativeEndian.Uint64(at)
	if have&(1<<(bit%64)) == 0 {
		if options&set == 0 {
			return holds(invert)
		}
		x.changed = true
		binary.NativeEndian.PutUint64(at, have|1<<(bit%64))
	}
	return holds(!invert)
}

// matchConnbytes is connbytes_mt of xt_connbytes.c.
func matchConnbytes(x *probe) answer {
	if x.entry() == isNot {
		return isNot
	}
	return unsure("it depends on how much the connection has carried")
}

// matchHelper is helper_mt of xt_helper.c: it looks at the helper of the
// connection that has announced this one.
func matchHelper(x *probe) answer {
	entry := x.entry()
	state, _ := x.ctState()
	if entry == isNot || entry == isSo && state == New {
		return holds(x.arg32(0) != 0)
	}
	return unsure("whether another connection has announced this one is not known")
}

// matchCluster is xt_cluster_mt of xt_cluster.c. It takes a packet to one address
// that came by multicast for one to this host alone.
func matchCluster(x *probe) answer {
	const inverted = 1
	if kind, b := x.packetType(); b == nil && kind == packetMulticast && !x.packet.Address(true).IsMulticast() {
		x.forHost = true
	}
	entry := x.entry()
	if entry == isNot {
		return isNot
	}
	original, why := x.originalTuple()
	state, _ := x.ctState()
	switch {
	case entry.why != "":
		return entry
	case why != "":
		return unsure(why)
	case state != New:
		return unsure("which connection has announced this one is not known")
	}
	// Of an IPv6 address the kernel hashes the first word only: it takes
	// NF_CT_TUPLE_L3SIZE for a number of bytes.
	node := uint64(jhash(original.src[:4], x.arg32(8))) * uint64(x.arg32(0)) >> 32
	return holds(x.arg32(4)&(1<<(node&31)) != 0).unless(x.arg32(12)&inverted != 0)
}

// tracksConnections reports whether an extension makes the kernel track
// connections (nf_ct_netns_get).
func tracksConnections(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.Match:
		switch e.Ext {
		case "conntrack", "state", "connmark", "connbytes", "connlimit", "connlabel", "helper", "cluster":
			return true
		}
	case *rules.Target:
		switch e.Ext {
		case "CONNMARK", "CONNSECMARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "SYNPROXY":
			return true
		case "CT":
			const notrack = 1
			return len(e.Data) < 2 || binary.NativeEndian.Uint16(e.Data)&notrack == 0
		}
	}
	return false
}
