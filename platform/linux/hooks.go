//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	iptables "github.com/portwhy/portwhy/rules/xtables"
)

// Hooks lists the base chains of nftables and the tables of iptables-legacy in
// this namespace. Dormant tables are left out, they see no packet. Nothing is
// asked of a part of the kernel that isn't there yet, because asking would load
// it. Without CAP_NET_ADMIN neither can be seen.
func (h *Host) Hooks(ctx context.Context) (host.Hooks, error) {
	var hooks host.Hooks
	list, err := h.nftHooks(ctx)
	hooks.List = list
	limit, err := hooksLimit("the rules of nftables and iptables-nft", err)
	if err != nil {
		return host.Hooks{}, err
	}
	hooks.Limits = append(hooks.Limits, limit...)
	for _, x := range xtables() {
		list, err := h.legacyHooks(x)
		hooks.List = append(hooks.List, list...)
		limit, err := hooksLimit("the rules of "+x.tool, err)
		if err != nil {
			return host.Hooks{}, err
		}
		hooks.Limits = append(hooks.Limits, limit...)
	}
	return hooks, nil
}

// errModuleUnknown means that it can't be told whether asking would load a
// module.
var errModuleUnknown = errors.New("can't tell whether asking would load a kernel module")

// hooksLimit turns what keeps the rules from being seen into a limit; other
// errors stay.
func hooksLimit(what string, err error) ([]host.Limit, error) {
	limit := host.Limit{What: what}
	switch {
	case err == nil || errors.Is(err, host.ErrUnsupported):
		return nil, nil // the kernel has none of it
	case errors.Is(err, fs.ErrPermission):
		limit.Why, limit.Needs = "the kernel shows them to administrators only", "root, or CAP_NET_ADMIN"
	case errors.Is(err, errModuleUnknown):
		limit.Why, limit.Needs = err.Error(), "a look with nft list ruleset"
	case errors.Is(err, errTableChanged):
		limit.Why, limit.Needs = err.Error(), "another try"
	default:
		return nil, fmt.Errorf("list firewall hooks: %w", err)
	}
	return []host.Limit{limit}, nil
}

// nfTables is the kernel's module of nftables.
const nfTables = "nf_tables"

// nftHooks lists the base chains of nftables.
func (h *Host) nftHooks(ctx context.Context) ([]host.Hook, error) {
	c, err := h.nfnetlink(nfTables)
	if err != nil {
		return nil, err
	}
	defer c.close()
	any := []byte{unix.NFPROTO_UNSPEC, 0, 0, 0} // struct nfgenmsg
	replies, err := c.dump(ctx, nftGetTable, any)
	if err == unix.EINVAL {
		return nil, host.ErrUnsupported // nfnetlink without nf_tables
	}
	if err != nil {
		return nil, err
	}
	dormant := map[nftTable]bool{}
	for _, r := range replies {
		if r.kind != nftNewTable {
			continue
		}
		table, asleep, err := parseNFTable(r.data)
		if err != nil {
			return nil, err
		}
		dormant[table] = asleep
	}
	replies, err = c.dump(ctx, nftGetChain, any)
	if err != nil {
		return nil, err
	}
	var list []host.Hook
	for _, r := range replies {
		if r.kind != nftNewChain {
			continue
		}
		hook, base, err := parseNFChain(r.data)
		if err != nil {
			return nil, err
		}
		if base && !dormant[nftTable{hook.Family, hook.Table}] {
			list = append(list, hook)
		}
	}
	markIptables(list)
	return list, nil
}

// markIptables tells which tables iptables-nft made: those of its names whose
// base chains are all its own, at its hooks and priorities. Whoever makes the
// same by hand makes what iptables-nft takes for its own as well.
func markIptables(list []host.Hook) {
	other := map[nftTable]bool{}
	for _, hook := range list {
		if !isIptables(hook) {
			other[nftTable{hook.Family, hook.Table}] = true
		}
	}
	for i, hook := range list {
		if !other[nftTable{hook.Family, hook.Table}] {
			list[i].Backend = "iptables-nft"
		}
	}
}

func isIptables(hook host.Hook) bool {
	if hook.Family != "ip" && hook.Family != "ip6" {
		return false
	}
	name, ok := iptables.BuiltIn(hook.Table, rules.Hook(hook.Hook), int32(hook.Priority))
	return ok && name == hook.Chain
}
