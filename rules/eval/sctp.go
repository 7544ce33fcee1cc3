package eval

import "encoding/binary"

// Kinds of SCTP's chunks (linux/sctp.h).
const (
	chunkInit         = 1
	chunkInitAck      = 2
	chunkHeartbeat    = 4
	chunkHeartbeatAck = 5
	chunkShutdown     = 7
	chunkShutdownAck  = 8
	chunkError        = 9
	chunkCookieEcho   = 10
)

// startsSCTP reports whether a packet may be the first of an association
// (do_basic_checks, sctp_new and nf_conntrack_sctp_packet in
// net/netfilter/nf_conntrack_proto_sctp.c). Its checksum is taken to be right.
func startsSCTP(l4 []byte) bool {
	if len(l4) < 12 {
		return false
	}
	tag := binary.BigEndian.Uint32(l4[4:])
	count, alone, tagged := 0, false, true
	for at := 12; at+4 <= len(l4); count++ {
		kind, size := l4[at], int(binary.BigEndian.Uint16(l4[at+2:]))
		alone = alone || kind == chunkInit || kind == chunkInitAck
		if count > 0 && (alone || kind == chunkCookieEcho) || size == 0 {
			return false
		}
		switch kind {
		case chunkInit:
			if tag != 0 || at+20 > len(l4) {
				return false
			}
			tagged = false
		case chunkCookieEcho, chunkShutdownAck, chunkHeartbeat, chunkHeartbeatAck:
			tagged = false
		case chunkInitAck, chunkShutdown, chunkError:
		default: // data, or an end of what never began
			return false
		}
		at += (size + 3) &^ 3
	}
	return count > 0 && (!tagged || tag == 0)
}
