package eval

import (
	"github.com/portwhy/portwhy/rules"
)

// harmlessTargets have no effect on the packet's fate or on later matching:
// they log, count or send a copy, and the packet goes on. CHECKSUM computes what
// the device would, security marks are met by no match. Those in small letters
// are ebtables'.
var harmlessTargets = map[string]bool{
	"AUDIT": true, "CHECKSUM": true, "CONNSECMARK": true, "IDLETIMER": true, "LED": true, "LOG": true, "NFLOG": true,
	"log": true, "nflog": true, "RATEEST": true, "SECMARK": true, "TEE": true, "TRACE": true, "ULOG": true,
}

// verdictTargets end the rule, or set what the kernel knows of the packet
// besides its bytes.
var verdictTargets = map[string][]actor{
	"REJECT":   {{family: rules.IP, size: 4, run: targetReject}, {family: rules.IP6, size: 4, run: targetReject}},
	"ERROR":    {{run: func(*probe) rules.VerdictKind { return rules.Drop }}}, // ipt_error
	"MARK":     {{rev: 2, size: 8, run: targetMark}},
	"CLASSIFY": {{size: 4, run: targetClassify}},
	"NFQUEUE":  {{rev: 0, size: 2, run: targetQueue}, {rev: 1, size: 4, run: targetQueue}, {rev: 2, size: 6, run: targetQueue}, {rev: 3, size: 6, run: targetQueue}},
}

// rejectCodes are the codes of ICMP and ICMPv6 unreachable for IPT_ICMP_* and
// IP6T_ICMP6_*; what is missing drops without an answer.
var (
	rejectCodes  = map[uint32]uint8{0: 0, 1: 1, 2: 2, 3: 3, 5: 9, 6: 10, 8: 13}
	rejectCodes6 = map[uint32]uint8{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 7: 5, 8: 6}
)

// targetReject is reject_tg of ipt_REJECT.c and reject_tg6 of ip6t_REJECT.c.
func targetReject(x *probe) rules.VerdictKind {
	const unreachable, tcpReset = 0, 1
	codes, reset := rejectCodes, uint32(7)
	if x.packet.Family == rules.IP6 {
		codes, reset = rejectCodes6, 6
	}
	with := x.arg32(0)
	if with == reset {
		x.reject = &rules.Reject{Type: tcpReset}
	} else if code, ok := codes[with]; ok {
		x.reject = &rules.Reject{Type: unreachable, Code: code}
	}
	return rules.Drop
}

// targetMark is mark_tg of xt_mark.c.
func targetMark(x *probe) rules.VerdictKind {
	x.setMark(x.arg32(0), x.arg32(4))
	return rules.Continue
}

// setMark changes the packet's mark by xor, after the bits of mask were cleared.
func (w *walk) setMark(value, mask uint32) {
	w.changed = true
	if w.markUnknown != nil && mask != ^uint32(0) {
		return // the other bits are still not known
	}
	w.markUnknown = nil
	w.packet.Mark = w.packet.Mark&^mask ^ value
}

// forgetMark says that the packet's mark is not known from here on.
func (w *walk) forgetMark(b blame) {
	w.changed = true
	w.markUnknown = &b
}

// targetClassify is classify_tg of xt_CLASSIFY.c.
func targetClassify(x *probe) rules.VerdictKind {
	x.changed, x.priorityUnknown = true, nil
	x.packet.Priority = x.arg32(0)
	return rules.Continue
}

// targetQueue is nfqueue_tg and its revisions of xt_NFQUEUE.c.
func targetQueue(x *probe) rules.VerdictKind {
	const bypass, bypassBit = 1, 0x8000
	x.code, x.queues = x.arg16(0)<<16|uint32(rules.Queue), 1
	if x.rev >= 1 {
		x.queues = max(1, int(x.arg16(2)))
	}
	// Revision 2 has a number that is not 0, 3 has flags.
	if x.rev == 2 && x.arg16(4) != 0 || x.rev == 3 && x.arg16(4)&bypass != 0 {
		x.code |= bypassBit
	}
	return rules.Queue
}

// flowTargets change what conntrack knows of the packet's flow, or take the
// packet out of it.
var flowTargets = map[string][]actor{
	"CONNMARK": {{rev: 1, size: 13, run: targetConnmark}, {rev: 2, size: 15, run: targetConnmark}},
	"CT":       {{rev: 0, size: 28, run: targetCT}, {rev: 1, size: 60, run: targetCT}, {rev: 2, size: 60, run: targetCT}},
	"NOTRACK":  {{run: targetNotrack}},
	"SYNPROXY": {{size: 4, run: targetSynproxy}},
	"TPROXY":   {{rev: 0, family: rules.IP, size: 14, run: targetTProxy}, {rev: 1, size: 26, run: targetTProxy}},
	"HMARK":    {{size: 60, run: targetHMark}},
}

// targetConnmark is connmark_tg_shift of xt_connmark.c.
func targetConnmark(x *probe) rules.VerdictKind {
	const set, save, restore = 0, 1, 2
	value, ctMask, nfMask := x.arg32(0), x.arg32(4), x.arg32(8)
	mode, right, by := x.d[12], false, byte(0)
	if x.rev == 2 {
		right, by, mode = x.d[12] != 0, x.d[13], x.d[14]
	}
	shift := func(v uint32) uint32 {
		if right {
			return v >> (by & 31)
		}
		return v << (by & 31)
	}
	f := &x.flow
	have, reason := x.connmark()
	entry := x.entry()
	if entry == isNot {
		return rules.Continue
	}
	switch mode {
	case set:
		x.changed = true
		if reason != nil && ctMask != ^uint32(0) || entry.why != "" {
			f.markUnknown = &blame{"target CONNMARK", "the connection's mark is not known"}
			return rules.Continue
		}
		f.mark, f.markUnknown = shift(have&^ctMask^value), nil
	case save:
		x.changed = true
		if x.markUnknown != nil && nfMask != 0 || reason != nil && ctMask != ^uint32(0) || entry.why != "" {
			f.markUnknown = &blame{"target CONNMARK", "the mark that it saves is not known"}
			return rules.Continue
		}
		f.mark, f.markUnknown = have&^ctMask^shift(x.packet.Mark&nfMask), nil
	case restore:
		if reason != nil && ctMask != 0 || entry.why != "" {
			x.forgetMark(blame{"target CONNMARK", "the connection's mark is not known"})
			return rules.Continue
		}
		x.setMark(shift(have&ctMask), nfMask)
	}
	return rules.Continue
}

// targetCT is xt_ct_target_v0 and _v1 of xt_CT.c. Before conntrack it keeps the
// packet from it, or gives it a template for the entry that conntrack will make.
func targetCT(x *probe) rules.VerdictKind {
	const notrack, zoneOriginal, zoneReply, zoneMark = 1, 4, 8, 16
	flags := x.arg16(0)
	if flags&notrack != 0 {
		return targetNotrack(x)
	}
	if x.way == "" && x.flow.state == 0 {
		return rules.Continue // one hook alone: the flow's state is as it was given
	}
	f := &x.flow
	if f.tracked || f.template || f.state == Untracked {
		return rules.Continue
	}
	f.template, x.changed = true, true
	switch flags & (zoneOriginal | zoneReply) {
	case zoneOriginal:
		f.zoneDir = 1
	case zoneReply:
		f.zoneDir = 2
	}
	switch {
	case flags&zoneMark == 0:
		f.zone = uint16(x.arg16(2))
	case x.markUnknown != nil:
		return x.either(*x.markUnknown)
	default:
		f.zone = uint16(x.packet.Mark)
	}
	return rules.Continue
}

// targetNotrack is notrack_tg of xt_CT.c.
func targetNotrack(x *probe) rules.VerdictKind {
	if !x.flow.template {
		x.untrack()
	}
	return rules.Continue
}

// targetSynproxy is synproxy_tg4 and synproxy_tg6: the kernel answers a SYN
// itself, and takes or drops the ACK that follows.
func targetSynproxy(x *probe) rules.VerdictKind {
	const fin, syn, rst, ack = 1, 2, 4, 16
	if x.fragment != 0 {
		return x.either(blame{"target SYNPROXY", "a later fragment has no TCP header"})
	}
	if x.missing(20) {
		return rules.Drop
	}
	switch x.packet.Data[x.transport+13] & (fin | syn | rst | ack) {
	case syn:
		if _, ok := x.tcpOptions(); !ok {
			return rules.Drop
		}
		return rules.Stolen
	case ack:
		if x.choose(2, blame{"target SYNPROXY", "whether the ACK answers a cookie is not known"}) == 1 {
			return rules.Stolen
		}
		return rules.Drop
	}
	return rules.Continue
}

// targetTProxy is tproxy_tg4 and tproxy_tg6_v1 of xt_TPROXY.c: the packet is
// accepted if a transparent socket takes it, and dropped if none does.
func targetTProxy(x *probe) rules.VerdictKind {
	if x.missing(8) {
		return rules.Drop
	}
	if x.choose(2, blame{"target TPROXY", "whether a transparent socket listens is not known"}) == 1 {
		x.flow.diverted = true
		x.setMark(x.arg32(4), x.arg32(0))
		return rules.Accept
	}
	return rules.Drop
}
