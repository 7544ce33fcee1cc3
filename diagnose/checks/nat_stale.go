package checks

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

var tracked = &diagnose.Check{
	ID: "tracked", Doc: "whether connection tracking leads a flow that exists elsewhere than the rules would now",
	Codes: []string{"nat-stale-conntrack"}, For: diagnose.AskConnect, When: diagnose.Explain,
	Run: runTracked,
}

// lately is how fresh an entry is that a flow still uses, if the flow's port wasn't
// told: others are left over from flows that ended.
const lately = 10 * time.Second

func runTracked(p *diagnose.Pass) error {
	f := p.Flow
	switch {
	case f.Firewall == nil || f.Firewall.Unknown != "" || f.Blocked():
		p.Skip("where the rules lead a new flow isn't known, or it doesn't get there")
		return nil
	case f.Network != "udp" && (f.Network != "tcp" || f.FromPort == 0):
		p.Skip("each connection has an entry of its own")
		return nil
	}
	if s, err := p.Host.Sysctl(p.Ctx, "net.netfilter.nf_conntrack_count"); errors.Is(err, host.ErrUnsupported) || err == nil && strings.TrimSpace(s.Value) == "0" {
		p.OK("nothing is tracked")
		return nil
	}
	packet, ok := packetOf(p)
	src, err := netip.ParseAddr(packet.Src)
	dst, err2 := netip.ParseAddrPort(packet.Dst)
	if !ok || err != nil || err2 != nil {
		p.Skip("the flow's source is not known")
		return nil
	}
	list, err := p.Host.Tracked(p.Ctx, host.TrackQuery{Network: f.Network, Source: netip.AddrPortFrom(src, f.FromPort), Destination: dst})
	if err != nil {
		return err
	}
	tracer, _ := lookAgain(p)
	for _, t := range list {
		to := now(tracer, packet, t)
		if !to.IsValid() || to == t.ReplySource || !inUse(p, t) {
			continue
		}
		stale(p, t, to)
		return nil
	}
	p.OK("%d flows are tracked, and led where the rules lead", len(list))
	return nil
}

// now is where the rules would lead the flow's first packet today; zero if that
// can't be told.
func now(tracer *firewall.Tracer, packet firewall.Packet, t host.Tracked) netip.AddrPort {
	if tracer == nil || t.Zone != 0 {
		return netip.AddrPort{}
	}
	packet.Src = t.Source.String()
	there, err := tracer.Trace(packet)
	if err != nil || there.Verdict != "accept" || there.Packet.Dst == nil {
		return netip.AddrPort{}
	}
	to, _ := there.Rewritten()
	return to
}

// inUse reports whether the flow was asked for by its port, or has sent just now.
func inUse(p *diagnose.Pass, t host.Tracked) bool {
	if p.Flow.FromPort != 0 {
		return true
	}
	key := "net.netfilter.nf_conntrack_udp_timeout"
	if t.Assured {
		key += "_stream"
	}
	s, err := p.Host.Sysctl(p.Ctx, key)
	if err != nil {
		return false
	}
	full, err := strconv.Atoi(strings.TrimSpace(s.Value))
	idle := time.Duration(full)*time.Second - t.Expires
	return err == nil && idle >= 0 && idle < lately
}

// stale: the flow is led to where it was led when it began.
func stale(p *diagnose.Pass, t host.Tracked, to netip.AddrPort) {
	f := p.Flow
	old := t.ReplySource
	listens, known := listensAt(p, t.Network, old)
	flow := fmt.Sprintf("%s -> %s", t.Source, t.Destination)
	evidence := []diagnose.Evidence{{Source: "ctnetlink", What: flow, Value: trackText(t)},
		{Source: "the firewall's rules", What: "where they lead it now", Value: to.String()}}
	title := fmt.Sprintf("The flow %s is still led to %s by its tracking entry, though the rules lead to %s now", flow, old, to)
	culprit := &diagnose.Culprit{Kind: "kernel", Name: "conntrack", Address: t.Source.String(), Value: old.String()}
	if known && listens || f.Observed != nil && f.Observed.Outcome.Good() {
		p.Warn(diagnose.Finding{Code: "nat-stale-conntrack", Culprit: culprit, Evidence: evidence, Title: title})
		return
	}
	c := diagnose.Cause{Code: "nat-stale-conntrack", Outcome: diagnose.Timeout, Also: []diagnose.Outcome{diagnose.Refused, diagnose.HostUnreachable, diagnose.NetUnreachable},
		Culprit: culprit, Evidence: evidence, Title: title + ".", Fixes: []diagnose.Fix{forget(t)}}
	if known {
		c.Outcome = diagnose.Refused
		c.Title = title + fmt.Sprintf("; nothing listens at %s any more.", old)
	} else {
		c.Doubt, c.Ceiling = "whether anybody answers at "+old.String()+" can't be seen from here", diagnose.Likely
	}
	if f.FromPort == 0 {
		c.Sometimes, c.Ceiling = true, diagnose.Likely
		c.Doubt = "flows from other ports are led where the rules lead"
	}
	p.Stop(c)
}

// trackText is an entry as people read it.
func trackText(t host.Tracked) string {
	s := fmt.Sprintf("answers come from %s to %s, expires in %s", t.ReplySource, t.ReplyDestination, t.Expires)
	if t.State != "" {
		s = t.State + ", " + s
	}
	if !t.Answered {
		s = "unanswered, " + s
	}
	return s
}

// forget deletes the one entry. It can't be put back, and need not: the flow's next
// packet makes a new one.
func forget(t host.Tracked) diagnose.Fix {
	command := []string{"conntrack", "-D"}
	if t.Source.Addr().Is6() {
		command = append(command, "-f", "ipv6")
	}
	command = append(command, "-p", t.Network, "--orig-src", t.Source.Addr().String(), "--orig-dst", t.Destination.Addr().String(),
		"--orig-port-src", strconv.Itoa(int(t.Source.Port())), "--orig-port-dst", strconv.Itoa(int(t.Destination.Port())))
	return diagnose.Fix{Title: "forget the old entry, which can't be put back: the flow's next packet makes a new one", NeedsRoot: true, Check: "simulated", Risk: "low",
		Opens: "nothing", PredictedOutcome: diagnose.Connected, Commands: [][]string{command}}
}
