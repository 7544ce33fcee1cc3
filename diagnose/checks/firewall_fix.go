package checks

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/rules"
)

// mended is how the rules are with a blocker out of the way, and what becomes of
// the flow then. look is nil if nothing is known to mend it.
type mended struct {
	tracer *firewall.Tracer
	look   *firewall.Look
}

// openings proposes the fewest and smallest rules that let the flow pass where it
// is stopped, there or back, as the chain's own tool takes them, and tries them on
// the model: one, or two where the same rule or policy stops the answer as well.
// blocked is the first packet or the answer to it, asked the first.
func openings(f *diagnose.Flow, tracer *firewall.Tracer, asked firewall.Packet, blocked *firewall.Trace) ([]diagnose.Fix, mended) {
	fix := diagnose.Fix{NeedsRoot: true, Check: "simulated", Risk: "low", Title: "accept it where it is stopped", PredictedOutcome: diagnose.Connected}
	m := mended{tracer: tracer}
	for again := blocked; len(fix.Commands) < mostBlockers && again != nil && again.SameDecider(blocked); again = stoppedAgain(m.look) {
		one, next := try(f, m.tracer, asked, again)
		if next.look == nil || next.outcome(again) != diagnose.Connected {
			return nil, mended{}
		}
		m = next
		fix.Commands = append(fix.Commands, one.command)
		fix.Undo = append([][]string{one.undo}, fix.Undo...)
		if fix.Opens != "" {
			fix.Opens += "; "
		}
		fix.Opens += one.opens
	}
	return []diagnose.Fix{fix}, m
}

// outcome is how the flow ends once a blocker is mended, as far as it and what
// can't be told go: what else stops it by name is a cause of its own.
func (m mended) outcome(blocked *firewall.Trace) diagnose.Outcome {
	if again := stoppedAgain(m.look); again != nil && !again.SameEnd(blocked) {
		return diagnose.Connected
	}
	if back := m.look.Back; back != nil && (back.Lost() || back.Unrouted()) {
		return diagnose.Connected
	}
	return predicted(m.look)
}

// try adds one rule on the model: where the packet is stopped, or, if it never
// gets there, on top of the chain.
func try(f *diagnose.Flow, tracer *firewall.Tracer, asked firewall.Packet, blocked *firewall.Trace) (admission, mended) {
	for _, place := range []firewall.Place{firewall.BeforeIt, firewall.OnTop} {
		one, ok := opening(f, blocked, place)
		if !ok {
			return admission{}, mended{}
		}
		with, err := tracer.With(blocked, place, one.rule)
		if err != nil {
			return admission{}, mended{}
		}
		look, err := with.Look(asked)
		if err != nil {
			return admission{}, mended{}
		}
		if again := stoppedAgain(look); again == nil || !again.SameEnd(blocked) {
			return one, mended{with, look}
		}
	}
	return admission{}, mended{}
}

// stoppedAgain is what a rule stops, by name, of a flow and the answer.
func stoppedAgain(l *firewall.Look) *firewall.Trace {
	for _, t := range []*firewall.Trace{l.There, l.Back} {
		if t != nil && (t.Verdict == "drop" || t.Verdict == "reject") && t.DecidedBy != nil {
			return t
		}
	}
	return nil
}

// predicted is how the flow ends, as far as the rules go.
func predicted(l *firewall.Look) diagnose.Outcome {
	switch {
	case l.There.Verdict != "accept":
		return outcomeOf(l.There)
	case l.Back == nil:
		return diagnose.Unknown
	case l.Back.Verdict != "accept":
		return diagnose.Timeout
	}
	return diagnose.Connected
}

func outcomeOf(t *firewall.Trace) diagnose.Outcome {
	if t.ClientSees == "unknown" {
		return diagnose.Unknown
	}
	return diagnose.Outcome(t.ClientSees)
}

// admission is a rule that accepts, with the command that puts it before what stops
// a packet, and what it newly admits in words.
type admission struct {
	rule          string
	command, undo []string
	opens         string
}

// opening is the rule for a packet that is stopped.
func opening(f *diagnose.Flow, t *firewall.Trace, place firewall.Place) (admission, bool) {
	d := t.DecidedBy
	switch {
	case d.Hook == rules.Ingress || d.Hook == rules.Egress:
		return admission{}, false
	case d.Backend == rules.NFT && (d.Handle != nil || d.Policy) && (d.Family == "ip" || d.Family == "ip6" || d.Family == "inet" || d.Family == "bridge"):
		return nftOpening(f, t, place), true
	case d.Backend != rules.NFT && (d.Number != nil || d.Policy) && (d.Family == "ip" || d.Family == "ip6"):
		return iptablesOpening(f, t, place), true
	}
	return admission{}, false
}

func nftOpening(f *diagnose.Flow, t *firewall.Trace, place firewall.Place) admission {
	e := endsOf(f, t)
	family := "ip"
	if e.six {
		family = "ip6"
	}
	words := []string{}
	switch {
	case e.local && e.out:
		words = append(words, "oifname", "lo")
	case e.local:
		words = append(words, "iifname", "lo")
	case e.out:
		words = append(words, family, "daddr", e.far)
	default:
		words = append(words, family, "saddr", e.far)
	}
	words = append(words, f.Network, e.side+"port", e.port)
	if e.tracked && t.DecidedBy.Family != "bridge" {
		words = append(words, "ct", "state", "established")
	}
	return nftAdmission(t, place, append(words, "accept"), e.words(f))
}

// nftAdmission adds a rule of nftables.
func nftAdmission(t *firewall.Trace, place firewall.Place, words []string, opens string) admission {
	d, rule := t.DecidedBy, strings.Join(words, " ")
	comment := ownName(d.Family, d.Table, d.Chain, rule) // its handle is known only when it is there
	words = append(words, "comment", strconv.Quote(comment))
	command := []string{"nft", "add", "rule", d.Family, d.Table, d.Chain}
	switch {
	case place == firewall.OnTop:
		command[1] = "insert"
	case !d.Policy:
		command[1] = "insert"
		command = append(command, "handle", strconv.FormatUint(*d.Handle, 10))
	}
	return admission{rule: rule, command: append(command, words...), opens: opens,
		undo: []string{"portwhy", "fix", "remove-rule", d.Family, d.Table, d.Chain, comment}}
}

// ownName names what a fix adds, so that it is found again.
func ownName(of ...string) string {
	mark := fnv.New32a()
	mark.Write([]byte(strings.Join(of, " ")))
	return fmt.Sprintf("portwhy-%08x", mark.Sum32())
}

func iptablesOpening(f *diagnose.Flow, t *firewall.Trace, place firewall.Place) admission {
	e := endsOf(f, t)
	words := []string{}
	switch {
	case e.local && e.out:
		words = append(words, "-o", "lo")
	case e.local:
		words = append(words, "-i", "lo")
	case e.out:
		words = append(words, "-d", e.far)
	default:
		words = append(words, "-s", e.far)
	}
	words = append(words, "-p", f.Network, "--"+e.side+"port", e.port)
	if e.tracked {
		words = append(words, "-m", "conntrack", "--ctstate", "ESTABLISHED")
	}
	return iptablesAdmission(t, place, append(words, "-j", "ACCEPT"), e.words(f))
}

// iptablesAdmission adds a rule of iptables.
func iptablesAdmission(t *firewall.Trace, place firewall.Place, words []string, opens string) admission {
	d, in := t.DecidedBy, iptables(t)
	where := []string{"-A", d.Chain}
	switch {
	case place == firewall.OnTop:
		where = []string{"-I", d.Chain}
	case !d.Policy:
		where = []string{"-I", d.Chain, strconv.Itoa(*d.Number)}
	}
	return admission{rule: strings.Join(words, " "), command: slices.Concat(in, where, words), undo: slices.Concat(in, []string{"-D", d.Chain}, words), opens: opens}
}

// iptables is the command for the table that decided. It waits for the tool's
// lock, but not for ever.
func iptables(t *firewall.Trace) []string {
	d := t.DecidedBy
	tool := iptablesOf(d.Backend, d.Family)
	command := []string{tool, "-w", "5"}
	if d.Table != "filter" {
		command = append(command, "-t", d.Table)
	}
	return command
}

// ends is what a packet has that a rule for it names.
type ends struct {
	far        string // the other host's address
	side, port string // s or d, and the server's port
	six        bool
	local, out bool // this host's own; leaving it
	answer     bool
	tracked    bool // a packet of a connection that conntrack knows
}

// endsOf tells the ends where the packet is stopped: behind NAT it has others.
func endsOf(f *diagnose.Flow, t *firewall.Trace) ends {
	d := t.DecidedBy
	src, sport := splitPort(t.Asked.Src)
	dst, dport := splitPort(t.Asked.Dst)
	if p := t.Packet; p.Dst != nil && p.Dport != nil && d.Hook != rules.Output && d.Hook != rules.Prerouting {
		dst, dport = p.Dst.String(), strconv.Itoa(int(*p.Dport))
	}
	e := ends{side: "d", port: dport, six: strings.Contains(dst, ":"), local: t.Asked.Way == "local", out: d.Hook == rules.Output || d.Hook == rules.Postrouting,
		answer: t.Answers(), tracked: t.Answers() && t.Established()}
	if e.answer {
		e.side, e.port = "s", sport
	}
	if e.far = src; e.out {
		e.far = dst
	}
	return e
}

// words say what the rule newly admits.
func (e ends) words(f *diagnose.Flow) string {
	what := e.port + "/" + f.Network
	if e.answer {
		what = "answers from " + what
	}
	switch {
	case e.local:
		return what + " of this host to itself"
	case e.out:
		return what + " from this host to " + e.far
	}
	return what + " from " + e.far
}

// splitPort takes an address apart from its port.
func splitPort(s string) (address, port string) {
	if at := strings.LastIndexByte(s, ':'); at >= 0 && (strings.Count(s, ":") == 1 || s[at-1] == ']') {
		return strings.Trim(s[:at], "[]"), s[at+1:]
	}
	return s, ""
}
