package render

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
)

// Trace writes what becomes of a packet: the verdict, the way through the rules
// with one line a rule, the rule that decides marked, and what is not known.
func Trace(t *firewall.Trace, o TextOptions) []byte {
	w := &firewallPage{color: colors{o.Color}}
	status, verdict := traceVerdict(t)
	w.line(w.color.status(status, symbol(status)) + " " + w.color.bold(Escape(asked(t.Asked))) + "   " + Escape(verdict))
	w.line("")
	hook := ""
	for i := range t.Steps {
		s := &t.Steps[i]
		if string(s.Hook) != hook {
			hook = string(s.Hook)
			w.line("  " + w.color.bold(Escape(hook)))
		}
		w.step(t, s)
	}
	if len(t.Steps) == 0 {
		w.line("  No rule or policy stands on its way.")
	}
	if changed := rewritten(t); changed != "" {
		w.line("  It leaves as " + Escape(changed))
	}
	if t.Reason != "" {
		w.line("  " + Escape(t.Reason))
	}
	for i, d := range t.Unknown {
		if i == 0 {
			w.line("")
		}
		s := "  Unknown " + d.Expression + ": " + d.Why
		if d.Rule != nil {
			s += " (" + d.Rule.Where() + ": " + d.Rule.Text + ")"
		}
		w.line(Cut(s, maxRule))
	}
	return w.out.Bytes()
}

func (w *firewallPage) step(t *firewall.Trace, s *firewall.Step) {
	const indent = "         "
	if s.Skipped > 1 {
		w.line(w.color.dim(fmt.Sprintf("  %s%d rules don't match", indent, s.Skipped)))
	} else if s.Skipped == 1 {
		w.line(w.color.dim("  " + indent + "1 rule doesn't match"))
	}
	mark := " "
	if decides(t, s) {
		mark = w.color.status(diagnose.Broken, "▸")
		if t.Verdict == "accept" {
			mark = w.color.status(diagnose.OK, "▸")
		}
	}
	where := Cut(s.Where(), maxSubject)
	if s.Effect == "unknown" {
		mark = w.color.status(diagnose.StatusUnknown, "?")
	}
	line := fmt.Sprintf("  %s %6d %s", mark, s.Priority, where)
	if s.Effect != "policy" {
		line += ": " + Cut(s.Text, maxRule) + w.color.dim("  ("+Escape(s.Effect)+")")
	} else {
		line += ": " + Escape(s.Text)
	}
	if s.Backend != "nft" {
		line += w.color.dim("  " + Escape(string(s.Backend)))
	}
	if s.Floats {
		line += w.color.dim("  (or behind others of its priority)")
	}
	w.line(line)
}

// decides reports whether the step is the one that gave the verdict.
func decides(t *firewall.Trace, s *firewall.Step) bool {
	d := t.DecidedBy
	return d != nil && d.Table == s.Table && d.Family == s.Family && d.Backend == s.Backend && d.Chain == s.Chain && d.Policy == (s.Effect == "policy") &&
		same(d.Number, s.Number)
}

func same(a, b *int) bool { return a == b || a != nil && b != nil && *a == *b }

// asked is the packet in one line.
func asked(p firewall.Packet) string {
	s := p.Src + " > " + p.Dst + "/" + p.Proto
	if p.Flags != "" {
		s += " " + p.Flags
	}
	if p.State != "" {
		s += " " + p.State
	}
	switch p.Way {
	case "in":
		s += " in"
	case "out":
		s += " out"
	case "forward":
		s += " forwarded"
	case "local":
		return s + " local"
	}
	if p.IIF != "" {
		s += " by " + p.IIF
	}
	if p.OIF != "" {
		if p.Way == "forward" {
			s += " to " + p.OIF
		} else {
			s += " by " + p.OIF
		}
	}
	return s
}

func traceVerdict(t *firewall.Trace) (diagnose.Status, string) {
	sees := ""
	switch t.ClientSees {
	case "refused":
		sees = ": connection refused"
	case "timeout":
		sees = ": the sender hears nothing"
	case "denied":
		sees = ": the sender gets \"permission denied\""
	case "host-unreachable", "net-unreachable":
		sees = ": " + strings.Replace(t.ClientSees, "-", " ", 1)
	}
	switch t.Verdict {
	case "accept":
		return diagnose.OK, "passes"
	case "drop":
		return diagnose.Broken, "dropped" + sees
	case "reject":
		with := ""
		if t.RejectWith != nil {
			with = " with " + *t.RejectWith
		}
		return diagnose.Broken, "rejected" + with + sees
	case "queue":
		return diagnose.StatusUnknown, "goes to a program's queue, which decides"
	}
	return diagnose.StatusUnknown, "not known" + sees
}

// rewritten is the packet as it leaves, if an address, port or mark was changed.
func rewritten(t *firewall.Trace) string {
	p := t.Packet
	end := func(a *netip.Addr, port *uint16, asked string) (string, bool) {
		if a == nil {
			return "?", true
		}
		now := a.String()
		was, err := netip.ParseAddr(strings.Trim(asked, "[]"))
		wasPort := uint16(0)
		if err != nil {
			ap, _ := netip.ParseAddrPort(asked)
			was, wasPort = ap.Addr(), ap.Port()
		}
		changed := was.Unmap().WithZone("") != *a
		if port != nil {
			now = netip.AddrPortFrom(*a, *port).String()
			changed = changed || *port != wasPort
		}
		return now, changed
	}
	src, a := end(p.Src, p.Sport, t.Asked.Src)
	dst, b := end(p.Dst, p.Dport, t.Asked.Dst)
	was, _ := strconv.ParseUint(string(t.Asked.Mark), 0, 32)
	mark := uint64(p.Mark) != was
	if !a && !b && !mark {
		return ""
	}
	s := src + " > " + dst
	if mark {
		s += fmt.Sprintf(" with mark %#x", p.Mark)
	}
	return s
}
