package platform

import (
	"fmt"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/windows"
)

func open(o Options) (host.Host, error) {
	if o.NetNS != "" {
		return nil, fmt.Errorf("network namespace: %w", host.ErrUnsupported)
	}
	h, err := windows.Open()
	if err != nil {
		return nil, err
	}
	return h, nil
}
