package nft

import (
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xtables"
)

// MadeByIptables tells whether a table is iptables-nft's. The kernel doesn't
// keep who made it, so it goes by form: a table of ip or ip6 with a name of
// iptables that has base chains, all of them with iptables' names (INPUT, …), at
// its hooks and priorities. Whoever makes the same by hand makes what
// iptables-nft takes for its own as well. A table without base chains is not
// taken, it says too little.
func MadeByIptables(t *rules.Table) bool {
	if t.Family != rules.IP && t.Family != rules.IP6 {
		return false
	}
	found := false
	for _, c := range t.Chains {
		if !c.Base() {
			continue
		}
		if name, ok := xtables.BuiltIn(t.Name, c.Hook, c.Priority); !ok || name != c.Name {
			return false
		}
		found = true
	}
	return found
}
