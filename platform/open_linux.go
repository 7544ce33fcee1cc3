package platform

import (
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/linux"
)

func open(o Options) (host.Host, error) {
	h, err := linux.Open(linux.Options{NetNS: o.NetNS})
	if err != nil {
		return nil, err
	}
	return h, nil
}
