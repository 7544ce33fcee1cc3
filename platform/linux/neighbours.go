//go:build linux

package linux

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Neighbours lists the ARP and ND tables, then the proxied addresses
// (RTM_GETNEIGH).
func (h *Host) Neighbours(ctx context.Context) ([]host.Neighbour, error) {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	defer c.close()
	names, err := c.deviceNames(ctx)
	if err != nil {
		return nil, err
	}
	var list []host.Neighbour
	for _, proxy := range []byte{0, unix.NTF_PROXY} {
		header := make([]byte, unix.SizeofNdMsg)
		header[10] = proxy // ndm_flags
		replies, err := c.dump(ctx, unix.RTM_GETNEIGH, header)
		if err != nil {
			return nil, fmt.Errorf("list neighbours: %w", err)
		}
		for _, r := range replies {
			if r.kind != unix.RTM_NEWNEIGH || !isIP(r.data) {
				continue
			}
			n, index, err := parseNeighbour(r.data)
			if err != nil {
				return nil, fmt.Errorf("list neighbours: %w", err)
			}
			if n.Proxy != (proxy != 0) {
				continue
			}
			n.Device = names.of(index)
			list = append(list, n)
		}
	}
	return list, nil
}

// parseNeighbour reads an RTM_NEWNEIGH message and returns the link's index
// too; rtnetlink(7), linux/neighbour.h.
func parseNeighbour(b []byte) (host.Neighbour, int, error) {
	var r reader
	head, rest := r.header("ndmsg", b, unix.SizeofNdMsg)
	n := host.Neighbour{
		State: neighbourState(r.u16("ndm_state", head[8:])),
		Proxy: head[10]&unix.NTF_PROXY != 0,
	}
	for kind, v := range r.attributes(rest) {
		switch kind {
		case unix.NDA_DST:
			n.Address = r.address("NDA_DST", v)
		case unix.NDA_LLADDR:
			if len(v) == 6 {
				n.MAC = net.HardwareAddr(v).String()
			}
		}
	}
	if !n.Address.IsValid() {
		r.fail("NDA_DST", nil, 4)
	}
	return n, int(r.u32("ndm_ifindex", head[4:])), r.err
}

// neighbourState names a state as ip-neighbour(8) does.
func neighbourState(n uint16) string {
	switch n {
	case unix.NUD_NONE:
		return "NONE"
	case unix.NUD_INCOMPLETE:
		return "INCOMPLETE"
	case unix.NUD_REACHABLE:
		return "REACHABLE"
	case unix.NUD_STALE:
		return "STALE"
	case unix.NUD_DELAY:
		return "DELAY"
	case unix.NUD_PROBE:
		return "PROBE"
	case unix.NUD_FAILED:
		return "FAILED"
	case unix.NUD_NOARP:
		return "NOARP"
	case unix.NUD_PERMANENT:
		return "PERMANENT"
	}
	return fmt.Sprintf("%#x", n)
}
