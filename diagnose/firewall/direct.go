package firewall

import (
	"fmt"

	"github.com/portwhy/portwhy/rules/eval"
)

// direct finds the way, and the devices on it, where they were not told: by the
// host's routes, or else by what was told. unreachable says why there is none.
func (q *parsed) direct(facts eval.Host) (unreachable string, err error) {
	if q.way == "" && q.iif != "" && q.iif != "lo" && q.oif != "" {
		q.way = eval.Forward
	}
	if q.way == "" {
		if way, ok := q.wayBy(facts); ok {
			q.way = way
		} else if err := q.guess(); err != nil {
			return "", err
		}
	}
	switch q.way {
	case eval.Bridged:
		return "", nil
	case eval.In, eval.Forward:
		q.arriving(facts)
		return "", nil
	case eval.Through:
		q.oif = "lo"
		return "", nil
	}
	if q.oif == "" && facts.Route != nil {
		route, ok := facts.Route(q.query("", ""))
		if ok && (route.Out == "" || route.Type == 0) {
			return fmt.Sprintf("this host has no route to %s", q.dst.addr), nil
		}
		q.oif = route.Out
	}
	return "", nil
}

// guess is the way by what was told, without a host to ask.
func (q *parsed) guess() error {
	switch {
	case q.iif == "lo" || q.oif == "lo" || q.dst.addr.IsLoopback():
		q.way, q.oif, q.iif = eval.Through, "lo", ""
	case q.iif != "":
		return fmt.Errorf("way is missing: a packet from %s goes in or is forwarded, and there are no routes to decide by", q.iif)
	case q.oif != "":
		q.way = eval.Out
	default:
		return fmt.Errorf("way is missing: it is in, out, forward or local, and there are no routes to decide by")
	}
	return nil
}

// wayBy is the way by the host's addresses; false if they are not known.
func (q *parsed) wayBy(facts eval.Host) (eval.Way, bool) {
	if facts.AddressType == nil {
		return "", false
	}
	from, fromKnown := facts.AddressType(q.src.addr, "", false)
	to, toKnown := facts.AddressType(q.dst.addr, "", false)
	if !fromKnown || !toKnown {
		return "", false
	}
	own := q.iif == "lo" || q.iif == "" && from == eval.Local
	switch {
	case own && to == eval.Local:
		return eval.Through, true
	case own:
		return eval.Out, true
	case to == eval.Local || to == eval.Broadcast || to == eval.Multicast || to == eval.Anycast:
		return eval.In, true
	}
	return eval.Forward, true
}

// arriving finds the devices of a packet from elsewhere: it is taken to come by
// the way back to its source.
func (q *parsed) arriving(facts eval.Host) {
	if facts.Route == nil {
		return
	}
	if q.iif == "" {
		if route, ok := facts.Route(eval.Query{Dst: q.src.addr}); ok && route.Type == eval.Unicast {
			q.iif = route.Out
		}
	}
	if q.way == eval.Forward && q.oif == "" && q.iif != "" {
		if route, ok := facts.Route(q.query(q.iif, "")); ok && route.Type == eval.Unicast {
			q.oif = route.Out
		}
	}
}

// query is the packet as one to route.
func (q *parsed) query(in, out string) eval.Query {
	r := eval.Query{Src: q.src.addr, Dst: q.dst.addr, In: in, Out: out, Mark: q.mark, Protocol: q.protocol, UID: q.uid, HasUID: q.hasUID}
	if q.src.has {
		r.Sport = q.src.port
	}
	if q.dst.has {
		r.Dport = q.dst.port
	}
	return r
}
