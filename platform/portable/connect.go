package portable

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/talk"
)

// connectTimeout is for queries that name none. Windows tries a refused
// connection again for two seconds before it says so.
const connectTimeout = 3 * time.Second

// Connect connects through Go's net package. Whether the other side accepts
// and which ICMP message came can't be told that way.
func (h *Host) Connect(ctx context.Context, q host.ConnectQuery) (host.Attempt, error) {
	timeout := q.Timeout
	if timeout <= 0 {
		timeout = connectTimeout
	}
	own, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a := host.Attempt{Accepted: "unknown"}
	var err error
	switch {
	case q.Network == "unix":
		err = connectUnix(own, q, &a)
	case (q.Network == "tcp" || q.Network == "udp") && q.Address.IsValid():
		err = connectIP(own, q, &a)
	default:
		err = host.ErrUnsupported
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return host.Attempt{}, fmt.Errorf("connect to %s: %w", q.Network, err)
	}
	return a, nil
}

func connectIP(ctx context.Context, q host.ConnectQuery, a *host.Attempt) error {
	var d net.Dialer
	d.SetMultipathTCP(false)
	if q.Source.IsValid() {
		from := netip.AddrPortFrom(q.Source, 0)
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
		if q.Network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		}
	}
	address := netip.AddrPortFrom(q.Address.Addr().Unmap(), q.Address.Port())
	start := time.Now()
	conn, err := d.DialContext(ctx, q.Network, address.String())
	a.Elapsed = time.Since(start)
	if err != nil {
		return failed(err, a)
	}
	defer conn.Close()
	a.Local, a.Remote = addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	if q.Network == "udp" {
		return exchange(ctx, conn, q.Payload, start, a)
	}
	a.SelfConnected = a.Local == a.Remote
	if a.SelfConnected {
		return nil
	}
	return speak(ctx, conn, q, a)
}

// exchange sends a datagram and waits for an answer.
func exchange(ctx context.Context, conn net.Conn, payload []byte, start time.Time, a *host.Attempt) error {
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := conn.Write(payload)
	if err == nil {
		_, err = conn.Read(make([]byte, 1<<16))
		a.Answered = err == nil
	}
	a.Elapsed = time.Since(start)
	if err == nil {
		return nil
	}
	err = failed(err, a)
	// Windows reports "port unreachable" as a reset (recv in winsock2.h).
	if a.Errno == "ECONNRESET" {
		a.Errno = "ECONNREFUSED"
	}
	return err
}

// connectUnix connects to a path, as the kind of socket that is there.
func connectUnix(ctx context.Context, q host.ConnectQuery, a *host.Attempt) error {
	for _, network := range []string{"unix", "unixpacket", "unixgram"} {
		var d net.Dialer
		start := time.Now()
		conn, err := d.DialContext(ctx, network, q.Path)
		a.Elapsed = time.Since(start)
		if err == nil {
			defer conn.Close()
			a.Errno = ""
			if network == "unixgram" {
				return nil
			}
			return speak(ctx, conn, q, a)
		}
		// What comes after the first kind is a trial; its failure tells nothing.
		if network == "unix" {
			if err := failed(err, a); err != nil || a.Errno != "EPROTOTYPE" {
				return err
			}
		}
	}
	return nil
}

// failed notes why it did not work. An error without a number is no answer,
// except that the kernel can't be asked to use such an address.
func failed(err error, a *host.Attempt) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	a.Errno = errno.Of(err)
	if _, bad := errors.AsType[*net.AddrError](err); bad && a.Errno == "" {
		a.Errno = "EADDRNOTAVAIL"
	}
	if a.Errno == "" {
		return err
	}
	return nil
}

func speak(ctx context.Context, conn net.Conn, q host.ConnectQuery, a *host.Attempt) error {
	if q.Speak == "" {
		return nil
	}
	t, err := talk.Speak(ctx, conn, talk.Query{Protocol: q.Speak, Name: q.Name, Path: q.URLPath})
	if err != nil {
		return err
	}
	a.Talk = &t
	return nil
}

func addrPort(a net.Addr) netip.AddrPort {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
