package eval

import (
	"encoding/binary"
	"hash/crc32"
)

// Chunks of SCTP (linux/sctp.h).
const (
	sctpInit             = 1
	sctpInitAck          = 2
	sctpHeartbeat        = 4
	sctpHeartbeatAck     = 5
	sctpShutdown         = 7
	sctpShutdownAck      = 8
	sctpError            = 9
	sctpCookieEcho       = 10
	sctpCookieAck        = 11
	sctpShutdownComplete = 14
)

// firstSCTP is the state of a packet of SCTP that belongs to no flow yet
// (nf_conntrack_sctp_packet of net/netfilter/nf_conntrack_proto_sctp.c).
func firstSCTP(l4 []byte) uint32 {
	const header, chunkHeader, initHeader = 12, 4, 16
	if len(l4) < header {
		return Invalid
	}
	tag := binary.BigEndian.Uint32(l4[4:])
	count, alone, untagged := 0, false, false
	for at := header; at+chunkHeader <= len(l4); count++ {
		kind, n := l4[at], int(binary.BigEndian.Uint16(l4[at+2:]))
		begins := kind == sctpInit || kind == sctpInitAck || kind == sctpShutdownComplete
		alone = alone || begins
		if count > 0 && (alone || kind == sctpCookieAck || kind == sctpCookieEcho) || n == 0 {
			return Invalid
		}
		switch kind {
		case sctpInit:
			if tag != 0 {
				return Invalid
			}
			untagged = true
		case sctpHeartbeat, sctpHeartbeatAck, sctpShutdownAck:
			untagged = true
		case sctpCookieEcho:
			if tag != 0 {
				return Invalid // there was no INIT that gave a tag
			}
			untagged = true
		case sctpInitAck, sctpShutdown, sctpError:
		default: // data is of no new association; an abort ends what isn't there
			return Invalid
		}
		if (kind == sctpInit || kind == sctpInitAck) && at+chunkHeader+initHeader > len(l4) {
			return Invalid
		}
		at += (n + 3) &^ 3
	}
	if count == 0 || !untagged && tag != 0 {
		return Invalid
	}
	return New
}

// seal computes SCTP's checksum anew, as NAT does.
func (p *Packet) seal(offset int) {
	at := offset + 8
	if at+4 > len(p.Data) {
		return
	}
	if b := p.blind(offset, len(p.Data)); b != nil {
		p.hide(at, at+4, *b)
		return
	}
	clear(p.Data[at : at+4])
	binary.LittleEndian.PutUint32(p.Data[at:], crc32.Checksum(p.Data[offset:], crc32.MakeTable(crc32.Castagnoli)))
}
