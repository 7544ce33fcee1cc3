package eval

import (
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// standAt is a base chain of one rule.
func standAt(family rules.Family, hook rules.Hook, priority int32, exprs ...rules.Expr) *rules.Table {
	c := &rules.Chain{Name: "c", Hook: hook, Priority: priority, Type: "filter", Policy: "accept", Rules: []*rules.Rule{{Number: 1, Exprs: rules.ListOf(exprs...)}}}
	return &rules.Table{Family: family, Name: "t", Chains: []*rules.Chain{c}}
}

func onDevices(t *rules.Table, names ...string) *rules.Table {
	t.Chains[0].Devices = names
	return t
}

// switchHost has bridge br0 of p1 and p2, VLAN v10 on eth0, and bond0 of e1.
func switchHost(sysctls map[string]string) Host {
	devices := map[string]Device{
		"br0": {Kind: "bridge", Type: 1, MTU: 1500, MAC: []byte{2, 0, 0, 0, 0, 9}, Bridge: &Bridge{}}, "p1": {Kind: "veth", Type: 1, Master: "br0", MTU: 1500},
		"p2": {Kind: "veth", Type: 1, Master: "br0", MTU: 1500}, "br1": {Kind: "bridge", Type: 1, MTU: 1500},
		"eth0": {Type: 1, MTU: 1500}, "v10": {Kind: "vlan", Parent: "eth0", Type: 1, MTU: 1500}, "lost": {Kind: "vlan"},
		"bond0": {Kind: "bond", Type: 1}, "e1": {Master: "bond0", Type: 1}, "red": {Kind: "vrf"}, "eth1": {Master: "red"},
		"brv": {Kind: "bridge", Type: 1, MTU: 1500, Bridge: &Bridge{VLANFiltering: true, VLANProtocol: 0x8100}},
		"pv":  {Kind: "veth", Type: 1, Master: "brv", MTU: 1500, PVID: 7},
	}
	return Host{
		Device: func(name string) (Device, bool) { d, ok := devices[name]; return d, ok },
		Sysctl: func(key string) (string, bool) { v, ok := sysctls[key]; return v, ok },
	}
}

// What can't be known of bridges and of devices on others is not guessed.
func TestDevicesBelow(t *testing.T) {
	frame := make([]byte, 14)
	frame[5], frame[11], frame[12] = 2, 1, 8
	tagged := append(append(append([]byte(nil), frame[:12]...), 0x81, 0, 0, 10), 8, 0)
	off := map[string]string{"net/bridge/bridge-nf-call-iptables": "0"}
	on := map[string]string{"net/bridge/bridge-nf-call-iptables": "1", "net/bridge/bridge-nf-filter-vlan-tagged": "0"}
	gone := map[string]string{"net/bridge/bridge-nf-call-iptables": ""}
	vlanType := []rules.Expr{&rules.Payload{Base: 0, Offset: 12, Len: 2}, &rules.Cmp{Data: []byte{0x81, 0}}, drop}
	id10 := []rules.Expr{&rules.Payload{Base: 0, Offset: 14, Len: 2}, &rules.Cmp{Data: []byte{0, 10}}, drop}
	forwarded := standAt(rules.IP, rules.Forward, 0, drop)
	for _, c := range []struct {
		name    string
		table   *rules.Table
		way     Way
		in, out string
		ports   [2]string
		link    []byte
		sysctls map[string]string
		want    Verdict
	}{
		{"a port is taken for its bridge", standAt(rules.Bridge, rules.Input, 0, drop), In, "p1", "", [2]string{}, frame, off, Drop},
		{"which port is not known", standAt(rules.Bridge, rules.Input, 0, drop), In, "br0", "", [2]string{}, frame, off, Unknown},
		{"which port doesn't matter", standAt(rules.Bridge, rules.Forward, 0, drop), In, "br0", "", [2]string{}, frame, off, Accept},
		{"whether it is a bridge is not known", standAt(rules.Bridge, rules.Input, 0, drop), In, "what", "", [2]string{}, frame, off, Unknown},
		{"whether another is below is not known", onDevices(standAt(rules.Netdev, rules.Ingress, 0, drop), "eth0"), In, "what", "", [2]string{}, frame, off, Unknown},
		{"no device is below", onDevices(standAt(rules.Netdev, rules.Ingress, 0, drop), "eth0"), In, "p9", "", [2]string{}, frame, off, Unknown},
		{"a VLAN's device is below", onDevices(standAt(rules.Netdev, rules.Ingress, 0, vlanType...), "eth0"), In, "v10", "", [2]string{}, tagged, off, Drop},
		{"and its id", onDevices(standAt(rules.Netdev, rules.Ingress, 0, id10...), "eth0"), In, "v10", "", [2]string{}, tagged, off, Drop},
		{"the tag is off above", onDevices(standAt(rules.Netdev, rules.Ingress, 0, vlanType...), "v10"), In, "v10", "", [2]string{}, tagged, off, Accept},
		{"what a VLAN is on is not known", onDevices(standAt(rules.Netdev, rules.Ingress, 0, drop), "eth0"), In, "lost", "", [2]string{}, tagged, off, Unknown},
		{"leaving by a VLAN", onDevices(standAt(rules.Netdev, rules.Egress, 0, drop), "eth0"), Out, "", "v10", [2]string{}, nil, off, Drop},
		{"the port of a bond", onDevices(standAt(rules.Netdev, rules.Ingress, 0, drop), "e1"), In, "e1", "", [2]string{}, frame, off, Drop},
		{"which port of a bond is not known", onDevices(standAt(rules.Netdev, rules.Ingress, 0, drop), "e1"), In, "bond0", "", [2]string{}, frame, off, Unknown},
		{"a VRF", standAt(rules.IP, rules.Prerouting, 0, drop), In, "eth1", "", [2]string{}, frame, off, Unknown},
		{"br_netfilter is off", forwarded, Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, off, Accept},
		{"br_netfilter isn't there", forwarded, Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, gone, Accept},
		{"br_netfilter is on", forwarded, Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, on, Drop},
		{"br_netfilter is not known", forwarded, Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, nil, Unknown},
		{"br_netfilter doesn't matter", standAt(rules.IP, rules.Input, 0, drop), Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, nil, Accept},
		{"off, but the bridge may ask for it", forwarded, Bridged, "br1", "br1", [2]string{"p1", "p2"}, frame, off, Unknown},
		{"br_netfilter passes over tags", forwarded, Bridged, "br0", "br0", [2]string{"p1", "p2"}, tagged, on, Accept},
		{"a bridge that filters by VLAN may tag", forwarded, Bridged, "brv", "brv", [2]string{"pv", "pv"}, frame, on, Unknown},
		{"ports are not known", standAt(rules.IP, rules.Input, 0), Bridged, "br0", "br0", [2]string{}, frame, off, Unknown},
		{"the same priority as br_netfilter's", standAt(rules.Bridge, rules.Prerouting, 0, drop), Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, on, Drop},
		{"broute", standAt(rules.Bridge, rules.Prerouting, -300, &rules.Immediate{Data: []byte{1, 0, 0, 0}}, &rules.Meta{Key: metaBroute, Write: true}), Bridged, "br0", "br0", [2]string{"p1", "p2"}, frame, off, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := packet()
			p.In, p.Out, p.InIndex, p.InPort, p.OutPort, p.Link = c.in, c.out, 0, c.ports[0], c.ports[1], c.link
			got := Compile(&rules.Ruleset{Tables: []*rules.Table{c.table}}, switchHost(c.sysctls)).Trace(c.way, p)
			if got.Verdict != c.want || (got.Verdict == Unknown) != (len(got.Doubts) > 0) {
				t.Errorf("verdict %q, want %q, doubts %v", got.Verdict, c.want, got.Doubts)
			}
		})
	}
}

// A frame that broute hands up as the host's goes to the hooks of IP from its
// port.
func TestBroute(t *testing.T) {
	one := &rules.Immediate{Data: []byte{1, 0, 0, 0}}
	zero := &rules.Immediate{Data: []byte{0, 0, 0, 0}}
	up := standAt(rules.Bridge, rules.Prerouting, -300, zero, &rules.Meta{Key: metaPacketType, Write: true}, one, &rules.Meta{Key: metaBroute, Write: true})
	after := standAt(rules.Bridge, rules.Prerouting, 0, drop)
	input := standAt(rules.IP, rules.Input, 0, &rules.Meta{Key: metaIifName}, &rules.Cmp{Data: []byte("p1\x00")}, &rules.Reject{})
	p := packet()
	p.In, p.Out, p.InPort, p.OutPort, p.Link = "br0", "br0", "p1", "p2", make([]byte, 14)
	set := &rules.Ruleset{Tables: []*rules.Table{up, after, input}}
	if got := Compile(set, switchHost(map[string]string{})).Trace(Bridged, p); got.Verdict != Reject {
		t.Errorf("verdict %q, doubts %v", got.Verdict, got.Doubts)
	}
}

// The names, addresses and VLANs of bridges, as meta gives them.
func TestMetaOfBridges(t *testing.T) {
	for _, c := range []struct {
		key  uint32
		port string
		want []byte // nil: the rule breaks off
	}{
		{metaBridgeIn, "p1", []byte("br0\x00")}, {metaBridgeIn, "eth0", []byte("\x00")}, {metaBridgeIn, "", []byte("\x00")},
		{metaBridgeMAC, "p1", []byte{2, 0, 0, 0, 0, 9}}, {metaBridgeMAC, "eth0", nil}, {metaBridgeMAC, "", nil},
		{metaBridgePVID, "p1", nil}, {metaBridgePVID, "pv", []byte{7, 0}}, {metaBridgeVProto, "pv", []byte{0x81, 0}}, {metaBridgePVID, "eth0", nil},
	} {
		p := packet()
		p.In = c.port
		set := &rules.Ruleset{Tables: []*rules.Table{standAt(rules.Bridge, rules.Forward, 0, &rules.Meta{Key: c.key}, &rules.Cmp{Op: 1, Data: c.want}, drop)}}
		want := Accept
		if c.want == nil {
			set.Tables[0].Chains[0].Rules[0].Exprs = rules.ListOf(&rules.Meta{Key: c.key}, &rules.Counter{}, drop)
		}
		if got := Compile(set, switchHost(nil)).HookOf(rules.Bridge, rules.Forward, p); got.Verdict != want {
			t.Errorf("key %d at %q: %q, %v", c.key, c.port, got.Verdict, got.Doubts)
		}
	}
}
