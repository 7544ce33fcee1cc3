//go:build linux

package oracle

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// outcome is what the kernel did with a packet.
type outcome struct {
	refused  bool // the system call said that the host's rules dropped it
	arrivals []arrival
	answers  []answer
	events   []event
}

// disagreement says how the evaluator's result differs from what the kernel
// did, "" if it doesn't. What the result leaves open is not compared.
func disagreement(r *eval.Result, o *outcome) string {
	if r.Verdict == eval.Unknown {
		return ""
	}
	if s := fateDiffers(r, o); s != "" {
		return s
	}
	if len(r.Doubts) > 0 || r.Verdict == eval.Stolen {
		return "" // what was stolen goes on elsewhere, and meets rules there
	}
	if s := pathDiffers(r, o); s != "" || hotDrop(r) {
		return s // a mark is told of the last rule, which need not be the last that was told
	}
	return packetDiffers(r, o)
}

var places = []string{"neighbour a", "neighbour b", "the host"}

// destination is where a packet comes out that was accepted, -1 if that is not known.
func destination(r *eval.Result) int {
	switch {
	case r.Way == "":
		return -1
	case r.Way == eval.In || r.Way == eval.Through:
		return host
	case r.Packet.Out == "va":
		return 0
	case r.Packet.Out == "vb":
		return 1
	}
	return -1
}

func fateDiffers(r *eval.Result, o *outcome) string {
	accepted := r.Verdict == eval.Accept
	switch {
	case accepted && o.refused:
		return "predicted accept, but the host refused to send it"
	case accepted && len(o.arrivals) == 0:
		return "predicted accept, but it came out nowhere"
	case r.Verdict == eval.Stolen: // it may be sent elsewhere
	case !accepted && len(o.arrivals) > 0:
		return fmt.Sprintf("predicted %s, but it came out at %s", r.Verdict, places[o.arrivals[0].where])
	case len(o.arrivals) > 1:
		return fmt.Sprintf("it came out %d times", len(o.arrivals))
	}
	if accepted {
		if to := destination(r); to >= 0 && to != o.arrivals[0].where {
			return fmt.Sprintf("predicted way %s out of %q, but it came out at %s", r.Way, r.Packet.Out, places[o.arrivals[0].where])
		}
		return ""
	}
	for _, a := range o.answers {
		if r.Verdict == eval.Drop && r.Decided == nil {
			continue // the host drops it by no rule, and may say so
		}
		if r.Verdict != eval.Reject || r.Reject == nil {
			return fmt.Sprintf("predicted %s, but there was the answer %+v", r.Verdict, a)
		}
		if want := answerOf(r.Reject, r.Packet.Family); a != want {
			return fmt.Sprintf("predicted the answer %+v, but it was %+v", want, a)
		}
	}
	return ""
}

// answerOf is what a reject sends: NFT_REJECT_ICMPX_* are of both families.
func answerOf(e *rules.Reject, f rules.Family) answer {
	const icmp, reset = 0, 1
	if e.Type == reset {
		return answer{reset: true}
	}
	kind, code := uint8(3), e.Code
	if f == rules.IP6 {
		kind = 1
	}
	if e.Type == icmp {
		return answer{kind: kind, code: code}
	}
	codes := map[rules.Family][]uint8{rules.IP: {0, 3, 1, 13}, rules.IP6: {0, 4, 3, 1}}[f]
	if int(code) < len(codes) {
		code = codes[code]
	}
	return answer{kind: kind, code: code}
}

// steps are what the evaluator says the kernel tells.
func steps(r *eval.Result) []event {
	var all []event
	for i := range r.Steps {
		s := &r.Steps[i]
		e := event{family: s.Table.Family, table: s.Table.Name, chain: s.Chain.Name, legacy: s.Table.Backend == rules.IptablesLegacy}
		if s.Rule != nil {
			e.handle = s.Rule.About().Handle
			if e.legacy {
				e.number = int(s.Rule.Number)
			}
		} else {
			e.policy = true
			e.number = 0
			if e.legacy {
				e.policy, e.number = false, len(s.Chain.Rules)+1
			}
		}
		if !e.legacy {
			e.verdict = verdictOf(s)
		}
		all = append(all, e)
	}
	return all
}

func verdictOf(s *eval.Step) int32 {
	switch s.Effect {
	case "accept", "nat":
		return int32(rules.Accept)
	case "policy":
		if s.Chain.Policy == "drop" {
			return int32(rules.Drop)
		}
		return int32(rules.Accept)
	case "drop", "reject":
		return int32(rules.Drop)
	case "jump":
		return int32(rules.Jump)
	case "goto":
		return int32(rules.Goto)
	case "return":
		return int32(rules.Return)
	case "queue":
		return int32(rules.Queue)
	case "stolen":
		return int32(rules.Stolen)
	}
	return int32(rules.Continue)
}

func (e event) String() string {
	what := fmt.Sprintf("%s %s %s", e.family, e.table, e.chain)
	switch {
	case e.legacy:
		what += fmt.Sprintf(" number %d", e.number)
	case e.policy:
		what += " policy"
	default:
		what += fmt.Sprintf(" handle %d", e.handle)
	}
	return fmt.Sprintf("%s verdict %d", what, e.verdict)
}

// pathDiffers compares the steps. One that floats may come later among those of
// its hook and priority, or not at all where one of them drops or maps the packet.
func pathDiffers(r *eval.Result, o *outcome) string {
	var have, floating []event
	for _, e := range o.events {
		if !implicit(r, e) {
			e.mark = 0
			have = append(have, e)
		}
	}
	settle := func(until event) {
		for len(have) > 0 && have[0] != until && slices.Contains(floating, have[0]) {
			floating = slices.DeleteFunc(floating, func(e event) bool { return e == have[0] })
			have = have[1:]
		}
	}
	want, mapped := steps(r), false
	for i, e := range want {
		s := &r.Steps[i]
		if i > 0 && (s.Hook != r.Steps[i-1].Hook || s.Priority != r.Steps[i-1].Priority) {
			settle(event{})
			if len(floating) > 0 && !mapped {
				return fmt.Sprintf("the kernel's path comes to step %d without %s", i+1, floating[0])
			}
			floating, mapped = nil, false
		}
		mapped = mapped || s.Effect == "nat"
		settle(e)
		switch {
		case len(have) > 0 && have[0] == e:
			have = have[1:]
		case s.Floats:
			floating = append(floating, e)
		case len(have) > 0:
			return fmt.Sprintf("step %d is predicted as %s, and is %s", i+1, e, have[0])
		case i < len(want)-1 || !hotDrop(r):
			return fmt.Sprintf("the kernel's path ends before step %d, %s", i+1, e)
		}
	}
	settle(event{})
	switch {
	case len(have) > 0:
		return fmt.Sprintf("the predicted path ends before %s", have[0])
	case len(floating) > 0 && !mapped && r.Verdict == eval.Accept:
		return fmt.Sprintf("the kernel's path has no %s", floating[0])
	}
	return ""
}

// hotDrop reports whether a match of iptables-legacy may have dropped the packet:
// of its rule, which doesn't match, nothing is told.
func hotDrop(r *eval.Result) bool {
	if len(r.Steps) == 0 {
		return false
	}
	last := &r.Steps[len(r.Steps)-1]
	return last.Table.Backend == rules.IptablesLegacy && last.Effect == "drop"
}

// implicit reports whether an event is the return at the end of a chain of
// iptables-legacy's.
func implicit(r *eval.Result, e event) bool {
	if !e.legacy {
		return false
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		if s.Table.Backend == rules.IptablesLegacy && s.Table.Name == e.table && s.Table.Family == e.family {
			if c := s.Table.Chain(e.chain); c != nil {
				return !c.Base() && e.number == len(c.Rules)+1
			}
		}
	}
	return false
}

// packetDiffers compares what came out with the predicted packet, as far as
// that is known, and the mark.
func packetDiffers(r *eval.Result, o *outcome) string {
	if n := len(o.events); r.Packet.MarkKnown() && n > 0 && o.events[n-1].mark != r.Packet.Mark {
		return fmt.Sprintf("the mark is predicted as %d, and was %d at the last rule", r.Packet.Mark, o.events[n-1].mark)
	}
	if r.Verdict != eval.Accept {
		return ""
	}
	a := o.arrivals[0]
	if r.Packet.MarkKnown() && a.hasMark && a.mark != r.Packet.Mark {
		return fmt.Sprintf("the mark is predicted as %d, and is %d", r.Packet.Mark, a.mark)
	}
	if bytes.Equal(a.data, r.Packet.Data) {
		return ""
	}
	if r.Packet.Family == rules.IP6 && a.where == host && len(a.data) < len(r.Packet.Data) {
		// A socket gives no extension headers: they are left out of the comparison.
		p := r.Packet.Data
		if left := append(p[:40:40], p[len(p)-len(a.data)+40:]...); bytes.Equal(left[7:], a.data[7:]) || !r.Packet.Known(0, len(p)) {
			return ""
		}
	}
	if len(a.data) != len(r.Packet.Data) {
		return fmt.Sprintf("the packet is predicted as\n\t%x, and is\n\t%x", r.Packet.Data, a.data)
	}
	whole := r.Packet.Known(0, len(a.data))
	want := bytes.Clone(r.Packet.Data)
	for _, at := range checksums(a.data) {
		// A checksum is over what isn't known, too; and 0 and 0xffff are one number,
		// of which it depends on the kernel's function which is written.
		if !whole || zero(want[at:]) && zero(a.data[at:]) {
			copy(want[at:at+2], a.data[at:])
		}
	}
	for i := range a.data {
		if a.data[i] != want[i] && r.Packet.Known(i, i+1) {
			return fmt.Sprintf("the packet is predicted at byte %d as\n\t%x, and is\n\t%x", i, r.Packet.Data, a.data)
		}
	}
	return ""
}

// checksums are where a packet's checksums stand.
func checksums(d []byte) []int {
	header, proto := transportAt(d), d[6]
	if header == 48 {
		proto = d[40]
	}
	var all []int
	if d[0]>>4 == 4 {
		proto = d[9]
		all = append(all, 10)
	}
	if proto == protoSCTP {
		return append(all, header+8, header+10)
	}
	if at := header + map[uint8]int{protoTCP: 16, protoUDP: 6, protoICMP: 2, protoICMP6: 2}[proto]; at > header && at+2 <= len(d) {
		all = append(all, at)
	}
	return all
}

func zero(sum []byte) bool { return sum[0] == sum[1] && (sum[0] == 0 || sum[0] == 0xff) }

// explain lists both paths.
func explain(r *eval.Result, o *outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "predicted: verdict %q way %q out %q mark %d doubts %d\n", r.Verdict, r.Way, r.Packet.Out, r.Packet.Mark, len(r.Doubts))
	for i, e := range steps(r) {
		fmt.Fprintf(&b, "\t%s %s %s\n", r.Steps[i].Hook, e, r.Steps[i].Effect)
	}
	fmt.Fprintf(&b, "kernel: refused %t, arrived %d times, answers %+v\n", o.refused, len(o.arrivals), o.answers)
	for _, e := range o.events {
		fmt.Fprintf(&b, "\t%s mark %d\n", e, e.mark)
	}
	return b.String()
}
