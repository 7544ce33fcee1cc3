//go:build linux

package linux

import (
	"context"
	"strings"
)

// moving reads the counters that only rise. What can't be read is no reason
// not to probe: the answer is then empty.
func (h *Host) moving(ctx context.Context) map[string]int64 {
	all, err := h.Counters(ctx)
	if err != nil {
		return nil
	}
	for name := range all {
		group, _, _ := strings.Cut(name, ".")
		switch group {
		case "Tcp", "TcpExt", "Ip", "IpExt", "Ip6", "Icmp", "Icmp6", "Udp", "Udp6", "Xfrm":
		default:
			delete(all, name) // a level, not a count
		}
	}
	return all
}

// moved says which counters rose between two readings, and by how much.
func moved(before, after map[string]int64) map[string]int64 {
	if before == nil || after == nil {
		return nil
	}
	rose := map[string]int64{}
	for name, n := range after {
		if d := n - before[name]; d > 0 {
			rose[name] = d
		}
	}
	return rose
}
