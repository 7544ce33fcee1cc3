package eval

import (
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// tcp4 is a packet of TCP with flags.
func tcp4(flags byte) []byte {
	h := make([]byte, 20)
	h[12], h[13] = 0x50, flags
	return outer(6, h)
}

// What depends on flows, tunnels and IPsec is decided where the packet decides
// it, and else unknown.
func TestOfFlowsAndTunnels(t *testing.T) {
	const syn, ack, fin = 2, 16, 1
	port := outer(17, []byte{0, 7, 0, 9, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	offload := &rules.FlowOffload{Table: "f"}
	neighbour := func(family rules.Family) []rules.Expr {
		return []rules.Expr{&rules.Immediate{Data: []byte{1, 0, 0, 0}}, &rules.Fwd{HasAddr: true, Addr: 1, Family: family}}
	}
	dying := append([]byte(nil), port...)
	dying[8] = 1
	host := Host{
		Device: func(name string) (Device, bool) {
			d, ok := map[string]Device{"eth0": {Index: 2, Type: 1, MTU: 1500}, "vx": {Index: 3, Kind: "vxlan", Type: 1, MTU: 1500}}[name]
			return d, ok
		},
		Route: func(q Query) (Route, bool) {
			return Route{Type: Unicast, Out: "eth0", Gateway: netip.MustParseAddr("10.0.0.9"), Realm: 5, HasRealm: true}, true
		},
		Sysctl: func(key string) (string, bool) { return "0", key == "net/netfilter/nf_conntrack_acct" },
	}
	zero8 := make([]byte, 8)
	for _, c := range []struct {
		name  string
		hook  rules.Hook
		way   Way
		in    string
		state uint32
		data  []byte
		exprs []rules.Expr
		want  Verdict // a rule that goes on drops
	}{
		{"a first packet isn't taken over", rules.Forward, Forward, "eth0", 0, port, []rules.Expr{offload}, Accept},
		{"a later one may be", rules.Forward, Forward, "eth0", Established, port, []rules.Expr{offload}, Unknown},
		{"ICMP isn't", rules.Forward, Forward, "eth0", Established, outer(1, make([]byte, 8)), []rules.Expr{offload}, Accept},
		{"no system by UDP", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.OSF{}}, Accept},
		{"no system by ACK", rules.Input, In, "eth0", 0, tcp4(ack), []rules.Expr{&rules.OSF{}}, Accept},
		{"a system by SYN", rules.Input, In, "eth0", 0, tcp4(syn), []rules.Expr{&rules.OSF{}}, Drop},
		{"which system is not known", rules.Input, In, "eth0", 0, tcp4(syn), []rules.Expr{&rules.OSF{}, &rules.Cmp{Data: []byte("Linux")}}, Unknown},
		{"a packet that isn't decrypted", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.XFRM{}}, Accept},
		{"a packet that may be encrypted", rules.Output, Out, "", 0, port, []rules.Expr{&rules.XFRM{Dir: 1}}, Unknown},
		{"out of no tunnel", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.Tunnel{}, &rules.Cmp{Data: []byte{0}}}, Drop},
		{"no tunnel has no number", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.Tunnel{Key: 1}}, Accept},
		{"out of a tunnel, perhaps", rules.Input, In, "vx", 0, port, []rules.Expr{&rules.Tunnel{}, &rules.Cmp{Data: []byte{0}}}, Unknown},
		{"a tunnel's settings", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.ObjRef{Object: "o", Type: objectTunnel}, &rules.Tunnel{}, &rules.Cmp{Data: []byte{0}}}, Unknown},
		{"a helper", rules.Prerouting, In, "eth0", 0, port, []rules.Expr{&rules.ObjRef{Object: "o", Type: objectHelper}}, Drop},
		{"a timeout", rules.Prerouting, In, "eth0", 0, port, []rules.Expr{&rules.ObjRef{Object: "o", Type: objectTimeout}}, Drop},
		{"a security context", rules.Prerouting, In, "eth0", 0, port, []rules.Expr{&rules.ObjRef{Object: "o", Type: objectSecmark}}, Drop},
		{"an expectation may be there already, which drops as well", rules.Prerouting, In, "eth0", 0, port, []rules.Expr{&rules.ObjRef{Object: "o", Type: objectExpect}}, Drop},
		{"an expectation of a flow that is", rules.Prerouting, In, "eth0", Established, port, []rules.Expr{&rules.ObjRef{Object: "o", Type: objectExpect}}, Accept},
		{"synproxy answers a SYN", rules.Input, In, "eth0", 0, tcp4(syn), []rules.Expr{&rules.Synproxy{}}, Stolen},
		{"synproxy takes or drops an ACK", rules.Input, In, "eth0", 0, tcp4(ack), []rules.Expr{&rules.Synproxy{}}, Unknown},
		{"synproxy lets a FIN pass", rules.Input, In, "eth0", 0, tcp4(fin), []rules.Expr{&rules.Synproxy{}}, Drop},
		{"synproxy isn't for UDP", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.Synproxy{}}, Accept},
		{"the gateway", rules.Output, Out, "", 0, port, []rules.Expr{&rules.RT{Key: 1}, &rules.Cmp{Data: []byte{10, 0, 0, 9}}}, Drop},
		{"no gateway of IPv6", rules.Output, Out, "", 0, port, []rules.Expr{&rules.RT{Key: 2}}, Accept},
		{"the gateway of what is forwarded", rules.Forward, Forward, "eth0", 0, port, []rules.Expr{&rules.RT{Key: 1}, &rules.Cmp{Data: []byte{10, 0, 0, 9}}}, Drop},
		{"no route at prerouting", rules.Prerouting, In, "eth0", 0, port, []rules.Expr{&rules.RT{}}, Accept},
		{"the realm", rules.Output, Out, "", 0, port, []rules.Expr{&rules.RT{}, &rules.Cmp{Data: []byte{5, 0, 0, 0}}}, Drop},
		{"the realm of the route from before the rule", rules.Output, Out, "", 0, port, []rules.Expr{&rules.Immediate{Data: []byte{7, 0, 0, 0}}, &rules.Meta{Key: metaMark, Write: true}, &rules.RT{}, &rules.Cmp{Data: []byte{5, 0, 0, 0}}}, Unknown},
		{"a flow that isn't counted", rules.Output, Out, "", 0, port, []rules.Expr{&rules.CT{Key: ctBytes, Dir: -1}, &rules.Cmp{Data: zero8}}, Drop},
		{"a flow that may be", rules.Output, Out, "", Established, port, []rules.Expr{&rules.CT{Key: ctBytes, Dir: -1}, &rules.Cmp{Data: zero8}}, Unknown},
		{"a new flow has no master", rules.Input, In, "eth0", 0, port, []rules.Expr{&rules.CT{Key: ctHelper, Dir: -1}}, Accept},
		{"which flow is expected is not known", rules.Input, In, "eth0", Related, port, []rules.Expr{&rules.CT{Key: ctHelper, Dir: -1}}, Unknown},
		{"fwd to a neighbour of another family", rules.Ingress, In, "eth0", 0, port, neighbour(rules.IP6), Accept},
		{"fwd to a neighbour", rules.Ingress, In, "eth0", 0, port, neighbour(rules.IP), Stolen},
		{"fwd of what has lived", rules.Ingress, In, "eth0", 0, dying, neighbour(rules.IP), Drop},
	} {
		t.Run(c.name, func(t *testing.T) {
			family := rules.IP
			if c.hook == rules.Ingress {
				family = rules.Netdev
			}
			table := onDevices(standAt(family, c.hook, -150, append(c.exprs, drop)...), "eth0")
			p := &Packet{Family: rules.IP, Data: c.data, In: c.in, State: c.state}
			if c.in == "" {
				p.Out = "eth0"
			}
			asked := host
			if c.way == In { // it is this host's
				asked.Route = nil
			}
			got := Compile(&rules.Ruleset{Tables: []*rules.Table{table}}, asked).Trace(c.way, p)
			if got.Verdict != c.want || got.Verdict == Unknown && len(got.Doubts) == 0 {
				t.Errorf("verdict %q, want %q, doubts %v", got.Verdict, c.want, got.Doubts)
			}
		})
	}
}

// A flow that a flowtable may have taken over skips the hooks from there on.
func TestFlowtables(t *testing.T) {
	table := standAt(rules.Inet, rules.Forward, 0, &rules.FlowOffload{Table: "f"})
	table.Flowtables = []*rules.Flowtable{{Name: "f", Devices: []string{"eth0"}}}
	drops := standAt(rules.IP, rules.Forward, 10, drop)
	early := onDevices(standAt(rules.Netdev, rules.Ingress, -10, drop), "eth0")
	late := onDevices(standAt(rules.Netdev, rules.Ingress, 10, drop), "eth0")
	leaving := onDevices(standAt(rules.Netdev, rules.Egress, 10, drop), "eth1")
	unused := standAt(rules.Inet, rules.Forward, 0)
	unused.Flowtables = table.Flowtables
	devices := map[string]Device{"eth0": {Index: 2, Type: 1, MTU: 1500}, "eth1": {Index: 3, Type: 1, MTU: 1500}, "eth2": {Index: 4, Type: 1, MTU: 1500}}
	for _, c := range []struct {
		name   string
		tables []*rules.Table
		in     string
		state  uint32
		data   []byte
		want   Verdict
	}{
		{"a flow that exists", []*rules.Table{table, drops}, "eth0", Established, tcp4(16), Unknown},
		{"a flow that begins", []*rules.Table{table, drops}, "eth0", 0, tcp4(2), Drop},
		{"the end of a flow", []*rules.Table{table, drops}, "eth0", Established, tcp4(17), Drop},
		{"a protocol that isn't taken over", []*rules.Table{table, drops}, "eth0", Established, outer(1, make([]byte, 8)), Drop},
		{"another device", []*rules.Table{table, drops}, "eth2", Established, tcp4(16), Drop},
		{"no rule puts flows into it", []*rules.Table{unused, drops}, "eth0", Established, tcp4(16), Drop},
		{"nothing drops", []*rules.Table{table}, "eth0", Established, tcp4(16), Accept},
		{"dropped before", []*rules.Table{table, early}, "eth0", Established, tcp4(16), Drop},
		{"dropped behind", []*rules.Table{table, late}, "eth0", Established, tcp4(16), Unknown},
		{"dropped at egress", []*rules.Table{table, leaving}, "eth0", Established, tcp4(16), Drop},
	} {
		p := &Packet{Family: rules.IP, Data: c.data, In: c.in, Out: "eth1", State: c.state}
		host := Host{Device: func(name string) (Device, bool) { d, ok := devices[name]; return d, ok }}
		if got := Compile(&rules.Ruleset{Tables: c.tables}, host).Trace(Forward, p); got.Verdict != c.want {
			t.Errorf("%s: %q, want %q, doubts %v", c.name, got.Verdict, c.want, got.Doubts)
		}
	}
}

// Stores mend the checksums that the rule says, and options of TCP theirs.
func TestStores(t *testing.T) {
	word := func(b ...byte) rules.Expr { return &rules.Immediate{Data: b} }
	is := func(base, offset uint32, b ...byte) []rules.Expr {
		return []rules.Expr{&rules.Payload{Base: base, Offset: offset, Len: uint32(len(b))}, &rules.Cmp{Data: b}, drop}
	}
	segment := make([]byte, 24)
	segment[12], segment[13] = 0x60, 2
	copy(segment[20:], []byte{2, 4, 0x10, 0})
	for _, c := range []struct {
		name  string
		data  []byte
		store []rules.Expr
		want  []rules.Expr
	}{
		{"no checksum", outer(17, make([]byte, 8)), []rules.Expr{word(1), &rules.Payload{Write: true, Base: 1, Offset: 1, Len: 1}}, is(1, 10, 0, 0)},
		{"the header's", outer(17, make([]byte, 8)), []rules.Expr{word(1), &rules.Payload{Write: true, Base: 1, Offset: 1, Len: 1, CsumType: 1, CsumOffset: 10}}, is(1, 10, 0xff, 0xfe)},
		{"the transport header's", tcp4(2), []rules.Expr{word(10, 0, 0, 2), &rules.Payload{Write: true, Base: 1, Offset: 12, Len: 4, CsumFlags: 1}}, is(2, 16, 0xff, 0xfe)},
		{"a datagram without a checksum", outer(17, make([]byte, 8)), []rules.Expr{word(10, 0, 0, 2), &rules.Payload{Write: true, Base: 1, Offset: 12, Len: 4, CsumFlags: 1}}, is(2, 6, 0, 0)},
		{"what the transport header carries", outer(17, make([]byte, 10)), []rules.Expr{word(7), &rules.Payload{Write: true, Base: 3, Offset: 1, Len: 1}}, is(2, 8, 0, 7)},
		{"a lower MSS", outer(6, segment), []rules.Expr{word(5, 0), &rules.Exthdr{Op: exthdrTCP, Type: 2, Offset: 2, Len: 2, Write: true}}, is(2, 22, 5, 0)},
		{"and its checksum", outer(6, segment), []rules.Expr{word(5, 0), &rules.Exthdr{Op: exthdrTCP, Type: 2, Offset: 2, Len: 2, Write: true}}, is(2, 16, 11, 0)},
		{"a higher MSS", outer(6, segment), []rules.Expr{word(0x20, 0), &rules.Exthdr{Op: exthdrTCP, Type: 2, Offset: 2, Len: 2, Write: true}}, is(2, 22, 0x10, 0)},
		{"an option that is taken out", outer(6, segment), []rules.Expr{&rules.Exthdr{Op: exthdrTCP, Type: 2, Reset: true}}, is(2, 20, 1, 1, 1, 1)},
	} {
		rule := append(append([]rules.Expr(nil), c.store...), c.want...)
		p := &Packet{Family: rules.IP, In: "lo", Data: c.data}
		if got := Compile(chains("accept", list{rule}), Host{}).Hook(rules.Input, p); got.Verdict != Drop {
			t.Errorf("%s: %q, %x, doubts %v", c.name, got.Verdict, got.Packet.Data, got.Doubts)
		}
	}
	broken := append([]byte(nil), segment...)
	broken[21] = 9
	p := &Packet{Family: rules.IP, In: "lo", Data: outer(6, broken)}
	if got := Compile(chains("accept", list{{&rules.Exthdr{Op: exthdrTCP, Type: 2, Reset: true}}}), Host{}).Hook(rules.Input, p); got.Verdict != Drop {
		t.Errorf("an option that is cut: %q", got.Verdict)
	}
}
