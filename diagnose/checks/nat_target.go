package checks

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// followAway follows a flow that NAT leads to another host: to a container's
// namespace here, as far as that can be entered.
func followAway(p *diagnose.Pass) error {
	f := p.Flow
	to := f.Firewall.Destination
	if ns, h := namespaceWith(p, to.Addr()); h != nil {
		return arriveIn(p, ns, h)
	}
	if c := noReturn(p, target{at: to, name: to.String()}); c != nil {
		p.Stop(*c)
		return nil
	}
	p.Skip("NAT leads it to %s, which is no address of this host or of a namespace that can be entered", to)
	return nil
}

// namespaceWith is the namespace that has an address, seen from within; nil if none
// that can be entered has it.
func namespaceWith(p *diagnose.Pass, a netip.Addr) (in host.Namespace, seen host.Host) {
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		addresses, err := h.Addresses(p.Ctx)
		if err == nil && ownAddress(addresses, a) != nil {
			in, seen = ns, h
		}
		return seen == nil
	})
	return in, seen
}

// placeName names a namespace as people know it: by its container, if it is one's.
func placeName(p *diagnose.Pass, ns host.Namespace) string {
	if name := containerName(p, ns.Container); name != "" {
		return fmt.Sprintf("container %q", name)
	}
	return namespaceName(ns)
}

// refusedInside is the cause of a refusal by an address that a namespace of this
// host has, such as a container's, where nothing takes what comes to the port.
func refusedInside(p *diagnose.Pass) *diagnose.Cause {
	f := p.Flow
	ns, h := namespaceWith(p, f.Addr())
	if h == nil {
		return nil
	}
	socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: f.Port(), States: listening(f.Network)})
	if err != nil || lookup(socks, f.Addr(), "") != nil {
		return nil
	}
	c := &diagnose.Cause{Code: "no-listener", Outcome: diagnose.Refused, Culprit: &diagnose.Culprit{Kind: "address", Address: f.Addr().String(), Container: containerName(p, ns.Container)}}
	if len(socks) > 0 {
		c.Code = "listener-other-address"
	}
	words, evidence := instead(p, h, f.Network, f.Destination)
	c.Evidence = append(evidence, diagnose.Evidence{Source: "RTM_GETADDR", What: placeName(p, ns), Value: f.Addr().String()})
	c.Title = fmt.Sprintf("%s is in %s, %s.", f.Addr(), placeName(p, ns), words)
	return c
}

// mostInstead is how many listeners are named in place of the one that is missing.
const mostInstead = 3

// instead says what listens in a namespace where nothing takes what comes to an
// address and port: there on loopback, or on other ports.
func instead(p *diagnose.Pass, h host.Host, network string, to netip.AddrPort) (words string, evidence []diagnose.Evidence) {
	socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: network, States: listening(network)})
	if err != nil {
		return "where nothing listens", nil
	}
	var others []string
	for _, s := range socks {
		if s.Local.Port() == to.Port() {
			_, who := socketCulprit(p, s)
			return fmt.Sprintf("where %s listens on %s only", who, socketAddress(s)), []diagnose.Evidence{socketEvidence(s)}
		}
		if s.Local.Addr().IsLoopback() || len(others) == mostInstead {
			continue
		}
		_, who := socketCulprit(p, s)
		others = append(others, who+" on "+socketAddress(s))
		evidence = append(evidence, socketEvidence(s))
	}
	if len(others) == 0 {
		return "where nothing listens", nil
	}
	return "where nothing listens on that port, but " + strings.Join(others, ", "), evidence
}

// arriveIn sees what becomes of the flow in the namespace that has its address.
func arriveIn(p *diagnose.Pass, ns host.Namespace, h host.Host) error {
	f := p.Flow
	to := f.Reached()
	name := fmt.Sprintf("%s in %s", to, placeName(p, ns))
	socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: to.Port(), States: listening(f.Network)})
	if err != nil {
		return err
	}
	if best := lookup(socks, to.Addr(), ""); best != nil {
		at := target{at: to, name: name, seen: h}
		c := noReturn(p, at)
		if f.Firewall == nil || f.Firewall.By == nil {
			c = noWayBack(p, at)
		}
		if c != nil {
			p.Stop(*c)
			return nil
		}
		before := len(p.Stopped())
		served := inside(p, ns, h, to)
		if len(p.Stopped()) > before {
			return nil
		}
		if f.Firewall != nil {
			f.Firewall.Served = served
		}
		culprit, who := socketCulprit(p, *best)
		p.Serve(culprit)
		p.OK("it gets to %s, where %s listens on %s", name, who, socketAddress(*best))
		return nil
	}
	words, evidence := instead(p, h, f.Network, to)
	evidence = append([]diagnose.Evidence{{Source: nsSource(ns), What: "network namespace", Value: fmt.Sprint(ns.Inode)}}, evidence...)
	if f.Firewall == nil || f.Firewall.By == nil {
		c := nobodyThere(name, words)
		c.Evidence = evidence
		p.Stop(c)
		return nil
	}
	c := deadTarget(f)
	c.Title = fmt.Sprintf("%s leads %s to %s, %s.", ruleWords(f.Firewall.By), f, name, words)
	c.Evidence = append(c.Evidence, evidence...)
	shadowedTarget(p, &c)
	p.Stop(c)
	return nil
}

// lookAgain takes the flow's first packet through this host's rules; nil if there are
// none, or if they or the packet are not known.
func lookAgain(p *diagnose.Pass) (*firewall.Tracer, *firewall.Look) {
	fw, err := p.Host.Firewall(p.Ctx)
	packet, ok := packetOf(p)
	if err != nil || len(fw.Limits) > 0 || len(fw.Rules.Tables) == 0 || !ok {
		return nil, nil
	}
	tracer := tracerOf(p, fw.Rules)
	look, err := lookOf(p, tracer, packet)
	if err != nil {
		return nil, nil
	}
	return tracer, look
}
