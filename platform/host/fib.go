package host

import (
	"cmp"
	"net/netip"
	"slices"
)

// The tables of linux/rtnetlink.h that the kernel makes itself.
const (
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255
)

// protocolUDP is what the kernel takes an IPv4 packet to be if RTM_GETROUTE
// names no protocol (inet_rtm_getroute in net/ipv4/route.c).
const protocolUDP = 17

// Lookup finds the way of a packet in recorded tables, as Linux does: the
// rules in order of priority, each of which refuses, jumps, or looks into a
// table; there the longest prefix, and of several routes to it the lowest
// metric. Sources: fib_rules_lookup in net/core/fib_rules.c, fib_table_lookup
// in net/ipv4/fib_trie.c, ip_route_output_key_hash_rcu in net/ipv4/route.c,
// fib6_rule_lookup and rt6_score_route in net/ipv6, ip-rule(8).
//
// Destination of the answer is the prefix of the route that was found, or of
// the rule that refuses, whose action is the Type then. Where nothing is found
// only Errno is set. The zero Route means that the tables don't tell: a rule
// asks for something that is not recorded, such as the VRF of a device.
//
// A query without a UID is root's. What a host does besides routing is not
// asked here: forwarding, reverse path filter, whether a link is up. Of a
// multipath route the answer names the first way, the kernel may take another.
func Lookup(routes []Route, rules []RouteRule, addresses []Address, q RouteQuery) Route {
	f, ok := newFib(routes, rules, addresses, q)
	switch {
	case !ok:
		return Route{}
	case f.family == 4:
		return f.way4()
	}
	return f.finish6(f.lookup())
}

// Decider is the rule of policy routing by which [Lookup] comes to its answer: whose
// table has the route, or that refuses. False where there is none: no table has a
// route, the tables don't tell, or nobody has added a rule to those that each host has.
func Decider(routes []Route, rules []RouteRule, addresses []Address, q RouteQuery) (RouteRule, bool) {
	f, ok := newFib(routes, rules, addresses, q)
	if !ok || f.family == 4 && f.merged() {
		return RouteRule{}, false
	}
	found := f.lookup()
	if found.by == nil {
		return RouteRule{}, false
	}
	return *found.by, true
}

// newFib prepares a lookup; false for a packet that there can't be.
func newFib(routes []Route, rules []RouteRule, addresses []Address, q RouteQuery) (fib, bool) {
	q.Destination, q.Source = q.Destination.Unmap(), q.Source.Unmap()
	if zone := q.Destination.Zone(); zone != "" {
		if q.OutDevice == "" && q.InputDevice == "" {
			q.OutDevice = zone
		}
		q.Destination = q.Destination.WithZone("")
	}
	if q.Source.IsUnspecified() {
		q.Source = netip.Addr{}
	}
	if !q.Destination.IsValid() || q.Source.IsValid() && q.Source.Is4() != q.Destination.Is4() {
		return fib{}, false
	}
	f := fib{routes: routes, addresses: addresses, q: q, family: 6}
	if q.Destination.Is4() {
		f.family = 4
	}
	for _, rule := range rules {
		if rule.Family == f.family {
			f.rules = append(f.rules, rule)
		}
	}
	slices.SortStableFunc(f.rules, func(a, b RouteRule) int { return cmp.Compare(a.Priority, b.Priority) })
	if len(f.rules) == 0 {
		// A kernel without policy routing (CONFIG_IP_MULTIPLE_TABLES).
		f.rules = []RouteRule{defaultRule(0, tableLocal), defaultRule(32766, tableMain)}
	}
	return f, true
}

func defaultRule(priority, table int) RouteRule {
	return RouteRule{Priority: priority, Action: "lookup", Table: table,
		UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1}
}

// fib is one lookup.
type fib struct {
	routes    []Route
	rules     []RouteRule // of the family, in order
	addresses []Address
	q         RouteQuery
	family    int
}

// result is what rules and tables say: a route, a refusal with Errno, or that
// they don't say (unknown); and by which rule, nil for none.
type result struct {
	Route
	unknown bool
	by      *RouteRule
}

// lookup goes through the rules.
func (f fib) lookup() result {
	if f.merged() {
		if r, ok := f.table(tableLocal, tableMain); ok {
			return result{Route: r}
		}
		if r, ok := f.table(tableDefault); ok {
			return result{Route: r}
		}
		return result{Route: Route{Errno: "ENETUNREACH"}}
	}
	for i := 0; i < len(f.rules); i++ {
		rule := f.rules[i]
		switch f.match(rule) {
		case no:
			continue
		case unknown:
			return result{unknown: true}
		}
		switch rule.Action {
		case "goto":
			// Only forward: the kernel refuses a jump back.
			target := slices.IndexFunc(f.rules, func(r RouteRule) bool { return r.Priority == rule.Goto })
			if target > i {
				i = target - 1
			}
		case "nop":
		case "lookup":
			r, ok := f.table(rule.Table)
			if !ok || r.Errno == "" && f.suppressed(rule, r) {
				continue
			}
			if r.Errno == "" && rule.SuppressGroup >= 0 {
				return result{unknown: true} // the group of a device is not recorded
			}
			return result{Route: r, by: &f.rules[i]}
		default:
			return result{Route: Route{Errno: ruleErrno(rule.Action), Type: rule.Action, Destination: f.covers(rule)},
				unknown: ruleErrno(rule.Action) == "", by: &f.rules[i]}
		}
	}
	return result{Route: Route{Errno: "ENETUNREACH"}}
}

// merged reports whether IPv4's local and main tables are one: they are until
// the first rule is added (fib_unmerge in net/ipv4/fib_frontend.c), and then a
// longer prefix in main wins over the local table.
func (f fib) merged() bool {
	if f.family != 4 {
		return false
	}
	tables := []int{tableLocal, tableMain, tableDefault}
	if len(f.rules) > len(tables) {
		return false
	}
	for i, rule := range f.rules {
		want := defaultRule(rule.Priority, tables[i])
		want.Family = rule.Family
		if rule != want {
			return false
		}
	}
	return true
}

// covers is what a rule that refuses is about.
func (f fib) covers(rule RouteRule) netip.Prefix {
	if rule.Destination.IsValid() && !rule.Invert {
		return rule.Destination
	}
	return f.all()
}

func (f fib) all() netip.Prefix {
	if f.family == 4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// suppressed reports whether a rule doesn't take what its table says
// (suppress_prefixlength: everything at most that long).
func (f fib) suppressed(rule RouteRule, r Route) bool {
	return rule.SuppressLen >= 0 && r.Destination.Bits() <= rule.SuppressLen
}

// ternary is the answer to whether a rule matches.
type ternary int

const (
	no ternary = iota
	yes
	unknown
)

// match is fib_rule_match of net/core/fib_rules.c with the match functions of
// net/ipv4/fib_rules.c and net/ipv6/fib6_rules.c.
func (f fib) match(rule RouteRule) ternary {
	answer := f.selects(rule)
	if rule.Invert && answer != unknown {
		return yes - answer
	}
	return answer
}

func (f fib) selects(rule RouteRule) ternary {
	input := f.q.InputDevice
	uid := int64(0)
	switch {
	case input != "":
		uid = 1<<32 - 1 // INVALID_UID: nobody sends it
	case f.q.UID != nil:
		uid = int64(*f.q.UID)
	}
	if input == "" {
		input = "lo" // what a host sends comes in there
	}
	protocol := f.q.Protocol
	if protocol == 0 && f.family == 4 {
		protocol = protocolUDP
	}
	switch {
	case rule.InputDevice != "" && rule.InputDevice != input,
		rule.OutDevice != "" && rule.OutDevice != f.q.OutDevice,
		(rule.Mark^f.q.Mark)&rule.Mask != 0,
		rule.UIDLow >= 0 && (uid < int64(rule.UIDLow) || uid > int64(rule.UIDHigh)),
		rule.IPProto != 0 && rule.IPProto != protocol,
		rule.TOS != 0,
		!inRange(f.q.SourcePort, rule.SportLow, rule.SportHigh),
		!inRange(f.q.DestinationPort, rule.DportLow, rule.DportHigh),
		!f.from(rule.Source, f.q.Source),
		rule.Destination.Bits() > 0 && !rule.Destination.Contains(f.q.Destination),
		// Without a device there is no VRF.
		rule.L3Mdev && f.q.InputDevice == "" && f.q.OutDevice == "":
		return no
	case rule.L3Mdev, rule.Opaque:
		return unknown
	}
	return yes
}

// from reports whether a source is in a rule's prefix; one that is not chosen
// yet is 0.0.0.0 for IPv4 and in no prefix for IPv6.
func (f fib) from(prefix netip.Prefix, source netip.Addr) bool {
	if prefix.Bits() <= 0 {
		return true
	}
	if !source.IsValid() {
		return f.family == 4 && prefix.Contains(netip.IPv4Unspecified())
	}
	return prefix.Contains(source)
}

func inRange(port, low, high uint16) bool {
	return low == 0 || low <= port && port <= high
}

// table finds the route in one table, or in two that are one. It is not found
// too if the route says to look elsewhere (throw).
func (f fib) table(ids ...int) (Route, bool) {
	var found []Route
	for _, r := range f.routes {
		if slices.Contains(ids, r.Table) && r.Destination.Contains(f.q.Destination) && r.TOS == 0 {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b Route) int {
		return cmp.Or(
			cmp.Compare(b.Destination.Bits(), a.Destination.Bits()),
			cmp.Compare(slices.Index(ids, a.Table), slices.Index(ids, b.Table)),
			cmp.Compare(a.Metric, b.Metric))
	})
	for i, r := range found {
		if f.family == 6 {
			r = f.best(found[i:])
		}
		if !f.usable(r) {
			continue
		}
		r.Errno = typeErrno(r.Type)
		return r, r.Type != "throw"
	}
	return Route{}, false
}

// best is, of IPv6 routes that are equal but for their device, the one out of
// the device that is asked for (rt6_score_route).
func (f fib) best(found []Route) Route {
	for _, r := range found {
		if r.Destination != found[0].Destination || r.Metric != found[0].Metric {
			break
		}
		if f.through(r) {
			return r
		}
	}
	return found[0]
}

// usable reports whether a route can be taken at all.
func (f fib) usable(r Route) bool {
	if f.family == 4 && typeErrno(r.Type) != "" {
		return true
	}
	if r.Dead && len(r.Multipath) == 0 {
		return false
	}
	// A device that is asked for must be the route's. IPv6 only prefers it
	// where the source is given (ip6_route_output_flags_noref).
	if f.q.OutDevice != "" && (f.family == 4 || !f.q.Source.IsValid() || needsDevice(f.q.Destination)) {
		return f.through(r)
	}
	return true
}

// needsDevice is rt6_need_strict of net/ipv6/route.c.
func needsDevice(a netip.Addr) bool {
	return a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback()
}

// through reports whether a route leads out of the device that is asked for.
func (f fib) through(r Route) bool {
	if f.q.OutDevice == "" || r.Device == f.q.OutDevice {
		return true
	}
	return slices.ContainsFunc(r.Multipath, func(h NextHop) bool { return !h.Dead && h.Device == f.q.OutDevice })
}

// typeErrno is what a route of this type refuses with: fib_props of
// net/ipv4/fib_semantics.c.
func typeErrno(kind string) string {
	switch kind {
	case "blackhole":
		return "EINVAL"
	case "unreachable":
		return "EHOSTUNREACH"
	case "prohibit":
		return "EACCES"
	case "throw":
		return "EAGAIN"
	}
	return ""
}

// ruleErrno is what a rule refuses with: fib4_rule_action of
// net/ipv4/fib_rules.c. It is not the same as for a route.
func ruleErrno(action string) string {
	switch action {
	case "blackhole":
		return "EINVAL"
	case "unreachable":
		return "ENETUNREACH"
	case "prohibit":
		return "EACCES"
	}
	return ""
}
