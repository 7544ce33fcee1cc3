package talk

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"

	"github.com/portwhy/portwhy/platform/host"
)

// sslRequest asks a PostgreSQL server for TLS ("Message Formats" in its
// manual).
var sslRequest = []byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f}

// postgresql asks for TLS and greets as the user portwhy, within TLS if the
// server has it: pg_hba.conf may tell the two apart. A server that wants a
// password or does not know the user is a good one; one that has no line for
// this client says so, and its words name the user and the database.
func (s *session) postgresql() {
	s.send(sslRequest)
	// One byte answers. No more is read, since TLS begins right after it.
	first := make([]byte, 1)
	n, err := s.conn.Read(first)
	if err != nil {
		s.ended(err)
		return
	}
	s.heard = first[:n]
	switch first[0] {
	case 'S':
		conn := tls.Client(s.conn, &tls.Config{InsecureSkipVerify: true, ServerName: s.query.Name})
		if err := conn.Handshake(); err != nil {
			s.talk.Heard = "postgresql"
			s.failed(err)
			return
		}
		s.conn = conn
		s.startup()
	case 'N':
		s.startup()
	default:
		s.listen(func(b []byte) bool { return Recognise(b).Complete })
		s.conclude(Recognise(s.heard))
	}
}

// startup greets and reads the server's first message.
func (s *session) startup() {
	s.heard = nil
	s.send(startupMessage())
	s.listen(func(b []byte) bool { return Recognise(b).Complete })
	s.conclude(Recognise(s.heard))
	// AuthenticationOk: a session is open, and ends with Terminate.
	if s.talk.OK && bytes.HasPrefix(s.heard, []byte{'R', 0, 0, 0, 8, 0, 0, 0, 0}) {
		s.send([]byte{'X', 0, 0, 0, 4})
	}
}

// startupMessage is a StartupMessage of protocol 3.0.
func startupMessage() []byte {
	b := []byte{0, 0, 0, 0, 0, 3, 0, 0}
	for _, word := range []string{"user", user, "database", user, "application_name", user} {
		b = append(append(b, word...), 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// postgresqlMessage recognises a request for authentication ('R') and an
// ErrorResponse ('E').
func postgresqlMessage(b []byte) (Answer, bool) {
	if len(b) < 6 || (b[0] != 'R' && b[0] != 'E') {
		return Answer{}, false
	}
	length := binary.BigEndian.Uint32(b[1:])
	if length < 8 || length > maxHeard {
		return Answer{}, false
	}
	body := b[5:]
	whole := len(body) >= int(length)-4
	if whole {
		body = body[:length-4]
	}
	if b[0] == 'R' {
		// Authentication kinds are small numbers.
		if len(body) < 4 {
			return Answer{Protocol: "postgresql"}, true
		}
		return Answer{Protocol: "postgresql", Complete: true}, binary.BigEndian.Uint32(body) < 32
	}
	// Every error begins with its severity.
	if body[0] != 'S' {
		return Answer{}, false
	}
	e := errorFields(body)
	a := Answer{Protocol: "postgresql", Complete: whole, Banner: host.Clean([]byte(e['M']), maxBanner)}
	if refuses(e['C'], e['R']) {
		a.Denied = a.Banner
	}
	return a, true
}

// errorFields splits an ErrorResponse: each field is a byte and a string that
// ends in zero.
func errorFields(body []byte) map[byte]string {
	fields := map[byte]string{}
	for len(body) > 1 && body[0] != 0 {
		value, rest, found := bytes.Cut(body[1:], []byte{0})
		if !found {
			break
		}
		fields[body[0]] = string(value)
		body = rest
	}
	return fields
}

// refuses tells errors that everyone gets here from those that only the user
// portwhy gets. Codes are of "PostgreSQL Error Codes"; messages are translated,
// the routine's name is not.
func refuses(code, routine string) bool {
	switch code {
	case "28000":
		// No line of pg_hba.conf, or one that rejects. An unknown role has the
		// same code, from another routine.
		return routine == "ClientAuthentication"
	case "53300", // too_many_connections
		"57P01", "57P02", "57P03": // shutting down, crashed, starting up
		return true
	}
	return false
}
