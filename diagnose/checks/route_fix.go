package checks

import (
	"net/netip"
	"strconv"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// removed takes away the route or the rule of policy routing that refuses a
// destination, of a kind: blackhole, unreachable, prohibit. found is the kernel's
// answer, which doesn't tell the two apart; what isn't in the tables has no fix.
func removed(p *diagnose.Pass, dst netip.Addr, found host.Route, kind string) []diagnose.Fix {
	routes, err := p.Host.Routes(p.Ctx)
	if err != nil {
		return nil
	}
	for _, r := range routes {
		if refuses(r, found, kind) {
			return []diagnose.Fix{taken(dst, "route", kind+" route", refusalWords(r), "to "+r.Destination.String())}
		}
	}
	rules, err := p.Host.Rules(p.Ctx)
	if err != nil {
		return nil
	}
	for _, r := range rules {
		if words := ruleWordsOf(r, dst); r.Action == kind && words != nil {
			return []diagnose.Fix{taken(dst, "rule", kind+" rule", append(words, kind), "to "+r.Destination.String())}
		}
	}
	return nil
}

// refuses reports whether a route of a kind is the one that the kernel found.
func refuses(r, found host.Route, kind string) bool {
	return kind != "" && r.Type == kind && r.Destination.IsValid() && r.Destination == found.Destination && (found.Table == 0 || r.Table == found.Table) &&
		(r.Metric == found.Metric || found.Metric == 0)
}

// refusalWords are a route that refuses, as ip-route(8) takes it.
func refusalWords(r host.Route) []string {
	words := []string{r.Type, r.Destination.String()}
	if r.Table != 0 && r.Table != tableMain {
		words = append(words, "table", strconv.Itoa(r.Table))
	}
	if r.Metric != 0 {
		words = append(words, "metric", strconv.Itoa(r.Metric))
	}
	return words
}

// tableMain is RT_TABLE_MAIN.
const tableMain = 254

// ruleWordsOf are the selectors of a rule that asks for the destination, and maybe
// for the source, and nothing else; nil for any other.
func ruleWordsOf(r host.RouteRule, dst netip.Addr) []string {
	plain := host.RouteRule{Priority: r.Priority, Family: r.Family, Source: r.Source, Destination: r.Destination, Action: r.Action, Table: r.Table,
		UIDLow: -1, UIDHigh: r.UIDHigh, SuppressLen: -1, SuppressGroup: -1}
	if r != plain || !r.Destination.IsValid() || !r.Destination.Contains(dst) {
		return nil
	}
	words := []string{"to", r.Destination.String(), "priority", strconv.Itoa(r.Priority)}
	if r.Source.IsValid() && r.Source.Bits() > 0 {
		words = append([]string{"from", r.Source.String()}, words...)
	}
	return words
}
