//go:build linux

package linux

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/text"
)

// tool runs commands of a tool, or each of its own; false if the tool or the
// kernel doesn't know them.
func tool(t *testing.T, name, commands string) bool {
	t.Helper()
	for command := range strings.SplitSeq(commands, ";") {
		words := strings.Fields(name + " " + command)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Logf("not compared: %s: %v %s", command, err, out)
			return false
		}
	}
	return true
}

// Bridged frames by arptables-nft and ebtables-nft, whose rules are nftables'.
func TestToolsOfBridgesAndARP(t *testing.T) {
	for _, name := range []string{"ebtables-nft", "arptables-nft", "iptables-nft"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("needs", name)
		}
	}
	inOwnNamespace(t, func() {
		if !makeBridge(t) {
			return
		}
		for _, c := range []struct {
			way     eval.Way
			command string
			drops   bool
		}{
			{eval.Bridged, "ebtables-nft -A FORWARD -i p1 -o p2 -p IPv4 --ip-proto udp --ip-dport 5001 -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD -i p2 -j DROP", false},
			{eval.Bridged, "ebtables-nft -A FORWARD -p IPv4 --ip-src 10.9.0.0/24 --ip-dst ! 10.9.0.9 -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD -p IPv4 --ip-proto udp --ip-sport 6000:6002 --ip-dport ! 5002 -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD -p IPv4 --ip-proto tcp --ip-dport 5001 -j DROP", false},
			{eval.Bridged, "ebtables-nft -A FORWARD -p IPv6 --ip6-proto udp -j DROP", false},
			{eval.Bridged, "ebtables-nft -A FORWARD --pkttype-type otherhost -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD --pkttype-type host -j DROP", false},
			{eval.In, "ebtables-nft -A INPUT --pkttype-type host -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD -j mark --mark-set 5 --mark-target CONTINUE; ebtables-nft -A FORWARD --mark 5 -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD -j mark --mark-or 5 --mark-target ACCEPT; ebtables-nft -A FORWARD --mark 5 -j DROP", false},
			{eval.Bridged, "ebtables-nft -A FORWARD --log --log-level info -j DROP", true},
			{eval.Bridged, "ebtables-nft -t nat -A POSTROUTING -j snat --to-src 02:00:00:00:00:55 --snat-target DROP", true},
			{eval.Bridged, "ebtables-nft -t nat -A PREROUTING -j redirect; ebtables-nft -A FORWARD -j ACCEPT; ebtables-nft -A INPUT -j DROP", true},
			{eval.Bridged, "ebtables-nft -t nat -A PREROUTING -d 02:00:00:00:00:99 -j dnat --to-dst 02:00:00:00:00:10; ebtables-nft -A FORWARD -j ACCEPT; ebtables-nft -A INPUT -j DROP", true},
			{eval.Bridged, "ebtables-nft -A FORWARD -s 02:00:00:00:00:aa -j DROP", true},
			{eval.In, "ebtables-nft -P INPUT DROP", true},
			{eval.Out, "ebtables-nft -A OUTPUT -d 02:00:00:00:00:99 -j DROP", true},
			{eval.In, "arptables-nft -A INPUT -s 10.9.0.2 -j DROP", false},
			{eval.Bridged, "iptables-nft -A FORWARD -m physdev --physdev-in p1 --physdev-is-bridged -j DROP", true},
			{eval.Bridged, "iptables-nft -A FORWARD -m physdev --physdev-in p2 -j DROP", false},
			{eval.Bridged, "iptables-nft -A FORWARD -m physdev --physdev-out p2 --physdev-is-bridged -j DROP", true},
			{eval.Bridged, "iptables-nft -A FORWARD -m physdev ! --physdev-out p2 --physdev-is-bridged -j DROP", false},
			{eval.In, "iptables-nft -A INPUT -m physdev --physdev-in p1 -j DROP", true},
			{eval.In, "iptables-nft -A INPUT -m physdev --physdev-is-bridged -j DROP", false},
			{eval.In, "iptables-nft -A INPUT -i br0 -m physdev ! --physdev-is-in -j DROP", false},
		} {
			run(t, "flush ruleset", "nft", "-f", "-")
			if !tool(t, "", c.command) {
				continue
			}
			h, err := Open(Options{})
			if err != nil {
				t.Error(err)
				return
			}
			set, err := everything(h)
			if err != nil {
				t.Errorf("%s: %v", c.command, err)
				continue
			}
			got := eval.Compile(set, bridgeHost(true)).Trace(c.way, along(c.way))
			arrived := sendAlong(t, c.way, got.Verdict)
			if arrived == c.drops || (got.Verdict == eval.Accept) != arrived && got.Verdict != eval.Unknown {
				t.Errorf("%s: the verdict is %q, arrived: %v, doubts: %v", c.command, got.Verdict, arrived, got.Doubts)
			}
			if got.Verdict == eval.Unknown {
				t.Logf("not known: %s: %v", c.command, got.Doubts)
			}
		}
	})
}

// The extensions of ebtables' rules are told as ebtables-save writes them.
func TestWordsOfEbtables(t *testing.T) {
	if _, err := exec.LookPath("ebtables-nft"); err != nil {
		t.Skip("needs ebtables-nft")
	}
	inOwnNamespace(t, func() {
		for _, c := range []struct{ chain, head, words, tail string }{
			{"FORWARD", "-p IPv4", "--ip-src ! 10.0.0.0/24 --ip-dst 10.1.2.3 --ip-tos 0x10", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-proto ! udp", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-proto udp --ip-sport ! 5:10 --ip-dport 1:65535", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-proto icmp --ip-icmp-type echo-request", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-proto icmp --ip-icmp-type ! host-unreachable", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-proto icmp --ip-icmp-type 200/7", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-proto igmp --ip-igmp-type membership-query", "-j DROP"},
			{"FORWARD", "-p IPv4", "--ip-src 10.0.0.0/255.0.255.0", "-j DROP"},
			{"FORWARD", "-p IPv6", "--ip6-src ! fe80::/10 --ip6-dst ::1 --ip6-tclass 0x10 --ip6-proto tcp --ip6-sport 5 --ip6-dport ! 7", "-j DROP"},
			{"FORWARD", "-p IPv6", "--ip6-proto ipv6-icmp --ip6-icmp-type ! 1:4/0:5", "-j DROP"},
			{"FORWARD", "-p ARP", "--arp-op ! Reply --arp-htype 1 --arp-ptype 0x800 --arp-ip-src ! 10.0.0.1 --arp-ip-dst 10.0.0.0/8 " +
				"--arp-mac-src 00:11:22:33:44:55 --arp-mac-dst ! 00:11:22:00:00:00/ff:ff:ff:00:00:00", "-j DROP"},
			{"FORWARD", "-p ARP", "! --arp-gratuitous", "-j DROP"},
			{"FORWARD", "-p ARP", "--arp-op 77", "-j DROP"},
			{"FORWARD", "-p 802_1Q", "--vlan-id ! 5", "-j DROP"},
			{"FORWARD", "-p 802_1Q", "--vlan-encap 86DD", "-j DROP"},
			{"FORWARD", "", "--pkttype-type ! otherhost", "-j DROP"},
			{"FORWARD", "", "--mark ! 0x10/0xff", "-j DROP"},
			{"FORWARD", "", "--mark /0xf", "-j DROP"},
			{"FORWARD", "", "--mark 0x5", "-j DROP"},
			{"FORWARD", "-p Length", "--802_3-sap ! 0x42 --802_3-type 0x0800", "-j DROP"},
			{"FORWARD", "-d BGA", "--stp-type config", "-j DROP"},
			{"FORWARD", "", `--log-level info --log-prefix "ab" --log-ip --log-arp --log-ip6`, "-j DROP"},
			{"FORWARD", "", `--nflog-prefix "q" --nflog-group 7 --nflog-range 20 --nflog-threshold 3`, "-j DROP"},
			{"FORWARD", "", "--nflog-group 3", "-j DROP"},
			{"FORWARD", "", "-j mark --mark-or 0x5 --mark-target CONTINUE", ""},
			{"PREROUTING", "", "-j dnat --to-dst 00:11:22:33:44:55 --dnat-target ACCEPT", ""},
			{"PREROUTING", "", "-j redirect --redirect-target DROP", ""},
			{"PREROUTING", "-p ARP", "-j arpreply --arpreply-mac 00:11:22:33:44:55 --arpreply-target ACCEPT", ""},
			{"POSTROUTING", "", "-j snat --to-src 00:11:22:33:44:55 --snat-arp --snat-target CONTINUE", ""},
		} {
			run(t, "flush ruleset", "nft", "-f", "-")
			table := "filter"
			if c.chain != "FORWARD" {
				table = "nat"
			}
			words := strings.ReplaceAll(c.words, `"`, "")
			if !tool(t, "ebtables-nft -t "+table+" -A "+c.chain, c.head+" "+words+" "+c.tail) {
				continue
			}
			saved := string(run(t, "", "ebtables-nft-save"))
			h, err := Open(Options{})
			if err != nil {
				t.Error(err)
				return
			}
			set, err := everything(h)
			if err != nil {
				t.Errorf("%s: %v", c.words, err)
				continue
			}
			printer := &text.Printer{}
			got := ""
			for _, table := range set.Tables {
				for _, chain := range table.Chains {
					for _, r := range chain.Rules {
						got += printer.Rule(table, chain, r) + "\n"
					}
				}
			}
			if !strings.Contains(saved, " "+c.words) || !strings.Contains(got, "[ "+c.words+" ]") {
				t.Errorf("%s\n  ebtables-save: %s\n  told:          %s", c.words, saved, got)
			}
		}
	})
}
