package checks

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/owner"
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
	return fmt.Sprintf("%s (%s)", strconv.Quote(c.Text), ruleName(c))
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
