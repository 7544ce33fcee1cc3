package checks

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// neighbour runs after the probe: only trying makes the kernel ask for the
// address, so that the entry then tells whether anyone answered.
var neighbour = &diagnose.Check{
	ID: "neighbour", Doc: "whether the next hop answers ARP or neighbour discovery, at the right MAC address",
	Codes: []string{"neighbour-failed", "neighbour-wrong", "route-subnet-overlap", "route-through-vpn", "firewall-nd-blocked", "firewall-bridge"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runNeighbour,
}

func runNeighbour(p *diagnose.Pass) error {
	f := p.Flow
	if f.Local || f.Route.Device == "" {
		p.Skip("the packet stays on this host")
		return nil
	}
	if f.Blocked() {
		p.Skip("the device or the route fails before")
		return nil
	}
	list, err := p.Host.Neighbours(p.Ctx)
	if err != nil {
		return err
	}
	hop, n := nextHop(f), hopEntry(list, f)
	overlap := overlapping(p, f)
	// When nobody answers, the kernel itself sends an ICMP host unreachable, from
	// an address of its own (arp_error_report, ndisc_error_report).
	own := f.Attempt == nil || f.Attempt.ICMP == nil || f.Attempt.ICMP.Local || localSender(p, *f.Attempt.ICMP)
	failed := f.Observed != nil && (f.Observed.Outcome == diagnose.HostUnreachable && own || f.Observed.Outcome == diagnose.Timeout)
	if n == nil {
		if failed && overlap != nil {
			p.Stop(*overlap)
			return nil
		}
		p.OK("no entry for %s", hop)
		return nil
	}
	ev := diagnose.Evidence{Source: "RTM_GETNEIGH", What: hop.String(), Value: strings.TrimSpace(n.State + " " + n.MAC + " dev " + n.Device)}
	switch n.State {
	case "FAILED", "INCOMPLETE":
		if f.Observed != nil && !failed || f.Observed == nil && n.State == "INCOMPLETE" { // somebody is just asking
			p.OK("%s", ev.Value)
			return nil
		}
		stopped, doubt, err := resolutionStopped(p, f.Route.Device, hop, f.Source, false)
		if err != nil {
			return err
		}
		if stopped != nil {
			stopped.Evidence = append(stopped.Evidence, ev)
			p.Stop(*stopped)
			return nil
		}
		if overlap != nil {
			overlap.Evidence = append(overlap.Evidence, ev)
			p.Stop(*overlap)
			return nil
		}
		who := fmt.Sprintf("%s does not answer %s", hop, asking(hop))
		if f.Route.Gateway.IsValid() {
			who = fmt.Sprintf("the gateway %s does not answer %s", hop, asking(hop))
		}
		c := diagnose.Cause{Code: "neighbour-failed", Outcome: diagnose.HostUnreachable, Also: []diagnose.Outcome{diagnose.Timeout},
			Culprit: &diagnose.Culprit{Kind: "neighbour", Address: hop.String(), Device: f.Route.Device}, Evidence: []diagnose.Evidence{ev, routeEvidence(f)},
			Title: fmt.Sprintf("Nobody is there: %s on %s (host down, wrong address or netmask, other VLAN).", who, f.Route.Device)}
		// The kernel gives up after three seconds (mcast_solicit, retrans_time_ms):
		// an entry that failed within a shorter attempt is older than it.
		if n.State == "FAILED" && f.Attempt != nil && f.Observed.Outcome == diagnose.Timeout && f.Attempt.Elapsed < 2900*time.Millisecond {
			c.Doubt, c.Ceiling = "the entry is older than the attempt, which something else may have stopped", diagnose.Likely
		}
		if doubt == "" && f.Firewall != nil && f.Firewall.Unknown != "" {
			doubt = f.Firewall.Unknown
		}
		if doubt != "" {
			c.Doubt, c.Ceiling = "a firewall rule may stop the question or the answer: "+doubt, diagnose.Likely
		}
		p.Stop(c)
	case "PERMANENT":
		if f.Observed == nil || f.Observed.Outcome != diagnose.Timeout {
			p.OK("%s", ev.Value)
			return nil
		}
		wrongNeighbour(p, *n, ev)
	default:
		p.OK("%s", ev.Value)
	}
	return nil
}

// nextHop is whose hardware address a packet of the flow needs.
func nextHop(f *diagnose.Flow) netip.Addr {
	if f.Route.Gateway.IsValid() {
		return f.Route.Gateway
	}
	return f.Addr().WithZone("")
}

// hopEntry is the entry of the flow's next hop; nil if there is none.
func hopEntry(list []host.Neighbour, f *diagnose.Flow) *host.Neighbour {
	hop := nextHop(f)
	for i := range list {
		if list[i].Address == hop && list[i].Device == f.Route.Device {
			return &list[i]
		}
	}
	return nil
}

func asking(hop netip.Addr) string {
	if hop.Is4() {
		return "ARP"
	}
	return "neighbour discovery"
}

func routeEvidence(f *diagnose.Flow) diagnose.Evidence {
	return diagnose.Evidence{Source: "RTM_GETROUTE", What: "route to " + f.Addr().String(), Value: routeText(f.Route)}
}

// wrongNeighbour compares a static entry with what the address's real owner
// has, where that owner is in a namespace of this host.
func wrongNeighbour(p *diagnose.Pass, n host.Neighbour, ev diagnose.Evidence) {
	c := diagnose.Cause{Code: "neighbour-wrong", Outcome: diagnose.Timeout, Evidence: []diagnose.Evidence{ev},
		Culprit: &diagnose.Culprit{Kind: "neighbour", Address: n.Address.String(), Device: n.Device, Value: n.MAC},
		Doubt:   "whether its MAC address is wrong can't be seen from here", Ceiling: diagnose.Likely,
		Title: fmt.Sprintf("A static neighbour entry sends packets for %s to %s on %s, and nothing comes back.", n.Address, n.MAC, n.Device),
		Fixes: []diagnose.Fix{{Title: "delete the static entry so that the address is asked for", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected,
			Commands: [][]string{{"ip", "neigh", "del", n.Address.String(), "dev", n.Device}},
			Undo:     [][]string{{"ip", "neigh", "replace", n.Address.String(), "lladdr", n.MAC, "nud", "permanent", "dev", n.Device}}}}}
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		addrs, err := h.Addresses(p.Ctx)
		if err != nil {
			return true
		}
		a := ownAddress(addrs, n.Address)
		if a == nil {
			return true
		}
		links, err := h.Links(p.Ctx)
		if err != nil {
			return true
		}
		l := linkByName(links, a.Device)
		if l == nil || l.MAC == "" {
			return true
		}
		if !strings.EqualFold(l.MAC, n.MAC) {
			c.Doubt, c.Ceiling = "", diagnose.Proven
			c.Title = fmt.Sprintf("A static neighbour entry sends packets for %s to %s, but its owner has the MAC address %s.", n.Address, n.MAC, l.MAC)
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETLINK in " + namespaceName(ns), What: l.Name, Value: l.MAC})
		} else {
			c.Code = ""
		}
		return false
	})
	if c.Code == "" {
		p.OK("static, and right")
		return
	}
	p.Stop(c)
}

// overlapping finds a more fitting device for the destination than the one it
// is routed to: a subnet of a bridge or VPN that hides the real one.
func overlapping(p *diagnose.Pass, f *diagnose.Flow) *diagnose.Cause {
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return nil
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return nil
	}
	out := linkByName(links, f.Route.Device)
	if out == nil {
		return nil
	}
	for _, a := range addrs {
		if a.Device == f.Route.Device || a.Prefix.Addr().IsLoopback() || !a.Prefix.Masked().Contains(f.Addr().WithZone("")) || a.Prefix.IsSingleIP() {
			continue
		}
		other := linkByName(links, a.Device)
		if other == nil || !other.Up {
			continue
		}
		c := &diagnose.Cause{Outcome: diagnose.HostUnreachable, Also: []diagnose.Outcome{diagnose.Timeout},
			Doubt: "both devices claim the address; which one is meant only the network's owner knows", Ceiling: diagnose.Likely,
			Culprit:  &diagnose.Culprit{Kind: "route", Device: f.Route.Device, Text: routeText(f.Route)},
			Evidence: []diagnose.Evidence{routeEvidence(f), {Source: "RTM_GETADDR", What: a.Device, Value: a.Prefix.String()}}}
		switch out.Kind {
		case "wireguard", "tun":
			c.Code = "route-through-vpn"
			c.Title = fmt.Sprintf("%s goes into the tunnel %s, though %s is directly connected to %s.", f.Addr(), out.Name, other.Name, a.Prefix.Masked())
			c.Outcome = diagnose.Timeout
		case "bridge", "veth", "dummy", "macvlan", "ipvlan":
			c.Code = "route-subnet-overlap"
			c.Title = fmt.Sprintf("%s is routed to %s, whose subnet overlaps that of %s (%s).", f.Addr(), out.Name, other.Name, a.Prefix.Masked())
		default:
			continue
		}
		return c
	}
	return nil
}

var vpn = &diagnose.Check{
	ID: "tunnel", Doc: "whether the packet goes into a tunnel that hides a directly connected network",
	Codes: []string{"route-through-vpn", "route-subnet-overlap"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runVPN,
}

func runVPN(p *diagnose.Pass) error {
	f := p.Flow
	if f.Local || f.Route.Device == "" {
		p.Skip("the packet stays on this host")
		return nil
	}
	untried := f.Observed == nil || f.Observed.Outcome == diagnose.Unknown || f.Blocked() // it came not so far
	if !untried && f.Observed.Outcome != diagnose.Timeout && f.Observed.Outcome != diagnose.NetUnreachable && f.Observed.Outcome != diagnose.HostUnreachable {
		p.OK("it gets an answer")
		return nil
	}
	c := overlapping(p, f)
	switch {
	case c == nil, c.Code != "route-through-vpn" && !f.Blocked() && f.Observed != nil && f.Observed.Outcome == diagnose.HostUnreachable:
		p.OK("%s", f.Route.Device)
	case untried:
		return noteOverlap(p, *c)
	default:
		p.Stop(*c)
	}
	return nil
}

// noteOverlap: two devices claim the destination, and nobody saw what becomes of a
// packet there: the way that wins may be the right one, as two cards of one network both are.
// Whether anybody answered there before tells the neighbour's entry.
func noteOverlap(p *diagnose.Pass, c diagnose.Cause) error {
	f := p.Flow
	list, err := p.Host.Neighbours(p.Ctx)
	if err != nil {
		return err
	}
	if n := hopEntry(list, f); n != nil && (n.State == "FAILED" || n.MAC != "" && !f.Route.Gateway.IsValid()) {
		p.OK("%s: what %s answered is known", f.Route.Device, n.Address)
		return nil
	}
	p.Note(diagnose.Finding{Code: c.Code, Culprit: c.Culprit, Evidence: c.Evidence, Title: strings.TrimSuffix(c.Title, ".") + "; whether it is there can't be told without an answer from it"})
	p.OK("%s, if %s is there", f.Route.Device, f.Addr())
	return nil
}
