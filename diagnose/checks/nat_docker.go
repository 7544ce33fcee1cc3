package checks

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// docker is the Docker daemon that writes its rules into this namespace's iptables;
// nil if none is known to.
func docker(p *diagnose.Pass) *host.Process {
	list, err := p.Host.Processes(p.Ctx)
	if err != nil {
		return nil
	}
	at := slices.IndexFunc(list, func(x host.Process) bool { return x.Name == "dockerd" })
	if at < 0 {
		return nil
	}
	daemon, err := p.Host.Process(p.Ctx, list[at].PID)
	if err != nil || daemon.NetNS != p.Info.NetNS || p.Info.NetNS == 0 || withoutRules(p, daemon) {
		return nil
	}
	return &daemon
}

// withoutRules reports whether the daemon was told to leave the firewall alone, or
// to write rules of another kind (or may have been).
func withoutRules(p *diagnose.Pass, daemon host.Process) bool {
	for _, arg := range daemon.Args {
		name, value, set := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if name == "iptables" && set && value != "true" || name == "firewall-backend" || name == "config-file" {
			return true
		}
	}
	files, err := p.Host.FirewallFiles(p.Ctx)
	rulesOff := regexp.MustCompile(`"iptables"\s*:\s*false`)
	return err != nil || slices.ContainsFunc(files.List, func(f host.File) bool {
		return f.Path == "/etc/docker/daemon.json" && (rulesOff.MatchString(f.Text) || strings.Contains(f.Text, "firewall-backend"))
	})
}

// publisherOf is the running container of Docker that publishes the flow's port at
// its address, over IPv4, for which Docker always writes rules.
func publisherOf(p *diagnose.Pass) *host.Container {
	f := p.Flow
	list, err := p.Host.Containers(p.Ctx)
	if err != nil || !f.Addr().Unmap().Is4() {
		return nil
	}
	for i, c := range list.List {
		if c.Engine == "docker" && c.State == "running" && len(c.Address) > 0 && publishes(c, f.Network, f.Destination) {
			return &list.List[i]
		}
	}
	return nil
}

// chainsMissing is the cause, without its outcome, of a port that a container
// publishes and for which Docker's rules are gone; nil if they are there, or if
// that can't be told. what says in which way.
func chainsMissing(p *diagnose.Pass, c *host.Container, what string, evidence diagnose.Evidence) *diagnose.Cause {
	daemon := docker(p)
	if c == nil || daemon == nil {
		return nil
	}
	culprit := &diagnose.Culprit{Kind: "container", Name: c.Name, Container: c.ID, Unit: c.Service, File: c.ComposeFile}
	cause := &diagnose.Cause{Code: "docker-chains-missing", Culprit: culprit,
		Evidence: []diagnose.Evidence{evidence, processEvidence(*daemon),
			{Source: c.Engine, What: "container " + c.Name, Value: fmt.Sprintf("%s, publishes %s", c.Image, mappings(c.Ports))}},
		Title: fmt.Sprintf("Docker runs, and the container %q publishes port %d, but Docker's rules are gone: %s. Whatever flushed or reloaded the firewall took them away.", c.Name, p.Flow.Port(), what)}
	if daemon.Unit != "" {
		cause.Fixes = []diagnose.Fix{{Title: "restart Docker, which writes its rules anew; without live-restore its containers stop, and those with a restart policy start again", NeedsRoot: true,
			Risk: "medium", Opens: "the ports that containers publish", PredictedOutcome: diagnose.Connected, Commands: [][]string{{"systemctl", "restart", daemon.Unit}}}}
	}
	return cause
}

// forwardForgotten: the policy of FORWARD drops what goes to a container, because
// no rule leads to Docker's chains any more.
func forwardForgotten(p *diagnose.Pass, set *rules.Ruleset, t *firewall.Trace, c *diagnose.Cause) {
	d := t.DecidedBy
	if !d.Policy || d.Hook != rules.Forward || d.Backend == rules.NFT || jumps(set, d.Rule, "DOCKER") {
		return
	}
	gone := chainsMissing(p, publisherOf(p), "nothing of "+chainWords(t)+" leads to its chains, and the policy drops",
		diagnose.Evidence{Source: tool(d.Backend), What: "rules of " + d.Where() + " that lead to DOCKER", Value: "none"})
	if gone == nil {
		return
	}
	c.Code, c.Title = gone.Code, gone.Title
	c.Evidence = append(gone.Evidence, c.Evidence...)
	c.Fixes = append(gone.Fixes, c.Fixes...)
}

// jumps reports whether a rule of a chain leads to one whose name begins so.
func jumps(set *rules.Ruleset, at firewall.Rule, prefix string) bool {
	for _, t := range set.Tables {
		if t.Backend != at.Backend || t.Family.String() != at.Family || t.Name != at.Table {
			continue
		}
		c := t.Chain(at.Chain)
		if c != nil && slices.ContainsFunc(c.Rules, func(r *rules.Rule) bool {
			return slices.ContainsFunc(r.Exprs.All(), func(e rules.Expr) bool {
				i, ok := e.(*rules.Immediate)
				return ok && i.Verdict != nil && strings.HasPrefix(i.Verdict.Chain, prefix)
			})
		}) {
			return true
		}
	}
	return false
}

// natForgotten is the cause, without its outcome, of a port that a container
// publishes to all and that NAT leads nowhere for anybody outside; nil if it does,
// or if that can't be told.
func natForgotten(p *diagnose.Pass) *diagnose.Cause {
	c := publisherOf(p)
	if c == nil || p.Flow.Firewall == nil || p.Flow.Firewall.Unknown != "" {
		return nil
	}
	to := ""
	for _, m := range c.Ports {
		if m.Network == p.Flow.Network && m.Host.Port() == p.Flow.Port() && m.Host.Addr().IsUnspecified() {
			to = fmt.Sprintf("port %d of %s", m.Container, c.Address[0])
		}
	}
	look := askedOutside(p)
	if to == "" || look == nil || look.There.Verdict == "unknown" {
		return nil
	}
	if _, changed := look.There.Rewritten(); changed {
		return nil
	}
	return chainsMissing(p, c, "no NAT rule leads to "+to, diagnose.Evidence{Source: "the firewall's rules", What: fmt.Sprintf("NAT of %s for %s", look.There.Asked.Dst, look.There.Asked.Src), Value: "none"})
}

// askedOutside is what the rules make of the flow's port when a neighbour of this
// host asks for it; nil if there is no network but those of containers.
func askedOutside(p *diagnose.Pass) *firewall.Look {
	addresses, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return nil
	}
	containers, err := p.Host.Containers(p.Ctx)
	if err != nil {
		return nil
	}
	inside := func(n netip.Prefix) bool {
		return slices.ContainsFunc(containers.List, func(c host.Container) bool { return slices.ContainsFunc(c.Address, n.Contains) })
	}
	fw, err := p.Host.Firewall(p.Ctx)
	if err != nil || len(fw.Limits) > 0 {
		return nil
	}
	for _, a := range addresses {
		own := a.Prefix.Addr()
		if !own.Is4() || own.IsLoopback() || own.IsLinkLocalUnicast() || inside(a.Prefix) || a.Device == "docker0" || strings.HasPrefix(a.Device, "br-") {
			continue
		}
		neighbour := a.Prefix.Masked().Addr().Next()
		if neighbour == own {
			neighbour = neighbour.Next()
		}
		tracer := tracerOf(p, fw.Rules)
		look, err := tracer.LookFrom(firewall.Packet{Proto: p.Flow.Network, Src: neighbour.String(), Dst: netip.AddrPortFrom(own, p.Flow.Port()).String(), IIF: a.Device, Way: "in"}, clientPorts(p))
		if err != nil {
			return nil
		}
		return look
	}
	return nil
}

// dockerAlone: without Docker's rules docker-proxy serves the port alone, and
// dockerd, which only keeps it from others if the proxy is off, serves nobody. It
// reports whether that ends the flow.
func dockerAlone(p *diagnose.Pass, proc host.Process, c diagnose.Cause) bool {
	if proc.Name == "docker-proxy" {
		p.Warn(diagnose.Finding{Code: c.Code, Culprit: c.Culprit, Evidence: c.Evidence, Title: strings.TrimSuffix(c.Title, ".") + "; docker-proxy serves the port alone"})
		return false
	}
	c.After, c.Outcome = true, diagnose.Connected
	c.Title += " The daemon itself holds the port and serves nobody."
	p.Stop(c)
	return true
}
