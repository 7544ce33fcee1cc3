package platform

import (
	"fmt"

	"github.com/portwhy/portwhy/platform/darwin"
	"github.com/portwhy/portwhy/platform/host"
)

func open(o Options) (host.Host, error) {
	if o.NetNS != "" {
		return nil, fmt.Errorf("network namespace: %w", host.ErrUnsupported)
	}
	return darwin.Open(), nil
}
