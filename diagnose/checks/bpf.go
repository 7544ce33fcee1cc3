package checks

import (
	"fmt"
	"path"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// What a BPF program's return value means: include/uapi/linux/bpf.h for XDP
// (0 aborted, 1 drop), include/uapi/linux/pkt_cls.h for tc (2 shot), and
// kernel/bpf/cgroup.c for cgroup hooks (0 deny, 1 allow).
const (
	xdpAborted, xdpDrop = 0, 1
	tcShot              = 2
	cgroupDeny          = 0
)

var bpf = &diagnose.Check{
	ID: "bpf", Doc: "whether a BPF program (XDP, tc, cgroup) drops or denies the packet",
	Codes: []string{"bpf-xdp-drop", "bpf-tc-drop", "bpf-cgroup-deny"},
	For:   diagnose.AskConnect, Behind: true,
	Run: runBPF,
}

// onTheWay lists the programs that the flow meets before it comes to a
// listener, and what each would do: on the device and on the caller's cgroup.
func onTheWay(p *diagnose.Pass) ([]suspect, error) {
	device := p.Flow.Route.Device
	if p.Flow.Local {
		device = inboundDevice(p)
	}
	programs, err := p.Host.Programs(p.Ctx, p.Info.Cgroup)
	if err != nil {
		return nil, err
	}
	for _, l := range programs.Limits {
		p.Limit(l)
	}
	var out []suspect
	for _, prog := range programs.List {
		if s, ok := suspectOf(prog, p.Flow, device); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// atListener lists the programs that see the packet come in for the listener's
// own cgroup (cgroup_skb ingress), if that is not the caller's.
func atListener(p *diagnose.Pass) ([]suspect, error) {
	if p.Flow.Listener == nil {
		return nil, nil
	}
	procs, _ := holdersOf(p, p.Flow.Listener.Inode)
	if len(procs) == 0 || procs[0].Cgroup == "" || procs[0].Cgroup == p.Info.Cgroup {
		return nil, nil
	}
	programs, err := p.Host.Programs(p.Ctx, procs[0].Cgroup)
	if err != nil {
		return nil, err
	}
	var out []suspect
	for _, prog := range programs.List {
		if prog.Cgroup == "" || !strings.Contains(prog.Attach, "ingress") {
			continue
		}
		if s, ok := suspectOf(prog, p.Flow, ""); ok {
			s.unit = procs[0].Unit
			out = append(out, s)
		}
	}
	return out, nil
}

// suspect is a program that can stop the flow, and how it would show.
type suspect struct {
	host.Program
	code    string
	outcome diagnose.Outcome
	early   bool // before any packet is made
	denies  int64
	unit    string
}

func suspectOf(prog host.Program, f *diagnose.Flow, device string) (suspect, bool) {
	attach := strings.ToLower(prog.Attach)
	s := suspect{Program: prog}
	switch {
	case strings.Contains(attach, "xdp"):
		s.code, s.outcome, s.denies = "bpf-xdp-drop", diagnose.Timeout, xdpDrop
		return s, prog.Device == device
	case strings.Contains(attach, "tc"):
		s.code, s.outcome, s.denies = "bpf-tc-drop", diagnose.Timeout, tcShot
		return s, prog.Device == device
	}
	s.code, s.denies = "bpf-cgroup-deny", cgroupDeny
	family := "4"
	if f.Addr().Is6() {
		family = "6"
	}
	switch {
	case strings.Contains(attach, "connect") && strings.Contains(attach, "inet"+family),
		strings.Contains(attach, "sock_create"),
		strings.Contains(attach, "sendmsg") && strings.Contains(attach, "udp"+family) && f.Network == "udp":
		s.outcome, s.early = diagnose.Denied, true
	case strings.Contains(attach, "egress"):
		s.outcome = diagnose.Timeout
		if f.Network == "udp" {
			s.outcome = diagnose.Denied
		}
	case strings.Contains(attach, "ingress"):
		s.outcome = diagnose.Timeout
	default:
		return s, false
	}
	return s, true
}

// certain reports whether the program stops every packet.
func (s suspect) certain() bool {
	return s.Constant != nil && (*s.Constant == s.denies || s.code == "bpf-xdp-drop" && *s.Constant == xdpAborted)
}

// harmless reports whether it lets every packet pass.
func (s suspect) harmless() bool { return s.Constant != nil && !s.certain() }

func (s suspect) cause() diagnose.Cause {
	where := s.Device
	if where == "" {
		where = "cgroup " + s.Cgroup
	}
	verb := "drops"
	if s.outcome == diagnose.Denied {
		verb = "denies"
	}
	c := diagnose.Cause{Code: s.code, Outcome: s.outcome,
		Culprit:  &diagnose.Culprit{Kind: "bpf", Program: s.Name, ID: s.ID, Attach: s.Attach, Device: s.Device, Value: s.Cgroup, Unit: s.unit},
		Evidence: []diagnose.Evidence{{Source: "bpf(2)", What: fmt.Sprintf("program %d", s.ID), Value: fmt.Sprintf("%s %q tag %s at %s on %s", s.Type, s.Name, s.Tag, s.Attach, where)}},
		Title:    fmt.Sprintf("The BPF program %q (id %d, %s on %s) %s it.", s.Name, s.ID, s.Attach, where, verb)}
	if s.outcome == diagnose.Timeout {
		c.Also = []diagnose.Outcome{diagnose.HostUnreachable}
	}
	if s.Constant != nil {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "bpf(2)", What: "instructions", Value: fmt.Sprintf("always return %d", *s.Constant)})
	}
	return c
}

// withUnit adds the property of a unit that makes systemd load such programs.
func withUnit(p *diagnose.Pass, s suspect) diagnose.Cause {
	c := s.cause()
	name := s.unit
	if name == "" {
		name = path.Base(s.Cgroup)
	}
	if !strings.HasPrefix(s.Name, "sd_") || !strings.Contains(name, ".") {
		return c
	}
	u, err := p.Host.Unit(p.Ctx, name)
	if err != nil {
		return c
	}
	c.Culprit.Unit, c.Culprit.File = u.Name, u.File
	for property, values := range map[string][]string{"IPAddressDeny": u.IPAddressDeny, "SocketBind": u.SocketBind} {
		if len(values) > 0 {
			c.Evidence = append(c.Evidence, diagnose.Evidence{Source: u.Name, What: property, Value: strings.Join(values, " ")})
		}
	}
	return c
}

func runBPF(p *diagnose.Pass) error {
	if p.Flow.Network == "unix" || !p.Flow.Destination.IsValid() {
		p.Skip("no packet")
		return nil
	}
	return stopByBPF(p, onTheWay)
}

var bpfListener = &diagnose.Check{
	ID: "bpf-listener", Doc: "whether a BPF program on the listener's control group drops what comes in for it",
	Codes: []string{"bpf-cgroup-deny"},
	For:   diagnose.AskConnect, Behind: true,
	Run: func(p *diagnose.Pass) error {
		if p.Flow.Listener == nil {
			p.Skip("no listener on this host")
			return nil
		}
		return stopByBPF(p, atListener)
	},
}

func stopByBPF(p *diagnose.Pass, programs func(*diagnose.Pass) ([]suspect, error)) error {
	list, err := programs(p)
	if err != nil {
		return err
	}
	for _, s := range list {
		p.Trace("%s", s.cause().Evidence[0].Value)
		if s.certain() {
			p.Stop(withUnit(p, s))
		}
	}
	p.OK("%d programs on the way", len(list))
	return nil
}

// bpfAfter explains a failure by a program whose decision can't be read.
var bpfAfter = &diagnose.Check{
	ID: "bpf-verdict", Doc: "whether a BPF program that decides by itself accounts for the failure",
	Codes: []string{"bpf-xdp-drop", "bpf-tc-drop", "bpf-cgroup-deny"},
	For:   diagnose.AskConnect, When: diagnose.Explain, Behind: true,
	Run: runBPFAfter,
}

func runBPFAfter(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || f.Observed == nil || f.Observed.Outcome.Good() || f.Observed.ICMP != nil || f.Blocked() {
		p.Skip("nothing left to explain")
		return nil
	}
	list, err := onTheWay(p)
	if err != nil {
		return err
	}
	there, err := atListener(p)
	if err != nil {
		return err
	}
	for _, s := range append(list, there...) {
		if s.harmless() || s.certain() || s.outcome != f.Observed.Outcome {
			continue
		}
		c := withUnit(p, s)
		c.Doubt, c.Ceiling = "the program decides by itself; what it decided can't be read", diagnose.Likely
		if s.early && p.Info.Seccomp == 0 && len(p.Info.LSMs) == 0 && f.Observed.Errno == "EPERM" {
			// Nothing else on this host answers connect(2) with EPERM.
			c.Doubt, c.Ceiling = "", diagnose.Proven
		}
		p.Stop(c)
		return nil
	}
	p.OK("no program accounts for it")
	return nil
}
