package checks

import (
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// neighbourIn: before a packet from outside can come, its last hop asks for this
// host's hardware address.
var neighbourIn = &diagnose.Check{
	ID: "neighbour-in", Doc: "whether the far end can find this host's hardware address",
	Codes: []string{"firewall-nd-blocked", "firewall-bridge", "neighbour-failed"}, For: diagnose.AskConnect,
	Run: runNeighbourIn,
}

func runNeighbourIn(p *diagnose.Pass) error {
	f := p.Flow
	if !f.From.IsValid() || !f.Local || f.Inbound == "" || f.Blocked() {
		p.Skip("nobody asks for this host's hardware address")
		return nil
	}
	back, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.From, Source: f.Addr()})
	if err != nil {
		return err
	}
	hop := f.From
	if back.Gateway.IsValid() {
		hop = back.Gateway
	}
	c, doubt, err := resolutionStopped(p, f.Inbound, hop, f.Addr(), true)
	switch {
	case err != nil:
		return err
	case c != nil:
		p.Stop(*c)
	case doubt != "":
		p.Unknown(host.Limit{What: "whether " + hop.String() + " can find this host's hardware address", Why: doubt, Needs: "a look at the rules: portwhy rules"})
	default:
		if noted, err := noteIgnored(p); noted || err != nil {
			return err
		}
		p.OK("the rules let the question for it and the answer pass")
	}
	return nil
}

// resolutionStopped is the cause where rules stop the question of one end of a link for
// the other's hardware address, or the answer to it; nil if none does. asked: the
// neighbour asks for this host's own address. doubt is why it can't be told.
func resolutionStopped(p *diagnose.Pass, device string, hop, own netip.Addr, asked bool) (c *diagnose.Cause, doubt string, err error) {
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return nil, "", err
	}
	const ethernet = 1 // ARPHRD_ETHER
	if l := linkByName(links, device); l == nil || l.Type != ethernet || hop.Is4() != own.Is4() {
		return nil, "", nil // other links have no such addresses, or one for all
	}
	fw, err := p.Host.Firewall(p.Ctx)
	switch {
	case err != nil:
		return nil, "", err
	case len(fw.Limits) > 0:
		return nil, fw.Limits[0].Why, nil
	case len(fw.Rules.Tables) == 0:
		return nil, "", nil
	}
	tracer := tracerOf(p, fw.Rules)
	resolve := func(t *firewall.Tracer) firewall.Resolution {
		if asked {
			return t.Asked(device, own, hop)
		}
		return t.Ask(device, own, hop)
	}
	all := resolve(tracer)
	t := all.Stopped()
	switch {
	case t == nil && all.Open():
		return nil, "", nil
	case t == nil:
		return nil, "what the rules do with it is not known", nil
	}
	d := t.DecidedBy
	c = &diagnose.Cause{}
	*c = stoppedBy(t)
	c.Code, c.Outcome, c.Also = "firewall-nd-blocked", diagnose.HostUnreachable, []diagnose.Outcome{diagnose.Timeout}
	if d.Family == "bridge" {
		c.Code = "firewall-bridge"
	}
	target := hop
	if asked {
		target = own
	}
	what := map[bool]string{true: "the ARP request for ", false: "the neighbour solicitation for "}[hop.Is4()] + target.String()
	if t == all.Answer {
		what = map[bool]string{true: "the ARP reply of ", false: "the neighbour advertisement of "}[hop.Is4()] + target.String()
	}
	if d.Policy {
		c.Title = fmt.Sprintf("No rule of %s allows %s, and the chain's policy drops it: the hardware address isn't found.", chainWords(t), what)
	} else {
		c.Title = fmt.Sprintf("%s drops %s, so that the hardware address isn't found: %s (%s).", tool(d.Backend), what, firewall.Quoted(d.Text), d.Where())
	}
	ownerOf(p, fw.Rules, c.Culprit, stoppedFlow(p.Flow, t))
	ways := []func(*firewall.Tracer) firewall.Resolution{resolve}
	if asked { // this host will ask the neighbour, too, if only to see that it is still there
		ways = append(ways, func(t *firewall.Tracer) firewall.Resolution { return t.Ask(device, own, hop) })
	}
	c.Fixes = resolving(tracer, ways...)
	if t == all.Answer && !asked && !found(p, hop) {
		c.Doubt, c.Ceiling = "whether anybody has the address can't be seen from here", diagnose.Likely
	}
	return c, "", nil
}

// found reports whether an address is known to be somebody's, in a namespace of
// this host.
func found(p *diagnose.Pass, a netip.Addr) bool {
	is := false
	inNamespaces(p, func(_ host.Namespace, h host.Host) bool {
		addresses, err := h.Addresses(p.Ctx)
		is = err == nil && ownAddress(addresses, a) != nil
		return !is
	})
	return is
}

// resolving proposes the rules that let the questions and their answers pass.
func resolving(tracer *firewall.Tracer, ways ...func(*firewall.Tracer) firewall.Resolution) []diagnose.Fix {
	fix := diagnose.Fix{NeedsRoot: true, Check: "simulated", Risk: "low", Title: "let neighbours be found", PredictedOutcome: diagnose.Connected}
	for _, resolve := range ways {
		for range mostMessages {
			all := resolve(tracer)
			t := all.Stopped()
			if t == nil {
				break
			}
			one, with, ok := admitMessage(tracer, t, t == all.Answer, resolve)
			if !ok {
				return nil
			}
			tracer = with
			fix.Commands = append(fix.Commands, one.command)
			fix.Undo = append([][]string{one.undo}, fix.Undo...)
			if fix.Opens == "" {
				fix.Opens = one.opens
			} else if one.opens != fix.Opens {
				fix.Opens += "; " + one.opens
			}
		}
		if !resolve(tracer).Open() {
			return nil
		}
	}
	if len(fix.Commands) == 0 {
		return nil
	}
	return []diagnose.Fix{fix}
}

// mostMessages bounds how many rules let one question and its answer pass.
const mostMessages = 4

// admitMessage adds a rule for a message that is stopped: where that happens, or,
// if it never gets there, on top of the chain.
func admitMessage(tracer *firewall.Tracer, t *firewall.Trace, answer bool, resolve func(*firewall.Tracer) firewall.Resolution) (one admission, with *firewall.Tracer, ok bool) {
	for _, place := range []firewall.Place{firewall.BeforeIt, firewall.OnTop} {
		if one, ok = messageRule(t, place, answer); !ok {
			return admission{}, nil, false
		}
		with, err := tracer.With(t, place, one.rule)
		if err != nil {
			return admission{}, nil, false
		}
		if again := resolve(with).Stopped(); again == nil || !again.SameEnd(t) || again.Asked != t.Asked {
			return one, with, true
		}
	}
	return admission{}, nil, false
}

// messageRule accepts a kind of message in the words of the chain's tool.
func messageRule(t *firewall.Trace, place firewall.Place, answer bool) (admission, bool) {
	d := t.DecidedBy
	kind, number, operation := "nd-neighbor-solicit", "135", "request"
	if answer {
		kind, number, operation = "nd-neighbor-advert", "136", "reply"
	}
	switch {
	case d.Hook == rules.Ingress || d.Hook == rules.Egress:
	case d.Backend == rules.NFT && (d.Family == "arp" || d.Family == "bridge" && t.Asked.Proto == "arp"):
		return nftAdmission(t, place, []string{"arp", "operation", operation, "accept"}, "ARP"), true
	case d.Backend == rules.NFT && (d.Family == "ip6" || d.Family == "inet" || d.Family == "bridge"):
		return nftAdmission(t, place, []string{"icmpv6", "type", kind, "accept"}, "neighbour discovery"), true
	case d.Backend != rules.NFT && d.Family == "ip6":
		return iptablesAdmission(t, place, []string{"-p", "icmpv6", "-m", "icmp6", "--icmpv6-type", number, "-j", "ACCEPT"}, "neighbour discovery"), true
	}
	return admission{}, false
}
