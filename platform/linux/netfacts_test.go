//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// labNetNS makes a network namespace of ip-netns(8) and looks from within it.
func labNetNS(t *testing.T, suffix string) (name string, h *Host) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	name = fmt.Sprintf("h2-%d-%s", os.Getpid(), suffix)
	ipCommand(t, "netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	h, err := Open(Options{NetNS: name})
	if err != nil {
		t.Fatal(err)
	}
	ipCommand(t, "-n", name, "link", "set", "lo", "up")
	return name, h
}

// ipCommand runs ip(8).
func ipCommand(t *testing.T, args ...string) {
	t.Helper()
	command(t, "ip", args...)
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inLab gives each line to ip(8) within the namespace.
func inLab(t *testing.T, name, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if f := strings.Fields(line); len(f) > 0 {
			ipCommand(t, append([]string{"-n", name}, f...)...)
		}
	}
}

func find[T any](t *testing.T, what string, list []T, match func(T) bool) T {
	t.Helper()
	i := slices.IndexFunc(list, match)
	if i < 0 {
		t.Fatalf("%s is not in\n%+v", what, list)
	}
	return list[i]
}

func TestLinks(t *testing.T) {
	a, h := labNetNS(t, "linka")
	b, other := labNetNS(t, "linkb")
	inLab(t, a, `
		link add near type veth peer name far netns `+b+`
		link add br0 type bridge
		link add v0 type veth peer name v1
		link set v0 master br0
		link set v0 type bridge_slave isolated on hairpin on
		link set br0 up
		link set v0 up
		link set v1 up
		link set near mtu 1400 address 02:00:00:00:00:07 up`)
	links, err := h.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]host.Link{}
	for _, l := range links {
		byName[l.Name] = l
	}
	if l := byName["lo"]; !l.Up || !l.Carrier || !l.Loopback || l.MTU != 65536 || l.Kind != "" {
		t.Errorf("lo: %+v", l)
	}
	if l := byName["near"]; !l.Up || l.Carrier || l.MTU != 1400 || l.MAC != "02:00:00:00:00:07" || l.Kind != "veth" || l.PeerNetNS != other.netns {
		t.Errorf("near: %+v, want a veth into %d, up, without carrier", l, other.netns)
	}
	if l := byName["v0"]; l.Master != byName["br0"].Index || !l.Isolated || !l.Hairpin || l.PortState == "" || l.Parent != byName["v1"].Index || l.PeerNetNS != 0 {
		t.Errorf("v0: %+v, want an isolated hairpin port of br0, peer v1", l)
	}
	if l := byName["br0"]; l.Kind != "bridge" || l.PortState != "" || l.Bridge == nil || l.Bridge.CallIPTables {
		t.Errorf("br0: %+v, %+v", l, l.Bridge)
	}
}

func TestAddressesLive(t *testing.T) {
	a, h := labNetNS(t, "addr")
	b, _ := labNetNS(t, "addrpeer")
	inLab(t, a, `
		link add near type veth peer name far netns `+b+`
		addr add 10.77.0.1/24 dev near
		addr add 10.78.0.1 peer 10.78.0.9/32 dev near scope link
		link set near up
		addr add 2001:db8::1/64 dev near
		addr add 2001:db8::2/64 dev near nodad`)
	list, err := h.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of := func(prefix string) host.Address {
		return find(t, prefix, list, func(a host.Address) bool { return a.Prefix == netip.MustParsePrefix(prefix) })
	}
	if got := of("127.0.0.1/8"); got.Device != "lo" || got.Scope != "host" || got.Peer.IsValid() {
		t.Errorf("%+v", got)
	}
	if got := of("10.77.0.1/24"); got.Device != "near" || got.Scope != "global" || got.Tentative {
		t.Errorf("%+v", got)
	}
	if got := of("10.78.0.1/32"); got.Peer != netip.MustParsePrefix("10.78.0.9/32") || got.Scope != "link" {
		t.Errorf("%+v", got)
	}
	// Without a carrier the detection of duplicates never ends.
	if got := of("2001:db8::1/64"); !got.Tentative || got.DADFailed {
		t.Errorf("%+v", got)
	}
	if got := of("2001:db8::2/64"); got.Tentative {
		t.Errorf("%+v", got)
	}
}

func TestRoutesAndRulesLive(t *testing.T) {
	a, h := labNetNS(t, "route")
	b, _ := labNetNS(t, "routepeer")
	inLab(t, a, `
		link add near type veth peer name far netns `+b+`
		addr add 10.77.0.1/24 dev near
		addr add 2001:db8::1/64 dev near nodad
		link set near up
		-n `+b+` link set far up
		route add default via 10.77.0.254 metric 50 proto static mtu 1300
		route add blackhole 10.81.0.0/16
		route add unreachable 10.82.0.0/16 table 100
		route add prohibit 10.83.0.0/16 table 70000
		route add throw 10.84.0.0/16
		route add 10.85.0.0/16 nexthop via 10.77.0.2 dev near weight 3 nexthop via 10.77.0.3 dev near onlink
		route add 10.86.0.0/16 via inet6 2001:db8::9 dev near
		route add 10.87.0.0/16 tos 8 dev near
		-6 route add blackhole 2001:db8:81::/48
		-6 route add default via 2001:db8::254
		rule add pref 10 from 10.1.0.0/16 to 10.2.0.0/16 fwmark 0x10/0xff iif lo tos 8 table 70000
		rule add pref 11 not oif near ipproto tcp sport 1000-2000 dport 443 uidrange 5-10 lookup 100 suppress_prefixlength 0
		rule add pref 12 to 10.9.0.0/16 blackhole
		rule add pref 13 to 10.9.0.0/16 unreachable
		rule add pref 14 to 10.9.0.0/16 prohibit
		rule add pref 15 goto 32766
		rule add pref 16 to 10.9.0.1 nop
		-6 rule add pref 17 from 2001:db8:9::/48 lookup main suppress_ifgroup 7`)
	routes, err := h.Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	of := func(prefix string, table int) host.Route {
		return find(t, prefix, routes, func(r host.Route) bool {
			return r.Destination == netip.MustParsePrefix(prefix) && r.Table == table
		})
	}
	if r := of("0.0.0.0/0", 254); r.Gateway != netip.MustParseAddr("10.77.0.254") || r.Metric != 50 || r.Protocol != "static" || r.MTU != 1300 || r.Device != "near" || r.Type != "unicast" || r.Scope != "global" {
		t.Errorf("%+v", r)
	}
	if r := of("10.77.0.0/24", 254); r.Source != netip.MustParseAddr("10.77.0.1") || r.Protocol != "kernel" || r.Scope != "link" || r.LinkDown {
		t.Errorf("%+v", r)
	}
	if r := of("10.77.0.1/32", 255); r.Type != "local" || r.Scope != "host" {
		t.Errorf("%+v", r)
	}
	for prefix, want := range map[string]struct {
		kind  string
		table int
	}{"10.81.0.0/16": {"blackhole", 254}, "10.82.0.0/16": {"unreachable", 100}, "10.83.0.0/16": {"prohibit", 70000},
		"10.84.0.0/16": {"throw", 254}, "2001:db8:81::/48": {"blackhole", 254}} {
		if r := of(prefix, want.table); r.Type != want.kind {
			t.Errorf("%s: %+v", prefix, r)
		}
	}
	if r := of("10.85.0.0/16", 254); !slices.Equal(r.Multipath, []host.NextHop{
		{Gateway: netip.MustParseAddr("10.77.0.2"), Device: "near", Weight: 3},
		{Gateway: netip.MustParseAddr("10.77.0.3"), Device: "near", Weight: 1}}) {
		t.Errorf("%+v", r)
	}
	if r := of("10.86.0.0/16", 254); r.Gateway != netip.MustParseAddr("2001:db8::9") {
		t.Errorf("%+v", r)
	}
	if r := of("10.87.0.0/16", 254); r.TOS != 8 {
		t.Errorf("%+v", r)
	}
	if r := of("::/0", 254); r.Gateway != netip.MustParseAddr("2001:db8::254") || r.Metric != 1024 {
		t.Errorf("%+v", r)
	}

	rules, err := h.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rule := func(priority int) host.RouteRule {
		return find(t, fmt.Sprint("rule ", priority), rules, func(r host.RouteRule) bool { return r.Priority == priority })
	}
	none := host.RouteRule{Family: 4, Action: "lookup", UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1}
	want := none
	want.Priority, want.Table = 10, 70000
	want.Source, want.Destination = netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")
	want.Mark, want.Mask, want.InputDevice, want.TOS = 0x10, 0xff, "lo", 8
	if got := rule(10); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	want = none
	want.Priority, want.Table, want.Invert, want.OutDevice, want.IPProto = 11, 100, true, "near", 6
	want.SportLow, want.SportHigh, want.DportLow, want.DportHigh = 1000, 2000, 443, 443
	want.UIDLow, want.UIDHigh, want.SuppressLen = 5, 10, 0
	if got := rule(11); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for priority, action := range map[int]string{12: "blackhole", 13: "unreachable", 14: "prohibit", 15: "goto", 16: "nop"} {
		if got := rule(priority); got.Action != action || got.Table != 0 {
			t.Errorf("rule %d: %+v", priority, got)
		}
	}
	if got := rule(15); got.Goto != 32766 {
		t.Errorf("%+v", got)
	}
	if got := rule(17); got.Family != 6 || got.SuppressGroup != 7 || got.Table != 254 {
		t.Errorf("%+v", got)
	}
	if !slices.IsSortedFunc(rules, func(a, b host.RouteRule) int {
		return (a.Family-b.Family)*1e6 + a.Priority - b.Priority
	}) {
		t.Errorf("rules are not in order: %+v", rules)
	}
}

func TestRouteToLive(t *testing.T) {
	a, h := labNetNS(t, "routeto")
	b, _ := labNetNS(t, "routetopeer")
	inLab(t, a, `
		link add near type veth peer name far netns `+b+`
		addr add 10.77.0.1/24 dev near
		addr add 2001:db8::1/64 dev near nodad
		link set near up
		-n `+b+` link set far up
		route add 10.80.0.0/16 via 10.77.0.254 metric 7 proto static
		route add 10.84.0.0/16 via 10.77.0.254 realm 3/7
		route add blackhole 10.81.0.0/16
		route add unreachable 10.82.0.0/16
		route add prohibit 10.83.0.0/16
		-6 route add unreachable 2001:db8:82::/48
		rule add pref 5 uidrange 4000-4000 to 10.80.0.0/16 prohibit
		rule add pref 6 fwmark 9 to 10.80.0.0/16 lookup 99
		rule add pref 7 ipproto tcp dport 443 to 10.80.0.0/16 blackhole
		route add 10.80.0.0/16 dev near table 99 src 10.77.0.1`)
	uid := uint32(4000)
	for _, c := range []struct {
		name string
		q    host.RouteQuery
		want host.Route
	}{
		{"through a gateway", query("10.80.1.2"), host.Route{Type: "unicast", Table: 254, Device: "near",
			Destination: netip.MustParsePrefix("10.80.0.0/16"), Gateway: netip.MustParseAddr("10.77.0.254"),
			Source: netip.MustParseAddr("10.77.0.1"), Metric: 7, Protocol: "static", Scope: "global"}},
		{"by mark", host.RouteQuery{Destination: netip.MustParseAddr("10.80.1.2"), Mark: 9}, host.Route{Type: "unicast", Table: 99,
			Device: "near", Destination: netip.MustParsePrefix("10.80.0.0/16"), Source: netip.MustParseAddr("10.77.0.1"),
			Protocol: "boot", Scope: "link"}},
		{"by user", host.RouteQuery{Destination: netip.MustParseAddr("10.80.1.2"), UID: &uid}, host.Route{Type: "prohibit",
			Destination: netip.MustParsePrefix("10.80.0.0/16"), Errno: "EACCES"}},
		{"by port", host.RouteQuery{Destination: netip.MustParseAddr("10.80.1.2"), Protocol: unix.IPPROTO_TCP, DestinationPort: 443},
			host.Route{Type: "blackhole", Destination: netip.MustParsePrefix("10.80.0.0/16"), Errno: "EINVAL"}},
		{"own address", query("10.77.0.1"), host.Route{Type: "local", Table: 255, Device: "lo",
			Destination: netip.MustParsePrefix("10.77.0.1/32"), Source: netip.MustParseAddr("10.77.0.1"), Protocol: "kernel", Scope: "host"}},
		{"loopback, mapped", query("::ffff:127.0.0.1"), host.Route{Type: "local", Table: 255, Device: "lo",
			Destination: netip.MustParsePrefix("127.0.0.1/32"), Source: netip.MustParseAddr("127.0.0.1"), Protocol: "kernel", Scope: "host"}},
		{"blackhole", query("10.81.0.1"), host.Route{Type: "blackhole", Table: 254, Errno: "EINVAL",
			Destination: netip.MustParsePrefix("10.81.0.0/16"), Protocol: "boot", Scope: "global"}},
		{"unreachable", query("10.82.0.1"), host.Route{Type: "unreachable", Table: 254, Errno: "EHOSTUNREACH",
			Destination: netip.MustParsePrefix("10.82.0.0/16"), Protocol: "boot", Scope: "global"}},
		{"prohibit", query("10.83.0.1"), host.Route{Type: "prohibit", Table: 254, Errno: "EACCES",
			Destination: netip.MustParsePrefix("10.83.0.0/16"), Protocol: "boot", Scope: "global"}},
		{"none", query("10.99.0.1"), host.Route{Errno: "ENETUNREACH", Destination: netip.MustParsePrefix("10.99.0.1/32")}},
		{"none, IPv6", query("2001:db9::1"), host.Route{Errno: "ENETUNREACH", Destination: netip.MustParsePrefix("2001:db9::1/128")}},
		{"unreachable, IPv6", query("2001:db8:82::1"), host.Route{Type: "unreachable", Table: 254, Errno: "EHOSTUNREACH", Device: "lo",
			Destination: netip.MustParsePrefix("2001:db8:82::/48"), Metric: 1024, Protocol: "boot", Scope: "global"}},
		{"a source that is not here", host.RouteQuery{Destination: netip.MustParseAddr("10.80.1.2"), Source: netip.MustParseAddr("10.1.1.1")},
			host.Route{Errno: "ENETUNREACH", Destination: netip.MustParsePrefix("10.80.1.2/32")}},
		{"out of a device, no route", host.RouteQuery{Destination: netip.MustParseAddr("10.99.0.1"), OutDevice: "near"},
			host.Route{Type: "unicast", Device: "near", Destination: netip.MustParsePrefix("10.99.0.1/32"),
				Source: netip.MustParseAddr("10.77.0.1"), Scope: "global"}},
	} {
		got, err := h.RouteTo(t.Context(), c.q)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if realm := got.Realm; (realm == nil) != (got.Errno != "") || realm != nil && *realm != 0 {
			t.Errorf("%s: realm %v", c.name, realm)
		}
		got.Link, got.Realm = 0, nil
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
	if got, err := h.RouteTo(t.Context(), host.RouteQuery{Destination: netip.MustParseAddr("10.77.0.1"),
		Source: netip.MustParseAddr("10.77.0.9"), InputDevice: "near"}); err != nil || got.Type != "local" {
		t.Errorf("as input: %+v, %v", got, err)
	}
	if got, err := h.RouteTo(t.Context(), query("10.84.0.1")); err != nil || got.Realm == nil || *got.Realm != 3<<16|7 {
		t.Errorf("a realm: %+v, %v", got, err)
	}
	// Forwarding is off: there is a route, and the kernel refuses nevertheless.
	if got, err := h.RouteTo(t.Context(), host.RouteQuery{Destination: netip.MustParseAddr("10.80.0.1"),
		Source: netip.MustParseAddr("10.77.0.9"), InputDevice: "near"}); err != nil || got.Errno != "EHOSTUNREACH" || got.Type != "unicast" {
		t.Errorf("as input to forward: %+v, %v", got, err)
	}
	if _, err := h.RouteTo(t.Context(), host.RouteQuery{Destination: netip.MustParseAddr("10.80.1.2"), OutDevice: "nope"}); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("unknown device: %v", err)
	}
	if _, err := h.RouteTo(t.Context(), host.RouteQuery{}); err == nil {
		t.Error("no destination is no error")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.RouteTo(cancelled, query("10.80.1.2")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func query(destination string) host.RouteQuery {
	return host.RouteQuery{Destination: netip.MustParseAddr(destination)}
}

func TestNeighboursLive(t *testing.T) {
	a, h := labNetNS(t, "neigh")
	b, _ := labNetNS(t, "neighpeer")
	inLab(t, a, `
		link add near type veth peer name far netns `+b+`
		addr add 10.77.0.1/24 dev near
		link set near up
		neigh add 10.77.0.5 lladdr 02:00:00:00:00:99 nud permanent dev near
		neigh add 10.77.0.6 nud failed dev near
		neigh add 2001:db8::6 lladdr 02:00:00:00:00:98 nud stale dev near
		neigh add proxy 10.77.0.7 dev near`)
	list, err := h.Neighbours(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []host.Neighbour{
		{Address: netip.MustParseAddr("10.77.0.5"), Device: "near", MAC: "02:00:00:00:00:99", State: "PERMANENT"},
		{Address: netip.MustParseAddr("10.77.0.6"), Device: "near", State: "FAILED"},
		{Address: netip.MustParseAddr("2001:db8::6"), Device: "near", MAC: "02:00:00:00:00:98", State: "STALE"},
		{Address: netip.MustParseAddr("10.77.0.7"), Device: "near", State: "NONE", Proxy: true},
	} {
		if !slices.Contains(list, want) {
			t.Errorf("%+v is not in\n%+v", want, list)
		}
	}
}

func TestQdiscsLive(t *testing.T) {
	a, h := labNetNS(t, "qdisc")
	inLab(t, a, `
		link add near type veth peer name far
		link set near up`)
	command(t, "tc", "-n", a, "qdisc", "add", "dev", "near", "root", "handle", "5:", "tbf", "rate", "8kbit", "burst", "1600", "limit", "3000")
	command(t, "tc", "-n", a, "qdisc", "add", "dev", "near", "clsact")
	list, err := h.Qdiscs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if q := find(t, "tbf", list, func(q host.Qdisc) bool { return q.Kind == "tbf" }); q.Device != "near" || q.Handle != "5:" || q.Parent != "root" {
		t.Errorf("%+v", q)
	}
	if q := find(t, "clsact", list, func(q host.Qdisc) bool { return q.Kind == "clsact" }); q.Parent != "ingress" || q.Handle != "ffff:" {
		t.Errorf("%+v", q)
	}
}

func TestTransformsLive(t *testing.T) {
	a, h := labNetNS(t, "xfrm")
	if list, err := h.Transforms(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("empty: %+v, %v", list, err)
	}
	inLab(t, a, `
		xfrm policy add dir out src 10.1.0.0/16 dst 10.2.0.0/24 proto tcp dport 443 action block priority 7
		xfrm policy add dir in src 2001:db8::/32 dst 2001:db8:1::/48 tmpl src 2001:db8::1 dst 2001:db8::2 proto esp reqid 4 mode tunnel
		xfrm policy add dir fwd src 10.3.0.0/16 dst 10.4.0.0/16 tmpl src 10.5.0.1 dst 10.5.0.2 proto ah mode tunnel level use`)
	list, err := h.Transforms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	of := func(direction string) host.Transform {
		x := find(t, direction, list, func(x host.Transform) bool { return x.Direction == direction })
		if x.Index == 0 {
			t.Errorf("no index: %+v", x)
		}
		x.Index = 0
		return x
	}
	if got, want := of("out"), (host.Transform{Source: netip.MustParsePrefix("10.1.0.0/16"), Destination: netip.MustParsePrefix("10.2.0.0/24"),
		Direction: "out", Action: "block", Priority: 7, Protocol: 6, DestinationPort: 443}); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := of("in"); got.Action != "allow" || got.Templates != 1 || got.StateFound || got.Source != netip.MustParsePrefix("2001:db8::/32") {
		t.Errorf("%+v", got)
	}
	// What is optional is always there.
	if got := of("fwd"); got.Templates != 1 || !got.StateFound {
		t.Errorf("%+v", got)
	}
	ipCommand(t, "-n", a, "xfrm", "policy", "setdefault", "in", "block")
	list, err = h.Transforms(t.Context())
	if err != nil || !slices.Contains(list, host.Transform{Direction: "in", Action: "block"}) {
		t.Errorf("default: %+v, %v", list, err)
	}
}
