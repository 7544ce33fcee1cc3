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
