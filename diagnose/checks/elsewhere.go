package checks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// published finds a container that serves the port inside and does not publish it.
func published(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	containers, err := p.Host.Containers(p.Ctx)
	if err != nil {
		return nil // no engine here
	}
	for _, l := range containers.Limits {
		p.Limit(l)
	}
	for _, c := range containers.List {
		if c.State != "running" || c.Mode == "host" {
			continue
		}
		out := false
		for _, m := range c.Ports {
			if m.Network == f.Network && m.Host.Port() == f.Port() {
				out = true
			}
		}
		inside := slices.ContainsFunc(c.Exposed, func(m host.PortMapping) bool { return m.Network == f.Network && m.Container == f.Port() }) ||
			slices.ContainsFunc(c.Ports, func(m host.PortMapping) bool { return m.Network == f.Network && m.Container == f.Port() })
		if out && c.Internal {
			return internalOnly(f, c)
		}
		if other := publishedFor(c, f); !out && other != "" {
			return &diagnose.Cause{Code: "port-not-published", Culprit: &diagnose.Culprit{Kind: "container", Name: c.Name, Container: c.ID, Unit: c.Service, File: c.ComposeFile},
				Evidence: []diagnose.Evidence{{Source: c.Engine, What: "container " + c.Name, Value: fmt.Sprintf("%s, publishes %s", c.Image, mappings(c.Ports))}},
				Title:    fmt.Sprintf("The container %q publishes port %d for %s, not for %s.", c.Name, f.Port(), strings.ToUpper(other), strings.ToUpper(f.Network))}
		}
		listens := listensInside(p, c, f.Network, f.Port())
		if out || !inside && listens == nil {
			continue
		}
		culprit := &diagnose.Culprit{Kind: "container", Name: c.Name, Container: c.ID, Unit: c.Service, File: c.ComposeFile}
		cause := &diagnose.Cause{Code: "port-not-published", Culprit: culprit,
			Evidence: []diagnose.Evidence{{Source: c.Engine, What: "container " + c.Name, Value: fmt.Sprintf("%s, publishes %s", c.Image, mappings(c.Ports))}}}
		if listens != nil {
			cause.Evidence = append(cause.Evidence, socketEvidence(*listens))
		}
		cause.Title = fmt.Sprintf("Port %d is inside the container %q only: it is not published to this host.", f.Port(), c.Name)
		for _, m := range c.Ports {
			if m.Container == f.Port() && m.Network == f.Network && m.Host.IsValid() {
				cause.Title = fmt.Sprintf("Port %d of the container %q is published as %s, not as %d.", f.Port(), c.Name, m.Host, f.Port())
			}
		}
		return cause
	}
	return nil
}

// publishedFor is the other protocol for which a container publishes the flow's
// port; empty if it doesn't.
func publishedFor(c host.Container, f *diagnose.Flow) string {
	for _, m := range c.Ports {
		if m.Network != f.Network && m.Host.Port() == f.Port() {
			return m.Network
		}
	}
	return ""
}

// internalOnly: Docker publishes nothing for a container that has no network but
// internal ones, whatever was asked for.
func internalOnly(f *diagnose.Flow, c host.Container) *diagnose.Cause {
	cause := &diagnose.Cause{Code: "port-not-published", Culprit: &diagnose.Culprit{Kind: "container", Name: c.Name, Container: c.ID, Unit: c.Service, File: c.ComposeFile},
		Evidence: []diagnose.Evidence{{Source: c.Engine, What: "networks of " + c.Name, Value: strings.Join(c.Networks, ", ") + ": internal"},
			{Source: c.Engine, What: "container " + c.Name, Value: fmt.Sprintf("%s, is to publish %s", c.Image, mappings(c.Ports))}},
		Title: fmt.Sprintf("Port %d of the container %q is to be published, but it is in internal networks only (%s): nothing is published from those.", f.Port(), c.Name, strings.Join(c.Networks, ", "))}
	if argument(c.Name) {
		cause.Fixes = []diagnose.Fix{{Title: "put it into a network that has a way out as well", NeedsRoot: true, Persistent: true, Risk: "medium", PredictedOutcome: diagnose.Connected,
			Opens:    "the published ports of the container, and the way out for it",
			Commands: [][]string{{c.Engine, "network", "connect", "bridge", c.Name}}, Undo: [][]string{{c.Engine, "network", "disconnect", "bridge", c.Name}}}}
	}
	return cause
}

// stoppedContainer finds a container that publishes the port and doesn't run.
func stoppedContainer(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	containers, err := p.Host.Containers(p.Ctx)
	if err != nil {
		return nil // no engine here
	}
	for _, c := range containers.List {
		if c.State == "running" || c.State == "paused" || !publishes(c, f.Network, f.Destination) {
			continue
		}
		state := c.State
		if c.State == "exited" {
			state = fmt.Sprintf("exited with status %d", c.Exit)
		}
		if c.OOMKilled {
			state += ", killed for want of memory"
		}
		cause := &diagnose.Cause{Code: "no-listener", Culprit: &diagnose.Culprit{Kind: "container", Name: c.Name, Container: c.ID, Unit: c.Service, File: c.ComposeFile, Value: c.State},
			Evidence: []diagnose.Evidence{{Source: c.Engine, What: "container " + c.Name, Value: fmt.Sprintf("%s, %s, publishes %s", c.Image, state, mappings(c.Ports))}},
			Title:    fmt.Sprintf("Nothing listens on port %d: the container %q publishes it, and doesn't run (%s).", f.Port(), c.Name, state)}
		if argument(c.Name) {
			cause.Fixes = []diagnose.Fix{{Title: "start the container", NeedsRoot: true, Opens: "the ports that it publishes", PredictedOutcome: diagnose.Connected,
				Commands: [][]string{{c.Engine, "start", c.Name}}, Undo: [][]string{{c.Engine, "stop", c.Name}}}}
		}
		return cause
	}
	return nil
}

func mappings(ports []host.PortMapping) string {
	if len(ports) == 0 {
		return "nothing"
	}
	var s []string
	for _, m := range ports {
		s = append(s, fmt.Sprintf("%s->%d/%s", m.Host, m.Container, m.Network))
	}
	return strings.Join(s, ", ")
}

// listensInside finds the listener within a container's namespace.
func listensInside(p *diagnose.Pass, c host.Container, network string, port uint16) *host.Socket {
	if c.NetNS == 0 {
		return nil
	}
	var found *host.Socket
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		if ns.Inode != c.NetNS {
			return true
		}
		socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: network, Port: port, States: listening(network)})
		if err == nil && len(socks) > 0 {
			found = &socks[0]
		}
		return false
	})
	return found
}

// otherNamespace finds the port in another network namespace.
func otherNamespace(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	var cause *diagnose.Cause
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: f.Port(), States: listening(f.Network)})
		if err != nil || len(socks) == 0 {
			return true
		}
		culprit, who := socketCulprit(p, socks[0])
		culprit.NetNS = ns.Inode
		cause = &diagnose.Cause{Code: "listener-other-netns", Culprit: culprit,
			Evidence: []diagnose.Evidence{socketEvidence(socks[0]), {Source: nsSource(ns), What: "network namespace", Value: fmt.Sprint(ns.Inode)}},
			Title:    fmt.Sprintf("Nothing listens on %s port %d here; %s listens on %s in %s.", strings.ToUpper(f.Network), f.Port(), who, socketAddress(socks[0]), namespaceName(ns))}
		return false
	})
	return cause
}

func nsSource(ns host.Namespace) string {
	if ns.Path != "" {
		return ns.Path
	}
	return fmt.Sprintf("/proc/%d/ns/net", ns.PID)
}
