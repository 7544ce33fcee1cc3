//go:build linux

package linux

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// verdictCases are rulesets of which the evaluator must say of a UDP packet
// from 127.0.0.1 to 127.0.0.1:5001 what becomes of it, as the kernel does.
// Arrival at 5002 stands for the other end of a mapping.
var verdictCases = []struct{ name, text string }{
	{"nothing", ``},
	{"destination mapped, then filtered by the new port", `table ip t {
		chain o { type nat hook output priority -100; udp dport 5001 redirect to :5002; }
		chain i { type filter hook input priority 0; udp dport 5002 drop; }
	}`},
	{"the old port no longer counts after mapping", `table ip t {
		chain o { type nat hook output priority -100; udp dport 5001 dnat to 127.0.0.1:5002; }
		chain i { type filter hook input priority 0; udp dport 5001 drop; }
	}`},
	{"the original port still counts", `table ip t {
		chain o { type nat hook output priority -100; udp dport 5001 redirect to :5002; }
		chain i { type filter hook input priority 0; meta l4proto udp ct original proto-dst 5001 drop; }
	}`},
	{"prerouting maps nothing of a local flow", `table ip t {
		chain p { type nat hook prerouting priority -100; udp dport 5001 redirect to :9; }
	}`},
	{"tracked before raw prerouting on loopback", `table ip t {
		chain p { type filter hook prerouting priority -300; ct state new drop; }
	}`},
	{"not tracked at raw output", `table ip t {
		chain o { type filter hook output priority -300; ct state new drop; }
	}`},
	{"invalid before it is tracked", `table ip t {
		chain o { type filter hook output priority -300; ct state invalid drop; }
	}`},
	{"untracked all the way", `table ip t {
		chain o { type filter hook output priority -300; notrack; }
		chain i { type filter hook input priority 0; ct state untracked drop; }
	}`},
	{"untracked is not new", `table ip t {
		chain o { type filter hook output priority -300; notrack; }
		chain i { type filter hook input priority 0; ct state new drop; }
	}`},
	{"a packet that isn't tracked isn't mapped", `table ip t {
		chain r { type filter hook output priority -300; notrack; }
		chain o { type nat hook output priority -100; udp dport 5001 redirect to :9; }
	}`},
	{"a mark lasts over loopback", `table ip t {
		chain o { type filter hook output priority 0; meta mark set 7; }
		chain i { type filter hook input priority 0; meta mark 7 drop; }
	}`},
	{"a ct mark lasts", `table inet t {
		chain o { type filter hook output priority 0; ct mark set 7; }
		chain i { type filter hook input priority 0; ct mark 7 drop; }
	}`},
	{"source mapped at input", `table ip t {
		chain i { type nat hook input priority 100; snat to 127.0.0.9; }
		chain l { type filter hook input priority 200; ip saddr 127.0.0.9 drop; }
	}`},
	{"a source mapped at postrouting is seen at input", `table ip t {
		chain p { type nat hook postrouting priority 100; snat to 127.0.0.9; }
		chain l { type filter hook input priority 0; ip saddr 127.0.0.9 drop; }
	}`},
	{"the second NAT chain sees nothing", `table ip t {
		chain a { type nat hook output priority -100; udp dport 5001 redirect to :5002; }
		chain b { type nat hook output priority -90; meta l4proto udp redirect to :9; }
	}`},
	{"a NAT chain's accept doesn't keep the next from mapping", `table ip t {
		chain a { type nat hook output priority -100; accept; }
		chain b { type nat hook output priority -90; meta l4proto udp redirect to :5002; }
		chain i { type filter hook input priority 0; udp dport 5002 drop; }
	}`},
	{"a NAT chain runs where NAT stands", `table ip t {
		chain n { type nat hook output priority -150; meta l4proto udp redirect to :5002; }
		chain f { type filter hook output priority -120; udp dport 5002 drop; }
	}`},
	{"neighbouring ranges with verdicts", `table ip t {
		map m { type inet_service : verdict; flags interval; elements = { 4000-5000 : accept, 5001 : drop, 5002-6000 : accept }; }
		chain i { type filter hook input priority 0; udp dport vmap @m; }
	}`},
	{"fields with ranges", `table ip t {
		set s { type ipv4_addr . inet_service; flags interval; elements = { 127.0.0.0/30 . 5000-5001 }; }
		chain i { type filter hook input priority 0; ip daddr . udp dport @s drop; }
	}`},
	{"a catch-all is for the rest", `table ip t {
		map m { type inet_service : verdict; elements = { 5001 : accept, * : drop }; }
		chain i { type filter hook input priority 0; udp dport vmap @m; drop; }
	}`},
	{"a changed header is seen at once", `table ip t {
		chain i { type filter hook input priority 0; udp dport set 5009 udp dport 5009 drop; }
	}`},
	{"a count of connections tracks", `table ip t {
		set s { type ipv4_addr; size 100; flags dynamic; }
		chain p { type filter hook prerouting priority -300; add @s { ip saddr ct count over 100 } drop; }
		chain i { type filter hook input priority 0; ip saddr 127.0.0.1 drop; }
	}`},
	{"a goto from a base chain ends in its policy", `table ip t {
		chain x { return; }
		chain i { type filter hook input priority 0; policy drop; goto x; accept; }
	}`},
	{"no input device at output", `table ip t {
		chain o { type filter hook output priority 0; iifname != "x" drop; }
	}`},
	{"no link header at output", `table inet t {
		chain o { type filter hook output priority 0; @ll,0,8 0 drop; }
	}`},
	{"loopback has a link header at input", `table inet t {
		chain i { type filter hook input priority 0; @ll,96,16 0x800 drop; }
	}`},
	{"loopback's packets are for this host", `table ip t {
		chain i { type filter hook input priority 0; meta pkttype host drop; }
	}`},
	{"a local address", `table ip t {
		chain i { type filter hook input priority 0; fib daddr type local drop; }
	}`},
	{"a reset for what has none", `table ip t {
		chain i { type filter hook input priority 0; reject with tcp reset; }
	}`},
	{"confirmed at input", `table ip t {
		chain i { type filter hook input priority 0; ct status confirmed drop; }
	}`},
	{"not confirmed at output", `table ip t {
		chain o { type filter hook output priority 0; ct status confirmed drop; }
	}`},
	{"mapped in status", `table ip t {
		chain n { type nat hook output priority -100; meta l4proto udp redirect to :5002; }
		chain i { type filter hook input priority 0; ct status dnat drop; }
	}`},
	{"the answer's tuple", `table ip t {
		chain n { type nat hook output priority -100; meta l4proto udp redirect to :5002; }
		chain i { type filter hook input priority 0; meta l4proto udp ct reply proto-src 5002 drop; }
	}`},
	{"dropped in the other family's table", `table ip6 t {
		chain i { type filter hook input priority 0; policy drop; }
	}`},
	{"masquerade over loopback has no address", `table ip t {
		chain p { type nat hook postrouting priority 100; meta l4proto udp masquerade to :1234; }
		chain i { type filter hook input priority 0; udp sport 1234 drop; }
	}`},
	{"ingress of loopback", `table netdev t {
		chain i { type filter hook ingress device "lo" priority 0; udp dport 5001 drop; }
	}`},
	{"egress of loopback", `table netdev t {
		chain e { type filter hook egress device "lo" priority 0; udp dport 5001 drop; }
	}`},
}

// loopbackOnly is a host whose addresses are those of 127.0.0.0/8.
var loopbackOnly = eval.Host{
	AddressType: func(a netip.Addr, _ string, _ bool) (uint8, bool) {
		if a.IsLoopback() {
			return eval.Local, true
		}
		return eval.Unicast, true
	},
	// Loopback's own address is not one that others are answered from.
	Source: func(string, netip.Addr) (netip.Addr, bool) { return netip.Addr{}, true },
}

// What the rules that were read from the kernel decide is what it does.
func TestVerdictsAreTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		run(t, "", "ip", "link", "set", "lo", "up")
		for i, c := range verdictCases {
			run(t, "flush ruleset\n"+c.text, "nft", "-f", "-")
			h, err := Open(Options{})
			if err != nil {
				t.Error(err)
				return
			}
			set, err := everything(h)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			arrived, packet := sendToSelf(t, 20000+i)
			got := eval.Compile(set, loopbackOnly).Trace(eval.Through, packet)
			if got.Verdict == eval.Unknown || (got.Verdict == eval.Accept) != arrived {
				t.Errorf("%s: the verdict is %q, arrived: %v, doubts: %v", c.name, got.Verdict, arrived, got.Doubts)
			}
		}
	})
}

// sendToSelf sends a packet to 127.0.0.1:5001 and tells whether it comes there or
// to 5002, with the packet as it was sent. Each has a source port of its own: with
// that of an earlier one it would be of a flow that is known already.
func sendToSelf(t *testing.T, source int) (bool, *eval.Packet) {
	t.Helper()
	came := make(chan bool, 2)
	for _, port := range []int{5001, 5002} {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if err != nil {
			t.Error(err)
			return false, nil
		}
		defer c.Close()
		go func() {
			c.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
			_, err := c.Read(make([]byte, 64))
			came <- err == nil
		}()
	}
	s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: source})
	if err != nil {
		t.Error(err)
		return false, nil
	}
	defer s.Close()
	body := []byte("portwhy")
	// A drop at OUTPUT is an error of the call, and an answer.
	_, _ = s.WriteToUDP(body, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5001})
	arrived := <-came
	arrived = <-came || arrived

	d := make([]byte, 28, 28+len(body))
	d[0], d[8], d[9] = 0x45, 64, 17
	d = append(d, body...)
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	copy(d[12:], []byte{127, 0, 0, 1, 127, 0, 0, 1})
	binary.BigEndian.PutUint16(d[20:], uint16(s.LocalAddr().(*net.UDPAddr).Port))
	binary.BigEndian.PutUint16(d[22:], 5001)
	binary.BigEndian.PutUint16(d[24:], uint16(8+len(body)))
	return arrived, &eval.Packet{Family: rules.IP, Data: d, Out: "lo", OutIndex: 1}
}
