package firewall

import (
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// Without is the firewall as it would be without the rule that decided.
func (t *Tracer) Without(decided *Trace) *Tracer {
	return t.changed(decided.chain, func(c *rules.Chain) {
		c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r *rules.Rule) bool { return r == decided.decided })
	})
}

// Mapper is the step whose rule has changed the packet's destination; nil if none
// has.
func (t *Trace) Mapper() *Step {
	for i := len(t.Steps) - 1; i >= 0; i-- {
		if s := &t.Steps[i]; s.Effect == "nat" && s.at.rule != nil && (s.Hook == rules.Output || s.Hook == rules.Prerouting) {
			return s
		}
	}
	return nil
}

// Set is the firewall as it would be with another value of a setting below
// /proc/sys.
func (t *Tracer) Set(key, value string) *Tracer {
	facts, ask := t.facts, t.facts.Sysctl
	facts.Sysctl = func(k string) (string, bool) {
		if k == key {
			return value, true
		}
		if ask == nil {
			return "", false
		}
		return ask(k)
	}
	other := *t
	other.facts = facts
	return other.of(t.set)
}

// WithoutStep is the firewall as it would be without a step's rule.
func (t *Tracer) WithoutStep(s *Step) *Tracer {
	return t.changed(s.at.chain, func(c *rules.Chain) {
		c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r *rules.Rule) bool { return r == s.at.rule })
	})
}

// BeforeStep is the firewall as it would be with a new rule before a step's, written
// as in [Tracer.With].
func (t *Tracer) BeforeStep(s *Step, rule string) (*Tracer, error) {
	added, err := t.parseRule(s.Backend, s.Family, rule)
	if err != nil {
		return nil, err
	}
	return t.changed(s.at.chain, func(c *rules.Chain) { insert(c, max(0, slices.Index(c.Rules, s.at.rule)), added) }), nil
}

// changed is the firewall with another form of one chain.
func (t *Tracer) changed(which *rules.Chain, change func(*rules.Chain)) *Tracer {
	set := *t.set
	set.Tables = slices.Clone(set.Tables)
	for i, table := range set.Tables {
		at := slices.Index(table.Chains, which)
		if at < 0 {
			continue
		}
		other, chain := *table, *which
		change(&chain)
		other.Chains = slices.Clone(table.Chains)
		other.Chains[at] = &chain
		set.Tables[i] = &other
	}
	return t.of(&set)
}

// of asks another ruleset with the same facts.
func (t *Tracer) of(set *rules.Ruleset) *Tracer {
	return &Tracer{set: set, machine: eval.Compile(set, t.facts), facts: t.facts, printer: t.printer, tool: t.tool, reply: t.reply, curious: curious(set)}
}

// SwitchedOn is the firewall as it would be with a setting on, in dots as in
// [Trace.SwitchedOff]: with packets forwarded, they go as this host's own would.
func (t *Tracer) SwitchedOn(key string) *Tracer {
	other := t.Loose()
	key = host.SysctlKey(key)
	if ask := t.facts.Sysctl; ask != nil {
		other.facts.Sysctl = func(k string) (string, bool) {
			if k == key {
				return "1", true
			}
			return ask(k)
		}
	}
	return other.of(t.set)
}

// Loose is the firewall as it would be if no packet were lost for where it comes
// from and by which device.
func (t *Tracer) Loose() *Tracer {
	other := *t
	ask := t.facts.Route
	if ask == nil {
		return &other
	}
	other.facts.Route = func(q eval.Query) (eval.Route, bool) {
		r, ok := ask(q)
		switch {
		case q.In == "" || ok && (r.Type == eval.Unicast || r.Type == eval.Local):
			return r, ok
		case q.Dst.IsLoopback():
			return eval.Route{Type: eval.Local, Out: "lo"}, true
		}
		q.In, q.Src = "", netip.Addr{}
		r, ok = ask(q)
		r.HasRealm = false // which goes by the source, too
		return r, ok
	}
	return other.of(t.set)
}

// Untracked reports whether a rule has kept the packet from connection tracking.
func (t *Trace) Untracked() bool { return t.state == eval.Untracked }

// AcceptedBefore is the rule about the packet's port that accepted it at the
// hook where another chain then stopped it; nil if there is none.
func (t *Trace) AcceptedBefore() *Rule {
	for i, s := range t.Steps {
		d := t.DecidedBy
		if s.Effect == "accept" && s.aboutPort && d != nil && s.Hook == d.Hook && (s.Table != d.Table || s.Backend != d.Backend || s.Family != d.Family) {
			return &t.Steps[i].Rule
		}
	}
	return nil
}

// AboutPort reports whether the step's rule asks for the packet's port.
func (s *Step) AboutPort() bool { return s.aboutPort }

const transportHeader = 2 // NFT_PAYLOAD_TRANSPORT_HEADER

func aboutPort(r *rules.Rule) bool {
	return r.About().Comment != supposed && slices.ContainsFunc(r.Exprs.All(), func(e rules.Expr) bool {
		switch e := e.(type) {
		case *rules.Payload:
			return e.Base == transportHeader && !e.Write
		case *rules.Match:
			return slices.Contains([]string{"tcp", "udp", "multiport", "sctp", "dccp", "udplite"}, e.Ext)
		}
		return false
	})
}
