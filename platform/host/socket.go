package host

import (
	"context"
	"net/netip"
)

// Sockets asks for sockets. They are those of one network namespace.
type Sockets interface {
	// Sockets lists the sockets that match the query. Of one protocol and family, those
	// that share a port come in the order in which the kernel looks through them.
	Sockets(ctx context.Context, q SocketQuery) ([]Socket, error)
	// SocketOptions reads what the kernel tells of a socket only through a
	// descriptor (pidfd_getfd and getsockopt). ErrUnsupported or
	// fs.ErrPermission where that can't be had.
	SocketOptions(ctx context.Context, pid int, fd int) (SocketOptions, error)
}

// State is a socket's state, by the names of ss(8). UDP sockets are Unconn or
// Estab, unix sockets Listen, Estab or Unconn.
type State string

// The states of TCP sockets; see include/net/tcp_states.h.
const (
	Estab     State = "ESTAB"
	SynSent   State = "SYN-SENT"
	SynRecv   State = "SYN-RECV"
	FinWait1  State = "FIN-WAIT-1"
	FinWait2  State = "FIN-WAIT-2"
	TimeWait  State = "TIME-WAIT"
	Unconn    State = "UNCONN"
	CloseWait State = "CLOSE-WAIT"
	LastAck   State = "LAST-ACK"
	Listen    State = "LISTEN"
	Closing   State = "CLOSING"
	// BoundInactive sockets have a port but neither listen nor connect: the
	// kernel shows them since 6.8, and only if asked (TCP_BOUND_INACTIVE).
	BoundInactive State = "BOUND"
)

// Socket is one socket as the kernel reports it.
type Socket struct {
	Network string // tcp, udp, unix
	State   State
	// Local is zero for unix; a wildcard is 0.0.0.0 or ::. An IPv6 socket that
	// carries IPv4 has ::ffff:a.b.c.d, so that the socket's family is not lost.
	Local  netip.AddrPort
	Remote netip.AddrPort
	Path   string // unix: file system path, or @name for an abstract one
	// FileInode is the file that a unix socket was bound to; a path whose file
	// has another inode is stale. Linux tells its low 32 bits only.
	FileInode uint64
	// Peer is the inode of the unix socket at the other end.
	Peer uint64
	// Inode names the socket in /proc/PID/fd. Zero: no process holds it, it is
	// in the kernel only (TIME-WAIT, or not accepted yet).
	Inode     uint64
	Cookie    uint64
	UID       uint32
	Interface int    // index of the device it is bound to, 0 for none
	Device    string // its name
	Mark      uint32 // seen with CAP_NET_ADMIN
	V6Only    bool
	FreeBind  bool // IP_FREEBIND
	// Transparent: IP_TRANSPARENT, it takes packets to foreign addresses (TPROXY).
	Transparent bool
	// Queue and Backlog: for LISTEN the connections that wait for accept and the
	// most that may; else bytes received and sent but not taken (ss Recv-Q, Send-Q).
	Queue, Backlog uint32
	CgroupID       uint64
	NetNS          uint64
	Retransmits    uint32 // consecutive unanswered retransmissions
	// Drops, MD5 and PMTU are told only where the query names a port: asking
	// for them costs too much in a list of all sockets.
	Drops uint32 // packets dropped at the socket: filter or memory
	MD5   bool   // a TCP-MD5 or TCP-AO key is required; seen with CAP_NET_ADMIN
	PMTU  uint32
	// Brief: it was read from /proc/net, which tells addresses, state, queue,
	// UID and inode only. Everything else is not known, the more so V6Only, Device
	// and Backlog; BoundInactive sockets are not listed there.
	Brief bool
}

// SocketQuery selects sockets. The zero value of a field selects everything.
type SocketQuery struct {
	Network string  // tcp, udp or unix
	States  []State // none: all but BoundInactive and request sockets
	Port    uint16  // local port
	// RemotePort selects by the far port.
	RemotePort uint16
	Path       string // unix
}

// Match reports whether the query selects s.
func (q SocketQuery) Match(s Socket) bool {
	if q.Network != "" && q.Network != s.Network {
		return false
	}
	if q.Port != 0 && q.Port != s.Local.Port() {
		return false
	}
	if q.RemotePort != 0 && q.RemotePort != s.Remote.Port() {
		return false
	}
	if q.Path != "" && q.Path != s.Path {
		return false
	}
	if len(q.States) == 0 {
		return s.State != BoundInactive
	}
	for _, state := range q.States {
		if state == s.State {
			return true
		}
	}
	return false
}

// SocketOptions are read through a duplicate of the socket's descriptor.
type SocketOptions struct {
	ReuseAddr, ReusePort bool
	FilterLength         int  // instructions of an attached classic filter
	Filter               bool // a filter is attached
	DeferAccept          int  // TCP_DEFER_ACCEPT, seconds
	FreeBind             bool
	Transparent          bool
	Accepting            bool // SO_ACCEPTCONN
	AO                   bool // it demands TCP-AO keys (TCP_AO_INFO)
	Local                netip.AddrPort
}
