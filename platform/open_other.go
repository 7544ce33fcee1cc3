//go:build !linux && !darwin && !windows

package platform

import (
	"fmt"
	"runtime"

	"github.com/portwhy/portwhy/platform/host"
)

func open(Options) (host.Host, error) {
	return nil, fmt.Errorf("%s: %w", runtime.GOOS, host.ErrUnsupported)
}
