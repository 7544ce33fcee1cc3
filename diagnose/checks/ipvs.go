package checks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var ipvs = &diagnose.Check{
	ID: "ipvs", Doc: "whether IPVS, the kernel's load balancer, takes the packet before a socket does",
	Codes: []string{"ipvs-no-backend"}, For: diagnose.AskConnect, Behind: true,
	Run: runIPVS,
}

func runIPVS(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || f.Blocked() {
		p.Skip("no packet gets so far")
		return nil
	}
	list, err := p.Host.VirtualServices(p.Ctx)
	if errors.Is(err, host.ErrUnsupported) {
		p.Skip("IPVS isn't there")
		return nil
	}
	if err != nil {
		return err
	}
	to := f.Reached()
	for _, s := range list {
		if s.Network != f.Network || s.Address.Port() != to.Port() || s.Address.Addr() != reached(to.Addr()).WithZone("").Unmap() {
			continue
		}
		f.Balanced = true
		stopBalanced(p, s)
		return nil
	}
	p.OK("%d services, none of them here", len(list))
	return nil
}

// stopBalanced: ip_vs_in of net/netfilter/ipvs/ip_vs_core.c schedules what is for a
// service, and ip_vs_leave answers with port unreachable if there is no server.
func stopBalanced(p *diagnose.Pass, s host.VirtualService) {
	ready, list := 0, []string{}
	for _, r := range s.Servers {
		list = append(list, fmt.Sprintf("%s weight %d", r.Address, r.Weight))
		if r.Weight > 0 {
			ready++
		}
	}
	value := "no server"
	if len(list) > 0 {
		value = strings.Join(list, ", ")
	}
	evidence := []diagnose.Evidence{{Source: "/proc/net/ip_vs", What: fmt.Sprintf("%s %s %s", s.Network, s.Address, s.Scheduler), Value: value}}
	if ready > 0 {
		p.Unknown(host.Limit{What: "which server IPVS gives the connection to, and what that does", Why: fmt.Sprintf("%s is a service of the kernel's load balancer: %s", s.Address, value), Needs: "ipvsadm -Ln, and a question to each server"})
		return
	}
	what := "has no server for it"
	if len(s.Servers) > 0 {
		what = fmt.Sprintf("all its %d servers have weight 0", len(s.Servers))
	}
	p.Stop(diagnose.Cause{Code: "ipvs-no-backend", Outcome: diagnose.Refused, Also: []diagnose.Outcome{diagnose.Timeout}, Evidence: evidence,
		Culprit: &diagnose.Culprit{Kind: "kernel", Name: "IPVS", Address: s.Address.String(), Value: value},
		Title:   fmt.Sprintf("IPVS takes what comes for %s/%s, and %s.", s.Address, s.Network, what)})
}
