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

var bindLSM = &diagnose.Check{
	ID: "bind-lsm", Doc: "whether a security module denies the bind",
	Codes: []string{"bind-denied-lsm", "port-privileged"},
	For:   diagnose.AskBind, When: diagnose.Explain,
	Run: runBindLSM,
}

// runBindLSM explains EACCES that the right to the port does not. Security
// modules answer bind(2) with EACCES, control group programs with EPERM.
func runBindLSM(p *diagnose.Pass) error {
	f := p.Flow
	switch {
	case p.Info.OS != "linux" || f.Network == "unix" || f.BindAttempt == nil || f.BindAttempt.Errno != "EACCES" || f.BindAttempt.SocketErrno != "":
		p.Skip("nothing to explain")
		return nil
	case explainedByPort(p):
		p.OK("the port itself needs a right that is missing")
		return nil
	}
	if c := foreignNamespace(p); c != nil {
		p.Stop(*c)
		return nil
	}
	p.Stop(lsmCause(p, diagnose.Denied, []diagnose.Evidence{{Source: "bind(2)", What: f.String(), Value: "EACCES"}}, "bind"))
	return nil
}

func explainedByPort(p *diagnose.Pass) bool {
	start, _, err := unprivilegedStart(p)
	may, _ := mayBindPrivileged(p)
	return err == nil && int(p.Flow.Port()) < start && may == no
}

// lsmCause names the security module that most likely denied a call; none of
// them can be asked, so that it is never proven.
func lsmCause(p *diagnose.Pass, outcome diagnose.Outcome, evidence []diagnose.Evidence, call string) diagnose.Cause {
	c := diagnose.Cause{Code: "bind-denied-lsm", Outcome: outcome, Culprit: &diagnose.Culprit{Kind: "lsm"}, Evidence: evidence,
		Doubt: "a security module's decisions can't be asked for, only found in the audit log", Ceiling: diagnose.Likely}
	if p.Info.LSMs != nil {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "/sys/kernel/security/lsm", What: "security modules", Value: strings.Join(p.Info.LSMs, ",")})
	}
	port := strconv.Itoa(int(p.Flow.Port()))
	confined := p.Info.Label != "" && !strings.HasPrefix(p.Info.Label, "unconfined")
	if p.Info.Label != "" {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "/proc/self/attr/current", What: "label of this process", Value: p.Info.Label})
	}
	p.Limit(host.Limit{What: "what the security module decided", Why: "it is told to the audit log only", Needs: "ausearch -m avc -ts recent, or journalctl -k --grep 'audit|DENIED'"})
	switch {
	case p.Info.SELinux == "enforcing":
		c.Culprit.Name = "selinux"
		c.Title = fmt.Sprintf("SELinux denies the %s: most likely port %s has a type that this domain may not bind.", call, port)
		kind := "tcp"
		if p.Flow.Network == "udp" {
			kind = "udp"
		}
		c.Fixes = []diagnose.Fix{{Title: "give the port the type that the program's domain may bind, for instance http_port_t for a web server",
			NeedsRoot: true, Persistent: true, Opens: "port " + port + " to that domain", PredictedOutcome: diagnose.Bound, Risk: "medium",
			Commands: [][]string{{"semanage", "port", "-a", "-t", "http_port_t", "-p", kind, port}},
			Undo:     [][]string{{"semanage", "port", "-d", "-p", kind, port}}}}
	case slices.Contains(p.Info.LSMs, "apparmor") && confined:
		c.Culprit.Name, c.Culprit.Value = "apparmor", p.Info.Label
		c.Title = fmt.Sprintf("AppArmor's profile %s denies the %s, most likely for want of a network rule.", p.Info.Label, call)
	case slices.Contains(p.Info.LSMs, "landlock") && p.Info.NoNewPrivs:
		c.Culprit.Name = "landlock"
		c.Title = fmt.Sprintf("This process is in a sandbox (Landlock, most likely) that denies the %s.", call)
		c.Doubt = "the kernel does not tell of Landlock's rules"
	case p.Info.Seccomp != 0:
		c.Code, c.Culprit = "socket-denied-seccomp", &diagnose.Culprit{Kind: "kernel", Name: "seccomp"}
		c.Title = fmt.Sprintf("A system call filter (seccomp) denies the %s.", call)
		c.Ceiling = diagnose.Possible
	default:
		c.Title = fmt.Sprintf("A security module or a sandbox denies the %s: nothing else answers with EACCES here.", call)
	}
	return c
}

var bindBPF = &diagnose.Check{
	ID: "bind-bpf", Doc: "whether a BPF program on the control group denies the bind",
	Codes: []string{"bind-denied-bpf", "bpf-cgroup-deny", "socket-denied-seccomp"},
	For:   diagnose.AskBind, When: diagnose.Explain,
	Run: runBindBPF,
}

// runBindBPF looks for programs at BPF_CGROUP_INET[46]_BIND, _POST_BIND and
// INET_SOCK_CREATE on the caller's control group: what they deny is EPERM
// (kernel/bpf/cgroup.c).
func runBindBPF(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() {
		p.Skip("no such hook")
		return nil
	}
	denied := f.BindAttempt != nil && (f.BindAttempt.Errno == "EPERM" || f.BindAttempt.SocketErrno == "EPERM")
	if f.BindAttempt != nil && !denied {
		p.Skip("nothing to explain")
		return nil
	}
	if p.UID != nil {
		p.Limit(host.Limit{What: "BPF programs on the control group of the program that is to bind", Why: "only its user was named", Needs: "ask from within its control group"})
	}
	programs, err := p.Host.Programs(p.Ctx, p.Info.Cgroup)
	if errors.Is(err, host.ErrUnsupported) {
		p.Skip("this system has no such programs")
		return nil
	}
	if err != nil {
		return err
	}
	for _, l := range programs.Limits {
		p.Limit(l)
	}
	found := false
	for _, prog := range programs.List {
		if !deniesBind(prog, f) || prog.Constant != nil && *prog.Constant != cgroupDeny || prog.Constant == nil && !denied {
			continue
		}
		found = true
		p.Stop(bindBPFCause(p, prog))
	}
	switch {
	case found:
	case denied && f.BindAttempt.SocketErrno == "":
		p.Stop(diagnose.Cause{Code: "socket-denied-seccomp", Outcome: diagnose.Denied, Culprit: &diagnose.Culprit{Kind: "kernel", Name: "seccomp"},
			Evidence: []diagnose.Evidence{{Source: "bind(2)", What: f.String(), Value: "EPERM"}, {Source: "/proc/self/status", What: "Seccomp", Value: fmt.Sprint(p.Info.Seccomp)}},
			Title:    "A system call filter (seccomp) or a BPF program that can't be seen denies the bind.",
			Doubt:    "no program that can be seen accounts for EPERM", Ceiling: diagnose.Possible})
	default:
		p.OK("no program on the control group denies it")
	}
	return nil
}

func deniesBind(prog host.Program, f *diagnose.Flow) bool {
	attach := strings.ToLower(prog.Attach)
	family := "inet4"
	if f.Addr().Is6() {
		family = "inet6"
	}
	return strings.Contains(attach, family) && strings.Contains(attach, "bind") || strings.Contains(attach, "sock_create")
}

func bindBPFCause(p *diagnose.Pass, prog host.Program) diagnose.Cause {
	c := diagnose.Cause{Code: "bind-denied-bpf", Outcome: diagnose.Denied,
		Culprit:  &diagnose.Culprit{Kind: "bpf", Program: prog.Name, ID: prog.ID, Attach: prog.Attach, Value: prog.Cgroup},
		Evidence: []diagnose.Evidence{{Source: "bpf(2)", What: fmt.Sprintf("program %d", prog.ID), Value: fmt.Sprintf("%q tag %s at %s on cgroup %s", prog.Name, prog.Tag, prog.Attach, prog.Cgroup)}},
		Title:    fmt.Sprintf("The BPF program %q (id %d, %s on cgroup %s) denies it.", prog.Name, prog.ID, prog.Attach, prog.Cgroup)}
	if prog.Constant != nil {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "bpf(2)", What: "instructions", Value: fmt.Sprintf("always return %d", *prog.Constant)})
	}
	if strings.Contains(strings.ToLower(prog.Attach), "sock_create") {
		c.Code = "bpf-cgroup-deny" // it denies every socket, not this bind
	}
	u, ok := callersUnit(p)
	rule := ""
	if ok {
		rule = deniedBy(u.SocketBind, p.Flow)
	}
	switch {
	case rule != "":
		c.Culprit.Unit, c.Culprit.File, c.Culprit.Key = u.Name, u.File, "SocketBindDeny"
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: u.Name, What: "SocketBindDeny", Value: rule})
		c.Title = fmt.Sprintf("%s may not bind port %d: its SocketBindDeny has %q.", u.Name, p.Flow.Port(), strings.TrimPrefix(rule, "deny "))
	case prog.Constant == nil && p.Info.Seccomp != 0:
		c.Doubt, c.Ceiling = "the program decides by itself, and a system call filter could do the same", diagnose.Likely
	}
	return c
}

// deniedBy returns the first SocketBindDeny= that covers the bind and that no
// SocketBindAllow= takes back (systemd.resource-control(5)).
func deniedBy(rules []string, f *diagnose.Flow) string {
	denied := ""
	for _, r := range rules {
		verb, what, _ := strings.Cut(r, " ")
		if !bindRuleCovers(what, f) {
			continue
		}
		if verb == "allow" {
			return ""
		}
		if denied == "" {
			denied = r
		}
	}
	return denied
}

// bindRuleCovers reads [ipv4:|ipv6:][tcp:|udp:](PORT|FROM-TO|any).
func bindRuleCovers(what string, f *diagnose.Flow) bool {
	for _, part := range strings.Split(what, ":") {
		switch part {
		case "any":
		case "ipv4", "ipv6":
			if (part == "ipv6") != f.Addr().Is6() {
				return false
			}
		case "tcp", "udp":
			if part != f.Network {
				return false
			}
		default:
			if !parsePortSet(part).has(f.Port()) {
				return false
			}
		}
	}
	return true
}
