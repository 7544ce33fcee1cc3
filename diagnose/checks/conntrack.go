package checks

import (
	"fmt"

	"github.com/portwhy/portwhy/diagnose"
)

var conntrackTable = &diagnose.Check{
	ID: "conntrack", Doc: "whether connection tracking has room for one more flow",
	Codes: []string{"conntrack-full"}, For: diagnose.AskConnect,
	Run: runConntrack,
}

func runConntrack(p *diagnose.Pass) error {
	f := p.Flow
	if f.Network == "unix" || !f.Destination.IsValid() || f.Blocked() {
		p.Skip("no packet gets so far")
		return nil
	}
	counters, err := p.Host.Counters(p.Ctx)
	if err != nil {
		return err
	}
	count, limit := counters["Conntrack.count"], counters["Conntrack.max"]
	if limit == 0 || count < limit {
		p.OK("%d of %d entries", count, limit)
		return nil
	}
	if _, look := lookAgain(p); look != nil && look.There.Untracked() {
		p.OK("the table is full (%d of %d), but a rule keeps the flow out of it", count, limit)
		return nil
	}
	const key = "net.netfilter.nf_conntrack_max"
	c := diagnose.Cause{Code: "conntrack-full", Outcome: diagnose.Timeout, Counter: "Conntrack.drop",
		Culprit:  &diagnose.Culprit{Kind: "sysctl", Key: key, Value: fmt.Sprint(limit)},
		Evidence: []diagnose.Evidence{{Source: "/proc/sys/net/netfilter/nf_conntrack_count", What: "flows that are tracked", Value: fmt.Sprintf("%d of %d", count, limit)}},
		Doubt:    "an entry that isn't assured may make room for it", Ceiling: diagnose.Likely,
		Title: fmt.Sprintf("The table of connection tracking is full (%d of %d): the first packet of a new flow is dropped.", count, limit)}
	if f.Network == "udp" && !f.From.IsValid() {
		c.Outcome = diagnose.Denied // sendto(2) is told
	}
	if drop := counters["Conntrack.drop"]; drop > 0 {
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "/proc/net/stat/nf_conntrack", What: "drop, since boot", Value: fmt.Sprint(drop)})
	}
	if s, err := p.Host.Sysctl(p.Ctx, key); err == nil {
		c.Culprit = sysctlCulprit(s)
	}
	if inInitialNamespace(p) { // elsewhere it can only be read
		c.Fixes = []diagnose.Fix{{Title: "let it grow to twice as many, until the next boot", NeedsRoot: true, PredictedOutcome: diagnose.Connected,
			Opens:    fmt.Sprintf("nothing; %d more entries take some %d MB", limit, limit*320>>20),
			Commands: [][]string{{"sysctl", "-w", fmt.Sprintf("%s=%d", key, 2*limit)}}, Undo: [][]string{{"sysctl", "-w", fmt.Sprintf("%s=%d", key, limit)}}}}
	}
	p.Stop(c)
	return nil
}

// inInitialNamespace reports whether this view is the network namespace of the
// host itself.
func inInitialNamespace(p *diagnose.Pass) bool {
	list, err := p.Host.Namespaces(p.Ctx)
	if err != nil || p.Info.Container != "" {
		return false
	}
	for _, ns := range list.Namespaces {
		if ns.Current {
			return ns.Host
		}
	}
	return false
}
