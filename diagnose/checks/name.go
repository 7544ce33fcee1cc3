package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var name = &diagnose.Check{
	ID: "name", Doc: "how the target's name becomes an address: hosts file, resolver",
	Codes: []string{"name-unresolved", "resolver-down", "hosts-file-override", "name-resolves-elsewhere", "localhost-ipv6-first"},
	For:   diagnose.AskConnect,
	Run:   runName,
}

func runName(p *diagnose.Pass) error {
	res := p.Resolution
	if p.Flow.Network == "unix" || res.Source == "literal" {
		p.Skip("no name to resolve")
		return nil
	}
	if len(res.Addresses) == 0 {
		return unresolved(p, res)
	}
	p.OK("%s is %s by %s", res.Name, p.Flow.Addr(), sourceName(res))
	for _, line := range res.Hosts {
		if line.Address != p.Flow.Addr() {
			continue
		}
		p.Trace("%s:%d %s %s", line.File, line.Line, line.Address, strings.Join(line.Names, " "))
	}
	return nil
}

func sourceName(res host.Resolution) string {
	switch res.Source {
	case "files":
		if len(res.Hosts) > 0 {
			return fmt.Sprintf("%s:%d", res.Hosts[0].File, res.Hosts[0].Line)
		}
		return "the hosts file"
	case "dns":
		if res.Canonical != "" && !strings.EqualFold(res.Canonical, res.Name) {
			return "DNS as " + res.Canonical
		}
		return "DNS"
	case "":
		return "the resolver"
	}
	return res.Source
}

func unresolved(p *diagnose.Pass, res host.Resolution) error {
	resolver, err := p.Host.Resolver(p.Ctx)
	if err != nil {
		p.Limit(diagnose.LimitOf("the resolver's configuration", err))
	}
	evidence := []diagnose.Evidence{{Source: "resolver", What: res.Name, Value: strings.TrimSpace(res.Error + " " + res.Detail)}}
	for _, s := range resolver.Nameservers {
		evidence = append(evidence, diagnose.Evidence{Source: fmt.Sprintf("%s:%d", resolver.ConfFile, s.Line), What: "nameserver", Value: s.Address.String()})
	}
	culprit := &diagnose.Culprit{Kind: "resolver", Name: res.Name, Address: res.Server, File: resolver.ConfFile}
	for _, s := range resolver.Nameservers {
		if strings.HasPrefix(res.Server, s.Address.String()) || strings.HasPrefix(res.Server, "["+s.Address.String()) {
			culprit.Line = s.Line
		}
	}
	c := diagnose.Cause{Code: "name-unresolved", Outcome: diagnose.Unresolved, Culprit: culprit, Evidence: evidence,
		Title: fmt.Sprintf("The name %s does not exist: neither the hosts file nor DNS knows it.", res.Name)}
	switch {
	case resolver.Dangling:
		c.Code = "resolver-down"
		c.Title = fmt.Sprintf("%s can't be resolved: %s is a link to nothing, so no name server is known.", res.Name, resolver.ConfFile)
	case res.Error == "not-found":
		if res.Server != "" {
			c.Title = fmt.Sprintf("The name %s does not exist: the name server %s says so, and the hosts file doesn't have it.", res.Name, res.Server)
		}
	case res.Error == "refused", res.Error == "timeout", res.Error == "temporary":
		c.Code = "resolver-down"
		how := map[string]string{"refused": "refuses", "timeout": "does not answer", "temporary": "fails"}[res.Error]
		server := res.Server
		if server == "" {
			server = "the name server"
		}
		c.Title = fmt.Sprintf("%s can't be resolved: %s %s.", res.Name, server, how)
	default:
		c.Doubt, c.Ceiling = "the resolver failed in a way that says little", diagnose.Likely
		c.Title = fmt.Sprintf("%s can't be resolved: %s.", res.Name, strings.TrimSpace(res.Error+" "+res.Detail))
	}
	p.Stop(c)
	return nil
}

func hostsCulprit(res host.Resolution, a netip.Addr) *diagnose.Culprit {
	for _, line := range res.Hosts {
		if line.Address == a {
			return &diagnose.Culprit{Kind: "config", File: line.File, Line: line.Line, Text: line.Address.String() + " " + strings.Join(line.Names, " ")}
		}
	}
	return &diagnose.Culprit{Kind: "resolver", Name: res.Name, Address: a.String()}
}

func hostsEvidence(res host.Resolution) []diagnose.Evidence {
	var out []diagnose.Evidence
	for _, line := range res.Hosts {
		out = append(out, diagnose.Evidence{Source: fmt.Sprintf("%s:%d", line.File, line.Line), What: "hosts", Value: line.Address.String() + " " + strings.Join(line.Names, " ")})
	}
	return out
}

// nameAfter explains a failed attempt by the name: a line of the hosts file
// that sends it to an address where nothing answers.
var nameAfter = &diagnose.Check{
	ID: "name-address", Doc: "whether the name's address is the one that was meant",
	Codes: []string{"hosts-file-override", "name-resolves-elsewhere", "localhost-ipv6-first"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runNameAfter,
}

func runNameAfter(p *diagnose.Pass) error {
	res, f := p.Resolution, p.Flow
	if f.Network == "unix" || res.Source == "literal" || !f.Destination.IsValid() || f.Observed == nil {
		p.Skip("no name, or nothing observed")
		return nil
	}
	failed := !f.Observed.Outcome.Good() && f.Observed.Outcome != diagnose.Unknown
	isLocalhost := strings.EqualFold(strings.TrimSuffix(res.Name, "."), "localhost")
	if isLocalhost {
		if failed && f.Addr().Is6() && worksOver4(p.Flows) {
			title := "localhost is ::1 first, where nothing listens; a client that does not go on to 127.0.0.1 is refused"
			if f.Listener != nil || stoppedByRule(p) != nil {
				title = "localhost is ::1 first, and that fails; a client that does not go on to 127.0.0.1 fails, too"
			}
			p.Note(diagnose.Finding{Code: "localhost-ipv6-first", Title: title})
		}
		if failed && !f.Addr().IsLoopback() {
			p.Stop(diagnose.Cause{Code: "name-resolves-elsewhere", Outcome: f.Observed.Outcome, Culprit: hostsCulprit(res, f.Addr()), Evidence: hostsEvidence(res),
				Title: fmt.Sprintf("localhost is %s here, which is not this host's loopback address.", f.Addr())})
			return nil
		}
		if !f.Addr().IsLoopback() {
			p.Warn(diagnose.Finding{Code: "name-resolves-elsewhere", Title: fmt.Sprintf("localhost resolves to %s, which is not a loopback address", f.Addr()),
				Culprit: hostsCulprit(res, f.Addr()), Evidence: hostsEvidence(res)})
		}
		p.OK("localhost")
		return nil
	}
	if !failed {
		p.OK("%s answers", f.Addr())
		return nil
	}
	for _, line := range res.Hosts {
		if line.Address != f.Addr() || slices.Contains([]string{"ip6-localhost", "ip6-loopback"}, res.Name) {
			continue
		}
		c := diagnose.Cause{Code: "hosts-file-override", Outcome: f.Observed.Outcome, Culprit: hostsCulprit(res, f.Addr()), Evidence: hostsEvidence(res),
			Doubt: "only its owner knows which address is right", Ceiling: diagnose.Likely,
			Title: fmt.Sprintf("%s:%d says that %s is %s, where it fails.", line.File, line.Line, res.Name, line.Address)}
		dns, err := p.Host.ResolveDNS(p.Ctx, res.Name)
		switch {
		case err == nil && len(dns.Addresses) > 0 && !slices.Contains(dns.Addresses, f.Addr()):
			c.Doubt, c.Ceiling = "", diagnose.Proven
			c.Title = fmt.Sprintf("%s:%d says that %s is %s, where it fails; the name servers say %s.", line.File, line.Line, res.Name, line.Address, addressList(dns.Addresses))
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "DNS", What: res.Name, Value: addressList(dns.Addresses)})
			p.Stop(c)
		case f.Addr().IsLoopback() && f.Listener == nil:
			p.Stop(c)
		default:
			p.Note(diagnose.Finding{Code: c.Code, Culprit: c.Culprit, Evidence: c.Evidence,
				Title: fmt.Sprintf("%s has its address %s from %s:%d, not from DNS", res.Name, line.Address, line.File, line.Line)})
		}
		return nil
	}
	if res.Source == "dns" && res.Canonical != "" && !strings.EqualFold(strings.TrimSuffix(res.Canonical, "."), strings.TrimSuffix(res.Name, ".")) {
		p.Note(diagnose.Finding{Code: "name-resolves-elsewhere", Culprit: &diagnose.Culprit{Kind: "resolver", Name: res.Canonical, Address: f.Addr().String()},
			Title: fmt.Sprintf("%s was found as %s", res.Name, res.Canonical)})
	}
	p.OK("%s by %s", f.Addr(), sourceName(res))
	return nil
}

// worksOver4 reports whether an IPv4 address of the target connected.
func worksOver4(flows []*diagnose.Flow) bool {
	for _, f := range flows {
		if f.Destination.IsValid() && f.Addr().Is4() && f.Observed != nil && f.Observed.Outcome.Good() {
			return true
		}
	}
	return false
}

func addressList(addrs []netip.Addr) string {
	var s []string
	for _, a := range addrs {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}
