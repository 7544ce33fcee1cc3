package diagnose

import (
	"errors"
	"fmt"
	"iter"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// firewallDoubt says why a rule could account for what was observed, or nothing
// if none can: there are no rules, or the kernel's own counter shows that the
// reset came from the stack (netfilter's resets are not counted in Tcp.OutRsts).
func (r *run) firewallDoubt(f *Flow) string {
	if f.Network == "unix" {
		return ""
	}
	if f.ownReset() == 1 && !r.translated(f) {
		return ""
	}
	if f.Observed != nil && f.Observed.ICMP != nil && f.Network == "tcp" {
		if !f.Local {
			return "" // the message names who sent it
		}
		return "TCP is never refused by ICMP but by a firewall rule"
	}
	if f.Firewall != nil {
		return r.undecided(f)
	}
	fw, err := r.host.Firewall(r.ctx)
	if err != nil {
		fw.Limits = append(fw.Limits, LimitOf("the firewall's rules", err))
	}
	for t, c := range chains(fw) {
		if concerns(t, c, f) {
			chain := fmt.Sprintf("%s %s %s %s", t.Backend, t.Family, t.Name, c.Name)
			r.limit(host.Limit{What: "what the firewall does (" + chain + ")", Why: "its rules are not evaluated by this version", Needs: "reading them: nft list ruleset, iptables-save"})
			r.find(Finding{Code: "firewall-unmodelled", Severity: SeverityNote, Title: "the firewall has rules or a policy on the way that are not evaluated: " + chain})
			return "a firewall rule could do the same"
		}
	}
	if len(fw.Limits) > 0 {
		for _, l := range fw.Limits {
			r.limit(l)
		}
		return "the firewall could not be read"
	}
	return ""
}

// undecided says why evaluated rules leave doubt, if they do.
func (r *run) undecided(f *Flow) string {
	if f.Firewall.Unknown == "" {
		return ""
	}
	r.find(Finding{Code: "firewall-unmodelled", Severity: SeverityNote, Title: "what the firewall does can't be told: " + f.Firewall.Unknown})
	return "a firewall rule could do the same"
}

// translated reports whether NAT could have led the attempt to another port,
// whose reset is the kernel's own, too. NAT needs connection tracking; a kernel
// that has it not loaded doesn't count connections.
func (r *run) translated(f *Flow) bool {
	if f.Firewall != nil && f.Firewall.Unknown == "" {
		return false // where it leads is known
	}
	if _, err := r.host.Sysctl(r.ctx, "net.netfilter.nf_conntrack_count"); errors.Is(err, host.ErrUnsupported) {
		return false
	}
	fw, err := r.host.Firewall(r.ctx)
	if err != nil || len(fw.Limits) > 0 {
		return true
	}
	for t, c := range chains(fw) {
		if !t.Dormant() && translates(c, f) && len(c.Rules) > 0 {
			return true
		}
	}
	return false
}

// chains are the chains of all tables.
func chains(fw host.Firewall) iter.Seq2[*rules.Table, *rules.Chain] {
	return func(yield func(*rules.Table, *rules.Chain) bool) {
		if fw.Rules == nil {
			return
		}
		for _, t := range fw.Rules.Tables {
			for _, c := range t.Chains {
				if !yield(t, c) {
					return
				}
			}
		}
	}
}

// disown forgets the predicted listener of a connection whose other end was
// not found at it, where NAT may have led to another: who answers is unknown.
func (r *run) disown() {
	for _, f := range r.flows {
		if f.Listener == nil || f.Network != "tcp" || f.Attempt == nil || f.Attempt.Errno != "" || f.Attempt.Accepted != "unknown" || !r.translated(f) {
			continue
		}
		f.Listener, f.led, r.server = nil, true, nil
		r.limit(host.Limit{What: "who answers at " + f.String(), Why: "a NAT rule may lead the connection elsewhere, and such rules are not evaluated by this version",
			Needs: "reading them: nft list ruleset, iptables-save"})
		r.find(Finding{Code: "firewall-unmodelled", Severity: SeverityNote, Title: "a NAT rule may lead the connection to " + f.String() + " elsewhere"})
	}
}
