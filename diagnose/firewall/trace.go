package firewall

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/text"
	"github.com/portwhy/portwhy/rules/words"
)

// TraceSchema names the JSON form of [Trace].
const TraceSchema = "portwhy.trace/v1"

// Trace is what the firewall does with one packet. Its JSON form is a promise:
// within v1 fields are only added.
type Trace struct {
	Schema string        `json:"schema"`
	Tool   diagnose.Tool `json:"tool"`
	// Asked is the packet with what routing has added: way, iif and oif.
	Asked   Packet `json:"asked"`
	Verdict string `json:"verdict"` // accept, drop, reject, queue, unknown
	// RejectWith is what answers: tcp-reset, icmp-port-unreachable, icmpv6-admin-prohibited, …
	RejectWith *string  `json:"reject_with"`
	ClientSees string   `json:"client_sees"` // passes, refused, timeout, host-unreachable, net-unreachable, denied, unknown
	DecidedBy  *Decider `json:"decided_by"`
	// Reason is why a packet is lost that no rule stops: routing.
	Reason  string     `json:"reason,omitempty"`
	Steps   []Step     `json:"steps"`
	Packet  PacketLeft `json:"packet"`
	Unknown []Doubt    `json:"unknown"`

	// Reset is the reset or error that answers a rejected packet, where rules stop that in turn;
	// nil: they don't, or weren't asked.
	Reset *Trace `json:"-"`

	came     *eval.Packet // as it was at first
	out      string       // the device that it left by
	anew     bool         // OUTPUT changed it, and it was routed anew
	unmarked bool         // its mark is not known
	off      string       // the setting by which it isn't forwarded
	state    uint32       // of conntrack, at the end
	answers  bool         // it answers another
	zone     eval.Zone    // of conntrack, into which it was put
	zoneOff  bool         // that isn't known
	flowMark *uint32      // of conntrack; nil: not known
	decided  *rules.Rule  // nil for a policy
	chain    *rules.Chain // that decided
}

// Rule says which rule, in which chain.
type Rule struct {
	Backend rules.Backend `json:"backend"`
	Family  string        `json:"family"`
	Table   string        `json:"table"`
	Chain   string        `json:"chain"`
	Handle  *uint64       `json:"handle"` // null where the backend has none
	Number  *int          `json:"number"` // place in the chain, from 1; null for a policy
	Text    string        `json:"text"`
	File    string        `json:"file,omitempty"` // and line: where the ruleset was read from a file
	Line    int           `json:"line,omitempty"`
}

// Decider is the rule or policy that gave the verdict.
type Decider struct {
	Rule
	Policy   bool       `json:"policy"`
	Hook     rules.Hook `json:"hook"`
	Priority int32      `json:"priority"`
	// Set is the set, map or ipset that the rule looks the packet up in.
	Set string `json:"set,omitempty"`
}

// Step is one rule that had a say, or a policy.
type Step struct {
	Hook     rules.Hook `json:"hook"`
	Priority int32      `json:"priority"`
	Rule
	Effect string `json:"effect"` // continue, jump, goto, return, accept, drop, reject, set, nat, queue, stolen, policy, unknown
	// Skipped is how many rules of the chain stand between the last step in it and
	// this one: they don't match.
	Skipped int `json:"skipped"`
	// Floats says that the chain lets every packet pass and that its place among
	// those of its hook and priority isn't known: it may be asked later, or not at all.
	Floats bool `json:"floats,omitempty"`

	aboutPort bool
	at        place
}

// PacketLeft is the packet as it leaves. What is not known is null.
type PacketLeft struct {
	Src   *netip.Addr `json:"src"`
	Sport *uint16     `json:"sport"`
	Dst   *netip.Addr `json:"dst"`
	Dport *uint16     `json:"dport"`
	Mark  uint32      `json:"mark"`
	Way   string      `json:"way"` // that it took in the end
}

// Doubt is what could not be decided.
type Doubt struct {
	Rule       *Rule  `json:"rule"` // null where no rule is to blame
	Expression string `json:"expression"`
	Why        string `json:"why"`
}

// Tracer asks one ruleset about packets.
type Tracer struct {
	set     *rules.Ruleset
	machine *eval.Machine
	facts   eval.Host
	printer *text.Printer
	tool    diagnose.Tool
	devices []string // that have an invented number
	curious curiosity
	// invents: a device that the host doesn't have gets a number, too.
	invents bool
	reply   func(there *Trace) Reply
}

// holds is for how long an answer is to hold: longer than one tries to connect.
const holds = 10 * time.Second

// NewTracer prepares a ruleset. The facts may be zero: what rules ask of the
// host is then not known.
func NewTracer(set *rules.Ruleset, facts eval.Host, printer *text.Printer, version string) *Tracer {
	if live(set) {
		facts.Holds = holds
	}
	return &Tracer{set: set, machine: eval.Compile(set, facts), facts: facts, printer: printer, tool: diagnose.ToolOf(version), curious: curious(set)}
}

// live reports whether the rules are those of a kernel, now or when it was
// recorded: saved ones have lines.
func live(set *rules.Ruleset) bool {
	for _, t := range set.Tables {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				if r.Line != 0 {
					return false
				}
			}
		}
	}
	return true
}

// Trace takes a packet through the firewall. An error is one in what was asked.
func (t *Tracer) Trace(asked Packet) (*Trace, error) { return t.trace(asked, nil) }

// trace is [Tracer.Trace] of a packet that may answer another, as that one came.
func (t *Tracer) trace(asked Packet, first *eval.Packet) (*Trace, error) {
	q, err := asked.parse()
	if err != nil {
		return nil, err
	}
	unreachable, err := q.direct(t.facts)
	if err != nil {
		return nil, err
	}
	asked.Way, asked.IIF, asked.OIF = string(q.way), q.iif, q.oif
	doc := t.document(asked)
	if unreachable != "" {
		doc.Verdict, doc.ClientSees = unknownWord, string(diagnose.NetUnreachable)
		doc.Unknown = append(doc.Unknown, Doubt{Expression: "route", Why: unreachable + ": no rule sees the packet"})
		doc.Packet = left(q.packet())
		return doc, nil
	}
	p := q.packet()
	q.forget(p, t.curious)
	return t.run(doc, p, q, first), nil
}

func (t *Tracer) document(asked Packet) *Trace {
	return &Trace{Schema: TraceSchema, Tool: t.tool, Asked: asked, Steps: []Step{}, Unknown: []Doubt{}}
}

// run takes a packet as it is in bytes through the firewall.
func (t *Tracer) run(doc *Trace, p *eval.Packet, q parsed, first *eval.Packet) *Trace {
	p.In, p.Out = q.iif, q.oif
	if q.way == eval.Through {
		p.In = ""
	}
	p.InIndex, p.OutIndex = t.index(p.In), t.index(p.Out)
	p.InPort, p.OutPort, p.First = doc.Asked.inPort, doc.Asked.outPort, first
	p.Link = doc.Asked.link(p.Family)
	doc.came, doc.answers = p, first != nil
	t.fill(doc, t.machine.Trace(q.way, p), q)
	return doc
}

const unknownWord = "unknown"

// index is the number of a device. Where there is no host to ask, or the device is
// made up, each name has a number of its own that no rule can ask for: a saved
// ruleset has names of devices, and the number of lo.
func (t *Tracer) index(device string) uint32 {
	switch {
	case device == "":
		return 0
	case t.facts.Device != nil:
		if d, ok := t.facts.Device(device); ok || !t.invents {
			return d.Index
		}
	case device == "lo":
		return loopbackIndex
	}
	for i, name := range t.devices {
		if name == device {
			return inventedIndex + uint32(i)
		}
	}
	t.devices = append(t.devices, device)
	return inventedIndex + uint32(len(t.devices)-1)
}

const (
	loopbackIndex = 1       // LOOPBACK_IFINDEX
	inventedIndex = 1 << 30 // beyond what a kernel gives out
)

// fill writes a result.
func (t *Tracer) fill(doc *Trace, r eval.Result, q parsed) {
	doc.Steps = t.steps(r)
	for _, d := range r.Doubts {
		doubt := Doubt{Expression: d.Expression, Why: d.Why}
		if d.Rule != nil {
			rule := t.rule(d.Table, d.Chain, d.Rule)
			doubt.Rule = &rule
		}
		doc.Unknown = append(doc.Unknown, doubt)
	}
	if r.Decided != nil {
		by := r.Decided
		doc.DecidedBy = &Decider{t.rule(by.Table, by.Chain, by.Rule), by.Rule == nil, by.Hook, by.Priority, setOf(by)}
		doc.decided, doc.chain = by.Rule, by.Chain
	}
	doc.Packet, doc.state, doc.zone, doc.zoneOff = left(r.Packet), r.State, r.Zone, r.ZoneUnknown
	doc.Packet.Way, doc.out = string(r.Way), r.Packet.Out
	doc.anew, doc.unmarked = r.Rerouted, !r.Packet.MarkKnown()
	if !r.FlowMarkUnknown {
		doc.flowMark = &r.FlowMark
	}
	switch r.Verdict {
	case eval.Accept:
		doc.Verdict, doc.ClientSees = "accept", "passes"
	case eval.Drop:
		doc.Verdict, doc.ClientSees = "drop", dropped(r, q)
		if r.Decided == nil && len(r.Doubts) == 0 {
			doc.Reason, doc.ClientSees, doc.off = t.unrouted(r)
		}
	case eval.Reject:
		doc.Verdict = "reject"
		with := rejectWord(r.Reject, q.family())
		doc.RejectWith, doc.ClientSees = &with, rejected(r, with, q)
	case eval.Queue:
		doc.Verdict, doc.ClientSees = "queue", unknownWord
	case eval.Stolen:
		doc.Verdict, doc.ClientSees = unknownWord, unknownWord
		doc.Unknown = append(doc.Unknown, Doubt{Expression: "stolen", Why: "the rule takes the packet out of the stack: what becomes of it is not followed"})
	default:
		doc.Verdict, doc.ClientSees = unknownWord, unknownWord
	}
}

// steps writes the way through the rules. Rules that could not be decided are
// steps, too: the way shown is that on which they don't match.
func (t *Tracer) steps(r eval.Result) []Step {
	steps := make([]Step, 0, len(r.Steps))
	doubtful := map[*rules.Rule]bool{}
	for _, d := range r.Doubts {
		doubtful[d.Rule] = true
	}
	last := map[*rules.Chain]int{} // the rule after which the chain goes on
	for _, s := range r.Steps {
		end := len(s.Chain.Rules)
		if s.Rule != nil {
			end = min(int(s.Rule.Number)-1, end)
		}
		skipped := 0
		between := s.Chain.Rules[min(last[s.Chain], end):end]
		if len(doubtful) == 0 { // then each of them needs no look
			skipped, between = len(between), nil
		}
		for _, rule := range between {
			if !doubtful[rule] {
				skipped++
				continue
			}
			steps = append(steps, Step{s.Hook, s.Priority, t.rule(s.Table, s.Chain, rule), "unknown", skipped, false, aboutPort(rule), place{s.Table, s.Chain, rule}})
			skipped = 0
		}
		steps = append(steps, Step{s.Hook, s.Priority, t.rule(s.Table, s.Chain, s.Rule), s.Effect, skipped, s.Floats, s.Rule != nil && aboutPort(s.Rule), place{s.Table, s.Chain, s.Rule}})
		switch s.Effect {
		case "continue", "set", "jump", "nat", "unknown":
			last[s.Chain] = end + 1
		default:
			delete(last, s.Chain) // the chain is left; a packet may come again at another hook
		}
	}
	return steps
}

// rule describes a rule, or for nil its chain's policy.
func (t *Tracer) rule(table *rules.Table, c *rules.Chain, r *rules.Rule) Rule {
	if r == nil {
		return Rule{Backend: table.Backend, Family: table.Family.String(), Table: table.Name, Chain: c.Name, Text: "policy " + c.Policy}
	}
	if r.Text == "" {
		r.Text = t.printer.Rule(table, c, r)
	}
	return *(&ruleAt{table, c, r}).describe()
}

// setOf names the set that a rule asks.
func setOf(s *eval.Step) string {
	if s.Rule == nil {
		return ""
	}
	for _, e := range s.Rule.Exprs.All() {
		switch e := e.(type) {
		case *rules.Lookup:
			if set := s.Table.Set(e.Set); set != nil && !set.Anonymous {
				return set.Name
			}
		case *rules.Match:
			if e.Ext == "set" && len(e.Sets) > 0 {
				return e.Sets[0]
			}
		}
	}
	return ""
}

// left is the packet at its end.
func left(p *eval.Packet) PacketLeft {
	l := PacketLeft{Mark: p.Mark}
	if a := p.Address(false); a.IsValid() {
		l.Src = &a
	}
	if a := p.Address(true); a.IsValid() {
		l.Dst = &a
	}
	if n, ok := p.Port(false); ok {
		l.Sport = &n
	}
	if n, ok := p.Port(true); ok {
		l.Dport = &n
	}
	return l
}

// dropped is what the sender of a dropped packet sees. A drop on the way out is
// an error of send(2) (nf_hook_slow gives EPERM), but connect(2) of TCP goes on
// trying.
func dropped(r eval.Result, q parsed) string {
	if failsSend(r, q) {
		return string(diagnose.Denied)
	}
	return string(diagnose.Timeout)
}

// failsSend reports whether a packet that a rule stops makes send(2) fail.
func failsSend(r eval.Result, q parsed) bool {
	out := q.way == eval.Out || q.way == eval.Through
	return out && q.protocol != protocolTCP && r.Decided != nil && (r.Decided.Hook == rules.Output || r.Decided.Hook == rules.Postrouting)
}

// unrouted is why routing drops a packet that has arrived, and what its sender
// sees: only a router says that it has no way.
func (t *Tracer) unrouted(r eval.Result) (reason, sees, off string) {
	to := r.Packet.Address(true)
	switch {
	case r.Packet.In == "":
		return fmt.Sprintf("a rule has changed the packet, and for what it is now this host has no route to %s", to), string(diagnose.Timeout), ""
	case to.Is4() && to.IsLoopback():
		off = host.DeviceKey("ipv4", r.Packet.In, "route_localnet")
		return fmt.Sprintf("from outside nothing may come to %s (%s = 0)", to, off), string(diagnose.Timeout), off
	}
	if ask := t.facts.Sysctl; ask != nil {
		key := "net/ipv4/conf/" + r.Packet.In + "/forwarding"
		if to.Is6() {
			key = "net/ipv6/conf/all/forwarding"
		}
		if v, ok := ask(key); ok && v == "0" {
			off = host.SysctlKey(key)
			return fmt.Sprintf("%s is not this host's, and forwarding is off (%s = 0)", to, off), string(diagnose.Timeout), off
		}
	}
	return fmt.Sprintf("this host has no route to %s", to), string(diagnose.NetUnreachable), ""
}

// SwitchedOff is the setting by which routing loses the packet, empty if none does:
// one that would have it forwarded, or let it come to loopback.
func (t *Trace) SwitchedOff() string { return t.off }

// Rerouted reports whether rules at OUTPUT changed the packet so that the kernel
// looks for a route anew, by which it leaves the host.
func (t *Trace) Rerouted() bool { return t.anew && t.out != "" && t.Packet.Way == string(eval.Out) }

// icmpxCodes are the codes of ICMP and ICMPv6 for NFT_REJECT_ICMPX_* (nft_reject.c).
var icmpxCodes = map[uint8][2]uint8{0: {0, 0}, 1: {3, 4}, 2: {1, 3}, 3: {13, 1}}

// rejectWord names what answers.
func rejectWord(r *rules.Reject, f rules.Family) string {
	prefix, codes, version := "icmp-", words.ICMPCode, 0
	if f == rules.IP6 {
		prefix, codes, version = "icmpv6-", words.ICMPv6Code, 1
	}
	switch {
	case r == nil:
		return unknownWord
	case r.Type == 1:
		return "tcp-reset"
	}
	code := r.Code
	if x, ok := icmpxCodes[code]; ok && r.Type == 2 {
		code = x[version]
	}
	if w := codes.Symbol(uint64(code)); w != "" {
		return prefix + w
	}
	return fmt.Sprintf("%scode-%d", prefix, code)
}

// rejectCode is the code of a word of [rejectWord] for an error.
func rejectCode(word string) (code uint8, known bool) {
	symbol, four := strings.CutPrefix(word, "icmp-")
	codes := words.ICMPCode
	if !four {
		symbol, codes = strings.TrimPrefix(word, "icmpv6-"), words.ICMPv6Code
	}
	n, known := codes.Value(symbol)
	return uint8(n), known
}

// mayPass are the answers that are no fatal errors.
var mayPass = map[string]bool{"icmp-net-unreachable": true, "icmp-host-unreachable": true, "icmpv6-no-route": true, "icmpv6-addr-unreachable": true}

// rejected is what connect(2) or send(2) makes of an answer (icmp_err_convert in
// net/ipv4/icmp.c, icmpv6_err_convert in net/ipv6/icmp.c). UDP is told of no error
// that may pass (udp_err in net/ipv4/udp.c).
func rejected(r eval.Result, with string, q parsed) string {
	udp := q.protocol == protocolUDP || q.protocol == protocolUDPLite
	switch {
	case failsSend(r, q):
		return string(diagnose.Denied)
	case udp && mayPass[with]:
		return string(diagnose.Timeout)
	}
	switch with {
	case "tcp-reset":
		if q.protocol != protocolTCP {
			return string(diagnose.Timeout) // nothing is sent
		}
		return string(diagnose.Refused)
	case "icmp-port-unreachable", "icmpv6-port-unreachable":
		return string(diagnose.Refused)
	case "icmp-host-unreachable", "icmp-host-prohibited", "icmp-admin-prohibited", "icmpv6-addr-unreachable":
		return string(diagnose.HostUnreachable)
	case "icmp-net-unreachable", "icmp-net-prohibited", "icmpv6-no-route":
		return string(diagnose.NetUnreachable)
	case "icmpv6-admin-prohibited", "icmpv6-policy-fail", "icmpv6-reject-route":
		return string(diagnose.Denied)
	}
	return unknownWord // protocol-unreachable and others are errors of their own
}
