package owner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/compile"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/xtables"
)

// Saved are the rules as they would be after the files that hold them are loaded
// again: at the next boot, or by a reload.
type Saved struct {
	Rules *rules.Ruleset
	Files []string
}

// maxSaved bounds how many bytes of saved rules are compared.
const maxSaved = 1 << 20

// Boot says whether a saver's files are loaded at boot; known is false where that
// can't be told.
type Boot func(saver string) (loads, known bool)

// Saved puts each table that a file has in the place of the kernel's; nil if no
// file has one. device is the index of a device by its name.
func (f *Facts) Saved(boot Boot, device func(string) (uint32, bool)) *Saved {
	s := &Saved{Rules: &rules.Ruleset{}}
	*s.Rules = *f.Rules
	s.Rules.Tables = slices.Clone(f.Rules.Tables)
	total := 0
	for _, file := range f.Files {
		if total += len(file.Text); total > maxSaved {
			return nil
		}
	}
	nft := false
	for _, file := range f.Files {
		kind := saver(file.Path)
		if kind == "" || kind == "ufw" {
			continue
		}
		loads, known := boot(kind)
		if known && !loads {
			continue
		}
		if kind != "nftables" {
			set, err := xtables.Parse(file.Path, file.Text, familyOf(file.Path))
			if err == nil {
				s.iptables(file.Path, set, known)
			}
			continue
		}
		if nft || file.Path != "/etc/nftables.conf" && file.Path != "/etc/sysconfig/nftables.conf" {
			continue // one that includes the others
		}
		nft = true
		options := nfttext.Options{Options: compile.Options{Interface: device}, Include: func(pattern string) ([]nfttext.File, error) { return f.included(file.Path, pattern), nil }}
		set, err := nfttext.Parse(file.Path, file.Text, options)
		if err == nil {
			s.nftables(file, set, known)
		}
	}
	if len(s.Files) == 0 {
		return nil
	}
	return s
}

// nftables takes the tables of a file of nft. One that begins by flushing the
// ruleset ends the tables that no program is known to have made, too.
func (s *Saved) nftables(file host.File, set *rules.Ruleset, boots bool) {
	for _, t := range set.Tables {
		t.Backend = rules.NFT
		s.put(file.Path, t, boots, func(live *rules.Table) *rules.Table { return t })
	}
	if len(set.Tables) == 0 || !flushes(file.Text) {
		return
	}
	s.Rules.Tables = slices.DeleteFunc(s.Rules.Tables, func(t *rules.Table) bool {
		return t.Backend == rules.NFT && !slices.Contains(set.Tables, t) && !made(t)
	})
}

// flushes reports whether a file of nft begins anew.
func flushes(text string) bool {
	for line := range strings.Lines(text) {
		if w := words(line); len(w) >= 2 && w[0] == "flush" && strings.TrimSuffix(w[1], ";") == "ruleset" {
			return true
		}
	}
	return false
}

// made reports whether a program is known to have made something in a table.
func made(t *rules.Table) bool {
	return slices.ContainsFunc(t.Chains, func(c *rules.Chain) bool {
		for _, r := range append([]*rules.Rule{nil}, c.Rules...) {
			if m, _ := (&place{table: t, chain: c, rule: r}).manager(); m != "" {
				return true
			}
		}
		return false
	})
}

// iptables takes the tables of a file of iptables-save. Chains that the file
// doesn't have are other programs', which add them again.
func (s *Saved) iptables(file string, set *rules.Ruleset, boots bool) {
	for _, t := range set.Tables {
		backend := rules.Backend("")
		for _, live := range s.Rules.Tables {
			if live.Backend != rules.NFT && live.Family == t.Family && live.Name == t.Name {
				if backend != "" {
					return // into which of the two it is loaded is not known
				}
				backend = live.Backend
			}
		}
		if backend == "" {
			backend = rules.IptablesLegacy
		}
		t.Backend = backend
		s.put(file, t, boots, func(live *rules.Table) *rules.Table { return withForeign(t, live) })
	}
}

// withForeign is a saved table with the chains that only the kernel has, and with
// what leads to them.
func withForeign(saved, live *rules.Table) *rules.Table {
	for _, c := range live.Chains {
		have := saved.Chain(c.Name)
		if have == nil {
			saved.Chains = append(saved.Chains, c)
			continue
		}
		var first []*rules.Rule
		for _, r := range c.Rules {
			if to := target(r); to != "" && saved.Chain(to) == nil && live.Chain(to) != nil {
				first = append(first, r)
			}
		}
		have.Rules = slices.Concat(first, have.Rules)
		for i, r := range have.Rules {
			moved := *r
			moved.Number = int32(i + 1)
			have.Rules[i] = &moved
		}
	}
	return saved
}

// put replaces a table. One that the kernel doesn't have is added where it is
// known to be loaded at boot.
func (s *Saved) put(file string, t *rules.Table, boots bool, with func(live *rules.Table) *rules.Table) {
	for i, live := range s.Rules.Tables {
		if live.Backend == t.Backend && live.Family == t.Family && live.Name == t.Name {
			s.Rules.Tables[i] = with(live)
			s.add(file)
			return
		}
	}
	if boots {
		s.Rules.Tables = append(s.Rules.Tables, t)
		s.add(file)
	}
}

func (s *Saved) add(file string) {
	if !slices.Contains(s.Files, file) {
		s.Files = append(s.Files, file)
	}
}

// Transient says why what a culprit stands for is not there after the next boot or
// reload, where its manager keeps that itself; empty if it is, or isn't known.
// accepts: it lets the flow pass.
func (f *Facts) Transient(c *diagnose.Culprit, flow Flow, accepts bool) string {
	p := f.place(c)
	if p == nil {
		return ""
	}
	switch manager, _ := p.manager(); manager {
	case "ufw":
		const conf = "/etc/ufw/ufw.conf"
		if line := f.fileLike(conf, "ENABLED=no"); line > 0 && !accepts {
			return fmt.Sprintf("ufw is not enabled (%s:%d): its rules are not loaded at the next boot", conf, line)
		}
		o := Owner{}
		if f.fromFile(&o, p, "ufw"); o.Line == 0 && p.rule != nil && slices.ContainsFunc(f.Files, func(file host.File) bool { return saver(file.Path) == "ufw" }) {
			return "the rule is in none of ufw's files: it ends with the next reload"
		}
	case "firewalld":
		return f.transientZone(p, flow, accepts)
	}
	return ""
}

// transientZone compares a zone's port with the permanent configuration.
func (f *Facts) transientZone(p *place, flow Flow, accepts bool) string {
	z, ok := zoneOf(p.table, p.chain.Name)
	if !ok || z.zone == "" || z.forward {
		return ""
	}
	saved := f.zoneFile(z)
	open := saved.portFor(flow)
	switch {
	case saved.path == "":
	case !accepts && open > 0:
		return fmt.Sprintf("the permanent configuration of %s opens port %d/%s (%s:%d), and is not loaded yet", z.what(), flow.Port, flow.Network, saved.path, open)
	case accepts && open == 0 && p.rule != nil && opens(words(f.text(p.table, p.chain, p.rule)), flow) && !saved.mayServe(flow.Port):
		return fmt.Sprintf("the permanent configuration of %s (%s) doesn't open port %d/%s: it ends with the next reload", z.what(), saved.path, flow.Port, flow.Network)
	}
	return ""
}

// servedPorts are the ports of services that zones have by default.
var servedPorts = map[string]uint16{"ssh": 22, "dhcpv6-client": 546, "dhcpv6": 547, "cockpit": 9090, "mdns": 5353, "http": 80, "https": 443}

// mayServe reports whether one of the zone's services may be about a port.
func (z zoneFile) mayServe(port uint16) bool {
	return slices.ContainsFunc(z.services, func(name string) bool {
		p, known := servedPorts[name]
		return !known || p == port
	})
}
