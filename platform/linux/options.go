//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// tcpAOInfo is TCP_AO_INFO of include/uapi/linux/tcp.h (Linux 6.7).
const tcpAOInfo = 40

// SocketOptions reads a socket's options through a duplicate of its descriptor
// (pidfd_open(2), pidfd_getfd(2)), which is closed at once. The process does not
// notice. It takes the right to trace the process: [fs.ErrPermission] without,
// [host.ErrUnsupported] before Linux 5.6, [host.ErrNotFound] if the process or
// the descriptor is gone.
func (h *Host) SocketOptions(_ context.Context, pid, fd int) (host.SocketOptions, error) {
	var o host.SocketOptions
	socket, err := duplicate(pid, fd)
	if err != nil {
		switch {
		case errors.Is(err, unix.ENOSYS):
			err = host.ErrUnsupported
		case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL):
			err = host.ErrNotFound
		}
		return o, fmt.Errorf("duplicate descriptor %d of process %d: %w", fd, pid, err)
	}
	defer unix.Close(socket)
	if o, err = readOptions(socket); err != nil {
		return o, fmt.Errorf("options of descriptor %d of process %d: %w", fd, pid, err)
	}
	return o, nil
}

func duplicate(pid, fd int) (int, error) {
	if pid <= 0 || fd < 0 {
		return -1, unix.ESRCH
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(process)
	// The duplicate is close-on-exec (pidfd_getfd(2)).
	return unix.PidfdGetfd(process, fd, 0)
}

// readOptions reads the options of a socket. One that this kind of socket does
// not have is off; a descriptor that is no socket is not found.
func readOptions(fd int) (host.SocketOptions, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err == unix.ENOTSOCK {
		return host.SocketOptions{}, host.ErrNotFound
	}
	if err != nil {
		return host.SocketOptions{}, err
	}
	value := func(level, name int) int {
		n, err := unix.GetsockoptInt(fd, level, name)
		if err != nil {
			return 0
		}
		return n
	}
	o := host.SocketOptions{
		ReuseAddr: value(unix.SOL_SOCKET, unix.SO_REUSEADDR) != 0,
		ReusePort: value(unix.SOL_SOCKET, unix.SO_REUSEPORT) != 0,
		Accepting: value(unix.SOL_SOCKET, unix.SO_ACCEPTCONN) != 0,
	}
	o.FilterLength, o.Filter = filter(fd)
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return o, nil
	}
	if value(unix.SOL_SOCKET, unix.SO_PROTOCOL) == unix.IPPROTO_TCP {
		o.DeferAccept = value(unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
		o.AO = hasAO(fd)
	}
	// An IPv6 socket has these once, for both families.
	o.FreeBind = value(unix.IPPROTO_IP, unix.IP_FREEBIND) != 0
	o.Transparent = value(unix.IPPROTO_IP, unix.IP_TRANSPARENT) != 0
	if name, err := unix.Getsockname(fd); err == nil {
		switch a := name.(type) {
		case *unix.SockaddrInet4:
			o.Local = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
		case *unix.SockaddrInet6:
			o.Local = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
		}
	}
	return o, nil
}

// filter tells of a socket filter. SO_GET_FILTER without room for an answer
// returns the number of instructions; for an eBPF program, which has no
// classic form to show, it fails with EACCES (net/core/filter.c, sk_get_filter).
func filter(fd int) (length int, attached bool) {
	n := uint32(0)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_GET_FILTER, 0, uintptr(unsafe.Pointer(&n)), 0)
	switch errno {
	case 0:
		return int(n), n > 0
	case unix.EACCES:
		return 0, true
	}
	return 0, false
}

// hasAO: TCP_AO_INFO is ENOENT for a socket without TCP-AO keys.
func hasAO(fd int) bool {
	var info [72]byte // struct tcp_ao_info_opt has 56 bytes
	size := uint32(len(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, tcpAOInfo,
		uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	return errno == 0
}
