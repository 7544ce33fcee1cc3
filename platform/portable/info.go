//go:build darwin || windows

package portable

import (
	"context"
	"os"
	"runtime"
	"strings"
	"time"

	system "github.com/shirou/gopsutil/v4/host"

	"github.com/portwhy/portwhy/platform/host"
)

// Info describes the host, but for what the caller's rights are, which each
// system tells in its own way.
func (h *Host) Info(ctx context.Context) (host.Info, error) {
	info := host.Info{OS: runtime.GOOS, At: time.Now()}
	if name, err := os.Hostname(); err == nil {
		info.Hostname = host.Clean([]byte(name), nameMax)
	}
	if v, err := system.KernelVersionWithContext(ctx); err == nil {
		info.Kernel = host.Clean([]byte(v), nameMax)
	}
	if name, _, version, err := system.PlatformInformationWithContext(ctx); err == nil {
		info.Distro = host.Clean([]byte(strings.TrimSpace(name+" "+version)), nameMax)
	}
	if at, err := system.BootTimeWithContext(ctx); err == nil {
		info.Boot = time.Unix(int64(at), 0)
	}
	return info, ctx.Err()
}
