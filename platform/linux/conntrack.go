//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// The parts of linux/netfilter/nfnetlink_conntrack.h that are asked for.
const (
	ctGet = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET

	ctaTupleOrig  = 1
	ctaTupleReply = 2
	ctaStatus     = 3
	ctaProtoInfo  = 4
	ctaTimeout    = 7
	ctaZone       = 18
	ctaFilter     = 25

	ctaTupleIP    = 1
	ctaTupleProto = 2

	ctaProtoNum     = 1
	ctaProtoSrcPort = 2
	ctaProtoDstPort = 3

	// Of CTA_FILTER: which parts of the tuple count (nf_internals.h). Kernels
	// before 5.8 list all flows.
	filterOrig  = 1
	filterReply = 2
	filterEnds  = 1<<0 | 1<<1 | 1<<3 | 1<<5 // both addresses, protocol, destination port

	statusSeenReply = 1 << 1
	statusAssured   = 1 << 2

	// mostListed bounds how many flows of a kernel without filter are looked at.
	mostListed = 1 << 20
)

// tcpTracked are the states of enum tcp_conntrack.
var tcpTracked = []string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}

var trackedProtocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}

// Tracked asks ctnetlink for one flow, or for those from any port of an address.
func (h *Host) Tracked(ctx context.Context, q host.TrackQuery) ([]host.Tracked, error) {
	list, err := h.tracked(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list tracked flows from %s to %s: %w", q.Source, q.Destination, err)
	}
	return list, nil
}

func (h *Host) tracked(ctx context.Context, q host.TrackQuery) (list []host.Tracked, err error) {
	protocol, ok := trackedProtocols[q.Network]
	if !ok {
		return nil, host.ErrUnsupported
	}
	c, err := h.nfnetlink("nf_conntrack_netlink")
	if err != nil {
		return nil, err
	}
	defer c.close()
	body := trackBody(q, protocol)
	if q.Source.Port() != 0 {
		// The answer looks like one of several; only the acknowledgement ends it.
		replies, _, err := c.exchange(ctx, ctGet, unix.NLM_F_REQUEST|unix.NLM_F_ACK, body)
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, r := range replies {
			t, err := parseTracked(r.data)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
		}
		return list, nil
	}
	seen := 0
	_, err = c.each(ctx, ctGet, body, func(r reply) error {
		if seen++; seen > mostListed {
			return errEnough
		}
		t, err := parseTracked(r.data)
		if err != nil {
			return err
		}
		if t.Network == q.Network && t.Source.Addr() == q.Source.Addr() && t.Destination == q.Destination {
			list = append(list, t)
		}
		if len(list) == host.MostTracked {
			return errEnough
		}
		return nil
	})
	if err != nil && err != errEnough {
		return nil, err
	}
	return list, nil
}

// trackBody is a request for a flow by its first packet. A source without a port
// makes it one for a filter.
func trackBody(q host.TrackQuery, protocol uint8) []byte {
	family, from := byte(unix.AF_INET), uint16(1)
	if q.Source.Addr().Is6() {
		family, from = unix.AF_INET6, 3
	}
	ip := putAttribute(nil, from, q.Source.Addr().AsSlice())
	ip = putAttribute(ip, from+1, q.Destination.Addr().AsSlice())
	ports := putAttribute(nil, ctaProtoNum, []byte{protocol})
	ports = putAttribute(ports, ctaProtoSrcPort, binary.BigEndian.AppendUint16(nil, q.Source.Port()))
	ports = putAttribute(ports, ctaProtoDstPort, binary.BigEndian.AppendUint16(nil, q.Destination.Port()))
	tuple := putAttribute(nil, unix.NLA_F_NESTED|ctaTupleIP, ip)
	tuple = putAttribute(tuple, unix.NLA_F_NESTED|ctaTupleProto, ports)
	body := putAttribute([]byte{family, unix.NFNETLINK_V0, 0, 0}, unix.NLA_F_NESTED|ctaTupleOrig, tuple)
	if q.Source.Port() == 0 {
		filter := putUint32(nil, filterOrig, filterEnds)
		body = putAttribute(body, unix.NLA_F_NESTED|ctaFilter, putUint32(filter, filterReply, 0))
	}
	return body
}

// parseTracked reads a message of ctnetlink: struct nfgenmsg and attributes.
func parseTracked(b []byte) (t host.Tracked, err error) {
	var r reader
	_, b = r.header("nfgenmsg", b, 4)
	for kind, v := range r.attributes(b) {
		switch kind {
		case ctaTupleOrig:
			t.Network, t.Source, t.Destination = r.tuple(v)
		case ctaTupleReply:
			_, t.ReplySource, t.ReplyDestination = r.tuple(v)
		case ctaStatus:
			status := r.big32("CTA_STATUS", v)
			t.Answered, t.Assured = status&statusSeenReply != 0, status&statusAssured != 0
		case ctaTimeout:
			t.Expires = time.Duration(r.big32("CTA_TIMEOUT", v)) * time.Second
		case ctaZone:
			t.Zone = r.big16("CTA_ZONE", v)
		case ctaProtoInfo:
			for kind, v := range r.attributes(v) {
				if kind != 1 { // CTA_PROTOINFO_TCP
					continue
				}
				for kind, v := range r.attributes(v) {
					if n := r.u8("CTA_PROTOINFO_TCP_STATE", v); kind == 1 && int(n) < len(tcpTracked) {
						t.State = tcpTracked[n]
					}
				}
			}
		}
	}
	return t, r.err
}

// tuple reads the ends of a packet.
func (r *reader) tuple(b []byte) (network string, src, dst netip.AddrPort) {
	var from, to netip.Addr
	var sport, dport uint16
	for kind, v := range r.attributes(b) {
		for part, v := range r.attributes(v) {
			switch {
			case kind == ctaTupleIP && (part == 1 || part == 3):
				from = r.address("CTA_IP_SRC", v)
			case kind == ctaTupleIP && (part == 2 || part == 4):
				to = r.address("CTA_IP_DST", v)
			case kind == ctaTupleProto && part == ctaProtoNum:
				n := r.u8("CTA_PROTO_NUM", v)
				for name, number := range trackedProtocols {
					if number == n {
						network = name
					}
				}
			case kind == ctaTupleProto && part == ctaProtoSrcPort:
				sport = r.big16("CTA_PROTO_SRC_PORT", v)
			case kind == ctaTupleProto && part == ctaProtoDstPort:
				dport = r.big16("CTA_PROTO_DST_PORT", v)
			}
		}
	}
	return network, netip.AddrPortFrom(from, sport), netip.AddrPortFrom(to, dport)
}
