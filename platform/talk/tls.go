package talk

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/portwhy/portwhy/platform/errno"
	"github.com/portwhy/portwhy/platform/host"
)

// Problems of a certificate, as in [host.TLS].
const (
	expired       = "expired"
	notYetValid   = "not-yet-valid"
	wrongName     = "wrong-name"
	unknownIssuer = "unknown-issuer"
	// invalid is what none of these is: a signature, a use or a constraint
	// that does not hold. TLS.Alert says which.
	invalid = "invalid"
)

// handshake turns the connection into one of TLS. It accepts every certificate
// and judges it afterwards, so that a bad one can be shown. If there is no
// handshake, the talk says what came instead.
func (s *session) handshake() bool {
	plain := &recorder{Conn: s.conn}
	wanted := false
	config := &tls.Config{
		InsecureSkipVerify: true, // judged below
		ServerName:         s.query.Name,
		MinVersion:         tls.VersionTLS10,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			wanted = true
			return &tls.Certificate{}, nil
		},
	}
	if s.query.Protocol == "https" {
		config.NextProtos = []string{"http/1.1"}
	}
	conn := tls.Client(plain, config)
	if err := conn.Handshake(); err != nil {
		s.noHandshake(plain, err)
		if wanted {
			s.talk.TLS.Alert += "; the server asked for a client certificate"
		}
		return false
	}
	plain.done = true
	state := conn.ConnectionState()
	s.talk.TLS = describe(state)
	s.talk.TLS.Problem, s.talk.TLS.Alert = judge(state.PeerCertificates, s.query.Name, s.query.Roots, time.Now())
	s.conn = conn
	if !wanted || state.Version < tls.VersionTLS13 || s.query.Protocol == "https" {
		return true
	}
	// In TLS 1.3 a server that insists on a client's certificate says so after
	// the handshake (RFC 8446, 4.4.2.4).
	conn.SetReadDeadline(time.Now().Add(quiet))
	if _, err := conn.Read(make([]byte, 1)); err != nil && errno.Of(err) != "ETIMEDOUT" {
		s.talk.Heard = "tls"
		s.failed(err)
		return false
	}
	return true
}

// noHandshake tells why there was none.
func (s *session) noHandshake(plain *recorder, err error) {
	s.heard = plain.first
	if _, other := errors.AsType[tls.RecordHeaderError](err); other {
		s.listen(func(b []byte) bool { return Recognise(b).Complete })
		a := Recognise(s.heard)
		s.conclude(a)
		s.talk.OK = false
		if s.talk.TLS == nil {
			s.talk.TLS = &host.TLS{Alert: "the first record does not look like a TLS handshake"}
		}
		return
	}
	if a := Recognise(s.heard); a.Protocol == "tls" {
		s.talk.Heard = "tls"
	} else {
		s.conclude(a)
		s.talk.OK = false
	}
	s.failed(err)
}

// failed notes an error of TLS: an alert in words, or how the connection ended.
func (s *session) failed(err error) {
	if s.talk.TLS == nil {
		s.talk.TLS = &host.TLS{}
	}
	if s.talk.TLS.Alert = alert(err); s.talk.TLS.Alert != "" {
		return
	}
	if name := errno.Of(err); name != "" {
		s.talk.Errno = name
		return
	}
	s.talk.TLS.Alert = host.Clean([]byte(strings.TrimPrefix(err.Error(), "tls: ")), maxBanner)
}

// alert is the alert that the server sent, in words; empty if err is none.
func alert(err error) string {
	// crypto/tls wraps it in a net.OpError with these words as its operation.
	remote, ok := errors.AsType[*net.OpError](err)
	if !ok || remote.Op != "remote error" {
		return ""
	}
	return host.Clean([]byte(strings.TrimPrefix(remote.Err.Error(), "tls: ")), maxBanner)
}

// describe tells what the server showed.
func describe(state tls.ConnectionState) *host.TLS {
	t := &host.TLS{Version: tls.VersionName(state.Version)}
	if len(state.PeerCertificates) == 0 {
		return t
	}
	leaf := state.PeerCertificates[0]
	t.Subject = host.Clean([]byte(leaf.Subject.String()), maxBanner)
	t.Issuer = host.Clean([]byte(leaf.Issuer.String()), maxBanner)
	t.NotBefore, t.NotAfter = leaf.NotBefore, leaf.NotAfter
	const most = 20
	for _, name := range leaf.DNSNames[:min(len(leaf.DNSNames), most)] {
		t.Names = append(t.Names, host.Clean([]byte(name), maxBanner))
	}
	for _, ip := range leaf.IPAddresses[:min(len(leaf.IPAddresses), most)] {
		t.Names = append(t.Names, ip.String())
	}
	return t
}

// judge verifies the chain as a careful client would: the leaf's time and name
// and its way to one of the roots (nil: the system's). Without any root on
// this system the issuer is not judged, and why says so.
func judge(chain []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) (problem, why string) {
	if len(chain) == 0 {
		return invalid, "the server showed no certificate"
	}
	leaf := chain[0]
	switch {
	case now.After(leaf.NotAfter):
		return expired, ""
	case now.Before(leaf.NotBefore):
		return notYetValid, ""
	}
	if name != "" && leaf.VerifyHostname(strings.TrimSuffix(name, ".")) != nil {
		return wrongName, ""
	}
	if roots == nil {
		system, err := x509.SystemCertPool()
		if err != nil || system.Equal(x509.NewCertPool()) {
			return "", "issuer not verified: this system has no root certificates"
		}
	}
	options := x509.VerifyOptions{Roots: roots, CurrentTime: now, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(options)
	if err == nil {
		return "", ""
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if bad.Reason == x509.Expired {
			// The leaf's own time is good, so it is one above it.
			if bad.Cert != nil && now.Before(bad.Cert.NotBefore) {
				return notYetValid, ""
			}
			return expired, ""
		}
	} else if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return unknownIssuer, ""
	}
	return invalid, host.Clean([]byte(err.Error()), maxBanner)
}

// recorder keeps the first bytes that a server sent, for when they are no TLS.
type recorder struct {
	net.Conn
	first []byte
	done  bool
}

// Read reads and keeps.
func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if !r.done {
		r.first = append(r.first, b[:min(n, maxHeard-len(r.first))]...)
	}
	return n, err
}
