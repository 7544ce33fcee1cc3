package checks

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/owner"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// deadTarget: NAT leads the flow to where nothing listens.
func deadTarget(f *diagnose.Flow) diagnose.Cause {
	by, to := f.Firewall.By, f.Firewall.Destination
	return diagnose.Cause{Code: "nat-dead-target", Outcome: diagnose.Refused, Culprit: by,
		Evidence: []diagnose.Evidence{{Source: "sock_diag", What: fmt.Sprintf("%s sockets with local port %d", f.Network, to.Port()), Value: "none takes it"}},
		Title:    fmt.Sprintf("%s leads %s to %s, where nothing listens.", ruleWords(by), f, to)}
}

// ruleWords is a rule with where it stands.
func ruleWords(c *diagnose.Culprit) string {
	return fmt.Sprintf("%s (%s)", firewall.Quoted(c.Text), ruleName(c))
}

// notForLocal: a NAT rule leads others on from this port, but it stands at
// prerouting, where nothing passes that this host sends itself.
func notForLocal(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	if f.From.IsValid() || f.Firewall == nil || f.Firewall.Unknown != "" {
		return nil
	}
	own, device := outside(p)
	if !own.IsValid() {
		return nil
	}
	fw, err := p.Host.Firewall(p.Ctx)
	if err != nil || len(fw.Limits) > 0 || len(fw.Rules.Tables) == 0 {
		return nil
	}
	// Some neighbour of this host asks.
	neighbour := neighbourOf(own)
	tracer := tracerOf(p, fw.Rules)
	look, err := tracer.LookFrom(firewall.Packet{Proto: f.Network, Src: neighbour.String(), Dst: netip.AddrPortFrom(own.Addr(), f.Port()).String(), IIF: device, Way: "in"}, clientPorts(p))
	if err != nil {
		return nil
	}
	to, changed := look.There.Rewritten()
	if !changed || look.There.Verdict != "accept" {
		return nil
	}
	by := mapper(look.There)
	ownerOf(p, fw.Rules, by, owner.Flow{Network: f.Network, Dst: to.Addr(), Port: to.Port(), Hook: rules.Prerouting})
	target := diagnose.Evidence{Source: tool(rules.Backend(by.Backend)), What: ruleName(by), Value: by.Text}
	c := &diagnose.Cause{Code: "nat-not-for-local", Outcome: diagnose.Refused, Culprit: by, Evidence: []diagnose.Evidence{target},
		Title: fmt.Sprintf("Nothing listens on port %d itself: %s leads others on to %s, but what this host sends never passes prerouting.", f.Port(), ruleWords(by), to)}
	return c
}

// outside is the address and device by which others reach what the flow asks for.
func outside(p *diagnose.Pass) (netip.Prefix, string) {
	dst := reached(p.Flow.Addr()).WithZone("")
	addresses, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return netip.Prefix{}, ""
	}
	for _, a := range addresses {
		own := a.Prefix.Addr()
		if own.Is4() == dst.Is4() && !own.IsLoopback() && !own.IsLinkLocalUnicast() && (dst.IsLoopback() || own == dst) {
			return a.Prefix, a.Device
		}
	}
	return netip.Prefix{}, ""
}

// switchedOff: the flow is led on, and a setting keeps it from getting there.
func switchedOff(p *diagnose.Pass, key string) diagnose.Cause {
	to := p.Flow.Reached()
	c := diagnose.Cause{Code: "ip-forward-off", Outcome: diagnose.Timeout}
	fix := diagnose.Fix{Title: "forward packets", NeedsRoot: true, Risk: "medium", Opens: "the way through this host, as far as the firewall's forward chains let pass", PredictedOutcome: diagnose.Connected}
	if strings.HasSuffix(key, ".route_localnet") {
		c.Code = "nat-route-localnet"
		c.Title = fmt.Sprintf("The packet is led to %s, and from outside nothing may come to loopback (%s = 0).", to, key)
		fix.Title, fix.Opens = "let packets from outside come to loopback", "what listens on loopback, to all that NAT leads there and to neighbours that send to it"
	} else {
		// The device's own setting follows the host's.
		if s, err := p.Host.Sysctl(p.Ctx, "net.ipv4.ip_forward"); err == nil && s.Value == "0" && !p.Flow.Addr().Is6() {
			key = s.Key
		}
		c.Title = fmt.Sprintf("The packet is to be forwarded to %s, and this host forwards nothing (%s = 0).", to, key)
	}
	c.Culprit = &diagnose.Culprit{Kind: "sysctl", Key: key, Value: "0"}
	if s, err := p.Host.Sysctl(p.Ctx, key); err == nil {
		c.Culprit, c.Evidence = sysctlCulprit(s), []diagnose.Evidence{sysctlEvidence(s)}
	}
	fix.Commands, fix.Undo = [][]string{{"sysctl", "-w", key + "=1"}}, [][]string{{"sysctl", "-w", key + "=0"}}
	c.Fixes = []diagnose.Fix{fix}
	return c
}

// keptFromLeaving: NAT leads a flow from 127.0.0.1 to another host, and with such a
// source nothing leaves by a device (__mkroute_output of net/ipv4/route.c). Nil if
// that isn't it.
func keptFromLeaving(p *diagnose.Pass, set *rules.Ruleset, t *firewall.Trace) *diagnose.Cause {
	f := p.Flow
	src, err := netip.ParseAddrPort(t.Asked.Src)
	to, changed := t.Rewritten()
	if err != nil || !changed || t.Reason == "" || !src.Addr().Is4() || !src.Addr().IsLoopback() || to.Addr().IsLoopback() {
		return nil
	}
	out, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: to.Addr()})
	if err != nil || out.Errno != "" || out.Type != "unicast" {
		return nil
	}
	s, err := p.Host.Sysctl(p.Ctx, host.DeviceKey("ipv4", out.Device, "route_localnet"))
	if err != nil || s.Value != "0" {
		return nil
	}
	led(p, set, t)
	// The fix gives it another source, so that the answer isn't in question.
	f.Firewall.Away, f.Firewall.Source = true, netip.Addr{}
	by := f.Firewall.By
	c := &diagnose.Cause{Code: "nat-route-localnet", Outcome: diagnose.Timeout, Culprit: sysctlCulprit(s),
		Evidence: []diagnose.Evidence{{Source: tool(rules.Backend(by.Backend)), What: ruleName(by), Value: by.Text}, {Source: "RTM_GETROUTE", What: to.Addr().String(), Value: routeText(out)}, sysctlEvidence(s)},
		Title:    fmt.Sprintf("%s leads %s to %s, but the packet is from %s, and with such a source nothing may leave by %s (%s = 0).", ruleWords(by), f, to, src.Addr(), out.Device, s.Key)}
	rule := fmt.Sprintf("ip saddr 127.0.0.0/8 oifname %s masquerade", out.Device)
	name := ownName("ip", rule)
	c.Fixes = []diagnose.Fix{{Title: "let it leave, as a packet of this host's own address (masquerade), until the next boot", NeedsRoot: true, Risk: "medium", PredictedOutcome: diagnose.Connected,
		Opens: "what listens on loopback, to neighbours on " + out.Device + " that send to it",
		Commands: [][]string{{"sysctl", "-w", s.Key + "=1"},
			{"nft", fmt.Sprintf("add table ip %s { chain postrouting { type nat hook postrouting priority 100; %s; }; }", name, rule)}},
		Undo: [][]string{{"nft", "delete", "table", "ip", name}, {"sysctl", "-w", s.Key + "=0"}}}}
	return c
}
