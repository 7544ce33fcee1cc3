//go:build linux

package linux

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand"
	"net/netip"
	"slices"

	"github.com/portwhy/portwhy/rules/eval"
)

// ip4 makes an IPv4 packet; edit changes the header before its checksum.
func ip4(src, dst string, protocol byte, body []byte, edit func(h []byte)) []byte {
	h := []byte{0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0}
	h = append(h, netip.MustParseAddr(src).AsSlice()...)
	h = append(h, netip.MustParseAddr(dst).AsSlice()...)
	put16(h, 2, uint16(20+len(body)))
	if edit != nil {
		edit(h)
	}
	put16(h, 10, sum(h))
	return append(h, checked(h[12:20], protocol, slices.Clone(body))...)
}

// ip6 makes an IPv6 packet with extension headers in front of the body; the last
// of them says the body's protocol.
func ip6(src, dst string, next, protocol byte, headers, body []byte, edit func(h []byte)) []byte {
	h := make([]byte, 8, 40)
	h[0], h[6], h[7] = 0x60, next, 64
	h = append(h, netip.MustParseAddr(src).AsSlice()...)
	h = append(h, netip.MustParseAddr(dst).AsSlice()...)
	put16(h, 4, uint16(len(headers)+len(body)))
	body = checked(h[8:40], protocol, slices.Clone(body))
	if edit != nil {
		edit(h)
	}
	return append(append(h, headers...), body...)
}

// checked fills the checksum of a transport header in.
func checked(addresses []byte, protocol byte, l4 []byte) []byte {
	at := map[byte]int{6: 16, 17: 6, 136: 6, 33: 6, 1: 2, 58: 2}[protocol]
	if at == 0 || at+2 > len(l4) {
		return l4
	}
	put16(l4, at, 0)
	pseudo := binary.BigEndian.AppendUint32(nil, uint32(len(l4)))
	pseudo = append(append(pseudo, 0, 0, 0, protocol), addresses...)
	if protocol == 1 {
		pseudo = nil
	}
	return put16(l4, at, sum(pseudo, l4))
}

func udpBytes(sport, dport uint16, body string) []byte {
	return append([]byte{byte(sport >> 8), byte(sport), byte(dport >> 8), byte(dport), 0, byte(8 + len(body)), 0, 0}, body...)
}

func tcpBytes(sport, dport uint16, flags byte, options []byte, body string) []byte {
	h := make([]byte, 20)
	put16(put16(h, 0, sport), 2, dport)
	h[7], h[12], h[13], h[14] = 1, byte(20+len(options))/4<<4, flags, 0xff
	return append(append(h, options...), body...)
}

// bodies are transport headers with what they carry, by a name; each has ports of
// its own so that it starts a flow.
func bodies(dport uint16, base uint16) []struct {
	name     string
	protocol byte
	data     []byte
} {
	mss := []byte{2, 4, 5, 0xb4}
	small := []byte{2, 4, 2, 0x58, 1, 1, 4, 2}
	sctp := func(nth uint16, tag byte, chunks ...byte) []byte {
		b := put16(put16(make([]byte, 12, 64), 0, base+nth), 2, dport)
		b[7] = tag
		b = append(b, chunks...)
		binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		return b
	}
	dccp := func(kind byte, options ...byte) []byte {
		h := []byte{byte(base >> 8), byte(base + 1), byte(dport >> 8), byte(dport), byte(20+len(options)) / 4, 0, 0, 0, kind<<1 | 1, 0, 0, 0, 0, 0, 0, 1}
		return append(append(h, 0, 0, 0, 5), options...)
	}
	return []struct {
		name     string
		protocol byte
		data     []byte
	}{
		{"udp", 17, udpBytes(base, dport, "hello port")},
		{"udp elsewhere", 17, udpBytes(base+1, 5002, "Portwhy, or PORT, is what stands here and it is long enough to be over a limit of 60")},
		{"udp empty", 17, udpBytes(base+2, 9, "")},
		{"syn", 6, tcpBytes(base, dport, 2, mss, "")},
		{"syn small", 6, tcpBytes(base+3, 80, 2, small, "")},
		{"syn bare", 6, tcpBytes(1500, dport, 2, nil, "")},
		{"syn with data", 6, tcpBytes(base+4, dport, 0xc2, []byte{3, 3, 7, 0}, "port")},
		{"ack", 6, tcpBytes(base+5, dport, 0x10, nil, "data port")},
		{"synack", 6, tcpBytes(base+6, dport, 0x12, mss, "")},
		{"null", 6, tcpBytes(base+7, dport, 0, nil, "")},
		{"xmas", 6, tcpBytes(base+8, dport, 0x29, nil, "")},
		{"rst", 6, tcpBytes(base+9, dport, 4, nil, "")},
		{"tcp wrong offset", 6, put16(tcpBytes(base+10, dport, 2, mss, ""), 12, 0xf002)},
		{"tcp cut off", 6, tcpBytes(base+11, dport, 2, nil, "")[:15]},
		{"udp cut off", 17, udpBytes(base+3, dport, "")[:5]},
		{"init", 132, sctp(0, 0, 1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 16, 0, 0, 1, 0, 1, 0, 0, 0, 1)},
		{"sctp data", 132, sctp(1, 1, 0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x', 0, 0, 0)},
		{"sctp two chunks", 132, sctp(2, 1, 3, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x', 0, 0, 0)},
		{"dccp request", 33, dccp(0)},
		{"dccp data", 33, dccp(2, 37, 4, 1, 2)},
		{"dccp options", 33, dccp(0, 1, 1, 37, 4, 1, 2, 0, 0)},
		{"esp", 50, []byte{0, 0, 0, 3, 0, 0, 0, 1, 1, 2, 3, 4}},
		{"ipcomp", 108, []byte{4, 0, 0, 2, 1, 2, 3, 4}},
		{"gre", 47, []byte{0, 0, 8, 0, 1, 2, 3, 4}},
		{"unknown protocol", 253, []byte("port and more bytes")},
	}
}

// frames4 are IPv4 packets to this host and through it.
func frames4(stateful bool) (list []frame) {
	base := uint16(6000)
	for _, way := range []eval.Way{eval.In, eval.Forward} {
		dst := map[eval.Way]string{eval.In: "192.0.2.1", eval.Forward: "198.51.100.2"}[way]
		add := func(name string, data []byte) {
			list = append(list, frame{name: fmt.Sprintf("%s %s", way, name), way: way, data: data})
		}
		for i, b := range bodies(5001, base) {
			from := "192.0.2.99"
			if b.protocol == 33 { // without ports its packets are one flow
				from = fmt.Sprintf("192.0.2.%d", 100+i)
			}
			add(b.name, ip4(from, dst, b.protocol, b.data, nil))
		}
		add("echo", ip4("192.0.2.99", dst, 1, []byte{8, 0, 0, 0, 1, 2, 0, 1, 'x', 'y'}, nil))
		add("stray reply", ip4("192.0.2.99", dst, 1, []byte{0, 0, 0, 0, 1, 3, 0, 1, 'x', 'y'}, nil))
		add("ah", ip4("192.0.2.99", dst, 51, []byte{17, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1}, nil))
		add("ah cut off", ip4("192.0.2.99", dst, 51, []byte{17, 1, 0, 0}, nil))
		for i, tos := range []byte{0x28, 1, 0xb9, 3} {
			add(fmt.Sprintf("tos %#x", tos), ip4("192.0.2.99", dst, 17, udpBytes(base+100+uint16(i), 5001, "tos"), func(h []byte) { h[1] = tos }))
		}
		for i, ttl := range []byte{3, 65, 255} {
			add(fmt.Sprintf("ttl %d", ttl), ip4("192.0.2.60", dst, 17, udpBytes(base+110+uint16(i), 5001, "ttl"), func(h []byte) { h[8] = ttl }))
		}
		add("from elsewhere", ip4("203.0.113.5", dst, 17, udpBytes(base, 5001, "x"), nil))
		add("from this host's network", ip4("198.51.100.7", dst, 17, udpBytes(base, 5001, "x"), nil))
		if !stateful && way == eval.Forward { // fragments for this host are put together before INPUT
			add("first fragment", ip4("192.0.2.99", dst, 17, udpBytes(base+200, 5001, "12345678"), func(h []byte) { h[6] = 0x20 }))
			add("later fragment", ip4("192.0.2.99", dst, 17, []byte("porthere12345678"), func(h []byte) { h[7] = 2 }))
			add("later fragment of tcp", ip4("192.0.2.99", dst, 6, []byte("port here 12345678 and more"), func(h []byte) { h[7] = 2 }))
			add("fragment that overwrites", ip4("192.0.2.99", dst, 6, []byte("port here 12345678 and more"), func(h []byte) { h[7] = 1 }))
		}
		base += 1000
	}
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x77, 8, 0}
	multicast := []byte{1, 0, 0x5e, 0, 0, 5, 2, 0, 0, 0, 0, 0x99, 8, 0}
	return append(list,
		frame{"broadcast", eval.In, broadcast, ip4("192.0.2.99", "192.0.2.255", 17, udpBytes(9000, 5001, "x"), nil)},
		frame{"limited broadcast", eval.In, broadcast, ip4("192.0.2.99", "255.255.255.255", 17, udpBytes(9001, 5001, "x"), nil)},
		frame{"to all hosts", eval.In, multicast, ip4("192.0.2.99", "224.0.0.1", 17, udpBytes(9002, 5001, "x"), nil)},
		frame{"one address by multicast", eval.In, multicast, ip4("192.0.2.99", "192.0.2.1", 17, udpBytes(9003, 5001, "x"), nil)})
}

// frames6 are IPv6 packets to this host and through it.
func frames6(stateful bool) (list []frame) {
	const src = "2001:db8:1::99"
	a7, a8 := netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::8").AsSlice()
	sa, sb := netip.MustParseAddr("2001:db8::a").AsSlice(), netip.MustParseAddr("2001:db8::b").AsSlice()
	base := uint16(6000)
	for _, way := range []eval.Way{eval.In, eval.Forward} {
		dst := map[eval.Way]string{eval.In: "2001:db8:1::1", eval.Forward: "2001:db8:2::2"}[way]
		add := func(name string, data []byte) {
			list = append(list, frame{name: fmt.Sprintf("%s %s", way, name), way: way, data: data})
		}
		for i, b := range bodies(5001, base) {
			from := src
			if b.protocol == 33 {
				from = fmt.Sprintf("2001:db8:1::%d", 100+i)
			}
			add(b.name, ip6(from, dst, b.protocol, b.protocol, nil, b.data, nil))
		}
		add("echo", ip6(src, dst, 58, 58, nil, []byte{128, 0, 0, 0, 1, 2, 0, 1, 'x', 'y'}, nil))
		add("stray reply", ip6(src, dst, 58, 58, nil, []byte{129, 0, 0, 0, 1, 3, 0, 1, 'x', 'y'}, nil))
		body := func(n uint16) []byte { return udpBytes(base+100+n, 5001, "port behind headers") }
		add("hop by hop", ip6(src, dst, 0, 17, []byte{17, 0, 5, 2, 0, 1, 1, 0}, body(0), nil))
		add("destination options", ip6(src, dst, 60, 17, []byte{17, 0, 1, 4, 0, 0, 0, 0}, body(1), nil))
		add("long destination options", ip6(src, dst, 60, 17, []byte{17, 1, 1, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0}, body(2), nil))
		add("ah", ip6(src, dst, 51, 17, []byte{17, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0}, body(3), nil))
		add("ah with reserved bits", ip6(src, dst, 51, 17, []byte{17, 2, 0, 9, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0}, body(4), nil))
		add("routing 0", ip6(src, dst, 43, 17, slices.Concat([]byte{17, 2, 0, 0, 0, 0, 0, 0}, a7), body(5), nil))
		add("routing 0 with two", ip6(src, dst, 43, 17, slices.Concat([]byte{17, 4, 0, 1, 0, 0, 0, 0}, a7, a8), body(6), nil))
		add("routing 2", ip6(src, dst, 43, 17, slices.Concat([]byte{17, 2, 2, 1, 0, 0, 0, 0}, a7), body(7), nil))
		add("segments", ip6(src, dst, 43, 17, slices.Concat([]byte{17, 4, 4, 1, 1, 0, 0, 7}, sa, sb), body(8), nil))
		add("segments at the end", ip6(src, dst, 43, 17, slices.Concat([]byte{17, 4, 4, 0, 1, 0, 0, 8}, sa, sb), body(9), nil))
		add("no next header", ip6(src, dst, 59, 59, nil, []byte("port"), nil))
		add("mobility", ip6(src, dst, 135, 135, nil, []byte{59, 0, 1, 0, 0, 0, 0, 0}, nil))
		add("mobility with more", ip6(src, dst, 135, 135, nil, []byte{17, 0, 1, 0, 0, 0, 0, 0}, nil))
		add("headers cut off", ip6(src, dst, 60, 60, nil, []byte{17}, nil))
		add("header longer than the packet", ip6(src, dst, 60, 60, nil, []byte{17, 9, 1, 4, 0, 0, 0, 0}, nil))
		for i, class := range []byte{0x28, 1, 0xb9, 3} {
			add(fmt.Sprintf("class %#x", class), ip6(src, dst, 17, 17, nil, body(20+uint16(i)), func(h []byte) { h[0], h[1] = 0x60|class>>4, class<<4 }))
		}
		for i, hops := range []byte{3, 65} {
			add(fmt.Sprintf("hops %d", hops), ip6("2001:db8:1::60", dst, 17, 17, nil, body(30+uint16(i)), func(h []byte) { h[7] = hops }))
		}
		add("with the MAC in its address", ip6("2001:db8:1:0:0:00ff:fe00:99", dst, 17, 17, nil, body(40), nil))
		add("from elsewhere", ip6("2001:db8:9::1", dst, 17, 17, nil, body(41), nil))
		if !stateful && way == eval.Forward { // fragments for this host are put together before INPUT
			add("first fragment", ip6(src, dst, 44, 17, []byte{17, 0, 0, 1, 0, 0, 0, 50}, body(50), nil))
			add("later fragment", ip6(src, dst, 44, 0, []byte{17, 0, 0, 16, 0, 0, 0, 60}, []byte("port here 12345678"), nil))
			add("later fragment of tcp", ip6(src, dst, 44, 0, []byte{6, 0, 0, 17, 0, 0, 1, 60}, []byte("port here 12345678 and more."), nil))
			add("reserved bits of a fragment", ip6(src, dst, 44, 17, []byte{17, 1, 0, 7, 0, 0, 0, 70}, body(51), nil))
		}
		base += 1000
	}
	multicast := []byte{0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x99, 0x86, 0xdd}
	return append(list, frame{"to all nodes", eval.In, multicast, ip6(src, "ff02::1", 17, 17, nil, udpBytes(9002, 5001, "x"), nil)})
}

var (
	frameSeed  = flag.Int64("frame-seed", 1, "seed of the packets with random changes that iptables' matches are compared on")
	frameCount = flag.Int("frame-count", 30, "how many packets with random changes iptables' matches are compared on")
)

// changed are packets of a list with bytes behind the addresses changed at
// random, or cut off.
func changed(list []frame, six, stateful bool) (odd []frame) {
	r := rand.New(rand.NewSource(*frameSeed))
	start := 20
	if six {
		start = 40
	}
	for len(odd) < *frameCount {
		f := list[r.Intn(len(list))]
		f.name, f.data = fmt.Sprintf("changed %s %d", f.name, len(odd)), slices.Clone(f.data)
		for range 1 + r.Intn(3) {
			if at := start + r.Intn(len(f.data)-start+1); at < len(f.data) {
				f.data[at] = []byte{0, 1, 0xff, 6, 17, byte(r.Intn(256))}[r.Intn(6)]
			}
		}
		if r.Intn(4) == 0 {
			f.data = f.data[:start+r.Intn(len(f.data)-start+1)]
		}
		if six {
			put16(f.data, 4, uint16(len(f.data)-40))
			if r.Intn(6) == 0 {
				f.data[6] = []byte{0, 43, 44, 51, 59, 60, 50, 135, 6, 17, 58}[r.Intn(11)]
			}
		} else {
			put16(f.data, 2, uint16(len(f.data)))
			if r.Intn(6) == 0 {
				f.data[9] = []byte{1, 6, 17, 33, 50, 51, 108, 132, 2, 0}[r.Intn(10)]
			}
			put16(put16(f.data, 10, 0), 10, sum(f.data[:20]))
		}
		if six && f.data[6] == 0 {
			continue // the kernel looks at options of hop by hop before any rule does
		}
		if stateful { // of a flow of its own, with a checksum that is right
			if six && !slices.Contains([]byte{6, 17, 58, 33, 59, 50, 135}, f.data[6]) || !six && f.data[9] == 132 || f.link != nil {
				continue
			}
			from, to, protocol := 12, 20, f.data[start-11]
			if six {
				from, to, protocol = 8, 40, f.data[6]
			}
			n := len(odd)
			f.data[start-1-(to-from)/2] = byte(2 + n%90)
			if six {
				f.data[22] = byte(0x80 + n/90)
			}
			if !six {
				if n >= 120 {
					return odd
				}
				f.data[15] = byte(130 + n)
				put16(put16(f.data, 10, 0), 10, sum(f.data[:20]))
			}
			f.data = append(f.data[:start:start], checked(f.data[from:to], protocol, f.data[start:])...)
		}
		odd = append(odd, f)
	}
	return odd
}
