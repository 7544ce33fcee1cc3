package checks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// ignored is why this host doesn't answer an ARP request.
type ignored struct {
	setting  host.Sysctl
	why      string
	evidence []diagnose.Evidence
}

// arpIgnored finds the setting by which this host doesn't answer the ARP request of
// the flow's client for the address that it connects to (arp_process, arp_ignore and
// arp_filter of net/ipv4/arp.c). Nil if it answers, or if the client doesn't ask.
func arpIgnored(p *diagnose.Pass) (*ignored, error) {
	f := p.Flow
	if asks, err := asksForIt(p); !asks || err != nil {
		return nil, err
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return nil, err
	}
	// A packet of ARP has no mark, which may be what lets one of IP pass.
	in, err := p.Host.RouteTo(p.Ctx, host.RouteQuery{Destination: f.Addr(), Source: f.From, InputDevice: f.Inbound})
	if err != nil {
		return nil, err
	}
	if in.Errno == "EXDEV" || in.Errno == "EINVAL" {
		if s, err := strictest(p, "rp_filter"); err != nil || s != nil {
			return because(s, "without a mark, its source is not taken there"), err
		}
	}
	mode, err := strictest(p, "arp_ignore")
	if err != nil {
		return nil, err
	}
	if mode != nil && modeIgnores(strings.TrimSpace(mode.Value), addrs, f) {
		return because(mode, fmt.Sprintf("%s is no address of %s that it answers for", f.Addr(), f.Inbound)), nil
	}
	filter, err := strictest(p, "arp_filter")
	if filter == nil || err != nil {
		return nil, err
	}
	q := host.RouteQuery{Destination: f.From, Source: f.Addr(), UID: new(uint32)}
	back, err := p.Host.RouteTo(p.Ctx, q)
	if err != nil || !lost(back) && back.Device == f.Inbound {
		return nil, err
	}
	i := because(filter, fmt.Sprintf("the way to %s is %s", f.From, routeText(back)))
	i.evidence = append(i.evidence, diagnose.Evidence{Source: "RTM_GETROUTE", What: queryText(q), Value: routeText(back)})
	return i, nil
}

func because(s *host.Sysctl, why string) *ignored {
	if s == nil {
		return nil
	}
	return &ignored{setting: *s, why: why, evidence: []diagnose.Evidence{sysctlEvidence(*s)}}
}

// asksForIt reports whether the client and the address that it connects to are in one
// network of the device, so that it asks for that address itself, by ARP.
func asksForIt(p *diagnose.Pass) (bool, error) {
	f := p.Flow
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return false, err
	}
	addrs, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return false, err
	}
	const ethernet = 1 // ARPHRD_ETHER
	if l := linkByName(links, f.Inbound); l == nil || l.Type != ethernet || !f.Addr().Is4() {
		return false, nil
	}
	return slices.ContainsFunc(addrs, func(a host.Address) bool {
		return a.Device == f.Inbound && a.Prefix.Contains(f.From) && a.Prefix.Contains(f.Addr())
	}), nil
}

// modeIgnores is what arp_ignore makes of a request from the same network
// (ip-sysctl.rst).
func modeIgnores(mode string, addrs []host.Address, f *diagnose.Flow) bool {
	here, wide := false, false
	for _, a := range addrs {
		if a.Prefix.Addr() == f.Addr() {
			here = here || a.Device == f.Inbound
			wide = wide || a.Scope != "host"
		}
	}
	switch mode {
	case "1", "2":
		return !here
	case "3":
		return !wide
	case "8":
		return true
	}
	return false
}

// strictest is a setting of the inbound device or of all, of which the larger counts;
// nil where it is off, or where a recording doesn't tell.
func strictest(p *diagnose.Pass, name string) (*host.Sysctl, error) {
	var found *host.Sysctl
	most := 0
	for _, where := range []string{p.Flow.Inbound, "all"} {
		s, err := p.Host.Sysctl(p.Ctx, host.DeviceKey("ipv4", where, name))
		switch {
		case errors.Is(err, host.ErrUnsupported), errors.Is(err, host.ErrNotRecorded):
			continue
		case err != nil:
			return nil, err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(s.Value)); err == nil && n > most {
			most, found = n, &s
		}
	}
	return found, nil
}

// noteIgnored says that this host leaves its client's ARP request without an answer.
// The client may have the hardware address from elsewhere, as behind a load balancer
// or by another device on the same link: so it isn't known whether its packets come.
func noteIgnored(p *diagnose.Pass) (noted bool, err error) {
	f := p.Flow
	i, err := arpIgnored(p)
	if i == nil || err != nil {
		return false, err
	}
	key := i.setting.Key + " = " + strings.TrimSpace(i.setting.Value)
	p.Note(diagnose.Finding{Code: "neighbour-failed", Culprit: sysctlCulprit(i.setting), Evidence: i.evidence,
		Title: fmt.Sprintf("This host doesn't answer the ARP request of %s for %s that comes in by %s (%s): %s", f.From, f.Addr(), f.Inbound, key, i.why)})
	f.Unsure = fmt.Sprintf("this host doesn't answer its ARP request (%s)", key)
	p.Unknown(host.Limit{What: fmt.Sprintf("whether a packet of %s for %s comes by %s", f.From, f.Addr(), f.Inbound), Why: f.Unsure,
		Needs: "a look at the neighbour's entry there: ip neigh show " + f.Addr().String()})
	return true, nil
}
