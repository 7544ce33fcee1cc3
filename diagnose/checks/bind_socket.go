package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var bindSocket = &diagnose.Check{
	ID: "bind-socket", Doc: "whether a socket of that family can be made at all",
	Codes: []string{"socket-denied-seccomp", "ipv6-disabled", "bind-denied-lsm"},
	For:   diagnose.AskBind, When: diagnose.Explain,
	Run: runBindSocket,
}

func runBindSocket(p *diagnose.Pass) error {
	f := p.Flow
	if f.BindAttempt == nil {
		p.Skip("nothing was tried")
		return nil
	}
	errno := f.BindAttempt.SocketErrno
	if errno == "" {
		p.OK("the socket was made")
		return nil
	}
	outcome := f.Observed.Outcome
	if errno == "EAFNOSUPPORT" && f.Network != "unix" && f.Addr().Is6() {
		// The module's parameter disable=1 leaves no IPv6 settings.
		_, err := p.Host.Sysctl(p.Ctx, "net.ipv6.conf.all.disable_ipv6")
		if errors.Is(err, host.ErrUnsupported) || errors.Is(err, host.ErrNotFound) {
			p.Stop(diagnose.Cause{Code: "ipv6-disabled", Outcome: outcome, Culprit: &diagnose.Culprit{Kind: "kernel", Name: "ipv6.disable=1"},
				Evidence: []diagnose.Evidence{{Source: "/proc/sys/net/ipv6", What: "IPv6 settings", Value: "none"}, {Source: "socket(2)", What: "AF_INET6", Value: errno}},
				Title:    "This kernel runs without IPv6 (ipv6.disable=1 on its command line, or built so).",
				Fixes: []diagnose.Fix{{Title: fmt.Sprintf("bind 0.0.0.0:%d instead, or boot without ipv6.disable=1", f.Port()),
					Opens: "nothing", PredictedOutcome: diagnose.Bound}}})
			return nil
		}
	}
	evidence := []diagnose.Evidence{{Source: "socket(2)", What: f.Network, Value: errno}}
	if u, ok := callersUnit(p); ok && errno == "EAFNOSUPPORT" && restricts(u.Families, family(f)) {
		p.Stop(diagnose.Cause{Code: "socket-denied-seccomp", Outcome: outcome, Culprit: &diagnose.Culprit{Kind: "unit", Unit: u.Name, Name: u.Name, File: u.File,
			Key: "RestrictAddressFamilies", Value: strings.Join(u.Families, " ")},
			Evidence: append(evidence, diagnose.Evidence{Source: u.Name, What: "RestrictAddressFamilies", Value: strings.Join(u.Families, " ")}),
			Title:    fmt.Sprintf("%s may not make %s sockets: RestrictAddressFamilies=%s.", u.Name, family(f), strings.Join(u.Families, " "))})
		return nil
	}
	if errno == "EACCES" {
		p.Stop(lsmCause(p, outcome, evidence, "socket"))
		return nil
	}
	c := diagnose.Cause{Code: "socket-denied-seccomp", Outcome: outcome, Culprit: &diagnose.Culprit{Kind: "kernel", Name: "seccomp"},
		Evidence: append(evidence, diagnose.Evidence{Source: "/proc/self/status", What: "Seccomp", Value: fmt.Sprint(p.Info.Seccomp)}),
		Title:    fmt.Sprintf("A system call filter (seccomp) keeps this process from making %s sockets.", family(f))}
	if errno == "EPERM" {
		programs, err := p.Host.Programs(p.Ctx, p.Info.Cgroup)
		switch {
		case slices.ContainsFunc(programs.List, func(prog host.Program) bool { return strings.Contains(strings.ToLower(prog.Attach), "sock_create") }):
			p.Skip("a BPF program on the control group decides")
			return nil
		case err != nil || len(programs.Limits) > 0:
			c.Doubt, c.Ceiling = "BPF programs on the control group could do the same and can't be listed", diagnose.Likely
		}
	}
	if p.Info.Seccomp == 0 {
		c.Title = fmt.Sprintf("The kernel lets this process make no %s socket (%s).", family(f), errno)
		c.Doubt, c.Ceiling = "no system call filter is set, so another mechanism decides", diagnose.Possible
	}
	p.Stop(c)
	return nil
}

func family(f *diagnose.Flow) string {
	switch {
	case f.Network == "unix":
		return "AF_UNIX"
	case f.Addr().Is6():
		return "AF_INET6"
	}
	return "AF_INET"
}

// restricts reads RestrictAddressFamilies= (systemd.exec(5)): a list of what is
// allowed, or with ~ of what is not.
func restricts(families []string, family string) bool {
	if len(families) == 0 {
		return false
	}
	if strings.HasPrefix(families[0], "~") {
		return slices.Contains(families, "~"+family)
	}
	return !slices.Contains(families, family)
}

// callersUnit is the unit in whose control group this process runs.
func callersUnit(p *diagnose.Pass) (host.Unit, bool) {
	for at := p.Info.Cgroup; len(at) > 1; at = path.Dir(at) {
		name := path.Base(at)
		if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") {
			u, err := p.Host.Unit(p.Ctx, name)
			return u, err == nil
		}
	}
	return host.Unit{}, false
}
