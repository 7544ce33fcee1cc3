package compose

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// port reads one entry of ports, in the short or the long syntax.
func (l *loading) port(n *node) (Port, error) {
	p := Port{Place: l.place(n.place), Text: n.raw, Network: "tcp"}
	var err error
	switch n.kind {
	case scalar:
		err = p.short(n.text)
	case mapping:
		err = l.long(n, &p)
	default:
		err = fmt.Errorf("expected a port, found a list")
	}
	if err == nil {
		return p, nil
	}
	if _, placed := err.(*Error); placed {
		return p, err
	}
	return p, l.fail(n.place, "%s", err)
}

// short reads [HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL], where both ports may be
// ranges of the same length, or a range is published for one port.
func (p *Port) short(text string) error {
	rest, protocol, found := strings.Cut(text, "/")
	if found && protocol != "" {
		if p.Network = strings.ToLower(protocol); !transport(p.Network) {
			return fmt.Errorf("the port %q has a protocol that is none of tcp, udp, sctp", cut(text))
		}
	}
	target, published, ip := rest, "", ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		target, published = rest[i+1:], rest[:i]
		if j := strings.LastIndexByte(published, ':'); j >= 0 {
			ip, published = published[:j], published[j+1:]
		}
	}
	if target == "" {
		return fmt.Errorf("the port %q names none of the container", cut(text))
	}
	var ok bool
	if p.Target, p.TargetLast, ok = portRange(target); !ok {
		return fmt.Errorf("the port %q has %q for the container, which is neither a port nor a range", cut(text), cut(target))
	}
	if p.HostIP, ok = hostIP(ip); !ok {
		return fmt.Errorf("the port %q has %q for an address, which is none", cut(text), cut(ip))
	}
	if published == "" {
		return nil
	}
	if p.First, p.Last, ok = portRange(published); !ok {
		return fmt.Errorf("the port %q has %q for the host, which is neither a port nor a range", cut(text), cut(published))
	}
	switch {
	case p.Target == p.TargetLast:
		p.Any = p.First != p.Last
	case p.Last-p.First != p.TargetLast-p.Target:
		return fmt.Errorf("the port %q has ranges of different lengths", cut(text))
	}
	return nil
}

// long reads target, published, host_ip and protocol.
func (l *loading) long(n *node, p *Port) error {
	target := n.get("target")
	if target == nil || target.kind != scalar {
		return l.fail(n.place, "the port has no target")
	}
	var ok bool
	p.Place, p.Text = l.place(target.place), target.raw
	if p.Target, p.TargetLast, ok = portRange(target.text); !ok || p.Target != p.TargetLast {
		return l.fail(target.place, "target is a port, found %q", cut(target.text))
	}
	if v := n.get("protocol"); v != nil && v.text != "" {
		if p.Network = strings.ToLower(v.text); !transport(p.Network) {
			return l.fail(v.place, "the protocol %q is none of tcp, udp, sctp", cut(v.text))
		}
	}
	if v := n.get("host_ip"); v != nil && v.text != "" {
		if p.HostIP, ok = hostIP(v.text); !ok {
			return l.fail(v.place, "%q is no address", cut(v.text))
		}
	}
	v := n.get("published")
	if v == nil || v.kind != scalar || v.text == "" {
		return nil
	}
	p.Place, p.Text = l.place(v.place), v.raw
	if p.First, p.Last, ok = portRange(v.text); !ok {
		return l.fail(v.place, "published is a port or a range, found %q", cut(v.text))
	}
	p.Any = p.First != p.Last
	return nil
}

// exposed reads one entry of expose: PORT[-PORT][/PROTOCOL].
func (l *loading) exposed(n *node) (Port, error) {
	p := Port{Place: l.place(n.place), Text: n.raw, Network: "tcp"}
	rest, protocol, found := strings.Cut(n.text, "/")
	if found {
		p.Network = strings.ToLower(protocol)
	}
	var ok bool
	if p.Target, p.TargetLast, ok = portRange(rest); n.kind != scalar || !ok || !transport(p.Network) {
		return p, l.fail(n.place, "expose takes ports, found %q", cut(n.text))
	}
	return p, nil
}

func transport(s string) bool { return s == "tcp" || s == "udp" || s == "sctp" }

// hostIP takes the brackets from an IPv6 address; empty is every address.
func hostIP(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if s, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", false
		}
	}
	a, err := netip.ParseAddr(s)
	return a.WithZone("").String(), err == nil
}

// portRange reads 80 or 8000-8010. 0 is for the engine to choose.
func portRange(s string) (first, last uint16, ok bool) {
	low, high, ranged := strings.Cut(s, "-")
	if !ranged {
		high = low
	}
	a, aErr := strconv.ParseUint(low, 10, 16)
	b, bErr := strconv.ParseUint(high, 10, 16)
	return uint16(a), uint16(b), aErr == nil && bErr == nil && a <= b
}
