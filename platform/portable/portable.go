// Package portable holds what the adapters for macOS and Windows have in
// common: what Go's own libraries tell of names, devices and addresses, and
// connecting through them. What neither answers is in [Unsupported]. Nothing
// here looks at Linux, which has an adapter without these limits.
package portable

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/portwhy/portwhy/platform/host"
)

// Host answers what Go's own libraries can tell on any system.
type Host struct {
	Unsupported
	// HostsFile is where this system keeps its hosts file.
	HostsFile string
}

// Links lists the network devices. Kinds, masters and counters are not known
// here.
func (h *Host) Links(context.Context) ([]host.Link, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	links := make([]host.Link, 0, len(interfaces))
	for _, i := range interfaces {
		links = append(links, host.Link{
			Index:    i.Index,
			Name:     host.Clean([]byte(i.Name), 256),
			Up:       i.Flags&net.FlagUp != 0,
			Carrier:  i.Flags&net.FlagRunning != 0,
			MTU:      i.MTU,
			MAC:      i.HardwareAddr.String(),
			Loopback: i.Flags&net.FlagLoopback != 0,
		})
	}
	return links, nil
}

// Addresses lists the addresses of all devices. Whether one is still being
// checked for duplicates is not known here.
func (h *Host) Addresses(ctx context.Context) ([]host.Address, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var list []host.Address
	for _, i := range interfaces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", host.Clean([]byte(i.Name), 256), err)
		}
		for _, a := range addresses {
			prefix, ok := prefixOf(a)
			if !ok {
				continue
			}
			list = append(list, host.Address{Prefix: prefix, Link: i.Index, Device: host.Clean([]byte(i.Name), 256), Scope: scopeOf(prefix.Addr())})
		}
	}
	return list, nil
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, _ := n.Mask.Size()
	prefix := netip.PrefixFrom(ip.Unmap(), bits)
	return prefix, prefix.IsValid()
}

// scopeOf names the reach of an address by its class.
func scopeOf(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "host"
	case a.IsLinkLocalUnicast():
		return "link"
	}
	return "global"
}

// ZoneIndex is the number of the device that an IPv6 zone names, 0 for none.
func ZoneIndex(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("device %q: %w", zone, host.ErrNotFound)
	}
	return uint32(i.Index), nil
}
