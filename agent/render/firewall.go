package render

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/rules"
)

// hookOrder is the order in which packets meet the hooks.
var hookOrder = []rules.Hook{rules.Ingress, rules.Prerouting, rules.Input, rules.Forward, rules.Output, rules.Postrouting, rules.Egress}

// placed is a chain with its table.
type placed struct {
	table *firewall.Table
	chain *firewall.Chain
}

// Firewall writes the ruleset as one page: base chains by hook and priority,
// then the chains that are jumped to, sets and what is not understood. Each rule
// is one line, so that the page can be searched. There may be a million, so that what
// is written doesn't wait for the rest. The error is the writer's.
func Firewall(to io.Writer, p *firewall.Page, o TextOptions) error {
	w := &firewallPage{color: colors{o.Color}}
	hooked, other := map[rules.Hook][]placed{}, []placed(nil)
	for i := range p.Tables {
		t := &p.Tables[i]
		for j := range t.Chains {
			if c := (placed{t, &t.Chains[j]}); c.chain.Hook != nil {
				hooked[*c.chain.Hook] = append(hooked[*c.chain.Hook], c)
			} else {
				other = append(other, c)
			}
		}
	}
	for _, hook := range hookOrder {
		list := hooked[hook]
		if len(list) == 0 {
			continue
		}
		slices.SortStableFunc(list, func(a, b placed) int { return cmp.Compare(*a.chain.Priority, *b.chain.Priority) })
		w.title("hook " + string(hook))
		for _, c := range list {
			if err := w.chain(to, c); err != nil {
				return err
			}
		}
	}
	if len(other) > 0 {
		w.title("chains that rules jump to")
		for _, c := range other {
			if err := w.chain(to, c); err != nil {
				return err
			}
		}
	}
	w.sets(p)
	if len(p.Tables) == 0 && len(p.IPSets) == 0 && len(p.Limits) == 0 {
		w.line("No rules: neither nftables nor iptables has a table here.")
	}
	w.unseen(p)
	_, err := w.out.WriteTo(to)
	return err
}

type firewallPage struct {
	color colors
	begun bool
	out   bytes.Buffer
}

func (w *firewallPage) line(s string) {
	w.out.WriteString(s)
	w.out.WriteByte('\n')
}

func (w *firewallPage) title(s string) {
	if w.begun {
		w.line("")
	}
	w.begun = true
	w.line(w.color.bold(s))
}

const (
	// maxRule bounds a rule's text, in characters.
	maxRule = 4000
	// muchText is how many bytes are written at once.
	muchText = 1 << 16
)

// chain writes a chain, and whenever there is much of it to the writer.
func (w *firewallPage) chain(to io.Writer, c placed) error {
	t := c.table
	s := Escape(fmt.Sprintf("%s %s %s", t.Family, t.Name, c.chain.Name))
	if c.chain.Priority != nil {
		s = fmt.Sprintf("%6d  ", *c.chain.Priority) + s
	} else {
		s = "        " + s
	}
	about := []string{string(t.Backend)}
	if c.chain.Type != nil && *c.chain.Type != "filter" {
		about = append(about, *c.chain.Type)
	}
	if len(c.chain.Devices) > 0 {
		about = append(about, "on "+strings.Join(c.chain.Devices, ", "))
	}
	if slices.Contains(t.Flags, "dormant") {
		about = append(about, "dormant: sees no packet")
	}
	s += "  " + w.color.dim(Escape("("+strings.Join(about, ", ")+")"))
	if c.chain.Policy != nil && *c.chain.Policy != "" {
		s += "  policy " + Escape(*c.chain.Policy) + w.counters(c.chain.Packets, c.chain.Bytes)
	}
	w.line(s)
	for i := range c.chain.Rules {
		w.rule(&c.chain.Rules[i])
		if w.out.Len() > muchText {
			if _, err := w.out.WriteTo(to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *firewallPage) rule(r *firewall.PageRule) {
	// There may be very many of them, so that this is not formatted.
	name := "rule " + strconv.Itoa(r.Number)
	if r.Handle != nil {
		name = "handle " + strconv.FormatUint(*r.Handle, 10)
	}
	w.out.WriteString("            ")
	w.out.WriteString(w.color.dim(pad(name, 11)))
	w.out.WriteByte(' ')
	w.out.WriteString(Cut(r.Text, maxRule))
	// The text of nft has the counters in it.
	if r.Packets != nil && !strings.Contains(r.Text, "counter packets ") {
		w.out.WriteString(w.counters(r.Packets, r.Bytes))
	}
	if len(r.Opaque) > 0 {
		w.out.WriteString(w.color.dim(Escape("  (not understood: " + strings.Join(r.Opaque, ", ") + ")")))
	}
	w.out.WriteByte('\n')
}

func (w *firewallPage) counters(packets, bytes *uint64) string {
	if packets == nil || bytes == nil {
		return ""
	}
	return w.color.dim("  [" + strconv.FormatUint(*packets, 10) + " packets, " + strconv.FormatUint(*bytes, 10) + " bytes]")
}

func (w *firewallPage) sets(p *firewall.Page) {
	titled := false
	one := func(format string, args ...any) {
		if !titled {
			w.title("sets and objects")
		}
		titled = true
		w.line("        " + Escape(fmt.Sprintf(format, args...)))
	}
	for i := range p.Tables {
		t := &p.Tables[i]
		where := t.Family + " " + t.Name
		for _, s := range t.Sets {
			kind := "set"
			if s.Map {
				kind = "map"
			}
			about := ""
			if len(s.Flags) > 0 {
				about = ", " + strings.Join(s.Flags, ", ")
			}
			one("%s %s %s: %s%s, %s", where, kind, s.Name, s.Type, about, elements(s.Elements, s.ElementsKnown))
		}
		for _, x := range t.Objects {
			one("%s %s %s", where, x.Type, x.Name)
		}
		for _, f := range t.Flowtables {
			one("%s flowtable %s: priority %d, on %s", where, f.Name, f.Priority, strings.Join(f.Devices, ", "))
		}
	}
	for _, s := range p.IPSets {
		family := ""
		if s.Family == "ip6" {
			family = " inet6"
		}
		one("ipset %s: %s%s, %s", s.Name, s.Type, family, elements(s.Elements, s.ElementsKnown))
	}
}

func elements(n *int, known bool) string {
	switch {
	case n == nil:
		return "elements not read"
	case *n == 1:
		return "1 element"
	case !known:
		return fmt.Sprintf("%d elements, not read", *n)
	}
	return fmt.Sprintf("%d elements", *n)
}

func (w *firewallPage) unseen(p *firewall.Page) {
	if len(p.Opaque)+len(p.Limits) > 0 {
		w.line("")
	}
	for _, o := range p.Opaque {
		s := "Not understood: " + o.Expression
		if o.Rule != nil {
			s += " in " + o.Rule.Where()
		}
		w.line(Escape(s + ": " + o.Why))
	}
	for _, l := range p.Limits {
		s := "Unseen " + l.What + ": " + l.Why
		if l.Needs != "" {
			s += " (needs " + l.Needs + ")"
		}
		w.line(Escape(s))
	}
}
