package checks

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// answering is a host with one listener, settings and policy rules; it keeps the last
// question for a route.
type answering struct {
	host.Host
	sockets  []host.Socket
	settings map[string]string
	rules    []host.RouteRule
	asked    *host.RouteQuery
}

func (h answering) Sockets(_ context.Context, q host.SocketQuery) ([]host.Socket, error) {
	return slices.DeleteFunc(slices.Clone(h.sockets), func(s host.Socket) bool { return !q.Match(s) }), nil
}

func (h answering) Sysctl(_ context.Context, key string) (host.Sysctl, error) {
	v, ok := h.settings[key]
	if !ok {
		return host.Sysctl{}, host.ErrUnsupported
	}
	return host.Sysctl{Key: key, Value: v}, nil
}

func (h answering) Rules(context.Context) ([]host.RouteRule, error) { return h.rules, nil }

func (h answering) RouteTo(_ context.Context, q host.RouteQuery) (host.Route, error) {
	*h.asked = q
	return host.Route{Type: "unicast", Device: "eth0"}, nil
}

// Which mark, protocol and user the kernel routes an answer by.
func TestAnswerTo(t *testing.T) {
	four, six := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[fd00::1]:80")
	listens := func(network string, at netip.AddrPort, mark uint32) []host.Socket {
		state := host.Listen
		if network == "udp" {
			state = host.Unconn
		}
		return []host.Socket{{Network: network, State: state, Local: at, UID: 33, Mark: mark}}
	}
	accept := map[string]string{"net.ipv4.tcp_fwmark_accept": "1"}
	reflect := map[string]string{"net.ipv4.fwmark_reflect": "1"}
	reflect6 := map[string]string{"net.ipv6.fwmark_reflect": "1"}
	byMark := []host.RouteRule{{Family: 4, Action: "lookup", Mark: 7, Mask: 0xff, UIDLow: -1}}
	for _, c := range []struct {
		name     string
		network  string
		at       netip.AddrPort
		sockets  []host.Socket
		settings map[string]string
		rules    []host.RouteRule
		change   func(*arrival)
		mark     uint32
		protocol int
		uid      uint32
		unknown  bool
	}{
		{name: "TCP", network: "tcp", at: four, sockets: listens("tcp", four, 0), protocol: 6, uid: 33},
		{name: "TCP takes the mark", network: "tcp", at: four, sockets: listens("tcp", four, 0), settings: accept, mark: 7, protocol: 6, uid: 33},
		{name: "of IPv6, too", network: "tcp", at: six, sockets: listens("tcp", six, 0), settings: accept, mark: 7, protocol: 6, uid: 33},
		{name: "a reflected mark is not for sockets", network: "tcp", at: four, sockets: listens("tcp", four, 0), settings: reflect, protocol: 6, uid: 33},
		{name: "the socket's own wins", network: "tcp", at: four, sockets: listens("tcp", four, 9), settings: accept, mark: 9, protocol: 6, uid: 33},
		{name: "UDP has the socket's", network: "udp", at: four, sockets: listens("udp", four, 9), settings: accept, mark: 9, protocol: 17, uid: 33},
		{name: "and never the packet's", network: "udp", at: four, sockets: listens("udp", four, 0), settings: map[string]string{"net.ipv4.tcp_fwmark_accept": "1", "net.ipv4.fwmark_reflect": "1"}, protocol: 17, uid: 33},
		{name: "a reset", network: "tcp", at: four, settings: accept, protocol: 6},
		{name: "a reset that reflects", network: "tcp", at: four, settings: reflect, mark: 7, protocol: 6},
		{name: "of IPv6", network: "tcp", at: six, settings: reflect6, mark: 7, protocol: 6},
		{name: "each family has its own", network: "tcp", at: six, settings: reflect, protocol: 6},
		{name: "an ICMP error", network: "udp", at: four, settings: reflect, mark: 7, protocol: 1},
		{name: "an ICMPv6 error", network: "udp", at: six, settings: reflect6, mark: 7, protocol: 58},
		{name: "a rejection, whoever listens", network: "tcp", at: four, sockets: listens("tcp", four, 9), settings: reflect, change: func(a *arrival) { a.rejected = true }, mark: 7, protocol: 6},
		{name: "an unknown mark that nothing takes", network: "tcp", at: four, sockets: listens("tcp", four, 0), rules: byMark, change: func(a *arrival) { a.unmarked = true }, protocol: 6, uid: 33},
		{name: "that no policy asks for", network: "tcp", at: four, sockets: listens("tcp", four, 0), settings: accept, change: func(a *arrival) { a.unmarked = true }, protocol: 6, uid: 33},
		{name: "that the other family's asks for", network: "tcp", at: six, sockets: listens("tcp", six, 0), settings: accept, rules: byMark, change: func(a *arrival) { a.unmarked = true }, protocol: 6, uid: 33},
		{name: "that counts", network: "tcp", at: four, sockets: listens("tcp", four, 0), settings: accept, rules: byMark, change: func(a *arrival) { a.unmarked = true }, unknown: true},
	} {
		var asked host.RouteQuery
		p := &diagnose.Pass{Ctx: context.Background(), Host: answering{sockets: c.sockets, settings: c.settings, rules: c.rules, asked: &asked}, Flow: &diagnose.Flow{Network: c.network}}
		from := netip.MustParseAddrPort("10.0.0.9:40000")
		if c.at.Addr().Is6() {
			from = netip.MustParseAddrPort("[fd00::9]:40000")
		}
		in := arrival{from: from, at: c.at, device: "eth0", mark: 7}
		if c.change != nil {
			c.change(&in)
		}
		a, err := answerTo(p, in)
		if err != nil || (a.unknown != "") != c.unknown {
			t.Errorf("%s: unknown %q (%v)", c.name, a.unknown, err)
			continue
		}
		if c.unknown {
			continue
		}
		if asked.Mark != c.mark || asked.Protocol != c.protocol || *asked.UID != c.uid || asked.Source != c.at.Addr() || asked.Destination != from.Addr() {
			t.Errorf("%s: asked %+v of user %d", c.name, asked, *asked.UID)
		}
	}
}

func TestPolicyText(t *testing.T) {
	plain := func(change func(*host.RouteRule)) host.RouteRule {
		r := host.RouteRule{Priority: 100, Family: 4, Action: "lookup", Table: 99, UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1}
		change(&r)
		return r
	}
	for _, c := range []struct {
		rule  host.RouteRule
		text  string
		whole bool
	}{
		{plain(func(r *host.RouteRule) { r.Mark, r.Mask = 7, 1<<32-1 }), "100: from all fwmark 0x7 lookup 99", true},
		{plain(func(r *host.RouteRule) { r.Mark, r.Mask, r.Invert, r.Table = 0, 0xff, true, 254 }), "100: not from all fwmark 0x0/0xff lookup main", true},
		{plain(func(r *host.RouteRule) {
			r.Source, r.Destination, r.Action = netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.1.0.0/16"), "prohibit"
		}), "100: from 10.0.0.1 to 10.1.0.0/16 prohibit", true},
		{plain(func(r *host.RouteRule) {
			r.InputDevice, r.OutDevice, r.UIDLow, r.UIDHigh, r.IPProto, r.SportLow, r.SportHigh, r.DportLow, r.DportHigh, r.SuppressLen = "a", "b", 1, 5, 6, 3, 4, 80, 80, 0
		}), "100: from all iif a oif b uidrange 1-5 ipproto 6 sport 3-4 dport 80-80 lookup 99 suppress_prefixlength 0", true},
		{plain(func(r *host.RouteRule) { r.Action, r.Goto = "goto", 200 }), "100: from all goto 200", true},
		{plain(func(r *host.RouteRule) { r.Opaque = true }), "100: from all lookup 99", false},
		{plain(func(r *host.RouteRule) { r.TOS = 8 }), "100: from all lookup 99", false},
		{plain(func(r *host.RouteRule) { r.Action = "9" }), "100: from all 9", false},
	} {
		if got := policyText(c.rule); got != c.text {
			t.Errorf("%q, want %q", got, c.text)
		}
		want := ""
		if c.whole {
			want = strings.TrimPrefix(c.text, "100: ") + " priority 100"
		}
		if got := strings.Join(policyWords(c.rule), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What refuses is taken away only where that gives the packet a way.
func TestWayOpened(t *testing.T) {
	rule := func(priority, table int, mark uint32) host.RouteRule {
		r := host.RouteRule{Priority: priority, Family: 4, Action: "lookup", Table: table, UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1}
		if mark != 0 {
			r.Mark, r.Mask = mark, 1<<32-1
		}
		return r
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	hole := host.Route{Destination: all, Type: "blackhole", Table: 99}
	link := host.Route{Destination: netip.MustParsePrefix("10.0.0.0/24"), Type: "unicast", Table: 254, Device: "eth0", Scope: "link"}
	addresses := []host.Address{{Prefix: netip.MustParsePrefix("10.0.0.1/24"), Device: "eth0"}}
	q := host.RouteQuery{Destination: netip.MustParseAddr("10.0.0.9"), Source: netip.MustParseAddr("10.0.0.1"), Mark: 7}
	remove, drop := "ip route del blackhole 0.0.0.0/0 table 99", "ip rule del from all fwmark 0x7 lookup 99 priority 90"
	for _, c := range []struct {
		name   string
		routes []host.Route
		rules  []host.RouteRule
		device string
		want   []string
	}{
		{"both help", []host.Route{hole, link}, []host.RouteRule{rule(0, 255, 0), rule(90, 99, 7), rule(32766, 254, 0)}, "", []string{remove, drop}},
		{"by that device", []host.Route{hole, link}, []host.RouteRule{rule(0, 255, 0), rule(90, 99, 7), rule(32766, 254, 0)}, "eth1", nil},
		{"a second hole behind it", []host.Route{hole, link}, []host.RouteRule{rule(0, 255, 0), rule(90, 99, 7), rule(91, 99, 0), rule(32766, 254, 0)}, "", []string{remove}},
		{"no way without it", []host.Route{hole}, []host.RouteRule{rule(0, 255, 0), rule(90, 99, 7), rule(32766, 254, 0)}, "", nil},
		{"table main has the hole", []host.Route{{Destination: all, Type: "blackhole", Table: 254}}, []host.RouteRule{rule(0, 255, 0), rule(90, 99, 7), rule(32766, 254, 0)}, "", nil},
	} {
		tables := tables{c.routes, c.rules, addresses}
		found := tables.lookup(q)
		var got []string
		for _, fix := range tables.wayOpened(q, found, tables.decider(q, found), c.device) {
			got = append(got, strings.Join(fix.Commands[0], " "))
		}
		if !lost(found) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
