//go:build linux

package oracle

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
)

// event is one rule or policy that a packet met, as the kernel tells it.
type event struct {
	family  rules.Family // of the table
	legacy  bool
	table   string
	chain   string
	handle  uint64 // of the rule; 0 for the policy
	number  int    // of a legacy rule, from 1; the policy is the one behind the last
	verdict int32
	policy  bool
	mark    uint32
}

// traceSocket hears what nftables traces, and what iptables-legacy does by way
// of nfnetlink_log, in the order in which it happened.
type traceSocket struct {
	fd     int
	buffer []byte
	ids    map[uint32]uint16 // the kernel's number of a packet and ours
}

const (
	groupTrace = 9 // NFNLGRP_NFTRACE
	logConfig  = unix.NFNL_SUBSYS_ULOG<<8 | 1
	logPacket  = unix.NFNL_SUBSYS_ULOG << 8
	nftTrace   = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_TRACE
)

func newTraceSocket() (*traceSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, groupTrace); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return nil, err
	}
	const bind, copyPacket = 1, 2
	for _, attributes := range [][]byte{
		attribute(nil, 1, []byte{bind}),
		attribute(nil, 2, []byte{0, 0, 0, 64, copyPacket, 0}),
		attribute(nil, 5, []byte{0, 0, 0, 1}), // each at once
	} {
		if err := request(fd, logConfig, 0, attributes); err != nil {
			return nil, fmt.Errorf("bind to nfnetlink_log: %w", err)
		}
	}
	return &traceSocket{fd: fd, buffer: make([]byte, 1<<16), ids: map[uint32]uint16{}}, nil
}

func (s *traceSocket) close() { unix.Close(s.fd) }

// attribute appends a netlink attribute.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// request asks nfnetlink for something and takes the acknowledgement.
func request(fd int, kind uint16, family byte, attributes []byte) error {
	b := make([]byte, 20, 20+len(attributes))
	binary.NativeEndian.PutUint32(b, uint32(20+len(attributes)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b[16] = family
	if err := unix.Sendto(fd, append(b, attributes...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(fd, reply, 0)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return err
		}
		if n >= 20 && binary.NativeEndian.Uint16(reply[4:]) == unix.NLMSG_ERROR {
			if e := -int32(binary.NativeEndian.Uint32(reply[16:])); e != 0 {
				return unix.Errno(e)
			}
			return nil
		}
	}
}

// eachAttribute calls f for the attributes in b.
func eachAttribute(b []byte, f func(kind uint16, v []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// collect gives the events that have come, with the packets that they are of.
func (s *traceSocket) collect(each func(id uint16, e event)) error {
	clear(s.ids)
	return drain(s.fd, s.buffer, nil, func(b, _ []byte, _ unix.Sockaddr) {
		for len(b) >= 20 {
			n := int(binary.NativeEndian.Uint32(b))
			if n < 20 || n > len(b) {
				return
			}
			kind, family, attributes := binary.NativeEndian.Uint16(b[4:]), rules.Family(b[16]), b[20:n]
			var id uint16
			var e event
			switch kind {
			case nftTrace:
				id, e = s.nft(attributes)
				e.family = family
			case logPacket:
				id, e = legacyEvent(attributes)
				e.family = family
			}
			if id != 0 {
				each(id, e)
			}
			b = b[min(len(b), (n+3)&^3):]
		}
	})
}

// nft reads one event of nftables: NFTA_TRACE_*. Only the first of a base
// chain has the packet's headers.
func (s *traceSocket) nft(b []byte) (id uint16, e event) {
	var number uint32
	var header, transport []byte
	eachAttribute(b, func(a uint16, v []byte) {
		be32 := func() uint32 {
			if len(v) != 4 {
				return 0
			}
			return binary.BigEndian.Uint32(v)
		}
		switch a {
		case unix.NFTA_TRACE_TABLE:
			e.table = cString(v)
		case unix.NFTA_TRACE_CHAIN:
			e.chain = cString(v)
		case unix.NFTA_TRACE_RULE_HANDLE:
			e.handle = binary.BigEndian.Uint64(v)
		case unix.NFTA_TRACE_ID:
			number = be32()
		case unix.NFTA_TRACE_NETWORK_HEADER:
			header = v
		case unix.NFTA_TRACE_TRANSPORT_HEADER:
			transport = v
		case unix.NFTA_TRACE_MARK:
			e.mark = be32()
		case unix.NFTA_TRACE_POLICY:
			e.verdict, e.policy = int32(be32()), true
		case unix.NFTA_TRACE_VERDICT:
			eachAttribute(v, func(a uint16, v []byte) {
				if a == unix.NFTA_VERDICT_CODE && len(v) == 4 {
					e.verdict = int32(binary.BigEndian.Uint32(v))
				}
			})
		}
	})
	if header != nil {
		s.ids[number] = name(slices.Concat(header, transport))
	}
	if e.handle == 0 && !e.policy {
		return 0, e // the end of a chain, which is no step
	}
	return s.ids[number], e
}

func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// legacyEvent reads what iptables-legacy logs of a traced packet:
// "TRACE: filter:INPUT:rule:1 ".
func legacyEvent(b []byte) (id uint16, e event) {
	const attributeMark, attributePayload, attributePrefix = 2, 9, 10
	e.legacy = true
	traced := false
	eachAttribute(b, func(a uint16, v []byte) {
		switch a {
		case attributeMark:
			if len(v) == 4 {
				e.mark = binary.BigEndian.Uint32(v)
			}
		case attributePayload:
			id = name(v)
		case attributePrefix:
			text, ok := strings.CutPrefix(cString(v), "TRACE: ")
			parts := strings.Split(strings.TrimSpace(text), ":")
			if !ok || len(parts) != 4 {
				return
			}
			e.table, e.chain = parts[0], parts[1]
			_, err := fmt.Sscan(parts[3], &e.number)
			traced = err == nil
		}
	})
	if !traced {
		return 0, e
	}
	return id, e
}

// flowSocket empties the table of connections.
type flowSocket struct{ fd int }

func newFlowSocket() (*flowSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &flowSocket{fd}, unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (s *flowSocket) close() { unix.Close(s.fd) }

const flowDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

// clear forgets all connections.
func (s *flowSocket) clear() error { return request(s.fd, flowDelete, unix.AF_UNSPEC, nil) }

// forget removes the connection that a packet has made, if there is one.
func (s *flowSocket) forget(p *packet) error {
	err := request(s.fd, flowDelete, byte(p.family()), tupleOf(p))
	if err == unix.ENOENT || err == unix.EINVAL {
		return s.clear() // dropped before it was known, known by other numbers, or none that makes a connection
	}
	return err
}

// answered has a packet's connection seem one that was answered. It reports
// whether there is a connection.
func (s *flowSocket) answered(p *packet) (bool, error) {
	const create, attributeStatus, seenReply, confirmed = unix.NFNL_SUBSYS_CTNETLINK << 8, 3, 2, 8
	attributes := attribute(tupleOf(p), attributeStatus, []byte{0, 0, 0, seenReply | confirmed})
	err := request(s.fd, create, byte(p.family()), attributes)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, err
}

// has tells whether conntrack knows a packet for one of a flow's first direction,
// or for an answer.
func (s *flowSocket) has(p *packet, answer bool) (bool, error) {
	const get, attributeReply = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, 2
	tuple := tupleOf(p)
	if answer {
		tuple[2] = attributeReply // instead of CTA_TUPLE_ORIG
	}
	err := request(s.fd, get, byte(p.family()), tuple)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, err
}

// tupleOf is CTA_TUPLE_ORIG of a packet.
func tupleOf(p *packet) []byte {
	const nested = unix.NLA_F_NESTED
	var ip, proto []byte
	base := uint16(1)
	if p.src.Is6() {
		base = 3
	}
	ip = attribute(ip, base, p.src.AsSlice())
	ip = attribute(ip, base+1, p.dst.AsSlice())
	be16 := func(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
	proto = attribute(proto, 1, []byte{p.proto})
	switch p.proto {
	case protoICMP, protoICMP6:
		first := uint16(4)
		if p.proto == protoICMP6 {
			first = 7
		}
		proto = attribute(proto, first, be16(p.sport))
		proto = attribute(proto, first+1, []byte{byte(p.dport >> 8)})
		proto = attribute(proto, first+2, []byte{byte(p.dport)})
	default:
		proto = attribute(proto, 2, be16(p.sport))
		proto = attribute(proto, 3, be16(p.dport))
	}
	tuple := attribute(attribute(nil, 1|nested, ip), 2|nested, proto)
	return attribute(nil, 1|nested, tuple)
}
