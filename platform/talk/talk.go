// Package talk speaks the first words of a protocol on an open connection and
// tells what answered: the protocol that was asked for, another one, a refusal
// in the application's own words, or nothing.
//
// What it says is harmless: it reads one page, pings, or greets as the user
// "portwhy", who exists nowhere. What it hears is hostile: reads are bounded
// in bytes and time, and the parsers take bytes and open nothing.
package talk

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
)

const (
	// maxHeard bounds what is kept of an answer.
	maxHeard = 4096
	// maxBanner bounds what is shown of it.
	maxBanner = 200
	// quiet is how long an answer that makes no sense yet may pause before it
	// counts as complete.
	quiet = 250 * time.Millisecond
)

// user is the name by which a database is greeted.
const user = "portwhy"

// Query says what to speak.
type Query struct {
	Protocol string // one of [Protocols]
	// Name is the server's name for TLS and HTTP; empty: certificates are not
	// compared with a name, and HTTP names the address.
	Name string
	Path string // of HTTP, default /
	// Roots are the issuers to trust, nil for those of this system.
	Roots *x509.CertPool
}

// Protocols are those that [Speak] can speak. More are recognised when heard.
var Protocols = []string{"tls", "https", "http", "http2", "ssh", "redis", "postgresql", "mysql", "smtp", "ftp", "imap", "pop3", "memcached"}

// ErrProtocol means that a protocol is not one of [Protocols].
var ErrProtocol = errors.New("a protocol that is not spoken here")

// Speak speaks until the answer is known or ctx ends, and leaves conn open.
// Whatever the other side does is an answer; an error is a query that makes no
// sense.
func Speak(ctx context.Context, conn net.Conn, q Query) (host.Talk, error) {
	if !slices.Contains(Protocols, q.Protocol) {
		return host.Talk{}, fmt.Errorf("%q: %w", host.Clean([]byte(q.Protocol), 40), ErrProtocol)
	}
	if err := checkName(q.Name); err != nil {
		return host.Talk{}, err
	}
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s := &session{ctx: ctx, conn: conn, query: q, talk: host.Talk{Asked: q.Protocol}}
	switch q.Protocol {
	case "tls":
		if s.handshake() {
			s.talk.Heard = "tls"
			s.talk.OK = s.talk.TLS.Problem == ""
		}
	case "https":
		if s.handshake() {
			s.http()
		}
	case "http":
		s.http()
	case "http2":
		s.ask(http2Preface, nil)
	case "redis":
		s.ask("PING\r\n", nil)
	case "memcached":
		s.ask("version\r\n", nil)
	case "postgresql":
		s.postgresql()
	case "mysql":
		s.mysql()
	case "ssh":
		s.ask("", nil)
	case "smtp", "ftp", "pop3":
		s.ask("", []byte("QUIT\r\n"))
	case "imap":
		s.ask("", []byte("a LOGOUT\r\n"))
	}
	return s.talk, nil
}

// session is one talk.
type session struct {
	ctx   context.Context
	conn  net.Conn
	query Query
	talk  host.Talk
	heard []byte
}

// ask sends words, waits for an answer that makes sense, and then says goodbye
// if the protocol is the right one.
func (s *session) ask(words string, goodbye []byte) {
	s.send([]byte(words))
	s.listen(func(b []byte) bool { return Recognise(b).Complete })
	s.conclude(Recognise(s.heard))
	if s.talk.OK && goodbye != nil {
		s.send(goodbye)
	}
}

// send writes. Its failure is not the end: the reason may still be readable.
func (s *session) send(b []byte) {
	if len(b) == 0 {
		return
	}
	if _, err := s.conn.Write(b); err != nil && s.talk.Errno == "" {
		s.talk.Errno = errno.Of(err)
	}
}

// listen reads until done says that this is all, the other side ends, falls
// quiet after it began, or has said too much.
func (s *session) listen(done func([]byte) bool) {
	deadline, limited := s.ctx.Deadline()
	for len(s.heard) < maxHeard && !done(s.heard) {
		end, waits := deadline, false
		if len(s.heard) > 0 {
			if pause := time.Now().Add(quiet); !limited || pause.Before(deadline) {
				end, waits = pause, true
			}
		}
		s.conn.SetReadDeadline(end)
		// The end of ctx sets a deadline in the past, which the line above may
		// just have overwritten.
		if s.ctx.Err() != nil {
			s.ended(s.ctx.Err())
			return
		}
		room := make([]byte, maxHeard-len(s.heard))
		n, err := s.conn.Read(room)
		s.heard = append(s.heard, room[:n]...)
		if err != nil {
			if !waits || errno.Of(err) != "ETIMEDOUT" || s.ctx.Err() != nil {
				s.ended(err)
			}
			return
		}
	}
}

// ended notes why reading ended. What the peer did says more than what
// happened to our last words.
func (s *session) ended(err error) {
	if errors.Is(err, context.Canceled) {
		err = context.DeadlineExceeded
	}
	if remote := alert(err); remote != "" && s.talk.TLS != nil {
		s.talk.TLS.Alert = remote
	} else if name := errno.Of(err); name != "" {
		s.talk.Errno = name
	}
}

// conclude fills the talk from what was recognised. A talk that came to its
// point did not end early.
func (s *session) conclude(a Answer) {
	t := &s.talk
	t.Heard, t.Status, t.Banner = a.Protocol, a.Status, a.Banner
	// A code 220 or 421 is SMTP's, FTP's and others': it fits whoever asked.
	if a.Protocol == "" && a.Reply && (t.Asked == "smtp" || t.Asked == "ftp") {
		t.Heard = t.Asked
	}
	if t.Heard == t.Asked {
		t.Denied = a.Denied
	}
	t.OK = t.Heard != "" && t.Heard == t.Asked && t.Denied == ""
	if a.Alert != "" && t.TLS == nil {
		t.TLS = &host.TLS{Alert: a.Alert}
	}
	if t.OK {
		t.Errno = ""
	}
}

// drain takes what still comes, within bounds, so that closing the connection
// does not reset it.
func (s *session) drain() {
	s.conn.SetReadDeadline(time.Now().Add(quiet / 2))
	if s.ctx.Err() != nil {
		return
	}
	// How it ends does not matter any more.
	_, _ = io.CopyN(io.Discard, s.conn, 64<<10)
}
