package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

var qdisc = &diagnose.Check{
	ID: "qdisc", Doc: "whether the device's queueing discipline loses packets on purpose",
	Codes: []string{"qdisc-drop"},
	For:   diagnose.AskConnect, Behind: true,
	Run: runQdisc,
}

func runQdisc(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || f.From.IsValid() {
		p.Skip("no packet")
		return nil
	}
	device := f.Route.Device
	if f.Local {
		device = loopbackDevice(p)
	}
	list, err := p.Host.Qdiscs(p.Ctx)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.Kind == "blackhole" {
			q.Loss = 100 // sch_blackhole.c drops whatever it is given
		}
		if q.Device != device || q.Loss == 0 {
			continue
		}
		c := diagnose.Cause{Code: "qdisc-drop", Outcome: diagnose.Timeout, Also: []diagnose.Outcome{diagnose.HostUnreachable},
			Culprit:  &diagnose.Culprit{Kind: "kernel", Name: q.Kind, Device: q.Device, Text: qdiscText(q)},
			Evidence: []diagnose.Evidence{{Source: "RTM_GETQDISC", What: q.Device, Value: qdiscText(q)}},
			Title:    fmt.Sprintf("A %s queueing discipline on %s loses %.3g %% of all packets on purpose.", q.Kind, q.Device, q.Loss),
			Fixes: []diagnose.Fix{{Title: "remove it", NeedsRoot: true, Opens: "nothing", PredictedOutcome: diagnose.Connected,
				Commands: [][]string{{"tc", "qdisc", "del", "dev", q.Device, q.Parent}},
				Undo:     [][]string{undoQdisc(q)}}}}
		if q.Loss < 99.9 {
			p.Warn(diagnose.Finding{Code: c.Code, Title: c.Title, Culprit: c.Culprit, Evidence: c.Evidence})
			p.OK("%s", qdiscText(q))
			return nil
		}
		p.Stop(c)
		return nil
	}
	p.OK("none that loses packets on %s", device)
	return nil
}

func loopbackDevice(p *diagnose.Pass) string {
	links, err := p.Host.Links(p.Ctx)
	if err == nil {
		for _, l := range links {
			if l.Loopback {
				return l.Name
			}
		}
	}
	return "lo"
}

func qdiscText(q host.Qdisc) string {
	s := fmt.Sprintf("%s %s %s", q.Kind, q.Handle, q.Parent)
	if q.Loss > 0 {
		s += fmt.Sprintf(" loss %g%%", q.Loss)
	}
	if q.Delay > 0 {
		s += fmt.Sprintf(" delay %dms", q.Delay/1e6)
	}
	return s + fmt.Sprintf(" dropped %d", q.Drops)
}

func undoQdisc(q host.Qdisc) []string {
	args := []string{"tc", "qdisc", "add", "dev", q.Device, q.Parent, q.Kind}
	if q.Kind == "netem" {
		args = append(args, "loss", fmt.Sprintf("%g%%", q.Loss))
	}
	return args
}

// dropping is a queueing discipline on the device that has dropped packets and
// is there to do so; nil if there is none. The kernel's default ones drop under
// load only, which says nothing of one attempt.
func dropping(p *diagnose.Pass, device string) *host.Qdisc {
	list, err := p.Host.Qdiscs(p.Ctx)
	if err != nil {
		return nil
	}
	for i, q := range list {
		switch q.Kind {
		case "noqueue", "pfifo_fast", "pfifo", "mq", "fq", "fq_codel", "codel", "cake", "clsact", "ingress":
			continue
		}
		if q.Device == device && q.Drops > 0 {
			return &list[i]
		}
	}
	return nil
}
