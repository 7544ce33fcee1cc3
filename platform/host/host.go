// Package host says what can be asked about a host, and in which values the
// answers come. It knows no operating system: platform/linux, platform/darwin
// and platform/windows answer from a live system, platform/replay from a
// recording.
//
// Rules that every adapter keeps:
//
//   - Asking changes nothing: no module is loaded, no file written, no process
//     signalled. There is no method that could.
//   - Strings from outside are valid UTF-8 and bounded (see [Clean]); they are
//     otherwise raw, and whoever prints them escapes them.
//   - What does not exist on this system is [ErrUnsupported], what the caller's
//     rights forbid is [fs.ErrPermission], what was never recorded is
//     [ErrNotRecorded]. An empty answer always means: looked, and there is none.
//   - An answer that is true but incomplete carries [Limit] values that say what
//     is missing and what would show it.
package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrUnsupported means that this system or kernel has no such thing to ask.
var ErrUnsupported = errors.New("not supported on this system")

// ErrNotRecorded means that a recording was asked what it never saw.
var ErrNotRecorded = errors.New("not in the recording")

// ErrNotFound means that the thing asked for by name or number does not exist
// (any more): a process that ended, a unit that is not known.
var ErrNotFound = errors.New("not found")

// ErrNoNamespace means that a name, pid or path given by the user stands for no
// network namespace: a mistake in the call, not a state of the host.
var ErrNoNamespace = errors.New("no such network namespace")

// Limit says what could not be seen, why, and what would show it.
type Limit struct {
	What  string `json:"what"`
	Why   string `json:"why"`
	Needs string `json:"needs"`
}

// Host answers every question about one host as seen from one network
// namespace. It is safe for concurrent use.
type Host interface {
	System
	Sockets
	Processes
	Network
	Namespaces
	Services
	Names
	Filters
	Prober
}

// System asks for the host as a whole.
type System interface {
	// Info describes the host and the caller's rights.
	Info(ctx context.Context) (Info, error)
	// Sysctl reads one kernel setting by its dotted key, for instance
	// net.ipv4.ip_forward, as valid in this network namespace.
	Sysctl(ctx context.Context, key string) (Sysctl, error)
	// Counters returns the kernel's network counters of this namespace, named
	// GROUP.NAME as in /proc/net/snmp and /proc/net/netstat: Tcp.OutRsts,
	// TcpExt.ListenOverflows; further Sockstat.*, Xfrm.*, Conntrack.count and
	// Conntrack.max, Conntrack.drop and the like, File.allocated and File.max (/proc/sys/fs/file-nr),
	// Memory.tcp_pressure_pages and Memory.tcp_max_pages (tcp_mem).
	Counters(ctx context.Context) (map[string]int64, error)
	// ExcludedPorts lists the ports of a network, tcp or udp, that the system
	// gives to nobody who asks for them by number (Windows: netsh int ipv4 show
	// excludedportrange). ErrUnsupported where there is no such thing.
	ExcludedPorts(ctx context.Context, network string) ([]PortRange, error)
}

// Services asks what is meant to run on this host.
type Services interface {
	// Unit describes one unit of the service manager.
	Unit(ctx context.Context, name string) (Unit, error)
	// Units lists all loaded units that are services or sockets, in brief
	// (states, main pid and, for sockets, their addresses).
	Units(ctx context.Context) ([]Unit, error)
	// Containers lists containers, the stopped ones too.
	Containers(ctx context.Context) (Containers, error)
	// Claims lists the ports that configuration files on this host name.
	Claims(ctx context.Context) (Claims, error)
}

// Clean makes a string from outside fit to carry: bytes that are not UTF-8
// become \xNN, and what is longer than max bytes ends in an ellipsis.
// Control characters stay; renderers escape them.
func Clean(b []byte, max int) string {
	cut := false
	if len(b) > max {
		b, cut = b[:max], true
		// A character cut in half is dropped, not shown as bytes.
		for i := 1; i <= 3 && i <= len(b); i++ {
			if c := b[len(b)-i]; c >= 0xc0 {
				if !utf8.FullRune(b[len(b)-i:]) {
					b = b[:len(b)-i]
				}
				break
			} else if c < 0x80 {
				break
			}
		}
	}
	if !cut && utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&s, `\x%02x`, b[0])
		} else {
			s.Write(b[:n])
		}
		b = b[n:]
	}
	if cut {
		s.WriteString("…")
	}
	return s.String()
}
