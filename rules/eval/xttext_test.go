package eval

import (
	"net/netip"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
	"github.com/portwhy/portwhy/rules/xtables"
)

// textHost is a host with one device, of which some facts are known.
func textHost() Host {
	own := netip.MustParseAddr("127.0.0.2")
	return Host{
		AddressType: func(a netip.Addr, _ string, _ bool) (uint8, bool) {
			if a.IsLoopback() {
				return Local, true
			}
			return Unicast, true
		},
		Device: func(name string) (Device, bool) {
			return Device{Index: 2, Type: 1, Group: 7, Addresses: []netip.Prefix{netip.PrefixFrom(own, 8)}}, name == "eth0"
		},
		Route:    func(q Query) (Route, bool) { return Route{Type: Local, Out: "lo"}, q.Dst.IsLoopback() },
		Listener: func(queue uint16) (bool, bool) { return queue == 1, true },
		Now:      time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC),
	}
}

// Rules as iptables-save writes them decide of a UDP packet from 127.0.0.1:6000
// to 127.0.0.2:5000 that comes by eth0.
func TestTextDecides(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Verdict
	}{
		{"reject", "*filter\n-A INPUT -j REJECT --reject-with icmp-host-prohibited", Reject},
		{"new", "*filter\n-A INPUT -m conntrack --ctstate NEW -j DROP", Drop},
		{"not new", "*filter\n-A INPUT -m conntrack ! --ctstate NEW -j DROP", Accept},
		{"state", "*filter\n-A INPUT -m state --state NEW -j DROP", Drop},
		{"destination mapped", "*nat\n-A PREROUTING -p udp --dport 5000 -j DNAT --to-destination 127.0.0.3:77\nCOMMIT\n" +
			"*filter\n-A INPUT -d 127.0.0.3 -p udp --dport 77 -m conntrack --ctstate DNAT --ctorigdst 127.0.0.2 --ctorigdstport 5000 --ctreplsrc 127.0.0.3 -j DROP", Drop},
		{"redirected", "*nat\n-A PREROUTING -p udp -j REDIRECT --to-ports 78\nCOMMIT\n*filter\n-A INPUT -p udp --dport 78 -j DROP", Drop},
		{"a network mapped", "*nat\n-A PREROUTING -p udp -j NETMAP --to 127.5.0.0/16\nCOMMIT\n*filter\n-A INPUT -d 127.5.0.2 -j DROP", Drop},
		{"a source mapped", "*nat\n-A INPUT -p udp -j SNAT --to-source 127.0.0.9\nCOMMIT\n*security\n:INPUT ACCEPT\n-A INPUT -s 127.0.0.9 -j DROP", Accept},
		{"mark", "*mangle\n-A PREROUTING -j MARK --set-mark 6\n-A INPUT -m mark --mark 2/3 -j DROP", Drop},
		{"mark by xor", "*mangle\n-A PREROUTING -j MARK --set-mark 6\n-A PREROUTING -j MARK --set-xmark 1/2\n-A INPUT -m mark --mark 5 -j DROP", Drop},
		{"connmark", "*mangle\n-A PREROUTING -j MARK --set-mark 6\n-A PREROUTING -j CONNMARK --save-mark\n-A PREROUTING -j MARK --set-mark 0\n" +
			"-A INPUT -j CONNMARK --restore-mark\n-A INPUT -m mark --mark 6 -m connmark --mark 6 -j DROP", Drop},
		{"a type", "*filter\n-A INPUT -m addrtype --dst-type LOCAL ! --src-type UNICAST -j DROP", Drop},
		{"a range", "*filter\n-A INPUT -m iprange --src-range 127.0.0.1-127.0.0.5 ! --dst-range 127.0.0.3-127.0.0.9 -j DROP", Drop},
		{"no owner", "*mangle\n-A POSTROUTING -m owner --uid-owner 0 -j DROP", Accept},
		{"no MAC", "*filter\n-A INPUT -m mac --mac-source 00:00:00:00:00:01 -j DROP", Unknown},
		{"length", "*filter\n-A INPUT -m length --length 28 -j DROP", Drop},
		{"ttl", "*filter\n-A INPUT -m ttl --ttl-lt 64 -j DROP\n-A INPUT -m ttl --ttl-eq 64 -j DROP", Drop},
		{"a comment", "*filter\n-A INPUT -m comment --comment hello -j DROP", Drop},
		{"no bridge", "*filter\n-A INPUT -m physdev --physdev-in eth0 -j DROP\n-A INPUT -m physdev ! --physdev-is-bridged -j REJECT", Reject},
		{"the way back", "*raw\n-A PREROUTING -m rpfilter --invert -j DROP", Drop},
		{"in a set", "*filter\n-A INPUT -m set --match-set s dst,dst -j DROP", Drop},
		{"in no set", "*filter\n-A INPUT -m set --match-set s src,src -j DROP", Accept},
		{"a limit", "*filter\n-A INPUT -m limit --limit 1/sec -j DROP", Unknown},
		{"what was seen", "*filter\n-A INPUT -m recent --rcheck -j DROP\n-A INPUT -j DROP", Drop},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := xtables.Parse("text", []byte(c.text+"\nCOMMIT\n"), rules.IP)
			if err != nil {
				t.Fatal(err)
			}
			sets, err := ipset.Parse("sets", []byte("create s hash:ip,port family inet\nadd s 127.0.0.2,udp:5000\n"))
			if err != nil {
				t.Fatal(err)
			}
			set.IPSets = sets
			p := packet()
			p.In = "eth0"
			if got := Compile(set, textHost()).Trace(In, p); got.Verdict != c.want {
				t.Errorf("verdict %q, want %q, doubts %v", got.Verdict, c.want, got.Doubts)
			}
		})
	}
}
