//go:build linux

package linux

import (
	"context"
	"fmt"

	"github.com/portwhy/portwhy/platform/host"
)

// ResolveDNS asks the name servers of resolv.conf for the name, whatever the
// hosts file and nsswitch.conf say.
func (h *Host) ResolveDNS(ctx context.Context, name string) (host.Resolution, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	r, known := unasked(name)
	if known {
		return r, nil
	}
	if _, err := h.askDNS(ctx, h.resolverFiles(), name, &r); err != nil {
		return host.Resolution{}, fmt.Errorf("ask the name servers for %s: %w", r.Name, err)
	}
	return r, nil
}
