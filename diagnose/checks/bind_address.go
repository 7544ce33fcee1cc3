package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var bindAddress = &diagnose.Check{
	ID: "bind-address", Doc: "whether the address is this host's and the user may have the port",
	Codes: []string{"address-not-local", "address-tentative", "ipv6-disabled", "loopback-down", "port-privileged"},
	For:   diagnose.AskBind,
	Run:   runBindAddress,
}

// runBindAddress asks in the kernel's order: IPv4 looks at the address first
// (net/ipv4/af_inet.c, __inet_bind), IPv6 at the port (net/ipv6/af_inet6.c,
// __inet6_bind).
func runBindAddress(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() {
		p.Skip("no address")
		return nil
	}
	stations := []func(*diagnose.Pass) error{addressHere, portAllowed}
	if f.Addr().Is6() {
		slices.Reverse(stations)
	}
	for _, station := range stations {
		if err := station(p); err != nil {
			return err
		}
	}
	p.OK("%s can be bound here", f.Addr())
	return nil
}

// addressHere stops at an address that the kernel does not take for its own.
func addressHere(p *diagnose.Pass) error {
	a := p.Flow.Addr()
	if a.IsUnspecified() {
		return nil
	}
	if a.IsMulticast() && p.Flow.Network == "tcp" && a.Is6() {
		p.Stop(diagnose.Cause{Code: "address-not-local", Outcome: diagnose.AddressUnavailable, Also: []diagnose.Outcome{diagnose.NetUnreachable},
			Culprit: &diagnose.Culprit{Kind: "address", Address: a.String()},
			Title:   fmt.Sprintf("%s is a multicast address, which no TCP socket can have.", a)})
		return nil
	}
	if a.IsMulticast() {
		return nil
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return err
	}
	if a.Is4() {
		return address4(p, a, addrs)
	}
	return address6(p, a, addrs)
}

func address4(p *diagnose.Pass, a netip.Addr, addrs []host.Address) error {
	if ownAddress(addrs, a) != nil || without4(addrs) {
		return nil
	}
	return missing4(p, a, addrs)
}

// without4: where IPv4 was never configured there is no local table, and the
// kernel takes every address for a broadcast one, which can be bound
// (__inet_dev_addr_type). Where it was once, the table is there, empty: only a
// bind tells the two apart.
func without4(addrs []host.Address) bool {
	return !slices.ContainsFunc(addrs, func(own host.Address) bool { return own.Prefix.Addr().Is4() })
}

func missing4(p *diagnose.Pass, a netip.Addr, addrs []host.Address) error {
	// The kernel asks the local table: all of 127.0.0.0/8, broadcast addresses
	// and routes of type local count too (inet_addr_type_table).
	r, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: a})
	if err != nil {
		return err
	}
	if r.Type == "local" || r.Type == "broadcast" {
		return nil
	}
	if a.IsLoopback() && stopLoopbackDown(p, a) {
		return nil
	}
	return notHere(p, a, addrs, "net.ipv4.ip_nonlocal_bind")
}

func address6(p *diagnose.Pass, a netip.Addr, addrs []host.Address) error {
	if a.IsLinkLocalUnicast() && a.Zone() == "" {
		linkLocalWithoutScope(p, a, addrs)
		return nil
	}
	bare := a.WithZone("")
	for _, own := range addrs {
		if own.Prefix.Addr().WithZone("") != bare || a.IsLinkLocalUnicast() && own.Device != a.Zone() && fmt.Sprint(own.Link) != a.Zone() {
			continue
		}
		if own.Tentative || own.DADFailed {
			return tentative(p, a, own)
		}
		return nil
	}
	if a.IsLoopback() && stopLoopbackDown(p, a) {
		return nil
	}
	if key, culprit, evidence := disabledIPv6(p, deviceFor(a)); culprit != nil {
		p.Stop(diagnose.Cause{Code: "ipv6-disabled", Outcome: diagnose.AddressUnavailable, Culprit: culprit, Evidence: evidence,
			Title: fmt.Sprintf("IPv6 is switched off here (%s = 1), so %s does not exist.", key, a),
			Fixes: []diagnose.Fix{{Title: "switch IPv6 on", NeedsRoot: true, Opens: "IPv6 on the devices of that setting", PredictedOutcome: diagnose.Bound,
				Commands: [][]string{{"sysctl", "-w", key + "=0"}}, Undo: [][]string{{"sysctl", "-w", key + "=1"}}}}})
		return nil
	}
	return notHere(p, a, addrs, "net.ipv6.ip_nonlocal_bind")
}

var bindAddressAfter = &diagnose.Check{
	ID: "bind-address-after", Doc: "what a bind shows of an address in a namespace without IPv4 addresses",
	Codes: []string{"address-not-local", "loopback-down"},
	For:   diagnose.AskBind, When: diagnose.Explain,
	Run: runBindAddressAfter,
}

func runBindAddressAfter(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || !f.Addr().Is4() || f.Addr().IsUnspecified() || f.Addr().IsMulticast() || f.Blocked() {
		p.Skip("nothing left to tell")
		return nil
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	switch {
	case err != nil:
		return err
	case !without4(addrs):
		p.Skip("there are IPv4 addresses")
	case f.Observed != nil && f.Observed.Outcome == diagnose.Bound:
		p.Warn(diagnose.Finding{Code: "address-not-local", Culprit: &diagnose.Culprit{Kind: "address", Address: f.Addr().String()},
			Evidence: []diagnose.Evidence{{Source: "RTM_GETADDR", What: "addresses of this host", Value: ownText(addrs, f.Addr())}},
			Title:    fmt.Sprintf("IPv4 was never configured in this network namespace: the kernel then lets any address be bound, but nobody reaches %s", f.Addr())})
		p.OK("it can be bound")
	case f.Observed == nil || f.Observed.Outcome == diagnose.AddressUnavailable:
		return missing4(p, f.Addr(), addrs)
	}
	return nil
}

// deviceFor is the device whose IPv6 settings decide about an address that is
// nowhere, as far as it can be told.
func deviceFor(a netip.Addr) string {
	switch {
	case a.Zone() != "":
		return a.Zone()
	case a.IsLoopback():
		return "lo"
	}
	return "all"
}

// stopLoopbackDown stops where a loopback address lacks its device: the kernel
// gives lo its addresses when it comes up.
// loopbackDown takes the loopback device down again. The kernel gives it 127.0.0.1
// when it first comes up, which stays (inetdev_event).
func loopbackDown(p *diagnose.Pass, l host.Link) [][]string {
	undo := [][]string{{"ip", "link", "set", l.Name, "down"}}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err == nil && !slices.ContainsFunc(addrs, func(a host.Address) bool { return a.Link == l.Index && a.Prefix.Addr().Is4() }) {
		undo = append(undo, []string{"ip", "address", "delete", "127.0.0.1/8", "dev", l.Name})
	}
	return undo
}

func stopLoopbackDown(p *diagnose.Pass, a netip.Addr) bool {
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return false
	}
	for _, l := range links {
		if !l.Loopback || l.Up {
			continue
		}
		p.Stop(diagnose.Cause{Code: "loopback-down", Outcome: diagnose.AddressUnavailable, Culprit: &diagnose.Culprit{Kind: "link", Device: l.Name},
			Evidence: []diagnose.Evidence{{Source: "RTM_GETLINK", What: l.Name, Value: "down"}},
			Title:    fmt.Sprintf("The loopback device %s is down in this network namespace, so %s does not exist.", l.Name, a),
			Fixes: []diagnose.Fix{{Title: "bring " + l.Name + " up", NeedsRoot: true, Opens: "loopback only", PredictedOutcome: diagnose.Bound,
				Commands: [][]string{{"ip", "link", "set", l.Name, "up"}}, Undo: loopbackDown(p, l)}}})
		return true
	}
	return false
}

// linkLocalWithoutScope: such an address exists on every link, so that the
// kernel wants to know which (EINVAL).
func linkLocalWithoutScope(p *diagnose.Pass, a netip.Addr, addrs []host.Address) {
	c := diagnose.Cause{Code: "address-not-local", Outcome: diagnose.AddressUnavailable, Also: []diagnose.Outcome{diagnose.NetUnreachable},
		Culprit: &diagnose.Culprit{Kind: "address", Address: a.String()},
		Title:   fmt.Sprintf("%s is a link-local address, which needs its device: %s%%DEVICE.", a, a)}
	if own := ownAddress(addrs, a); own != nil {
		c.Title = fmt.Sprintf("%s is a link-local address, which needs its device: %s%%%s.", a, a, own.Device)
		c.Evidence = []diagnose.Evidence{addressEvidence(*own)}
		c.Fixes = []diagnose.Fix{{Title: fmt.Sprintf("bind [%s%%%s]:%d", a, own.Device, p.Flow.Port()), Opens: "nothing", PredictedOutcome: diagnose.Bound}}
	}
	p.Stop(c)
}

func addressEvidence(a host.Address) diagnose.Evidence {
	v := a.Prefix.String()
	if a.Tentative {
		v += " tentative"
	}
	if a.DADFailed {
		v += " dadfailed"
	}
	return diagnose.Evidence{Source: "RTM_GETADDR", What: a.Device, Value: v}
}

// tentative stops at an address that IPv6 may not use yet (RFC 4862 section
// 5.4; ipv6_chk_addr leaves it out).
func tentative(p *diagnose.Pass, a netip.Addr, own host.Address) error {
	c := diagnose.Cause{Code: "address-tentative", Outcome: diagnose.AddressUnavailable,
		Culprit:  &diagnose.Culprit{Kind: "address", Address: a.String(), Device: own.Device},
		Evidence: []diagnose.Evidence{addressEvidence(own)}}
	again := diagnose.Fix{Title: "give the address again without duplicate address detection", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Bound,
		Commands: [][]string{{"ip", "-6", "addr", "del", own.Prefix.String(), "dev", own.Device}, {"ip", "-6", "addr", "add", own.Prefix.String(), "dev", own.Device, "nodad"}},
		Undo:     [][]string{{"ip", "-6", "addr", "del", own.Prefix.String(), "dev", own.Device}, {"ip", "-6", "addr", "add", own.Prefix.String(), "dev", own.Device}}}
	if own.DADFailed {
		c.Title = fmt.Sprintf("%s on %s is another host's too: duplicate address detection failed, so it can't be used.", a, own.Device)
		again.Risk = "high" // two hosts would answer for it
	} else {
		c.Title = fmt.Sprintf("%s on %s is still being checked for duplicates (tentative), which takes 1 to 2 seconds after it was added.", a, own.Device)
	}
	c.Fixes = []diagnose.Fix{again}
	links, err := p.Host.Links(p.Ctx)
	if err == nil {
		if l := linkByName(links, own.Device); l != nil && (!l.Up || !l.Carrier) {
			c.Title = fmt.Sprintf("%s on %s stays tentative as long as the device has no link, and can't be bound meanwhile.", a, own.Device)
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETLINK", What: own.Device, Value: linkText(*l)})
		}
	}
	p.Stop(c)
	return nil
}

// notHere stops at an address that no device has, unless the kernel is told to
// take foreign ones.
func notHere(p *diagnose.Pass, a netip.Addr, addrs []host.Address, key string) error {
	s, err := p.Host.Sysctl(p.Ctx, key)
	if err != nil {
		return err
	}
	if strings.TrimSpace(s.Value) == "1" {
		p.Warn(diagnose.Finding{Code: "address-not-local", Culprit: sysctlCulprit(s), Evidence: []diagnose.Evidence{sysctlEvidence(s)},
			Title: fmt.Sprintf("%s is on no device here; %s = 1 lets it be bound all the same, but nobody reaches it until it is", a, key)})
		return nil
	}
	c := diagnose.Cause{Code: "address-not-local", Outcome: diagnose.AddressUnavailable, Culprit: &diagnose.Culprit{Kind: "address", Address: a.String()},
		Evidence: []diagnose.Evidence{{Source: "RTM_GETADDR", What: "addresses of this host", Value: ownText(addrs, a)}, sysctlEvidence(s)},
		Title:    fmt.Sprintf("%s is not an address of this host.", a)}
	if a.Zone() != "" {
		c.Title = fmt.Sprintf("%s is not an address of %s.", a.WithZone(""), a.Zone())
		c.Also = []diagnose.Outcome{diagnose.NetUnreachable} // ENODEV or EINVAL where the device is missing
	}
	where(p, a, addrs, s, &c)
	wildcard := netip.IPv4Unspecified()
	if a.Is6() {
		wildcard = netip.IPv6Unspecified()
	}
	c.Fixes = append(c.Fixes, diagnose.Fix{Title: fmt.Sprintf("bind %s instead", netip.AddrPortFrom(wildcard, p.Flow.Port())),
		Opens: "the port on every address of this host", PredictedOutcome: diagnose.Bound})
	p.Stop(c)
	return nil
}

// where adds what tells the reader why the address is missing: where it is, or
// what it was meant to be.
func where(p *diagnose.Pass, a netip.Addr, addrs []host.Address, nonlocal host.Sysctl, c *diagnose.Cause) {
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		theirs, err := h.Addresses(p.Ctx)
		if err != nil {
			return true
		}
		if own := ownAddress(theirs, a); own != nil && !a.IsLoopback() {
			c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf(": it is on %s in %s.", own.Device, namespaceName(ns))
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: nsSource(ns), What: own.Device, Value: own.Prefix.String()})
			c.Culprit.NetNS = ns.Inode
			return false
		}
		return true
	})
	if c.Culprit.NetNS != 0 {
		return
	}
	if near := nearAddress(addrs, a); near != nil {
		c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; %s on %s is: a slip?", near.Prefix.Addr(), near.Device)
		c.Fixes = append(c.Fixes, diagnose.Fix{Title: fmt.Sprintf("bind %s instead", netip.AddrPortFrom(near.Prefix.Addr(), p.Flow.Port())),
			Opens: "the port on that address", PredictedOutcome: diagnose.Bound})
	}
	if on := connected(addrs, a); on != nil {
		if n := neighbourWith(p, a); n != nil {
			c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; another host has it (%s on %s).", n.MAC, n.Device)
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETNEIGH", What: a.String(), Value: n.MAC + " " + n.State})
		}
		c.Fixes = append(c.Fixes, diagnose.Fix{Title: fmt.Sprintf("allow addresses that are not here yet, for an address that moves between hosts (%s)", nonlocal.Key),
			NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Bound, Risk: "medium",
			Commands: [][]string{{"sysctl", "-w", nonlocal.Key + "=1"}}, Undo: [][]string{{"sysctl", "-w", nonlocal.Key + "=" + strings.TrimSpace(nonlocal.Value)}}})
	}
}

// ownText lists the addresses of the asked one's family.
func ownText(addrs []host.Address, like netip.Addr) string {
	var list []string
	for _, a := range addrs {
		if a.Prefix.Addr().Is4() != like.Is4() {
			continue
		}
		if len(list) == 8 {
			list = append(list, "…")
			break
		}
		list = append(list, fmt.Sprintf("%s %s", a.Device, a.Prefix))
	}
	if len(list) == 0 {
		return "none of " + familyName(like)
	}
	return strings.Join(list, ", ")
}

// nearAddress finds an own address that differs by one slip of the hand.
func nearAddress(addrs []host.Address, asked netip.Addr) *host.Address {
	for i, own := range addrs {
		a := own.Prefix.Addr()
		if a.Is4() == asked.Is4() && !a.IsLoopback() && oneSlip(asked.WithZone("").String(), a.WithZone("").String()) {
			return &addrs[i]
		}
	}
	return nil
}

// oneSlip reports whether two texts differ by one wrong, missing or additional
// character, or by two neighbours that changed places.
func oneSlip(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	first := 0
	for first < len(b) && a[first] == b[first] {
		first++
	}
	switch rest := a[first:]; {
	case len(a) == len(b)+1:
		return rest[1:] == b[first:]
	case len(a) != len(b) || rest == "":
		return false
	case rest[1:] == b[first+1:]:
		return true
	default:
		return len(rest) > 1 && rest[0] == b[first+1] && rest[1] == b[first] && rest[2:] == b[first+2:]
	}
}

// connected finds the own address in whose network the asked one would be.
func connected(addrs []host.Address, asked netip.Addr) *host.Address {
	for i, own := range addrs {
		if own.Prefix.Masked().Contains(asked.WithZone("")) && !own.Prefix.Addr().IsLoopback() {
			return &addrs[i]
		}
	}
	return nil
}

// neighbourWith finds a host on a link that answers for the address.
func neighbourWith(p *diagnose.Pass, a netip.Addr) *host.Neighbour {
	list, err := p.Host.Neighbours(p.Ctx)
	if err != nil {
		return nil
	}
	for i, n := range list {
		if n.Address == a.WithZone("") && n.MAC != "" && n.State != "FAILED" && n.State != "INCOMPLETE" {
			return &list[i]
		}
	}
	return nil
}
