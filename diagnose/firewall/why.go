package firewall

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/witness"
	"github.com/portwhy/portwhy/rules/words"
)

// WhySchema names the JSON form of [Whys].
const WhySchema = "portwhy.why/v1"

// Whys is what rules do, or why they do nothing. Its JSON form is a promise:
// within v1 fields are only added.
type Whys struct {
	Schema string        `json:"schema"`
	Tool   diagnose.Tool `json:"tool"`
	Asked  string        `json:"asked"`
	Rules  []Why         `json:"rules"`
}

// Effect is whether a rule has a say.
type Effect string

// The effects.
const (
	Effective   Effect = "effective"   // it decides what it is for
	Shadowed    Effect = "shadowed"    // an earlier rule decides before it is asked
	Overruled   Effect = "overruled"   // it accepts, and another chain drops
	Unreachable Effect = "unreachable" // no packet comes to its chain
	Dormant     Effect = "dormant"     // its table sleeps
	Undecided   Effect = "unknown"
)

// Why is what a rule does to a packet that it is for.
type Why struct {
	Rule    Rule   `json:"rule"`
	Effect  Effect `json:"effect"`
	Because string `json:"because"`
	// By is the rule or policy that decides instead.
	By *Decider `json:"by"`
	// Packet is the packet that was tried, in words.
	Packet string `json:"packet"`
	// Verdict is what becomes of it in the end.
	Verdict string `json:"verdict"`
}

// Why asks about the rules that a text stands for: `handle 7` or 7, :8080 or 8080
// for the rules about a port, a rule's text or a part of it, each with words of
// family, table and chain before it. It returns nil if there is no such rule.
func (t *Tracer) Why(asked string) *Whys {
	doc := &Whys{Schema: WhySchema, Tool: t.tool, Asked: asked, Rules: []Why{}}
	t = t.anywhere()
	for _, found := range t.find(asked) {
		doc.Rules = append(doc.Rules, t.why(found.table, found.chain, found.rule))
	}
	if len(doc.Rules) == 0 {
		return nil
	}
	return doc
}

// anywhere is a tracer for packets with made up addresses, of which this host's
// routes say nothing, and by devices that it may not have.
func (t *Tracer) anywhere() *Tracer {
	other := *t
	other.facts.Route, other.invents = nil, true
	other.machine = eval.Compile(t.set, other.facts)
	return &other
}

// Shadowed reports whether the step's rule has no effect on a packet that it is
// for, because an earlier one decides.
func (t *Tracer) Shadowed(s *Step) bool {
	return s.at.rule != nil && t.anywhere().why(s.at.table, s.at.chain, s.at.rule).Effect == Shadowed
}

// place is a rule with where it stands.
type place struct {
	table *rules.Table
	chain *rules.Chain
	rule  *rules.Rule
}

func (t *Tracer) find(asked string) []place {
	words := strings.Fields(asked)
	if len(words) == 0 {
		return nil
	}
	last := words[len(words)-1]
	where := words[:len(words)-1]
	if n, err := strconv.ParseUint(last, 10, 64); err == nil {
		where = slices.DeleteFunc(slices.Clone(where), func(w string) bool { return w == "handle" || w == "rule" })
		if len(where) > 2 || len(words) == 1 || len(where) < len(words)-1 {
			if found := t.places(where, func(p place) bool {
				handle := p.rule.About().Handle
				return handle == n || handle == 0 && len(where) > 2 && int(p.rule.Number) == int(n)
			}); len(found) > 0 {
				return found
			}
		}
	}
	if port, err := strconv.ParseUint(strings.TrimPrefix(last, ":"), 10, 16); err == nil && len(where) <= 3 {
		return t.places(where, func(p place) bool { return aboutPort(p.rule) && isFor(p, uint16(port)) })
	}
	exact := t.places(nil, func(p place) bool { return t.textOf(p) == asked })
	if len(exact) > 0 {
		return exact
	}
	return t.places(nil, func(p place) bool { return strings.Contains(t.textOf(p), asked) })
}

// isFor reports whether a rule is about a destination port.
func isFor(p place, port uint16) bool {
	have, ok := witness.Packet(p.table, rules.Input, p.rule).Port(true)
	return ok && have == port
}

func (t *Tracer) textOf(p place) string { return t.rule(p.table, p.chain, p.rule).Text }

// places are the rules that fit, in tables and chains that have the names given.
func (t *Tracer) places(where []string, fits func(place) bool) []place {
	var list []place
	for _, table := range t.set.Tables {
		for _, c := range table.Chains {
			if !slices.Equal(where, lastOf([]string{table.Family.String(), table.Name, c.Name}, len(where))) {
				continue
			}
			for _, r := range c.Rules {
				if p := (place{table, c, r}); fits(p) {
					list = append(list, p)
				}
			}
		}
	}
	return list
}

func lastOf(list []string, n int) []string { return list[max(0, len(list)-n):] }

func (t *Tracer) why(table *rules.Table, c *rules.Chain, r *rules.Rule) Why {
	w := Why{Rule: t.rule(table, c, r)}
	if table.Dormant() {
		w.Effect, w.Because = Dormant, fmt.Sprintf("table %s %s is dormant: its chains see no packet", table.Family, table.Name)
		return w
	}
	base := reaching(table, c)
	if base == nil {
		w.Effect, w.Because = Unreachable, fmt.Sprintf("no rule leads to chain %s, and it stands at no hook", c.Name)
		return w
	}
	p := witness.Packet(table, base.Hook, r)
	p.InIndex, p.OutIndex = t.index(p.In), t.index(p.Out)
	w.Packet = packetWords(p)
	result := t.machine.Trace(wayTo(base.Hook), p)
	w.Verdict = string(result.Verdict)
	if result.Verdict == eval.Unknown {
		w.Verdict = unknownWord
	}
	own := slices.IndexFunc(result.Steps, func(s eval.Step) bool { return s.Rule == r })
	doubt := slices.IndexFunc(result.Doubts, func(d eval.Doubt) bool { return d.Rule == r })
	switch {
	case doubt >= 0:
		d := result.Doubts[doubt]
		w.Effect, w.Because = Undecided, fmt.Sprintf("a packet comes to it; whether it matches can't be told: %s: %s", d.Expression, d.Why)
	case own >= 0:
		t.asked(&w, result, result.Steps[own])
	case !t.alone(table, base, r, p):
		w.Effect, w.Because = Undecided, "no packet was found that it matches"
	default:
		t.notAsked(&w, result, table, base)
	}
	return w
}

// asked: the rule matches the packet. Does that decide?
func (t *Tracer) asked(w *Why, result eval.Result, own eval.Step) {
	by := result.Decided
	switch {
	case own.Effect == "accept" && by != nil && (result.Verdict == eval.Drop || result.Verdict == eval.Reject):
		d := t.decider(by)
		w.Effect, w.By = Overruled, &d
		w.Because = fmt.Sprintf("it accepts, but that is for its own chain only: %s (%s) %ss the packet", quoted(d.Rule), d.Where(), result.Verdict)
	case own.Effect == "accept" && result.Verdict == eval.Unknown:
		w.Effect, w.Because = Undecided, "it accepts; what other chains make of the packet can't be told: "+doubtWords(result)
	default:
		w.Effect, w.Because = Effective, "it matches: "+own.Effect
	}
}

// notAsked: the rule would match, but the packet doesn't come to it.
func (t *Tracer) notAsked(w *Why, result eval.Result, table *rules.Table, base *rules.Chain) {
	by := mappedBefore(result, base)
	if by != nil && onlyRouting(result) {
		w.shadowed(t.decider(by))
		return
	}
	for i, s := range result.Steps {
		ends := s.Effect == "accept" || s.Effect == "drop" || s.Effect == "reject" || s.Effect == "return" || s.Effect == "goto" || s.Effect == "queue" || s.Effect == "stolen" || s.Effect == "policy"
		if ends && s.Table == table && s.Hook == base.Hook {
			by = &result.Steps[i]
		}
	}
	if by == nil || result.Decided != nil && result.Verdict != eval.Accept {
		by = result.Decided
	}
	switch {
	case len(result.Doubts) > 0 && result.Verdict == eval.Unknown:
		w.Effect, w.Because = Undecided, "whether a packet comes to it can't be told: "+doubtWords(result)
	case by == nil:
		w.Effect, w.Because = Undecided, "the packet doesn't come to it, and no rule is to blame"
	default:
		w.shadowed(t.decider(by))
	}
}

func (w *Why) shadowed(by Decider) {
	w.Effect, w.By = Shadowed, &by
	w.Because = fmt.Sprintf("%s (%s) decides before", quoted(by.Rule), by.Where())
}

// mappedBefore is, for a chain of NAT, the step that has mapped the flow: the first
// rule that does ends that for all such chains.
func mappedBefore(r eval.Result, base *rules.Chain) *eval.Step {
	for i, s := range r.Steps {
		if s.Effect == "nat" && s.Hook == base.Hook && base.Type == "nat" {
			return &r.Steps[i]
		}
	}
	return nil
}

// onlyRouting reports whether nothing is in doubt but where a packet goes once NAT
// has changed it: that is after all chains of NAT.
func onlyRouting(r eval.Result) bool {
	return !slices.ContainsFunc(r.Doubts, func(d eval.Doubt) bool { return d.Expression != "route" })
}

func quoted(r Rule) string { return Quoted(r.Text) }

// Quoted sets a rule's text off from a sentence around it, as it is: so that it
// reads the same as where it stands.
func Quoted(text string) string {
	if strings.Contains(text, `"`) {
		return "'" + text + "'"
	}
	return `"` + text + `"`
}

func (t *Tracer) decider(s *eval.Step) Decider {
	return Decider{t.rule(s.Table, s.Chain, s.Rule), s.Rule == nil, s.Hook, s.Priority, setOf(s)}
}

func doubtWords(r eval.Result) string {
	if len(r.Doubts) == 0 {
		return "the ways differ"
	}
	return r.Doubts[0].Expression + ": " + r.Doubts[0].Why
}

// alone reports whether the rule matches the packet if it is the only one.
func (t *Tracer) alone(table *rules.Table, base *rules.Chain, r *rules.Rule, p *eval.Packet) bool {
	only, chain := *table, *base
	chain.Rules = []*rules.Rule{r}
	only.Chains = []*rules.Chain{&chain}
	for _, c := range table.Chains { // what the rule may jump to
		if !c.Base() && c.Name != base.Name {
			only.Chains = append(only.Chains, c)
		}
	}
	set := &rules.Ruleset{Tables: []*rules.Table{&only}, IPSets: t.set.IPSets}
	result := eval.Compile(set, t.facts).Trace(wayTo(base.Hook), p)
	return slices.ContainsFunc(result.Steps, func(s eval.Step) bool { return s.Rule == r })
}

// reaching is a base chain from which packets come to a chain; nil if none.
func reaching(t *rules.Table, c *rules.Chain) *rules.Chain {
	seen := map[string]bool{}
	level := []*rules.Chain{c}
	for len(level) > 0 {
		var above []*rules.Chain
		for _, x := range level {
			if x.Base() {
				return x
			}
			for _, from := range t.Chains {
				if !seen[from.Name] && leads(t, from, x.Name) {
					seen[from.Name] = true
					above = append(above, from)
				}
			}
		}
		level = above
	}
	return nil
}

// leads reports whether a chain has a rule that jumps or goes to another.
func leads(t *rules.Table, from *rules.Chain, to string) bool {
	return slices.ContainsFunc(from.Rules, func(r *rules.Rule) bool {
		return slices.ContainsFunc(r.Exprs.All(), func(e rules.Expr) bool {
			switch e := e.(type) {
			case *rules.Immediate:
				return e.Verdict != nil && e.Verdict.Chain == to
			case *rules.Lookup:
				if s := t.Set(e.Set); s != nil {
					for _, x := range s.Elements.All() {
						if x.Verdict != nil && x.Verdict.Chain == to {
							return true
						}
					}
				}
			}
			return false
		})
	})
}

func wayTo(h rules.Hook) eval.Way {
	switch h {
	case rules.Forward:
		return eval.Forward
	case rules.Output, rules.Postrouting, rules.Egress:
		return eval.Out
	}
	return eval.In
}

// packetWords is a packet in one line.
func packetWords(p *eval.Packet) string {
	end := func(destination bool) string {
		a := p.Address(destination).String()
		if port, ok := p.Port(destination); ok {
			if strings.Contains(a, ":") {
				a = "[" + a + "]"
			}
			a += ":" + strconv.Itoa(int(port))
		}
		return a
	}
	protocol, _ := p.Protocol()
	name := words.InetProto.Symbol(uint64(protocol))
	if name == "" {
		name = strconv.Itoa(int(protocol))
	}
	s := end(false) + " > " + end(true) + "/" + name
	if p.In != "" {
		s += " by " + p.In
	}
	if p.Out != "" {
		s += " to " + p.Out
	}
	return s
}
