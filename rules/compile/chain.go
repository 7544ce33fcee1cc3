package compile

import (
	"cmp"
	"slices"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/syntax"
	"github.com/portwhy/portwhy/rules/words"
)

func (c *Compiler) chain(d *syntax.Chain) {
	r := c.in(d.Pos, d.Family, d.Table)
	if d.Hook != "" {
		r.hook(d)
	}
	switch d.Policy {
	case "", "accept", "drop":
	default:
		r.failf(d.Pos, "no policy %q: accept or drop was expected", d.Policy)
	}
	if old := r.table.chains[d.Name]; old != nil {
		r.chainAgain(old, d)
		return
	}
	out := &rules.Chain{Name: d.Name, Handle: d.Handle, Comment: d.Comment, Flags: d.Flags}
	if d.Hook != "" {
		out.Hook, out.Type, out.Priority, out.Devices, out.Policy = rules.Hook(d.Hook), d.Type, d.Priority, d.Devices, cmp.Or(d.Policy, "accept")
	}
	r.table.addChain(out)
}

// hook refuses a hook or type of a chain that its family hasn't.
func (r *rule) hook(d *syntax.Chain) {
	if _, ok := words.Find(words.HookNumbers(d.Family), d.Hook); !ok && !(d.Family == rules.ARP && d.Hook == "forward") {
		r.failf(d.Pos, "family %s has no hook %q", d.Family, d.Hook)
	}
	switch d.Type {
	case "filter", "nat", "route":
	default:
		r.failf(d.Pos, "no chain type %q: filter, nat or route was expected", d.Type)
	}
}

// chainAgain takes what is said of a chain that is there: all that can change are
// its policy, and devices that come to its own (nf_tables_updchain).
func (r *rule) chainAgain(old *rules.Chain, d *syntax.Chain) {
	switch {
	case d.Hook != "" && !old.Base():
		r.failf(d.Pos, "chain %s is there already, and not at a hook", d.Name)
	case d.Hook != "" && (d.Type != old.Type || rules.Hook(d.Hook) != old.Hook || d.Priority != old.Priority):
		r.failf(d.Pos, "chain %s is there already, with another type, hook or priority", d.Name)
	case d.Policy != "" && !old.Base():
		r.failf(d.Pos, "chain %s is not at a hook and has no policy", d.Name)
	}
	for _, device := range d.Devices {
		if !slices.Contains(old.Devices, device) {
			old.Devices = append(old.Devices[:len(old.Devices):len(old.Devices)], device)
		}
	}
	if d.Policy != "" {
		old.Policy = d.Policy
	}
}
