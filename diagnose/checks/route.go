package checks

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var route = &diagnose.Check{
	ID: "route", Doc: "which way the kernel sends the packet, and from which address",
	Codes: []string{"no-route", "route-unreachable", "route-prohibit", "route-blackhole", "loopback-down", "local-route-missing", "link-down", "ipv6-disabled",
		"rp-filter", "ip-forward-off"},
	For: diagnose.AskConnect,
	Run: runRoute,
}

func runRoute(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() {
		p.Skip("no packet")
		return nil
	}
	dst := reached(f.Addr())
	if stopScope(p, dst) {
		return nil
	}
	// Policy rules may select by protocol and port (ip-rule(8)).
	q := host.RouteQuery{Destination: dst.WithZone(""), OutDevice: dst.Zone(), Protocol: protocolNumber[f.Network], DestinationPort: f.Port()}
	r, err := p.Host.RouteTo(p.Ctx, q)
	if err != nil {
		// Without a route the family decides: loopback is always this host.
		f.Local = dst.IsLoopback()
		return err
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return err
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return err
	}
	f.Route = r
	if f.From.IsValid() {
		return routeIn(p, r)
	}
	own := ownAddress(addrs, dst)
	f.Local = r.Type == "local" || r.Type == "broadcast" && own != nil || dst.IsLoopback()
	if r.Source.IsValid() {
		f.Source = r.Source
	}
	evidence := []diagnose.Evidence{{Source: "RTM_GETROUTE", What: "route to " + dst.String(), Value: routeText(r)}}
	if stopLoopback(p, dst, own, links, r, evidence) {
		return nil
	}
	if own != nil && r.Type != "local" {
		f.Local = true
		p.Stop(diagnose.Cause{Code: "local-route-missing", Outcome: diagnose.Timeout, Also: []diagnose.Outcome{diagnose.HostUnreachable, diagnose.NetUnreachable},
			Culprit:  &diagnose.Culprit{Kind: "route", Address: dst.String(), Device: own.Device},
			Evidence: append(evidence, diagnose.Evidence{Source: "RTM_GETADDR", What: own.Device, Value: own.Prefix.String()}),
			Title:    fmt.Sprintf("%s is an address of %s, but the local routing table has no entry for it, so packets to it leave the host.", dst, own.Device),
			Fixes: []diagnose.Fix{{Title: "put the local route back", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected,
				Commands: [][]string{{"ip", "route", "add", "local", dst.String(), "dev", own.Device, "table", "local"}},
				Undo:     [][]string{{"ip", "route", "del", "local", dst.String(), "dev", own.Device, "table", "local"}}}}})
		return nil
	}
	if f.Network == "tcp" && own == nil && (r.Type == "broadcast" || r.Type == "multicast") {
		p.Stop(diagnose.Cause{Code: "no-route", Outcome: diagnose.NetUnreachable, Culprit: &diagnose.Culprit{Kind: "route", Address: dst.String(), Text: routeText(r)}, Evidence: evidence,
			Title: fmt.Sprintf("%s is a %s address: TCP connects to one host only (tcp_v4_connect).", dst, r.Type)})
		return nil
	}
	if !f.Local {
		var more []diagnose.Evidence
		r, more = withSource(p, &q, r, addrs)
		evidence = append(evidence, more...)
		if !lost(r) {
			f.Route, f.Source = r, r.Source
		}
	}
	if !lost(r) {
		p.OK("%s", routeText(r))
		return nil
	}
	stopRoute(p, q, r, addrs, links, evidence)
	return nil
}

// stopScope: a link-local address is on every link, so that it means nothing
// without its device (ipv6(7), sin6_scope_id), nor with one that is not there.
func stopScope(p *diagnose.Pass, dst netip.Addr) bool {
	if !dst.Is6() || !dst.IsLinkLocalUnicast() {
		return false
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil || dst.Zone() != "" && linkByName(links, dst.Zone()) != nil {
		return false
	}
	var names []string
	for _, l := range links {
		if l.Up && !l.Loopback {
			names = append(names, l.Name)
		}
	}
	evidence := []diagnose.Evidence{{Source: "RTM_GETLINK", What: "devices that are up", Value: strings.Join(names, " ")}}
	c := diagnose.Cause{Code: "no-route", Outcome: diagnose.NetUnreachable, Also: []diagnose.Outcome{diagnose.AddressUnavailable}, Evidence: evidence,
		Culprit: &diagnose.Culprit{Kind: "address", Address: dst.String()},
		Title:   fmt.Sprintf("%s is a link-local address, which is on every link: it needs its device, as in [%s%%DEVICE].", dst, dst)}
	if dst.Zone() != "" {
		if _, err := strconv.Atoi(dst.Zone()); err == nil {
			return false // a device by its index
		}
		c.Culprit.Device = dst.Zone()
		c.Title = fmt.Sprintf("This host has no device %q.", dst.Zone())
	}
	p.Stop(c)
	return true
}

// stopLoopback handles what loopback itself can lack: the device, or IPv6.
func stopLoopback(p *diagnose.Pass, dst netip.Addr, own *host.Address, links []host.Link, r host.Route, evidence []diagnose.Evidence) bool {
	if !dst.IsLoopback() && own == nil {
		return false
	}
	for _, l := range links {
		if !l.Loopback || l.Up {
			continue
		}
		p.Flow.Local = true
		p.Stop(diagnose.Cause{Code: "loopback-down", Outcome: outcomeOr(r, diagnose.Timeout),
			Also:     []diagnose.Outcome{diagnose.Timeout, diagnose.NetUnreachable, diagnose.AddressUnavailable, diagnose.HostUnreachable},
			Culprit:  &diagnose.Culprit{Kind: "link", Device: l.Name},
			Evidence: append(evidence, diagnose.Evidence{Source: "RTM_GETLINK", What: l.Name, Value: "down"}),
			Title:    fmt.Sprintf("The loopback device %s is down in this network namespace, so the host can't reach itself.", l.Name),
			Fixes: []diagnose.Fix{{Title: "bring " + l.Name + " up", NeedsRoot: true, Opens: "loopback only", PredictedOutcome: diagnose.Connected,
				Commands: [][]string{{"ip", "link", "set", l.Name, "up"}}, Undo: loopbackDown(p, l)}}})
		return true
	}
	if dst.Is6() && dst.IsLoopback() && own == nil {
		key, culprit, ev := disabledIPv6(p, "lo")
		if culprit == nil {
			return false
		}
		p.Flow.Local = true
		p.Stop(diagnose.Cause{Code: "ipv6-disabled", Outcome: diagnose.AddressUnavailable, Also: []diagnose.Outcome{diagnose.NetUnreachable},
			Culprit: culprit, Evidence: append(evidence, ev...),
			Title: fmt.Sprintf("IPv6 is switched off here (%s = 1), so ::1 does not exist.", key),
			Fixes: []diagnose.Fix{{Title: "switch IPv6 on", NeedsRoot: true, Opens: "IPv6 on this device", PredictedOutcome: diagnose.Connected,
				Commands: [][]string{{"sysctl", "-w", key + "=0"}}, Undo: [][]string{{"sysctl", "-w", key + "=1"}}}}})
		return true
	}
	return false
}

// disabledIPv6 finds the setting that switches IPv6 off for a device.
func disabledIPv6(p *diagnose.Pass, device string) (string, *diagnose.Culprit, []diagnose.Evidence) {
	for _, where := range []string{device, "all"} {
		key := host.DeviceKey("ipv6", where, "disable_ipv6")
		s, err := p.Host.Sysctl(p.Ctx, key)
		if err == nil && strings.TrimSpace(s.Value) == "1" {
			return key, sysctlCulprit(s), []diagnose.Evidence{sysctlEvidence(s)}
		}
	}
	return "", nil, nil
}

func outcomeOr(r host.Route, other diagnose.Outcome) diagnose.Outcome {
	switch r.Errno {
	case "ENETUNREACH":
		return diagnose.NetUnreachable
	case "EHOSTUNREACH":
		return diagnose.HostUnreachable
	}
	return other
}

func stopRoute(p *diagnose.Pass, q host.RouteQuery, r host.Route, addrs []host.Address, links []host.Link, evidence []diagnose.Evidence) {
	dst := reached(p.Flow.Addr())
	culprit := &diagnose.Culprit{Kind: "route", Text: routeText(r), Address: dst.String(), Device: r.Device}
	c := diagnose.Cause{Culprit: culprit, Evidence: evidence}
	switch {
	case r.Type == "blackhole":
		c.Code, c.Outcome = "route-blackhole", diagnose.NetUnreachable
		c.Title, c.Fixes = fmt.Sprintf("A blackhole route swallows everything to %s.", routePrefix(r, dst)), removed(p, dst, r, "blackhole")
	case r.Type == "prohibit" || r.Errno == "EACCES":
		c.Code, c.Outcome = "route-prohibit", diagnose.Denied
		c.Title, c.Fixes = fmt.Sprintf("A prohibit route or rule forbids %s.", routePrefix(r, dst)), removed(p, dst, r, "prohibit")
	case r.Type == "unreachable" || r.Errno == "EHOSTUNREACH":
		c.Code, c.Outcome = "route-unreachable", outcomeOr(r, diagnose.HostUnreachable) // of a policy rule: ENETUNREACH
		c.Title, c.Fixes = fmt.Sprintf("An unreachable route refuses %s.", routePrefix(r, dst)), removed(p, dst, r, "unreachable")
	case r.Errno == "EINVAL":
		c.Code, c.Outcome = "route-blackhole", diagnose.NetUnreachable
		c.Title, c.Fixes = fmt.Sprintf("A blackhole route or rule swallows everything to %s.", routePrefix(r, dst)), removed(p, dst, r, "blackhole")
	default:
		if stopLinkDown(p, dst, addrs, links, evidence) {
			return
		}
		c.Code, c.Outcome, c.Also = "no-route", diagnose.NetUnreachable, []diagnose.Outcome{diagnose.AddressUnavailable}
		c.Title = fmt.Sprintf("This host has no route to %s, not even a default route for %s.", dst, familyName(dst))
		if hasDefault(p, dst) {
			c.Title = fmt.Sprintf("This host has no usable route to %s.", dst)
		}
		if dst.Is6() && !hasGlobal6(addrs) {
			c.Title = fmt.Sprintf("This host has no global IPv6 address and no route to %s.", dst)
		}
	}
	byPolicy(p, q, r, &c)
	p.Stop(c)
}

// byPolicy names the rule of policy routing that refuses what the cause is about, or
// whose table does, and takes that away where nothing else is known to help.
func byPolicy(p *diagnose.Pass, q host.RouteQuery, r host.Route, c *diagnose.Cause) {
	t, err := readTables(p)
	if err != nil {
		return
	}
	q.UID = &p.Info.UID
	rule := t.decider(q, r)
	if rule == nil || rule.Priority == 0 || rule.Priority >= priorityMain {
		return
	}
	text := policyText(*rule)
	c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
	if rule.Action != "lookup" {
		c.Culprit.Text = text
		c.Title = fmt.Sprintf("The policy rule %q refuses packets to %s.", text, q.Destination)
	}
	if len(c.Fixes) == 0 {
		c.Fixes = t.wayOpened(q, r, rule, "")
	}
}

// stopLinkDown: the route is gone because its device was set down.
func stopLinkDown(p *diagnose.Pass, dst netip.Addr, addrs []host.Address, links []host.Link, evidence []diagnose.Evidence) bool {
	for _, l := range links {
		if l.Up || l.Loopback {
			continue
		}
		for _, a := range addrs {
			if a.Link == l.Index && a.Prefix.Masked().Contains(dst.WithZone("")) {
				p.Stop(diagnose.Cause{Code: "link-down", Outcome: diagnose.NetUnreachable, Also: []diagnose.Outcome{diagnose.HostUnreachable, diagnose.Timeout},
					Culprit:  &diagnose.Culprit{Kind: "link", Device: l.Name},
					Evidence: append(evidence, diagnose.Evidence{Source: "RTM_GETLINK", What: l.Name, Value: "down (no IFF_UP), has " + a.Prefix.String()}),
					Title:    fmt.Sprintf("%s, the device of %s, is switched off (down), so its route is gone.", l.Name, a.Prefix.Masked()),
					Fixes: []diagnose.Fix{{Title: "bring " + l.Name + " up", NeedsRoot: true, Opens: "traffic over " + l.Name, PredictedOutcome: diagnose.Unknown, Risk: "medium",
						Commands: [][]string{{"ip", "link", "set", l.Name, "up"}}, Undo: [][]string{{"ip", "link", "set", l.Name, "down"}}}}})
				return true
			}
		}
	}
	return false
}

func hasDefault(p *diagnose.Pass, dst netip.Addr) bool {
	routes, err := p.Host.Routes(p.Ctx)
	if err != nil {
		return false
	}
	for _, r := range routes {
		if r.Destination.IsValid() && r.Destination.Bits() == 0 && r.Destination.Addr().Is4() == dst.Is4() && r.Type == "unicast" {
			return true
		}
	}
	return false
}

func hasGlobal6(addrs []host.Address) bool {
	for _, a := range addrs {
		if a.Prefix.Addr().Is6() && a.Prefix.Addr().IsGlobalUnicast() && !a.Tentative {
			return true
		}
	}
	return false
}

// ownAddress finds dst among the host's addresses.
func ownAddress(addrs []host.Address, dst netip.Addr) *host.Address {
	for i, a := range addrs {
		if a.Prefix.Addr() == dst.WithZone("") {
			return &addrs[i]
		}
	}
	return nil
}

func familyName(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func routePrefix(r host.Route, dst netip.Addr) string {
	if r.Destination.IsValid() {
		return r.Destination.String()
	}
	return dst.String()
}

// routeText writes a route as ip-route(8) does.
func routeText(r host.Route) string {
	if r.Errno != "" && r.Type == "" {
		return "none: " + r.Errno
	}
	var s []string
	if r.Type != "" && r.Type != "unicast" {
		s = append(s, r.Type)
	}
	if r.Destination.IsValid() {
		if r.Destination.Bits() == 0 {
			s = append(s, "default")
		} else {
			s = append(s, r.Destination.String())
		}
	}
	if r.Gateway.IsValid() {
		s = append(s, "via", r.Gateway.String())
	}
	if r.Device != "" {
		s = append(s, "dev", r.Device)
	}
	if r.Source.IsValid() {
		s = append(s, "src", r.Source.String())
	}
	if r.Table != 0 && r.Table != 254 {
		s = append(s, "table", tableName(r.Table))
	}
	if r.LinkDown {
		s = append(s, "linkdown")
	}
	if r.Errno != "" {
		s = append(s, "("+r.Errno+")")
	}
	return strings.Join(s, " ")
}

func tableName(n int) string {
	switch n {
	case 255:
		return "local"
	case 254:
		return "main"
	case 253:
		return "default"
	}
	return fmt.Sprint(n)
}
