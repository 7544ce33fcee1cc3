//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// patience are the pauses between looks whether a connection is accepted. A
// listener that lives takes it within the first. After them only a query that
// does not speak and is not impatient goes on looking, until its time is over.
var patience = [...]time.Duration{0, 1e6, 5e6, 20e6, 80e6, 250e6}

// look tries to see the peer: seen is false if it can't be seen at all.
func (p *probe) look(see func() (accepted, seen bool)) {
	for i := 0; ; i++ {
		pause := patience[min(i, len(patience)-1)]
		if i >= len(patience) && (p.q.Impatient || p.q.Speak != "") {
			return
		}
		if pause > 0 {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		accepted, seen := see()
		switch {
		case !seen:
			return
		case accepted:
			p.Accepted = "yes"
			return
		}
		p.Accepted = "no"
	}
}

// lookAtPeer looks for the other end of a TCP connection on this host. A
// connection that waits for accept(2) has a socket without an inode, because
// no file stands for it yet (sock_graft in include/net/sock.h).
func (p *probe) lookAtPeer() {
	view, release := p.peerView()
	if view == nil {
		return
	}
	defer release()
	p.PeerNetNS = view.netns
	p.look(func() (bool, bool) {
		s, ok := view.endOf(p.ctx, p.Remote, p.Local)
		p.PeerInode = s.Inode
		// Once the peer has closed, its socket has lost the inode again.
		return s.Inode != 0 || s.State != host.Estab && s.State != host.SynRecv, ok
	})
}

// peerView is the view in which the other end is found: this one, or that of
// another namespace if the way there leads over a device that connects
// namespaces.
func (p *probe) peerView() (*Host, func()) {
	keep := func() {}
	if _, ok := p.h.endOf(p.ctx, p.Remote, p.Local); ok {
		return p.h, keep
	}
	if !p.h.leadsToNamespace(p.ctx, p.Remote.Addr()) {
		return nil, nil
	}
	list, err := p.h.Namespaces(p.ctx)
	if err != nil {
		return nil, nil
	}
	for _, ns := range list.Namespaces[:min(len(list.Namespaces), namespacesMax)] {
		if ns.Current || p.ctx.Err() != nil {
			continue
		}
		view, err := p.h.enter(ns)
		if err != nil {
			continue
		}
		if _, ok := view.endOf(p.ctx, p.Remote, p.Local); ok {
			return view, view.close
		}
		view.close()
	}
	return nil, nil
}

// namespacesMax bounds the search for the other end.
const namespacesMax = 256

// leadsToNamespace reports whether packets to the address leave by a device
// behind which there may be another namespace of this host.
func (h *Host) leadsToNamespace(ctx context.Context, to netip.Addr) bool {
	route, err := h.RouteTo(ctx, host.RouteQuery{Destination: to})
	if err != nil || route.Type == "local" {
		return false
	}
	links, err := h.Links(ctx)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(links, func(l host.Link) bool {
		return l.Name == route.Device && slices.Contains([]string{"veth", "bridge", "macvlan", "ipvlan", "vlan", "vrf"}, l.Kind)
	})
}

// close gives back what a view holds that nobody else has seen.
func (h *Host) close() {
	h.diag.mu.Lock()
	defer h.diag.mu.Unlock()
	if h.diag.conn != nil {
		h.diag.conn.close()
		h.diag.conn = nil
	}
	if h.ns != nil {
		h.ns.Close()
	}
}

// endOf finds the socket of this namespace whose own end is local. First by
// the kernel's own lookup, which also finds a connection that the listener's
// process has yet to be told of; then, since that finds no socket bound to a
// device, in the list.
func (h *Host) endOf(ctx context.Context, local, remote netip.AddrPort) (host.Socket, bool) {
	if s, ok := h.lookup(ctx, local, remote); ok {
		return s, true
	}
	list, err := h.Sockets(ctx, host.SocketQuery{Network: "tcp", Port: local.Port(), RemotePort: remote.Port()})
	if err != nil {
		return host.Socket{}, false
	}
	for _, s := range list {
		if s.State != host.Listen && s.Local.Addr().Unmap() == local.Addr().WithZone("") && s.Remote.Addr().Unmap() == remote.Addr().WithZone("") {
			return s, true
		}
	}
	return host.Socket{}, false
}

// lookup asks sock_diag(7) for the connection between two ends
// (inet_diag_find_one_icsk in net/ipv4/inet_diag.c). The kernel answers with
// the listener if there is none.
func (h *Host) lookup(ctx context.Context, local, remote netip.AddrPort) (host.Socket, bool) {
	if !h.modules.mayAsk("tcp_diag") {
		return host.Socket{}, false
	}
	var s host.Socket
	found := false
	_ = h.withDiag(func(c *netlinkConn) error {
		replies, err := c.ask(ctx, unix.SOCK_DIAG_BY_FAMILY, lookupRequest(local, remote))
		if err == unix.ENOENT || err == nil && len(replies) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		err = parseInetDiag(&s, unix.IPPROTO_TCP, replies[0].data)
		found = err == nil && s.State != host.Listen && s.Local.Port() == local.Port() && s.Remote.Port() == remote.Port()
		return err
	})
	return s, found
}

// lookupRequest is struct inet_diag_req_v2 for one socket: local is the end
// that is the socket's own.
func lookupRequest(local, remote netip.AddrPort) []byte {
	b := make([]byte, inetDiagRequest)
	b[0], b[1] = byte(familyOf(local.Addr())), unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<32-1)
	binary.BigEndian.PutUint16(b[8:], local.Port())
	binary.BigEndian.PutUint16(b[10:], remote.Port())
	copy(b[12:28], local.Addr().Unmap().AsSlice())
	copy(b[28:44], remote.Addr().Unmap().AsSlice())
	// The kernel compares the device of a link-local address.
	if local.Addr().IsLinkLocalUnicast() {
		binary.NativeEndian.PutUint32(b[44:], zoneNumber(local.Addr()))
	}
	// INET_DIAG_NOCOOKIE
	binary.NativeEndian.PutUint32(b[48:], 1<<32-1)
	binary.NativeEndian.PutUint32(b[52:], 1<<32-1)
	return b
}

// lookAtUnixPeer asks whose socket the probe's is connected to. One that waits
// for accept(2) has no inode yet, one that is gone has none any more.
func (p *probe) lookAtUnixPeer() {
	var own unix.Stat_t
	if !p.h.modules.mayAsk("unix_diag") || unix.Fstat(p.fd, &own) != nil {
		return
	}
	p.look(func() (bool, bool) {
		s, ok := p.h.unixLookup(p.ctx, uint32(own.Ino))
		p.PeerInode = s.Peer
		return s.Peer != 0, ok && (s.Peer != 0 || !p.hungUp())
	})
	if p.Accepted == "no" && p.hungUp() {
		p.Accepted = "unknown"
	}
}

// hungUp reports whether the other side has closed.
func (p *probe) hungUp() bool {
	poll := []unix.PollFd{{Fd: int32(p.fd)}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&unix.POLLHUP != 0
}

// unixLookup asks for the unix socket with this inode.
func (h *Host) unixLookup(ctx context.Context, inode uint32) (host.Socket, bool) {
	request := make([]byte, unixDiagRequest)
	request[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(request[8:], inode)
	binary.NativeEndian.PutUint32(request[12:], unixShow)
	binary.NativeEndian.PutUint32(request[16:], 1<<32-1)
	binary.NativeEndian.PutUint32(request[20:], 1<<32-1)
	var s host.Socket
	found := false
	_ = h.withDiag(func(c *netlinkConn) error {
		replies, err := c.ask(ctx, unix.SOCK_DIAG_BY_FAMILY, request)
		if err != nil || len(replies) == 0 {
			return err
		}
		s, err = parseUnixDiag(replies[0].data)
		found = err == nil
		return err
	})
	return s, found
}
