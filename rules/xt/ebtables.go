package xt

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of linux/netfilter_bridge/ebt_*.h: extensions of ebtables, written as
// ebtables-save 1.8.9 does. Text is not read.

// bridgeText is an extension of ebtables in words: its options, behind -j and its
// name if it is a target. Log and nflog are options of a rule, too.
func bridgeText(tables map[string]bridgeExtension, ext string, rev uint8, data []byte) (string, bool) {
	e, ok := tables[ext]
	if !ok || rev != 0 || len(data) < e.size {
		return "", false
	}
	w := &bridgeWriter{blob: &blob{d: data, family: rules.Bridge}}
	e.write(w)
	return strings.Join(w.words, " "), !w.wordless && len(w.words) > 0
}

type bridgeExtension struct {
	size  int
	write func(w *bridgeWriter)
}

var bridgeMatches = map[string]bridgeExtension{
	"802_3": {6, func(w *bridgeWriter) {
		w.bits(4)
		w.asked(1, "--802_3-sap", fmt.Sprintf("0x%02X", w.d[0]))
		w.asked(2, "--802_3-type", fmt.Sprintf("0x%04X", w.net16(2)))
	}},
	"arp":    {50, bridgeARP},
	"ip":     {28, bridgeIP},
	"ip6":    {76, bridgeIP6},
	"mark_m": {18, bridgeMark},
	"pkttype": {2, func(w *bridgeWriter) {
		w.flags, w.inverted = 1, w.d[1]
		w.named("--pkttype-type", uint64(w.d[0]), []name{{"host", 0}, {"broadcast", 1}, {"multicast", 2}, {"otherhost", 3}, {"outgoing", 4}, {"loopback", 5}, {"fastroute", 6}})
	}},
	"stp": {72, func(w *bridgeWriter) {
		w.flags, w.inverted = byte(w.u16(68)), byte(w.u16(70))
		w.wordless = w.u16(68) != 1 // what a bridge tells of itself has no words here
		w.named("--stp-type", uint64(w.d[0]), []name{{"config", 0}, {"tcn", 128}})
	}},
	"vlan": {8, func(w *bridgeWriter) {
		w.bits(6)
		w.asked(1, "--vlan-id", strconv.Itoa(int(w.u16(0))))
		w.asked(2, "--vlan-prio", strconv.Itoa(int(w.d[2])))
		w.asked(4, "--vlan-encap", fmt.Sprintf("%04X", w.net16(4)))
	}},
}

var bridgeTargets = map[string]bridgeExtension{
	"arpreply": {12, func(w *bridgeWriter) {
		w.add("-j arpreply --arpreply-mac", w.mac(0))
		w.verdict("--arpreply-target", 8, "DROP")
	}},
	"dnat": {12, func(w *bridgeWriter) {
		w.add("-j dnat --to-dst", w.mac(0))
		w.verdict("--dnat-target", 8, "")
	}},
	"snat": {12, func(w *bridgeWriter) {
		w.add("-j snat --to-src", w.mac(0))
		if w.u32(8)&16 == 0 { // NAT_ARP_BIT
			w.add("--snat-arp")
		}
		w.verdict("--snat-target", 8, "")
	}},
	"mark": {12, func(w *bridgeWriter) {
		action, ok := map[uint32]string{^uint32(15): "set", ^uint32(31): "or", ^uint32(47): "and", ^uint32(63): "xor"}[w.u32(8)&^15]
		w.wordless = !ok
		w.add("-j mark --mark-"+action, fmt.Sprintf("0x%x", w.uint(0, 8)))
		w.verdict("--mark-target", 8, "")
	}},
	"redirect": {4, func(w *bridgeWriter) {
		w.add("-j redirect")
		w.verdict("--redirect-target", 0, "ACCEPT")
	}},
	"log": {36, func(w *bridgeWriter) {
		w.flags = 1
		w.named("--log-level", uint64(w.d[0]), []name{{"emerg", 0}, {"alert", 1}, {"crit", 2}, {"error", 3}, {"warning", 4}, {"notice", 5}, {"info", 6}, {"debug", 7}})
		w.prefix("--log-prefix", 1, 30)
		for _, x := range []name{{"--log-ip", 1}, {"--log-arp", 2}, {"--log-ip6", 8}} {
			if uint64(w.u32(32))&x.v != 0 {
				w.add(x.text)
			}
		}
	}},
	"nflog": {76, func(w *bridgeWriter) {
		w.prefix("--nflog-prefix", 12, 64)
		w.add("--nflog-group", strconv.Itoa(int(w.u16(4))))
		if n := w.u32(0); n != 0 {
			w.add("--nflog-range", strconv.Itoa(int(n)))
		}
		if n := w.u16(6); n != 1 { // EBT_NFLOG_DEFAULT_THRESHOLD
			w.add("--nflog-threshold", strconv.Itoa(int(n)))
		}
	}},
}

// bridgeWriter gathers words. flags has a bit for each option that is asked, and
// inverted for each that is not to hold.
type bridgeWriter struct {
	*blob
	words           []string
	flags, inverted byte
	wordless        bool // something has no words
}

func (w *bridgeWriter) add(words ...string) { w.words = append(w.words, words...) }

// bits reads flags and inverted, which stand side by side.
func (w *bridgeWriter) bits(at int) { w.flags, w.inverted = w.d[at], w.d[at+1] }

func (w *bridgeWriter) asked(bit byte, option, value string) {
	switch {
	case w.flags&bit == 0:
	case w.inverted&bit != 0:
		w.add(option, "!", value)
	default:
		w.add(option, value)
	}
}

// named is an option whose bit is the first.
func (w *bridgeWriter) named(option string, v uint64, names []name) {
	s, ok := nameOf(names, v)
	if !ok {
		s = strconv.FormatUint(v, 10)
	}
	w.asked(1, option, s)
}

func (w *bridgeWriter) prefix(option string, at, size int) {
	s := w.string(at, size)
	w.wordless = w.wordless || strings.ContainsAny(s, "\"\n")
	if s != "" {
		w.add(option, `"`+s+`"`)
	}
}

// verdict is what becomes of the frame then, EBT_* without the bits of the target's
// own; it is not written if it is the usual.
func (w *bridgeWriter) verdict(option string, at int, usual string) {
	s, ok := nameOf([]name{{"ACCEPT", 1}, {"DROP", 2}, {"CONTINUE", 3}, {"RETURN", 4}}, uint64(-(w.u32(at) | ^uint32(15))))
	w.wordless = w.wordless || !ok
	if s != usual {
		w.add(option, s)
	}
}

func (w *bridgeWriter) mac(at int) string {
	s, _ := mac(at).print(w.blob)
	return s
}

// address is an address of size bytes with its mask.
func (w *bridgeWriter) address(at, mask, size int) string {
	b := *w.blob
	if b.family = rules.IP; size == 16 {
		b.family = rules.IP6
	}
	b.d = make([]byte, 32)
	copy(b.d, w.d[at:at+size])
	copy(b.d[16:], w.d[mask:mask+size])
	s, _ := network(0, 16).print(&b)
	return s
}

func (w *bridgeWriter) span(at, size int) string {
	from, to := w.uint(at, size), w.uint(at+size, size)
	if from == to {
		return strconv.FormatUint(from, 10)
	}
	return fmt.Sprintf("%d:%d", from, to)
}

func (w *bridgeWriter) protocol(at int) string {
	if w.d[at] == 58 {
		return "ipv6-icmp"
	}
	if s, ok := nameOf(protocols, uint64(w.d[at])); ok {
		return s
	}
	return strconv.Itoa(int(w.d[at]))
}

// icmp are a range of types and, 4 bytes behind it, one of codes.
func (w *bridgeWriter) icmp(at int, names []icmpName) string {
	for _, n := range names {
		if w.d[at] == n.typ && w.d[at+1] == n.typ && w.d[at+4] == n.from && w.d[at+5] == n.to && n.text != "any" {
			return n.text
		}
	}
	s := w.span(at, 1)
	if w.d[at+4] != 0 || w.d[at+5] != 255 {
		s += "/" + w.span(at+4, 1)
	}
	return s
}

func bridgeIP(w *bridgeWriter) {
	w.bits(18)
	w.asked(1, "--ip-src", w.address(0, 8, 4))
	w.asked(2, "--ip-dst", w.address(4, 12, 4))
	w.asked(4, "--ip-tos", fmt.Sprintf("0x%02X", w.d[16]))
	w.asked(8, "--ip-proto", w.protocol(17))
	w.asked(16, "--ip-sport", w.span(20, 2))
	w.asked(32, "--ip-dport", w.span(24, 2))
	w.asked(64, "--ip-icmp-type", w.icmp(20, icmpTypes))
	kind, ok := nameOf([]name{{"membership-query", 0x11}, {"membership-report-v1", 0x12}, {"membership-report-v2", 0x16}, {"leave-group", 0x17}, {"membership-report-v3", 0x22}}, uint64(w.d[20]))
	if !ok || w.d[20] != w.d[21] {
		kind = w.span(20, 1)
	}
	w.asked(128, "--ip-igmp-type", kind)
}

func bridgeIP6(w *bridgeWriter) {
	w.bits(66)
	w.asked(1, "--ip6-src", w.address(0, 32, 16))
	w.asked(2, "--ip6-dst", w.address(16, 48, 16))
	w.asked(4, "--ip6-tclass", fmt.Sprintf("0x%02X", w.d[64]))
	w.asked(8, "--ip6-proto", w.protocol(65))
	w.asked(16, "--ip6-sport", w.span(68, 2))
	w.asked(32, "--ip6-dport", w.span(72, 2))
	w.asked(64, "--ip6-icmp-type", w.icmp(68, icmp6Types))
}

var arpOperations = []name{{"Request", 1}, {"Reply", 2}, {"Request_Reverse", 3}, {"Reply_Reverse", 4}, {"DRARP_Request", 5}, {"DRARP_Reply", 6},
	{"DRARP_Error", 7}, {"InARP_Request", 8}, {"ARP_NAK", 9}}

func bridgeARP(w *bridgeWriter) {
	const gratuitous = 128
	w.bits(48)
	operation, ok := nameOf(arpOperations, uint64(w.net16(4)))
	if !ok {
		operation = strconv.Itoa(int(w.net16(4)))
	}
	w.asked(1, "--arp-op", operation)
	w.asked(2, "--arp-htype", strconv.Itoa(int(w.net16(0))))
	w.asked(4, "--arp-ptype", fmt.Sprintf("0x%x", w.net16(2)))
	w.asked(8, "--arp-ip-src", w.address(8, 12, 4))
	w.asked(16, "--arp-ip-dst", w.address(16, 20, 4))
	w.asked(32, "--arp-mac-src", w.maskedMAC(24))
	w.asked(64, "--arp-mac-dst", w.maskedMAC(36))
	if w.flags&gratuitous != 0 {
		if w.inverted&gratuitous != 0 {
			w.add("!")
		}
		w.add("--arp-gratuitous")
	}
}

// maskedMAC is an address and, behind it, its mask.
func (w *bridgeWriter) maskedMAC(at int) string {
	if bytes.Count(w.d[at+6:at+12], []byte{0xff}) == 6 {
		return w.mac(at)
	}
	return w.mac(at) + "/" + w.mac(at+6)
}

// bridgeMark is of longs; the mask of a mark that is asked whole has 32 bits.
func bridgeMark(w *bridgeWriter) {
	mark, mask := w.uint(0, 8), w.uint(8, 8)
	s := fmt.Sprintf("0x%x/0x%x", mark, mask)
	switch {
	case w.d[17]&2 != 0: // any of the bits
		s = fmt.Sprintf("/0x%x", mask)
	case mask == 0xffffffff:
		s = fmt.Sprintf("0x%x", mark)
	}
	w.flags, w.inverted = 1, w.d[16]
	w.asked(1, "--mark", s)
}
