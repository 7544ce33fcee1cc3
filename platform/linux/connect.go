//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/talk"
)

// connectTimeout is for queries that name none.
const connectTimeout = 3 * time.Second

// Connect connects from this view's namespace and tells what came of it. The
// query's timeout spans the whole attempt, the talk included. If ctx ends
// first, the error is ctx's.
func (h *Host) Connect(ctx context.Context, q host.ConnectQuery) (host.Attempt, error) {
	timeout := q.Timeout
	if timeout <= 0 {
		timeout = connectTimeout
	}
	own, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := probe{h: h, ctx: own, q: q}
	p.Accepted = "unknown"
	before := h.moving()
	var err error
	switch q.Network {
	case "tcp":
		err = p.tcp()
	case "udp":
		err = p.udp()
	case "unix":
		err = p.unix()
		if p.Errno != "" && err == nil {
			p.At = pathFact(q.Path)
		}
	default:
		err = host.ErrUnsupported
	}
	if p.file != nil {
		p.file.Close()
	}
	if err == nil {
		err = ctx.Err()
	}
	if p.Errno != "" || p.Accepted == "no" {
		p.Moved = moved(before, h.moving())
	}
	if err != nil {
		return host.Attempt{}, fmt.Errorf("connect to %s %s: %w", q.Network, target(q), err)
	}
	return p.Attempt, nil
}

func target(q host.ConnectQuery) string {
	if q.Network == "unix" {
		return host.Clean([]byte(q.Path), unixPathMax)
	}
	return q.Address.String()
}

// probe is one attempt while it is made.
type probe struct {
	host.Attempt
	h     *Host
	ctx   context.Context
	q     host.ConnectQuery
	fd    int
	file  *os.File
	start time.Time
}

// open makes the probe's socket. That the socket can't be had is an answer.
func (p *probe) open(family, kind, protocol int) bool {
	fd, err := p.h.probeSocket(family, kind, protocol)
	if err != nil {
		p.Errno, p.SocketErrno = errno.Of(err), errno.Of(err)
		return false
	}
	p.fd = fd
	if family != unix.AF_UNIX {
		wantErrors(fd, family)
	}
	return true
}

// connect begins to connect, and waits until that has worked or failed.
func (p *probe) connect(to unix.Sockaddr) bool {
	p.start = time.Now()
	err := unix.Connect(p.fd, to)
	// Only now does the runtime's poller see the socket: one that was never
	// connected counts as hung up.
	p.file = os.NewFile(uintptr(p.fd), "probe")
	if err == unix.EINPROGRESS || err == unix.EINTR {
		err = p.await(true, func(fd int) (bool, error) {
			code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err != nil {
				return true, err
			}
			if code != 0 {
				return true, unix.Errno(code)
			}
			// Not failed is not yet connected.
			_, err = unix.Getpeername(fd)
			return err == nil, nil
		})
	}
	p.Elapsed = time.Since(p.start)
	if err != nil {
		p.failed(err)
		return false
	}
	return true
}

// failed notes why it did not work, and the message that said so.
func (p *probe) failed(err error) {
	p.Errno = errno.Of(err)
	if number, ok := errors.AsType[unix.Errno](err); ok {
		p.ICMP = queuedError(p.fd, number)
	}
}

// await calls try whenever the socket may be ready, until try is done or the
// probe's time is over.
func (p *probe) await(write bool, try func(fd int) (bool, error)) error {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	deadline, _ := p.ctx.Deadline()
	if err := p.file.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(p.ctx, func() { p.file.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wait := raw.Read
	if write {
		wait = raw.Write
	}
	var failure error
	if err := wait(func(fd uintptr) bool {
		done, err := try(int(fd))
		failure = err
		return done || err != nil
	}); err != nil {
		return err
	}
	return failure
}

// bindSource makes the probe come from the query's source address. The port is
// chosen by connect (IP_BIND_ADDRESS_NO_PORT in ip(7)), so that a port in use
// elsewhere is no obstacle.
func (p *probe) bindSource() bool {
	if !p.q.Source.IsValid() {
		return true
	}
	from, err := endpoint(p.fd, netip.AddrPortFrom(p.q.Source, 0))
	if err == nil {
		_ = unix.SetsockoptInt(p.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		err = unix.Bind(p.fd, from)
	}
	if err != nil {
		unix.Close(p.fd)
		p.Errno = errno.Of(err)
	}
	return err == nil
}

// prepare makes a socket for the query's address.
func (p *probe) prepare(kind, protocol int) (unix.Sockaddr, error) {
	if err := checkEndpoint("connect", p.q.Address); err != nil {
		return nil, err
	}
	if !p.open(familyOf(p.q.Address.Addr()), kind, protocol) || !p.bindSource() {
		return nil, nil
	}
	to, err := endpoint(p.fd, p.q.Address)
	if err != nil {
		unix.Close(p.fd)
		p.Errno = errno.Of(err)
		return nil, nil
	}
	return to, nil
}

// tcp connects, looks whether the connection is accepted, and speaks.
func (p *probe) tcp() error {
	to, err := p.prepare(unix.SOCK_STREAM, unix.IPPROTO_TCP)
	if to == nil || !p.connect(to) {
		return err
	}
	p.endpoints()
	p.SelfConnected = p.Local == p.Remote
	if !p.SelfConnected {
		p.lookAtPeer()
	}
	if err := p.speak(net.TCPAddrFromAddrPort(p.Remote)); err != nil {
		return err
	}
	p.watch()
	// A listener with TCP_DEFER_ACCEPT accepts only what has spoken.
	if p.Talk != nil && p.Accepted == "no" {
		p.lookAtPeer()
	}
	if info, err := unix.GetsockoptTCPInfo(p.fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		p.Retransmits, p.PathMTU = int(info.Total_retrans), int(info.Pmtu)
	}
	return nil
}

// endpoints notes both ends of the connection.
func (p *probe) endpoints() {
	if name, err := unix.Getsockname(p.fd); err == nil {
		p.Local = addrPort(name)
	}
	if name, err := unix.Getpeername(p.fd); err == nil {
		p.Remote = addrPort(name)
	}
}

// speak talks as the query asks. A peer that resets meanwhile is an answer.
func (p *probe) speak(remote net.Addr) error {
	if p.q.Speak == "" || p.SelfConnected {
		return nil
	}
	t, err := talk.Speak(p.ctx, &fileConn{p.file, remote}, talk.Query{Protocol: p.q.Speak, Name: p.q.Name, Path: p.q.URLPath})
	if err != nil {
		return err
	}
	p.Talk = &t
	return nil
}

// watchFor is how long a connection is watched: a proxy on this host learns in
// well under a millisecond that its backend refuses.
const watchFor = 50 * time.Millisecond

// watch stays a moment to see whether the peer ends the connection at once.
func (p *probe) watch() {
	if !p.q.Watch || p.q.Speak != "" || p.SelfConnected || p.Accepted == "no" {
		return
	}
	raw, err := p.file.SyscallConn()
	if err != nil || p.file.SetReadDeadline(time.Now().Add(watchFor)) != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return false
		case err != nil:
			p.Ended = errno.Of(err)
		case n == 0:
			p.Ended = "EOF"
		}
		return true
	})
}

// fileConn makes a connection of the probe's file.
type fileConn struct {
	*os.File
	remote net.Addr
}

// LocalAddr is not known here; nobody asks.
func (c *fileConn) LocalAddr() net.Addr { return c.remote }

// RemoteAddr is where the probe connected to.
func (c *fileConn) RemoteAddr() net.Addr { return c.remote }

// udp sends a datagram on a connected socket and waits for an answer or for an
// error, which only a connected socket is told (udp(7)).
func (p *probe) udp() error {
	to, err := p.prepare(unix.SOCK_DGRAM, unix.IPPROTO_UDP)
	if to == nil || !p.connect(to) {
		return err
	}
	p.endpoints()
	// A firewall on the way out or a BPF program fails the send with EPERM.
	err = p.await(true, func(fd int) (bool, error) {
		err := unix.Sendto(fd, p.q.Payload, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
		return ready(err)
	})
	if err == nil {
		err = p.await(false, func(fd int) (bool, error) {
			_, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_DONTWAIT)
			return ready(err)
		})
		p.Answered = err == nil
	}
	p.Elapsed = time.Since(p.start)
	if err != nil {
		p.failed(err)
	}
	return nil
}

// ready tells whether a call that does not wait has ended.
func ready(err error) (bool, error) {
	if err == unix.EAGAIN || err == unix.EINTR {
		return false, nil
	}
	return true, err
}

// unix connects to a path: as a stream, or as the kind of socket that is there.
// A full queue is EAGAIN, where a client that waits would hang.
func (p *probe) unix() error {
	to, err := unixEndpoint(p.q.Path)
	if err != nil {
		p.Errno = errno.Of(err)
		return nil
	}
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		p.Errno = ""
		if !p.open(unix.AF_UNIX, kind, 0) {
			return nil
		}
		if p.connect(to) {
			if kind == unix.SOCK_DGRAM {
				return nil
			}
			p.lookAtUnixPeer()
			return p.speak(&net.UnixAddr{Name: p.q.Path, Net: "unix"})
		}
		if p.Errno != "EPROTOTYPE" {
			return nil
		}
		p.file.Close()
		p.file = nil
	}
	return nil
}
