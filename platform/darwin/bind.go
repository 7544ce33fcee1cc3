//go:build darwin

package darwin

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/portable"
)

// Bind binds a socket and closes it at once. Another user's rights and unix
// paths, where it would make a file, are [host.ErrUnsupported].
func (h *Host) Bind(ctx context.Context, q host.BindQuery) (host.BindAttempt, error) {
	if err := ctx.Err(); err != nil {
		return host.BindAttempt{}, fmt.Errorf("bind %s: %w", q.Network, err)
	}
	if q.Network != "tcp" && q.Network != "udp" || !q.Address.IsValid() || q.UID != nil && *q.UID != uint32(os.Geteuid()) {
		return host.BindAttempt{}, fmt.Errorf("bind %s: %w", q.Network, host.ErrUnsupported)
	}
	start := time.Now()
	var a host.BindAttempt
	a.Plain, a.SocketErrno = bindOnce(q, false)
	a.Errno = a.Plain
	// With SO_REUSEADDR, a UDP socket could take another one's datagrams.
	if q.Network == "tcp" && a.SocketErrno == "" {
		a.Errno, a.SocketErrno = bindOnce(q, true)
	}
	a.Elapsed = time.Since(start)
	return a, nil
}

func bindOnce(q host.BindQuery, reuse bool) (reason, socketReason string) {
	kind := unix.SOCK_STREAM
	if q.Network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	to, family, err := endpoint(q.Address)
	if err != nil {
		return "ENXIO", ""
	}
	// No other descriptor can be marked close-on-exec while it is made
	// (see syscall.ForkLock).
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return errno.Of(err), errno.Of(err)
	}
	defer unix.Close(fd)
	if reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return errno.Of(err), ""
		}
	}
	return errno.Of(unix.Bind(fd, to)), ""
}

func endpoint(a netip.AddrPort) (unix.Sockaddr, int, error) {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, unix.AF_INET, nil
	}
	zone, err := portable.ZoneIndex(a.Addr().Zone())
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zone}, unix.AF_INET6, err
}
