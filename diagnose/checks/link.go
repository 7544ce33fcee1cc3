package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var link = &diagnose.Check{
	ID: "link", Doc: "whether the device that the packet leaves by is up and has a carrier",
	Codes: []string{"link-no-carrier", "link-down"},
	For:   diagnose.AskConnect,
	Run:   runLink,
}

func runLink(p *diagnose.Pass) error {
	f := p.Flow
	if f.Local || f.Route.Device == "" {
		p.Skip("the packet stays on this host")
		return nil
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return err
	}
	l := linkByName(links, f.Route.Device)
	if l == nil {
		p.OK("%s is not described", f.Route.Device)
		return nil
	}
	what := diagnose.Evidence{Source: "RTM_GETLINK", What: l.Name, Value: linkText(*l)}
	switch {
	case !l.Up:
		p.Stop(diagnose.Cause{Code: "link-down", Outcome: diagnose.NetUnreachable, Also: []diagnose.Outcome{diagnose.HostUnreachable, diagnose.Timeout},
			Culprit: &diagnose.Culprit{Kind: "link", Device: l.Name}, Evidence: []diagnose.Evidence{what},
			Title: fmt.Sprintf("%s, by which the packet would leave, is switched off (down).", l.Name)})
	case !l.Carrier:
		p.Stop(diagnose.Cause{Code: "link-no-carrier", Outcome: diagnose.HostUnreachable, Also: []diagnose.Outcome{diagnose.Timeout, diagnose.NetUnreachable},
			Culprit: &diagnose.Culprit{Kind: "link", Device: l.Name}, Evidence: []diagnose.Evidence{what},
			Title: fmt.Sprintf("%s has no carrier: %s.", l.Name, noCarrierWhy(*l))})
	default:
		p.OK("%s", linkText(*l))
	}
	return nil
}

func linkByName(links []host.Link, name string) *host.Link {
	for i := range links {
		if links[i].Name == name {
			return &links[i]
		}
	}
	return nil
}

func noCarrierWhy(l host.Link) string {
	switch l.Kind {
	case "":
		return "no cable, no radio or the switch port is off"
	case "veth":
		return "the other end of the veth pair is down"
	case "bridge":
		return "no port of the bridge is up"
	}
	return "what it runs over is down"
}

func linkText(l host.Link) string {
	s := l.Name
	if l.Kind != "" {
		s += " (" + l.Kind + ")"
	}
	if l.Up {
		s += " up"
	} else {
		s += " down"
	}
	if l.Up && !l.Carrier {
		s += " NO-CARRIER"
	}
	if l.MTU != 0 {
		s += fmt.Sprintf(" mtu %d", l.MTU)
	}
	return s
}
