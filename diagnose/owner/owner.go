// Package owner says who put a firewall's rule where it is: which tool, by the
// names that it gives its chains, sets and comments, and in which line of which
// file it is configured; and what that tool's own words for a change are.
//
// It asks nobody: rules, files and containers come in as facts. Files are
// hostile until they are parsed; what can't be read of them is passed over, so
// that the worst answer is that the owner is not known.
package owner

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/text"
)

// Unknown is the manager of a rule that nobody is known to have made.
const Unknown = "unknown"

// Facts are what the owner of a rule is found from.
type Facts struct {
	Rules      *rules.Ruleset
	Files      []host.File
	Containers func() []host.Container // asked only where a rule is a container engine's
	Printer    *text.Printer
}

// Flow is what the rule has stopped.
type Flow struct {
	Network  string // tcp, udp
	Src, Dst netip.Addr
	Port     uint16
	Hook     rules.Hook // where it was stopped
}

// Owner is who made a rule or policy, and how it is told and changed there.
type Owner struct {
	Manager string // ufw, firewalld, fail2ban, docker, …, or Unknown
	// Name is the manager's own name for what the rule is about: the zone, the
	// jail, the container, the service, or the rule as ufw writes it.
	Name string
	File string // where it is configured, and the line; empty if that was not found
	Line int
	// Position is the rule's number in its manager's list (ufw status numbered).
	Position int
	// Says is what stops the flow, in the manager's words, as a clause; empty if
	// the rule itself says more.
	Says     string
	Code     string // of the cause, where the manager's own fits better
	Evidence []diagnose.Evidence
	Fixes    []Fix
}

// Fix is a fix in its manager's words.
type Fix struct {
	diagnose.Fix
	Effect Effect
	// Exact: it opens no more than the flow's other end needs.
	Exact bool
}

// Effect is what a fix does where the flow is stopped, so that it can be tried on
// the model.
type Effect int

// The effects: one that is not told, a rule that accepts before what stops the
// flow, and the end of what stops it.
const (
	Other Effect = iota
	Accepts
	Removes
)

// place is a rule, or the policy of a chain if rule is nil.
type place struct {
	family rules.Family // IP or IP6: of the flow
	table  *rules.Table
	chain  *rules.Chain
	rule   *rules.Rule
	ipsets *rules.Ruleset
}

// Of finds the owner of the rule or policy that a culprit stands for.
func (f *Facts) Of(c *diagnose.Culprit, flow Flow) Owner {
	p := f.place(c)
	if p == nil {
		return Owner{Manager: Unknown}
	}
	p.ipsets = f.Rules
	p.family = rules.IP6
	if flow.Dst.Unmap().Is4() {
		p.family = rules.IP
	}
	o := Owner{}
	o.Manager, o.Name = p.manager()
	element := p.element(flow)
	if element != nil {
		o.Evidence = append(o.Evidence, element.evidence(p))
	}
	switch o.Manager {
	case "ufw":
		f.ufw(&o, p, flow)
	case "firewalld":
		f.firewalld(&o, p, flow)
	case "fail2ban":
		f.fail2ban(&o, p, flow)
	case "docker", "podman":
		f.container(&o, p, flow)
	case "kube-proxy":
		kubeProxy(&o, p)
	case "":
		f.nobody(&o, p, flow)
	default:
		ban(&o, p, flow)
	}
	if element != nil && len(o.Fixes) == 0 {
		o.Fixes = element.remove(p)
	}
	return o
}

// nobody is for rules without a name around them that tells: they are in a file
// that is loaded at boot, or about a container's address, or not known.
func (f *Facts) nobody(o *Owner, p *place, flow Flow) {
	if f.apart(o, p, flow) {
		return
	}
	if p.table.Name == "raw" && p.chain.Name == "PREROUTING" {
		if c := f.containerOf(p, f.containers()); c != nil {
			o.Manager = c.Engine
			describe(o, c)
			o.Says += " may be reached through its published ports only"
			return
		}
	}
	o.Manager = cmp.Or(f.fromFile(o, p, ""), Unknown)
}

// place finds what a culprit names in the rules.
func (f *Facts) place(c *diagnose.Culprit) *place {
	if f.Rules == nil || c == nil {
		return nil
	}
	for _, t := range f.Rules.Tables {
		if string(t.Backend) != c.Backend || t.Family.String() != c.Family || t.Name != c.Table {
			continue
		}
		chain := t.Chain(c.Chain)
		switch {
		case chain == nil:
			return nil
		case c.Number == nil:
			return &place{table: t, chain: chain}
		case *c.Number < 1 || *c.Number > len(chain.Rules):
			return nil
		}
		return &place{table: t, chain: chain, rule: chain.Rules[*c.Number-1]}
	}
	return nil
}

// sets are the names of the sets that the rule asks.
func (p *place) sets() []string {
	if p.rule == nil {
		return nil
	}
	var names []string
	for _, e := range p.rule.Exprs.All() {
		switch e := e.(type) {
		case *rules.Lookup:
			if s := p.table.Set(e.Set); s != nil && !s.Anonymous {
				names = append(names, s.Name)
			}
		case *rules.Match:
			names = append(names, e.Sets...)
		}
	}
	return names
}

func (p *place) comment() string {
	if p.rule == nil {
		return ""
	}
	return p.rule.About().Comment
}

// text is the rule as its tool writes it, without what it has counted.
func (f *Facts) text(t *rules.Table, c *rules.Chain, r *rules.Rule) string {
	plain := *r
	exprs := slices.Clone(r.Exprs.All())
	for i, e := range exprs {
		switch x := e.(type) {
		case *rules.Counter:
			e = &rules.Counter{}
		case *rules.Quota:
			quota := *x
			quota.Used = 0
			e = &quota
		case *rules.Last:
			e = &rules.Last{}
		}
		exprs[i] = e
	}
	plain.Exprs = rules.ListOf(exprs...)
	plain.Text = ""
	about := r.About()
	about.Packets, about.Bytes = 0, 0
	plain.Tell(about)
	printer := f.Printer
	if printer == nil {
		printer = &text.Printer{}
	}
	return printer.Rule(t, c, &plain)
}

// words splits a rule's text.
func words(s string) []string { return strings.Fields(s) }

// kubeProxy names the service, with which its comments begin: default/web:http
// has no endpoints.
func kubeProxy(o *Owner, p *place) {
	service, rest, _ := strings.Cut(p.comment(), " ")
	if !strings.Contains(service, "/") {
		return
	}
	o.Name = host.Clean([]byte(service), maxWords)
	o.Says = fmt.Sprintf("service %s %s", o.Name, host.Clean([]byte(rest), maxWords))
}

const maxWords = 300 // bytes of a name or comment
