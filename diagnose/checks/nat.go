package checks

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/rules"
)

// deadTarget: NAT leads the flow to where nothing listens.
func deadTarget(f *diagnose.Flow) diagnose.Cause {
	by, to := f.Firewall.By, f.Firewall.Destination
	return diagnose.Cause{Code: "nat-dead-target", Outcome: diagnose.Refused, Culprit: by,
		Evidence: []diagnose.Evidence{{Source: "sock_diag", What: fmt.Sprintf("%s sockets with local port %d", f.Network, to.Port()), Value: "none takes it"}},
		Title:    fmt.Sprintf("%s (%s) leads %s to %s, where nothing listens.", strconv.Quote(by.Text), ruleName(by), f, to)}
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
	neighbour := own.Masked().Addr().Next()
	if neighbour == own.Addr() {
		neighbour = neighbour.Next()
	}
	tracer := firewall.NewTracer(fw.Rules, firewall.Facts(p.Ctx, p.Host), printer(p), "")
	look, err := tracer.LookFrom(firewall.Packet{Proto: f.Network, Src: neighbour.String(), Dst: netip.AddrPortFrom(own.Addr(), f.Port()).String(), IIF: device, Way: "in"}, clientPorts(p))
	if err != nil {
		return nil
	}
	to, changed := look.There.Rewritten()
	if !changed || look.There.Verdict != "accept" {
		return nil
	}
	by := mapper(look.There)
	target := diagnose.Evidence{Source: tool(rules.Backend(by.Backend)), What: ruleName(by), Value: by.Text}
	c := &diagnose.Cause{Code: "nat-not-for-local", Outcome: diagnose.Refused, Culprit: by, Evidence: []diagnose.Evidence{target},
		Title: fmt.Sprintf("Nothing listens on port %d itself: %s (%s) leads others on to %s, but what this host sends never passes prerouting.", f.Port(), strconv.Quote(by.Text), ruleName(by), to)}
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
