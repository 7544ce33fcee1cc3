package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// followAway follows a flow that NAT leads to another host: to a container's
// namespace here, as far as that can be entered.
func followAway(p *diagnose.Pass) error {
	f := p.Flow
	to := f.Firewall.Destination
	found := false
	var failed error
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		addresses, err := h.Addresses(p.Ctx)
		if err != nil || ownAddress(addresses, to.Addr()) == nil {
			return true
		}
		found = true
		failed = arriveIn(p, ns, h)
		return false
	})
	if found {
		return failed
	}
	if c := noReturn(p, target{at: to, name: to.String()}); c != nil {
		p.Stop(*c)
		return nil
	}
	p.Skip("NAT leads it to %s, which is no address of this host or of a namespace that can be entered", to)
	return nil
}

// arriveIn sees what becomes of the flow in the namespace that has its address.
func arriveIn(p *diagnose.Pass, ns host.Namespace, h host.Host) error {
	f := p.Flow
	to := f.Firewall.Destination
	name := fmt.Sprintf("%s in %s", to, namespaceName(ns))
	socks, err := h.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: to.Port(), States: listening(f.Network)})
	if err != nil {
		return err
	}
	if best := lookup(socks, to.Addr(), ""); best != nil {
		if c := noReturn(p, target{at: to, name: name, seen: h}); c != nil {
			p.Stop(*c)
			return nil
		}
		c, who := socketCulprit(p, *best)
		p.Serve(c)
		// What rules there would do is not asked.
		fw, err := h.Firewall(p.Ctx)
		f.Firewall.Served = err == nil && len(fw.Limits) == 0 && len(fw.Rules.Tables) == 0
		p.OK("NAT leads it to %s, where %s listens on %s", name, who, socketAddress(*best))
		return nil
	}
	c := deadTarget(f)
	c.Title = fmt.Sprintf("%s leads %s to %s, where nothing listens.", ruleWords(f.Firewall.By), f, name)
	c.Evidence = append(c.Evidence, diagnose.Evidence{Source: nsSource(ns), What: "network namespace", Value: fmt.Sprint(ns.Inode)})
	for _, s := range socks {
		_, who := socketCulprit(p, s)
		c.Evidence = append(c.Evidence, socketEvidence(s))
		c.Title = fmt.Sprintf("%s leads %s to %s, where %s listens on %s only.", ruleWords(f.Firewall.By), f, name, who, socketAddress(s))
	}
	shadowedTarget(p, &c)
	p.Stop(c)
	return nil
}

// lookAgain takes the flow's first packet through this host's rules; nil if they or the
// packet are not known.
func lookAgain(p *diagnose.Pass) (*firewall.Tracer, *firewall.Look) {
	fw, err := p.Host.Firewall(p.Ctx)
	packet, ok := packetOf(p)
	if err != nil || len(fw.Limits) > 0 || !ok {
		return nil, nil
	}
	tracer := firewall.NewTracer(fw.Rules, firewall.Facts(p.Ctx, p.Host), firewall.Printer(p.Ctx, p.Host), "")
	look, err := tracer.LookFrom(packet, clientPorts(p))
	if err != nil {
		return nil, nil
	}
	return tracer, look
}
