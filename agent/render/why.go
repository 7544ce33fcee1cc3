package render

import (
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/firewall"
)

// Why writes what each rule does, or why it does nothing.
func Why(doc *firewall.Whys, o TextOptions) []byte {
	w := &firewallPage{color: colors{o.Color}}
	for i, why := range doc.Rules {
		if i > 0 {
			w.line("")
		}
		status := diagnose.Warning
		switch why.Effect {
		case firewall.Effective:
			status = diagnose.OK
		case firewall.Undecided:
			status = diagnose.StatusUnknown
		}
		w.line(w.color.status(status, symbol(status)) + " " + w.color.bold(Cut(why.Rule.Where(), maxSubject)) + ": " + Cut(why.Rule.Text, maxRule) + w.color.dim("  "+Escape(string(why.Rule.Backend))))
		w.line("  " + Escape(string(why.Effect)) + ": " + Cut(why.Because, maxRule))
		if why.Packet != "" {
			w.line("  " + w.color.dim("tried "+Cut(why.Packet, maxRule)+": "+Escape(why.Verdict)))
		}
	}
	return w.out.Bytes()
}
