//go:build linux

package linux

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Layout of struct sock_extended_err (include/uapi/linux/errqueue.h); the
// address of who sent the message follows it (SO_EE_OFFENDER).
const (
	extendedErrSize = 16
	originLocal     = 1 // SO_EE_ORIGIN_LOCAL
	originICMP      = 2 // SO_EE_ORIGIN_ICMP
	originICMP6     = 3 // SO_EE_ORIGIN_ICMP6
)

// queueMax bounds how many queued errors are looked at.
const queueMax = 16

// wantErrors asks that ICMP messages are queued, see IP_RECVERR in ip(7) and
// IPV6_RECVERR in ipv6(7). Where the kernel refuses, an attempt only knows
// less.
func wantErrors(fd, family int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	}
}

// queuedError finds in the socket's error queue what caused the error reason,
// nil if it is not there. TCP fills the queue while connecting since Linux 5.9
// (tcp_v4_err and tcp_v6_err, ip_icmp_error): a port that a packet filter
// rejects by ICMP leaves a message, one that answers with a RST leaves none.
func queuedError(fd int, reason unix.Errno) *host.ICMP {
	control := make([]byte, 512)
	for range queueMax {
		_, n, _, _, err := unix.Recvmsg(fd, nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil
		}
		if message, cause := parseExtendedErr(control[:n]); message != nil && cause == reason {
			return message
		}
	}
	return nil
}

// parseExtendedErr reads the control messages of one queued error.
func parseExtendedErr(control []byte) (*host.ICMP, unix.Errno) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return nil, 0
		}
		control = rest
		v4 := header.Level == unix.IPPROTO_IP && header.Type == unix.IP_RECVERR
		v6 := header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_RECVERR
		if (!v4 && !v6) || len(data) < extendedErrSize {
			continue
		}
		message := &host.ICMP{Type: int(data[5]), Code: int(data[6])}
		switch data[4] {
		case originICMP:
			message.Version = 4
		case originICMP6:
			message.Version = 6
		case originLocal:
			message.Local = true
			message.Version = 4
			if v6 {
				message.Version = 6
			}
		default:
			continue
		}
		if !message.Local {
			message.From = offender(data[extendedErrSize:])
		}
		return message, unix.Errno(binary.NativeEndian.Uint32(data))
	}
	return nil, 0
}

// offender reads a sockaddr_in or sockaddr_in6; another family means that the
// kernel does not know who it was.
func offender(b []byte) netip.Addr {
	if len(b) < 2 {
		return netip.Addr{}
	}
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET && len(b) >= 8:
		return netip.AddrFrom4([4]byte(b[4:8]))
	case family == unix.AF_INET6 && len(b) >= 24:
		return netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	}
	return netip.Addr{}
}
