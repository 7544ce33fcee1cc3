//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

const (
	dnsPort      = 53
	maxAddresses = 64
	maxAliases   = 16
)

// dnsAnswer is what name servers said to one name.
type dnsAnswer struct {
	addresses []netip.Addr
	// failure is empty, or not-found, temporary, timeout, refused, or another
	// failure's text; server is who failed.
	failure, detail, server string
}

// dnsClient asks name servers from within a view's network namespace.
type dnsClient struct {
	in     func(func() error) error // runs within the namespace
	useTCP bool
}

// lookup asks the servers in turn for both kinds of addresses. An answer, also
// that the name does not exist, ends it; a failure leads to the next server.
func (c dnsClient) lookup(ctx context.Context, servers []netip.Addr, name string) dnsAnswer {
	question, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return dnsAnswer{failure: "not-found", detail: "not a name that DNS can carry"}
	}
	deadline, bounded := ctx.Deadline()
	var worst dnsAnswer
	for i, server := range servers {
		if ctx.Err() != nil {
			break
		}
		one := ctx
		if bounded {
			// Each server gets its share, so that one that is silent does not
			// keep the next from being asked.
			share := time.Until(deadline) / time.Duration(len(servers)-i)
			var cancel context.CancelFunc
			one, cancel = context.WithTimeout(ctx, share)
			defer cancel()
		}
		a := c.ask(one, server, question)
		a.server = netip.AddrPortFrom(server, dnsPort).String()
		if a.failure == "" || a.failure == "not-found" {
			return a
		}
		if worst.failure == "" {
			worst = a
		}
	}
	if worst.failure == "" {
		worst = dnsAnswer{failure: "timeout", detail: "no time was left to ask a name server"}
	}
	return worst
}

// ask asks one server for A and AAAA at once.
func (c dnsClient) ask(ctx context.Context, server netip.Addr, name dnsmessage.Name) dnsAnswer {
	types := []dnsmessage.Type{dnsmessage.TypeAAAA, dnsmessage.TypeA}
	replies := make([]dnsReply, len(types))
	done := make(chan int, len(types))
	for i, kind := range types {
		go func() {
			replies[i] = c.query(ctx, server, name, kind)
			done <- i
		}()
	}
	for range types {
		<-done
	}
	var a dnsAnswer
	missing := 0
	for _, r := range replies {
		switch {
		case r.failure == "":
			a.addresses = append(a.addresses, r.addresses...)
		case r.failure == "not-found":
			missing++
			if a.detail == "" || r.missing {
				a.detail = r.detail
			}
		}
	}
	a.addresses = a.addresses[:min(len(a.addresses), maxAddresses)]
	if len(a.addresses) > 0 {
		return dnsAnswer{addresses: a.addresses}
	}
	for _, r := range replies {
		if r.failure != "" && r.failure != "not-found" {
			return dnsAnswer{failure: r.failure, detail: r.detail}
		}
	}
	a.failure = "not-found"
	if missing == 0 || a.detail == "" {
		a.detail = "the name exists, but has no address"
	}
	return a
}

// dnsReply is the outcome of one question.
type dnsReply struct {
	addresses       []netip.Addr
	failure, detail string
	missing         bool // NXDOMAIN: the name itself does not exist
	truncated       bool
}

func (c dnsClient) query(ctx context.Context, server netip.Addr, name dnsmessage.Name, kind dnsmessage.Type) dnsReply {
	id := uint16(rand.Uint32())
	packet, err := newQuestion(id, name, kind)
	if err != nil {
		return dnsReply{failure: "not-found", detail: "not a name that DNS can carry"}
	}
	var r dnsReply
	if !c.useTCP {
		if r, err = c.exchange(ctx, server, "udp", packet, id, name, kind); err != nil {
			return failedReply(err)
		}
	}
	if c.useTCP || r.truncated {
		if r, err = c.exchange(ctx, server, "tcp", packet, id, name, kind); err != nil {
			return failedReply(err)
		}
	}
	return r
}

// failedReply puts an error of the transport into the words of a resolution.
func failedReply(err error) dnsReply {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return dnsReply{failure: "refused", detail: "nothing answers on the name server's port 53 (ECONNREFUSED)"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return dnsReply{failure: "timeout", detail: "the name server did not answer in time"}
	}
	return dnsReply{failure: clean(errorText(err), 200)}
}

// errorText is the innermost text, without the addresses around it.
func errorText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return name + ": " + errno.Error()
		}
	}
	return err.Error()
}

// exchange sends one question and waits for its answer; what does not belong to
// the question is passed over.
func (c dnsClient) exchange(ctx context.Context, server netip.Addr, network string, packet []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (dnsReply, error) {
	conn, err := c.dial(ctx, network, netip.AddrPortFrom(server, dnsPort))
	if err != nil {
		return dnsReply{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return dnsReply{}, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		return dnsReply{}, err
	}
	// Without EDNS a datagram holds 512 bytes; some servers send more.
	buffer := make([]byte, 4096)
	if network == "tcp" {
		buffer = make([]byte, 65535)
	}
	for {
		var n int
		if network == "tcp" {
			var length [2]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				return dnsReply{}, err
			}
			n, err = io.ReadFull(conn, buffer[:binary.BigEndian.Uint16(length[:])])
		} else {
			n, err = conn.Read(buffer)
		}
		if err != nil {
			return dnsReply{}, err
		}
		if r, ok := parseReply(buffer[:n], id, name, kind); ok {
			return r, nil
		}
		if network == "tcp" {
			return dnsReply{}, errors.New("the name server's answer is to another question")
		}
	}
}

// dial makes a socket within the namespace and connects it.
func (c dnsClient) dial(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	err := c.in(func() error {
		if network == "tcp" {
			var err error
			conn, err = dialTCP(ctx, server)
			return err
		}
		fd, err := udpSocket(server)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), "dns")
		defer file.Close()
		conn, err = net.FileConn(file)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask name server %s: %w", server, err)
	}
	return conn, nil
}

// dialTCP connects with a socket of the calling thread's namespace: the runtime
// makes it before it starts to wait.
func dialTCP(ctx context.Context, server netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	return d.DialContext(ctx, "tcp", server.String())
}

// udpSocket returns a UDP socket that is connected, which sends nothing.
func udpSocket(to netip.AddrPort) (int, error) {
	family, address := unix.AF_INET, sockaddr(to)
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, address); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// sockaddr turns an address into the kernel's form. A zone names a device of
// the calling thread's namespace.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	s := &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	if zone := a.Addr().Zone(); zone != "" {
		if device, err := net.InterfaceByName(zone); err == nil {
			s.ZoneId = uint32(device.Index)
		}
	}
	return s
}
