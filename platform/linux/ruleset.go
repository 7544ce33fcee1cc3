//go:build linux

package linux

import (
	"context"
	"errors"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
)

// ReadRuleset reads the rules of nftables and of iptables-legacy, and the sets
// of ipset, in this namespace. Where one of them can't be read the others are
// there nevertheless, and the error says which isn't.
func (h *Host) ReadRuleset(ctx context.Context) (*rules.Ruleset, error) {
	all := &rules.Ruleset{}
	nft, nftErr := h.ReadNFT(ctx)
	if nftErr == nil {
		all.Merge(nft)
	}
	legacy, legacyErr := h.ReadLegacy()
	if legacyErr == nil {
		all.Merge(legacy)
	}
	sets, setsErr := h.ReadIPSets(ctx)
	all.IPSets = sets
	ipset.NameSets(all)
	return all, errors.Join(nftErr, legacyErr, setsErr)
}
