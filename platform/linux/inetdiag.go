//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Sizes and numbers of include/uapi/linux/inet_diag.h.
const (
	inetDiagRequest = 56 // struct inet_diag_req_v2
	inetDiagMessage = 72 // struct inet_diag_msg

	inetDiagInfo      = 2
	inetDiagSkMemInfo = 7
	inetDiagSkV6Only  = 11
	inetDiagMark      = 15
	inetDiagMD5Sig    = 18
	inetDiagCgroupID  = 21
	inetDiagSockOpt   = 22

	// Timers of idiag_timer whose idiag_retrans counts unanswered packets:
	// retransmission and zero window probe.
	timerRetransmit = 1
	timerProbe      = 4

	infoPMTU = 60 // offset of tcpi_pmtu in struct tcp_info
)

// tcpStates maps the kernel's numbers (include/net/tcp_states.h). 12 is
// TCP_NEW_SYN_RECV, which inet_diag shows as SYN-RECV.
var tcpStates = [...]host.State{
	1: host.Estab, 2: host.SynSent, 3: host.SynRecv, 4: host.FinWait1, 5: host.FinWait2, 6: host.TimeWait,
	7: host.Unconn, 8: host.CloseWait, 9: host.LastAck, 10: host.Listen, 11: host.Closing, 12: host.SynRecv, 13: host.BoundInactive,
}

// inetMask is the request's state mask for the states of a query; zero if the
// protocol has none of them.
func inetMask(protocol uint8, states []host.State) uint32 {
	var all uint32 = 1<<1 | 1<<7 // UDP
	if protocol == unix.IPPROTO_TCP {
		all = 1<<14 - 2
		all &^= 1 << 12
	}
	if len(states) == 0 {
		if protocol == unix.IPPROTO_TCP {
			all &^= 1<<3 | 1<<13
		}
		return all
	}
	var mask uint32
	for _, state := range states {
		for n, name := range tcpStates {
			if name == state && state != "" {
				mask |= 1 << n
			}
		}
	}
	return mask & all
}

// extensions are the attributes to ask for (idiag_ext). TCP's keys are told
// with INFO only (tcp_diag_get_aux).
func extensions(q host.SocketQuery) byte {
	if q.Port == 0 && q.RemotePort == 0 {
		return 0
	}
	// A few sockets: what costs more is worth it.
	return 1<<(inetDiagSkMemInfo-1) | 1<<(inetDiagInfo-1)
}

// socketID is struct inet_diag_sockid for a list. The kernel compares the
// ports itself, before it builds an answer (inet_diag_dump_icsk, udp_dump).
func socketID(q host.SocketQuery) []byte {
	b := make([]byte, 48)
	binary.BigEndian.PutUint16(b[0:], q.Port)
	binary.BigEndian.PutUint16(b[2:], q.RemotePort)
	// INET_DIAG_NOCOOKIE
	binary.NativeEndian.PutUint32(b[40:], 1<<32-1)
	binary.NativeEndian.PutUint32(b[44:], 1<<32-1)
	return b
}

// inetRequest is struct inet_diag_req_v2 for a list.
func inetRequest(family, protocol uint8, mask uint32, q host.SocketQuery) []byte {
	b := []byte{family, protocol, extensions(q), 0}
	b = binary.NativeEndian.AppendUint32(b, mask)
	return append(b, socketID(q)...)
}

// tcpRequest is struct inet_diag_req, the older form: it knows TCP only, but
// lists both families in one walk through the kernel's tables, which is what a
// list costs on a host with few sockets (inet_diag_dump_compat).
func tcpRequest(mask uint32, q host.SocketQuery) []byte {
	b := []byte{unix.AF_UNSPEC, 0, 0, extensions(q)}
	b = append(b, socketID(q)...)
	b = binary.NativeEndian.AppendUint32(b, mask)
	return binary.NativeEndian.AppendUint32(b, 0)
}

// tcpGetSock is TCPDIAG_GETSOCK, the type of that request.
const tcpGetSock = 18

func (h *Host) tcpSockets(ctx context.Context, list []host.Socket, q host.SocketQuery) ([]host.Socket, error) {
	mask := inetMask(unix.IPPROTO_TCP, q.States)
	return h.inetSockets(ctx, list, tcpGetSock, unix.IPPROTO_TCP, mask, tcpRequest(mask, q), q)
}

func (h *Host) udpSockets(ctx context.Context, list []host.Socket, q host.SocketQuery) ([]host.Socket, error) {
	mask := inetMask(unix.IPPROTO_UDP, q.States)
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var err error
		request := inetRequest(family, unix.IPPROTO_UDP, mask, q)
		if list, err = h.inetSockets(ctx, list, unix.SOCK_DIAG_BY_FAMILY, unix.IPPROTO_UDP, mask, request, q); err != nil {
			return list, err
		}
	}
	return list, nil
}

// inetSockets appends what one request lists.
func (h *Host) inetSockets(ctx context.Context, list []host.Socket, kind uint16, protocol uint8, mask uint32, request []byte, q host.SocketQuery) ([]host.Socket, error) {
	if mask == 0 {
		return list, nil
	}
	start := len(list)
	if q.Port == 0 && q.RemotePort == 0 {
		list = slices.Grow(list, h.socketsInUse(protocol))
	}
	err := h.diagDump(ctx, kind, request,
		func() { list = list[:start] },
		func(b []byte) error {
			// It is read where it stays: lists are long and sockets are large.
			list = append(list, host.Socket{})
			s := &list[len(list)-1]
			if err := parseInetDiag(s, protocol, b); err != nil {
				return err
			}
			if !q.Match(*s) {
				list = list[:len(list)-1]
			}
			s.NetNS = h.netns
			return nil
		})
	if err != nil {
		return list[:start], fmt.Errorf("list %s sockets by sock_diag: %w", inetName(protocol), err)
	}
	return list, nil
}

// socketsInUse is about how many sockets of a protocol this namespace has, to
// make room for them at once. A list of listeners needs less than that, so it is
// bounded.
func (h *Host) socketsInUse(protocol uint8) int {
	counters := make(map[string]int64)
	_ = h.inNamespace(func() error {
		for _, file := range []string{"sockstat", "sockstat6"} {
			b, err := readSmall("/proc/thread-self/net/" + file)
			if err == nil {
				err = parseSockstat(b, counters)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	name := "Sockstat." + strings.ToUpper(inetName(protocol))
	return int(min(max(counters[name+".inuse"], 0)+max(counters[name+"6.inuse"], 0), 1<<16))
}

func inetName(protocol uint8) string {
	if protocol == unix.IPPROTO_UDP {
		return "udp"
	}
	return "tcp"
}

// parseInetDiag reads struct inet_diag_msg and its attributes into s, which is
// zero.
func parseInetDiag(s *host.Socket, protocol uint8, b []byte) error {
	if len(b) < inetDiagMessage {
		return fmt.Errorf("%w: inet_diag_msg of %d bytes", errBadDiag, len(b))
	}
	local, err := diagAddress(b[0], b[8:24])
	if err != nil {
		return err
	}
	remote, err := diagAddress(b[0], b[24:40])
	if err != nil {
		return err
	}
	state := b[1]
	if int(state) >= len(tcpStates) || tcpStates[state] == "" {
		return fmt.Errorf("%w: socket state %d", errBadDiag, state)
	}
	s.Network = inetName(protocol)
	s.State = tcpStates[state]
	if protocol == unix.IPPROTO_TCP && s.State == host.Unconn {
		// A closed TCP socket is in no other table than that of bound ports.
		s.State = host.BoundInactive
	}
	s.Local = netip.AddrPortFrom(local, binary.BigEndian.Uint16(b[4:]))
	s.Remote = netip.AddrPortFrom(remote, binary.BigEndian.Uint16(b[6:]))
	s.Interface = int(binary.NativeEndian.Uint32(b[40:]))
	s.Cookie = uint64(binary.NativeEndian.Uint32(b[44:])) | uint64(binary.NativeEndian.Uint32(b[48:]))<<32
	s.Queue = binary.NativeEndian.Uint32(b[56:])
	s.Backlog = binary.NativeEndian.Uint32(b[60:])
	s.UID = binary.NativeEndian.Uint32(b[64:])
	s.Inode = uint64(binary.NativeEndian.Uint32(b[68:]))
	if b[2] == timerRetransmit || b[2] == timerProbe {
		s.Retransmits = uint32(b[3])
	}
	return inetAttributes(s, b[inetDiagMessage:])
}

func inetAttributes(s *host.Socket, b []byte) error {
	for len(b) > 0 {
		kind, v, rest, err := nextDiagAttribute(b)
		if err != nil {
			return err
		}
		b = rest
		want := 0
		switch kind {
		case inetDiagSkV6Only, inetDiagMD5Sig:
			want = 1
		case inetDiagMark:
			want = 4
		case inetDiagCgroupID:
			want = 8
		case inetDiagSockOpt:
			want = 2
		case inetDiagSkMemInfo:
			want = 36
		case inetDiagInfo:
			// Shorter on older kernels, empty for UDP.
			if len(v) >= infoPMTU+4 {
				s.PMTU = binary.NativeEndian.Uint32(v[infoPMTU:])
			}
			continue
		default:
			continue
		}
		if len(v) < want {
			return fmt.Errorf("%w: attribute %d of %d bytes", errBadDiag, kind, len(v))
		}
		switch kind {
		case inetDiagSkV6Only:
			s.V6Only = v[0] != 0
		case inetDiagMD5Sig:
			s.MD5 = true
		case inetDiagMark:
			s.Mark = binary.NativeEndian.Uint32(v)
		case inetDiagCgroupID:
			s.CgroupID = binary.NativeEndian.Uint64(v)
		case inetDiagSockOpt:
			// struct inet_diag_sockopt: bit fields from the lowest bit.
			s.FreeBind = v[0]&0x04 != 0
			s.Transparent = v[0]&0x20 != 0
		case inetDiagSkMemInfo:
			s.Drops = binary.NativeEndian.Uint32(v[32:]) // SK_MEMINFO_DROPS
		}
	}
	return nil
}

func diagAddress(family byte, b []byte) (netip.Addr, error) {
	switch family {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(b)), nil
	case unix.AF_INET6:
		return netip.AddrFrom16([16]byte(b)), nil
	}
	return netip.Addr{}, fmt.Errorf("%w: address family %d", errBadDiag, family)
}

// nameDevices fills in the names of the devices that sockets are bound to. The
// request goes to the sock_diag socket, because that is in the right namespace.
func (h *Host) nameDevices(list []host.Socket) {
	names := make(map[int]string)
	for i := range list {
		index := list[i].Interface
		if index == 0 {
			continue
		}
		name, ok := names[index]
		if !ok {
			name = h.deviceName(index)
			names[index] = name
		}
		list[i].Device = name
	}
}

// deviceName is the name of a device (netdevice(7), SIOCGIFNAME), or its
// number if it is gone.
func (h *Host) deviceName(index int) string {
	name := ""
	_ = h.withDiag(func(c *netlinkConn) error {
		ifr, err := unix.NewIfreq("?")
		if err != nil {
			return err
		}
		ifr.SetUint32(uint32(index))
		if unix.IoctlIfreq(c.fd, unix.SIOCGIFNAME, ifr) == nil {
			name = host.Clean([]byte(ifr.Name()), unix.IFNAMSIZ)
		}
		return nil
	})
	if name != "" {
		return name
	}
	return "if" + strconv.Itoa(index)
}
