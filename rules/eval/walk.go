package eval

import (
	"github.com/portwhy/portwhy/rules"
)

// depthMax is how deep jumps may lead (NFT_JUMP_STACK_SIZE). The kernel refuses
// a ruleset that goes deeper.
const depthMax = 16

// stepsMax bounds a walk: a ruleset from a file may hold what the kernel would
// refuse, such as chains that jump in circles.
const stepsMax = 1 << 20

// walk is one way of a packet: choices says what undecided expressions do, in
// the order in which they are met; those beyond take the first.
type walk struct {
	m        *Machine
	packet   Packet
	given    *Packet // as it was at the beginning
	asked    Way     // that was asked for
	flow     flow
	way      Way
	arrived  bool // from a device
	turned   *turn
	rerouted bool
	by       routed // what the packet's route was found for
	spoiled  bool   // a rule has made a wrong checksum of none
	ruined   bool   // a rule has left IPv4's header with a wrong checksum
	first    *walk  // of an existing flow: the way that its first packet would take now
	hook     rules.Hook
	family   rules.Family // whose hook it is
	frame    frame
	stands   string // the device that the packet stands at (skb->dev)
	inUntold bool   // the device that the packet came by was not told

	bridge          string // the bridge whose hooks it meets
	physIn, physOut string // its ports, as br_netfilter tells them to hooks of IP
	called          bool   // br_netfilter has taken the packet
	prerouted       bool   // and through prerouting
	brouted         bool   // a rule has it handed up instead of bridged
	takenOver       bool   // a flowtable has sent it on
	keyed           bool   // a rule has given it the settings of a tunnel
	ahead           *frame // a link header that is there already, but can't be loaded from

	registers [64]byte
	unknown   uint16    // a bit for each word that is not known
	reasons   [16]blame // why, for each word

	choices []choice
	made    int
	doubts  []Doubt
	steps   []Step
	verdict Verdict
	decided *Step
	reject  *rules.Reject
	ran     int

	markUnknown     *blame              // why the mark is not known
	priorityUnknown *blame              // why the priority is not known
	forHost         bool                // a rule has said that the packet is for this host
	outUnknown      *blame              // why the device it leaves by is not known
	touched         map[*rules.Set]bool // sets that the packet itself has changed
	changedSets     map[string]bool     // ipsets that it has changed, by name; "" for one that isn't named

	// where the walk is
	table    *rules.Table
	index    *index
	chain    *rules.Chain
	rule     *rules.Rule
	rest     rules.List // of the rule, behind the expression that runs
	priority int32
	next     string // chain of a jump or goto
	code     uint32 // all bits of a queue verdict
	queues   int    // how many queues the packet may go to
	changed  bool   // the rule has changed the packet, a mark or the like
	mapped   bool   // the rule has made a NAT mapping
	scratch  probe  // of quick

	running, later rules.Scratch // of the expression that runs, and of one behind it
}

// blame is an expression that can't be decided, and why.
type blame struct{ expression, why string }

// caller is where a chain was left by a jump.
type caller struct {
	chain *rules.Chain
	next  int
}

// base runs one base chain and reports whether the packet goes on.
func (w *walk) base(e entry) bool {
	w.table, w.index, w.chain = e.table, w.m.tables[e.table], e.chain
	w.priority = e.priority
	w.registers, w.unknown = [64]byte{}, 0
	var stack [depthMax]caller
	depth := 0
	onward := w.skimming(0)
	for i := 0; ; {
		if i = onward.next(i, len(w.chain.Rules)); i >= len(w.chain.Rules) {
			if depth == 0 {
				break
			}
			depth--
			w.chain, i = stack[depth].chain, stack[depth].next
			onward = w.skimming(i)
			continue
		}
		if w.ran++; w.ran > stepsMax {
			return w.giveUp("jump", "the chains lead too far")
		}
		w.rule = w.chain.Rules[i]
		i++
		verdict := w.one()
		if w.changed {
			onward = w.skimming(i) // the packet may have other addresses now
		}
		switch verdict {
		case rules.Continue, rules.Break:
		case rules.Return:
			w.step("return")
			i = len(w.chain.Rules)
		case rules.Jump:
			w.step("jump")
			if depth == depthMax {
				return w.giveUp("immediate", "jumps lead deeper than the kernel allows")
			}
			stack[depth] = caller{w.chain, i}
			depth++
			i = 0
			if w.chain = w.index.chains[w.next]; w.chain == nil {
				return w.giveUp("immediate", "chain "+w.next+" is not in the ruleset")
			}
			onward = w.skimming(0)
		case rules.Goto:
			w.step("goto")
			i = 0
			if w.chain = w.index.chains[w.next]; w.chain == nil {
				return w.giveUp("immediate", "chain "+w.next+" is not in the ruleset")
			}
			onward = w.skimming(0)
		case rules.Accept:
			effect := "accept"
			if w.mapped {
				effect = "nat"
			}
			w.decide(Accept, effect)
			return true
		case rules.Drop:
			if w.reject != nil {
				w.decide(Reject, "reject")
			} else {
				w.decide(Drop, "drop")
			}
			return false
		case rules.Queue:
			return w.queue()
		case rules.Stolen:
			w.decide(Stolen, "stolen")
			return false
		case unclear:
			// The expression that brought the walk here has its doubt already.
			w.step("unknown")
			w.verdict, w.decided = Unknown, nil
			return false
		default:
			return w.giveUp("verdict", "not a verdict of netfilter")
		}
	}
	// The end of the base chain, or of one that a goto from it led to.
	w.chain, w.rule = e.chain, nil
	if e.chain.Policy == "drop" {
		w.decide(Drop, "policy")
		return false
	}
	w.decide(Accept, "policy")
	w.steps[len(w.steps)-1].Floats = e.floats
	return true
}

// one runs the rule's expressions.
func (w *walk) one() rules.VerdictKind {
	w.changed, w.mapped = false, false
	rest := w.rule.Exprs
	for e := rest.Next(&w.running); e != nil; e = rest.Next(&w.running) {
		v, ok := w.quick(e)
		if !ok {
			w.rest = rest
			v = w.expr(e)
		}
		if v != rules.Continue {
			return v
		}
	}
	// A rule that ran to its end without a verdict is a step all the same.
	if w.changed {
		w.step("set")
	} else {
		w.step("continue")
	}
	return rules.Continue
}

// queue hands the packet to a program (nf_queue in net/netfilter/nf_queue.c):
// without one that listens, it goes on if the rule says bypass and is lost if not.
func (w *walk) queue() bool {
	const bypass = 0x8000 // NF_VERDICT_FLAG_QUEUE_BYPASS
	unread, known := w.unreadQueues()
	lost := known && unread == w.queues
	if known && 0 < unread && unread < w.queues {
		lost = w.choose(2, blame{"queue", "to which of the queues the packet goes is not known, and some have nobody who listens"}) == 1
	}
	switch {
	case lost && w.code&bypass != 0:
		w.decide(Accept, "accept")
		return true
	case lost:
		w.decide(Drop, "drop")
	default:
		w.decide(Queue, "queue")
	}
	return false
}

// unreadQueues counts the queues without a program that listens, of those that
// the packet may go to.
func (w *walk) unreadQueues() (unread int, known bool) {
	ask := w.m.host.Listener
	if ask == nil {
		return 0, false
	}
	for i := range w.queues {
		listens, ok := ask(uint16(int(w.code>>16) + i))
		if !ok {
			return 0, false
		}
		if !listens {
			unread++
		}
	}
	return unread, true
}

func (w *walk) step(effect string) {
	w.steps = append(w.steps, Step{Hook: w.hook, Priority: w.priority, Table: w.table, Chain: w.chain, Rule: w.rule, Effect: effect})
}

func (w *walk) decide(v Verdict, effect string) {
	w.step(effect)
	w.verdict = v
	last := w.steps[len(w.steps)-1]
	w.decided = &last
}

func (w *walk) doubt(b blame) {
	w.doubts = append(w.doubts, Doubt{w.table, w.chain, w.rule, b.expression, b.why})
}

// giveUp ends the walk without an answer.
func (w *walk) giveUp(expression, why string) bool {
	w.step("unknown")
	w.doubt(blame{expression, why})
	w.verdict, w.decided = Unknown, nil
	return false
}

// choose is the walk's way at a place where n are open.
func (w *walk) choose(n int, b blame) int {
	w.doubt(b)
	if w.made == len(w.choices) {
		w.choices = append(w.choices, choice{0, n})
	}
	w.made++
	return w.choices[w.made-1].picked
}

// perhaps follows both ways past an expression that matches or doesn't. Where
// the rule only counts or logs behind it, there is nothing to choose.
func (w *walk) perhaps(b blame) rules.VerdictKind {
	rest := w.rest
	for e := rest.Next(&w.later); e != nil; e = rest.Next(&w.later) {
		if !w.harmless(e) {
			if w.choose(2, b) == 1 {
				return rules.Continue
			}
			return rules.Break
		}
	}
	w.doubt(b) // of whether the rule counts, which changes nothing
	return rules.Break
}

// unclear is no verdict of the kernel's: the walk gives up.
const unclear rules.VerdictKind = -128

// either follows both ways past an expression that does what is not known: on
// one the rule breaks off, on the other nothing more can be said.
func (w *walk) either(b blame) rules.VerdictKind {
	if w.choose(2, b) == 1 {
		return unclear
	}
	return rules.Break
}

// harmless reports whether an expression changes neither this packet's fate nor
// what later ones see: what only tests, counts or logs.
func (w *walk) harmless(e rules.Expr) bool {
	switch e := e.(type) {
	case *rules.Meta:
		return !e.Write
	case *rules.CT:
		return !e.Write
	case *rules.Payload:
		return !e.Write
	case *rules.Exthdr:
		return !e.Write && !e.Reset
	case *rules.Lookup:
		return !e.HasDest
	case *rules.Immediate:
		return e.Verdict == nil || e.Verdict.Kind == rules.Continue
	case *rules.Cmp, *rules.Range, *rules.Bitwise, *rules.Byteorder,
		*rules.Counter, *rules.Log, *rules.Last, *rules.Limit, *rules.Quota, *rules.ConnLimit,
		*rules.Fib, *rules.RT, *rules.Socket, *rules.OSF, *rules.Hash, *rules.Numgen,
		*rules.XFRM, *rules.Tunnel, *rules.Inner, *rules.IPTables, *rules.ARPTables:
		return true
	case *rules.Match:
		return !leavesTrace(e) && !w.mayLose(e)
	case *rules.Target:
		return harmlessTargets[e.Ext]
	}
	return false
}

// answer is what a test says where it may not be known: then Why tells why.
type answer struct {
	yes bool
	why string
}

var (
	isSo  = answer{yes: true}
	isNot = answer{}
)

func unsure(why string) answer    { return answer{why: why} }
func holds(condition bool) answer { return answer{yes: condition} }

func matched(yes bool) rules.VerdictKind {
	if yes {
		return rules.Continue
	}
	return rules.Break
}
