//go:build linux

package linux

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules/eval"
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
