package checks

import (
	"errors"
	"fmt"
	"slices"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var bindConflict = &diagnose.Check{
	ID: "bind-conflict", Doc: "whether another socket has the port on an address that overlaps",
	Codes: append(slices.Clone(occupantCodes), "port-excluded"),
	For:   diagnose.AskBind,
	Run:   runBindConflict,
}

// occupantCodes are what a socket in the way can be.
var occupantCodes = []string{"port-in-use", "port-in-use-dual-stack", "port-held-unlistened", "port-held-by-connection", "port-self-connected",
	"port-time-wait", "port-lingering-connections", "port-socket-activated", "port-reuseport-owner", "port-kernel-owned", "port-owner-hidden"}

func runBindConflict(p *diagnose.Pass) error {
	if p.Flow.Network == "unix" || !p.Flow.Destination.IsValid() {
		p.Skip("no port")
		return nil
	}
	if err := excluded(p); err != nil {
		return err
	}
	found, err := occupants(p)
	if err != nil {
		return err
	}
	certain := slices.DeleteFunc(slices.Clone(found), func(o occupant) bool { return o.inWay != yes })
	for _, c := range causesOf(p, certain) {
		p.Stop(c)
	}
	switch {
	case len(certain) > 0:
		p.Flow.Listener = &certain[0].Socket
	case slices.ContainsFunc(found, func(o occupant) bool { return o.inWay == unknown }):
		p.Unknown(host.Limit{What: fmt.Sprintf("whether %s keeps others from port %d", stateName(found[0].Socket), p.Flow.Port()),
			Why: "its SO_REUSEADDR can't be read", Needs: "a probe, or root where a process has it"})
	default:
		p.OK("no socket is in the way")
	}
	return nil
}

// stateName names a socket by what it is.
func stateName(s host.Socket) string {
	switch s.State {
	case host.Listen:
		return "the listener on " + socketAddress(s)
	case host.BoundInactive, host.Unconn:
		return "the socket on " + socketAddress(s)
	}
	return fmt.Sprintf("the connection %s to %s (%s)", s.Local, s.Remote, s.State)
}

// causesOf makes one cause of each holder's sockets, in the order given.
func causesOf(p *diagnose.Pass, list []occupant) []diagnose.Cause {
	var causes []diagnose.Cause
	for _, o := range list {
		c := occupantCause(p, o)
		i := slices.IndexFunc(causes, func(have diagnose.Cause) bool { return have.Code == c.Code && sameHolder(have.Culprit, c.Culprit) })
		if i < 0 {
			causes = append(causes, c)
		} else if len(causes[i].Evidence) < 8 {
			causes[i].Evidence = append(causes[i].Evidence, c.Evidence[0])
		}
	}
	return causes
}

func sameHolder(a, b *diagnose.Culprit) bool {
	return a.Kind == b.Kind && a.PID == b.PID && a.Unit == b.Unit && a.Container == b.Container && a.Name == b.Name && a.User == b.User
}

// occupantCause says who has the port and how it can be had.
func occupantCause(p *diagnose.Pass, o occupant) diagnose.Cause {
	c := diagnose.Cause{Outcome: diagnose.InUse, Evidence: []diagnose.Evidence{socketEvidence(o.Socket)}}
	who := nameHolder(p, o, &c)
	switch o.State {
	case host.Listen:
		listenerCause(p, o, who, &c)
	case host.Unconn:
		if p.Flow.Network == "udp" {
			listenerCause(p, o, who, &c)
		}
	case host.BoundInactive:
		c.Code = "port-held-unlistened"
		c.Title = fmt.Sprintf("%s has bound %s and doesn't listen: ss -l and netstat show nothing.", who, socketAddress(o.Socket))
	default:
		connectionCause(p, o, who, &c)
	}
	if p.Info.OS != "linux" && c.Doubt == "" {
		c.Doubt, c.Ceiling = "the rules by which this system shares ports are not modelled, only Linux's are", diagnose.Likely
	}
	return c
}

// listenerCause tells of a socket that serves the port.
func listenerCause(p *diagnose.Pass, o occupant, who string, c *diagnose.Cause) {
	verb := "listens on"
	if o.Network == "udp" {
		verb = "has"
	}
	own := p.Info.UID
	if p.UID != nil {
		own = *p.UID
	}
	if c.Code == "" {
		c.Title = fmt.Sprintf("%s %s %s.", who, verb, socketAddress(o.Socket))
	}
	switch {
	case c.Code != "":
		// Who it is says more than how it has the port.
	case o.reusePort == yes && o.UID != own:
		c.Code = "port-reuseport-owner"
		c.Title = fmt.Sprintf("%s %s %s as user %d and shares it by SO_REUSEPORT only with that user, not with user %d.", who, verb, socketAddress(o.Socket), o.UID, own)
	case differentFamily(p, o.Socket):
		c.Code = "port-in-use-dual-stack"
		if o.Local.Addr().IsUnspecified() && o.Local.Addr().Is6() {
			c.Title = fmt.Sprintf("%s %s %s without IPV6_V6ONLY, which takes the port for IPv4 too.", who, verb, socketAddress(o.Socket))
		} else {
			c.Title = fmt.Sprintf("%s %s %s, and [::] without IPV6_V6ONLY wants the port for IPv4 too.", who, verb, socketAddress(o.Socket))
		}
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "sock_diag", What: "v6only", Value: fmt.Sprint(o.V6Only)})
	default:
		c.Code = "port-in-use"
	}
	if o.reusePort == yes && o.UID == own {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "getsockopt", What: "SO_REUSEPORT", Value: "set: a server of the same user that sets it too can share the port"})
	}
}

// differentFamily: the holder's family was not asked for, so that people wonder.
func differentFamily(p *diagnose.Pass, s host.Socket) bool {
	if carries4(s.Local.Addr()) == p.Flow.Addr().Is4() {
		return false
	}
	for _, f := range p.Flows {
		if f.Network != "unix" && carries4(s.Local.Addr()) == f.Addr().Is4() && f.Addr().IsUnspecified() {
			return false // asked for as well, and reported there
		}
	}
	return true
}

// excluded stops at a range that the system gives to nobody who asks for a port
// by number: Windows answers WSAEACCES then.
func excluded(p *diagnose.Pass) error {
	ranges, err := p.Host.ExcludedPorts(p.Ctx, p.Flow.Network)
	if err != nil && !errors.Is(err, host.ErrUnsupported) && !errors.Is(err, host.ErrNotRecorded) {
		return err
	}
	port := p.Flow.Port()
	for _, r := range ranges {
		if port < r.First || port > r.Last {
			continue
		}
		span := fmt.Sprintf("%d-%d", r.First, r.Last)
		c := diagnose.Cause{Code: "port-excluded", Outcome: diagnose.Denied, Also: []diagnose.Outcome{diagnose.InUse},
			Culprit:  &diagnose.Culprit{Kind: "kernel", Name: "excluded port range", Value: span},
			Evidence: []diagnose.Evidence{{Source: "netsh int ipv4 show excludedportrange", What: p.Flow.Network, Value: span}},
			Title:    fmt.Sprintf("Windows keeps ports %d to %d for itself (excluded port range).", r.First, r.Last)}
		if !r.Administered {
			c.Title += " Mostly Hyper-V or its NAT service (winnat) asked for them."
			c.Fixes = []diagnose.Fix{{Title: "restart winnat, which asks for other ranges then", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Bound,
				Risk: "medium", Commands: [][]string{{"net", "stop", "winnat"}, {"net", "start", "winnat"}}}}
		}
		p.Stop(c)
	}
	return nil
}
