package checks

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var peers = &diagnose.Check{
	ID: "peers", Doc: "whether the same program answers at every address of the target",
	Codes: []string{"wrong-process-answers"},
	For:   diagnose.AskConnect,
	Run:   runPeers,
}

func runPeers(p *diagnose.Pass) error {
	f := p.Flow
	if f.Listener == nil {
		p.Skip("no listener on this host")
		return nil
	}
	if f.Network == "udp" {
		return udpSteal(p)
	}
	mine, _ := holdersOf(p, f.Listener.Inode)
	if len(mine) == 0 {
		p.OK("the listener's process can't be seen")
		return nil
	}
	if p.Target.Service != "" || p.Target.Scheme != "" {
		expectService(p, mine[0])
	}
	for _, other := range p.Flows {
		if other == f || other.Listener == nil || other.Listener.Inode == f.Listener.Inode {
			continue
		}
		theirs, _ := holdersOf(p, other.Listener.Inode)
		if len(theirs) == 0 || theirs[0].PID == mine[0].PID || theirs[0].Exe == mine[0].Exe && theirs[0].Exe != "" && (sameScript(theirs[0], mine[0]) || sameBackend(theirs[0], mine[0])) {
			continue
		}
		p.Warn(diagnose.Finding{Code: "wrong-process-answers", Culprit: processCulprit(theirs[0]), Evidence: []diagnose.Evidence{socketEvidence(*other.Listener), socketEvidence(*f.Listener)},
			Title: fmt.Sprintf("%s has two different answers: %s at %s and %s at %s", p.Target.Host, describe(theirs[0]), other, describe(mine[0]), f)})
		break
	}
	expectClaimed(p, mine[0])
	p.OK("%s", describe(mine[0]))
	return nil
}

// expectClaimed notes that a configuration gives the port to another program
// than the one that answers.
func expectClaimed(p *diagnose.Pass, proc host.Process) {
	if proc.Unit != "" || proc.Container != "" {
		return // it runs there because somebody configured it
	}
	claims, err := p.Host.Claims(p.Ctx)
	if err != nil {
		return
	}
	var other *host.Claim
	for i, c := range claims.List {
		if c.Port != p.Flow.Port() || c.Network != p.Flow.Network || c.Disabled || c.Program == "" || c.Program == "systemd" {
			continue
		}
		if Serves(proc, c.Program) || c.Unit != "" && c.Unit == proc.Unit {
			return
		}
		other = &claims.List[i]
	}
	if other != nil {
		tell := p.Note
		if other.Unit != "" {
			if u, err := p.Host.Unit(p.Ctx, other.Unit); err == nil && u.ActiveState == "failed" {
				tell = p.Warn // it was meant to run, and most likely failed for this
			}
		}
		tell(diagnose.Finding{Code: "wrong-process-answers", Culprit: processCulprit(proc), Evidence: []diagnose.Evidence{claimEvidence(*other), processEvidence(proc)},
			Title: fmt.Sprintf("%s answers, though %s:%d gives the port to %s", describe(proc), other.File, other.Line, other.Program)})
	}
}

func sameScript(a, b host.Process) bool {
	return strings.Join(a.Args, "\x00") == strings.Join(b.Args, "\x00")
}

// sameBackend: a proxy for each family that hands on to the same server.
func sameBackend(a, b host.Process) bool {
	to := backendOf(a)
	return to.IsValid() && to == backendOf(b)
}

// expectService warns when a target that names its service is served by a
// program known for another one.
func expectService(p *diagnose.Pass, proc host.Process) {
	usual := diagnose.ProgramsFor(p.Target.Port)
	for _, name := range usual {
		if name == proc.Name {
			return
		}
	}
	service := p.Target.Service
	port := diagnose.ServicePort(service)
	if port == 0 {
		return
	}
	for other, names := range diagnose.KnownPrograms() {
		if other == port {
			continue
		}
		for _, name := range names {
			if name == proc.Name && !belongsTo(proc.Name, port) {
				p.Warn(diagnose.Finding{Code: "wrong-process-answers", Culprit: processCulprit(proc), Evidence: []diagnose.Evidence{processEvidence(proc)},
					Title: fmt.Sprintf("%s was asked for, but %s answers there", service, describe(proc))})
				return
			}
		}
	}
}

func belongsTo(name string, port uint16) bool {
	for _, n := range diagnose.ProgramsFor(port) {
		if n == name {
			return true
		}
	}
	return false
}

// udpSteal: of two UDP sockets on one address (SO_REUSEADDR) the one bound last
// gets every unicast datagram (udp4_lib_lookup2 takes the first of equal score,
// and new sockets go first).
func udpSteal(p *diagnose.Pass) error {
	f := p.Flow
	all, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: "udp", Port: f.Port(), States: []host.State{host.Unconn}})
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Inode == f.Listener.Inode || s.Local != f.Listener.Local || s.Interface != f.Listener.Interface {
			continue
		}
		culprit, who := socketCulprit(p, s)
		_, me := socketCulprit(p, *f.Listener)
		p.Warn(diagnose.Finding{Code: "wrong-process-answers", Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(s), socketEvidence(*f.Listener)},
			Title: fmt.Sprintf("%s and %s share %s: only one of them hears a datagram", me, who, socketAddress(s))})
		break
	}
	p.OK("%s", socketAddress(*f.Listener))
	return nil
}
