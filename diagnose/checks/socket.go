package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/diagnose/takers"
	"github.com/portwhy/portwhy/platform/host"
)

var socket = &diagnose.Check{
	ID: "socket", Doc: "which listening socket the kernel gives the connection to, if any",
	Codes: append(slices.Clone(firewallCodes), "reply-route", "no-listener", "listener-other-address", "listener-other-family", "listener-v6only", "listener-on-device",
		"listener-address-gone", "listener-other-netns", "port-not-published", "listener-other-port", "listener-unix-only", "config-not-applied",
		"unit-failed", "unit-inactive", "unit-activating", "unit-masked", "unit-needs-reload", "nat-dead-target", "nat-not-for-local", "nat-no-return", "nat-shadowed"),
	For: diagnose.AskConnect, Behind: true,
	Run: runSocket,
}

func runSocket(p *diagnose.Pass) error {
	f := p.Flow
	if f.Through && (f.Firewall == nil || !f.Firewall.Destination.IsValid() || f.Firewall.Away) {
		return followThrough(p)
	}
	if f.Network == "unix" || !f.Local {
		p.Skip("the listener is not on this host")
		return nil
	}
	if f.Balanced {
		p.Skip("IPVS takes it before a socket does")
		return nil
	}
	if f.Firewall != nil && f.Firewall.Away {
		return followAway(p)
	}
	to := f.Reached()
	all, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: to.Port(), States: listening(f.Network)})
	if err != nil {
		return err
	}
	inbound := listenersDevice(p, reached(to.Addr()))
	if best := lookup(all, reached(to.Addr()), inbound); best != nil {
		f.Listener = best
		c, who := socketCulprit(p, *best)
		p.Serve(c)
		p.OK("%s listens on %s", who, socketAddress(*best))
		p.Trace("%s", socketEvidence(*best).Value)
		return nil
	}
	if to != f.Destination {
		c := deadTarget(f)
		shadowedTarget(p, &c)
		p.Stop(c)
		return nil
	}
	if c := mismatched(p, all); c != nil {
		p.Stop(*c)
		return nil
	}
	c, err := absent(p)
	if err != nil {
		return err
	}
	p.Stop(*c)
	return nil
}

// reached is the address that a connection goes to: the wildcard means this
// host, by loopback (ip_route_output_key_hash_rcu, ip6_route_output_flags).
func reached(dst netip.Addr) netip.Addr {
	switch {
	case !dst.IsUnspecified():
		return dst
	case dst.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// listening are the states in which a socket takes what comes for its port.
func listening(network string) []host.State {
	if network == "tcp" {
		return []host.State{host.Listen}
	}
	return []host.State{host.Unconn}
}

// inboundDevice is the device by which the flow comes in: loopback for a
// connection from this host to itself.
func inboundDevice(p *diagnose.Pass) string {
	if p.Flow.Inbound != "" {
		return p.Flow.Inbound
	}
	return loopbackDevice(p)
}

// listenersDevice is the device by which a flow comes for the look-up of a
// socket. The kernel takes what a host sends to an address of its own as come in
// by the device that has the address, though it goes over lo (the comment in
// ip_route_output_key_hash_rcu of net/ipv4/route.c; ip6_rcv_core for IPv6).
func listenersDevice(p *diagnose.Pass, dst netip.Addr) string {
	if p.Flow.Inbound == "" {
		if addrs, err := p.Host.Addresses(p.Ctx); err == nil {
			if own := ownAddress(addrs, dst); own != nil {
				return own.Device
			}
		}
	}
	return inboundDevice(p)
}

// lookup is the socket that the kernel gives what comes to the address by the
// device, or the likeliest of those that share the port; nil if there is none.
func lookup(socks []host.Socket, dst netip.Addr, device string) *host.Socket {
	if found := takers.Of(socks, dst, device); len(found) > 0 {
		return &found[0]
	}
	return nil
}

// mismatched explains why sockets with the right port don't take the flow.
// The reason that is nearest to what was asked comes first.
func mismatched(p *diagnose.Pass, socks []host.Socket) *diagnose.Cause {
	dst := reached(p.Flow.Addr())
	var family, v6only, device, gone, address *host.Socket
	addrs, err := p.Host.Addresses(p.Ctx)
	for i := range socks {
		s := &socks[i]
		local := s.Local.Addr().WithZone("").Unmap()
		_, fitsElse := takers.Fits(withoutDevice(*s), dst, "")
		switch {
		case s.Interface != 0 && fitsElse:
			device = s
		case local.Is6() && local.IsUnspecified() && dst.Is4() && s.V6Only:
			v6only = s
		case !local.IsUnspecified() && err == nil && ownAddress(addrs, local) == nil && !local.IsLoopback():
			gone = s
		case local.Is4() != dst.Is4() && (local.IsUnspecified() || local.IsLoopback() && dst.IsLoopback()):
			family = s
		default:
			address = s
		}
	}
	make := func(code, format string, s *host.Socket) *diagnose.Cause {
		culprit, who := socketCulprit(p, *s)
		title := strings.ReplaceAll(format, "{who}", who)
		title = strings.ReplaceAll(title, "{where}", socketAddress(*s))
		title = strings.ReplaceAll(title, "{dst}", p.Flow.String())
		c := &diagnose.Cause{Code: code, Outcome: diagnose.Refused, Culprit: culprit, Title: title}
		for _, s := range socks {
			c.Evidence = append(c.Evidence, socketEvidence(s))
		}
		return c
	}
	switch {
	case device != nil:
		c := make("listener-on-device", "{who} listens on {where}, bound to the device "+device.Device+" (SO_BINDTODEVICE); this connection comes in by "+listenersDevice(p, dst)+".", device)
		c.Culprit.Device = device.Device
		return c
	case v6only != nil:
		c := make("listener-v6only", "{who} listens on {where} for IPv6 only (IPV6_V6ONLY), and {dst} is IPv4.", v6only)
		if s, err := p.Host.Sysctl(p.Ctx, "net.ipv6.bindv6only"); err == nil && strings.TrimSpace(s.Value) == "1" {
			c.Evidence = append(c.Evidence, sysctlEvidence(s))
			c.Title = strings.TrimSuffix(c.Title, ".") + "; net.ipv6.bindv6only = 1 makes that the default here."
		}
		return c
	case family != nil:
		return make("listener-other-family", "{who} listens on {where}, but "+familyName(dst)+" is asked for at {dst}.", family)
	case address != nil:
		return make("listener-other-address", "{who} listens on {where}, not on {dst}.", address)
	case gone != nil:
		return make("listener-address-gone", "{who} listens on {where}, an address that this host does not have (any more).", gone)
	}
	return nil
}

func withoutDevice(s host.Socket) host.Socket {
	s.Interface, s.Device = 0, ""
	return s
}

// absent explains why nothing listens on the port: what is meant to, or what
// is near, decides the code.
func absent(p *diagnose.Pass) (*diagnose.Cause, error) {
	f := p.Flow
	evidence := []diagnose.Evidence{{Source: "sock_diag", What: fmt.Sprintf("%s sockets with local port %d", f.Network, f.Port()), Value: "none listens"}}
	for _, find := range []func(*diagnose.Pass) *diagnose.Cause{notForLocal, claimed, stoppedContainer, published, otherNamespace, belongsElsewhere, claimedUnmanaged} {
		if c := find(p); c != nil {
			c.Outcome = diagnose.Refused
			c.Evidence = append(evidence, c.Evidence...)
			return c, nil
		}
	}
	c := &diagnose.Cause{Code: "no-listener", Outcome: diagnose.Refused, Evidence: evidence,
		Title: fmt.Sprintf("Nothing listens on %s port %d.", strings.ToUpper(f.Network), f.Port())}
	held, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, Port: f.Port(), States: []host.State{host.BoundInactive}})
	if err == nil && len(held) > 0 {
		culprit, who := socketCulprit(p, held[0])
		c.Culprit = culprit
		c.Title = fmt.Sprintf("Nothing listens on %s port %d: %s has bound %s but does not listen.", strings.ToUpper(f.Network), f.Port(), who, socketAddress(held[0]))
		c.Evidence = append(c.Evidence, socketEvidence(held[0]))
	}
	nearPorts(p)
	return c, nil
}

// nearPorts notes listeners on ports that are easily mistaken for the one asked.
func nearPorts(p *diagnose.Pass) {
	f := p.Flow
	socks, err := p.Host.Sockets(p.Ctx, host.SocketQuery{Network: f.Network, States: listening(f.Network)})
	if err != nil {
		return
	}
	type candidate struct {
		s   host.Socket
		why string
		far int
	}
	var found []candidate
	for _, s := range socks {
		port := s.Local.Port()
		if f.Network == "udp" && s.Remote.Port() != 0 || port == f.Port() {
			continue
		}
		if why, far := slip(f.Port(), port); why != "" {
			found = append(found, candidate{s, why, far})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.far - b.far })
	seen := map[uint16]bool{}
	for _, c := range found {
		if seen[c.s.Local.Port()] || len(seen) == 3 {
			continue
		}
		seen[c.s.Local.Port()] = true
		culprit, who := socketCulprit(p, c.s)
		p.Note(diagnose.Finding{Code: "listener-other-port", Culprit: culprit, Evidence: []diagnose.Evidence{socketEvidence(c.s)},
			Title: fmt.Sprintf("%s listens on %s: %s?", who, socketAddress(c.s), c.why)})
	}
}

// slip says how a typist gets from one port to another, and how unlikely it is;
// nothing if by no simple slip.
func slip(asked, real uint16) (string, int) {
	a, b := fmt.Sprint(asked), fmt.Sprint(real)
	if len(a) == len(b) && len(a) > 2 {
		differ := 0
		first := -1
		for i := range a {
			if a[i] != b[i] {
				if first < 0 {
					first = i
				}
				differ++
			}
		}
		if differ == 2 && first+1 < len(a) && a[first] == b[first+1] && a[first+1] == b[first] {
			return "transposed digits", 1
		}
		if differ == 1 {
			return "a wrong digit", 3
		}
	}
	if d := int(asked) - int(real); d == 1 || d == -1 {
		return "one off", 2
	}
	if len(a) == len(b)+1 && dropsOne(a, b) {
		return "a digit too many", 4
	}
	if len(b) == len(a)+1 && len(a) > 1 && dropsOne(b, a) {
		return "a digit short", 4
	}
	return "", 0
}

// dropsOne reports whether long without one of its digits is short.
func dropsOne(long, short string) bool {
	for i := range long {
		if long[:i]+long[i+1:] == short {
			return true
		}
	}
	return false
}
