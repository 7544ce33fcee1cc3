package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// Fingerprint is the same for two rulesets that differ only in what packets
// change: counters, what is left of quotas and timeouts, and the elements that
// rules add themselves.
func Fingerprint(set *rules.Ruleset) (string, error) {
	still := rules.Ruleset{}
	for _, t := range set.Tables {
		table := *t
		table.Chains, table.Sets, table.Objects = nil, nil, nil
		for _, c := range t.Chains {
			chain := *c
			chain.Packets, chain.Bytes, chain.Rules = 0, 0, nil
			for _, r := range c.Rules {
				rule, about := *r, r.About()
				about.Packets, about.Bytes = 0, 0
				rule.Tell(about)
				rule.Text, rule.Exprs = "", rules.ListOf(stillExprs(r.Exprs.All())...)
				chain.Rules = append(chain.Rules, &rule)
			}
			table.Chains = append(table.Chains, &chain)
		}
		for _, s := range t.Sets {
			table.Sets = append(table.Sets, stillSet(s))
		}
		for _, o := range t.Objects {
			object := *o
			if object.Expr != nil {
				object.Expr = stillExprs(rules.Exprs{o.Expr})[0]
			}
			table.Objects = append(table.Objects, &object)
		}
		still.Tables = append(still.Tables, &table)
	}
	for _, s := range set.IPSets {
		known := *s
		if s.Options["timeout"] != "" || s.Options["counters"] != "" {
			known.Elements, known.Options = nil, nil
		}
		still.IPSets = append(still.IPSets, &known)
	}
	b, err := json.Marshal(&still)
	if err != nil {
		return "", fmt.Errorf("take the fingerprint of the rules: %w", err)
	}
	hash := sha256.Sum256(b)
	return hex.EncodeToString(hash[:]), nil
}

func stillSet(s *rules.Set) *rules.Set {
	set := *s
	set.Exprs = stillExprs(s.Exprs)
	set.Elements = rules.Elements{}
	if s.Dynamic || s.Timeout {
		set.Count = 0
		return &set
	}
	for _, e := range s.Elements.All() {
		e.ExpiresMS, e.Exprs = 0, stillExprs(e.Exprs)
		set.Elements.Append(e)
	}
	return &set
}

func stillExprs(list []rules.Expr) rules.Exprs {
	still := make(rules.Exprs, len(list))
	for i, e := range list {
		switch x := e.(type) {
		case *rules.Counter:
			e = &rules.Counter{}
		case *rules.Last:
			e = &rules.Last{}
		case *rules.Quota:
			quota := *x
			quota.Used = 0
			e = &quota
		case *rules.Match:
			switch x.Ext {
			case "quota", "limit", "hashlimit", "recent", "statistic", "connlimit", "nfacct", "rateest": // have counters of the kernel's own in them
				e = &rules.Match{Ext: x.Ext, Rev: x.Rev, Sets: x.Sets}
			}
		}
		still[i] = e
	}
	return still
}
