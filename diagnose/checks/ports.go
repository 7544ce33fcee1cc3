package checks

import (
	"context"
	"fmt"
	"iter"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// portClass names the part of the port numbers by IANA (RFC 6335 section 6).
func portClass(port uint16) string {
	switch {
	case port < 1024:
		return "well-known"
	case port < 49152:
		return "registered"
	}
	return "dynamic"
}

// offered is how many free ports are named, nearby how far they are looked for
// before any other will do.
const (
	offered = 3
	nearby  = 256
)

// near yields ports to have instead, the most alike first: the next ones of
// the same ten, the same ending in other thousands, then what follows.
func near(port uint16) iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		seen := map[int]bool{int(port): true, 0: true}
		try := func(n int) bool {
			if n > 65535 || n < 1 || seen[n] {
				return true
			}
			seen[n] = true
			return yield(uint16(n))
		}
		asked := int(port)
		for n := asked + 1; n/10 == asked/10; n++ {
			if !try(n) {
				return
			}
		}
		if asked < 1024 {
			// 80 becomes 8080, 443 8443: what people take where they lack the right.
			for n := 8000 + asked; n <= 8000+asked+offered; n++ {
				if !try(n) {
					return
				}
			}
		}
		for i := 1; i <= 3; i++ {
			if !try(asked + 1000*i) {
				return
			}
		}
		for n := asked + 1; n <= asked+nearby; n++ {
			if !try(n) {
				return
			}
		}
		for n := asked - 1; n >= asked-nearby; n-- {
			if !try(n) {
				return
			}
		}
		for n := 8000; n < 8000+0xffff; n++ {
			if !try(n & 0xffff) {
				return
			}
		}
	}
}

// pick takes the first free ports.
func pick(port uint16, taken func(uint16) bool) []uint16 {
	var free []uint16
	for n := range near(port) {
		if !taken(n) {
			if free = append(free, n); len(free) == offered {
				break
			}
		}
	}
	return free
}

// FreePorts finds ports near the flow's that can be had instead, leaving out
// those that the caller wants for something else.
func FreePorts(p *diagnose.Pass, wanted func(uint16) bool) ([]uint16, error) {
	taken, err := takenPorts(p)
	if err != nil {
		return nil, err
	}
	return pick(p.Flow.Port(), func(port uint16) bool { return taken(port) || wanted(port) }), nil
}

// offerPorts names free ports where another port would help.
func offerPorts(p *diagnose.Pass) error {
	if p.Flow != p.Flows[0] {
		return nil // asked once
	}
	wanted := false
	for _, f := range p.Flows {
		if !f.Destination.IsValid() {
			continue
		}
		if f.Observed == nil {
			wanted = wanted || f.Blocked()
		} else {
			wanted = wanted || f.Observed.Outcome == diagnose.InUse || f.Observed.Outcome == diagnose.Denied
		}
	}
	if !wanted {
		return nil
	}
	taken, err := takenPorts(p)
	if err != nil {
		return err
	}
	p.OfferPorts(pick(p.Flow.Port(), taken))
	return nil
}

// Taken returns which ports of a network are no good for a new server on the
// host: bound by anything in any state, handed out to clients, in need of a
// right that the caller lacks, or meant for something else.
func Taken(ctx context.Context, h host.Host, network string) (func(uint16) bool, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what this host is: %w", err)
	}
	return takenPorts(&diagnose.Pass{Ctx: ctx, Host: h, Info: info, Flow: &diagnose.Flow{Network: network}})
}

// takenPorts returns what no port to offer may be: bound by anything in any
// state, handed out to clients, in need of a right that the user lacks, or
// meant for something else.
func takenPorts(p *diagnose.Pass) (func(uint16) bool, error) {
	var taken [1 << 16]bool
	for _, q := range []host.SocketQuery{{Network: "tcp"}, {Network: "tcp", States: []host.State{host.BoundInactive}}, {Network: "udp"}} {
		socks, err := p.Host.Sockets(p.Ctx, q)
		if err != nil && len(q.States) == 0 {
			return nil, err
		}
		for _, s := range socks {
			taken[s.Local.Port()] = true
		}
	}
	if low, high, _, err := ephemeralRange(p); err == nil {
		reserved, _ := reservedPorts(p)
		for n := max(low, 0); n <= min(high, 65535); n++ {
			taken[n] = taken[n] || !reserved.has(uint16(n))
		}
	}
	start, _, err := unprivilegedStart(p)
	may, _ := mayBindPrivileged(p)
	if err != nil || may != yes || int(p.Flow.Port()) >= start {
		for n := range min(max(start, protSock), len(taken)) {
			taken[n] = true
		}
	}
	if ranges, err := p.Host.ExcludedPorts(p.Ctx, p.Flow.Network); err == nil {
		for _, r := range ranges {
			for n := int(r.First); n <= int(r.Last); n++ {
				taken[n] = true
			}
		}
	}
	claimedPorts(p, taken[:])
	return func(port uint16) bool { return taken[port] || len(diagnose.ProgramsFor(port)) > 0 }, nil
}

// claimedPorts marks what configurations, units and containers name, running
// or not.
func claimedPorts(p *diagnose.Pass, taken []bool) {
	if claims, err := p.Host.Claims(p.Ctx); err == nil {
		for _, c := range claims.List {
			taken[c.Port] = true
		}
	}
	if units, err := p.Host.Units(p.Ctx); err == nil {
		for _, u := range units {
			for _, l := range u.Listens {
				taken[l.Address.Port()] = true
			}
		}
	}
	if containers, err := p.Host.Containers(p.Ctx); err == nil {
		for _, c := range containers.List {
			for _, m := range c.Ports {
				taken[m.Host.Port()] = true
			}
		}
	}
}
