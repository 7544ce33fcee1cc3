package talk

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// pg makes a PostgreSQL ErrorResponse.
func pg(fields ...string) string {
	body := strings.Join(fields, "\x00") + "\x00\x00"
	return "E\x00\x00" + string([]byte{byte((len(body) + 4) >> 8), byte(len(body) + 4)}) + body
}

func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Answer
	}{
		{"nothing", "", Answer{}},
		{"unknown", "hello\n", Answer{Banner: "hello\n"}},
		{"tls alert", "\x15\x03\x01\x00\x02\x02\x46", Answer{Protocol: "tls", Alert: "protocol version not supported", Complete: true}},
		{"tls alert cut", "\x15\x03\x03\x00\x02", Answer{Protocol: "tls"}},
		{"tls handshake", "\x16\x03\x03\x00\x7a\x02", Answer{Protocol: "tls", Complete: true}},
		{"no tls: length", "\x16\x03\x03\xff\xff", Answer{Banner: "\x16\x03\x03\\xff\\xff"}},
		{"no tls: version", "\x15\x03\x05\x00\x02", Answer{Banner: "\x15\x03\x05\x00\x02"}},
		{"http", "HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n", Answer{Protocol: "http", Status: 200, Banner: "HTTP/1.1 200 OK; Server: nginx", Complete: true}},
		{"http cut", "HTTP/1.1 200", Answer{Protocol: "http", Banner: "HTTP/1.1 200"}},
		{"http status", "HTTP/1.1 abc\r\n\r\n", Answer{Protocol: "http", Banner: "HTTP/1.1 abc", Complete: true}},
		{"http 400 waits for its text", "HTTP/1.0 400 Bad Request\r\n\r\n", Answer{Protocol: "http", Status: 400, Banner: "HTTP/1.0 400 Bad Request"}},
		{"https wanted, go", "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", Answer{Protocol: "https", Status: 400, Banner: "HTTP/1.0 400 Bad Request", Complete: true}},
		{"https wanted, nginx", "HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22\r\n\r\n<html><title>400 The plain HTTP request was sent to HTTPS port</title>", Answer{Protocol: "https", Status: 400, Banner: "HTTP/1.1 400 Bad Request; Server: nginx/1.22", Complete: true}},
		{"the words in a page are no error", "HTTP/1.1 200 OK\r\n\r\nClient sent an HTTP request to an HTTPS server", Answer{Protocol: "http", Status: 200, Banner: "HTTP/1.1 200 OK", Complete: true}},
		{"page", "<!DOCTYPE html>\n", Answer{Protocol: "http", Banner: "<!DOCTYPE html>", Complete: true}},
		{"mongodb", "HTTP/1.0 200 OK\r\n\r\nIt looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n", Answer{Protocol: "mongodb", Status: 200, Banner: "HTTP/1.0 200 OK", Complete: true}},
		{"http2", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", Answer{Protocol: "http2", Complete: true}},
		{"no http2: length", "\x00\x00\x07\x04\x00\x00\x00\x00\x00", Answer{Banner: "\x00\x00\a\x04\x00\x00\x00\x00\x00"}},
		{"ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Answer{Protocol: "ssh", Banner: "SSH-2.0-OpenSSH_9.2p1 Debian-2", Complete: true}},
		{"ssh after a notice", "Go away\r\nSSH-2.0-x\r\n", Answer{Protocol: "ssh", Banner: "SSH-2.0-x", Complete: true}},
		{"ssh full", "Exceeded MaxStartups\r\n", Answer{Protocol: "ssh", Banner: "Exceeded MaxStartups", Denied: "Exceeded MaxStartups", Complete: true}},
		{"redis", "+PONG\r\n", Answer{Protocol: "redis", Banner: "+PONG", Complete: true}},
		{"redis password", "-NOAUTH Authentication required.\r\n", Answer{Protocol: "redis", Banner: "-NOAUTH Authentication required.", Complete: true}},
		{"redis protected", "-DENIED Redis is running in protected mode\r\n", Answer{Protocol: "redis", Banner: "-DENIED Redis is running in protected mode", Denied: "-DENIED Redis is running in protected mode", Complete: true}},
		{"postgresql wants a password", "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00", Answer{Protocol: "postgresql", Complete: true}},
		{"no postgresql: kind", "R\x00\x00\x00\x17\x00\x00\x01\x00", Answer{Banner: "R\x00\x00\x00\x17\x00\x00\x01\x00"}},
		{"postgresql hba", pg("SFATAL", "VFATAL", "C28000", "Mno pg_hba.conf entry", "RClientAuthentication"), Answer{Protocol: "postgresql", Banner: "no pg_hba.conf entry", Denied: "no pg_hba.conf entry", Complete: true}},
		{"postgresql role", pg("SFATAL", "C28000", "Mrole \"portwhy\" does not exist", "RInitializeSessionUserId"), Answer{Protocol: "postgresql", Banner: "role \"portwhy\" does not exist", Complete: true}},
		{"postgresql full", pg("SFATAL", "C53300", "Msorry, too many clients already"), Answer{Protocol: "postgresql", Banner: "sorry, too many clients already", Denied: "sorry, too many clients already", Complete: true}},
		{"postgresql cut", pg("SFATAL", "C53300", "Msorry")[:12], Answer{Protocol: "postgresql"}},
		{"no postgresql: severity", "E\x00\x00\x00\x0aabc", Answer{Banner: "E\x00\x00\x00\nabc"}},
		{"mysql", "\x0a\x00\x00\x00\x0a8.0.36\x00\x00\x00", Answer{Protocol: "mysql", Banner: "8.0.36", Complete: true}},
		{"mysql cut", "\x4a\x00\x00\x00\x0a8.0.36\x00\x00\x00", Answer{Protocol: "mysql", Banner: "8.0.36"}},
		{"mysql host", "\x0f\x00\x00\x00\xff\x6a\x04Host 'x' no!", Answer{Protocol: "mysql", Banner: "Host 'x' no!", Denied: "Host 'x' no!", Complete: true}},
		{"mysql state", "\x0d\x00\x00\x00\xff\x10\x04#08004Full", Answer{Protocol: "mysql", Banner: "Full", Denied: "Full", Complete: true}},
		{"no mysql: code", "\x05\x00\x00\x00\xff\x01\x00no", Answer{Banner: "\x05\x00\x00\x00\\xff\x01\x00no"}},
		{"no mysql: version", "\x05\x00\x00\x00\x0a\x01\x01\x00a", Answer{Banner: "\x05\x00\x00\x00\n\x01\x01\x00a"}},
		{"smtp", "220 mx.example ESMTP Postfix\r\n", Answer{Protocol: "smtp", Reply: true, Banner: "220 mx.example ESMTP Postfix", Complete: true}},
		{"smtp refuses", "554 mx.example ESMTP not accepting messages\r\n", Answer{Protocol: "smtp", Reply: true, Banner: "554 mx.example ESMTP not accepting messages", Denied: "554 mx.example ESMTP not accepting messages", Complete: true}},
		{"ftp", "220 (vsFTPd 3.0.3)\r\n", Answer{Protocol: "ftp", Reply: true, Banner: "220 (vsFTPd 3.0.3)", Complete: true}},
		{"either", "220 ready\r\n", Answer{Reply: true, Banner: "220 ready", Complete: true}},
		{"no code", "2x0 ready\r\n", Answer{Banner: "2x0 ready\r\n"}},
		{"no code: range", "620 ready\r\n", Answer{Banner: "620 ready\r\n"}},
		{"imap", "* OK [CAPABILITY IMAP4rev1] ready\r\n", Answer{Protocol: "imap", Banner: "* OK [CAPABILITY IMAP4rev1] ready", Complete: true}},
		{"pop3", "+OK ready\r\n", Answer{Protocol: "pop3", Banner: "+OK ready", Complete: true}},
		{"memcached", "VERSION 1.6.18\r\n", Answer{Protocol: "memcached", Banner: "VERSION 1.6.18", Complete: true}},
		{"memcached to others", "ERROR\r\n", Answer{Protocol: "memcached", Banner: "ERROR", Complete: true}},
		{"amqp", "AMQP\x00\x00\x09\x01", Answer{Protocol: "amqp", Banner: "AMQP\x00\x00\t\x01", Complete: true}},
		{"vnc", "RFB 003.008\n", Answer{Protocol: "vnc", Banner: "RFB 003.008", Complete: true}},
		{"telnet", "\xff\xfd\x18\xff", Answer{Protocol: "telnet", Complete: true}},
		{"long", strings.Repeat("x", 9000), Answer{Banner: strings.Repeat("x", 200) + "…"}},
	} {
		if got := Recognise([]byte(c.in)); got != c.want {
			t.Errorf("%s: Recognise(%.60q)\n got %+v\nwant %+v", c.name, c.in, got, c.want)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	for _, seed := range []string{
		"", "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\nClient sent an HTTP request", "SSH-2.0-x\r\n", "-DENIED x\r\n",
		"\x15\x03\x01\x00\x02\x02\x46", "\x00\x00\x06\x04\x00\x00\x00\x00\x00", "\x0f\x00\x00\x00\xff\x6a\x04Host 'x' no!",
		"\x0a\x00\x00\x00\x0a8.0.36\x00\x00\x00", pg("SFATAL", "C28000", "Mx", "RClientAuthentication"),
		"R\x00\x00\x00\x08\x00\x00\x00\x00", "220-x\r\n", "\xff\xfd\x18", "a\nSSH-2.0-\xff\n", "<html", "\x1b[31m\xff\xfe\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := Recognise(b)
		for _, s := range []string{a.Banner, a.Denied, a.Alert} {
			// Four bytes per byte at most, and the ellipsis.
			if !utf8.ValidString(s) || len(s) > 4*maxBanner+3 {
				t.Errorf("%q is not clean", s)
			}
		}
		if a.Status != 0 && (a.Status < 100 || a.Status > 999) {
			t.Errorf("status %d", a.Status)
		}
		// An answer that is complete stays what it is when more comes.
		if more := Recognise(append(b[:len(b):len(b)], "\r\n\r\n"...)); a.Complete && len(b)+4 <= maxHeard && a.Protocol != more.Protocol {
			t.Errorf("%q is %q, with more bytes %q", b, a.Protocol, more.Protocol)
		}
	})
}

func FuzzErrorFields(f *testing.F) {
	f.Add([]byte("SFATAL\x00C28000\x00\x00"))
	f.Add([]byte("S"))
	f.Add([]byte("Sx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for key, value := range errorFields(b) {
			if key == 0 || strings.Contains(value, "\x00") {
				t.Errorf("field %q: %q", key, value)
			}
		}
	})
}
