//go:build linux

package linux

import (
	"context"

	"github.com/portwhy/portwhy/platform/host"
)

// Enter looks at this host from within another network namespace. The error
// wraps [fs.ErrPermission] where the kernel refuses, and [host.ErrNotFound] if
// the namespace is gone.
func (h *Host) Enter(_ context.Context, ns host.Namespace) (host.Host, error) {
	inner, err := h.enter(ns)
	if err != nil {
		return nil, err
	}
	return inner, nil
}
