package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/rules"
)

// outdone is a later NAT rule about the flow's port, and where it would lead: it
// has no effect, for others neither, because the rule that maps the flow comes
// first. Nil if there is none.
func outdone(tracer *firewall.Tracer, t *firewall.Trace) (*firewall.Step, netip.AddrPort) {
	first := t.Mapper()
	if first == nil {
		return nil, netip.AddrPort{}
	}
	without, err := tracer.WithoutStep(first).Trace(t.Asked)
	if err != nil || without.Verdict != "accept" {
		return nil, netip.AddrPort{}
	}
	later := without.Mapper()
	here, _ := t.Rewritten()
	to, changed := without.Rewritten()
	if later == nil || !changed || to == here || !later.AboutPort() || !tracer.Shadowed(later) {
		return nil, netip.AddrPort{}
	}
	return later, to
}

// shadowedTarget makes of a dead target what it is where a later rule would lead
// to a live one.
func shadowedTarget(p *diagnose.Pass, c *diagnose.Cause) {
	tracer, look := lookAgain(p)
	if tracer == nil {
		return
	}
	later, to := outdone(tracer, look.There)
	if later == nil {
		return
	}
	if listens, _ := listensAt(p, p.Flow.Network, to); !listens {
		return
	}
	c.Code = "nat-shadowed"
	c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; %s (%s) would lead it to %s, where it is served, but comes too late.", firewall.Quoted(later.Text), later.Where(), to)
	c.Evidence = append(c.Evidence, diagnose.Evidence{Source: tool(later.Backend), What: later.Where(), Value: later.Text})
	if c.Culprit.Manager == "unknown" {
		c.Fixes = askedFirst(p, tracer, look.There, later, to)
	}
}

// askedFirst puts a copy of the later rule before the one that maps the flow, and
// tries that on the model.
func askedFirst(p *diagnose.Pass, tracer *firewall.Tracer, t *firewall.Trace, later *firewall.Step, to netip.AddrPort) []diagnose.Fix {
	first := t.Mapper()
	text, _, _ := strings.Cut(strings.TrimPrefix(later.Text, "-A "+later.Chain+" "), " comment ")
	if strings.ContainsAny(text, "\"'\\") || first.Backend != later.Backend {
		return nil
	}
	with, err := tracer.BeforeStep(first, text)
	if err != nil {
		return nil
	}
	look, err := with.LookFrom(t.Asked, clientPorts(p))
	if err != nil || predicted(look) != diagnose.Connected {
		return nil
	}
	if now, _ := look.There.Rewritten(); now != to {
		return nil
	}
	fix := diagnose.Fix{Title: "have it asked first, until the rules are loaded anew", NeedsRoot: true, Check: "simulated", Risk: "low", PredictedOutcome: diagnose.Connected,
		Opens: fmt.Sprintf("nothing; what %q is for goes to %s", text, to)}
	words := strings.Fields(text)
	switch {
	case first.Backend == rules.NFT && first.Handle != nil:
		mark := ownName(first.Family, first.Table, first.Chain, text)
		fix.Commands = [][]string{slices.Concat([]string{"nft", "insert", "rule", first.Family, first.Table, first.Chain, "handle", strconv.FormatUint(*first.Handle, 10)},
			words, []string{"comment", strconv.Quote(mark)})}
		fix.Undo = [][]string{{"portwhy", "fix", "remove-rule", first.Family, first.Table, first.Chain, mark}}
	case first.Backend != rules.NFT && first.Number != nil:
		in := []string{iptablesOf(first.Backend, first.Family), "-w", "5", "-t", first.Table}
		fix.Commands = [][]string{slices.Concat(in, []string{"-I", first.Chain, strconv.Itoa(*first.Number)}, words)}
		fix.Undo = [][]string{slices.Concat(in, []string{"-D", first.Chain}, words)}
	default:
		return nil
	}
	return []diagnose.Fix{fix}
}

// iptablesOf is the program that writes rules of a backend and family.
func iptablesOf(b rules.Backend, family string) string {
	return map[string]string{"ip": "iptables", "ip6": "ip6tables"}[family] + map[rules.Backend]string{rules.IptablesNFT: "-nft", rules.IptablesLegacy: "-legacy"}[b]
}
