package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var bindRange = &diagnose.Check{
	ID: "bind-range", Doc: "whether others may take the port first or get its connections, and which ports near by are free",
	Codes: []string{"port-in-ephemeral-range", "port-in-use"},
	For:   diagnose.AskBind, When: diagnose.Explain,
	Run: runBindRange,
}

func runBindRange(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() {
		p.Skip("no port")
		return nil
	}
	low, high, s, err := ephemeralRange(p)
	switch {
	case errors.Is(err, host.ErrUnsupported), errors.Is(err, fs.ErrPermission):
		low, high = 0, -1
	case err != nil:
		return err
	}
	reserved, rs := reservedPorts(p)
	port := f.Port()
	switch {
	case int(port) < low || int(port) > high:
		p.OK("%d is a %s port and not handed out to clients", port, portClass(port))
	case reserved.has(port):
		p.OK("%d is kept from clients by %s", port, rs.Key)
	default:
		p.OK("%d is a %s port", port, portClass(port))
		p.Note(diagnose.Finding{Code: "port-in-ephemeral-range", Culprit: sysctlCulprit(s), Evidence: []diagnose.Evidence{sysctlEvidence(s)},
			Title: fmt.Sprintf("the kernel hands out ports %d to %d to whoever connects, so a client may have %d before a server starts; net.ipv4.ip_local_reserved_ports keeps it free", low, high, port)})
	}
	shadowed(p)
	return offerPorts(p)
}

// shadowed warns of a container that has the port by NAT alone: the bind works,
// but connections from elsewhere are rewritten before they get here.
func shadowed(p *diagnose.Pass) {
	if p.Flow.Blocked() {
		return
	}
	containers, err := p.Host.Containers(p.Ctx)
	if err != nil {
		return
	}
	i := slices.IndexFunc(containers.List, func(c host.Container) bool {
		return c.State == "running" && c.NetNS != p.Info.NetNS && publishes(c, p.Flow.Network, p.Flow.Destination)
	})
	if i < 0 {
		return
	}
	c := containers.List[i]
	p.Warn(diagnose.Finding{Code: "port-in-use", Culprit: &diagnose.Culprit{Kind: "container", Name: c.Name, Container: c.ID, Unit: c.Service, File: c.ComposeFile},
		Evidence: []diagnose.Evidence{{Source: c.Engine, What: "container " + c.Name, Value: fmt.Sprintf("%s, publishes %s", c.Image, mappings(c.Ports))}},
		Title:    fmt.Sprintf("the container %q publishes port %d without a socket: connections from outside go to it, not to a server here", c.Name, p.Flow.Port())})
}
