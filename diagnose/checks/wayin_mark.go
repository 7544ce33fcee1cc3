package checks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// sourceRefused asks the kernel whether it takes the source of a packet from outside
// where it comes in, with the mark that rules at PREROUTING give it. told: it doesn't,
// or that can't be told. back is the way of the answer without a mark.
func sourceRefused(p *diagnose.Pass, back host.Route) (told bool, err error) {
	f := p.Flow
	q := host.RouteQuery{Destination: f.Addr(), Source: f.From, InputDevice: f.Inbound}
	in, err := p.Host.RouteTo(p.Ctx, q)
	if err != nil {
		return false, err
	}
	plain := wrongSource(p, in, back)
	m, err := arrivalMark(p, plain != nil)
	switch {
	case err != nil:
		return false, err
	case m.unknown != "":
		f.Unsure = m.unknown
		p.Unknown(host.Limit{What: "whether the kernel takes a packet from " + f.From.String() + " by " + f.Inbound, Why: m.unknown, Needs: "a look at the rules: portwhy rules, ip rule"})
		return true, nil
	case m.mark == 0:
		return stopSource(p, plain, plain)
	}
	q.Mark = m.mark
	if in, err = p.Host.RouteTo(p.Ctx, q); err != nil {
		return false, err
	}
	c := wrongSource(p, in, back)
	if c == nil {
		return false, nil
	}
	if err := m.explain(p, c, plain == nil); err != nil {
		return false, err
	}
	return stopSource(p, c, plain)
}

// stopSource stops the flow for a source that isn't taken. plain is the same for a packet
// without a mark, as the ARP request of a client on the link is: where its source isn't
// taken either, the client finds nobody (arp_process of net/ipv4/arp.c).
func stopSource(p *diagnose.Pass, c, plain *diagnose.Cause) (told bool, err error) {
	if c == nil {
		return false, nil
	}
	asks, err := asksForIt(p)
	if err == nil && asks && plain != nil {
		c.Outcome, c.Also = diagnose.HostUnreachable, []diagnose.Outcome{diagnose.Timeout}
		c.Title = strings.TrimSuffix(c.Title, ".") + ", as is its ARP request, so that it finds nobody."
	}
	p.Stop(*c)
	return true, err
}

// incoming is a packet from outside behind the rules of PREROUTING.
type incoming struct {
	mark    uint32
	unknown string       // why the mark can't be told, where that matters
	looks   *host.Sysctl // by which the way back is looked up with the mark; nil: it isn't
	tracer  *firewall.Tracer
	asked   firewall.Packet
}

// arrivalMark is the mark of the flow's first packet where it is routed, where that
// matters: policy rules ask for marks, and the way back has to be there. IPv6 has no
// filter for that but in rules. refused: without a mark it isn't the right one.
func arrivalMark(p *diagnose.Pass, refused bool) (m incoming, err error) {
	f := p.Flow
	if !f.Addr().Is4() {
		return m, nil
	}
	if asked, err := asksForMarks(p, f.From); err != nil || !asked {
		return m, err
	}
	filters, err := sourceSetting(p, "rp_filter")
	if err != nil || filters == nil {
		return m, err
	}
	if m.looks, err = sourceSetting(p, "src_valid_mark"); err != nil || m.looks == nil && !refused {
		return m, err
	}
	why := ""
	fw, err := p.Host.Firewall(p.Ctx)
	packet, ok := packetOf(p)
	switch {
	case err != nil || len(fw.Limits) > 0:
		why = "rules that can't be read may set it"
	case len(fw.Rules.Tables) == 0 || !ok:
	default:
		m.tracer, m.asked = tracerOf(p, fw.Rules), packet
		mark, known, err := m.tracer.Arrival(packet, clientPorts(p))
		if err != nil {
			return m, err
		}
		if m.mark = mark; !known {
			why = "which it is can't be told"
		}
	}
	if why != "" && m.looks != nil {
		m.unknown = fmt.Sprintf("the way back is looked up with the packet's mark (%s = %s), policy rules ask for that, and %s", m.looks.Key, strings.TrimSpace(m.looks.Value), why)
	}
	return m, nil
}

// sourceSetting is a setting of the way in that is on, for all devices or for the
// packet's (IN_DEV_ORCONF, IN_DEV_MAXCONF); nil if it is off.
func sourceSetting(p *diagnose.Pass, name string) (*host.Sysctl, error) {
	for _, where := range []string{p.Flow.Inbound, "all"} {
		s, err := p.Host.Sysctl(p.Ctx, host.DeviceKey("ipv4", where, name))
		switch {
		case errors.Is(err, host.ErrUnsupported):
		case err != nil:
			return nil, err
		case strings.TrimSpace(s.Value) != "0":
			return &s, nil
		}
	}
	return nil, nil
}

// explain says in a cause what the mark has to do with it: taken without says that
// the kernel takes the packet's source without a mark.
func (m incoming) explain(p *diagnose.Pass, c *diagnose.Cause, takenWithout bool) error {
	f := p.Flow
	q := host.RouteQuery{Destination: f.From, Source: f.Addr(), Mark: m.mark}
	back, err := p.Host.RouteTo(p.Ctx, q)
	if err != nil {
		return err
	}
	looks := m.looks
	evidence := append([]diagnose.Evidence{{Source: "RTM_GETROUTE", What: queryText(q), Value: routeText(back)}}, m.markedBy()...)
	switch {
	case looks == nil && back.Device == f.Inbound && !lost(back):
		// The mark is what leads back there, and is not looked at.
		key := host.DeviceKey("ipv4", f.Inbound, "src_valid_mark")
		c.Evidence = append(c.Evidence, evidence...)
		c.Title = strings.TrimSuffix(c.Title, ".") + fmt.Sprintf("; with its mark %#x it would be by %s, but that isn't looked at (%s = 0).", m.mark, f.Inbound, key)
		c.Fixes = append([]diagnose.Fix{{Title: "look for the way back with the packet's mark", NeedsRoot: true, Risk: "low", Opens: "packets with a mark whose way back is by " + f.Inbound, PredictedOutcome: diagnose.Connected,
			Commands: [][]string{{"sysctl", "-w", key + "=1"}}, Undo: [][]string{{"sysctl", "-w", key + "=0"}}}}, c.Fixes...)
		return nil
	case looks == nil || !takenWithout:
		return nil
	}
	c.Asked = false // not without the model of the rules, which says the mark
	c.Evidence = append(c.Evidence, append(evidence, sysctlEvidence(*looks))...)
	t, err := readTables(p)
	if err != nil {
		return err
	}
	way, rule := routeText(back), t.decider(q, back)
	if rule != nil {
		text := policyText(*rule)
		c.Evidence = append(c.Evidence, diagnose.Evidence{Source: "RTM_GETRULE", What: "policy rule", Value: text})
		way = fmt.Sprintf("%s, by the policy rule %q", way, text)
		if lost(back) {
			c.Culprit = &diagnose.Culprit{Kind: "route", Address: f.From.String(), Text: text}
		}
	}
	c.Title = fmt.Sprintf("A packet from %s that comes in by %s is dropped by reverse path filtering: a rule gives it the mark %#x, the way back is looked up with that (%s = 1), and it is %s.", f.From, f.Inbound, m.mark, looks.Key, way)
	if lost(back) {
		c.Fixes = t.wayOpened(q, back, rule, f.Inbound)
		for i := range c.Fixes {
			c.Fixes[i].PredictedOutcome = diagnose.Connected
		}
	}
	return nil
}

// markedBy is the rule that gave the packet its mark.
func (m incoming) markedBy() []diagnose.Evidence {
	loose := m.tracer.Loose()
	t, err := loose.Trace(m.asked)
	if err != nil {
		return nil
	}
	return markedBy(loose, t)
}
