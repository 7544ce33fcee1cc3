// Package eval does with a packet what netfilter does: it runs the packet
// through the hooks on its way, through the base chains of each, expression by
// expression, over the same registers as the kernel (nft_do_chain in
// net/netfilter/nf_tables_core.c), and follows what conntrack, NAT and routing
// make of it in between.
//
// What can't be known is never guessed. Where an expression can't be decided,
// such as a rate limit or one that is not modelled, both ways are followed: if
// they end alike the answer is certain, else the verdict is Unknown and names
// the expression.
package eval

import (
	"bytes"
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
)

// Verdict is what becomes of a packet. The zero value is the honest one.
type Verdict string

// The verdicts.
const (
	Unknown Verdict = ""
	Accept  Verdict = "accept"
	Drop    Verdict = "drop"
	Reject  Verdict = "reject"
	Queue   Verdict = "queue"
	Stolen  Verdict = "stolen"
)

// Step is one rule that had a say, or a base chain's policy (Rule nil).
type Step struct {
	Hook     rules.Hook
	Priority int32 // where the chain ran
	Table    *rules.Table
	Chain    *rules.Chain
	Rule     *rules.Rule
	Effect   string // continue, jump, goto, return, accept, drop, reject, queue, stolen, set, nat, policy, unknown
	// Floats says that the chain lets every packet pass, and that which chains of
	// its hook and priority run before it isn't known: it may come behind them, and
	// not at all where one of them drops the packet, or maps it.
	Floats bool
}

// Doubt is an expression that could not be decided, and why.
type Doubt struct {
	Table      *rules.Table
	Chain      *rules.Chain
	Rule       *rules.Rule
	Expression string
	Why        string
}

// Result is what netfilter does with a packet.
type Result struct {
	Verdict Verdict
	// Decided is the step that gave the verdict; nil if nothing did, or if two
	// ways lead to the same verdict by different rules.
	Decided *Step
	// Steps are the way through the rules, on the first of the ways where there
	// are several: each undecided expression is then taken not to match.
	Steps []Step
	// Doubts are the undecided expressions on any of the ways that were followed.
	Doubts []Doubt
	// Reject is what answers, for the verdict Reject.
	Reject *rules.Reject
	// Packet is the packet as it was at the end, after NAT and with its marks; Out
	// is empty if the ways differ, and if it isn't known.
	Packet *Packet
	// Way is the way that it took, empty if the ways differ or it isn't known.
	Way Way
	// Rerouted: it is sent by this host, and rules at OUTPUT changed what routing
	// looks at, so that the kernel has routed it anew; on any of the ways.
	Rerouted bool
	// State is the packet's conntrack state at the end: a bit of NF_CT_STATE_*, 0
	// where conntrack has not seen it, and on different ways [Mixed].
	State uint32
	// Zone is the zone of conntrack into which rules put the packet's flow; on
	// different ways there may be several, and it isn't known.
	Zone        Zone
	ZoneUnknown bool
	// FlowMark is the mark of the packet's flow at the end (ct mark), unless it isn't
	// known.
	FlowMark        uint32
	FlowMarkUnknown bool
}

// Mixed is a state that is not the same on all ways.
const Mixed uint32 = 1 << 31

// waysMax bounds how many ways are followed; beyond, the answer is Unknown.
const waysMax = 4096

// Machine runs packets through a ruleset. It is not safe for concurrent use,
// and the ruleset must not be changed while it is used.
type Machine struct {
	set    *rules.Ruleset
	host   Host
	hooks  map[place][]entry
	tables map[*rules.Table]*index
	duties map[rules.Family]duties
	ipsets *ipset.Sets // nil until a rule asks for one
	heads  map[headKey][]int32
	kept   int // places in heads
}

// Compile prepares a ruleset.
func Compile(set *rules.Ruleset, host Host) *Machine {
	m := &Machine{set: set, host: host, hooks: map[place][]entry{}, tables: map[*rules.Table]*index{}, duties: dutiesOf(set), heads: map[headKey][]int32{}}
	for _, t := range set.Tables {
		m.tables[t] = newIndex(t)
	}
	return m
}

// Trace runs a packet along a way. The packet is not changed.
func (m *Machine) Trace(way Way, p *Packet) Result {
	return m.explore(p, func(w *walk) {
		w.way, w.asked = way, way
		w.travel()
	})
}

// Hook runs a packet through the base chains of one hook, in order of priority.
// Its conntrack state must be given if the rules ask for it. The packet is not
// changed. Of chains of equal priority the last that the ruleset has runs first, as
// the kernel does with what was registered last.
func (m *Machine) Hook(hook rules.Hook, p *Packet) Result {
	return m.explore(p, func(w *walk) { w.pass(hook) })
}

// explore runs once for every combination of what can't be decided.
func (m *Machine) explore(p *Packet, run func(*walk)) Result {
	var result Result
	var choices []choice
	for way := 0; ; way++ {
		w := walk{m: m, packet: p.copy(), given: p, choices: choices, verdict: Accept}
		run(&w)
		w.packet.unmarked = w.markUnknown != nil
		if w.outUnknown != nil && !w.arrived {
			w.packet.Out, w.packet.OutIndex, w.way = "", 0, ""
		}
		if way == 0 {
			result = Result{Verdict: w.verdict, Decided: w.decided, Steps: w.steps, Reject: w.reject, Packet: &w.packet, Way: w.way, Rerouted: w.rerouted, State: w.flow.state, Zone: w.flow.inZone(),
				FlowMark: w.flow.mark, FlowMarkUnknown: w.flow.markUnknown != nil}
		} else {
			result.join(&w)
		}
		for _, d := range w.doubts {
			if !slices.Contains(result.Doubts, d) {
				result.Doubts = append(result.Doubts, d)
			}
		}
		if result.Verdict == Unknown {
			return result
		}
		// The next way differs in the last choice that has not been turned to its end.
		choices = w.choices[:w.made]
		for len(choices) > 0 && choices[len(choices)-1].picked+1 == choices[len(choices)-1].of {
			choices = choices[:len(choices)-1]
		}
		if len(choices) == 0 {
			return result
		}
		choices[len(choices)-1].picked++
		if way == waysMax {
			result.Verdict, result.Decided, result.Reject = Unknown, nil, nil
			return result
		}
	}
}

// join adds another way's end to a result: what differs is not known.
func (r *Result) join(w *walk) {
	if w.verdict != r.Verdict || !sameReject(w.reject, r.Reject) {
		r.Verdict, r.Decided, r.Reject = Unknown, nil, nil
	}
	if r.Decided != nil && (w.decided == nil || *w.decided != *r.Decided) {
		r.Decided = nil
	}
	if len(r.Packet.Data) == len(w.packet.Data) && !bytes.Equal(r.Packet.Data, w.packet.Data) {
		for i := range r.Packet.Data {
			if r.Packet.Data[i] != w.packet.Data[i] {
				r.Packet.hide(i, i+1, blame{"", "the ways differ"})
			}
		}
	}
	if r.Way != w.way {
		r.Way = ""
	}
	r.Rerouted = r.Rerouted || w.rerouted
	r.Packet.unmarked = r.Packet.unmarked || w.packet.unmarked || w.packet.Mark != r.Packet.Mark
	if r.Packet.Out != w.packet.Out {
		r.Packet.Out, r.Packet.OutIndex = "", 0
	}
	r.FlowMarkUnknown = r.FlowMarkUnknown || w.flow.markUnknown != nil || r.FlowMark != w.flow.mark
	r.ZoneUnknown = r.ZoneUnknown || r.Zone != w.flow.inZone()
	if r.State != w.flow.state {
		r.State = Mixed
	}
}

func sameReject(a, b *rules.Reject) bool { return a == b || a != nil && b != nil && *a == *b }

// choice is what was picked where several ways are open.
type choice struct{ picked, of int }
