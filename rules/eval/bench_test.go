package eval

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// Loads, which rules share when they are read.
var (
	loadSource = &rules.Payload{Base: 1, Offset: 12, Len: 4}
	loadPort   = &rules.Payload{Base: 2, Offset: 2, Len: 2}
	loadL4     = &rules.Meta{Key: metaL4}
	loadFamily = &rules.Meta{Key: metaNFProto}
)

// benchRules are rules that don't match: some break off at the address, the
// others only at the port.
var benchRules = []struct {
	name string
	tcp  bool // the packet
	make func(i int) rule
}{
	{"nft ip, saddr then dport", false, func(i int) rule {
		return rule{loadSource, &rules.Cmp{Data: binary.BigEndian.AppendUint32(nil, 10<<24|uint32(i))},
			loadL4, &rules.Cmp{Data: []byte{17}}, loadPort, &rules.Cmp{Data: u16(uint16(i))}, accept}
	}},
	{"nft ip, dport", false, func(i int) rule {
		return rule{loadL4, &rules.Cmp{Data: []byte{17}}, loadPort, &rules.Cmp{Data: u16(uint16(6000 + i%50000))}, accept}
	}},
	{"nft inet, saddr and dport, counter", false, func(i int) rule {
		return rule{loadFamily, &rules.Cmp{Data: []byte{2}}, loadSource, &rules.Cmp{Data: []byte{127, 0, 0, 1}},
			loadL4, &rules.Cmp{Data: []byte{17}}, loadPort, &rules.Cmp{Data: u16(uint16(6000 + i%50000))}, &rules.Counter{}, accept}
	}},
	{"iptables, -s", false, func(i int) rule {
		return rule{&rules.IPTables{Src: binary.BigEndian.AppendUint32(nil, 10<<24|uint32(i)), SrcMask: []byte{255, 255, 255, 255}, Proto: 17}, udpMatch(i), accept}
	}},
	{"iptables, -p udp --dport", false, func(i int) rule { return rule{&rules.IPTables{Proto: 17}, udpMatch(i), accept} }},
	{"iptables, -p tcp of a UDP packet", false, func(i int) rule { return rule{&rules.IPTables{Proto: 6}, tcpMatch(i), accept} }},
	{"iptables, -p tcp --dport of a TCP packet", true, func(i int) rule { return rule{&rules.IPTables{Proto: 6}, tcpMatch(i), accept} }},
}

func udpMatch(i int) *rules.Match {
	d := make([]byte, 16)
	for at, v := range []uint16{0, 0xffff, uint16(6000 + i%50000), uint16(6000 + i%50000)} {
		binary.NativeEndian.PutUint16(d[2*at:], v)
	}
	return &rules.Match{Ext: "udp", Data: d}
}

func tcpMatch(i int) *rules.Match {
	m := udpMatch(i)
	m.Ext = "tcp"
	return m
}

func tcpPacket() *Packet {
	p := packet()
	p.Data[9] = 6
	p.Data = append(p.Data, make([]byte, 12)...)
	binary.BigEndian.PutUint16(p.Data[2:], uint16(len(p.Data)))
	p.Data[32] = 5 << 4
	return p
}

// BenchmarkRules passes one packet by rules that don't match it; the aim is 20
// million rules in a second.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{1000, 50_000} {
		for _, c := range benchRules {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				var list list
				for i := range n {
					list = append(list, c.make(i))
				}
				set := chains("drop", list)
				p := packet()
				if c.tcp {
					p = tcpPacket()
				}
				m := Compile(set, Host{})
				b.ReportAllocs()
				for b.Loop() {
					if got := m.Hook(rules.Input, p); got.Verdict != Drop {
						b.Fatal(got)
					}
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds()/1e6, "Mrules/s")
			})
		}
	}
}
