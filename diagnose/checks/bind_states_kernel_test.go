//go:build linux

package checks

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// TestOverlapOfConnections compares prediction and kernel for sockets that are
// connected, closing or in TIME-WAIT, as seen from every kind of asking socket.
func TestOverlapOfConnections(t *testing.T) {
	askers := []want{tcp("0.0.0.0"), tcp("127.0.0.1"), tcp("127.0.0.2"), tcp("127.0.0.6"), tcp("::"), tcp("::").only6(), tcp("::1"), tcp("::ffff:127.0.0.1"), tcp("::ffff:0.0.0.0")}
	servers := []want{tcp("0.0.0.0"), tcp("127.0.0.1"), tcp("::"), tcp("::").only6(), tcp("::1")}
	tried, refused := 0, 0
	inNewNamespace(t, func() {
		ip(t, "link set lo up")
		port := uint16(20000)
		for _, server := range servers {
			for _, over := range []string{"127.0.0.1", "::1"} {
				if !reaches(netip.MustParseAddr(over), server) {
					continue
				}
				for _, kind := range []string{"accepted", "time-wait", "outgoing"} {
					for _, reuse := range []bool{false, true} {
						l := &lab{t: t}
						port++
						w := server
						w.reuseAddr = known(reuse)
						held, at := l.connection(w, over, kind, port)
						for _, a := range askers {
							for _, asksReuse := range []tristate{no, yes} {
								a.reuseAddr, a.state = asksReuse, host.BoundInactive
								fd, err := a.open(t, at, nil)
								unix.Close(fd)
								tried++
								if err != nil {
									refused++
								}
								if got := conflict(a.claimant, held); got != known(err != nil) {
									t.Errorf("%s over %s of %v:\n  held %+v\n  asking %v\n  predicted %d, kernel says %v", kind, over, w, held, a, got, err)
								}
							}
						}
						for _, fd := range l.fds {
							unix.Close(fd)
						}
					}
				}
			}
		}
	})
	t.Logf("%d binds, %d refused", tried, refused)
}

func reaches(a netip.Addr, server want) bool {
	w := server.addr
	return a == w || w.IsUnspecified() && (a.Is4() == w.Is4() || a.Is4() && server.v6only == no)
}

// connection makes one and returns what is left of it, and on which port.
func (l *lab) connection(server want, over, kind string, port uint16) (claimant, uint16) {
	l.t.Helper()
	listener := l.listen(server, port)
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(port), Addr: [4]byte{127, 0, 0, 1}})
	if over == "::1" {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: netip.IPv6Loopback().As16()}
	}
	client, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	l.must(err)
	l.must(unix.Connect(client, to))
	conn := l.accept(listener)
	held := claimant{network: "tcp", addr: netip.MustParseAddr(over), v6only: no, reuseAddr: no, reusePort: no, state: host.Estab}
	if kind == "outgoing" {
		l.fds = append(l.fds, client)
		name, err := unix.Getsockname(client)
		l.must(err)
		if a, ok := name.(*unix.SockaddrInet4); ok {
			return held, uint16(a.Port)
		}
		return held, uint16(name.(*unix.SockaddrInet6).Port)
	}
	// An accepted socket has its listener's options.
	held.v6only, held.reuseAddr = server.v6only, server.reuseAddr
	if server.addr.Is6() && held.addr.Is4() {
		held.addr = netip.AddrFrom16(held.addr.As16())
	}
	l.close(listener)
	if kind == "time-wait" {
		held.state = host.TimeWait
		l.close(conn)
		unix.Close(client)
		return held, port
	}
	l.fds = append(l.fds, client)
	return held, port
}
