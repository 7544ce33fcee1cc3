package files

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// Read is one file that was read.
type Read struct {
	Name  string
	Kind  Kind
	Rules *rules.Ruleset
}

// Merge makes one ruleset of several files of a host. A table of iptables-nft that
// nft has listed, too, is taken as iptables-save has it, which tells all of it; any
// other that is there twice is an error, as is an ipset.
func Merge(list []Read) (*rules.Ruleset, error) {
	m := merger{all: &rules.Ruleset{}, at: map[tableKey]int{}, from: map[string]Read{}}
	for _, r := range list {
		for _, t := range r.Rules.Tables {
			if err := m.table(r, t); err != nil {
				return nil, err
			}
		}
		for _, s := range r.Rules.IPSets {
			if err := m.once("ipset "+s.Name, r, nil); err != nil {
				return nil, err
			}
			m.all.IPSets = append(m.all.IPSets, s)
		}
	}
	return m.all, nil
}

// tableKey is what the kernel knows a table by.
type tableKey struct {
	legacy bool
	family rules.Family
	name   string
}

type merger struct {
	all  *rules.Ruleset
	at   map[tableKey]int // where in all
	from map[string]Read  // by table or ipset
}

func (m *merger) table(r Read, t *rules.Table) error {
	key := tableKey{t.Backend == rules.IptablesLegacy, t.Family, t.Name}
	what := fmt.Sprintf("table %s %s of %s", t.Family, t.Name, t.Backend)
	i, twice := m.at[key]
	if twice && t.Backend == rules.IptablesNFT && m.all.Tables[i].Backend == rules.IptablesNFT {
		if before := m.from[what]; (before.Kind == IPTablesSave) != (r.Kind == IPTablesSave) {
			if r.Kind == IPTablesSave {
				m.all.Tables[i], m.from[what] = t, r
			}
			return nil
		}
	}
	if twice {
		what = fmt.Sprintf("table %s %s of %s", t.Family, t.Name, m.all.Tables[i].Backend)
	}
	if err := m.once(what, r, t); err != nil {
		return err
	}
	m.at[key] = len(m.all.Tables)
	m.all.Tables = append(m.all.Tables, t)
	return nil
}

// once notes where a thing is from, and fails if it was there before.
func (m *merger) once(what string, r Read, t *rules.Table) error {
	if before, ok := m.from[what]; ok {
		return refuse(r.Name, firstLine(t), 1, fmt.Sprintf("%s is in %s already: which of them holds is not known", what, before.Name))
	}
	m.from[what] = r
	return nil
}

// firstLine is the line of a table's first rule, else 1.
func firstLine(t *rules.Table) int {
	if t == nil {
		return 1
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if r.Line > 0 {
				return int(r.Line)
			}
		}
	}
	return 1
}
