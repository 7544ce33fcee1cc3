// Package eval does with a packet what netfilter does: it runs the packet
// through the base chains of one hook, expression by expression, over the same
// registers as the kernel (nft_do_chain in net/netfilter/nf_tables_core.c).
//
// What can't be known is never guessed. Where an expression can't be decided,
// such as a rate limit or one that is not modelled, both ways are followed: if
// they end alike the answer is certain, else the verdict is Unknown and names
// the expression.
package eval

import (
	"cmp"
	"slices"

	"github.com/portwhy/portwhy/rules"
)

// Verdict is what becomes of a packet at a hook. The zero value is the honest one.
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
	Table  *rules.Table
	Chain  *rules.Chain
	Rule   *rules.Rule
	Effect string // continue, jump, goto, return, accept, drop, reject, queue, stolen, policy, unknown
}

// Doubt is an expression that could not be decided, and why.
type Doubt struct {
	Table      *rules.Table
	Chain      *rules.Chain
	Rule       *rules.Rule
	Expression string
	Why        string
}

// Result is what a hook does with a packet.
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
}

// waysMax bounds how many ways are followed; beyond, the answer is Unknown.
const waysMax = 256

// Hook runs a packet through the base chains of a hook, in order of priority.
// The packet is not changed. Chains of equal priority run in the order in which
// the ruleset has them; the kernel's is that of their registration.
func Hook(set *rules.Ruleset, hook rules.Hook, p *Packet) Result {
	chains := baseChains(set, hook, p.Family)
	var result Result
	choices := []bool{}
	for way := 0; ; way++ {
		w := walk{packet: p.copy(), hook: hook, choices: choices}
		w.run(chains)
		if way == 0 {
			result = Result{Verdict: w.verdict, Decided: w.decided, Steps: w.steps, Reject: w.reject}
		} else {
			if w.verdict != result.Verdict || !sameReject(w.reject, result.Reject) {
				result.Verdict, result.Decided, result.Reject = Unknown, nil, nil
			}
			if result.Decided != nil && !sameStep(*w.decided, *result.Decided) {
				result.Decided = nil
			}
		}
		for _, d := range w.doubts {
			if !slices.Contains(result.Doubts, d) {
				result.Doubts = append(result.Doubts, d)
			}
		}
		if result.Verdict == Unknown {
			return result
		}
		// The next way differs in the last choice that has not been turned yet.
		choices = w.taken
		for len(choices) > 0 && choices[len(choices)-1] {
			choices = choices[:len(choices)-1]
		}
		if len(choices) == 0 {
			return result
		}
		choices[len(choices)-1] = true
		if way == waysMax {
			result.Verdict, result.Decided, result.Reject = Unknown, nil, nil
			return result
		}
	}
}

func sameReject(a, b *rules.Reject) bool { return a == b || a != nil && b != nil && *a == *b }

func sameStep(a, b Step) bool {
	return a.Table == b.Table && a.Chain == b.Chain && a.Rule == b.Rule
}

// entry is a base chain with its table.
type entry struct {
	table *rules.Table
	chain *rules.Chain
}

// baseChains are the base chains that a packet of a family meets at a hook.
func baseChains(set *rules.Ruleset, hook rules.Hook, family rules.Family) []entry {
	var list []entry
	for _, t := range set.Tables {
		inet := t.Family == rules.Inet && (family == rules.IP || family == rules.IP6)
		if t.Dormant() || t.Family != family && !inet {
			continue
		}
		for _, c := range t.Chains {
			if c.Hook == hook {
				list = append(list, entry{t, c})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(place(a.chain), place(b.chain)), cmp.Compare(a.chain.Priority, b.chain.Priority))
	})
	return list
}

// place is the priority at which a chain runs. Those of type nat run where NAT
// stands, whatever their own priority is: that orders them among themselves
// (nf_nat_register_fn in net/netfilter/nf_nat_core.c).
func place(c *rules.Chain) int32 {
	const destination, source = -100, 100
	switch {
	case c.Type != "nat":
		return c.Priority
	case c.Hook == rules.Prerouting || c.Hook == rules.Output:
		return destination
	}
	return source
}
