package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// proxies are programs that hold a port for a container.
var proxies = []string{"docker-proxy", "dockerd", "rootlessport", "rootlesskit", "conmon", "podman", "slirp4netns", "pasta", "pasta.avx2", "com.docker.backe", "gvproxy"}

// Publishes reports whether a program is one that holds ports for containers.
func Publishes(program string) bool { return slices.Contains(proxies, program) }

// nameHolder fills in who has the socket and how to get it away, and returns
// who it is for a sentence. Where that says more than the socket's state it
// sets code and title too.
func nameHolder(p *diagnose.Pass, o occupant, c *diagnose.Cause) string {
	proc := o.holder()
	if proc == nil {
		return nameless(p, o, c)
	}
	c.Culprit = processCulprit(*proc)
	c.Culprit.Address = socketAddress(o.Socket)
	c.Evidence = append(c.Evidence, processEvidence(*proc))
	who := describe(*proc)
	served := o.State == host.Listen || o.Network == "udp" && o.State == host.Unconn
	if served {
		for _, other := range o.procs {
			if other.PID == 1 && strings.HasPrefix(other.Name, "systemd") || other.Name == "systemd" {
				activated(p, o, other, c)
				return who
			}
		}
		if container := publisher(p, o, *proc); container != nil {
			publishedBy(p, *container, *proc, o, c)
			return who
		}
	}
	if len(o.procs) > 1 {
		var names []string
		for _, other := range o.procs[:min(len(o.procs), 6)] {
			names = append(names, fmt.Sprintf("%s %d", other.Name, other.PID))
		}
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "/proc/*/fd", What: fmt.Sprintf("%d processes hold the socket", len(o.procs)), Value: strings.Join(names, ", ")})
	}
	if proc.PPID == 1 && proc.Unit == "" && proc.UserUnit == "" && proc.Container == "" && proc.PID != 1 {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: fmt.Sprintf("/proc/%d/stat", proc.PID), What: "parent",
			Value: "1: what started it has ended, so it may be an instance left over"})
	}
	stop := stopProcesses(p, *proc, o.procs)
	if f := p.Flow; f.Network == "unix" && f.Path[0] != '@' {
		for i := range stop {
			stop[i].Title += "; if it leaves its file behind, that has to go next"
			stop[i].PredictedOutcome = diagnose.Unknown
		}
	}
	c.Fixes = append(c.Fixes, stop...)
	return who
}

// nameless tells of a socket whose holder is not to be found.
func nameless(p *diagnose.Pass, o occupant, c *diagnose.Cause) string {
	c.Culprit = &diagnose.Culprit{Kind: "socket", Address: socketAddress(o.Socket), User: fmt.Sprint(o.UID)}
	served := o.State == host.Listen || o.State == host.Unconn
	if o.Inode == 0 && !served {
		c.Culprit.Kind, c.Culprit.Name = "kernel", string(o.State)
		c.Fixes = []diagnose.Fix{{Title: "end the connections that nobody has any more", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Bound, Risk: "low",
			Commands: [][]string{closeConnections(p.Flow)}}}
		return "the kernel"
	}
	service, evidence := "", []diagnose.Evidence(nil)
	if o.complete || p.Info.Privileged {
		service, evidence = kernelService(p, o.Socket)
	}
	if !o.complete && service == "" {
		p.Limit(host.Limit{What: "which process holds port " + fmt.Sprint(o.Local.Port()), Why: "other users' descriptors can't be read", Needs: "root or CAP_SYS_PTRACE"})
		if served {
			c.Code = "port-owner-hidden"
			c.Title = fmt.Sprintf("A process of user %d, which can't be seen without more rights, has %s.", o.UID, socketAddress(o.Socket))
		}
		return fmt.Sprintf("A process of user %d that can't be seen", o.UID)
	}
	// That the port is taken is certain, by whom is not.
	c.Doubt, c.Ceiling = "a process in another PID namespace, or one that passed the socket on, would look the same", diagnose.Likely
	if service == "" {
		service = "the kernel itself"
	}
	c.Culprit.Kind, c.Culprit.Name = "kernel", service
	c.Evidence = append(c.Evidence, evidence...)
	c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "/proc/*/fd", What: "processes that hold the socket", Value: "none that can be seen"})
	who := strings.ToUpper(service[:1]) + service[1:]
	if served {
		c.Code = "port-kernel-owned"
		c.Title = fmt.Sprintf("%s has %s: no process that can be seen holds the socket.", who, socketAddress(o.Socket))
	}
	return who
}

// kernelService recognises what in the kernel has ports and runs here.
func kernelService(p *diagnose.Pass, s host.Socket) (string, []diagnose.Evidence) {
	port := s.Local.Port()
	if s.Network == "udp" {
		links, err := p.Host.Links(p.Ctx)
		if err != nil {
			return "", nil
		}
		for _, kind := range []string{"wireguard", "vxlan", "geneve", "l2tp", "bareudp", "gtp"} {
			for _, l := range links {
				if l.Kind == kind {
					return fmt.Sprintf("the kernel's %s device %s", kind, l.Name), []diagnose.Evidence{{Source: "RTM_GETLINK", What: l.Name, Value: linkText(l)}}
				}
			}
		}
	}
	name := map[uint16]string{2049: "nfsd", 445: "ksmbd"}[port]
	if name == "" {
		return "", nil
	}
	procs, err := p.Host.Processes(p.Ctx)
	if err != nil {
		return "", nil
	}
	for _, proc := range procs {
		if proc.PPID == 2 && strings.HasPrefix(proc.Name, name) {
			return "the kernel's " + name, []diagnose.Evidence{processEvidence(proc)}
		}
	}
	return "", nil
}

// activated tells of a port that a socket unit keeps for its service.
func activated(p *diagnose.Pass, o occupant, manager host.Process, c *diagnose.Cause) {
	c.Code = "port-socket-activated"
	c.Title = fmt.Sprintf("%s listens on %s for a socket unit.", describe(manager), socketAddress(o.Socket))
	if manager.PID != 1 {
		c.Culprit = processCulprit(manager)
		c.Fixes = []diagnose.Fix{{Title: "stop the socket unit of that user; systemctl --user list-sockets names it", Opens: "nothing", PredictedOutcome: diagnose.Bound}}
		return
	}
	unit, at := socketUnit(p, o.Socket)
	if unit.Name == "" {
		c.Fixes = []diagnose.Fix{{Title: "stop the socket unit; systemctl list-sockets names it", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Bound}}
		return
	}
	c.Culprit = &diagnose.Culprit{Kind: "unit", Unit: unit.Name, Name: unit.Name, PID: manager.PID, Address: socketAddress(o.Socket), File: at.File, Line: at.Line}
	c.Title = fmt.Sprintf("systemd listens on %s for %s", socketAddress(o.Socket), unit.Name)
	if at.File != "" {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: fmt.Sprintf("%s:%d", at.File, at.Line), What: unit.Name, Value: "listens on " + socketAddress(o.Socket)})
		c.Title += fmt.Sprintf(" (%s:%d)", at.File, at.Line)
	}
	stop := []string{"systemctl", "stop", unit.Name}
	if len(o.procs) > 1 {
		c.Title += "; its service runs"
		stop = append(stop, unit.Triggers...)
	}
	c.Title += "."
	c.Fixes = []diagnose.Fix{{Title: "stop the socket unit", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Bound, Risk: "medium",
		Commands: [][]string{stop}, Undo: [][]string{{"systemctl", "start", unit.Name}}}}
	if unit.Enabled == "enabled" {
		c.Fixes = append(c.Fixes, diagnose.Fix{Title: "stop the socket unit for good", NeedsRoot: true, Persistent: true, Opens: "nothing", PredictedOutcome: diagnose.Bound,
			Risk: "medium", Commands: [][]string{stop, {"systemctl", "disable", unit.Name}}, Undo: [][]string{{"systemctl", "enable", "--now", unit.Name}}})
	}
}

// socketUnit finds the unit that listens on the socket's address.
func socketUnit(p *diagnose.Pass, s host.Socket) (host.Unit, host.UnitListen) {
	units, err := p.Host.Units(p.Ctx)
	if err != nil {
		p.Limit(diagnose.LimitOf("which unit listens on port "+fmt.Sprint(s.Local.Port()), err))
		return host.Unit{}, host.UnitListen{}
	}
	listens := func(u host.Unit) int {
		return slices.IndexFunc(u.Listens, func(l host.UnitListen) bool {
			if s.Network == "unix" || l.Network == "unix" {
				return l.Network == s.Network && l.Path == s.Path
			}
			return l.Network == s.Network && l.Address.Port() == s.Local.Port() &&
				(l.Address.Addr().Unmap() == s.Local.Addr().Unmap() || !l.Address.Addr().IsValid() || l.Address.Addr().IsUnspecified() && s.Local.Addr().IsUnspecified())
		})
	}
	for _, u := range units {
		if u.ActiveState != "active" || listens(u) < 0 {
			continue
		}
		if whole, err := p.Host.Unit(p.Ctx, u.Name); err == nil && listens(whole) >= 0 {
			u = whole // the list has neither files nor lines
		}
		return u, u.Listens[listens(u)]
	}
	return host.Unit{}, host.UnitListen{}
}

// publisher finds the container for which a process has the port.
func publisher(p *diagnose.Pass, o occupant, proc host.Process) *host.Container {
	proxy := Publishes(proc.Name)
	if !proxy && proc.Container == "" {
		return nil
	}
	containers, err := p.Host.Containers(p.Ctx)
	if err != nil {
		return nil
	}
	for i, c := range containers.List {
		switch {
		case c.State != "running" && c.State != "paused":
		case proc.Container != "" && strings.HasPrefix(c.ID, proc.Container):
			return &containers.List[i]
		case proxy && publishes(c, p.Flow.Network, o.Local):
			return &containers.List[i]
		}
	}
	if proc.Name == "docker-proxy" && len(containers.Limits) == 0 && len(containers.List) > 0 {
		p.Warn(diagnose.Finding{Code: "port-in-use", Culprit: processCulprit(proc), Evidence: []diagnose.Evidence{processEvidence(proc)},
			Title: fmt.Sprintf("%s serves no container that runs: it was left over", describe(proc))})
	}
	return nil
}

// publishes reports whether the container's ports are mapped from the address.
func publishes(c host.Container, network string, at netip.AddrPort) bool {
	return slices.ContainsFunc(c.Ports, func(m host.PortMapping) bool {
		a := m.Host.Addr()
		return m.Network == network && m.Host.Port() == at.Port() && (!a.IsValid() || a.IsUnspecified() || a.Unmap() == at.Addr().Unmap())
	})
}

func publishedBy(p *diagnose.Pass, container host.Container, proc host.Process, o occupant, c *diagnose.Cause) {
	c.Code = "port-in-use"
	culprit := &diagnose.Culprit{Kind: "container", Name: container.Name, Container: container.ID, PID: container.PID, Unit: container.Service, File: container.ComposeFile,
		Address: socketAddress(o.Socket), Started: c.Culprit.Started}
	c.Culprit = culprit
	from := ""
	if container.Project != "" {
		from = fmt.Sprintf(" (compose project %s, service %s)", container.Project, container.Service)
	}
	if publishes(container, p.Flow.Network, o.Local) {
		c.Title = fmt.Sprintf("The container %q%s publishes %s; %s has the socket.", container.Name, from, socketAddress(o.Socket), describe(proc))
	} else {
		c.Title = fmt.Sprintf("The container %q%s has %s: %s runs in it, in this network namespace.", container.Name, from, socketAddress(o.Socket), describe(proc))
	}
	c.Evidence = append(c.Evidence, diagnose.Evidence{Source: container.Engine, What: "container " + container.Name, Value: fmt.Sprintf("%s, publishes %s", container.Image, mappings(container.Ports))})
	c.Fixes = append(c.Fixes, stopContainer(container))
}
