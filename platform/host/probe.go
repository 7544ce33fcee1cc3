package host

import (
	"context"
	"net/netip"
	"strings"
	"time"
)

// Prober does the real thing and tells what came back. It leaves nothing
// behind: connections are closed, sockets never listen.
type Prober interface {
	// Connect connects, or for UDP sends the payload and waits for an answer
	// or an error. A refusal is an answer: Attempt.Errno.
	Connect(ctx context.Context, q ConnectQuery) (Attempt, error)
	// Bind binds a socket, as the user if one is given, and closes it at once.
	Bind(ctx context.Context, q BindQuery) (BindAttempt, error)
}

// ConnectQuery says what to try.
type ConnectQuery struct {
	Network string         // tcp, udp, unix
	Address netip.AddrPort // tcp, udp; the zone names a device
	Path    string         // unix
	Source  netip.Addr     // zero: the kernel chooses
	Timeout time.Duration
	Payload []byte // UDP: what to send; empty sends an empty datagram
	// Speak names the protocol to try after a TCP or unix connection: tls,
	// http, https, http2, ssh, redis, postgresql, mysql, smtp, ftp, imap, pop3,
	// memcached; empty sends nothing.
	Speak string
	// Name is the server's name for TLS and HTTP.
	Name string
	// Watch: after a connection that was accepted and without Speak, stay a
	// moment to see whether the other side ends it at once.
	Watch bool
	// Impatient: facts say already that the connection won't be accepted, so a
	// short look whether it is will do.
	Impatient bool
	// URLPath is what to ask for by HTTP, default /. A recording keeps it as
	// [HideQuery] has it.
	URLPath string
}

// HideQuery puts "…" for what follows the first ? or # of a URL or of its path:
// keys and passwords stand there.
func HideQuery(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 && i+1 < len(path) {
		return path[:i+1] + "…"
	}
	return path
}

// Attempt is what came of it.
type Attempt struct {
	// Errno is empty if it connected, else the POSIX name (ECONNREFUSED);
	// ETIMEDOUT also if the query's own timeout ended it.
	Errno string
	// SocketErrno is set too if not even the socket could be made (seccomp,
	// RestrictAddressFamilies, too many open files).
	SocketErrno string
	// Elapsed is the time until it connected, was answered or failed; talking
	// comes after.
	Elapsed time.Duration
	ICMP    *ICMP // the message that caused Errno, if the kernel told it
	Local   netip.AddrPort
	Remote  netip.AddrPort
	// Accepted says whether the local listener's process took the connection:
	// yes, no, or unknown (the peer is not on this host, or it could not be seen).
	Accepted string
	// PeerInode is the accepted socket on this host, 0 if not accepted or not here.
	PeerInode uint64
	// PeerNetNS is where that socket is.
	PeerNetNS uint64
	// Ended is how the other side ended the connection while it was watched:
	// EOF or ECONNRESET; empty if it did not.
	Ended    string
	Answered bool // UDP: a datagram came back
	// SelfConnected: the socket is connected to itself (TCP simultaneous open).
	SelfConnected bool
	Talk          *Talk
	// Retransmits and PathMTU from TCP_INFO after speaking.
	Retransmits int
	PathMTU     int
	// At is what lies at a unix path that was tried in vain, or what keeps the
	// caller from it; nil if that can't be told.
	At *PathFact
	// Moved are the counters (see System.Counters) of the namespace that rose
	// between just before the attempt and its end, by how much. Other traffic
	// of the host counts too.
	Moved map[string]int64
}

// PathFact is a file on the way to a unix socket: the directory above it that
// the caller may not search, or else what lies at the path itself (stat(2)).
type PathFact struct {
	Path string
	Kind string // socket, file, directory or other
	Mode uint32 // permission bits
	UID  uint32
	GID  uint32
}

// ICMP is an error message from the socket's error queue (ip(7), IP_RECVERR).
type ICMP struct {
	Version int // 4 or 6
	Type    int
	Code    int
	From    netip.Addr // who sent it; zero if it was this host's own stack
	Local   bool       // the error was made by this host (SO_EE_ORIGIN_LOCAL)
}

// Talk is what a protocol's first words showed.
type Talk struct {
	Asked string // the protocol that was tried
	// Heard is the protocol that the answer shows: tls, http, ssh, redis,
	// postgresql, mysql, smtp, ftp, …; empty if nothing or nothing known came.
	Heard  string
	OK     bool   // Heard is what was asked for, and it went well
	Status int    // of HTTP
	Banner string // first words, cleaned and bounded
	// Denied is what the application says if it refuses: its own words. A
	// database is greeted as the user portwhy; words that name that user may
	// not hold for another one.
	Denied string
	Errno  string // ECONNRESET, EPIPE, EOF or ETIMEDOUT if it ended early
	TLS    *TLS
}

// TLS is what a handshake showed.
type TLS struct {
	Version   string
	Alert     string // the alert or failure, in words
	Subject   string
	Issuer    string
	Names     []string
	NotBefore time.Time
	NotAfter  time.Time
	// Problem is empty if the certificate is good for the name: expired,
	// not-yet-valid, wrong-name, unknown-issuer, or invalid for what Alert says.
	Problem string
}

// BindQuery says what to try.
type BindQuery struct {
	Network string // tcp, udp, unix
	Address netip.AddrPort
	Path    string
	UID     *uint32 // as this user, in a child with that user's rights
}

// BindAttempt is what came of it. A listening server mostly sets SO_REUSEADDR;
// Plain tells what happens without.
type BindAttempt struct {
	Errno   string // with SO_REUSEADDR for TCP; empty: it works
	Plain   string // without it
	Elapsed time.Duration
	// SocketErrno is set if not even the socket could be made (seccomp,
	// RestrictAddressFamilies).
	SocketErrno string
}
