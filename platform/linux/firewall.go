//go:build linux

package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
)

// Firewall reads the rules of nftables and of iptables-legacy, and which sets of
// ipset there are, in this namespace. What the caller's rights keep hidden is a limit.
func (h *Host) Firewall(ctx context.Context) (host.Firewall, error) {
	f := host.Firewall{Rules: &rules.Ruleset{}}
	for _, source := range []struct {
		what string
		read func() (*rules.Ruleset, error)
	}{
		{"the rules of nftables and iptables-nft", func() (*rules.Ruleset, error) { return h.ReadNFT(ctx) }},
		{"the rules of iptables-legacy", h.ReadLegacy},
		{"the sets of ipset", func() (*rules.Ruleset, error) {
			sets, err := h.ipsetList(ctx, (*netlinkConn).ipsetHeads)
			return &rules.Ruleset{IPSets: sets}, err
		}},
	} {
		set, err := source.read()
		if err == nil {
			f.Rules.Merge(set)
			continue
		}
		limit, err := firewallLimit(source.what, err)
		if err != nil {
			return host.Firewall{}, fmt.Errorf("read %s: %w", source.what, err)
		}
		f.Limits = append(f.Limits, limit...)
	}
	ipset.NameSets(f.Rules)
	return f, nil
}

// errModuleUnknown means that it can't be told whether asking would load a
// module.
var errModuleUnknown = errors.New("can't tell whether asking would load a kernel module")

// firewallLimit turns what keeps the rules from being seen into a limit; other
// errors stay.
func firewallLimit(what string, err error) ([]host.Limit, error) {
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
		return nil, fmt.Errorf("read the firewall: %w", err)
	}
	return []host.Limit{limit}, nil
}

// IPSetTest asks the kernel whether an ipset has an entry.
func (h *Host) IPSetTest(ctx context.Context, q host.IPSetQuery) (bool, error) {
	return h.TestIPSet(ctx, &rules.IPSet{Name: q.Name, Type: q.Type, Family: q.Family}, q.Entry, q.Lasting)
}

// PacketQueues lists the queues with a listener, from
// /proc/net/netfilter/nfnetlink_queue: its first column (seq_show in
// net/netfilter/nfnetlink_queue.c). A kernel without the module has none.
func (h *Host) PacketQueues(context.Context) ([]uint16, error) {
	var list []uint16
	err := h.inNamespace(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			number, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
			n, err := strconv.ParseUint(string(number), 10, 16)
			if err != nil {
				return fmt.Errorf("unexpected line %q", host.Clean(line, 80))
			}
			list = append(list, uint16(n))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list packet queues: %w", err)
	}
	return list, nil
}
