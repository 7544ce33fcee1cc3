//go:build windows

package windows

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/windows"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/portable"
)

// Bind binds a socket and closes it at once. SO_REUSEADDR is never set, for it
// takes the port from who has it ("Using SO_REUSEADDR and
// SO_EXCLUSIVEADDRUSE"): Errno and Plain are the same. Another user's rights
// and unix paths are [host.ErrUnsupported].
func (h *Host) Bind(ctx context.Context, q host.BindQuery) (host.BindAttempt, error) {
	if err := ctx.Err(); err != nil {
		return host.BindAttempt{}, fmt.Errorf("bind %s: %w", q.Network, err)
	}
	if q.Network != "tcp" && q.Network != "udp" || !q.Address.IsValid() || q.UID != nil {
		return host.BindAttempt{}, fmt.Errorf("bind %s: %w", q.Network, host.ErrUnsupported)
	}
	var data windows.WSAData
	if err := windows.WSAStartup(2<<8|2, &data); err != nil {
		return host.BindAttempt{}, fmt.Errorf("bind %s: start Winsock: %w", q.Network, err)
	}
	defer windows.WSACleanup()
	start := time.Now()
	var a host.BindAttempt
	a.Plain, a.SocketErrno = bindOnce(q)
	a.Errno = a.Plain
	a.Elapsed = time.Since(start)
	return a, nil
}

func bindOnce(q host.BindQuery) (reason, socketReason string) {
	kind, protocol := int32(windows.SOCK_STREAM), int32(windows.IPPROTO_TCP)
	if q.Network == "udp" {
		kind, protocol = windows.SOCK_DGRAM, windows.IPPROTO_UDP
	}
	to, family, err := endpoint(q.Address)
	if err != nil {
		return "EADDRNOTAVAIL", ""
	}
	socket, err := windows.WSASocket(family, kind, protocol, nil, 0, windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
	if err != nil {
		return errno.Of(err), errno.Of(err)
	}
	defer windows.Closesocket(socket)
	return errno.Of(windows.Bind(socket, to)), ""
}

func endpoint(a netip.AddrPort) (windows.Sockaddr, int32, error) {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return &windows.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, windows.AF_INET, nil
	}
	zone, err := portable.ZoneIndex(a.Addr().Zone())
	return &windows.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: zone}, windows.AF_INET6, err
}
