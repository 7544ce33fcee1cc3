package checks

import (
	"errors"
	"slices"
	"strings"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// maxOccupants bounds how many sockets are looked at one by one: whoever is to
// have the port must get rid of the first ones anyway.
const maxOccupants = 32

// occupant is a socket in the way of the bind, or perhaps so.
type occupant struct {
	host.Socket
	procs    []host.Process
	complete bool // every process could be looked at
	// inWay: a server that sets SO_REUSEADDR, as most do for TCP, is refused
	// because of it. plain: one that does not.
	inWay, plain         tristate
	reuseAddr, reusePort tristate
}

// holder is the process to name: the one whose parent is not among them.
func (o occupant) holder() *host.Process {
	for i, proc := range o.procs {
		if !slices.ContainsFunc(o.procs, func(other host.Process) bool { return other.PID == proc.PPID }) {
			return &o.procs[i]
		}
	}
	return nil
}

// occupants lists the sockets that may be in the way, the worst first: those
// that listen or are just bound, and only if there are none the others.
func occupants(p *diagnose.Pass) ([]occupant, error) {
	asking, err := asker(p)
	if err != nil {
		return nil, err
	}
	vrfs, err := vrfs(p)
	if err != nil {
		return nil, err
	}
	q := host.SocketQuery{Network: p.Flow.Network, Port: p.Flow.Port()}
	if q.Network == "udp" {
		socks, err := p.Host.Sockets(p.Ctx, q)
		if err != nil {
			return nil, err
		}
		return inTheWay(p, asking, socks, vrfs)
	}
	q.States = []host.State{host.Listen}
	socks, err := p.Host.Sockets(p.Ctx, q)
	if err != nil {
		return nil, err
	}
	q.States = []host.State{host.BoundInactive}
	bound, err := p.Host.Sockets(p.Ctx, q)
	if err != nil && !errors.Is(err, host.ErrUnsupported) && !errors.Is(err, host.ErrNotRecorded) {
		return nil, err
	}
	found, err := inTheWay(p, asking, append(socks, bound...), vrfs)
	if err != nil || len(found) > 0 {
		return found, err
	}
	q.States = nil
	if socks, err = p.Host.Sockets(p.Ctx, q); err != nil {
		return nil, err
	}
	return inTheWay(p, asking, socks, vrfs)
}

// asker is the socket that asks for the port: what the probe and most servers
// make of it.
func asker(p *diagnose.Pass) (claimant, error) {
	f := p.Flow
	a := claimant{network: f.Network, addr: f.Addr(), v6only: no, state: host.BoundInactive, uid: p.Info.UID, reuseAddr: known(f.Network == "tcp"), reusePort: no}
	if p.UID != nil {
		a.uid = *p.UID
	}
	if !a.addr.Is6() || a.addr.Is4In6() {
		return a, nil
	}
	if !a.addr.IsUnspecified() {
		a.v6only = yes // __inet6_bind sets it for an address
	} else if s, err := p.Host.Sysctl(p.Ctx, "net.ipv6.bindv6only"); err == nil {
		a.v6only = known(strings.TrimSpace(s.Value) == "1")
	}
	if a.addr.IsLinkLocalUnicast() && a.addr.Zone() != "" {
		links, err := p.Host.Links(p.Ctx)
		if err != nil {
			return a, err
		}
		if l := linkByName(links, a.addr.Zone()); l != nil {
			a.device = l.Index
		}
	}
	return a, nil
}

// vrfs maps each device to the VRF that it is or belongs to. With
// tcp_l3mdev_accept the kernel does not tell VRFs apart (inet_sk_bound_l3mdev).
func vrfs(p *diagnose.Pass) (map[int]int, error) {
	of := map[int]int{}
	if s, err := p.Host.Sysctl(p.Ctx, "net.ipv4.tcp_l3mdev_accept"); err == nil && strings.TrimSpace(s.Value) != "0" {
		return of, nil
	}
	links, err := p.Host.Links(p.Ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Kind == "vrf" {
			of[l.Index] = l.Index
		}
	}
	for _, l := range links {
		if of[l.Master] != 0 {
			of[l.Index] = l.Master
		}
	}
	return of, nil
}

// claimantOf is what is known of a socket without its descriptor.
func claimantOf(s host.Socket, vrfs map[int]int) claimant {
	c := claimant{network: s.Network, addr: s.Local.Addr(), state: s.State, uid: s.UID, device: s.Interface, vrf: vrfs[s.Interface]}
	switch {
	case s.Local.Addr().Is4() || s.Local.Addr().Is4In6():
		c.v6only = no
	case !s.Brief && (s.State == host.Listen || s.State == host.BoundInactive || s.State == host.Unconn):
		c.v6only = known(s.V6Only)
	default:
		// inet_diag tells it of these states only (inet_diag_msg_attrs_fill).
	}
	if s.Brief {
		c.device = -1
	}
	return c
}

// inTheWay keeps the sockets that the kernel may refuse the port for.
func inTheWay(p *diagnose.Pass, asking claimant, socks []host.Socket, vrfs map[int]int) ([]occupant, error) {
	plainly := asking
	plainly.reuseAddr = no
	var found []occupant
	var inodes []uint64
	for _, s := range socks {
		c := claimantOf(s, vrfs)
		if conflict(plainly, c) == no {
			continue
		}
		found = append(found, occupant{Socket: s})
		if len(found) == maxOccupants {
			break
		}
	}
	for _, o := range found {
		if o.Inode != 0 {
			inodes = append(inodes, o.Inode)
		}
	}
	holders := host.Holders{}
	if len(inodes) > 0 {
		var err error
		if holders, err = p.Host.Holders(p.Ctx, host.HolderQuery{Inodes: inodes}); err != nil {
			p.Limit(diagnose.LimitOf("which process holds the port", err))
			holders.Unreadable = 1
		}
	}
	procs := map[int]host.Process{}
	for i := range found {
		o := &found[i]
		o.complete = holders.Unreadable == 0
		for _, h := range holders.BySocket[o.Inode] {
			o.look(p, h, procs)
		}
		c := claimantOf(o.Socket, vrfs)
		c.reuseAddr, c.reusePort = o.reuseAddr, o.reusePort
		o.inWay, o.plain = conflict(asking, c), conflict(plainly, c)
	}
	return slices.DeleteFunc(found, func(o occupant) bool { return o.plain == no }), nil
}

// look adds one holder, and through the first that allows it what the socket's
// options are.
func (o *occupant) look(p *diagnose.Pass, h host.Holder, procs map[int]host.Process) {
	proc, ok := procs[h.PID]
	if !ok {
		var err error
		if proc, err = p.Host.Process(p.Ctx, h.PID); err != nil || h.StartTicks != 0 && proc.StartTicks != h.StartTicks {
			return // ended meanwhile
		}
		procs[h.PID] = proc
	}
	if o.reuseAddr == unknown {
		if options, err := p.Host.SocketOptions(p.Ctx, h.PID, h.FD); err == nil {
			o.reuseAddr, o.reusePort = known(options.ReuseAddr), known(options.ReusePort)
		}
	}
	if !slices.ContainsFunc(o.procs, func(have host.Process) bool { return have.PID == proc.PID }) {
		o.procs = append(o.procs, proc)
	}
}
