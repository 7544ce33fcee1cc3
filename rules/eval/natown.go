package eval

import (
	"net/netip"

	"github.com/portwhy/portwhy/rules"
)

// masquerade is nf_nat_masquerade_ipv4 and _ipv6: the source becomes an address
// of the device that the packet leaves by.
func (w *walk) masquerade(r natRange) rules.VerdictKind {
	p := &w.packet
	if !w.flow.tracked || w.flow.source.set {
		return rules.Accept
	}
	var a netip.Addr
	known := false
	if ask := w.m.host.Source; ask != nil && w.outBlame() == nil {
		a, known = ask(p.Out, p.Address(true))
	}
	r.flags |= rangeMapIPs
	w.flow.leaves = p.Out
	switch {
	case !known:
		r.blame = &blame{"masq", "the address of the device it leaves by is not known"}
	case !a.IsValid():
		return rules.Drop
	default:
		r.min = a.AsSlice()
		r.max = r.min
	}
	return w.mapTo(false, r)
}

// redirect is nf_nat_redirect_ipv4 and _ipv6: the destination becomes this
// host, loopback for what it sends itself, else the device's own address.
func (w *walk) redirect(r natRange) rules.VerdictKind {
	p := &w.packet
	if !w.flow.tracked || w.flow.destination.set {
		return rules.Accept
	}
	r.flags |= rangeMapIPs
	w.flow.redirected = true
	if w.hook == rules.Output {
		r.min = netip.AddrFrom4([4]byte{127, 0, 0, 1}).AsSlice()
		if p.Family == rules.IP6 {
			r.min = netip.IPv6Loopback().AsSlice()
		}
		r.max = r.min
		return w.mapTo(true, r)
	}
	ask := w.m.host.Device
	if ask == nil || w.inBlame() != nil {
		return w.redirectBlind(r)
	}
	d, ok := ask(p.In)
	if !ok {
		return w.redirectBlind(r)
	}
	for _, prefix := range d.Addresses {
		a := prefix.Addr()
		if a.Is4() == (p.Family == rules.IP) && (a.Is4() || sameScope(a, p.Address(true))) {
			r.min = a.AsSlice()
			r.max = r.min
			return w.mapTo(true, r)
		}
	}
	return rules.Drop
}

// sameScope is the scope that nf_nat_redirect_ipv6 asks for: a global one is any.
func sameScope(a, destination netip.Addr) bool {
	want := scopeOf(destination)
	return want == 0 || scopeOf(a) == want
}

// scopeOf is ipv6_addr_scope: 0 for a global address, else 1 for one of the host
// or device, 2 for one of the link, 5 for one of the site.
func scopeOf(a netip.Addr) byte {
	b := a.As16()
	switch {
	case a.IsMulticast():
		if scope := b[1] & 15; scope == 1 || scope == 2 || scope == 5 {
			return scope
		}
	case a.IsLoopback():
		return 1
	case a.IsLinkLocalUnicast():
		return 2
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return 5
	}
	return 0
}

// redirectBlind redirects to an address of this host that is not known.
func (w *walk) redirectBlind(r natRange) rules.VerdictKind {
	r.blame = &blame{"redir", "the address of the device it came by is not known"}
	return w.mapTo(true, r)
}
