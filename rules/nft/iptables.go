package nft

import (
	"slices"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// builtin is a chain that iptables has in a table.
type builtin struct {
	hook     rules.Hook
	priority int32
}

// builtins are the tables of iptables; the priorities are those of
// linux/netfilter_ipv4.h, NF_IP_PRI_*.
var builtins = map[string][]builtin{
	"raw": {{rules.Prerouting, -300}, {rules.Output, -300}},
	"mangle": {{rules.Prerouting, -150}, {rules.Input, -150}, {rules.Forward, -150}, {rules.Output, -150},
		{rules.Postrouting, -150}},
	"nat":      {{rules.Prerouting, -100}, {rules.Input, 100}, {rules.Output, -100}, {rules.Postrouting, 100}},
	"filter":   {{rules.Input, 0}, {rules.Forward, 0}, {rules.Output, 0}},
	"security": {{rules.Input, 50}, {rules.Forward, 50}, {rules.Output, 50}},
}

// madeByIptables tells whether a table is iptables-nft's. The kernel doesn't
// keep who made it, so it goes by form: a table of ip or ip6 with a name of
// iptables that has base chains, all of them with iptables' names (INPUT, …), at
// its hooks and priorities. Whoever makes the same by hand makes what
// iptables-nft takes for its own as well. A table without base chains is not
// taken, it says too little.
func madeByIptables(t *rules.Table) bool {
	if t.Family != rules.IP && t.Family != rules.IP6 {
		return false
	}
	found := false
	for _, c := range t.Chains {
		if !c.Base() {
			continue
		}
		if c.Name != strings.ToUpper(string(c.Hook)) || !slices.Contains(builtins[t.Name], builtin{c.Hook, c.Priority}) {
			return false
		}
		found = true
	}
	return found
}
