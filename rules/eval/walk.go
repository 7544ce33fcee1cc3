package eval

import "github.com/portwhy/portwhy/rules"

// depthMax is how deep jumps may lead (NFT_JUMP_STACK_SIZE). The kernel refuses
// a ruleset that goes deeper.
const depthMax = 16

// stepsMax bounds a walk: a ruleset from a file may hold what the kernel would
// refuse, such as chains that jump in circles.
const stepsMax = 1 << 20

// walk is one way of a packet through a hook: choices says what undecided
// expressions do, in the order in which they are met; those beyond don't match.
type walk struct {
	packet    Packet
	hook      rules.Hook
	registers [64]byte
	choices   []bool
	taken     []bool
	doubts    []Doubt
	steps     []Step
	verdict   Verdict
	decided   *Step
	reject    *rules.Reject
	ran       int
	// where the walk is
	table *rules.Table
	chain *rules.Chain
	rule  *rules.Rule
}

// run goes through the base chains: what one accepts goes on to the next.
func (w *walk) run(chains []entry) {
	w.verdict = Accept
	for _, e := range chains {
		if !w.base(e) {
			return
		}
	}
}

// caller is where a chain was left by a jump.
type caller struct {
	chain *rules.Chain
	next  int
}

// base runs one base chain and reports whether the packet goes on.
func (w *walk) base(e entry) bool {
	w.table, w.chain = e.table, e.chain
	w.registers = [64]byte{}
	if e.chain.Type == "nat" {
		// Only a flow's first packet comes here (nf_nat_inet_fn).
		switch w.packet.State {
		case Established, Invalid, Untracked:
			return true
		case 0:
			w.rule = nil
			if len(e.chain.Rules) > 0 {
				return w.giveUp("nat", "the packet's conntrack state is not known")
			}
		}
	}
	var stack []caller
	for i := 0; ; {
		if i >= len(w.chain.Rules) {
			if len(stack) == 0 {
				break
			}
			w.chain, i = stack[len(stack)-1].chain, stack[len(stack)-1].next
			stack = stack[:len(stack)-1]
			continue
		}
		if w.ran++; w.ran > stepsMax {
			return w.giveUp("jump", "the chains lead too far")
		}
		w.rule = w.chain.Rules[i]
		i++
		v := w.one(w.rule)
		switch v.Kind {
		case rules.Continue, rules.Break:
		case rules.Return:
			w.step("return")
			i = len(w.chain.Rules)
		case rules.Jump, rules.Goto:
			next := w.table.Chain(v.Chain)
			if next == nil {
				return w.giveUp("immediate", "chain "+v.Chain+" is not in the ruleset")
			}
			if v.Kind == rules.Jump {
				w.step("jump")
				if len(stack) >= depthMax {
					return w.giveUp("immediate", "jumps lead deeper than the kernel allows")
				}
				stack = append(stack, caller{w.chain, i})
			} else {
				w.step("goto")
			}
			w.chain, i = next, 0
		case rules.Accept:
			w.decide(Accept, "accept")
			return true
		case rules.Drop:
			if w.reject != nil {
				w.decide(Reject, "reject")
			} else {
				w.decide(Drop, "drop")
			}
			return false
		case rules.Queue:
			w.decide(Queue, "queue")
			return false
		case rules.Stolen:
			w.decide(Stolen, "stolen")
			return false
		case unclear:
			// The expression that brought the walk here has its doubt already.
			w.step("unknown")
			w.verdict, w.decided = Unknown, nil
			return false
		default:
			return w.giveUp("verdict", "not a verdict of nftables")
		}
	}
	// The end of the base chain, or of one that a goto from it led to.
	w.chain, w.rule = e.chain, nil
	if e.chain.Policy == "drop" {
		w.decide(Drop, "policy")
		return false
	}
	w.decide(Accept, "policy")
	return true
}

func (w *walk) step(effect string) {
	w.steps = append(w.steps, Step{w.table, w.chain, w.rule, effect})
}

func (w *walk) decide(v Verdict, effect string) {
	w.step(effect)
	w.verdict = v
	last := w.steps[len(w.steps)-1]
	w.decided = &last
}

// giveUp ends the walk without an answer.
func (w *walk) giveUp(expression, why string) bool {
	w.step("unknown")
	w.doubts = append(w.doubts, Doubt{w.table, w.chain, w.rule, expression, why})
	w.verdict, w.decided = Unknown, nil
	return false
}

// undecided asks which way this walk takes past an expression that can't be
// decided: true goes on in the rule, false breaks off.
func (w *walk) undecided(expression, why string) bool {
	w.doubts = append(w.doubts, Doubt{w.table, w.chain, w.rule, expression, why})
	choice := false
	if n := len(w.taken); n < len(w.choices) {
		choice = w.choices[n]
	}
	w.taken = append(w.taken, choice)
	return choice
}

var (
	goesOn    = rules.Verdict{Kind: rules.Continue}
	breaksOff = rules.Verdict{Kind: rules.Break}
	drops     = rules.Verdict{Kind: rules.Drop}
)

// one runs a rule's expressions.
func (w *walk) one(r *rules.Rule) rules.Verdict {
	for _, e := range r.Exprs {
		if v := w.expr(e); v.Kind != rules.Continue {
			return v
		}
	}
	// A rule that ran to its end without a verdict is a step all the same.
	w.step("continue")
	return goesOn
}
