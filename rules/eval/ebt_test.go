package eval

import (
	"maps"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// Matches of ebtables by the bytes of their structures.
func TestBridgeMatches(t *testing.T) {
	ip := func(bits, inv byte, set map[int]byte) *rules.Match {
		d := make([]byte, 32)
		d[18], d[19] = bits, inv
		for at, b := range set {
			d[at] = b
		}
		return &rules.Match{Ext: "ip", Data: d}
	}
	ip6 := func(bits, inv byte, set map[int]byte) *rules.Match {
		d := make([]byte, 80)
		d[66], d[67] = bits, inv
		for at, b := range set {
			d[at] = b
		}
		return &rules.Match{Ext: "ip6", Data: d}
	}
	arp := func(bits, inv byte, set map[int]byte) *rules.Match {
		d := make([]byte, 56)
		d[48], d[49] = bits, inv
		for at, b := range set {
			d[at] = b
		}
		return &rules.Match{Ext: "arp", Data: d}
	}
	segment := outer(6, []byte{0x17, 0x70, 0x13, 0x88}, make([]byte, 16))
	echo := outer(1, []byte{8, 0, 0, 0})
	six := append([]byte{0x61, 0x20, 0, 0, 0, 8, 17, 64}, make([]byte, 40)...)
	six[23], six[39], six[41], six[43] = 1, 2, 7, 9
	request := []byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2}
	llc := []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0, 0}
	tagged := append(append(make([]byte, 12), 0x81, 0, 0x60, 10), 8, 0)
	for _, c := range []struct {
		name   string
		family rules.Family
		data   []byte
		link   []byte
		match  *rules.Match
		want   Verdict // a match drops
	}{
		{"source", rules.IP, segment, nil, ip(1, 0, map[int]byte{0: 10, 8: 255}), Drop},
		{"not the source", rules.IP, segment, nil, ip(1, 1, map[int]byte{0: 10, 8: 255}), Accept},
		{"destination", rules.IP, segment, nil, ip(2, 0, map[int]byte{4: 10, 7: 2, 12: 255, 15: 255}), Drop},
		{"tos", rules.IP, segment, nil, ip(4, 0, map[int]byte{16: 1}), Accept},
		{"protocol", rules.IP, segment, nil, ip(8, 0, map[int]byte{17: 6}), Drop},
		{"source port", rules.IP, segment, nil, ip(8|16, 0, map[int]byte{17: 6, 20: 0x70, 21: 0x17, 22: 0x71, 23: 0x17}), Drop},
		{"destination port", rules.IP, segment, nil, ip(8|32, 0, map[int]byte{17: 6, 24: 0x89, 25: 0x13, 26: 0xff, 27: 0xff}), Accept},
		{"port without a protocol isn't looked at", rules.IP, segment, nil, ip(32, 0, nil), Drop},
		{"type of ICMP", rules.IP, echo, nil, ip(8|64, 0, map[int]byte{17: 1, 20: 8, 21: 8}), Drop},
		{"cut off", rules.IP, segment[:22], nil, ip(8|32, 0, map[int]byte{17: 6, 26: 0xff, 27: 0xff}), Accept},
		{"class of IPv6", rules.IP6, six, nil, ip6(4, 0, map[int]byte{64: 0x12}), Drop},
		{"source of IPv6", rules.IP6, six, nil, ip6(1, 0, map[int]byte{15: 1, 47: 255}), Drop},
		{"destination of IPv6", rules.IP6, six, nil, ip6(2, 0, map[int]byte{31: 1, 63: 255}), Accept},
		{"port of IPv6", rules.IP6, six, nil, ip6(8|32, 0, map[int]byte{65: 17, 72: 9, 74: 9}), Drop},
		{"operation", rules.ARP, request, nil, arp(1, 0, map[int]byte{5: 1}), Drop},
		{"not the operation", rules.ARP, request, nil, arp(1, 1, map[int]byte{5: 1}), Accept},
		{"who asks", rules.ARP, request, nil, arp(8, 0, map[int]byte{8: 10, 11: 1, 12: 255, 15: 255}), Drop},
		{"who is asked for", rules.ARP, request, nil, arp(16, 0, map[int]byte{16: 10, 19: 1, 20: 255, 23: 255}), Accept},
		{"gratuitous", rules.ARP, request, nil, arp(128, 0, nil), Accept},
		{"its link address", rules.ARP, request, nil, arp(32, 0, map[int]byte{24: 2, 29: 1, 30: 255, 35: 255}), Drop},
		{"id", rules.IP, segment, tagged, &rules.Match{Ext: "vlan", Data: []byte{10, 0, 0, 0, 0, 0, 1, 0}}, Drop},
		{"priority", rules.IP, segment, tagged, &rules.Match{Ext: "vlan", Data: []byte{10, 0, 3, 0, 0, 0, 3, 0}}, Drop},
		{"what is behind the tag", rules.IP, segment, tagged, &rules.Match{Ext: "vlan", Data: []byte{0, 0, 0, 0, 8, 6, 4, 0}}, Accept},
		{"sap", rules.Bridge, llc, nil, &rules.Match{Ext: "802_3", Data: []byte{0xaa, 0, 0, 0, 1, 0, 0, 0}}, Drop},
		{"type of snap", rules.Bridge, llc, nil, &rules.Match{Ext: "802_3", Data: []byte{0, 0, 8, 0, 2, 0, 0, 0}}, Drop},
		{"another type of snap", rules.Bridge, llc, nil, &rules.Match{Ext: "802_3", Data: []byte{0, 0, 8, 6, 2, 0, 0, 0}}, Accept},
		{"mark", rules.IP, segment, nil, &rules.Match{Ext: "mark_m", Data: append([]byte{5, 0, 0, 0, 0, 0, 0, 0, 15}, make([]byte, 15)...)}, Drop},
		{"limit", rules.IP, segment, nil, &rules.Match{Ext: "limit", Data: make([]byte, 32)}, Unknown},
		{"spanning tree", rules.IP, segment, nil, &rules.Match{Ext: "stp", Data: make([]byte, 64)}, Unknown},
		{"too short", rules.IP, segment, nil, &rules.Match{Ext: "ip", Data: make([]byte, 8)}, Unknown},
		{"another revision", rules.IP, segment, nil, &rules.Match{Ext: "ip", Rev: 1, Data: make([]byte, 32)}, Unknown},
	} {
		p := &Packet{Family: c.family, Data: c.data, Link: c.link, In: "p1", Out: "p2", Mark: 0x15}
		set := &rules.Ruleset{Tables: []*rules.Table{standAt(rules.Bridge, rules.Forward, 0, c.match, drop)}}
		if got := Compile(set, switchHost(nil)).HookOf(rules.Bridge, rules.Forward, p); got.Verdict != c.want {
			t.Errorf("%s: %q, want %q, doubts %v", c.name, got.Verdict, c.want, got.Doubts)
		}
	}
}

// Where a frame's link address is changed, the bridge decides anew.
func TestChangedLinkAddress(t *testing.T) {
	host := switchHost(map[string]string{"net/bridge/bridge-nf-call-iptables": "0"})
	ask := host.Device
	host.Device = func(name string) (Device, bool) {
		d, ok := ask(name)
		if name == "br0" {
			d.MAC = []byte{2, 0, 0, 0, 0, 9}
		}
		return d, ok
	}
	goesOn := []byte{0xfd, 0xff, 0xff, 0xff}
	dnat := func(last byte) *rules.Target {
		return &rules.Target{Ext: "dnat", Data: append([]byte{2, 0, 0, 0, 0, last, 0, 0}, goesOn...)}
	}
	forward, input := standAt(rules.Bridge, rules.Forward, 0, drop), standAt(rules.Bridge, rules.Input, 0, &rules.Reject{})
	for _, c := range []struct {
		name   string
		change rules.Expr
		want   Verdict
	}{
		{"none", &rules.Counter{}, Drop},
		{"the same", dnat(1), Drop},
		{"the bridge's", dnat(9), Reject},
		{"another's", dnat(7), Unknown},
		{"redirect", &rules.Target{Ext: "redirect", Data: append(slices.Clone(goesOn), 0, 0, 0, 0)}, Reject},
		{"the sender's", &rules.Target{Ext: "snat", Data: append(make([]byte, 8), goesOn...)}, Drop},
		{"none that is known", &rules.Target{Ext: "nosuch"}, Unknown},
	} {
		table := standAt(rules.Bridge, rules.Prerouting, -300, c.change)
		p := packet()
		p.In, p.Out, p.InPort, p.OutPort, p.Link = "br0", "br0", "p1", "p2", []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
		got := Compile(&rules.Ruleset{Tables: []*rules.Table{table, forward, input}}, host).Trace(Bridged, p)
		if got.Verdict != c.want {
			t.Errorf("%s: %q, want %q, doubts %v", c.name, got.Verdict, c.want, got.Doubts)
		}
	}
}

// The extensions of ebtables that COVERAGE.md lists are those that there are.
func TestCoverageOfBridgeExtensions(t *testing.T) {
	names := append(slices.Collect(maps.Keys(bridgeMatchers)), slices.Collect(maps.Keys(bridgeTargets))...)
	names = append(names, "limit", "stp")
	check(t, "## Extensions of ebtables", names, func(name string) bool { return name != "limit" && name != "stp" })
}
