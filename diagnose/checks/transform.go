package checks

import (
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var transform = &diagnose.Check{
	ID: "transform", Doc: "whether an IPsec (xfrm) policy blocks the packet or demands what can't be had",
	Codes: []string{"xfrm-block"},
	For:   diagnose.AskConnect,
	Run:   runTransform,
}

func runTransform(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || f.From.IsValid() {
		p.Skip("no packet")
		return nil
	}
	policies, err := p.Host.Transforms(p.Ctx)
	if err != nil {
		return err
	}
	var best *host.Transform
	for i, t := range policies {
		if t.Direction == "out" && selects(t, f) && (best == nil || t.Priority < best.Priority) {
			best = &policies[i]
		}
	}
	switch {
	case best == nil:
		p.OK("no policy")
	case best.Action == "block":
		p.Stop(diagnose.Cause{Code: "xfrm-block", Outcome: diagnose.Denied, Also: []diagnose.Outcome{diagnose.Timeout, diagnose.NetUnreachable}, Counter: "Xfrm.OutPolBlock",
			Culprit:  &diagnose.Culprit{Kind: "kernel", Name: "xfrm policy", Text: transformText(*best), Key: fmt.Sprint(best.Index)},
			Evidence: []diagnose.Evidence{{Source: "XFRM_MSG_GETPOLICY", What: "policy", Value: transformText(*best)}},
			Title:    fmt.Sprintf("An IPsec policy blocks it: %s.", transformText(*best)),
			Fixes: []diagnose.Fix{{Title: "delete the policy", NeedsRoot: true, Risk: "high", Opens: "what the policy selects, in the clear",
				Commands: [][]string{{"ip", "xfrm", "policy", "delete", "dir", "out", "src", best.Source.String(), "dst", best.Destination.String()}},
				Undo:     [][]string{{"ip", "xfrm", "policy", "add", "dir", "out", "src", best.Source.String(), "dst", best.Destination.String(), "action", "block"}}}}})
	case best.Templates > 0 && !best.StateFound:
		p.Stop(diagnose.Cause{Code: "xfrm-block", Outcome: diagnose.Timeout, Also: []diagnose.Outcome{diagnose.Denied, diagnose.NetUnreachable, diagnose.Unknown},
			Culprit:  &diagnose.Culprit{Kind: "kernel", Name: "xfrm policy", Text: transformText(*best), Key: fmt.Sprint(best.Index)},
			Evidence: []diagnose.Evidence{{Source: "XFRM_MSG_GETPOLICY", What: "policy", Value: transformText(*best)}, {Source: "XFRM_MSG_GETSA", What: "states", Value: "none for it"}},
			Title:    fmt.Sprintf("An IPsec policy demands encryption, but no key was negotiated: %s.", transformText(*best))})
	default:
		p.OK("%s", transformText(*best))
	}
	return nil
}

// selects reports whether the policy's selector covers the flow (xfrm_selector_match).
func selects(t host.Transform, f *diagnose.Flow) bool {
	in := func(pre netip.Prefix, a netip.Addr) bool {
		return !pre.IsValid() || pre.Contains(a) || pre.Bits() == 0 && pre.Addr().Is4() == a.Is4()
	}
	if !in(t.Destination, f.Addr().WithZone("")) || f.Source.IsValid() && !in(t.Source, f.Source) {
		return false
	}
	if t.Destination.IsValid() && t.Destination.Addr().Is4() != f.Addr().Is4() {
		return false
	}
	if t.Protocol != 0 && t.Protocol != protocolNumber[f.Network] {
		return false
	}
	return (t.DestinationPort == 0 || t.DestinationPort == f.Port()) && t.SourcePort == 0
}

func transformText(t host.Transform) string {
	s := fmt.Sprintf("src %s dst %s dir %s action %s", t.Source, t.Destination, t.Direction, t.Action)
	if t.Priority != 0 {
		s += fmt.Sprintf(" priority %d", t.Priority)
	}
	return s
}

// protocolNumber is what IP calls the transports (RFC 790 and successors).
var protocolNumber = map[string]int{"tcp": 6, "udp": 17}
