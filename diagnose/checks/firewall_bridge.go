package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// firewallBridge looks at the bridge of another namespace, over which the packet
// goes to the next one: as between two containers.
var firewallBridge = &diagnose.Check{
	ID: "bridge", Doc: "what rules do with the packet on its way over a bridge from this namespace to another",
	Codes: []string{"firewall-bridge"}, For: diagnose.AskConnect, When: diagnose.Explain,
	Run: runFirewallBridge,
}

// crossing is a bridge between two namespaces, with the ports that lead there.
type crossing struct {
	host     host.Host // that has the bridge
	ns       host.Namespace
	bridge   string
	from, to firewall.End
}

func runFirewallBridge(p *diagnose.Pass) error {
	f := p.Flow
	failed := f.Observed == nil || !f.Observed.Outcome.Good() && (f.Observed.Outcome != diagnose.Unknown || f.Network == "udp")
	if f.From.IsValid() || f.Local || f.Route.Device == "" || f.Route.Gateway.IsValid() || f.Blocked() || !failed || !f.Source.IsValid() {
		p.Skip("no bridge, or it works")
		return nil
	}
	over, err := bridgeTo(p)
	if err != nil {
		return err
	}
	if over == nil {
		p.Skip("no bridge that is seen leads there")
		return nil
	}
	fw, err := over.host.Firewall(p.Ctx)
	switch {
	case err != nil:
		return err
	case len(fw.Limits) > 0:
		p.Unknown(fw.Limits[0])
		return nil
	case len(fw.Rules.Tables) == 0:
		p.OK("there are no rules on the way over %s", over.bridge)
		return nil
	}
	tracer := firewall.NewTracer(fw.Rules, firewall.Facts(p.Ctx, over.host), firewall.Printer(p.Ctx, over.host), "")
	resolve := func(t *firewall.Tracer) firewall.Resolution {
		return t.AskedAcross(over.bridge, over.from, over.to, f.Source, f.Addr())
	}
	if t := resolve(tracer).Stopped(); t != nil {
		c := over.cause(t, map[bool]string{true: "ARP", false: "neighbour discovery"}[f.Addr().Is4()])
		c.Outcome, c.Also = diagnose.HostUnreachable, []diagnose.Outcome{diagnose.Timeout}
		c.Fixes = over.run(resolving(tracer, resolve))
		p.Stop(c)
		return nil
	}
	packet := firewall.Packet{Proto: f.Network, Src: f.Source.WithZone("").String(), Dst: netip.AddrPortFrom(f.Addr().WithZone(""), f.Port()).String()}.Across(over.bridge, over.from, over.to)
	look, err := tracer.LookFrom(packet, clientPorts(p))
	if err != nil {
		return err
	}
	t := stoppedAgain(look)
	if t == nil {
		if !passes(look) {
			why := fmt.Sprintf("what the rules in %s do with what goes over bridge %s", namespaceName(over.ns), over.bridge)
			f.Firewall = &diagnose.Filtered{Unknown: why}
			p.Unknown(host.Limit{What: why, Why: "it can't be told", Needs: "a look at the rules there: portwhy rules"})
			return nil
		}
		p.OK("the rules let it pass over %s", over.bridge)
		return nil
	}
	c := over.cause(t, "the "+packetWord(t))
	if t == look.Back {
		c.Outcome = diagnose.Timeout
	}
	ownerOf(p, fw.Rules, c.Culprit, stoppedFlow(f, t))
	fixes, _ := openings(f, tracer, look.There.Asked, t)
	c.Fixes = over.run(fixes)
	if t.DecidedBy.Family != "bridge" && t.DecidedBy.Family != "netdev" {
		over.handedUp(p, &c, tracer, look.There.Asked)
	}
	p.Stop(c)
	return nil
}

// cause is the culprit's, with how it is told.
func (o *crossing) cause(t *firewall.Trace, what string) diagnose.Cause {
	c := stoppedBy(t)
	c.Code = "firewall-bridge"
	c.Culprit.NetNS = o.ns.Inode
	does := map[string]string{"drop": "drops", "reject": "rejects"}[t.Verdict]
	c.Title = fmt.Sprintf("The firewall in %s %s %s on its way over bridge %s: %s (%s).", namespaceName(o.ns), does, what, o.bridge, firewall.Quoted(t.DecidedBy.Text), t.DecidedBy.Where())
	return c
}

// handedUp says by which setting the bridge hands IP packets to rules of IP, and
// proposes to end that.
func (o *crossing) handedUp(p *diagnose.Pass, c *diagnose.Cause, tracer *firewall.Tracer, packet firewall.Packet) {
	key := map[bool]string{true: "net.bridge.bridge-nf-call-iptables", false: "net.bridge.bridge-nf-call-ip6tables"}[p.Flow.Addr().Is4()]
	s, err := o.host.Sysctl(p.Ctx, key)
	if err != nil || strings.TrimSpace(s.Value) == "0" {
		return // the bridge's own setting does it
	}
	c.Evidence = append(c.Evidence, sysctlEvidence(s))
	c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; the bridge hands what it carries to these rules (%s = %s).", key, strings.TrimSpace(s.Value))
	look, err := tracer.Set(host.SysctlKey(key), "0").Look(packet)
	if err != nil {
		return
	}
	c.Fixes = append(c.Fixes, o.run([]diagnose.Fix{{Title: "keep the rules from what is bridged", NeedsRoot: true, Check: "simulated", Risk: "medium", PredictedOutcome: predicted(look),
		Opens:    "all that is bridged there, as far as rules of iptables stop it",
		Commands: [][]string{{"sysctl", "-w", key + "=0"}}, Undo: [][]string{{"sysctl", "-w", key + "=" + strings.TrimSpace(s.Value)}}}})...)
}

// run has a fix's commands run where the bridge is.
func (o *crossing) run(fixes []diagnose.Fix) []diagnose.Fix {
	if o.ns.Host || o.ns.Current || o.ns.Path == "" {
		return fixes
	}
	there := func(commands [][]string) [][]string {
		list := make([][]string, len(commands))
		for i, c := range commands {
			list[i] = slices.Concat([]string{"nsenter", "--net=" + o.ns.Path}, c)
		}
		return list
	}
	for i := range fixes {
		fixes[i].Commands, fixes[i].Undo = there(fixes[i].Commands), there(fixes[i].Undo)
	}
	return fixes
}

// bridgeTo finds the bridge by which this namespace's device and the one that has
// the destination are linked; nil if there is none that is seen.
func bridgeTo(p *diagnose.Pass) (*crossing, error) {
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return nil, err
	}
	ours := linkByName(links, p.Flow.Route.Device)
	if ours == nil || ours.Kind != "veth" || ours.PeerNetNS == 0 {
		return nil, nil
	}
	over, far := &crossing{}, (*host.Link)(nil)
	inNamespaces(p, func(ns host.Namespace, h host.Host) bool {
		if ns.Inode == ours.PeerNetNS {
			over.host, over.ns = h, ns
		}
		if far == nil {
			far = deviceOf(p, h, p.Flow.Addr())
		}
		return over.host == nil || far == nil
	})
	if over.host == nil || far == nil || far.Kind != "veth" || far.PeerNetNS != over.ns.Inode {
		return nil, nil
	}
	there, err := over.host.Links(p.Ctx)
	if err != nil {
		return nil, err
	}
	from, to := linkByIndex(there, ours.Parent), linkByIndex(there, far.Parent)
	if from == nil || to == nil || from.Master == 0 || from.Master != to.Master {
		return nil, nil
	}
	bridge := linkByIndex(there, from.Master)
	if bridge == nil || bridge.Kind != "bridge" {
		return nil, nil
	}
	over.bridge, over.from, over.to = bridge.Name, firewall.End{Port: from.Name, MAC: ours.MAC}, firewall.End{Port: to.Name, MAC: far.MAC}
	return over, nil
}

// deviceOf is a namespace's device that has an address, nil if none has.
func deviceOf(p *diagnose.Pass, h host.Host, a netip.Addr) *host.Link {
	addresses, err := h.Addresses(p.Ctx)
	if err != nil {
		return nil
	}
	own := ownAddress(addresses, a)
	if own == nil {
		return nil
	}
	links, err := h.Links(p.Ctx)
	if err != nil {
		return nil
	}
	return linkByName(links, own.Device)
}

func linkByIndex(links []host.Link, index int) *host.Link {
	for i := range links {
		if links[i].Index == index {
			return &links[i]
		}
	}
	return nil
}
