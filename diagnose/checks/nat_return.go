package checks

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// target is where NAT leads a flow away from this host.
type target struct {
	at   netip.AddrPort
	name string    // for a sentence: its address, and its namespace if that is here
	seen host.Host // from within its namespace; nil if that can't be entered
}

// noReturn is the cause of a flow that NAT leads to a target whose answer doesn't
// come back through this host, which alone can change its source back; nil if it
// does, or if that can't be told.
func noReturn(p *diagnose.Pass, to target) *diagnose.Cause {
	f := p.Flow
	if f.Firewall == nil || f.Firewall.By == nil {
		return nil
	}
	why, evidence := lostAnswer(p, to, f.Firewall.Source)
	port := hairpinOff(p, to)
	switch {
	case why == "" && port == "":
		return nil
	case why == "":
		why = fmt.Sprintf("the packet itself doesn't get there, since the bridge port %s doesn't send out what came in by it (hairpin is off)", port)
	}
	by := f.Firewall.By
	c := &diagnose.Cause{Code: "nat-no-return", Outcome: diagnose.Timeout, Culprit: by,
		Evidence: append([]diagnose.Evidence{{Source: tool(rules.Backend(by.Backend)), What: ruleName(by), Value: by.Text}}, evidence...),
		Title:    fmt.Sprintf("%s leads %s to %s, and the answer doesn't come back through this host, which would change it back: %s.", ruleWords(by), f, to.name, why)}
	if to.seen == nil {
		c.Doubt, c.Ceiling = "the routes of "+to.at.Addr().String()+" itself can't be seen from here", diagnose.Likely
	}
	c.Fixes = masquerade(p, to)
	if port != "" && len(c.Fixes) > 0 {
		// What it says of the bridge is not tried: the model has none.
		fix := &c.Fixes[0]
		fix.Title += ", and let its bridge port send back what came by it"
		fix.Commands = append(fix.Commands, []string{"bridge", "link", "set", "dev", port, "hairpin", "on"})
		fix.Undo = append([][]string{{"bridge", "link", "set", "dev", port, "hairpin", "off"}}, fix.Undo...)
	}
	return c
}

// hairpinOff is the bridge port of a target that asks for itself, if that doesn't
// send out what came in by it: with br_netfilter the packet doesn't leave the
// bridge, once NAT has changed its destination (br_nf_pre_routing_finish).
func hairpinOff(p *diagnose.Pass, to target) string {
	if to.seen == nil || !p.Flow.From.IsValid() || !bridgeFilters(p, to.at.Addr().Is6()) {
		return ""
	}
	theirs, err := to.seen.Addresses(p.Ctx)
	if err != nil {
		return ""
	}
	asking, asked := ownAddress(theirs, p.Flow.From), ownAddress(theirs, to.at.Addr())
	if asking == nil || asked == nil || asking.Device != asked.Device {
		return ""
	}
	if l := nearEnd(p, to.seen, asked.Device); l != nil && l.Master != 0 && !l.Hairpin {
		return l.Name
	}
	return ""
}

// lostAnswer says why the target's answer to a packet from src doesn't come back
// here; empty if it does, or if that can't be told.
func lostAnswer(p *diagnose.Pass, to target, src netip.Addr) (why string, evidence []diagnose.Evidence) {
	own, err := p.Host.Addresses(p.Ctx)
	if err != nil || !src.IsValid() {
		return "", nil
	}
	ours := ownAddress(own, src) != nil && !src.IsLoopback()
	if to.seen == nil {
		if ours {
			return "", nil
		}
		return sameLink(p, to.at.Addr(), src)
	}
	theirs, err := to.seen.Addresses(p.Ctx)
	if err != nil {
		return "", nil
	}
	if ownAddress(theirs, src) != nil || src.IsLoopback() {
		return fmt.Sprintf("%s is an address of its own there, and what comes from outside with such a source is dropped", src), nil
	}
	back, err := to.seen.RouteTo(p.Ctx, host.RouteQuery{Destination: src, Source: to.at.Addr()})
	if err != nil {
		return "", nil
	}
	evidence = []diagnose.Evidence{{Source: "RTM_GETROUTE", What: fmt.Sprintf("there, %s from %s", src, to.at.Addr()), Value: routeText(back)}}
	hop := src
	if back.Gateway.IsValid() {
		hop = back.Gateway
	}
	switch {
	case back.Errno != "":
		return fmt.Sprintf("it has no way to %s (%s)", src, back.Errno), evidence
	case ours || ownAddress(own, hop) != nil || passesHere(p, to.seen, back.Device):
		return "", nil
	case back.Gateway.IsValid():
		return fmt.Sprintf("it answers %s by way of %s, which is another host", src, hop), evidence
	}
	return fmt.Sprintf("it answers %s directly, from an address that %s never asked", src, src), evidence
}

// sameLink: the target is another host on the link by which the client comes, so
// that it reaches the client without this host.
func sameLink(p *diagnose.Pass, to, src netip.Addr) (why string, evidence []diagnose.Evidence) {
	there, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: to})
	if err != nil || there.Errno != "" || there.Gateway.IsValid() || there.Type != "unicast" {
		return "", nil
	}
	back, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: src})
	if err != nil || back.Errno != "" || back.Gateway.IsValid() || back.Type != "unicast" || back.Device != there.Device {
		return "", nil
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return "", nil
	}
	if l := linkByName(links, there.Device); l == nil || l.Kind == "bridge" && bridgeFilters(p, to.Is6()) {
		return "", nil
	}
	evidence = []diagnose.Evidence{{Source: "RTM_GETROUTE", What: to.String(), Value: routeText(there)}, {Source: "RTM_GETROUTE", What: src.String(), Value: routeText(back)}}
	return fmt.Sprintf("both are on the link of %s, so that it answers %s directly, from an address that %s never asked", there.Device, src, src), evidence
}

// passesHere reports whether what leaves a namespace by a device meets this
// host's rules although it is sent to another host: over a bridge of this host
// whose frames are shown to them (br_netfilter), or because this host answers for
// its neighbours (proxy_arp).
func passesHere(p *diagnose.Pass, from host.Host, device string) bool {
	l := nearEnd(p, from, device)
	switch {
	case l == nil:
		return false
	case l.Master != 0:
		return bridgeFilters(p, p.Flow.Addr().Is6())
	}
	s, err := p.Host.Sysctl(p.Ctx, host.DeviceKey("ipv4", l.Name, "proxy_arp"))
	return err == nil && strings.TrimSpace(s.Value) == "1"
}

// nearEnd is this host's end of a veth whose other end is a namespace's device;
// nil if there is none.
func nearEnd(p *diagnose.Pass, from host.Host, device string) *host.Link {
	theirs, err := from.Links(p.Ctx)
	if err != nil {
		return nil
	}
	far := linkByName(theirs, device)
	if far == nil || far.Kind != "veth" || far.PeerNetNS != p.Info.NetNS || p.Info.NetNS == 0 {
		return nil
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return nil
	}
	for i, l := range links {
		if l.Index == far.Parent {
			return &links[i]
		}
	}
	return nil
}

// bridgeFilters reports whether the rules of iptables see what this host bridges,
// or may see it.
func bridgeFilters(p *diagnose.Pass, six bool) bool {
	key := "net.bridge.bridge-nf-call-iptables"
	if six {
		key = "net.bridge.bridge-nf-call-ip6tables"
	}
	s, err := p.Host.Sysctl(p.Ctx, key)
	if err != nil {
		return !errors.Is(err, host.ErrUnsupported)
	}
	return strings.TrimSpace(s.Value) == "1"
}

// masquerade lets the target answer this host, by a rule that is tried on the model.
func masquerade(p *diagnose.Pass, to target) []diagnose.Fix {
	f := p.Flow
	by, src, at := f.Firewall.By, f.Firewall.Source, to.at
	tracer, look := lookAgain(p)
	if tracer == nil || !src.IsValid() {
		return nil
	}
	fix := diagnose.Fix{Title: "let it look as if this host asked (masquerade), until the next boot", NeedsRoot: true, Check: "simulated", Risk: "low",
		Opens: fmt.Sprintf("nothing; %s sees this host in place of %s", at, src), PredictedOutcome: diagnose.Connected}
	family := "ip"
	if at.Addr().Is6() {
		family = "ip6"
	}
	backend := rules.Backend(by.Backend)
	port := strconv.Itoa(int(at.Port()))
	words := []string{"-s", src.String(), "-d", at.Addr().String(), "-p", f.Network, "--dport", port, "-j", "MASQUERADE"}
	with, err := tracer.WithLast(backend, by.Family, "nat", "POSTROUTING", strings.Join(words, " "))
	if err != nil {
		return nil
	}
	if with != nil && backend != rules.NFT {
		in := []string{iptablesOf(backend, by.Family), "-w", "5", "-t", "nat"}
		fix.Commands = [][]string{slices.Concat(in, []string{"-A", "POSTROUTING"}, words)}
		fix.Undo = [][]string{slices.Concat(in, []string{"-D", "POSTROUTING"}, words)}
	} else {
		// A table of its own comes and goes at one stroke, whatever else is there.
		rule := strings.Join([]string{family, "saddr", src.String(), family, "daddr", at.Addr().String(), f.Network, "dport", port, "masquerade"}, " ")
		name := ownName(family, rule)
		table := fmt.Sprintf("table %s %s { chain postrouting { type nat hook postrouting priority 100; %s; }; }", family, name, rule)
		if with, err = tracer.Beside(table); err != nil {
			return nil
		}
		fix.Commands, fix.Undo = [][]string{{"nft", "add " + table}}, [][]string{{"nft", "delete", "table", family, name}}
	}
	again, err := with.LookFrom(look.There.Asked, clientPorts(p))
	if err != nil || predicted(again) != diagnose.Connected || again.There.Packet.Src == nil {
		return nil
	}
	if why, _ := lostAnswer(p, to, *again.There.Packet.Src); why != "" {
		return nil
	}
	if to.seen == nil {
		fix.PredictedOutcome = diagnose.Unknown // whether it serves can't be seen
	}
	return []diagnose.Fix{fix}
}
