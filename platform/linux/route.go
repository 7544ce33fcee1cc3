//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Routes lists the routes of all tables and both families (RTM_GETROUTE).
func (h *Host) Routes(ctx context.Context) ([]host.Route, error) {
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	defer c.close()
	return c.routes(ctx)
}

func (c *netlinkConn) routes(ctx context.Context) ([]host.Route, error) {
	names, err := c.deviceNames(ctx)
	if err != nil {
		return nil, err
	}
	var list []host.Route
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, unix.SizeofRtMsg)
		header[0] = family
		replies, err := c.dump(ctx, unix.RTM_GETROUTE, header)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range replies {
			// A kernel without IPv6 answers with IPv4's routes once more.
			if r.kind != unix.RTM_NEWROUTE || len(r.data) == 0 || r.data[0] != family {
				continue
			}
			m, err := parseRoute(r.data)
			if err != nil {
				return nil, fmt.Errorf("list routes: %w", err)
			}
			// Older kernels list what they learned of a path too.
			if m.cloned {
				continue
			}
			list = append(list, m.named(names.of))
		}
	}
	return list, nil
}

// RouteTo asks the kernel for the way of one packet. Destination is the prefix
// of the route that was matched. Where the kernel refuses, Errno says with
// what and the rest tells the route or rule to blame, as far as [host.Lookup]
// finds it in the tables; Errno and a route that would have done mean that
// something else refuses: forwarding is off, or the source can't come from
// there. It asks for the kernel's own choice of a user id when q has none,
// which is the caller's.
func (h *Host) RouteTo(ctx context.Context, q host.RouteQuery) (host.Route, error) {
	if !q.Destination.IsValid() {
		return host.Route{}, fmt.Errorf("find route: no destination: %w", host.ErrNotFound)
	}
	if zone := q.Destination.Zone(); zone != "" && q.OutDevice == "" && q.InputDevice == "" {
		q.OutDevice = zone
	}
	q.Destination, q.Source = q.Destination.Unmap().WithZone(""), q.Source.Unmap().WithZone("")
	c, err := h.netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return host.Route{}, fmt.Errorf("find route to %s: %w", q.Destination, err)
	}
	defer c.close()
	route, err := c.routeTo(ctx, q)
	if err != nil {
		return host.Route{}, fmt.Errorf("find route to %s: %w", q.Destination, err)
	}
	return route, nil
}

func (c *netlinkConn) routeTo(ctx context.Context, q host.RouteQuery) (host.Route, error) {
	input, err := c.deviceIndex(ctx, q.InputDevice)
	if err != nil {
		return host.Route{}, err
	}
	output, err := c.deviceIndex(ctx, q.OutDevice)
	if err != nil {
		return host.Route{}, err
	}
	answer, err := c.ask(ctx, unix.RTM_GETROUTE, routeRequest(q, input, output, 0))
	if errno, ok := refusal(err); ok {
		return c.refused(ctx, q, errno)
	}
	if err != nil {
		return host.Route{}, err
	}
	way, err := c.routeAnswer(ctx, answer)
	if err != nil {
		return host.Route{}, err
	}
	// The answer above is of the destination alone. A second question tells
	// the route that it came from; there is none if the kernel took a given
	// device without a route.
	answer, err = c.ask(ctx, unix.RTM_GETROUTE,
		routeRequest(q, input, output, unix.RTM_F_FIB_MATCH))
	if err == nil {
		var match host.Route
		if match, err = c.routeAnswer(ctx, answer); err == nil {
			way.Destination = match.Destination
			way.Metric, way.Protocol, way.Scope = match.Metric, match.Protocol, match.Scope
			way.LinkDown, way.OnLink, way.Multipath = match.LinkDown, match.OnLink, match.Multipath
			way.Table = match.Table
			// Without rules of its own, a host has IPv4's local and main tables
			// in one, and the kernel tells main for both.
			if way.Table == unix.RT_TABLE_MAIN && way.Protocol == "kernel" && (way.Type == "local" || way.Type == "broadcast") {
				way.Table = unix.RT_TABLE_LOCAL
			}
			if way.MTU == 0 {
				way.MTU = match.MTU
			}
		}
	} else if _, ok := refusal(err); ok {
		way.Table, way.Protocol, err = 0, "", nil
	}
	if q.Source.IsValid() && !q.Source.IsUnspecified() {
		way.Source = q.Source
	}
	return way, err
}

// refusal reports whether an error is an answer: what connect(2) would say.
// The others tell that the question could not be asked.
func refusal(err error) (unix.Errno, bool) {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return 0, false
	}
	switch errno {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.EXDEV, unix.ENETDOWN,
		unix.EADDRNOTAVAIL, unix.ENODEV, unix.ENOENT, unix.EAGAIN, unix.EAFNOSUPPORT:
		return errno, true
	}
	return 0, false
}

// refused tells why there is no way, from the tables.
func (c *netlinkConn) refused(ctx context.Context, q host.RouteQuery, errno unix.Errno) (host.Route, error) {
	refused := host.Route{
		Destination: netip.PrefixFrom(q.Destination, q.Destination.BitLen()),
		Errno:       unix.ErrnoName(errno),
	}
	routes, err := c.routes(ctx)
	if err != nil {
		return refused, err
	}
	rules, err := c.rules(ctx)
	if err != nil {
		return refused, err
	}
	addresses, err := c.addresses(ctx)
	if err != nil {
		return refused, err
	}
	if q.UID == nil && q.InputDevice == "" {
		uid := uint32(os.Getuid()) // as the kernel does (inet_rtm_getroute)
		q.UID = &uid
	}
	found := host.Lookup(routes, rules, addresses, q)
	if found.Errno != "" && found.Errno != refused.Errno {
		return refused, nil
	}
	if found.Destination.IsValid() {
		found.Errno = refused.Errno
		return found, nil
	}
	return refused, nil
}

// routeRequest is the body of an RTM_GETROUTE request for one packet.
func routeRequest(q host.RouteQuery, input, output int, flags uint32) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = unix.AF_INET6
	if q.Destination.Is4() {
		b[0] = unix.AF_INET
	}
	b[1] = byte(q.Destination.BitLen())
	// IPv6 tells the table anyway, and refuses to be asked for it.
	if q.Destination.Is4() {
		flags |= unix.RTM_F_LOOKUP_TABLE
	}
	binary.NativeEndian.PutUint32(b[8:], flags)
	b = putAttribute(b, unix.RTA_DST, q.Destination.AsSlice())
	if q.Source.IsValid() && !q.Source.IsUnspecified() {
		b[2] = byte(q.Source.BitLen())
		b = putAttribute(b, unix.RTA_SRC, q.Source.AsSlice())
	}
	if input != 0 {
		b = putUint32(b, unix.RTA_IIF, uint32(input))
	}
	if output != 0 {
		b = putUint32(b, unix.RTA_OIF, uint32(output))
	}
	if q.Mark != 0 {
		b = putUint32(b, unix.RTA_MARK, q.Mark)
	}
	if q.UID != nil {
		b = putUint32(b, unix.RTA_UID, *q.UID)
	}
	// The kernel takes only these protocols here (rtm_getroute_parse_ip_proto).
	switch q.Protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		b = putAttribute(b, unix.RTA_IP_PROTO, []byte{byte(q.Protocol)})
	}
	if q.SourcePort != 0 {
		b = putAttribute(b, unix.RTA_SPORT, []byte{byte(q.SourcePort >> 8), byte(q.SourcePort)})
	}
	if q.DestinationPort != 0 {
		b = putAttribute(b, unix.RTA_DPORT, []byte{byte(q.DestinationPort >> 8), byte(q.DestinationPort)})
	}
	return b
}

// routeAnswer reads the one route of an answer and names its devices.
func (c *netlinkConn) routeAnswer(ctx context.Context, replies []reply) (host.Route, error) {
	for _, r := range replies {
		if r.kind != unix.RTM_NEWROUTE {
			continue
		}
		m, err := parseRoute(r.data)
		if err != nil {
			return host.Route{}, err
		}
		m.Realm = &m.realm
		return m.named(func(index int) string { return c.deviceName(ctx, index) }), nil
	}
	return host.Route{}, fmt.Errorf("%w: no route in the answer", errMalformed)
}

// deviceIndex finds the index of a link by name, 0 for no name.
func (c *netlinkConn) deviceIndex(ctx context.Context, name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	if len(name) < unix.IFNAMSIZ {
		body := putAttribute(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_IFNAME, append([]byte(name), 0))
		if m, err := c.link(ctx, body); err == nil {
			return m.Index, nil
		} else if !errors.Is(err, unix.ENODEV) {
			return 0, err
		}
	}
	return 0, fmt.Errorf("device %q: %w", host.Clean([]byte(name), nameMax), host.ErrNotFound)
}

// deviceName finds the name of a link by index.
func (c *netlinkConn) deviceName(ctx context.Context, index int) string {
	if index == 0 {
		return ""
	}
	body := make([]byte, unix.SizeofIfInfomsg)
	putIndex(body, 4, index)
	if m, err := c.link(ctx, body); err == nil {
		return m.Name
	}
	return deviceNames(nil).of(index)
}

// link asks for one link.
func (c *netlinkConn) link(ctx context.Context, body []byte) (linkMessage, error) {
	replies, err := c.ask(ctx, unix.RTM_GETLINK, putUint32(body, unix.IFLA_EXT_MASK, extFilterSkipStats))
	if err != nil {
		return linkMessage{}, err
	}
	if len(replies) == 0 || replies[0].kind != unix.RTM_NEWLINK {
		return linkMessage{}, fmt.Errorf("%w: no link in the answer", errMalformed)
	}
	return parseLink(replies[0].data)
}
