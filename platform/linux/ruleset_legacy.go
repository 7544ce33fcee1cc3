//go:build linux

package linux

import (
	"fmt"

	"github.com/portwhy/portwhy/rules"
)

// ReadLegacy reads the tables of iptables-legacy, ip6tables-legacy and
// arptables-legacy in this namespace, as the kernel has them. Only tables that
// exist are read, because the kernel makes a table that is asked for. The error
// wraps [fs.ErrPermission] without CAP_NET_ADMIN. Tables of ebtables-legacy are
// not read.
func (h *Host) ReadLegacy() (*rules.Ruleset, error) {
	set := &rules.Ruleset{}
	err := h.inNamespace(func() error {
		for _, x := range xtables() {
			names, err := x.tables()
			if err != nil {
				return fmt.Errorf("read the rules of %s: %w", x.tool, err)
			}
			for _, name := range names {
				table, err := x.table(name)
				if err != nil {
					return fmt.Errorf("read the rules of %s: table %s: %w", x.tool, name, err)
				}
				set.Tables = append(set.Tables, table)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}
