package eval

import (
	"github.com/portwhy/portwhy/rules"
)

// harmlessTargets have no effect on the packet's fate or on later matching:
// they log, count or send a copy, and the packet goes on.
var harmlessTargets = map[string]bool{
	"AUDIT": true, "IDLETIMER": true, "LED": true, "LOG": true, "NFLOG": true,
	"RATEEST": true, "TEE": true, "TRACE": true, "ULOG": true,
}

// target runs a target of iptables (xt_target.target of the kernel).
func (w *walk) target(t *rules.Target) rules.VerdictKind {
	if harmlessTargets[t.Ext] {
		return rules.Continue
	}
	return w.either(blame{"target " + t.Ext, "it is not modelled yet"})
}
