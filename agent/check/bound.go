package check

import (
	"fmt"
	"net/netip"

	"github.com/portwhy/portwhy/diagnose"
	"github.com/portwhy/portwhy/platform/host"
)

// bound asks whether all who have the port are who may have it.
func (a *asker) bound() error {
	t := a.spec.Target
	want := "only by " + a.spec.BoundBy.String()
	states := []host.State{host.Listen, host.BoundInactive}
	if t.Network == "udp" {
		states = []host.State{host.Unconn}
	}
	socks, err := a.host.Sockets(a.ctx, host.SocketQuery{Network: t.Network, Port: t.Port, States: states})
	if err != nil {
		a.result.expect("bound", want, "unknown", diagnose.StatusUnknown)
		a.result.Limits = append(a.result.Limits, diagnose.LimitOf("who has the port", err))
		a.result.Says = "who has the port could not be read"
		return nil
	}
	var having []host.Socket
	for _, s := range socks {
		if !t.Addr.IsValid() || covers(s.Local.Addr(), t.Addr, s.V6Only) {
			having = append(having, s)
		}
	}
	if len(having) == 0 {
		a.result.expect("bound", want, "by nobody", diagnose.Broken)
		a.result.Says = "nobody has the port, expected " + a.spec.BoundBy.String()
		rep, err := a.diagnose(diagnose.Options{NoProbe: true})
		if err != nil {
			return err
		}
		a.keep(rep)
		return nil
	}
	for _, s := range having {
		a.holders(s)
	}
	a.result.Says = "bound by " + a.result.Expectations[0].Found
	if bad := a.result.failing(); bad != nil {
		a.result.Says = fmt.Sprintf("bound by %s, expected %s", bad.Found, bad.Expected)
		if bad.Status == diagnose.StatusUnknown {
			a.result.Says = "not all who have the port can be seen"
		}
	}
	return nil
}

// holders compares every process that holds the socket.
func (a *asker) holders(s host.Socket) {
	address := s.Local.String()
	if s.Inode == 0 {
		a.compareWho("bound by", a.spec.BoundBy, nil, address)
		return
	}
	found, err := a.host.Holders(a.ctx, host.HolderQuery{Inodes: []uint64{s.Inode}, Every: true})
	if err != nil {
		a.result.Limits = append(a.result.Limits, diagnose.LimitOf("who has "+address, err))
		a.result.expect("bound by", a.spec.BoundBy.String(), "unknown", diagnose.StatusUnknown)
		return
	}
	seen, last := 0, 0
	for _, h := range found.BySocket[s.Inode] {
		if h.PID == last {
			continue
		}
		last = h.PID
		p, err := a.host.Process(a.ctx, h.PID)
		if err != nil || h.StartTicks != 0 && p.StartTicks != h.StartTicks {
			continue // ended meanwhile, or its pid is another process's now
		}
		seen++
		a.compareWho("bound by", a.spec.BoundBy, &diagnose.Culprit{Kind: "process", PID: p.PID, Name: p.Name, User: p.User, Unit: p.Unit, Container: p.Container, Address: address, Cwd: p.Cwd}, address)
	}
	switch {
	case seen == 0:
		a.compareWho("bound by", a.spec.BoundBy, nil, address)
	case found.Unreadable > 0:
		a.result.expect("bound by", a.spec.BoundBy.String(), "perhaps others, too", diagnose.StatusUnknown)
		a.limit("whether others hold "+address+", too", "the descriptors of "+plural(found.Unreadable, "process", "processes")+" can't be read", "root or CAP_SYS_PTRACE")
	}
}

// covers reports whether a socket's own address takes in another one.
func covers(local, asked netip.Addr, v6only bool) bool {
	local, asked = local.WithZone("").Unmap(), asked.WithZone("").Unmap()
	switch {
	case asked.IsUnspecified():
		return asked.Is4() == local.Is4() || local.IsUnspecified() && !v6only
	case !local.IsUnspecified():
		return local == asked
	}
	return local.Is4() == asked.Is4() || local.Is6() && !v6only
}
