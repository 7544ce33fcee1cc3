//go:build linux

package linux

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// arpCases: va asks the host for its address, as In; the host's answer is Out.
var arpCases = []struct {
	name string
	way  eval.Way
	text string
}{
	{"nothing", eval.In, ``},
	{"input", eval.In, `table arp t { chain i { type filter hook input priority 0; arp operation request drop; }; }`},
	{"input by device", eval.In, `table arp t { chain i { type filter hook input priority 0; iifname "br0" arp saddr ip 10.9.0.2 drop; }; }`},
	{"input by length", eval.In, `table arp t { chain i { type filter hook input priority 0; meta length 28 drop; }; }`},
	{"input by link address", eval.In, `table arp t { chain i { type filter hook input priority 0; @ll,48,48 0x0200000000aa drop; }; }`},
	{"output", eval.Out, `table arp t { chain o { type filter hook output priority 0; arp operation reply drop; }; }`},
	{"output by device", eval.Out, `table arp t { chain o { type filter hook output priority 0; oifname "br0" iif 0 drop; }; }`},
	{"output by length", eval.Out, `table arp t { chain o { type filter hook output priority 0; meta length 42 drop; }; }`},
	{"no link header at output yet", eval.Out, `table arp t { chain o { type filter hook output priority 0; @ll,96,16 0x806 drop; }; }`},
	{"the type of device at output", eval.Out, `table arp t { chain o { type filter hook output priority 0; meta iiftype ether drop; }; }`},
	{"no transport protocol", eval.In, `table arp t { chain i { type filter hook input priority 0; meta l4proto != 250 drop; }; }`},
	{"the bridge's input", eval.In, `table bridge t { chain i { type filter hook input priority -200; ether type arp arp operation request drop; }; }`},
	{"ingress", eval.In, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; arp operation request drop; }; }`},
	{"inet ingress isn't for ARP", eval.In, `table inet t { chain i { type filter hook ingress device "p1" priority 0; drop; }; }`},
	{"inet ingress with a drop policy isn't for ARP", eval.In, `table inet t { chain i { type filter hook ingress device "p1" priority 0; policy drop; }; }`},
	{"egress", eval.Out, `table netdev t { chain e { type filter hook egress device "p1" priority 0; arp operation reply drop; }; }`},
}

func TestARPVerdictsAreTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		if !makeBridge(t) {
			return
		}
		for _, c := range arpCases {
			if set, ok := loadRules(t, c.name, c.text); ok {
				askForHost(t, c.name, c.way, set)
			}
		}
	})
}

// askForHost asks for the host's address, or takes its answer, through rules.
func askForHost(t *testing.T, name string, way eval.Way, set *rules.Ruleset) {
	t.Helper()
	ask := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	ask = append(append(ask, macSender...), 10, 9, 0, 2)
	ask = append(ask, 0, 0, 0, 0, 0, 0, 10, 9, 0, 1)
	reply := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	reply = append(append(reply, macBridge...), 10, 9, 0, 1)
	reply = append(append(reply, macSender...), 10, 9, 0, 2)
	broadcast := bytes.Repeat([]byte{0xff}, 6)
	p := &eval.Packet{Family: rules.ARP, In: "br0", InPort: "p1", Data: ask, Link: header(broadcast, macSender, 0x806)}
	if way == eval.Out {
		p = &eval.Packet{Family: rules.ARP, Out: "br0", OutPort: "p1", Data: reply}
	}
	got := eval.Compile(set, bridgeHost(false)).Trace(way, p)
	answered := receive(t, "va", waitFor(got.Verdict), func(frame []byte) bool { return bytes.Contains(frame, reply) }, func() {
		transmit(t, "va", append(header(broadcast, macSender, 0x806), ask...))
	})
	if got.Verdict == eval.Unknown || (got.Verdict == eval.Accept) != answered {
		t.Errorf("%s: the verdict is %q, answered: %v, doubts: %v", name, got.Verdict, answered, got.Doubts)
	}
}

// What arptables does to ARP, by both of its kinds.
func TestARPTablesVerdictsAreTheKernels(t *testing.T) {
	for _, kind := range []string{"arptables-nft", "arptables-legacy"} {
		if _, err := exec.LookPath(kind); err != nil {
			t.Log("not compared: ", err)
			continue
		}
		for _, c := range []struct {
			way   eval.Way
			rules string
		}{
			{eval.In, "-A INPUT -s 10.9.0.2 -j DROP"},
			{eval.In, "-A INPUT -s 10.9.0.9 -j DROP"},
			{eval.In, "-A INPUT ! -s 10.9.0.9 -j DROP"},
			{eval.In, "-A INPUT --source-mac 02:00:00:00:00:aa -j DROP"},
			{eval.In, "-A INPUT --source-mac 02:00:00:00:00:ab -j DROP"},
			{eval.In, "-A INPUT -i br0 --opcode 1 -j DROP"},
			{eval.In, "-A INPUT -i p1 -j DROP"},
			{eval.In, "-A INPUT --h-type 1 --proto-type 0x800 -d 10.9.0.0/24 -j DROP"},
			{eval.In, "-A INPUT -s 10.9.0.2 -j mangle --mangle-ip-s 10.9.0.7 --mangle-target CONTINUE; -A INPUT -s 10.9.0.7 -j DROP"},
			{eval.In, "-A INPUT -s 10.9.0.2 --h-length 6 -j mangle --mangle-mac-s 02:00:00:00:00:66 --mangle-target CONTINUE; -A INPUT --source-mac 02:00:00:00:00:66 -j DROP"},
			{eval.In, "-P INPUT DROP"},
			{eval.Out, "-A OUTPUT -o br0 --opcode 2 -j DROP"},
			{eval.Out, "-A OUTPUT -d 10.9.0.2 --destination-mac 02:00:00:00:00:aa -j DROP"},
			{eval.Out, "-A OUTPUT -d 10.9.0.2 -j mangle --mangle-ip-s 10.9.0.1 --mangle-target DROP"},
		} {
			inOwnNamespace(t, func() {
				if !makeBridge(t) || !tool(t, kind, c.rules) {
					return
				}
				h, err := Open(Options{})
				if err != nil {
					t.Error(err)
					return
				}
				set, err := everything(h)
				if kind == "arptables-legacy" {
					set, err = h.ReadLegacy()
				}
				if err != nil {
					t.Error(err)
					return
				}
				askForHost(t, kind+" "+c.rules, c.way, set)
			})
		}
	}
}
