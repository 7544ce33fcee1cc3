package checks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

const (
	bindService = "CAP_NET_BIND_SERVICE"
	portStart   = "net.ipv4.ip_unprivileged_port_start"
	// protSock is where unprivileged ports begin on systems without that
	// setting (Linux before 4.11, include/net/sock.h, PROT_SOCK; macOS,
	// IPPORT_RESERVED).
	protSock = 1024
)

// unprivilegedStart reads from which port on no right is needed, in this
// network namespace and for both families (inet_port_requires_bind_service).
func unprivilegedStart(p *diagnose.Pass) (int, host.Sysctl, error) {
	if p.Info.OS == "windows" {
		return 0, host.Sysctl{}, nil
	}
	s, err := p.Host.Sysctl(p.Ctx, portStart)
	if errors.Is(err, host.ErrUnsupported) {
		return protSock, host.Sysctl{Key: portStart, Value: strconv.Itoa(protSock)}, nil
	}
	if err != nil {
		return 0, s, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(s.Value))
	if err != nil {
		return 0, s, fmt.Errorf("%s is %q: %w", portStart, s.Value, err)
	}
	return n, s, nil
}

// mayBindPrivileged says whether whoever asks has the right to any port, and
// in which words. It is unknown in a user namespace of its own: the capability
// counts only where the network namespace belongs to it (ns_capable).
func mayBindPrivileged(p *diagnose.Pass) (tristate, string) {
	if p.UID != nil && *p.UID != p.Info.UID {
		return known(*p.UID == 0), fmt.Sprintf("user %d", *p.UID)
	}
	who := fmt.Sprintf("user %d", p.Info.UID)
	switch {
	case p.Info.OS == "darwin":
		return known(p.Info.UID == 0), who
	case !slices.Contains(p.Info.Capabilities, bindService):
		return no, who + " without " + bindService
	case !p.Info.InitUserNS:
		return unknown, fmt.Sprintf("%s of user namespace %d", who, p.Info.UserNS)
	}
	return yes, who
}

// portAllowed stops at a port that needs a right which the user lacks.
func portAllowed(p *diagnose.Pass) error {
	f := p.Flow
	start, s, err := unprivilegedStart(p)
	if err != nil {
		return err
	}
	if int(f.Port()) >= start || p.Info.OS == "darwin" && f.Addr().IsUnspecified() {
		// macOS lets everyone bind low ports on the wildcard since 10.14.
		return nil
	}
	if may, who := mayBindPrivileged(p); may == no {
		p.Stop(privilegedCause(p, start, s, who))
	}
	return nil
}

func privilegedCause(p *diagnose.Pass, start int, s host.Sysctl, who string) diagnose.Cause {
	port := p.Flow.Port()
	c := diagnose.Cause{Code: "port-privileged", Outcome: diagnose.Denied, Culprit: sysctlCulprit(s),
		Evidence: []diagnose.Evidence{sysctlEvidence(s), {Source: "/proc/self/status", What: "effective capabilities", Value: "no " + bindService}},
		Title:    fmt.Sprintf("Ports below %d need root or %s, and %s may not have %d.", start, bindService, strings.TrimSuffix(who, " without "+bindService), port)}
	if p.UID != nil && *p.UID != p.Info.UID {
		c.Evidence[1] = diagnose.Evidence{Source: "capabilities(7)", What: "user", Value: fmt.Sprintf("%d has no capabilities of its own", *p.UID)}
		p.Limit(host.Limit{What: "capabilities that the program's file or unit gives it", Why: "only the user was named, not the program",
			Needs: "getcap PROGRAM, or AmbientCapabilities= in its unit"})
	}
	if p.Info.OS == "darwin" {
		c.Culprit, c.Evidence = &diagnose.Culprit{Kind: "kernel", Name: "IPPORT_RESERVED"}, nil
		return c
	}
	c.Fixes = []diagnose.Fix{
		{Title: "give the program the capability: AmbientCapabilities=" + bindService + " in its unit, or setcap cap_net_bind_service=+ep PROGRAM",
			NeedsRoot: true, Persistent: true, Opens: "ports below " + strconv.Itoa(start) + " to that program", PredictedOutcome: diagnose.Bound},
		{Title: fmt.Sprintf("let everyone have ports from %d on", port), NeedsRoot: true, PredictedOutcome: diagnose.Bound, Risk: "medium",
			Opens:    fmt.Sprintf("ports %d to %d to every user of this network namespace, until the next boot", port, start-1),
			Commands: [][]string{{"sysctl", "-w", fmt.Sprintf("%s=%d", portStart, port)}},
			Undo:     [][]string{{"sysctl", "-w", fmt.Sprintf("%s=%d", portStart, start)}}},
	}
	return c
}

// foreignNamespace explains a denial to a user namespace that has the
// capability but does not own the network namespace.
func foreignNamespace(p *diagnose.Pass) *diagnose.Cause {
	start, s, err := unprivilegedStart(p)
	if err != nil || int(p.Flow.Port()) >= start {
		return nil
	}
	may, who := mayBindPrivileged(p)
	if may != unknown {
		return nil
	}
	c := privilegedCause(p, start, s, who)
	c.Title = fmt.Sprintf("Ports below %d need %s in the user namespace that owns this network namespace; %s has it in its own only.", start, bindService, who)
	c.Evidence[1] = diagnose.Evidence{Source: "/proc/self/ns/user", What: "user namespace", Value: fmt.Sprint(p.Info.UserNS)}
	c.Doubt, c.Ceiling = "which user namespace owns the network namespace can't be seen", diagnose.Likely
	return &c
}
