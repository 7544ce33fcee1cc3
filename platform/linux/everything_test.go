//go:build linux

package linux

import (
	"context"
	"fmt"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// everything reads the whole firewall, or fails.
func everything(h *Host) (*rules.Ruleset, error) {
	f, err := h.Firewall(context.Background())
	if err == nil {
		f, err = host.WithIPSets(context.Background(), h, f)
	}
	if err == nil && len(f.Limits) > 0 {
		err = fmt.Errorf("%s: %s", f.Limits[0].What, f.Limits[0].Why)
	}
	return f.Rules, err
}
