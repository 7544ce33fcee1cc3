package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// lost reports whether a route leads nowhere.
func lost(r host.Route) bool {
	return r.Errno != "" || r.Type == "blackhole" || r.Type == "unreachable" || r.Type == "prohibit"
}

// asksForMarks reports whether a rule of policy routing asks for the mark of packets
// to an address, so that a mark may change their way.
func asksForMarks(p *diagnose.Pass, to netip.Addr) (bool, error) {
	list, err := p.Host.Rules(p.Ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(r host.RouteRule) bool { return (r.Family == 4) == to.Is4() && r.Mask != 0 }), nil
}

// queryText is what the kernel was asked, as in ip route get.
func queryText(q host.RouteQuery) string {
	s := q.Destination.String()
	if q.Source.IsValid() {
		s += " from " + q.Source.String()
	}
	if q.InputDevice != "" {
		s += " iif " + q.InputDevice
	}
	if q.Mark != 0 {
		s += fmt.Sprintf(" mark %#x", q.Mark)
	}
	return s
}

// tables are what routing looks at, to see what it would do otherwise.
type tables struct {
	routes    []host.Route
	rules     []host.RouteRule
	addresses []host.Address
}

func readTables(p *diagnose.Pass) (t tables, err error) {
	if t.routes, err = p.Host.Routes(p.Ctx); err != nil {
		return t, err
	}
	if t.rules, err = p.Host.Rules(p.Ctx); err != nil {
		return t, err
	}
	t.addresses, err = p.Host.Addresses(p.Ctx)
	return t, err
}

func (t tables) lookup(q host.RouteQuery) host.Route {
	return host.Lookup(t.routes, t.rules, t.addresses, q)
}

// decider is the rule of policy routing behind the kernel's answer to a question;
// nil if there is none, or if the tables as they were read lead elsewhere.
func (t tables) decider(q host.RouteQuery, found host.Route) *host.RouteRule {
	if again := t.lookup(q); again.Errno != found.Errno || lost(again) != lost(found) {
		return nil
	}
	if r, ok := host.Decider(t.routes, t.rules, t.addresses, q); ok {
		return &r
	}
	return nil
}

// wayOpened are the fixes of a packet that a route or rule refuses: each takes away
// what refuses it, and is offered if the packet then has a way: by the device, if one
// is told.
func (t tables) wayOpened(q host.RouteQuery, found host.Route, by *host.RouteRule, device string) []diagnose.Fix {
	opens := func(other tables) bool {
		r := other.lookup(q)
		return !lost(r) && r.Device != "" && (device == "" || device == r.Device)
	}
	var fixes []diagnose.Fix
	if at := slices.IndexFunc(t.routes, func(r host.Route) bool { return refuses(r, found, found.Type) }); at >= 0 {
		less := t
		less.routes = slices.Delete(slices.Clone(t.routes), at, at+1)
		if r := t.routes[at]; opens(less) {
			fixes = append(fixes, taken(q.Destination, "route", found.Type+" route", refusalWords(r), "to "+r.Destination.String()+" by table "+tableName(r.Table)))
		}
	}
	if by == nil || by.Priority == 0 || by.Priority >= priorityMain {
		return fixes
	}
	less := t
	less.rules = slices.DeleteFunc(slices.Clone(t.rules), func(r host.RouteRule) bool { return r == *by })
	if words := policyWords(*by); words != nil && opens(less) {
		fixes = append(fixes, taken(q.Destination, "rule", "policy rule", words, "that the rule selects"))
	}
	for i := range fixes {
		fixes[i].Check = "simulated"
	}
	return fixes
}

// priorityMain is the priority of the rule for table main that each host has.
const priorityMain = 32766

// taken is the fix that takes a route or a rule of policy routing away.
func taken(to netip.Addr, object, title string, words []string, opens string) diagnose.Fix {
	ip := []string{"ip"}
	if to.Is6() {
		ip = append(ip, "-6")
	}
	with := func(verb string) [][]string { return [][]string{slices.Concat(ip, []string{object, verb}, words)} }
	return diagnose.Fix{Title: "remove the " + title, NeedsRoot: true, Opens: "traffic " + opens, Commands: with("del"), Undo: with("add"), Risk: "medium"}
}

// policyText is a rule of policy routing as ip-rule(8) lists it.
func policyText(r host.RouteRule) string {
	words, _ := selectors(r)
	return fmt.Sprintf("%d: %s", r.Priority, strings.Join(words, " "))
}

// policyWords are a rule of policy routing as ip-rule(8) takes it; nil for one that
// can't be told in full.
func policyWords(r host.RouteRule) []string {
	words, all := selectors(r)
	if !all {
		return nil
	}
	return append(words, "priority", strconv.Itoa(r.Priority))
}

// selectors are what a rule selects by and what it does; all: that is all of it.
func selectors(r host.RouteRule) (words []string, all bool) {
	add := func(is bool, more ...string) {
		if is {
			words = append(words, more...)
		}
	}
	add(r.Invert, "not")
	from := "all"
	if r.Source.Bits() > 0 {
		from = bare(r.Source)
	}
	add(true, "from", from)
	add(r.Destination.Bits() > 0, "to", bare(r.Destination))
	mark := fmt.Sprintf("%#x", r.Mark)
	if r.Mask != 1<<32-1 {
		mark += fmt.Sprintf("/%#x", r.Mask)
	}
	add(r.Mask != 0, "fwmark", mark)
	add(r.InputDevice != "", "iif", r.InputDevice)
	add(r.OutDevice != "", "oif", r.OutDevice)
	add(r.UIDLow >= 0, "uidrange", fmt.Sprintf("%d-%d", r.UIDLow, r.UIDHigh))
	add(r.IPProto != 0, "ipproto", strconv.Itoa(r.IPProto))
	add(r.SportLow != 0, "sport", fmt.Sprintf("%d-%d", r.SportLow, r.SportHigh))
	add(r.DportLow != 0, "dport", fmt.Sprintf("%d-%d", r.DportLow, r.DportHigh))
	switch r.Action {
	case "lookup":
		add(true, "lookup", tableName(r.Table))
		add(r.SuppressLen >= 0, "suppress_prefixlength", strconv.Itoa(r.SuppressLen))
	case "goto":
		add(true, "goto", strconv.Itoa(r.Goto))
	default:
		add(true, r.Action)
	}
	return words, !r.Opaque && !r.L3Mdev && r.TOS == 0 && r.SuppressGroup < 0 && slices.Contains([]string{"lookup", "goto", "blackhole", "unreachable", "prohibit"}, r.Action)
}

// bare writes a prefix as ip(8) does: an address of its own without its length.
func bare(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
