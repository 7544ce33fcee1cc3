package checks

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/diagnose/owner"
	"github.com/portwhy/portwhy/rules"
)

// firewallSaved tells where the answer ends at the next boot: the rules in the
// kernel are not the saved ones, and the saved ones answer otherwise.
var firewallSaved = &diagnose.Check{
	ID: "firewall-saved", Doc: "whether the saved rules, which are loaded at boot, do the same with the flow",
	Codes: []string{"firewall-not-persistent"}, For: diagnose.AskConnect, When: diagnose.Explain,
	Run: runFirewallSaved,
}

func runFirewallSaved(p *diagnose.Pass) error {
	f := p.Flow
	stopped := stoppedByRule(p)
	if f.Firewall == nil || f.Firewall.Unknown != "" || f.Network == "unix" || f.Blocked() && stopped == nil {
		p.Skip("what the rules do with the flow is not known, or isn't what counts")
		return nil
	}
	fw, err := p.Host.Firewall(p.Ctx)
	if err != nil || len(fw.Limits) > 0 {
		return err
	}
	files, err := p.Host.FirewallFiles(p.Ctx)
	if err != nil {
		return err
	}
	facts := owner.Facts{Rules: fw.Rules, Files: files.List, Printer: firewall.Printer(p.Ctx, p.Host)}
	if len(files.List) == 0 {
		p.OK("no rules are saved")
		return nil
	}
	packet, ok := packetOf(p)
	if !ok {
		p.Skip("the packet's source is not known")
		return nil
	}
	known := firewall.Facts(p.Ctx, p.Host)
	saved := facts.Saved(loadedAtBoot(p), func(name string) (uint32, bool) {
		d, ok := known.Device(name)
		return d.Index, ok
	})
	if saved != nil {
		look, err := firewall.NewTracer(saved.Rules, known, facts.Printer, "").LookFrom(packet, clientPorts(p))
		if err != nil {
			return err
		}
		if differs(p, stopped, look, saved.Files) {
			return nil
		}
	}
	if len(fw.Rules.Tables) > 0 {
		tracer := tracerOf(p, fw.Rules)
		look, err := lookOf(p, tracer, packet)
		if err != nil {
			return err
		}
		if transient(p, facts, tracer, stopped, look) {
			p.OK("what decides isn't kept")
			return nil
		}
	}
	p.OK("the saved rules do the same, or there are none")
	return nil
}

// savers are the units that load the files of rules.
var savers = map[string]string{"nftables": "nftables.service", "netfilter-persistent": "netfilter-persistent.service", "iptables": "iptables.service"}

// loadedAtBoot asks the service manager whether files of rules are loaded at boot.
func loadedAtBoot(p *diagnose.Pass) owner.Boot {
	asked := map[string][2]bool{}
	return func(saver string) (loads, known bool) {
		if _, is := asked[saver]; !is && savers[saver] != "" {
			u, err := p.Host.Unit(p.Ctx, savers[saver])
			asked[saver] = [2]bool{strings.HasPrefix(u.Enabled, "enabled"), err == nil && u.Enabled != ""}
		}
		return asked[saver][0], asked[saver][1]
	}
}

// differs notes that the saved rules answer otherwise, if they do.
func differs(p *diagnose.Pass, stopped *diagnose.Cause, look *firewall.Look, files []string) bool {
	f := p.Flow
	finding := diagnose.Finding{Code: "firewall-not-persistent"}
	where := strings.Join(files, ", ")
	switch again := stoppedAgain(look); {
	case stopped == nil && again != nil:
		finding.Culprit = ruleCulprit(again.DecidedBy.Rule)
		if again.DecidedBy.Policy {
			finding.Culprit.Kind = "policy"
		}
		place := again.DecidedBy.Where()
		if finding.Culprit.File != "" {
			place = fmt.Sprintf("%s:%d", finding.Culprit.File, finding.Culprit.Line)
		} else if len(files) == 1 {
			finding.Culprit.File, place = files[0], place+", "+files[0]
		}
		finding.Title = fmt.Sprintf("the rules in the kernel let %s pass, those in %s don't: after the next boot or reload it is stopped: %s (%s)", f, where, deciding(again), place)
	case stopped != nil && passes(look):
		finding.Culprit = stopped.Culprit
		finding.Title = fmt.Sprintf("the rules in the kernel stop it, those in %s don't: after the next boot or reload it gets through", where)
	default:
		return false
	}
	p.Note(finding)
	p.OK("%s", finding.Title)
	return true
}

// transient notes that a rule which decides is not kept by the program that made it.
func transient(p *diagnose.Pass, facts owner.Facts, tracer *firewall.Tracer, stopped *diagnose.Cause, look *firewall.Look) bool {
	note := func(c *diagnose.Culprit, why string) bool {
		if why != "" {
			p.Note(diagnose.Finding{Code: "firewall-not-persistent", Culprit: c, Title: "what decides today isn't kept: " + why})
		}
		return why != ""
	}
	if stopped != nil {
		t := stoppedAgain(look)
		return t != nil && note(stopped.Culprit, facts.Transient(stopped.Culprit, stoppedFlow(p.Flow, t), false))
	}
	for i := range look.There.Steps {
		s := &look.There.Steps[i]
		if s.Effect != "accept" || !s.AboutPort() {
			continue
		}
		c := ruleCulprit(s.Rule)
		why := facts.Transient(c, owner.Flow{Network: p.Flow.Network, Dst: p.Flow.Addr(), Port: p.Flow.Port(), Hook: rules.Input}, true)
		if why == "" {
			continue
		}
		if without, err := tracer.WithoutStep(s).Look(look.There.Asked); err == nil && stoppedAgain(without) != nil && note(c, why) {
			return true
		}
	}
	return false
}
