package eval

import "github.com/portwhy/portwhy/rules"

// portMatchers are the matches on transport headers.
var portMatchers = map[string][]matcher{
	"tcp":       {{size: 12, run: matchTCP}},
	"udp":       {{size: 9, run: matchUDP}},
	"udplite":   {{size: 9, run: matchUDP}},
	"multiport": {{rev: 0, size: 32, run: matchMultiport}, {rev: 1, size: 48, run: matchMultiport}},
	"sctp":      {{size: 292, run: matchSCTP}},
	"dccp":      {{size: 15, run: matchDCCP}},
	"icmp":      {{family: rules.IP, size: 4, run: matchICMP}},
	"icmp6":     {{family: rules.IP6, size: 4, run: matchICMP}},
	"esp":       {{size: 9, run: matchESP}},
	"ah":        {{family: rules.IP, size: 9, run: matchAH}},
	"ipcomp":    {{size: 9, run: matchIPComp}},
	"tcpmss":    {{size: 5, run: matchTCPMSS}},
	"mh":        {{family: rules.IP6, size: 3, run: matchMobility}},
	"l2tp":      {{size: 11, run: matchL2TP}},
}

// ports are the conditions on source and destination port, with struct fields
// of two 16-bit integers each.
func (x *probe) ports(source, destination int, notSource, notDestination bool) (answer, answer) {
	at := x.transport
	return x.field(at, 2).in(x.arg16(source), x.arg16(source+2)).unless(notSource),
		x.field(at+2, 2).in(x.arg16(destination), x.arg16(destination+2)).unless(notDestination)
}

// matchTCP is tcp_mt of xt_tcpudp.c.
func matchTCP(x *probe) answer {
	if x.fragment != 0 {
		// A fragment that would overwrite the flags of the first.
		x.hotdrop = x.fragment == 1
		return isNot
	}
	if x.missing(20) {
		return isNot
	}
	inv := x.d[11]
	source, destination := x.ports(0, 4, inv&1 != 0, inv&2 != 0)
	flags := holds(x.packet.Data[x.transport+13]&x.d[9] == x.d[10]).unless(inv&4 != 0)
	a := all(source, destination, flags)
	if x.d[8] == 0 || a == isNot {
		return a
	}
	options, ok := x.tcpOptions()
	if !ok {
		// The kernel looks at the options last: hidden ports leave both open.
		if a.why != "" {
			x.hotdrop = false
			return a
		}
		return isNot
	}
	return all(a, holds(findOption(options, x.d[8])).unless(inv&8 != 0))
}

// tcpOptions are the options of the TCP header; false if it is cut off or
// wrong, for which the kernel drops the packet.
func (x *probe) tcpOptions() ([]byte, bool) {
	d := x.packet.Data[x.transport:]
	length := int(d[12]>>4) * 4
	if length < 20 || length > len(d) {
		x.hotdrop = true
		return nil, false
	}
	return d[20:length], true
}

// findOption is the walk of tcp_find_option and dccp_find_option.
func findOption(options []byte, kind byte) bool {
	for i := 0; i < len(options); {
		if options[i] == kind {
			return true
		}
		i += optionLength(options, i)
	}
	return false
}

func optionLength(options []byte, i int) int {
	if options[i] < 2 || i == len(options)-1 || options[i+1] == 0 {
		return 1
	}
	return int(options[i+1])
}

// matchUDP is udp_mt of xt_tcpudp.c.
func matchUDP(x *probe) answer {
	if x.fragment != 0 || x.missing(8) {
		return isNot
	}
	return all(x.ports(0, 4, x.d[8]&1 != 0, x.d[8]&2 != 0))
}

// matchMultiport is multiport_mt of xt_multiport.c; revision 0 has neither
// ranges nor an inversion.
func matchMultiport(x *probe) answer {
	if x.fragment != 0 || x.missing(4) {
		return isNot
	}
	const bySource, byDestination, either = 0, 1, 2
	source, destination := x.field(x.transport, 2), x.field(x.transport+2, 2)
	found := isNot
	for i := 0; i < int(x.d[1]) && i < 15; i++ {
		low := x.arg16(2 + 2*i)
		high := low
		if x.rev == 1 && x.d[32+i] != 0 && i < 14 {
			i++
			high = x.arg16(2 + 2*i)
		}
		switch x.d[0] {
		case bySource:
			found = anyOf(found, source.in(low, high))
		case byDestination:
			found = anyOf(found, destination.in(low, high))
		case either:
			found = anyOf(found, source.in(low, high), destination.in(low, high))
		}
	}
	return found.unless(x.rev == 1 && x.d[47] != 0)
}

// matchDCCP is dccp_mt of xt_dccp.c. Destination ports come first in its structure.
func matchDCCP(x *probe) answer {
	if x.fragment != 0 || x.missing(12) {
		return isNot
	}
	const ports1, ports2, types, options = 1, 2, 4, 8
	flags, inv := x.arg16(8), x.arg16(10)
	source, destination := x.ports(4, 0, inv&ports1 != 0, inv&ports2 != 0)
	d := x.packet.Data[x.transport:]
	kind := d[8] >> 1 & 15
	a := all(
		when(flags&ports1 != 0, source),
		when(flags&ports2 != 0, destination),
		when(flags&types != 0, holds(x.arg16(12)&(1<<kind) != 0).unless(inv&types != 0)))
	if flags&options == 0 || a == isNot {
		return a
	}
	header := 12 + dccpLengths[kind]
	if d[8]&1 != 0 {
		header += 4
	}
	end := int(d[4]) * 4
	if end < header || end > len(d) && end > header {
		x.hotdrop = a.why == ""
		return a
	}
	return all(a, holds(end > header && findOption(d[header:end], x.d[14])).unless(inv&options != 0))
}

// dccpLengths is what a packet of each type has behind the generic header
// (dccp_packet_hdr_len of linux/dccp.h): for one that there is none of as for a
// reset.
var dccpLengths = [16]int{4, 12, 0, 8, 8, 8, 8, 12, 8, 8, 12, 12, 12, 12, 12, 12}

// when is a condition that counts only if the rule has it.
func when(given bool, a answer) answer {
	if given {
		return a
	}
	return isSo
}

// matchICMP is icmp_match of ip_tables.c and icmp6_match of ip6_tables.c. Type
// 255 stands for any, for IPv4 alone.
func matchICMP(x *probe) answer {
	if x.fragment != 0 || x.missing(8) {
		return isNot
	}
	if x.ext == "icmp" && x.d[0] == 0xff {
		return isSo.unless(x.d[3]&1 != 0)
	}
	kind, code := x.field(x.transport, 1), x.field(x.transport+1, 1)
	return all(kind.is(x.arg8(0), 0xff), code.in(x.arg8(1), x.arg8(2))).unless(x.d[3]&1 != 0)
}

// matchESP is esp_mt of xt_esp.c.
func matchESP(x *probe) answer {
	if x.fragment != 0 || x.missing(8) {
		return isNot
	}
	return x.field(x.transport, 4).in(x.arg32(0), x.arg32(4)).unless(x.d[8]&1 != 0)
}

// matchAH is ah_mt of ipt_ah.c.
func matchAH(x *probe) answer {
	if x.fragment != 0 || x.missing(12) {
		return isNot
	}
	return x.field(x.transport+4, 4).in(x.arg32(0), x.arg32(4)).unless(x.d[8]&1 != 0)
}

// matchIPComp is comp_mt of xt_ipcomp.c.
func matchIPComp(x *probe) answer {
	if x.fragment != 0 || x.missing(4) {
		return isNot
	}
	return x.field(x.transport+2, 2).in(x.arg32(0), x.arg32(4)).unless(x.d[8]&1 != 0)
}

// matchTCPMSS is tcpmss_mt of xt_tcpmss.c.
func matchTCPMSS(x *probe) answer {
	// Of a later fragment the kernel reads what stands there as if it were a header.
	if x.transport+20 > len(x.packet.Data) {
		x.hotdrop = true
		return isNot
	}
	options, ok := x.tcpOptions()
	if !ok {
		return isNot
	}
	const kind, length = 2, 4
	for i := 0; i < len(options); i += optionLength(options, i) {
		if options[i] == kind && len(options)-i >= length && options[i+1] == length {
			mss := uint32(options[i+2])<<8 | uint32(options[i+3])
			return holds(x.arg16(0) <= mss && mss <= x.arg16(2)).unless(x.d[4] != 0)
		}
	}
	return isNot.unless(x.d[4] != 0)
}

// matchMobility is mh_mt6 of ip6t_mh.c.
func matchMobility(x *probe) answer {
	if x.fragment != 0 || x.missing(6) {
		return isNot
	}
	const none = 59
	if x.packet.Data[x.transport] != none {
		x.hotdrop = true
		return isNot
	}
	return x.field(x.transport+2, 1).in(x.arg8(0), x.arg8(1)).unless(x.d[2]&1 != 0)
}

// matchSCTP is sctp_mt of xt_sctp.c. Destination ports come first in its structure.
func matchSCTP(x *probe) answer {
	if x.fragment != 0 || x.missing(12) {
		return isNot
	}
	const ports1, ports2, chunks = 1, 2, 4
	flags, inv := x.arg32(284), x.arg32(288)
	source, destination := x.ports(4, 0, inv&ports1 != 0, inv&ports2 != 0)
	a := all(when(flags&ports1 != 0, source), when(flags&ports2 != 0, destination))
	if flags&chunks == 0 || a == isNot {
		return a
	}
	found := x.sctpChunks()
	if x.hotdrop && a.why != "" {
		x.hotdrop = false
		return a
	}
	return all(a, holds(found).unless(inv&chunks != 0))
}

// sctpChunks is match_packet of xt_sctp.c.
func (x *probe) sctpChunks() bool {
	const anyChunk, allChunks, only = 1, 2, 4
	var left [8]uint32
	wanted := func(m *[8]uint32, kind byte) bool { return m[kind/32]&(1<<(kind%32)) != 0 }
	for i := range left {
		left[i] = x.arg32(8 + 4*i)
	}
	chosen := left
	d := x.packet.Data
	how := x.arg32(264)
	for at := x.transport + 12; ; {
		if at+4 > len(d) || d[at+2] == 0 && d[at+3] == 0 {
			x.hotdrop = true
			return false
		}
		kind, flags := d[at], d[at+1]
		at += (int(d[at+2])<<8 | int(d[at+3]) + 3) &^ 3
		switch {
		case !wanted(&chosen, kind):
			if how == only {
				return false
			}
		case !x.sctpFlags(kind, flags):
			if how == only {
				return false
			}
		case how == anyChunk:
			return true
		default:
			left[kind/32] &^= 1 << (kind % 32)
		}
		if at >= len(d) {
			break
		}
	}
	switch how {
	case allChunks:
		return left == [8]uint32{}
	case only:
		return true
	}
	return false
}

// sctpFlags is match_flags of xt_sctp.c.
func (x *probe) sctpFlags(kind, flags byte) bool {
	for i := 0; i < 4 && i < int(x.arg32(280)); i++ {
		if f := x.d[268+3*i:]; f[0] == kind {
			return flags&f[2] == f[1]
		}
	}
	return true
}

// matchL2TP is l2tp_mt4 and l2tp_mt6 of xt_l2tp.c.
func matchL2TP(x *probe) answer {
	protocol, _ := x.packet.Protocol()
	switch {
	case x.fragment != 0:
		return isNot
	case protocol == protocolUDP:
		return x.l2tpUDP(x.transport + 8)
	case protocol == 115:
		return x.l2tpIP()
	}
	return isNot
}

const (
	l2tpControl = 0
	l2tpData    = 1
)

func (x *probe) l2tpUDP(at int) answer {
	d := x.packet.Data
	if at+2 > len(d) {
		return isNot
	}
	kind := uint32(l2tpData)
	if d[at]&0x80 != 0 {
		kind = l2tpControl
	}
	version := uint32(d[at+1] & 15)
	switch version {
	case 3:
		if at+8 > len(d) {
			return isNot
		}
		id := x.field(at+4, 4).v
		return x.l2tp(id, id, kind, version)
	case 2:
		if d[at]&0x40 != 0 {
			at += 2
		}
		if at+6 > len(d) {
			return isNot
		}
		return x.l2tp(x.field(at+2, 2).v, x.field(at+4, 2).v, kind, version)
	}
	return isNot
}

func (x *probe) l2tpIP() answer {
	at := x.transport
	if at+4 > len(x.packet.Data) {
		return isNot
	}
	if id := x.field(at, 4).v; id != 0 {
		return x.l2tp(0, id, l2tpData, 3)
	}
	if at+12 > len(x.packet.Data) {
		return isNot
	}
	return x.l2tp(x.field(at+8, 4).v, 0, l2tpControl, 3)
}

// l2tp is l2tp_match of xt_l2tp.c.
func (x *probe) l2tp(tunnel, session, kind, version uint32) answer {
	const byTunnel, bySession, byVersion, byType = 1, 2, 4, 8
	flags := x.d[10]
	switch {
	case flags&byType != 0 && x.arg8(9) != kind,
		flags&byVersion != 0 && x.arg8(8) != version,
		flags&byTunnel != 0 && (kind == l2tpControl || version == 2) && x.arg32(0) != tunnel,
		flags&bySession != 0 && kind == l2tpData && x.arg32(4) != session:
		return isNot
	}
	return isSo
}
