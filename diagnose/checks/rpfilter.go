package checks

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var rpFilter = &diagnose.Check{
	ID: "rp-filter", Doc: "whether the answer was dropped because it came in by another device than its way back",
	Codes: []string{"rp-filter"},
	For:   diagnose.AskConnect, When: diagnose.Explain,
	Run: runRPFilter,
}

// synTries is how many answers one attempt can draw: the far end repeats its
// SYN-ACK, and this one its SYN, after 1 and 3 seconds (RFC 6298).
const synTries = 6

// The kernel counts each packet that reverse path filtering drops
// (fib_validate_source, TcpExt IPReversePathFilter); a silent attempt during
// which the counter rose was answered, and the answer thrown away.
func runRPFilter(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || f.Attempt == nil || f.Observed.Outcome != diagnose.Timeout || !f.Addr().Is4() {
		p.Skip("it was answered, or not tried")
		return nil
	}
	n := f.Attempt.Moved["TcpExt.IPReversePathFilter"]
	if n == 0 {
		p.OK("nothing was dropped by it")
		return nil
	}
	evidence := []diagnose.Evidence{{Source: "/proc/net/netstat", What: "TcpExt.IPReversePathFilter", Value: fmt.Sprintf("rose by %d during the attempt", n)}}
	all, err := p.Host.Sysctl(p.Ctx, "net.ipv4.conf.all.rp_filter")
	if err != nil {
		return err
	}
	culprit := sysctlCulprit(all)
	device := ""
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Name == f.Route.Device || l.Loopback {
			continue
		}
		s, err := p.Host.Sysctl(p.Ctx, host.DeviceKey("ipv4", l.Name, "rp_filter"))
		// The stricter of all and the device's own counts (ip-sysctl.rst).
		if err == nil && max(strings.TrimSpace(s.Value), strings.TrimSpace(all.Value)) == "1" {
			device, evidence = l.Name, append(evidence, sysctlEvidence(s))
			if strings.TrimSpace(s.Value) == "1" {
				culprit = sysctlCulprit(s)
			}
			break
		}
	}
	evidence = append(evidence, sysctlEvidence(all), routeEvidence(f))
	title := fmt.Sprintf("The answer from %s came in by another device than %s, and reverse path filtering dropped it.", f.Addr(), f.Route.Device)
	if device != "" {
		title = fmt.Sprintf("The answer from %s came in by %s though the way to it is %s, and strict reverse path filtering dropped it.", f.Addr(), device, f.Route.Device)
	}
	c := diagnose.Cause{Code: "rp-filter", Outcome: diagnose.Timeout, Culprit: culprit, Evidence: evidence, Title: title}
	if n > synTries {
		c.Doubt, c.Ceiling = "so many packets can't all be answers to this attempt", diagnose.Likely
	}
	if culprit.Key != "" {
		c.Fixes = []diagnose.Fix{loosen(culprit)}
	}
	p.Stop(c)
	return nil
}

func loosen(culprit *diagnose.Culprit) diagnose.Fix {
	return diagnose.Fix{Title: "accept answers by any device that knows the way (loose mode)", NeedsRoot: true, Risk: "medium", Opens: "packets with a routable source by any device", PredictedOutcome: diagnose.Connected,
		Commands: [][]string{{"sysctl", "-w", culprit.Key + "=2"}}, Undo: [][]string{{"sysctl", "-w", culprit.Key + "=" + strings.TrimSpace(culprit.Value)}}}
}
