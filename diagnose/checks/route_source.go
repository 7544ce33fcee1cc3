package checks

import (
	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// withSource looks again as connect(2) does, with the source that the kernel has
// chosen, which policy rules may ask for. IPv4 does so for each connection, and goes by
// the second answer (ip_route_connect). IPv6 does so only where it found no way without
// a source, and then chooses it among the addresses of all devices
// (ip6_dst_lookup_tail). more is the second answer, where it is another one.
func withSource(p *diagnose.Pass, q *host.RouteQuery, first host.Route, addrs []host.Address) (r host.Route, more []diagnose.Evidence) {
	source := first.Source
	if q.Destination.Is6() {
		if !lost(first) {
			return first, nil
		}
		source = host.SourceTo(addrs, q.Destination)
	}
	if !source.IsValid() || lost(first) && q.Destination.Is4() {
		return first, nil
	}
	asked := *q
	asked.Source = source
	again, err := p.Host.RouteTo(p.Ctx, asked)
	if err != nil {
		return first, nil
	}
	*q = asked
	if lost(again) != lost(first) || again.Errno != first.Errno || again.Device != first.Device || again.Gateway != first.Gateway {
		more = []diagnose.Evidence{{Source: "RTM_GETROUTE", What: queryText(asked), Value: routeText(again)}}
	}
	return again, more
}
