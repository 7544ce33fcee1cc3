package firewall

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/text"
)

// tableLocal is RT_TABLE_LOCAL, whose routes are this host's own addresses.
const tableLocal = 255

// Facts answers what rules ask of a host from what the host tells. Each list is
// read once, when it is first asked for.
func Facts(ctx context.Context, h host.Host) eval.Host {
	f := &facts{ctx: ctx, host: h}
	f.links = sync.OnceValues(func() ([]host.Link, error) { return h.Links(ctx) })
	f.addresses = sync.OnceValues(func() ([]host.Address, error) { return h.Addresses(ctx) })
	f.routes = sync.OnceValues(func() ([]host.Route, error) { return h.Routes(ctx) })
	f.rules = sync.OnceValues(func() ([]host.RouteRule, error) { return h.Rules(ctx) })
	f.queues = sync.OnceValues(func() ([]uint16, error) { return h.PacketQueues(ctx) })
	known := eval.Host{Route: f.route, Device: f.device, AddressType: f.addressType, Source: f.source, Sysctl: f.sysctl,
		Listener: f.listener, Element: f.element, IPSetTest: f.ipsetTest, IPSets: f.ipsets}
	if info, err := h.Info(ctx); err == nil {
		known.Now = info.At
		if slices.Contains(info.Capabilities, "CAP_NET_ADMIN") { // else marks are not told
			known.Socket = f.socket
		}
	}
	return known
}

// Printer prints rules with the names of a host's devices; of no host, nil, only
// lo has one.
func Printer(ctx context.Context, h host.Host) *text.Printer {
	names := map[uint32]string{loopbackIndex: "lo"} // in every namespace
	if h != nil {
		if links, err := h.Links(ctx); err == nil {
			for _, l := range links {
				names[uint32(l.Index)] = l.Name
			}
		}
	}
	return &text.Printer{Interface: func(index uint32) string { return names[index] }}
}

type facts struct {
	ctx       context.Context
	host      host.Host
	links     func() ([]host.Link, error)
	addresses func() ([]host.Address, error)
	routes    func() ([]host.Route, error)
	rules     func() ([]host.RouteRule, error)
	queues    func() ([]uint16, error)
}

// typeNumbers are the types of routes, RTN_* of linux/rtnetlink.h.
var typeNumbers = map[string]uint8{"unicast": eval.Unicast, "local": eval.Local, "broadcast": eval.Broadcast, "anycast": eval.Anycast,
	"multicast": eval.Multicast, "blackhole": eval.Blackhole, "unreachable": eval.Unreachable, "prohibit": eval.Prohibit}

// ecnMask are the bits of the type of service that routing doesn't look at.
const ecnMask = 3

func (f *facts) route(q eval.Query) (eval.Route, bool) {
	if q.TOS&^ecnMask != 0 && f.routedByTOS() {
		return eval.Route{}, false
	}
	ask := host.RouteQuery{Destination: q.Dst, Source: q.Src, Mark: q.Mark, InputDevice: q.In, OutDevice: q.Out,
		Protocol: int(q.Protocol), SourcePort: q.Sport, DestinationPort: q.Dport}
	if q.HasUID {
		ask.UID = &q.UID
	}
	r, err := f.ask(ask)
	if err != nil || r.Type == "" && r.Errno == "" {
		return eval.Route{}, false
	}
	kind, ok := typeNumbers[r.Type]
	if !ok && r.Errno == "" {
		return eval.Route{}, false
	}
	if r.Errno != "" && (kind == eval.Unicast || kind == eval.Local) {
		kind = 0 // a way, but not for this packet
	}
	way := eval.Route{Type: kind, Out: r.Device, Source: r.Source, Gateway: r.Gateway, MTU: uint32(max(r.MTU, 0))}
	if r.Realm != nil {
		way.Realm, way.HasRealm = *r.Realm, true
	}
	return way, true
}

// ask asks the kernel, or for what only looks into the tables, the tables: the
// kernel would take a packet from lo for one with a wrong source.
func (f *facts) ask(q host.RouteQuery) (host.Route, error) {
	if q.InputDevice != "lo" {
		return f.host.RouteTo(f.ctx, q)
	}
	routes, err := f.routes()
	if err != nil {
		return host.Route{}, err
	}
	rules, err := f.rules()
	if err != nil {
		return host.Route{}, err
	}
	addresses, err := f.addresses()
	if err != nil {
		return host.Route{}, err
	}
	return host.Lookup(routes, rules, addresses, q), nil
}

// routedByTOS: queries for routes carry no type of service.
func (f *facts) routedByTOS() bool {
	list, err := f.rules()
	if err != nil {
		return true
	}
	for _, r := range list {
		if r.TOS != 0 || r.Opaque {
			return true
		}
	}
	routes, err := f.routes()
	if err != nil {
		return true
	}
	for _, r := range routes {
		if r.TOS != 0 {
			return true
		}
	}
	return false
}

func (f *facts) device(name string) (eval.Device, bool) {
	links, err := f.links()
	if err != nil {
		return eval.Device{}, false
	}
	addresses, err := f.addresses()
	if err != nil {
		return eval.Device{}, false
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Index] = l.Name
	}
	for _, l := range links {
		if l.Name != name {
			continue
		}
		d := eval.Device{Index: uint32(l.Index), Type: l.Type, Group: l.Group, Kind: l.Kind, Master: names[l.Master], MTU: uint32(max(l.MTU, 0)), MAC: hardware(l.MAC)}
		if l.Kind != "veth" { // whose other end is no device below it
			d.Parent = names[l.Parent]
		}
		if b := l.Bridge; b != nil {
			d.Bridge = &eval.Bridge{CallIPTables: b.CallIPTables, CallIP6Tables: b.CallIP6Tables, CallARPTables: b.CallARPTables,
				VLANFiltering: b.VLANFiltering, VLANProtocol: b.VLANProtocol}
		}
		for _, a := range addresses {
			if a.Device == name {
				d.Addresses = append(d.Addresses, a.Prefix)
			}
		}
		return d, true
	}
	return eval.Device{}, false
}

// hardware reads aa:bb:cc:dd:ee:ff; nil for what is none.
func hardware(s string) []byte {
	const digits = "0123456789abcdef"
	var mac []byte
	for part := range strings.SplitSeq(strings.ToLower(s), ":") {
		if len(part) != 2 {
			return nil
		}
		high, low := strings.IndexByte(digits, part[0]), strings.IndexByte(digits, part[1])
		if high < 0 || low < 0 {
			return nil
		}
		mac = append(mac, byte(high<<4|low))
	}
	return mac
}

// addressType is __inet_dev_addr_type of net/ipv4/fib_frontend.c, and
// __nft_fib6_eval_type of net/ipv6/netfilter/nft_fib_ipv6.c.
func (f *facts) addressType(a netip.Addr, device string, only bool) (uint8, bool) {
	a = a.Unmap()
	if a.Is4() {
		return f.addressType4(a, device, only)
	}
	if a.IsMulticast() {
		return eval.Multicast, true
	}
	if only {
		addresses, err := f.addresses()
		if err != nil {
			return 0, false
		}
		for _, own := range addresses {
			if own.Device == device && own.Prefix.Addr().WithZone("") == a {
				return eval.Local, true
			}
		}
	}
	out := ""
	if only {
		out = device
	}
	r, err := f.host.RouteTo(f.ctx, host.RouteQuery{Destination: a, OutDevice: out})
	kind, ok := typeNumbers[r.Type]
	switch {
	case err != nil || r.Type == "" && r.Errno == "":
		return 0, false
	case kind == eval.Local && only:
		return eval.Unicast, true
	case ok && r.Errno == "" || kind == eval.Blackhole || kind == eval.Prohibit:
		return kind, true
	}
	return eval.Unreachable, true
}

func (f *facts) addressType4(a netip.Addr, device string, only bool) (uint8, bool) {
	switch b := a.As4(); {
	case b == [4]byte{255, 255, 255, 255} || b[0] == 0:
		return eval.Broadcast, true
	case a.IsMulticast():
		return eval.Multicast, true
	}
	routes, err := f.routes()
	if err != nil {
		return 0, false
	}
	var best *host.Route
	for i := range routes {
		r := &routes[i]
		if r.Table == tableLocal && r.Destination.Addr().Is4() && r.Destination.Contains(a) && (best == nil || r.Destination.Bits() > best.Destination.Bits()) {
			best = r
		}
	}
	if best == nil || only && best.Device != device {
		return eval.Unicast, true
	}
	kind, ok := typeNumbers[best.Type]
	return kind, ok
}

// source is inet_select_addr of net/ipv4/devinet.c towards the next hop; for
// IPv6 the address that the kernel itself takes.
func (f *facts) source(device string, to netip.Addr) (netip.Addr, bool) {
	r, err := f.host.RouteTo(f.ctx, host.RouteQuery{Destination: to, OutDevice: device})
	if err != nil {
		return netip.Addr{}, false
	}
	if to.Is6() {
		return r.Source, r.Source.IsValid() || r.Errno != ""
	}
	next := to
	if r.Gateway.IsValid() {
		next = r.Gateway
	}
	addresses, err := f.addresses()
	if err != nil {
		return netip.Addr{}, false
	}
	var first netip.Addr
	for _, a := range addresses {
		if !a.Prefix.Addr().Is4() || a.Scope != "global" {
			continue
		}
		if a.Device == device {
			if !first.IsValid() {
				first = a.Prefix.Addr()
			}
			if a.Prefix.Contains(next) {
				return a.Prefix.Addr(), true
			}
		}
	}
	// A device without an address borrows one of another; which, depends on their order.
	return first, first.IsValid()
}

func (f *facts) sysctl(key string) (string, bool) {
	v, err := f.host.Sysctl(f.ctx, host.SysctlKey(key))
	if errors.Is(err, host.ErrUnsupported) && strings.HasPrefix(key, "net/bridge/") {
		return "", true // br_netfilter isn't there, and switches nothing
	}
	return v.Value, err == nil
}

func (f *facts) listener(queue uint16) (listens, ok bool) {
	list, err := f.queues()
	if err != nil {
		return false, false
	}
	for _, q := range list {
		if q == queue {
			return true, true
		}
	}
	return false, true
}

func (f *facts) element(t *rules.Table, s *rules.Set, key []byte) (*rules.Element, bool) {
	e, err := f.host.SetElement(f.ctx, host.SetQuery{Family: t.Family, Table: t.Name, Set: s.Name, Key: key})
	return e, err == nil
}

func (f *facts) ipsetTest(s *rules.IPSet, entry string) (found, ok bool) {
	found, err := f.host.IPSetTest(f.ctx, host.IPSetQuery{Name: s.Name, Type: s.Type, Family: s.Family, Entry: entry, Lasting: s.Unread})
	return found, err == nil
}

func (f *facts) ipsets() []*rules.IPSet {
	list, err := f.host.IPSets(f.ctx)
	if err != nil {
		return nil // the sets stay unread, and what they say of a packet unknown
	}
	return list
}
