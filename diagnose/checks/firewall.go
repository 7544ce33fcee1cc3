package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/owner"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

var firewallCodes = []string{"firewall-drop", "firewall-reject", "firewall-other-table", "firewall-shadowed-allow", "firewall-untracked", "firewall-policy-drop", "firewall-set-drop", "firewall-loopback", "firewall-output-drop",
	"firewall-output-reject", "firewall-reply-blocked", "firewall-forward-drop", "firewall-ingress-drop", "firewall-raw-drop", "firewall-queue-unread", "firewall-invalid-state", "firewall-bridge", "firewall-zone",
	"docker-chains-missing", "nat-route-localnet", "ip-forward-off", "no-route", "route-blackhole", "route-prohibit", "route-unreachable", "reply-route"}

// A flow from this host meets the rules before it needs a link or a neighbour,
// one from elsewhere behind what its device does.
var (
	firewallOut = &diagnose.Check{
		ID: "firewall", Doc: "what the firewall's rules do with the packet and with the answer",
		Codes: firewallCodes, For: diagnose.AskConnect,
		Run: func(p *diagnose.Pass) error { return runFirewall(p, !p.Flow.From.IsValid()) },
	}
	firewallIn = &diagnose.Check{
		ID: "firewall-in", Doc: "what the firewall's rules do with a packet from outside and with the answer",
		Codes: firewallCodes, For: diagnose.AskConnect,
		Run: func(p *diagnose.Pass) error { return runFirewall(p, p.Flow.From.IsValid()) },
	}
)

func runFirewall(p *diagnose.Pass, concerned bool) error {
	f := p.Flow
	switch {
	case !concerned:
		p.Skip("another station asks the rules")
		return nil
	case f.Network == "unix" || !f.Destination.IsValid():
		p.Skip("no packet")
		return nil
	case blockedBefore(p) || f.From.IsValid() && !f.Local && !f.Through:
		p.Skip("no packet gets so far")
		return nil
	case f.Firewall != nil:
		p.Skip("a bridge hands it on without asking the rules")
		return nil
	}
	fw, err := p.Host.Firewall(p.Ctx)
	if err != nil {
		return err
	}
	if len(fw.Limits) > 0 {
		p.Unknown(fw.Limits[0])
		return nil
	}
	if len(fw.Rules.Tables) == 0 {
		f.Firewall = &diagnose.Filtered{}
		p.OK("there are no rules")
		return nil
	}
	packet, ok := packetOf(p)
	if !ok {
		p.Unknown(host.Limit{What: "what the firewall does", Why: "the packet's source is not known", Needs: "a route"})
		return nil
	}
	tracer := tracerOf(p, fw.Rules)
	look, err := lookOf(p, tracer, packet)
	if f.Blocked() {
		tracer = tracer.Loose()
		look, err = tracer.LookFrom(packet, clientPorts(p))
	}
	if err != nil {
		return err
	}
	f.Firewall = &diagnose.Filtered{}
	for _, s := range look.There.Steps {
		p.Trace("%s %s: %s (%s)", s.Hook, s.Where(), s.Text, s.Effect)
	}
	if err := takeNewRoute(p, look.There); err != nil {
		return err
	}
	blockers(p, fw.Rules, tracer, look)
	return nil
}

// takeNewRoute gives the flow the route that the kernel takes after rules at
// OUTPUT have marked its packet (ip_route_me_harder); its source stays.
func takeNewRoute(p *diagnose.Pass, t *firewall.Trace) error {
	f := p.Flow
	if !t.Rerouted() || t.Astray() || t.Packet.Dst == nil || t.Packet.Dst.Unmap() != reached(f.Addr()).WithZone("").Unmap() {
		return nil
	}
	uid := p.Info.UID
	r, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: *t.Packet.Dst, Source: f.Source.WithZone(""), Mark: t.Packet.Mark, UID: &uid,
		Protocol: protocolNumber[f.Network], DestinationPort: f.Port()})
	if err != nil || r.Errno != "" {
		return err
	}
	p.Trace("the mark %#x has it routed anew: %s", t.Packet.Mark, routeText(r))
	f.Route = r
	return nil
}

// tracerOf asks this host's rules about packets.
func tracerOf(p *diagnose.Pass, set *rules.Ruleset) *firewall.Tracer {
	return p.Shared("tracer", func() any {
		return firewall.NewTracer(set, firewall.Facts(p.Ctx, p.Host), firewall.Printer(p.Ctx, p.Host), "").Answering(replies(p))
	}).(*firewall.Tracer)
}

// lookOf takes the first packet of a flow through this host's rules.
func lookOf(p *diagnose.Pass, tracer *firewall.Tracer, packet firewall.Packet) (*firewall.Look, error) {
	type answer struct {
		look *firewall.Look
		err  error
	}
	a := p.Shared(fmt.Sprint("look ", packet), func() any {
		look, err := tracer.LookFrom(packet, clientPorts(p))
		return answer{look, err}
	}).(answer)
	return a.look, a.err
}

// blockedBefore reports whether the flow ends before the rules, but for what leaves
// its packets as they are: the rules behind that count all the same.
func blockedBefore(p *diagnose.Pass) bool {
	passable := []string{"firewall-nd-blocked", "rp-filter", "reply-route"}
	return slices.ContainsFunc(p.Stopped(), func(c diagnose.Cause) bool { return !c.After && !slices.Contains(passable, c.Code) })
}

// clientPorts stand for the source ports that a client may get: the ends and the
// middle of the range that the kernel hands out, here or at a far end of its kind.
func clientPorts(p *diagnose.Pass) []uint16 {
	if p.Flow.FromPort != 0 {
		return []uint16{p.Flow.FromPort}
	}
	low, high := uint16(32768), uint16(60999)
	if s, err := p.Host.Sysctl(p.Ctx, "net.ipv4.ip_local_port_range"); err == nil && !p.Flow.From.IsValid() {
		var a, b uint16
		if n, _ := fmt.Sscan(s.Value, &a, &b); n == 2 && 0 < a && a <= b {
			low, high = a, b
		}
	}
	return []uint16{low, low + (high-low)/2, high}
}

// packetOf is the flow's first packet.
func packetOf(p *diagnose.Pass) (firewall.Packet, bool) {
	f := p.Flow
	dst := reached(f.Addr()).WithZone("").Unmap()
	packet := firewall.Packet{Proto: f.Network, Dst: netip.AddrPortFrom(dst, f.Port()).String()}
	switch {
	case f.From.IsValid():
		packet.Src, packet.IIF, packet.Way = f.From.WithZone("").String(), f.Inbound, "in"
		if f.Through {
			packet.Way, packet.OIF = "forward", f.Route.Device
		}
		return packet, true
	case f.Local:
		packet.Way = "local"
	default:
		packet.Way, packet.OIF = "out", f.Route.Device
	}
	source := f.Source
	if !source.IsValid() && f.Local {
		source = dst
	}
	packet.UID = firewall.Number(strconv.FormatUint(uint64(p.Info.UID), 10))
	packet.Src = source.WithZone("").Unmap().String()
	return packet, source.IsValid()
}

// judgeAccepted: the first packet gets through; where to, and does the answer?
func judgeAccepted(p *diagnose.Pass, set *rules.Ruleset, tracer *firewall.Tracer, look *firewall.Look) (m mended) {
	f := p.Flow
	if to, changed := led(p, set, look.There); changed {
		p.Rewrite("%s leads %s to %s", ruleWords(f.Firewall.By), f, to)
	} else if look.There.Packet.Dst == nil {
		f.Firewall.Unknown = "NAT rewrites the destination to what can't be told"
		p.Unknown(host.Limit{What: "where NAT leads " + f.String(), Why: "the rule doesn't tell", Needs: "reading it: portwhy rules"})
		return mended{}
	}
	why := astray(p, tracer, look)
	switch back := look.Back; {
	case why != "":
		f.Firewall.Unknown = why
		p.Unknown(host.Limit{What: "which way " + f.String() + " or its answer takes", Why: f.Firewall.Unknown, Needs: "a look at the rules: portwhy rules, ip rule"})
	case back == nil:
		f.Firewall.Unknown = look.BackUnknown
		p.Unknown(host.Limit{What: "what the firewall does with the answer from " + f.String(), Why: look.BackUnknown, Needs: "a look at the rules: portwhy rules"})
	case look.Then != nil && (look.Then.Verdict == "drop" || look.Then.Verdict == "reject") && look.Then.DecidedBy != nil:
		c, _ := blockedBy(p, set, tracer, look.Then)
		c.After, c.Outcome, c.Also, c.Fixes = true, diagnose.Connected, nil, nil
		c.Title = "The first packet and the answer pass, and what follows doesn't: " + c.Title
		f.Firewall.Stalled = true
		p.Stop(c)
	case look.Then != nil && look.Then.Verdict == "unknown":
		undecided(p, look.Then)
	case back.Verdict == "accept":
		if f.Firewall.Destination.IsValid() {
			return mended{} // where it is led has been said
		}
		p.OK("the rules let the packet and the answer pass")
	case (back.Verdict == "drop" || back.Verdict == "reject") && back.DecidedBy != nil:
		c := stoppedBy(back)
		c.Code, c.Outcome = "firewall-reply-blocked", diagnose.Timeout
		o := ownerOf(p, set, c.Culprit, stoppedFlow(f, back))
		c.Evidence = append(c.Evidence, o.Evidence...)
		c.Title = fmt.Sprintf("The packet passes, but the answer is dropped in %s: %s.", chainWords(back), deciding(back))
		if back.Refusal() {
			c.Title = fmt.Sprintf("Nothing takes the packet, and the ICMP error that says so is dropped in %s: %s.", chainWords(back), deciding(back))
		} else {
			c.Fixes, m = openings(f, tracer, look.There.Asked, back)
		}
		_ = reasoned(&c, tracer, look.There, back)
		p.Stop(c)
	case stopMarked(p, tracer, back):
	default:
		undecided(p, back)
	}
	return m
}

// led notes where NAT leads the flow, if it does.
func led(p *diagnose.Pass, set *rules.Ruleset, t *firewall.Trace) (to netip.AddrPort, changed bool) {
	f := p.Flow
	if to, changed = t.Rewritten(); changed {
		f.Firewall.Destination, f.Firewall.By = to, mapper(t)
		if t.Packet.Src != nil {
			f.Firewall.Source = *t.Packet.Src
		}
		f.Firewall.Away = (f.Local || f.Through) && (t.Packet.Way != "in" && t.Packet.Way != "local" || t.SwitchedOff() != "" && !to.Addr().IsLoopback())
		ownerOf(p, set, f.Firewall.By, owner.Flow{Network: f.Network, Dst: to.Addr(), Port: to.Port(), Hook: rules.Prerouting})
	}
	return to, changed
}

// undecided leaves the verdict open, with the reasons.
func undecided(p *diagnose.Pass, t *firewall.Trace) {
	why := "what the rules do is not known"
	if len(t.Unknown) > 0 {
		u := t.Unknown[0]
		why = u.Expression + ": " + u.Why
		if u.Rule != nil {
			why = fmt.Sprintf("%s in %s: %s; the rule is %s", u.Expression, u.Rule.Where(), u.Why, firewall.Quoted(u.Rule.Text))
		}
	}
	for _, u := range t.Unknown {
		if u.Rule != nil && limits[strings.TrimPrefix(u.Expression, "match ")] {
			p.Flow.Firewall.Limited = ruleCulprit(*u.Rule)
			break
		}
	}
	if t.Verdict == "queue" {
		why = "a rule hands the packet to a program, which decides"
	}
	p.Flow.Firewall.Unknown = why
	p.Unknown(host.Limit{What: "what the firewall does with " + p.Flow.String(), Why: why, Needs: "a look at the rules: portwhy rules"})
}

// limits are the expressions and matches that let so much through and no more.
var limits = map[string]bool{"limit": true, "quota": true, "connlimit": true, "hashlimit": true, "recent": true, "connbytes": true}

var firewallLimit = &diagnose.Check{
	ID: "firewall-limit", Doc: "whether a rule that limits how much passes accounts for the failure",
	Codes: []string{"firewall-rate-limit"}, For: diagnose.AskConnect, When: diagnose.Explain,
	Run: runFirewallLimit,
}

func runFirewallLimit(p *diagnose.Pass) error {
	f := p.Flow
	if f.Firewall == nil || f.Firewall.Limited == nil || f.Observed == nil || f.Observed.Outcome.Good() || f.Observed.Outcome == diagnose.Unknown || f.Blocked() {
		p.Skip("nothing left to explain")
		return nil
	}
	by := f.Firewall.Limited
	p.Stop(diagnose.Cause{Code: "firewall-rate-limit", Outcome: f.Observed.Outcome, Culprit: by, Ceiling: diagnose.Likely, Doubt: "how much of the limit is used up isn't told",
		Evidence: []diagnose.Evidence{{Source: tool(rules.Backend(by.Backend)), What: ruleName(by), Value: by.Text}},
		Title:    fmt.Sprintf("A rule lets only so much pass, and this was over its limit: %s (%s).", firewall.Quoted(by.Text), ruleName(by))})
	return nil
}

// tool is what people call a rule's backend.
func tool(b rules.Backend) string {
	switch b {
	case rules.IptablesNFT:
		return "iptables (nf_tables)"
	case rules.IptablesLegacy:
		return "iptables-legacy"
	}
	return "nftables"
}

func chainWords(t *firewall.Trace) string {
	d := t.DecidedBy
	return fmt.Sprintf("%s %s %s (%s)", d.Family, d.Table, d.Chain, tool(d.Backend))
}

// deciding is the rule or policy that decides, as its tool writes it.
func deciding(t *firewall.Trace) string {
	d := t.DecidedBy
	if d.Policy {
		return "no rule allows it, and the policy is " + strings.TrimPrefix(d.Text, "policy ")
	}
	return firewall.Quoted(d.Text)
}

// mapper is the rule that changed the packet's destination: the last that mapped.
func mapper(t *firewall.Trace) *diagnose.Culprit {
	if s := t.Mapper(); s != nil {
		return ruleCulprit(s.Rule)
	}
	return &diagnose.Culprit{Kind: "rule", Text: "a NAT rule", Manager: "unknown"}
}

func ruleCulprit(r firewall.Rule) *diagnose.Culprit {
	return &diagnose.Culprit{Kind: "rule", Backend: string(r.Backend), Family: r.Family, Table: r.Table, Chain: r.Chain, Handle: r.Handle, Number: r.Number,
		Text: r.Text, File: r.File, Line: int(r.Line), Manager: "unknown"}
}

// stoppedBy is the cause without its code: culprit, evidence and outcome.
func stoppedBy(t *firewall.Trace) diagnose.Cause {
	d := t.DecidedBy
	culprit := ruleCulprit(d.Rule)
	culprit.Set = d.Set
	if d.Policy {
		culprit.Kind = "policy"
	}
	c := diagnose.Cause{Culprit: culprit, Outcome: diagnose.Outcome(t.ClientSees)}
	if t.RejectWith != nil && *t.RejectWith == "icmp-prot-unreachable" {
		c.Outcome = diagnose.ProtocolError
	}
	for _, s := range t.Steps {
		if s.Hook == d.Hook && s.Effect != "policy" || s.Effect == "nat" {
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: tool(s.Backend), What: s.Where(), Value: s.Text})
		}
	}
	if d.Policy {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: tool(d.Backend), What: d.Where(), Value: d.Text})
	}
	return c
}

// evidenceOf are the rules that changed the packet.
func evidenceOf(t *firewall.Trace) []diagnose.Evidence {
	var list []diagnose.Evidence
	for _, s := range t.Steps {
		if s.Effect == "set" || s.Effect == "nat" {
			list = append(list, diagnose.Evidence{Source: tool(s.Backend), What: s.Where(), Value: s.Text})
		}
	}
	return append(list, diagnose.Evidence{Source: "RTM_GETROUTE", What: t.Asked.Dst, Value: t.Reason})
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// blockedBy names the cause of a first packet that doesn't get through, and says
// how it is with that mended.
func blockedBy(p *diagnose.Pass, set *rules.Ruleset, tracer *firewall.Tracer, t *firewall.Trace) (c diagnose.Cause, m mended) {
	f, d := p.Flow, t.DecidedBy
	c = stoppedBy(t)
	c.Code = firewallCode(f, t)
	where := map[rules.Hook]string{rules.Output: " on its way out", rules.Postrouting: " on its way out", rules.Egress: " on its way out", rules.Forward: " where it is forwarded"}[d.Hook]
	does := "drops"
	if t.Verdict == "reject" {
		does = "rejects"
		if t.RejectWith != nil {
			where += " with " + *t.RejectWith
		}
	}
	if d.Policy {
		c.Title = fmt.Sprintf("No rule of %s allows the packet%s, and the chain's policy drops it.", chainWords(t), where)
	} else {
		c.Title = fmt.Sprintf("%s %s the packet%s: %s (%s).", tool(d.Backend), does, where, firewall.Quoted(d.Text), d.Where())
	}
	m = owned(p, set, tracer, &c, t, does+" the packet"+where)
	switch accepted, shadowed := t.AcceptedBefore(), shadowedBy(tracer, t); {
	case reasoned(&c, tracer, t, t):
	case accepted != nil:
		c.Code = "firewall-other-table"
		c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; %s (%s) accepts it, but that is for its own table only.", firewall.Quoted(accepted.Text), accepted.Where())
	case shadowed != nil:
		c.Code = "firewall-shadowed-allow"
		c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; %s (%s) would accept it, but comes too late.", firewall.Quoted(shadowed.Text), shadowed.Where())
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: tool(shadowed.Backend), What: shadowed.Where(), Value: shadowed.Text})
	case t.Untracked() && d.Hook != rules.Prerouting:
		c.Code = "firewall-untracked"
		c.Title = strings.TrimSuffix(c.Title, ".") + "; a rule before has kept the packet from connection tracking, so that rules on its state don't match."
	}
	if r := t.Reset; r != nil {
		why := r.Reason
		if r.DecidedBy != nil {
			why = fmt.Sprintf("%s (%s)", deciding(r), r.DecidedBy.Where())
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: tool(r.DecidedBy.Backend), What: r.DecidedBy.Where(), Value: r.DecidedBy.Text})
		}
		c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; and the %s doesn't get out: %s.", answerWord(r), why)
	}
	// An ICMP error to this host's own connect(2) is lost while the socket is
	// locked, and comes again with the next SYN.
	if f.Local && t.Verdict == "reject" && f.Network == "tcp" && t.RejectWith != nil && *t.RejectWith != "tcp-reset" {
		c.Also = []diagnose.Outcome{diagnose.Timeout}
	}
	return c, m
}

// answerWord is what rejects a packet in turn.
func answerWord(t *firewall.Trace) string {
	if t.Refusal() {
		return "ICMP error"
	}
	return "reset"
}

// shadowedBy is a rule about the port that would accept the packet if the one that
// decides were not there, and that has no effect for others either; nil if there
// is none. A drop of one network before an allow for all is none: it is meant so.
func shadowedBy(tracer *firewall.Tracer, t *firewall.Trace) *firewall.Rule {
	if t.DecidedBy.Policy {
		return nil
	}
	without, err := tracer.Without(t).Trace(t.Asked)
	if err != nil || without.Verdict != "accept" {
		return nil
	}
	for _, s := range without.Steps {
		if s.Effect == "accept" && s.Hook == t.DecidedBy.Hook && s.Table == t.DecidedBy.Table && s.AboutPort() && tracer.Shadowed(&s) {
			return &s.Rule
		}
	}
	return nil
}

// firewallCode is the code for where and how the packet is stopped.
func firewallCode(f *diagnose.Flow, t *firewall.Trace) string {
	d := t.DecidedBy
	switch {
	case d.Family == "bridge" || t.AcrossBridge():
		return "firewall-bridge"
	case d.Hook == rules.Output || d.Hook == rules.Postrouting || d.Hook == rules.Egress:
		if t.Verdict == "reject" {
			return "firewall-output-reject"
		}
		return "firewall-output-drop"
	case d.Hook == rules.Forward:
		return "firewall-forward-drop"
	case d.Hook == rules.Ingress:
		return "firewall-ingress-drop"
	case d.Policy && f.Local && !f.From.IsValid():
		return "firewall-loopback"
	case d.Policy:
		return "firewall-policy-drop"
	case d.Set != "":
		return "firewall-set-drop"
	case t.Verdict == "reject":
		return "firewall-reject"
	case d.Hook == rules.Prerouting && d.Priority <= -300:
		return "firewall-raw-drop"
	}
	return "firewall-drop"
}

// ruleName is where a culprit rule stands.
func ruleName(c *diagnose.Culprit) string {
	return firewall.Rule{Family: c.Family, Table: c.Table, Chain: c.Chain, Handle: c.Handle, Number: c.Number}.Where()
}
