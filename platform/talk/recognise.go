package talk

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// Answer is what the first bytes from a server show.
type Answer struct {
	// Protocol is tls, https (HTTP that says it wants TLS), http, http2, ssh,
	// redis, postgresql, mysql, smtp, ftp, imap, pop3, memcached, mongodb,
	// amqp, nats, rsync, vnc, rtsp, sip or telnet; empty if none of these.
	Protocol string
	Status   int    // of HTTP
	Banner   string // first words, cleaned and bounded
	Denied   string // a refusal in its own words
	Alert    string // of TLS
	// Reply: a three-digit reply code that several protocols use (RFC 5321,
	// RFC 959), without a word that says which.
	Reply bool
	// Complete: more bytes would tell no more.
	Complete bool
}

// Recognise tells from the first bytes that a server sent what it speaks. It
// names a protocol only by a form that no other is known to have.
func Recognise(b []byte) Answer {
	if len(b) > maxHeard {
		b = b[:maxHeard]
	}
	for _, recognise := range []func([]byte) (Answer, bool){
		tlsRecord, httpReply, http2Settings, mysqlPacket, postgresqlMessage, telnet, textLine,
	} {
		if a, ok := recognise(b); ok {
			return a
		}
	}
	return Answer{Banner: host.Clean(b, maxBanner)}
}

// firstLine is the first line without its end, and whether it has one.
func firstLine(b []byte) ([]byte, bool) {
	line, _, found := bytes.Cut(b, []byte("\n"))
	return bytes.TrimRight(line, "\r"), found
}

// tlsRecord recognises the header of a record (RFC 8446, 5.1) and reads an
// alert (6).
func tlsRecord(b []byte) (Answer, bool) {
	if len(b) < 5 || b[0] < 0x15 || b[0] > 0x17 || b[1] != 3 || b[2] > 4 {
		return Answer{}, false
	}
	length := int(binary.BigEndian.Uint16(b[3:]))
	if length == 0 || length > 1<<14+2048 {
		return Answer{}, false
	}
	a := Answer{Protocol: "tls", Complete: b[0] != 0x15}
	if b[0] == 0x15 && len(b) >= 7 {
		a.Complete = true
		if length == 2 {
			a.Alert = strings.TrimPrefix(tls.AlertError(b[6]).Error(), "tls: ")
		}
	}
	return a, true
}

// http2Settings recognises the frame that a server must send first (RFC 9113,
// 3.4 and 6.5).
func http2Settings(b []byte) (Answer, bool) {
	if len(b) < 9 || b[0] != 0 || b[3] != 4 || b[4] > 1 || binary.BigEndian.Uint32(b[5:]) != 0 {
		return Answer{}, false
	}
	length := int(b[1])<<8 | int(b[2])
	if length%6 != 0 || length > 600 {
		return Answer{}, false
	}
	return Answer{Protocol: "http2", Complete: true}, true
}

// telnet recognises the negotiation of options (RFC 854): IAC, WILL to DONT,
// and an option.
func telnet(b []byte) (Answer, bool) {
	if len(b) < 3 || b[0] != 0xff || b[1] < 0xfb || b[1] > 0xfe {
		return Answer{}, false
	}
	return Answer{Protocol: "telnet", Complete: true}, true
}

// greetings are the first words of protocols that greet or answer in text.
// The longer of two that overlap stands first.
var greetings = []struct {
	prefix, protocol string
	denied           bool
}{
	{prefix: "SSH-2.0-", protocol: "ssh"},
	{prefix: "SSH-1.", protocol: "ssh"},
	// sshd says so instead of its version: MaxStartups and PerSourcePenalties
	// in sshd_config(5).
	{prefix: "Exceeded MaxStartups", protocol: "ssh", denied: true},
	{prefix: "Not allowed at this time", protocol: "ssh", denied: true},
	// redis: networking.c, server.c
	{prefix: "+PONG", protocol: "redis"},
	{prefix: "-DENIED ", protocol: "redis", denied: true},
	{prefix: "-ERR max number of clients", protocol: "redis", denied: true},
	{prefix: "-LOADING ", protocol: "redis", denied: true},
	{prefix: "-MASTERDOWN ", protocol: "redis", denied: true},
	{prefix: "-NOAUTH ", protocol: "redis"},
	{prefix: "-NOPERM ", protocol: "redis"},
	{prefix: "-MISCONF ", protocol: "redis"},
	{prefix: "-BUSY ", protocol: "redis"},
	{prefix: "-ERR ", protocol: "redis"},
	{prefix: "+OK ", protocol: "pop3"},
	{prefix: "* OK", protocol: "imap"},
	{prefix: "* PREAUTH", protocol: "imap"},
	{prefix: "* BYE", protocol: "imap", denied: true},
	// memcached: protocol.txt
	{prefix: "VERSION ", protocol: "memcached"},
	{prefix: "ERROR Too many open connections", protocol: "memcached", denied: true},
	{prefix: "CLIENT_ERROR ", protocol: "memcached"},
	{prefix: "AMQP\x00\x00\x09\x01", protocol: "amqp"},
	{prefix: "INFO {", protocol: "nats"},
	{prefix: "@RSYNCD: ", protocol: "rsync"},
	{prefix: "RFB 00", protocol: "vnc"},
	{prefix: "RTSP/1.0 ", protocol: "rtsp"},
	{prefix: "SIP/2.0 ", protocol: "sip"},
}

// textLine recognises a line of text.
func textLine(b []byte) (Answer, bool) {
	line, ended := firstLine(b)
	banner := host.Clean(line, maxBanner)
	// The whole of memcached's answer to a command that it does not know.
	if string(line) == "ERROR" && ended {
		return Answer{Protocol: "memcached", Banner: banner, Complete: true}, true
	}
	for _, g := range greetings {
		if !bytes.HasPrefix(b, []byte(g.prefix)) {
			continue
		}
		a := Answer{Protocol: g.protocol, Banner: banner, Complete: ended || g.protocol == "amqp"}
		if g.denied {
			a.Denied = banner
		}
		return a, true
	}
	// RFC 4253, 4.2: a server may send other lines before its version.
	if _, after, found := bytes.Cut(b, []byte("\nSSH-2.0-")); found {
		version, ended := firstLine(after)
		return Answer{Protocol: "ssh", Banner: host.Clean(append([]byte("SSH-2.0-"), version...), maxBanner), Complete: ended}, true
	}
	return replyCode(line, ended)
}

// replyCode recognises a reply of SMTP or FTP. Which of them, only the words
// after the code may say.
func replyCode(line []byte, ended bool) (Answer, bool) {
	if len(line) < 4 || line[0] < '2' || line[0] > '5' || (line[3] != ' ' && line[3] != '-') {
		return Answer{}, false
	}
	code, err := strconv.Atoi(string(line[:3]))
	if err != nil || code < 200 {
		return Answer{}, false
	}
	a := Answer{Reply: true, Banner: host.Clean(line, maxBanner), Complete: ended}
	if code >= 400 {
		a.Denied = a.Banner
	}
	words := strings.ToUpper(string(line[4:]))
	smtp, ftp := strings.Contains(words, "SMTP"), strings.Contains(words, "FTP")
	switch {
	case smtp && !ftp:
		a.Protocol = "smtp"
	case ftp && !smtp:
		a.Protocol = "ftp"
	}
	return a, true
}
