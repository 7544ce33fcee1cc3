//go:build linux

package linux

import (
	"os/exec"
	"testing"

	"github.com/portwhy/portwhy/rules/eval"
)

// physdevCases are rules that look at the ports of a bridge, and at what else
// br_netfilter shows of a frame.
var physdevCases = []string{
	"rmifpo -p udp -m physdev --physdev-in p1",
	"rmifpo -p udp -m physdev ! --physdev-in p1",
	"rmifpo -p udp -m physdev --physdev-in p+",
	"rmifpo -p udp -m physdev --physdev-in p2",
	"rmifpo -p udp -m physdev ! --physdev-in p2",
	"rmifpo -p udp -m physdev --physdev-is-in",
	"rmifpo -p udp -m physdev ! --physdev-is-in",
	"rmifp -p udp -m physdev --physdev-is-out",
	"rmifp -p udp -m physdev ! --physdev-is-out",
	"rmifp -p udp -m physdev --physdev-is-bridged",
	"rmifpo -p udp -m physdev ! --physdev-is-bridged",
	"fp -p udp -m physdev --physdev-is-bridged --physdev-out p2",
	"fp -p udp -m physdev --physdev-is-bridged ! --physdev-out p2",
	"fp -p udp -m physdev --physdev-is-bridged ! --physdev-out p1",
	"fp -p udp -m physdev --physdev-is-bridged --physdev-in p1 --physdev-out p+",
	"rmif -p udp -i br0",
	"rmif -p udp -i p1",
	"fpo -p udp -o br0",
	"rmif -p udp -m mac --mac-source 02:00:00:00:00:aa",
	"rmifpo -p udp -m pkttype --pkt-type unicast",
	"rmifpo -p udp -m conntrack --ctstate NEW",
	"rmif -p udp -m addrtype --dst-type LOCAL --limit-iface-in",
}

// What iptables sees of a bridge is what the evaluator sees.
func TestPhysdevIsTheKernels(t *testing.T) {
	for _, tool := range []string{"iptables-legacy", "iptables-nft"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool + "-restore"); err != nil {
				t.Skip("needs", tool)
			}
			inOwnNamespace(t, func() {
				if !makeBridge(t) {
					return
				}
				run(t, "", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
				c := newComparer(t, bridgeHost(true), loadMatches(t, tool, physdevCases, true))
				if c == nil {
					return
				}
				for _, way := range []eval.Way{eval.Bridged, eval.In, eval.Out} {
					if !sendAlong(t, way, eval.Accept) {
						t.Errorf("nothing came on the way %s", way)
					}
					c.compare(string(way), way, along(way))
				}
				c.report(3)
			})
		})
	}
}
