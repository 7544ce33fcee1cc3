//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/portwhy/portwhy/rules"
	iptables "github.com/portwhy/portwhy/rules/xtables"
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
			if err := x.tables(set); err != nil {
				return fmt.Errorf("read the rules of %s: %w", x.tool, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

// tables reads all tables of a family in the calling thread's namespace.
func (x xtFamily) tables(set *rules.Ruleset) error {
	names, err := os.ReadFile("/proc/thread-self/net/" + x.names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the kernel's part of it isn't there
	}
	if err != nil {
		return err
	}
	family, _ := rules.ParseFamily(x.family)
	for _, name := range tableNames(names) {
		info, entries, err := x.read(name)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		table, err := iptables.DecodeEntries(family, name, info, entries)
		if err != nil {
			return err
		}
		set.Tables = append(set.Tables, table)
	}
	return nil
}
