//go:build linux

package linux

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
)

// Bind binds a socket in this view's namespace, as the user if one is given,
// and closes it at once. A unix path is [host.ErrUnsupported]: to bind it would
// make a file. The error is [fs.ErrPermission] if the caller may not act as
// that user.
func (h *Host) Bind(ctx context.Context, q host.BindQuery) (host.BindAttempt, error) {
	what := fmt.Sprintf("bind %s %s", q.Network, q.Address)
	if q.Network != "tcp" && q.Network != "udp" {
		return host.BindAttempt{}, fmt.Errorf("%s: %w", what, host.ErrUnsupported)
	}
	if err := checkEndpoint(what, q.Address); err != nil {
		return host.BindAttempt{}, err
	}
	if err := ctx.Err(); err != nil {
		return host.BindAttempt{}, fmt.Errorf("%s: %w", what, err)
	}
	var a host.BindAttempt
	err := h.inNamespace(func() (err error) {
		if q.UID != nil && *q.UID != uint32(os.Geteuid()) {
			a, err = bindAs(ctx, q, *q.UID)
		} else {
			a = bind(q)
		}
		return err
	})
	if err != nil {
		return host.BindAttempt{}, fmt.Errorf("%s: %w", what, err)
	}
	return a, nil
}

// bind tries with the rights and in the namespace of the calling thread.
func bind(q host.BindQuery) host.BindAttempt {
	start := time.Now()
	var a host.BindAttempt
	kind, protocol := unix.SOCK_DGRAM, unix.IPPROTO_UDP
	if q.Network == "tcp" {
		kind, protocol = unix.SOCK_STREAM, unix.IPPROTO_TCP
	}
	a.Plain, a.SocketErrno = bindOnce(q, kind, protocol, false)
	a.Errno = a.Plain
	// SO_REUSEADDR on a UDP socket could take datagrams from a server that
	// has it too (socket(7)), so it is for TCP only.
	if q.Network == "tcp" && a.SocketErrno == "" {
		a.Errno, a.SocketErrno = bindOnce(q, kind, protocol, true)
	}
	a.Elapsed = time.Since(start)
	return a
}

// bindOnce binds one socket and closes it. It never listens: for others it is
// as if nothing had happened.
func bindOnce(q host.BindQuery, kind, protocol int, reuse bool) (reason, socketReason string) {
	fd, err := unix.Socket(familyOf(q.Address.Addr()), kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return errno.Of(err), errno.Of(err)
	}
	defer unix.Close(fd)
	if reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return errno.Of(err), ""
		}
	}
	to, err := endpoint(fd, q.Address)
	if err != nil {
		return errno.Of(err), ""
	}
	return errno.Of(unix.Bind(fd, to)), ""
}

// ExcludedPorts is [host.ErrUnsupported]: Linux reserves ports only from being
// handed out (net.ipv4.ip_local_reserved_ports), never from bind(2).
func (h *Host) ExcludedPorts(context.Context, string) ([]host.PortRange, error) {
	return nil, host.ErrUnsupported
}
