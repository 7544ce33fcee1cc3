package owner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// containerOf is the one container whose address the rule has; nil if there is
// none, or several.
func (f *Facts) containerOf(p *place, containers []host.Container) *host.Container {
	if p.rule == nil || len(containers) == 0 {
		return nil
	}
	var found *host.Container
	for _, w := range words(f.text(p.table, p.chain, p.rule)) {
		a, ok := addressIn(w)
		if !ok {
			continue
		}
		c := containerAt(containers, a)
		if c != nil && found != nil && c != found {
			return nil
		}
		if c != nil {
			found = c
		}
	}
	return found
}

// addressIn reads ADDRESS, ADDRESS/LENGTH of a single one, or ADDRESS:PORT.
func addressIn(w string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(w); err == nil {
		return a, true
	}
	if n, err := netip.ParsePrefix(w); err == nil && n.IsSingleIP() {
		return n.Addr(), true
	}
	a, err := netip.ParseAddrPort(w)
	return a.Addr(), err == nil
}

// describe names a container as people know it.
func describe(o *Owner, c *host.Container) {
	o.Name = c.Name
	o.Says = fmt.Sprintf("container %q", c.Name)
	if c.Service != "" {
		o.Says += fmt.Sprintf(" (compose service %q of project %q)", c.Service, c.Project)
	}
	if len(c.Networks) > 0 {
		o.Evidence = append(o.Evidence, diagnose.Evidence{Source: c.Engine, What: "networks of " + c.Name, Value: strings.Join(c.Networks, ", ")})
	}
	if c.ComposeFile != "" {
		o.File, _, _ = strings.Cut(c.ComposeFile, ",")
	}
}

// container tells a rule of a container engine's.
func (f *Facts) container(o *Owner, p *place, flow Flow) {
	containers := f.containers()
	c := f.containerOf(p, containers)
	if c == nil {
		c = containerAt(containers, flow.Dst)
	}
	if c != nil {
		describe(o, c)
	}
	switch {
	case p.rule == nil:
		o.Says = "its policy for what is forwarded and no rule of it allows"
		if c != nil {
			o.Says += fmt.Sprintf(", here to container %q", c.Name)
		}
	case strings.Contains(p.chain.Name, "ISOLATION"):
		o.Says = "containers of different networks may not reach each other"
		o.Fixes = connect(containers, flow)
	case c == nil:
		return
	}
	if p.table.Backend != rules.NFT && flow.Hook == rules.Forward && o.Manager == "docker" && flow.Src.IsValid() && flow.Dst.IsValid() {
		fix := inDockerUser(p, flow)
		if containerAt(f.containers(), flow.Src) != nil {
			fix = withAnswers(fix, flow)
		}
		o.Fixes = append(o.Fixes, fix)
	}
}

// apart tells Docker's rule that keeps the containers of one network from each
// other (icc=false, com.docker.network.bridge.enable_icc). It stands in FORWARD,
// with nothing around it that tells.
func (f *Facts) apart(o *Owner, p *place, flow Flow) bool {
	if p.rule == nil || p.chain.Name != "FORWARD" || p.table.Backend == rules.NFT {
		return false
	}
	w := words(f.text(p.table, p.chain, p.rule))
	if at := slices.Index(w, "-i"); at < 0 || len(w)-at != 6 || !slices.Equal(w[at:], []string{"-i", w[at+1], "-o", w[at+1], "-j", "DROP"}) {
		return false
	}
	from, to := containerAt(f.containers(), flow.Src), containerAt(f.containers(), flow.Dst)
	if from == nil || to == nil || from.Engine != "docker" || to.Engine != "docker" {
		return false
	}
	o.Manager = "docker"
	describe(o, to)
	o.Says = "containers of this network may not reach each other (icc is off)"
	o.Fixes = []Fix{inDockerUser(p, flow)}
	return true
}

// containerAt is the container that has an address.
func containerAt(containers []host.Container, a netip.Addr) *host.Container {
	for i, c := range containers {
		if slices.Contains(c.Address, a) {
			return &containers[i]
		}
	}
	return nil
}

func (f *Facts) containers() []host.Container {
	if f.Containers == nil {
		return nil
	}
	return f.Containers()
}

// inDockerUser lets the flow pass in the chain that docker leaves to its users
// and asks first.
func inDockerUser(p *place, flow Flow) Fix {
	tool := "iptables"
	if p.table.Family == rules.IP6 {
		tool = "ip6tables"
	}
	rule := []string{"-s", flow.Src.String(), "-d", flow.Dst.String(), "-p", flow.Network, "--dport", fmt.Sprint(flow.Port), "-j", "ACCEPT"}
	return Fix{Fix: diagnose.Fix{Title: "accept it in DOCKER-USER, until the next boot", NeedsRoot: true, Opens: fmt.Sprintf("%s to %s", flow.to(), flow.Src),
		Commands: [][]string{join([]string{tool, "-w", "5", "-I", "DOCKER-USER"}, rule)}, Undo: [][]string{join([]string{tool, "-w", "5", "-D", "DOCKER-USER"}, rule)}}, Effect: Accepts}
}

// withAnswers lets the answers pass, too: what keeps two networks apart comes
// before Docker's rule for established connections.
func withAnswers(fix Fix, flow Flow) Fix {
	tool := fix.Commands[0][0]
	rule := []string{"-s", flow.Dst.String(), "-d", flow.Src.String(), "-p", flow.Network, "--sport", fmt.Sprint(flow.Port),
		"-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"}
	fix.Opens += ", and its answers"
	fix.Commands = append(fix.Commands, join([]string{tool, "-I", "DOCKER-USER"}, rule))
	fix.Undo = append([][]string{join([]string{tool, "-D", "DOCKER-USER"}, rule)}, fix.Undo...)
	return fix
}

// connect puts the container that asks into a network of the one that is asked.
func connect(containers []host.Container, flow Flow) []Fix {
	from, to := containerAt(containers, flow.Src), containerAt(containers, flow.Dst)
	if from == nil || to == nil || from.Engine != to.Engine || len(to.Networks) == 0 || strings.HasPrefix(to.Networks[0], "-") {
		return nil
	}
	network := to.Networks[0]
	return []Fix{{Fix: diagnose.Fix{Title: fmt.Sprintf("put %s into the network of %s", from.Name, to.Name), NeedsRoot: true, Persistent: true,
		Opens:    fmt.Sprintf("all containers of network %s and %s to each other", network, from.Name),
		Commands: [][]string{{from.Engine, "network", "connect", network, from.Name}}, Undo: [][]string{{from.Engine, "network", "disconnect", network, from.Name}}}}}
}
