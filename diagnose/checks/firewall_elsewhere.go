package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
)

// firewallElsewhere tells where the same port fares differently by the rules: by
// the other family of addresses, from outside, or from this host itself.
var firewallElsewhere = &diagnose.Check{
	ID: "firewall-elsewhere", Doc: "whether the rules treat others, this host itself or the other family of addresses differently",
	Codes: append(slices.Clone(firewallCodes), "firewall-one-family"), For: diagnose.AskConnect, When: diagnose.Explain,
	Run: runFirewallElsewhere,
}

func runFirewallElsewhere(p *diagnose.Pass) error {
	f := p.Flow
	if f.Firewall == nil || f.Firewall.Unknown != "" || f.Firewall.Away || f.Network == "unix" {
		p.Skip("what the rules do with the flow is not known, or there is nothing to compare")
		return nil
	}
	stopped := stoppedByRule(p)
	if f.Blocked() && stopped == nil || f.Local && f.Listener == nil {
		p.Skip("it fails by other things than rules")
		return nil
	}
	if stopped != nil && oneFamily(p, stopped) {
		p.OK("the other family of addresses passes")
		return nil
	}
	if !f.Local {
		p.Skip("how others fare at the far end is not known")
		return nil
	}
	return compare(p, stopped)
}

// stoppedByRule is the cause by which a rule or policy stops the flow, if that is
// the first.
func stoppedByRule(p *diagnose.Pass) *diagnose.Cause {
	for i := range p.Stopped() {
		c := &p.Stopped()[i]
		if c.After {
			continue
		}
		if c.Culprit != nil && (c.Culprit.Kind == "rule" || c.Culprit.Kind == "policy") && strings.HasPrefix(c.Code, "firewall-") {
			return c
		}
		return nil
	}
	return nil
}

// special are causes that say more than that the families differ.
var special = []string{"firewall-nd-blocked", "firewall-queue-unread", "firewall-invalid-state", "firewall-bridge", "firewall-set-drop", "firewall-rate-limit", "firewall-zone"}

// oneFamily gives the cause its name where a rule for one family only stops the
// flow, and the target's address of the other family passes the rules.
func oneFamily(p *diagnose.Pass, c *diagnose.Cause) bool {
	f := p.Flow
	by := c.Culprit
	if by.Family != "ip" && by.Family != "ip6" || slices.Contains(special, c.Code) || strings.Contains(by.Text, f.Addr().String()) {
		return false
	}
	for _, g := range p.Flows {
		if g.Addr().Is4() == f.Addr().Is4() || g.Firewall == nil || g.Firewall.Unknown != "" || g.Blocked() || g.Local && g.Listener == nil {
			continue
		}
		c.Code = "firewall-one-family"
		c.Title = fmt.Sprintf("The firewall lets %s pass, and not %s: %s", g, f, c.Title)
		return true
	}
	return false
}

// comparison is a flow to the same port on another way.
type comparison struct {
	code   string // of the finding, where it isn't that of the rule
	who    string
	from   netip.Addr // zero: this host itself
	to     netip.Addr
	device string
}

// compare notes where the same port fares otherwise.
func compare(p *diagnose.Pass, stopped *diagnose.Cause) error {
	ways := comparisons(p, stopped != nil)
	if len(ways) == 0 {
		p.Skip("there is nothing to compare it with")
		return nil
	}
	fw, err := p.Host.Firewall(p.Ctx)
	if err != nil || len(fw.Rules.Tables) == 0 {
		p.OK("there are no rules")
		return err
	}
	f := p.Flow
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: f.Port(), States: listening(f.Network)})
	if err != nil {
		return err
	}
	tracer := tracerOf(p, fw.Rules)
	for _, w := range ways {
		if lookup(socks, w.to, w.device) == nil {
			continue
		}
		packet := firewall.Packet{Proto: f.Network, Src: w.to.String(), Dst: netip.AddrPortFrom(w.to, f.Port()).String(), Way: "local"}
		if w.from.IsValid() {
			packet.Src, packet.IIF, packet.Way = w.from.String(), w.device, "in"
		} else {
			packet.UID = firewall.Number(strconv.FormatUint(uint64(p.Info.UID), 10))
		}
		look, err := lookOf(p, tracer, packet)
		if err != nil {
			return err
		}
		again := stoppedAgain(look)
		switch {
		case stopped == nil && again != nil:
			c := stoppedBy(again)
			c.Code = firewallCode(&diagnose.Flow{Local: true, From: w.from}, again)
			reasoned(&c, tracer, look.There, again)
			ownerOf(p, fw.Rules, c.Culprit, stoppedFlow(f, again))
			p.Note(diagnose.Finding{Code: orCode(w.code, c.Code), Culprit: c.Culprit, Evidence: c.Evidence,
				Title: fmt.Sprintf("%s would not get through: %s (%s)%s", w.who, deciding(again), again.DecidedBy.Where(), askFrom(w, f))})
		case stopped != nil && passes(look):
			p.Note(diagnose.Finding{Code: orCode(w.code, stopped.Code), Culprit: stopped.Culprit, Title: fmt.Sprintf("%s would get through the rules", w.who)})
		}
	}
	p.OK("compared with %d other ways", len(ways))
	return nil
}

func orCode(code, otherwise string) string {
	if code != "" {
		return code
	}
	return otherwise
}

// askFrom is the question that tells more.
func askFrom(w comparison, f *diagnose.Flow) string {
	if !w.from.IsValid() {
		return ""
	}
	return fmt.Sprintf(": portwhy --from %s %s", w.from, netip.AddrPortFrom(w.to, f.Port()))
}

// passes reports whether a flow passes there and back for certain.
func passes(l *firewall.Look) bool {
	return l.There.Verdict == "accept" && l.Back != nil && l.Back.Verdict == "accept" && (l.Then == nil || l.Then.Verdict == "accept")
}

// comparisons are the other ways to the same port that are worth a look.
func comparisons(p *diagnose.Pass, stopped bool) []comparison {
	f := p.Flow
	to := reached(f.Addr()).WithZone("")
	own, device := outside(p)
	var ways []comparison
	switch {
	case f.From.IsValid():
		ways = append(ways, comparison{who: "this host itself", to: to, device: loopbackDevice(p)})
	case own.IsValid() && (stopped || !p.Target.Addr.IsValid() || !to.IsLoopback()):
		from := neighbourOf(own)
		ways = append(ways, comparison{who: fmt.Sprintf("others (%s by %s)", from, device), from: from, to: own.Addr(), device: device})
	}
	for _, g := range p.Flows {
		if g.Addr().Is4() != f.Addr().Is4() {
			return ways // it was asked for
		}
	}
	other := comparison{code: "firewall-one-family", device: loopbackDevice(p)}
	family := map[bool]string{true: "IPv6", false: "IPv4"}[to.Is4()]
	switch {
	case to.IsLoopback() && !stopped:
		return ways
	case to.IsLoopback():
		other.to = map[bool]netip.Addr{true: netip.IPv6Loopback(), false: netip.AddrFrom4([4]byte{127, 0, 0, 1})}[to.Is4()]
		other.who = fmt.Sprintf("%s (%s)", family, other.to)
		return append(ways, other)
	}
	if own = sameDevice(p, device, !to.Is4()); !own.IsValid() {
		return ways
	}
	other.to = own.Addr()
	other.who = fmt.Sprintf("%s (%s)", family, other.to)
	if f.From.IsValid() {
		other.from, other.device = neighbourOf(own), device
		other.who = fmt.Sprintf("%s (%s to %s)", family, other.from, other.to)
	}
	return append(ways, other)
}

// neighbourOf is another address of a network.
func neighbourOf(own netip.Prefix) netip.Addr {
	neighbour := own.Masked().Addr().Next()
	if neighbour == own.Addr() {
		neighbour = neighbour.Next()
	}
	return neighbour
}

// sameDevice is a device's address of a family that others reach.
func sameDevice(p *diagnose.Pass, device string, four bool) netip.Prefix {
	addresses, err := p.Host.Addresses(p.Ctx)
	if err != nil {
		return netip.Prefix{}
	}
	for _, a := range addresses {
		if own := a.Prefix.Addr(); a.Device == device && own.Is4() == four && !own.IsLinkLocalUnicast() && !own.IsLoopback() {
			return a.Prefix
		}
	}
	return netip.Prefix{}
}
