package host

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// rule is a rule that asks for nothing, changed by what a test wants.
func rule(family, priority, table int, change func(*RouteRule)) RouteRule {
	r := defaultRule(priority, table)
	r.Family = family
	if change != nil {
		change(&r)
	}
	return r
}

// small is a host with one network, a default route and a table of its own.
func small() (routes []Route, rules []RouteRule, addresses []Address) {
	return []Route{
			{Destination: prefix("127.0.0.0/8"), Type: "local", Table: 255, Device: "lo", Scope: "host", Source: addr("127.0.0.1")},
			{Destination: prefix("10.0.0.1/32"), Type: "local", Table: 255, Device: "eth0", Scope: "host", Source: addr("10.0.0.1")},
			{Destination: prefix("10.0.0.0/24"), Type: "unicast", Table: 254, Device: "eth0", Scope: "link", Source: addr("10.0.0.1")},
			{Destination: prefix("0.0.0.0/0"), Type: "unicast", Table: 254, Device: "eth0", Scope: "global", Gateway: addr("10.0.0.254")},
			{Destination: prefix("10.9.0.0/16"), Type: "unicast", Table: 100, Device: "wg0", Scope: "link"},
			{Destination: prefix("10.8.0.0/16"), Type: "throw", Table: 100},
			{Destination: prefix("::1/128"), Type: "local", Table: 255, Device: "lo"},
			{Destination: prefix("fe80::/64"), Type: "unicast", Table: 254, Device: "eth0", Metric: 256},
			{Destination: prefix("fe80::/64"), Type: "unicast", Table: 254, Device: "eth1", Metric: 256},
			{Destination: prefix("2001:db8::/32"), Type: "unreachable", Table: 254, Device: "lo", Metric: 1024},
		}, []RouteRule{
			rule(4, 0, 255, nil), rule(4, 32766, 254, nil), rule(4, 32767, 253, nil),
			rule(6, 0, 255, nil), rule(6, 32766, 254, nil),
		}, []Address{
			{Prefix: prefix("127.0.0.1/8"), Device: "lo", Scope: "host"},
			{Prefix: prefix("10.0.0.1/24"), Device: "eth0", Scope: "global"},
			{Prefix: prefix("fe80::1/64"), Device: "eth0", Scope: "link"},
			{Prefix: prefix("fe80::2/64"), Device: "eth1", Scope: "link"},
			{Prefix: prefix("10.7.0.1/24"), Device: "wg0", Scope: "global"},
		}
}

func TestLookup(t *testing.T) {
	uid := uint32(1000)
	to := func(s string) RouteQuery { return RouteQuery{Destination: addr(s)} }
	for _, c := range []struct {
		name string
		q    RouteQuery
		rule *RouteRule // one more
		want string     // device or errno, ? where the tables don't tell
	}{
		{"the longest prefix", to("10.0.0.7"), nil, "eth0"},
		{"own address", to("10.0.0.1"), nil, "lo"},
		{"mapped", to("::ffff:10.0.0.1"), nil, "lo"},
		{"nobody's address", to("0.0.0.0"), nil, "lo"},
		{"no route", to("3000::1"), nil, "ENETUNREACH"},
		{"an unreachable route", to("2001:db8::1"), nil, "EHOSTUNREACH"},
		{"a zone", to("fe80::9%eth1"), nil, "eth1"},
		{"another's source", RouteQuery{Destination: addr("10.0.0.7"), Source: addr("192.0.2.1")}, nil, "ENETUNREACH"},
		{"a loopback source", RouteQuery{Destination: addr("10.0.0.7"), Source: addr("127.0.0.9")}, nil, "EINVAL"},
		{"no source yet", RouteQuery{Destination: addr("10.0.0.7"), Source: addr("0.0.0.0")}, nil, "eth0"},
		{"a source of another family", RouteQuery{Destination: addr("10.0.0.7"), Source: addr("::1")}, nil, "?"},
		{"no destination", RouteQuery{}, nil, "?"},
		{"a device without a route", RouteQuery{Destination: addr("10.0.0.7"), OutDevice: "wg0"}, nil, "wg0"},
		{"a rule", to("10.9.0.1"), with(rule(4, 5, 100, nil)), "wg0"},
		{"a rule's table says to look on", to("10.8.0.1"), with(rule(4, 5, 100, nil)), "eth0"},
		{"a rule's table has nothing", to("10.0.0.7"), with(rule(4, 5, 100, nil)), "eth0"},
		{"a rule after all others", to("10.9.0.1"), with(rule(4, 40000, 100, nil)), "eth0"},
		{"a rule of the other family", to("10.9.0.1"), with(rule(6, 5, 100, nil)), "eth0"},
		{"a rule to elsewhere", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.Destination = prefix("10.8.0.0/16") })), "eth0"},
		{"not to elsewhere", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.Destination = prefix("10.8.0.0/16"); r.Invert = true })), "wg0"},
		{"a rule for another user", RouteQuery{Destination: addr("10.9.0.1"), UID: &uid}, with(rule(4, 5, 100, func(r *RouteRule) { r.UIDLow, r.UIDHigh = 0, 999 })), "eth0"},
		{"a rule for this user", RouteQuery{Destination: addr("10.9.0.1"), UID: &uid}, with(rule(4, 5, 100, func(r *RouteRule) { r.UIDLow, r.UIDHigh = 1000, 1000 })), "wg0"},
		{"a rule for root", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.UIDLow, r.UIDHigh = 0, 0 })), "wg0"},
		{"a rule for users, a packet of nobody", RouteQuery{Destination: addr("10.9.0.1"), InputDevice: "eth0", Source: addr("192.0.2.1")},
			with(rule(4, 5, 100, func(r *RouteRule) { r.UIDLow, r.UIDHigh = 0, 1<<32-2 })), "eth0"},
		{"a rule by mark", RouteQuery{Destination: addr("10.9.0.1"), Mark: 0x1f}, with(rule(4, 5, 100, func(r *RouteRule) { r.Mark, r.Mask = 0x10, 0xf0 })), "wg0"},
		{"a rule for what the host sends", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.InputDevice = "lo" })), "wg0"},
		{"the same for what comes in", RouteQuery{Destination: addr("10.9.0.1"), InputDevice: "eth0", Source: addr("192.0.2.1")},
			with(rule(4, 5, 100, func(r *RouteRule) { r.InputDevice = "lo" })), "eth0"},
		{"a rule by TOS", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.TOS = 8 })), "eth0"},
		{"a rule that refuses", to("10.9.0.1"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action = "unreachable" })), "ENETUNREACH"},
		{"a rule that prohibits", to("10.9.0.1"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action = "prohibit" })), "EACCES"},
		{"a rule that drops", to("10.9.0.1"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action = "blackhole" })), "EINVAL"},
		{"a rule that does something else", to("10.9.0.1"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action = "9" })), "?"},
		{"a rule that jumps over all", to("10.0.0.7"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action, r.Goto = "goto", 32767 })), "ENETUNREACH"},
		{"a rule that jumps to itself", to("10.0.0.7"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action, r.Goto = "goto", 5 })), "eth0"},
		{"a rule that jumps nowhere", to("10.0.0.7"), with(rule(4, 5, 0, func(r *RouteRule) { r.Action, r.Goto = "goto", 77 })), "eth0"},
		{"a rule that takes long prefixes only", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.SuppressLen = 16 })), "eth0"},
		{"and this is long enough", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.SuppressLen = 15 })), "wg0"},
		{"a rule about groups of devices", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.SuppressGroup = 3 })), "?"},
		{"a rule that can't be told", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.Opaque = true })), "?"},
		{"not even what it isn't", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.Opaque, r.Invert = true, true })), "?"},
		{"a rule that can't be told but is for others", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.Opaque, r.Destination = true, prefix("10.8.0.0/16") })), "eth0"},
		{"VRFs, of no device", to("10.9.0.1"), with(rule(4, 5, 0, func(r *RouteRule) { r.L3Mdev = true })), "eth0"},
		{"VRFs, of a device", RouteQuery{Destination: addr("10.9.0.1"), OutDevice: "eth0"}, with(rule(4, 5, 0, func(r *RouteRule) { r.L3Mdev = true })), "?"},
		{"a rule by protocol", RouteQuery{Destination: addr("10.9.0.1"), Protocol: 6}, with(rule(4, 5, 100, func(r *RouteRule) { r.IPProto = 6 })), "wg0"},
		{"a rule by protocol, not told", to("10.9.0.1"), with(rule(4, 5, 100, func(r *RouteRule) { r.IPProto = 17 })), "wg0"},
		{"a rule by port", RouteQuery{Destination: addr("10.9.0.1"), DestinationPort: 443}, with(rule(4, 5, 100, func(r *RouteRule) { r.DportLow, r.DportHigh = 400, 500 })), "wg0"},
		{"a rule by another port", RouteQuery{Destination: addr("10.9.0.1"), DestinationPort: 80}, with(rule(4, 5, 100, func(r *RouteRule) { r.DportLow, r.DportHigh = 400, 500 })), "eth0"},
	} {
		routes, rules, addresses := small()
		if c.rule != nil {
			rules = append(rules, *c.rule)
		}
		got := Lookup(routes, rules, addresses, c.q)
		told := got.Errno
		switch {
		case told == "" && got.Type == "":
			told = "?"
		case told == "":
			told = got.Device
		}
		if told != c.want {
			t.Errorf("%s: %s, want %s (%+v)", c.name, told, c.want, got)
		}
	}
}

func with(r RouteRule) *RouteRule { return &r }

func TestLookupWithoutRules(t *testing.T) {
	routes, _, addresses := small()
	if got := Lookup(routes, nil, addresses, RouteQuery{Destination: addr("10.0.0.7")}); got.Device != "eth0" || got.Source != addr("10.0.0.1") {
		t.Errorf("%+v", got)
	}
}

// TestLookupMerged: without a rule of its own, a host has one table of IPv4.
func TestLookupMerged(t *testing.T) {
	routes, rules, addresses := small()
	routes = append(routes, Route{Destination: prefix("127.5.0.0/16"), Type: "unicast", Table: 254, Device: "eth0", Scope: "link"})
	if got := Lookup(routes, rules, addresses, RouteQuery{Destination: addr("127.5.0.1")}); got.Device != "eth0" {
		t.Errorf("one table: %+v", got)
	}
	rules = append(rules, rule(4, 9, 77, nil))
	if got := Lookup(routes, rules, addresses, RouteQuery{Destination: addr("127.5.0.1")}); got.Device != "lo" {
		t.Errorf("tables apart: %+v", got)
	}
}

func TestLookupChoice(t *testing.T) {
	addresses := []Address{{Prefix: prefix("10.0.0.1/24"), Device: "a", Scope: "global"}}
	route := func(change func(*Route)) Route {
		r := Route{Destination: prefix("10.5.0.0/16"), Type: "unicast", Table: 254, Device: "a", Scope: "link", Metric: 10}
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		routes []Route
		want   Route
	}{
		"the lower metric": {[]Route{route(func(r *Route) { r.Metric, r.Device = 20, "b" }), route(func(r *Route) {})}, Route{Device: "a"}},
		"a dead one":       {[]Route{route(func(r *Route) { r.Metric, r.Dead = 1, true; r.Device = "b" }), route(func(r *Route) {})}, Route{Device: "a"}},
		"a link that is down is taken": {[]Route{route(func(r *Route) { r.Metric, r.LinkDown, r.Device = 1, true, "b" }), route(func(r *Route) {})},
			Route{Device: "b"}},
		"one for a TOS": {[]Route{route(func(r *Route) { r.Metric, r.TOS, r.Device = 1, 8, "b" }), route(func(r *Route) {})}, Route{Device: "a"}},
		"several ways, one dead": {[]Route{route(func(r *Route) {
			r.Device = ""
			r.Multipath = []NextHop{{Device: "x", Dead: true}, {Device: "y", Gateway: addr("10.5.0.1")}, {Device: "z"}}
		})}, Route{Device: "y", Gateway: addr("10.5.0.1")}},
	} {
		got := Lookup(c.routes, nil, addresses, RouteQuery{Destination: addr("10.5.6.7")})
		if got.Device != c.want.Device || got.Gateway != c.want.Gateway {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSource6(t *testing.T) {
	addresses := []Address{
		{Prefix: prefix("::1/128"), Device: "lo"},
		{Prefix: prefix("fe80::1/64"), Device: "a"},
		{Prefix: prefix("fe80::2/64"), Device: "b"},
		{Prefix: prefix("2001:db8:1::1/64"), Device: "a"},
		{Prefix: prefix("2001:db8:2::1/64"), Device: "a"},
		{Prefix: prefix("2001:db8:3::1/64"), Device: "b"},
		{Prefix: prefix("fd00::1/64"), Device: "a"},
		{Prefix: prefix("2001:db8:9::1/64"), Device: "a", Tentative: true},
		{Prefix: prefix("2001:db8:9::2/64"), Device: "a", DADFailed: true},
	}
	for destination, want := range map[string]string{
		"fe80::9":         "fe80::1",       // the device's own
		"2001:db8:2::9":   "2001:db8:2::1", // the most bits
		"2001:db8:3::1":   "2001:db8:3::1", // itself
		"2001:db8:3::9":   "2001:db8:2::1", // rather of the device
		"fd12::9":         "fd00::1",       // the same label
		"2001:db8:9::7":   "2001:db8:1::1", // not one that is not confirmed
		"ff02::1":         "fe80::1",       // the smallest scope that reaches
		"ff0e::1":         "2001:db8:1::1", // nothing smaller
		"2002:c000:204::": "2001:db8:1::1", // another label
		"::1":             "fe80::1",       // of the device only
	} {
		f := fib{q: RouteQuery{Destination: addr(destination)}, addresses: addresses, family: 6}
		if got := f.source6("a"); got != addr(want) {
			t.Errorf("%s: %s, want %s", destination, got, want)
		}
	}
	if got := (fib{q: RouteQuery{Destination: addr("2001:db8::1")}, family: 6}).source6("a"); got.IsValid() {
		t.Errorf("from nothing: %s", got)
	}
}

// TestLookupRandom: whatever is recorded, the answer is about the packet asked
// for, and the same each time.
func TestLookupRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	address := func() netip.Addr {
		return addr(pick("10.0.0.1", "10.0.1.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "::1", "fe80::1%a", "2001:db8::1", "ff02::1", "::ffff:10.0.0.1"))
	}
	for range 20000 {
		var routes []Route
		var rules []RouteRule
		var addresses []Address
		for range r.IntN(6) {
			a := address().WithZone("")
			routes = append(routes, Route{Destination: netip.PrefixFrom(a, r.IntN(a.BitLen()+1)), Device: pick("a", "b", "lo", ""),
				Type: pick("unicast", "local", "throw", "blackhole", "odd", ""), Table: []int{253, 254, 255, 7}[r.IntN(4)], Dead: r.IntN(9) == 0,
				Multipath: make([]NextHop, r.IntN(3))})
			rules = append(rules, RouteRule{Family: []int{4, 6, 0}[r.IntN(3)], Priority: r.IntN(4), Action: pick("lookup", "goto", "nop", "prohibit", "odd"),
				Goto: r.IntN(4), Table: []int{253, 254, 255, 7}[r.IntN(4)], SuppressLen: r.IntN(9) - 1, Source: routes[0].Destination,
				Destination: netip.Prefix{}, L3Mdev: r.IntN(9) == 0, Invert: r.IntN(3) == 0, UIDLow: -1})
			addresses = append(addresses, Address{Prefix: routes[0].Destination, Device: pick("a", "b"), Scope: pick("global", "link", "host", "x")})
		}
		q := RouteQuery{Destination: address(), OutDevice: pick("", "", "a"), InputDevice: pick("", "", "b")}
		if r.IntN(3) == 0 {
			q.Source = address()
		}
		one, two := Lookup(routes, rules, addresses, q), Lookup(routes, rules, addresses, q)
		if one.Errno != two.Errno || one.Device != two.Device || one.Source != two.Source || one.Destination != two.Destination {
			t.Fatalf("%+v is not %+v", one, two)
		}
		if one.Errno == "" && one.Type != "" && !one.Destination.Contains(q.Destination.Unmap().WithZone("")) {
			t.Fatalf("%+v for %+v", one, q)
		}
	}
}

func TestDecider(t *testing.T) {
	marked := rule(4, 90, 100, func(r *RouteRule) { r.Mark, r.Mask = 7, 0xff })
	refuses := rule(4, 80, 0, func(r *RouteRule) { r.Action, r.Source = "prohibit", prefix("10.0.0.1/32") })
	jumps := rule(4, 70, 0, func(r *RouteRule) { r.Action, r.Goto, r.Mark, r.Mask = "goto", 32766, 8, 0xff })
	for _, c := range []struct {
		name string
		q    RouteQuery
		add  []RouteRule
		want int // the priority, -1 for none
	}{
		{"no rule of its own", RouteQuery{Destination: addr("10.9.0.1")}, nil, -1},
		{"table main", RouteQuery{Destination: addr("10.0.0.7")}, []RouteRule{marked}, 32766},
		{"by mark", RouteQuery{Destination: addr("10.9.0.1"), Mark: 7}, []RouteRule{marked}, 90},
		{"by mark, but its table has nothing", RouteQuery{Destination: addr("10.0.0.7"), Mark: 7}, []RouteRule{marked}, 32766},
		{"it refuses", RouteQuery{Destination: addr("10.9.0.1"), Source: addr("10.0.0.1"), Mark: 7}, []RouteRule{marked, refuses}, 80},
		{"a jump decides nothing", RouteQuery{Destination: addr("10.0.0.7"), Mark: 8}, []RouteRule{marked, jumps}, 32766},
		{"no route at all", RouteQuery{Destination: addr("3000::1")}, nil, -1},
		{"a rule that can't be told", RouteQuery{Destination: addr("10.9.0.1")}, []RouteRule{rule(4, 5, 100, func(r *RouteRule) { r.Opaque = true })}, -1},
		{"no packet", RouteQuery{}, []RouteRule{marked}, -1},
	} {
		routes, rules, addresses := small()
		got, ok := Decider(routes, append(rules, c.add...), addresses, c.q)
		if ok != (c.want >= 0) || ok && got.Priority != c.want {
			t.Errorf("%s: %t %+v, want %d", c.name, ok, got, c.want)
		}
	}
}
