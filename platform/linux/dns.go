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
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
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

// newQuestion makes a query that asks for recursion.
func newQuestion(id uint16, name dnsmessage.Name, kind dnsmessage.Type) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	return b.Finish()
}

// parseReply reads an answer (RFC 1035, 4.1); ok is false if it is not one to
// this question.
func parseReply(packet []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (r dnsReply, ok bool) {
	var p dnsmessage.Parser
	header, err := p.Start(packet)
	if err != nil || !header.Response || header.ID != id {
		return dnsReply{}, false
	}
	q, err := p.Question()
	switch {
	case errors.Is(err, dnsmessage.ErrSectionDone):
		// Some servers leave the question out when they refuse.
		if header.RCode == dnsmessage.RCodeSuccess {
			return dnsReply{}, false
		}
	case err != nil, q.Type != kind, q.Class != dnsmessage.ClassINET, !strings.EqualFold(q.Name.String(), name.String()):
		return dnsReply{}, false
	}
	switch header.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return dnsReply{failure: "not-found", detail: "the name does not exist (NXDOMAIN)", missing: true}, true
	case dnsmessage.RCodeServerFailure:
		return dnsReply{failure: "temporary", detail: "the name server failed (SERVFAIL)"}, true
	case dnsmessage.RCodeRefused:
		return dnsReply{failure: "refused", detail: "the name server refuses to answer (REFUSED)"}, true
	default:
		return dnsReply{failure: "temporary", detail: "the name server answered with " + strings.TrimPrefix(header.RCode.String(), "RCode")}, true
	}
	if header.Truncated {
		return dnsReply{truncated: true}, true
	}
	if err := p.SkipAllQuestions(); err != nil {
		return dnsReply{failure: "temporary", detail: "the name server's answer is malformed"}, true
	}
	r.addresses, err = answers(&p, name, kind)
	if err != nil {
		return dnsReply{failure: "temporary", detail: "the name server's answer is malformed"}, true
	}
	if len(r.addresses) == 0 {
		return dnsReply{failure: "not-found", detail: "the name exists, but has no address"}, true
	}
	return r, true
}

// answers collects the addresses that belong to the name, or to what it is an
// alias of.
func answers(p *dnsmessage.Parser, name dnsmessage.Name, kind dnsmessage.Type) ([]netip.Addr, error) {
	records := map[string][]netip.Addr{}
	alias := map[string]string{}
	for n := 0; n < 512; n++ {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return nil, err
		}
		owner := strings.ToLower(h.Name.String())
		switch {
		case h.Class != dnsmessage.ClassINET:
			err = p.SkipAnswer()
		case h.Type == dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			c, err = p.CNAMEResource()
			alias[owner] = strings.ToLower(c.CNAME.String())
		case h.Type == kind && kind == dnsmessage.TypeA:
			var a dnsmessage.AResource
			a, err = p.AResource()
			records[owner] = append(records[owner], netip.AddrFrom4(a.A))
		case h.Type == kind && kind == dnsmessage.TypeAAAA:
			var a dnsmessage.AAAAResource
			a, err = p.AAAAResource()
			records[owner] = append(records[owner], netip.AddrFrom16(a.AAAA).Unmap())
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return nil, err
		}
	}
	current := strings.ToLower(name.String())
	for range maxAliases {
		if list := records[current]; len(list) > 0 {
			return list[:min(len(list), maxAddresses)], nil
		}
		next, ok := alias[current]
		if !ok {
			break
		}
		current = next
	}
	return nil, nil
}

// candidates are the names to ask for, in order (resolv.conf(5), search and
// ndots). A name that ends in a dot is complete.
func candidates(name string, conf resolvConf) []string {
	if complete, ok := strings.CutSuffix(name, "."); ok {
		return []string{complete}
	}
	var list []string
	asItIs := strings.Count(name, ".") >= conf.ndots
	if asItIs {
		list = append(list, name)
	}
	for _, domain := range conf.search {
		if domain == "" {
			continue
		}
		list = append(list, name+"."+domain)
	}
	if !asItIs {
		list = append(list, name)
	}
	return list
}

// nameServers are those that glibc asks: the first three, or if there is none,
// this host itself.
func nameServers(list []host.NameServer) []netip.Addr {
	var servers []netip.Addr
	for _, s := range list[:min(len(list), maxNameServers)] {
		servers = append(servers, s.Address)
	}
	if len(servers) == 0 {
		servers = append(servers, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return servers
}
