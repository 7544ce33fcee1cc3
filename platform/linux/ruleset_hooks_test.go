//go:build linux

package linux

import (
	"bytes"
	"os/exec"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules/eval"
)

// tagCases are for a bridged frame with a tag of VLAN 10; tagged says whether
// br_netfilter is to look behind tags.
var tagCases = []struct {
	name   string
	call   bool
	tagged bool
	text   string
}{
	{"nothing", false, false, ``},
	{"id", false, false, `table bridge t { chain f { type filter hook forward priority -200; vlan id 10 drop; }; }`},
	{"another id", false, false, `table bridge t { chain f { type filter hook forward priority -200; vlan id 11 drop; }; }`},
	{"type of the link header", false, false, `table bridge t { chain f { type filter hook forward priority -200; @ll,96,16 0x8100 drop; }; }`},
	{"protocol is that behind the tag", false, false, `table bridge t { chain f { type filter hook forward priority -200; meta protocol ip drop; }; }`},
	{"port behind the tag", false, false, `table bridge t { chain f { type filter hook forward priority -200; udp dport 5001 drop; }; }`},
	{"header behind the tag, by the link header", false, false, `table bridge t { chain f { type filter hook forward priority -200; @ll,144,8 0x45 drop; }; }`},
	{"ingress", false, false, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; vlan id 10 udp dport 5001 drop; }; }`},
	{"egress", false, false, `table netdev t { chain e { type filter hook egress device "p2" priority 0; vlan id 10 drop; }; }`},
	{"length at egress is without the tag", false, false, `table netdev t { chain e { type filter hook egress device "p2" priority 0; meta length 48 drop; }; }`},
	{"length at ingress", false, false, `table netdev t { chain e { type filter hook ingress device "p1" priority 0; meta length 34 drop; }; }`},
	{"br_netfilter passes over tags", true, false, `table ip t { chain f { type filter hook forward priority 0; drop; }; }`},
	{"unless it is told to look", true, true, `table ip t { chain f { type filter hook forward priority 0; udp dport 5001 drop; }; }`},
	{"a changed id", false, false, `table bridge t {
		chain p { type filter hook prerouting priority -300; vlan id set 12; }
		chain f { type filter hook forward priority 0; vlan id 12 drop; }
	}`},
}

func TestTagVerdictsAreTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		if !makeBridge(t) {
			return
		}
		number := map[bool]string{true: "1", false: "0"}
		for _, c := range tagCases {
			run(t, "", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables="+number[c.call], "net.bridge.bridge-nf-filter-vlan-tagged="+number[c.tagged])
			set, ok := loadRules(t, c.name, c.text)
			if !ok {
				continue
			}
			host := bridgeHost(c.call)
			settings := host.Sysctl
			host.Sysctl = func(key string) (string, bool) {
				if key == "net/bridge/bridge-nf-filter-vlan-tagged" {
					return number[c.tagged], true
				}
				return settings(key)
			}
			p := along(eval.Bridged)
			p.Link = slices.Concat(p.Link[:12], []byte{0x81, 0, 0, 10}, p.Link[12:])
			got := eval.Compile(set, host).Trace(eval.Bridged, p)
			arrived := receive(t, "vb", waitFor(got.Verdict), func(frame []byte) bool { return bytes.HasSuffix(frame, []byte("bridge")) }, func() {
				transmit(t, "va", append(bytes.Clone(p.Link), p.Data...))
			})
			if got.Verdict == eval.Unknown || (got.Verdict == eval.Accept) != arrived {
				t.Errorf("%s: the verdict is %q, arrived: %v, doubts: %v", c.name, got.Verdict, arrived, got.Doubts)
			}
		}
	})
}

// hookCases are what a packet from the host to itself meets at hooks.
var hookCases = []struct{ name, text string }{
	{"the type of device at postrouting is that of the one it leaves by", `table ip t { chain p { type filter hook postrouting priority 0; meta iiftype loopback drop; }; }`},
	{"no type of device at output", `table ip t { chain p { type filter hook output priority 0; meta iiftype loopback drop; }; }`},
	{"of chains of one priority the last runs first", `table ip t {
		chain a { type filter hook output priority 0; mark 7 drop; }
		chain b { type filter hook output priority 0; mark set 7; }
	}`},
	{"and the first last", `table ip t {
		chain b { type filter hook output priority 0; mark set 7; }
		chain a { type filter hook output priority 0; mark 7 drop; }
	}`},
	{"length at egress", `table netdev t { chain e { type filter hook egress device "lo" priority 0; meta length 49 drop; }; }`},
	{"length at ingress", `table netdev t { chain e { type filter hook ingress device "lo" priority 0; meta length 35 drop; }; }`},
	{"link header at egress", `table netdev t { chain e { type filter hook egress device "lo" priority 0; @ll,96,16 0x800 drop; }; }`},
	{"a mark from ingress", `table netdev t { chain e { type filter hook ingress device "lo" priority 0; mark set 9; }; }
	table ip u { chain p { type filter hook prerouting priority -450; mark 9 drop; }; }`},
	{"not tracked from ingress on", `table netdev t { chain e { type filter hook egress device "lo" priority 0; notrack; }; }
	table ip u { chain p { type filter hook input priority 0; ct state new drop; }; }`},
	{"a packet of no one's is not encrypted", `table ip t { chain i { type filter hook input priority 0; meta ipsec missing drop; }; }`},
	{"a new flow has no helper", `table ip t { chain i { type filter hook input priority 0; ct helper != "x" drop; }; }`},
	{"a timeout changes nothing", `table ip t {
		ct timeout o { protocol udp; l3proto ip; policy = { unreplied : 9 }; }
		chain o { type filter hook output priority 0; ct timeout set "o"; }
		chain i { type filter hook input priority 0; ct state new drop; }
	}`},
	{"a zone of one direction", `table ip t {
		chain o { type filter hook output priority -300; ct original zone set 3; }
		chain i { type filter hook input priority 0; ct original zone 3 drop; }
	}`},
	{"and not of the other", `table ip t {
		chain o { type filter hook output priority -300; ct original zone set 3; }
		chain i { type filter hook input priority 0; ct reply zone 3 drop; }
	}`},
	{"egress has no device in", `table netdev t { chain e { type filter hook egress device "lo" priority 0; iif 0 oif "lo" drop; }; }`},
	{"ingress has no device out", `table netdev t { chain e { type filter hook ingress device "lo" priority 0; oif 0 iif "lo" drop; }; }`},
	{"accept at egress", `table netdev t { chain e { type filter hook egress device "lo" priority 0; policy drop; accept; }; }`},
	{"the policy of ingress", `table netdev t { chain e { type filter hook ingress device "lo" priority 0; policy drop; }; }`},
	{"a reject at ingress", `table netdev t { chain e { type filter hook ingress device "lo" priority 0; udp dport 5001 reject; }; }`},
	{"system of UDP", `table ip t { chain i { type filter hook input priority 0; osf name != "Linux" drop; }; }`},
	{"options of IP", `table ip t { chain i { type filter hook input priority 0; ip option ra exists drop; }; }`},
	{"missing options of IP", `table ip t { chain i { type filter hook input priority 0; ip option ra missing drop; }; }`},
	{"a changed type of packet", `table ip t { chain i { type filter hook prerouting priority 0; meta pkttype set host; meta pkttype host drop; }; }`},
	{"its priority", `table ip t { chain i { type filter hook output priority 0; meta priority set 1:2 meta priority 1:2 drop; }; }`},
}

func TestHookVerdictsAreTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		run(t, "", "ip", "link", "set", "lo", "up")
		host := loopbackOnly
		host.Device = func(name string) (eval.Device, bool) {
			return eval.Device{Index: 1, Type: 772, MTU: 65536}, name == "lo"
		}
		for i, c := range hookCases {
			set, ok := loadRules(t, c.name, c.text)
			if !ok {
				continue
			}
			arrived, packet := sendToSelf(t, 20000+i)
			got := eval.Compile(set, host).Trace(eval.Through, packet)
			if got.Verdict == eval.Unknown || (got.Verdict == eval.Accept) != arrived {
				t.Errorf("%s: the verdict is %q, arrived: %v, doubts: %v", c.name, got.Verdict, arrived, got.Doubts)
			}
		}
	})
}
