package talk

import (
	"bytes"
	"encoding/binary"

	"github.com/portwhy/portwhy/platform/host"
)

// Capability flags of the MySQL client/server protocol (mysql_com.h).
const (
	clientLongPassword     = 1 << 0
	clientProtocol41       = 1 << 9
	clientSecureConnection = 1 << 15
	clientPluginAuth       = 1 << 19
)

// mysql waits for the server's greeting and answers it as the user portwhy
// without a password. It must answer: a server counts greetings that are never
// answered, and blocks the client's address after max_connect_errors of them.
// That the user is refused is expected and no fault.
func (s *session) mysql() {
	s.ask("", nil)
	if !s.talk.OK {
		return
	}
	greeting := s.talk
	s.send(packet(1, handshakeResponse()))
	reply := s.packet()
	// AuthSwitchRequest: the name of another method, then its data.
	if len(reply) > 4 && reply[4] == 0xfe {
		method, _, _ := bytes.Cut(reply[5:], []byte{0})
		// An empty password is nothing to one method, a zero byte to the others.
		none := []byte{0}
		if string(method) == "mysql_native_password" {
			none = nil
		}
		s.send(packet(reply[3]+1, none))
		reply = s.packet()
	}
	if len(reply) > 4 && reply[4] == 0 {
		s.send(packet(0, []byte{1})) // logged in after all: COM_QUIT
	}
	s.talk = greeting
}

// packet reads one packet with its header, or what there is of it.
func (s *session) packet() []byte {
	s.heard = nil
	s.listen(func(b []byte) bool { return len(b) >= 4 && len(b) >= 4+packetLength(b) })
	return s.heard
}

// packetLength is the length in a packet's header.
func packetLength(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// packet makes a packet.
func packet(sequence byte, payload []byte) []byte {
	return append([]byte{byte(len(payload)), byte(len(payload) >> 8), byte(len(payload) >> 16), sequence}, payload...)
}

// handshakeResponse is a HandshakeResponse41 for the user portwhy.
func handshakeResponse() []byte {
	b := binary.LittleEndian.AppendUint32(nil, clientLongPassword|clientProtocol41|clientSecureConnection|clientPluginAuth)
	b = binary.LittleEndian.AppendUint32(b, 1<<24)
	b = append(b, 45) // utf8mb4
	b = append(b, make([]byte, 23)...)
	b = append(append(b, user...), 0)
	b = append(b, 0) // no answer to the challenge
	return append(append(b, "mysql_native_password"...), 0)
}

// mysqlPacket recognises the first packet of a server: its greeting of version
// 10, or an error that refuses the client before any greeting (1040 too many
// connections, 1129 host is blocked, 1130 host is not allowed).
func mysqlPacket(b []byte) (Answer, bool) {
	if len(b) < 5 || b[3] != 0 {
		return Answer{}, false
	}
	length := packetLength(b)
	if length < 3 || length > 1024 {
		return Answer{}, false
	}
	body := b[4:]
	whole := len(body) >= length
	if whole {
		body = body[:length]
	}
	switch body[0] {
	case 10:
		version, _, found := bytes.Cut(body[1:], []byte{0})
		if !found || len(version) == 0 || !printable(version) {
			return Answer{}, false
		}
		return Answer{Protocol: "mysql", Banner: host.Clean(version, maxBanner), Complete: whole}, true
	case 0xff:
		if len(body) < 3 {
			return Answer{}, false
		}
		code := binary.LittleEndian.Uint16(body[1:])
		if code < 1000 || code > 9999 {
			return Answer{}, false
		}
		words := body[3:]
		// The SQL state is there only if the client could say that it knows it.
		if len(words) > 6 && words[0] == '#' {
			words = words[6:]
		}
		text := host.Clean(words, maxBanner)
		return Answer{Protocol: "mysql", Banner: text, Denied: text, Complete: whole}, true
	}
	return Answer{}, false
}

// printable reports whether b is printable ASCII.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
