package talk

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portwhy/portwhy/platform/host"
)

// server answers one connection on loopback.
func server(t *testing.T, serve func(net.Conn)) net.Conn {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			serve(c)
			c.Close()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); l.Close(); <-done })
	return c
}

// says sends words, then holds the connection until the other side ends it.
func says(words string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, words)
		io.Copy(io.Discard, c)
	}
}

// replies sends words after the first bytes have come.
func replies(words string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		says(words)(c)
	}
}

func speak(t *testing.T, conn net.Conn, q Query, timeout time.Duration) host.Talk {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	talk, err := Speak(ctx, conn, q)
	if err != nil {
		t.Fatal(err)
	}
	return talk
}

func TestSpeak(t *testing.T) {
	reset := func(c net.Conn) { c.Read(make([]byte, 10)); c.(*net.TCPConn).SetLinger(0) }
	hba := pg("SFATAL", "C28000", "Mno pg_hba.conf entry for host", "RClientAuthentication")
	for _, c := range []struct {
		name, protocol string
		serve          func(net.Conn)
		want           host.Talk
	}{
		{"http", "http", replies("HTTP/1.1 403 Forbidden\r\n\r\n"), host.Talk{Heard: "http", OK: true, Status: 403, Banner: "HTTP/1.1 403 Forbidden"}},
		{"http in pieces", "http", func(c net.Conn) {
			for _, piece := range []string{"HTTP/1.1 2", "00 OK\r", "\n\r\n"} {
				io.WriteString(c, piece)
				time.Sleep(20 * time.Millisecond)
			}
			io.Copy(io.Discard, c)
		}, host.Talk{Heard: "http", OK: true, Status: 200, Banner: "HTTP/1.1 200 OK"}},
		{"http to ssh", "http", says("SSH-2.0-x\r\n"), host.Talk{Heard: "ssh", Banner: "SSH-2.0-x"}},
		{"http to smtp or ftp", "http", says("220 ready\r\n"), host.Talk{Banner: "220 ready"}},
		{"http to tls", "http", replies("\x15\x03\x01\x00\x02\x02\x46"), host.Talk{Heard: "tls", TLS: &host.TLS{Alert: "protocol version not supported"}}},
		{"http to https", "http", replies("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), host.Talk{Heard: "https", Status: 400, Banner: "HTTP/1.0 400 Bad Request"}},
		{"http to nonsense", "http", says("what?"), host.Talk{Banner: "what?"}},
		{"http, closed", "http", func(c net.Conn) { c.Read(make([]byte, 4096)) }, host.Talk{Errno: "EOF"}},
		{"http, reset", "http", reset, host.Talk{Errno: "ECONNRESET"}},
		{"http, silence", "http", says(""), host.Talk{Errno: "ETIMEDOUT"}},
		{"http2", "http2", says("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"), host.Talk{Heard: "http2", OK: true}},
		{"tls to http", "tls", replies("HTTP/1.1 400 Bad Request\r\n\r\n"), host.Talk{Heard: "http", Status: 400, Banner: "HTTP/1.1 400 Bad Request", TLS: &host.TLS{Alert: "the first record does not look like a TLS handshake"}}},
		{"tls to ssh", "tls", says("SSH-2.0-OpenSSH_9.2\r\n"), host.Talk{Heard: "ssh", Banner: "SSH-2.0-OpenSSH_9.2", TLS: &host.TLS{Alert: "the first record does not look like a TLS handshake"}}},
		{"tls alert", "tls", replies("\x15\x03\x03\x00\x02\x02\x28"), host.Talk{Heard: "tls", TLS: &host.TLS{Alert: "handshake failure"}}},
		{"tls, closed", "https", func(c net.Conn) { c.Read(make([]byte, 4096)) }, host.Talk{Errno: "EOF", TLS: &host.TLS{}}},
		{"tls, short word", "tls", func(c net.Conn) { io.WriteString(c, "hm"); c.Read(make([]byte, 4096)) }, host.Talk{Banner: "hm", Errno: "EOF", TLS: &host.TLS{}}},
		{"tls, silence", "tls", says(""), host.Talk{Errno: "ETIMEDOUT", TLS: &host.TLS{}}},
		{"ssh", "ssh", says("SSH-2.0-x\r\n"), host.Talk{Heard: "ssh", OK: true, Banner: "SSH-2.0-x"}},
		{"ssh full", "ssh", func(c net.Conn) { io.WriteString(c, "Exceeded MaxStartups\r\n") }, host.Talk{Heard: "ssh", Banner: "Exceeded MaxStartups", Denied: "Exceeded MaxStartups"}},
		{"redis", "redis", replies("+PONG\r\n"), host.Talk{Heard: "redis", OK: true, Banner: "+PONG"}},
		{"redis protected", "redis", func(c net.Conn) { io.WriteString(c, "-DENIED Redis is running\r\n") }, host.Talk{Heard: "redis", Banner: "-DENIED Redis is running", Denied: "-DENIED Redis is running"}},
		{"redis to http", "redis", replies("HTTP/1.1 400 Bad Request\r\n\r\n"), host.Talk{Heard: "http", Status: 400, Banner: "HTTP/1.1 400 Bad Request"}},
		{"postgresql", "postgresql", func(c net.Conn) { replies("N")(&once{Conn: c}); replies("R\x00\x00\x00\x08\x00\x00\x00\x0a")(c) }, host.Talk{Heard: "postgresql", OK: true}},
		{"postgresql refuses", "postgresql", func(c net.Conn) { replies("N")(&once{Conn: c}); replies(hba)(c) }, host.Talk{Heard: "postgresql", Banner: "no pg_hba.conf entry for host", Denied: "no pg_hba.conf entry for host"}},
		{"postgresql full", "postgresql", says(pg("SFATAL", "C53300", "Msorry")), host.Talk{Heard: "postgresql", Banner: "sorry", Denied: "sorry"}},
		{"postgresql to http", "postgresql", says("HTTP/1.1 400 Bad Request\r\n\r\n"), host.Talk{Heard: "http", Status: 400, Banner: "HTTP/1.1 400 Bad Request"}},
		{"postgresql, closed", "postgresql", func(c net.Conn) { c.Read(make([]byte, 8)) }, host.Talk{Errno: "EOF"}},
		{"mysql refuses", "mysql", says("\x0f\x00\x00\x00\xff\x6a\x04Host 'x' no!"), host.Talk{Heard: "mysql", Banner: "Host 'x' no!", Denied: "Host 'x' no!"}},
		{"smtp", "smtp", says("220 ready\r\n"), host.Talk{Heard: "smtp", OK: true, Banner: "220 ready"}},
		{"smtp refuses", "smtp", says("421 busy\r\n"), host.Talk{Heard: "smtp", Banner: "421 busy", Denied: "421 busy"}},
		{"smtp to ftp", "smtp", says("220 ProFTPD\r\n"), host.Talk{Heard: "ftp", Banner: "220 ProFTPD"}},
		{"ftp", "ftp", says("220 ready\r\n"), host.Talk{Heard: "ftp", OK: true, Banner: "220 ready"}},
		{"imap", "imap", says("* OK ready\r\n"), host.Talk{Heard: "imap", OK: true, Banner: "* OK ready"}},
		{"pop3", "pop3", says("+OK ready\r\n"), host.Talk{Heard: "pop3", OK: true, Banner: "+OK ready"}},
		{"memcached", "memcached", replies("VERSION 1.6\r\n"), host.Talk{Heard: "memcached", OK: true, Banner: "VERSION 1.6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := speak(t, server(t, c.serve), Query{Protocol: c.protocol}, 700*time.Millisecond)
			c.want.Asked = c.protocol
			gotTLS, wantTLS := got.TLS, c.want.TLS
			got.TLS, c.want.TLS = nil, nil
			if got != c.want || (gotTLS == nil) != (wantTLS == nil) || gotTLS != nil && gotTLS.Alert != wantTLS.Alert {
				t.Errorf("\n got %+v %+v\nwant %+v %+v", got, gotTLS, c.want, wantTLS)
			}
		})
	}
}

// once ends reading after the first read, so that a server can go on.
type once struct {
	net.Conn
	read bool
}

func (o *once) Read(b []byte) (int, error) {
	if o.read {
		return 0, io.EOF
	}
	o.read = true
	return o.Conn.Read(b)
}

// A MySQL server that is not answered counts the client as a broken one.
func TestMySQLAnswersTheGreeting(t *testing.T) {
	greeting := append([]byte("\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\xff\xf7\x2d\x02\x00\xff\xdf"), make([]byte, 25)...)
	for _, c := range []struct {
		method string
		answer string
	}{{"mysql_native_password", ""}, {"caching_sha2_password", "\x00"}} {
		said := make(chan []byte, 2)
		conn := server(t, func(c2 net.Conn) {
			r := bufio.NewReader(c2)
			read := func() {
				head := make([]byte, 4)
				io.ReadFull(r, head)
				body := make([]byte, packetLength(head))
				io.ReadFull(r, body)
				said <- append(head[3:4], body...)
			}
			c2.Write(packet(0, greeting))
			read()
			c2.Write(packet(2, []byte("\xfe"+c.method+"\x00salt")))
			read()
			c2.Write(packet(4, []byte("\xff\x15\x04#28000Access denied for user 'portwhy'")))
		})
		got := speak(t, conn, Query{Protocol: "mysql"}, time.Second)
		if want := (host.Talk{Asked: "mysql", Heard: "mysql", OK: true, Banner: "8.0.36"}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if first := string(<-said); first[0] != 1 || !strings.Contains(first, "portwhy\x00\x00mysql_native_password\x00") {
			t.Errorf("response %q", first)
		}
		if second := string(<-said); second != "\x03"+c.answer {
			t.Errorf("%s: answer %q, want %q", c.method, second, "\x03"+c.answer)
		}
	}
}

func TestSpeakKeepsItsTime(t *testing.T) {
	for _, protocol := range Protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			conn := server(t, says(""))
			time.AfterFunc(50*time.Millisecond, cancel)
			start := time.Now()
			talk, err := Speak(ctx, conn, Query{Protocol: protocol})
			if took := time.Since(start); err != nil || took > 150*time.Millisecond || talk.Errno != "ETIMEDOUT" {
				t.Errorf("cancelled after 50 ms: %+v, %v after %v", talk, err, took)
			}
		})
		// A server that never stops talking.
		t.Run(protocol+" flood", func(t *testing.T) {
			t.Parallel()
			conn := server(t, func(c net.Conn) {
				for {
					if _, err := c.Write(make([]byte, 1000)); err != nil {
						return
					}
				}
			})
			start := time.Now()
			talk := speak(t, conn, Query{Protocol: protocol}, 2*time.Second)
			conn.Close()
			if talk.OK || time.Since(start) > time.Second {
				t.Errorf("%+v after %v", talk, time.Since(start))
			}
		})
		// One that sends a byte now and then.
		t.Run(protocol+" drip", func(t *testing.T) {
			t.Parallel()
			conn := server(t, func(c net.Conn) {
				for {
					if _, err := c.Write([]byte{'x'}); err != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
			start := time.Now()
			talk := speak(t, conn, Query{Protocol: protocol}, 500*time.Millisecond)
			conn.Close()
			if talk.OK || time.Since(start) > 650*time.Millisecond {
				t.Errorf("%+v after %v", talk, time.Since(start))
			}
		})
	}
}

func TestSpeakRefusesNonsense(t *testing.T) {
	conn := server(t, says(""))
	if _, err := Speak(t.Context(), conn, Query{Protocol: "gopher\x1b"}); !errors.Is(err, ErrProtocol) {
		t.Errorf("error %v", err)
	}
	for _, name := range []string{"a b", "a\r\nX: y", "a/b", "é", "u@h", strings.Repeat("a", 256)} {
		if _, err := Speak(t.Context(), conn, Query{Protocol: "http", Name: name}); err == nil {
			t.Errorf("name %.20q is taken", name)
		}
	}
}

func TestRequest(t *testing.T) {
	remote := &net.TCPAddr{IP: net.ParseIP("::1"), Port: 8080}
	for _, c := range []struct {
		name, path string
		secure     bool
		remote     net.Addr
		line, host string
	}{
		{"", "", false, remote, "GET / HTTP/1.1", "[::1]:8080"},
		{"db1", "/a b\r\nX: y#é", false, remote, "GET /a%20b%0D%0AX:%20y%23%C3%A9 HTTP/1.1", "db1:8080"},
		{"db1", "x?q=1", true, &net.TCPAddr{IP: net.ParseIP("10.0.0.1"), Port: 443}, "GET /x?q=1 HTTP/1.1", "db1"},
		{"db1", "", false, &net.TCPAddr{IP: net.ParseIP("10.0.0.1"), Port: 80}, "GET / HTTP/1.1", "db1"},
		{"db1", "", true, &net.TCPAddr{IP: net.ParseIP("10.0.0.1"), Port: 80}, "GET / HTTP/1.1", "db1:80"},
		{"", "", false, &net.UnixAddr{Name: "/run/x"}, "GET / HTTP/1.1", "localhost"},
		{"::1", "", false, remote, "GET / HTTP/1.1", "[::1]:8080"},
	} {
		got := request(c.name, c.path, c.remote, c.secure)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(got)))
		if err != nil {
			t.Fatal(err)
		}
		if line, _, _ := strings.Cut(got, "\r\n"); line != c.line || r.Host != c.host || len(r.Header) != 3 {
			t.Errorf("request(%q, %q): %q", c.name, c.path, got)
		}
	}
}

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, from, to time.Time) authority {
	a := authority{t: t}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	return a
}

func (a authority) issue(from, to time.Time, names ...string) tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Leaf"}, NotBefore: from, NotAfter: to, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

func (a authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestTLS(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	good, old := newAuthority(t, now.Add(-100*day), now.Add(100*day)), newAuthority(t, now.Add(-100*day), now.Add(-day))
	other := newAuthority(t, now.Add(-100*day), now.Add(100*day))
	serve := func(certificate tls.Certificate, change func(*tls.Config)) func(net.Conn) {
		return func(c net.Conn) {
			config := &tls.Config{Certificates: []tls.Certificate{certificate}}
			if change != nil {
				change(config)
			}
			s := tls.Server(c, config)
			if r, err := http.ReadRequest(bufio.NewReader(s)); err == nil && r.Method == "GET" {
				io.WriteString(s, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
				s.CloseWrite()
			}
		}
	}
	leaf := good.issue(now.Add(-day), now.Add(day), "db1", "*.example.org")
	for _, c := range []struct {
		name, protocol, server, problem string
		certificate                     tls.Certificate
		roots                           *x509.CertPool
		ok                              bool
	}{
		{"good", "tls", "db1", "", leaf, good.pool(), true},
		{"good page", "https", "db1", "", leaf, good.pool(), true},
		{"wildcard", "tls", "a.example.org.", "", leaf, good.pool(), true},
		{"address", "tls", "127.0.0.1", "", leaf, good.pool(), true},
		{"no name to compare", "tls", "", "", leaf, good.pool(), true},
		{"name", "tls", "db2", wrongName, leaf, good.pool(), false},
		{"name of a page", "https", "db2", wrongName, leaf, good.pool(), false},
		{"issuer", "tls", "db1", unknownIssuer, leaf, other.pool(), false},
		{"expired", "tls", "db1", expired, good.issue(now.Add(-9*day), now.Add(-day), "db1"), good.pool(), false},
		{"early", "tls", "db1", notYetValid, good.issue(now.Add(day), now.Add(9*day), "db1"), good.pool(), false},
		{"issuer expired", "tls", "db1", expired, old.issue(now.Add(-day), now.Add(day), "db1"), old.pool(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := speak(t, server(t, serve(c.certificate, nil)), Query{Protocol: c.protocol, Name: c.server, Roots: c.roots}, 2*time.Second)
			if got.TLS == nil || got.TLS.Problem != c.problem || got.OK != c.ok || got.Heard != c.protocol || got.TLS.Version != "TLS 1.3" || got.TLS.Issuer != "CN=Test authority" {
				t.Errorf("%+v %+v", got, got.TLS)
			}
			if c.protocol == "https" && got.Status != 204 {
				t.Errorf("status %d", got.Status)
			}
		})
	}
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		alert  string
	}{
		{"client certificate, TLS 1.3", func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, "certificate required"},
		{"client certificate, TLS 1.2", func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert; c.MaxVersion = tls.VersionTLS12 }, "handshake failure; the server asked for a client certificate"},
	} {
		for _, protocol := range []string{"tls", "https"} {
			got := speak(t, server(t, serve(leaf, c.change)), Query{Protocol: protocol, Name: "db1", Roots: good.pool()}, 2*time.Second)
			if got.OK || got.Heard != "tls" || got.TLS == nil || got.TLS.Alert != c.alert {
				t.Errorf("%s, %s: %+v %+v", c.name, protocol, got, got.TLS)
			}
		}
	}
	// What is optional is no refusal.
	got := speak(t, server(t, serve(leaf, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })), Query{Protocol: "tls", Name: "db1", Roots: good.pool()}, 2*time.Second)
	if !got.OK {
		t.Errorf("optional certificate: %+v %+v", got, got.TLS)
	}
}
