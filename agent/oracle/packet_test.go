//go:build linux

package oracle

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// packet is one that is sent. It is known again by its id, which is in IPv4's
// identification or IPv6's flow label, and in TCP's numbers.
type packet struct {
	id           uint16
	way          eval.Way
	peer         int // that sends it, if one does
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16 // of ICMP: the identifier, and type and code
	flags        uint8  // of TCP
	ttl, tos     uint8
	payload      int
	options      bool // of TCP: MSS, window scale, timestamps allowed
	mark         uint32
	state        uint32  // of a flow that exists; 0 for a first packet
	odd          string  // what is odd about it, of the words below
	answer       bool    // not this is meant but the answer to it, wherever it came out
	first        *packet // that it answers
}

// What may be odd about a packet.
const (
	oddOptions = "options" // IPv4's header has options
	oddHop     = "hop"     // IPv6 has a header of hop-by-hop options
	oddDst     = "dst"     // and one of destination options
	oddShort   = "short"   // the transport header is cut off
	oddNoSum   = "nosum"   // UDP has no checksum
)

const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
	protoGRE   = 47
	protoESP   = 50
	protoDCCP  = 33
	protoSCTP  = 132
	protoLite  = 136
	protoTest  = 253
	flagFIN    = 1
	flagSYN    = 2
	flagRST    = 4
	flagACK    = 16
)

// ttlMax is below what the host itself sends with: by that its own are told apart.
const ttlMax = 128

func (p *packet) family() rules.Family {
	if p.src.Is4() {
		return rules.IP
	}
	return rules.IP6
}

// device is the one it comes by, empty if the host sends it.
func (p *packet) device() string {
	if p.way == eval.In || p.way == eval.Forward {
		return deviceNames[p.peer]
	}
	return ""
}

// String is what the files of testdata have of a packet, in parse's words.
func (p *packet) String() string {
	return fmt.Sprintf("way=%s peer=%d src=%s dst=%s proto=%d sport=%d dport=%d flags=%d ttl=%d tos=%d payload=%d options=%t mark=%d state=%d answer=%t odd=%s",
		p.way, p.peer, p.src, p.dst, p.proto, p.sport, p.dport, p.flags, p.ttl, p.tos, p.payload, p.options, p.mark, p.state, p.answer, p.odd)
}

func parsePacket(line string) (*packet, error) {
	p := &packet{}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		switch key {
		case "way":
			p.way, err = eval.Way(value), nil
		case "src":
			p.src, err = netip.ParseAddr(value)
		case "dst":
			p.dst, err = netip.ParseAddr(value)
		case "answer":
			p.answer, err = value == "true", nil
		case "odd":
			p.odd, err = value, nil
		case "options":
			p.options, err = value == "true", nil
		case "peer":
			p.peer = int(n)
		case "proto":
			p.proto = uint8(n)
		case "sport":
			p.sport = uint16(n)
		case "dport":
			p.dport = uint16(n)
		case "flags":
			p.flags = uint8(n)
		case "ttl":
			p.ttl = uint8(n)
		case "tos":
			p.tos = uint8(n)
		case "payload":
			p.payload = int(n)
		case "mark":
			p.mark = uint32(n)
		case "state":
			p.state = uint32(n)
		default:
			err = fmt.Errorf("a packet has no %s", key)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// bytes is the packet from its network header on.
func (p *packet) bytes() []byte {
	l4 := p.transport()
	var d []byte
	if p.src.Is4() {
		d = make([]byte, 20, 24+len(l4))
		if p.odd == oddOptions {
			d = append(d, 1, 1, 1, 0) // no operation, and the end
		}
		d[0], d[1], d[8], d[9] = 0x40|byte(len(d)/4), p.tos, p.ttl, p.proto
		binary.BigEndian.PutUint16(d[2:], uint16(len(d)+len(l4)))
		binary.BigEndian.PutUint16(d[4:], p.id)
		copy(d[12:], p.src.AsSlice())
		copy(d[16:], p.dst.AsSlice())
		binary.BigEndian.PutUint16(d[10:], fold(sum(0, d)))
	} else {
		d = make([]byte, 40, 48+len(l4))
		d[6], d[7] = p.proto, p.ttl
		if kind, ok := map[string]byte{oddHop: 0, oddDst: 60}[p.odd]; ok {
			d[6] = kind
			d = append(d, p.proto, 0, 1, 4, 0, 0, 0, 0) // padding
		}
		binary.BigEndian.PutUint32(d, 6<<28|uint32(p.tos)<<20|uint32(p.id))
		binary.BigEndian.PutUint16(d[4:], uint16(len(d)-40+len(l4)))
		copy(d[8:], p.src.AsSlice())
		copy(d[24:], p.dst.AsSlice())
	}
	pseudo := sum(uint32(len(l4))+uint32(p.proto), append(p.src.AsSlice(), p.dst.AsSlice()...))
	switch {
	case p.odd == oddShort || p.odd == oddNoSum:
		return append(d, l4...)
	}
	switch p.proto {
	case protoTCP:
		binary.BigEndian.PutUint16(l4[16:], fold(sum(pseudo, l4)))
	case protoSCTP:
		binary.LittleEndian.PutUint32(l4[8:], crc32.Checksum(l4, crc32.MakeTable(crc32.Castagnoli)))
	case protoUDP, protoLite:
		c := fold(sum(pseudo, l4))
		if c == 0 {
			c = 0xffff
		}
		binary.BigEndian.PutUint16(l4[6:], c)
	case protoICMP:
		binary.BigEndian.PutUint16(l4[2:], fold(sum(0, l4)))
	case protoICMP6:
		binary.BigEndian.PutUint16(l4[2:], fold(sum(pseudo, l4)))
	}
	return append(d, l4...)
}

func (p *packet) transport() []byte {
	var l4 []byte
	switch p.proto {
	case protoTCP:
		l4 = make([]byte, 20)
		if p.options {
			l4 = append(l4, 2, 4, 5, 180, 4, 2, 1, 1) // MSS 1460, SACK permitted
		}
		number := uint32(p.id) << 8
		binary.BigEndian.PutUint32(l4[4:], number)
		if p.flags&flagACK != 0 {
			binary.BigEndian.PutUint32(l4[8:], number)
		}
		l4[12], l4[13] = byte(len(l4)/4)<<4, p.flags
		binary.BigEndian.PutUint16(l4[14:], 1000)
	case protoUDP:
		l4 = make([]byte, 8)
		binary.BigEndian.PutUint16(l4[4:], uint16(8+p.payload))
	case protoLite:
		l4 = make([]byte, 8) // a coverage of 0 is all of it
	case protoDCCP:
		l4 = make([]byte, 16)
		l4[4], l4[8] = 4, p.flags<<1|1 // 16 bytes of header, 48 bits of sequence
	case protoSCTP:
		l4 = append(make([]byte, 12), p.flags, 0, 0, 4) // one chunk of the type that flags tell
	case protoICMP, protoICMP6:
		l4 = make([]byte, 8)
		binary.BigEndian.PutUint16(l4, p.dport)
		binary.BigEndian.PutUint16(l4[4:], p.sport)
		binary.BigEndian.PutUint16(l4[6:], p.id)
	default:
		return []byte{0, 0, 8, 0, byte(p.sport >> 8), byte(p.sport), 0, 0, 1, 2, 3, 4}
	}
	switch p.proto {
	case protoTCP, protoUDP, protoLite, protoDCCP, protoSCTP:
		binary.BigEndian.PutUint16(l4, p.sport)
		binary.BigEndian.PutUint16(l4[2:], p.dport)
	}
	if p.odd == oddShort {
		return l4[:min(len(l4), 6)]
	}
	if p.proto != protoSCTP {
		for i := range p.payload {
			l4 = append(l4, byte(i))
		}
	}
	return l4
}

// sum adds 16-bit words for a checksum, fold makes the checksum of it.
func sum(start uint32, d []byte) uint32 {
	for i := 0; i+1 < len(d); i += 2 {
		start += uint32(d[i])<<8 | uint32(d[i+1])
	}
	if len(d)%2 == 1 {
		start += uint32(d[len(d)-1]) << 8
	}
	return start
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// link is the link header of a frame from a neighbour.
func link(peer int, dst netip.Addr) []byte {
	to := hostMACs[peer]
	switch {
	case dst.Is4() && dst.IsMulticast():
		b := dst.As4()
		to = []byte{1, 0, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case dst.IsMulticast():
		b := dst.As16()
		to = append([]byte{0x33, 0x33}, b[12:]...)
	case dst.Is4() && dst.As4()[3] == 255:
		to = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	h := append(append([]byte{}, to...), peerMACs[peer]...)
	if dst.Is4() {
		return append(h, 8, 0)
	}
	return append(h, 0x86, 0xdd)
}

// model is the packet for the evaluator.
func (p *packet) model(w *world) *eval.Packet {
	m := &eval.Packet{Family: p.family(), Data: p.bytes(), Mark: p.mark, State: p.state}
	if p.first != nil {
		m.First = p.first.model(w)
	}
	if in := p.device(); in != "" {
		m.In, m.InIndex, m.Link = in, w.indexes[in], link(p.peer, p.dst)
		return m
	}
	m.HasOwner = true // root sends
	r, _ := w.facts.Route(eval.Query{Src: p.src, Dst: p.dst, Mark: p.mark})
	m.Out, m.OutIndex = r.Out, w.indexes[r.Out]
	return m
}

// name tells which of our packets a header, or the beginning of one, is of; 0
// for what the host sends itself.
func name(d []byte) uint16 {
	switch {
	case len(d) >= 20 && d[0]>>4 == 4 && d[8] < ttlMax && !quotes(d):
		return binary.BigEndian.Uint16(d[4:])
	case len(d) >= 40 && d[0]>>4 == 6 && d[7] < ttlMax:
		return binary.BigEndian.Uint16(d[2:])
	}
	return 0
}

// quotes reports whether an IPv4 packet is an error of ICMP: the host's, to which
// it gives a number by chance. Rules may have written its TTL. What it sends over
// IPv6, and its resets, have no number.
func quotes(d []byte) bool {
	header := int(d[0]&15) * 4
	if d[9] != protoICMP || len(d) < header+9 || d[header+8]>>4 != 4 {
		return false
	}
	const unreachable, exceeded, problem = 3, 11, 12
	kind := d[header]
	return kind == unreachable || kind == exceeded || kind == problem
}

// answer is what a packet of the host says about one of ours: a reset, or an
// ICMP error.
type answer struct {
	reset      bool
	kind, code uint8
}

// readAnswer reads one; id 0 if it is none.
func readAnswer(d []byte) (id uint16, a answer) {
	header, proto := 0, uint8(0)
	switch {
	case len(d) >= 20 && d[0]>>4 == 4:
		header, proto = int(d[0]&15)*4, d[9]
	case len(d) >= 40 && d[0]>>4 == 6:
		header, proto = 40, d[6]
	}
	if header == 0 || len(d) < header+8 {
		return 0, a
	}
	l4 := d[header:]
	switch proto {
	case protoTCP:
		if len(l4) < 20 || l4[13]&flagRST == 0 {
			return 0, a
		}
		number := binary.BigEndian.Uint32(l4[4:])
		if l4[13]&flagACK != 0 {
			number = binary.BigEndian.Uint32(l4[8:])
		}
		return uint16(number >> 8), answer{reset: true}
	case protoICMP, protoICMP6:
		return name(l4[8:]), answer{kind: l4[0], code: l4[1]}
	}
	return 0, a
}

func TestErrorsAreNoneOfOurs(t *testing.T) {
	ours := (&packet{id: 5, ttl: 64, proto: protoUDP, payload: 4, src: netip.MustParseAddr("10.1.0.2"), dst: netip.MustParseAddr("10.1.0.1")}).bytes()
	e := append([]byte{0x45, 0, 0, 60, 0, 7, 0, 0, 72, protoICMP, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2, 3, 3, 0, 0, 0, 0, 0, 0}, ours...)
	if id := name(e); id != 0 {
		t.Errorf("an error is taken for packet %d", id)
	}
	if id, a := readAnswer(e); id != 5 || a.kind != 3 || a.code != 3 {
		t.Errorf("an error is read as %v to packet %d", a, id)
	}
	if id := name(ours); id != 5 {
		t.Errorf("packet 5 is taken for %d", id)
	}
}
