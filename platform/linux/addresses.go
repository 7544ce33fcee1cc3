//go:build linux

package linux

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Addresses lists the addresses of this namespace's links (RTM_GETADDR).
func (h *Host) Addresses(ctx context.Context) ([]host.Address, error) {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	defer c.close()
	return c.addresses(ctx)
}

func (c *netlinkConn) addresses(ctx context.Context) ([]host.Address, error) {
	names, err := c.deviceNames(ctx)
	if err != nil {
		return nil, err
	}
	replies, err := c.dump(ctx, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	list := make([]host.Address, 0, len(replies))
	for _, r := range replies {
		if r.kind != unix.RTM_NEWADDR || !isIP(r.data) {
			continue
		}
		a, err := parseAddress(r.data)
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		a.Device = names.of(a.Link)
		list = append(list, a)
	}
	return list, nil
}

// isIP reports whether a message's first byte, its family, is an IP family:
// a kernel without one of them answers with what others it has.
func isIP(b []byte) bool {
	return len(b) > 0 && (b[0] == unix.AF_INET || b[0] == unix.AF_INET6)
}

// parseAddress reads an RTM_NEWADDR message; rtnetlink(7), if_addr.h.
func parseAddress(b []byte) (host.Address, error) {
	var r reader
	head, rest := r.header("ifaddrmsg", b, unix.SizeofIfAddrmsg)
	bits, flags := int(head[1]), uint32(head[2])
	a := host.Address{
		Link:  int(r.u32("ifa_index", head[4:])),
		Scope: scopeName(head[3]),
	}
	var local, address netip.Addr
	for kind, v := range r.attributes(rest) {
		switch kind {
		case unix.IFA_LOCAL:
			local = r.address("IFA_LOCAL", v)
		case unix.IFA_ADDRESS:
			address = r.address("IFA_ADDRESS", v)
		case unix.IFA_FLAGS:
			flags = r.u32("IFA_FLAGS", v)
		}
	}
	// IFA_ADDRESS is the far end of a point-to-point link, and the address
	// itself elsewhere; IPv6 has no IFA_LOCAL then.
	switch {
	case !local.IsValid():
		local = address
	case address.IsValid() && address != local:
		a.Peer = r.prefix("IFA_ADDRESS", address, bits)
	}
	if !local.IsValid() {
		r.fail("IFA_LOCAL", nil, 4)
	}
	a.Prefix = r.prefix("IFA_LOCAL", local, bits)
	a.Tentative = flags&unix.IFA_F_TENTATIVE != 0
	a.DADFailed = flags&unix.IFA_F_DADFAILED != 0
	return a, r.err
}

// scopeName names a scope as ip(8) does; rtnetlink.h.
func scopeName(n uint8) string {
	switch n {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	case unix.RT_SCOPE_NOWHERE:
		return "nowhere"
	}
	return fmt.Sprint(n)
}
