// Package checks holds the stations of a flow's way, one file each, in the
// order in which the kernel handles a connection or a bind.
//
// To add a cause: its entry in package cause, the code in the check that sees
// it (and in that check's Codes), and a scenario in testdata/scenarios that
// proves it.
package checks

import (
	"slices"

	"github.com/portwhy/portwhy/diagnose"
)

// All returns every check in path order.
func All() []*diagnose.Check {
	return slices.Concat(connectChecks(), bindChecks())
}

func connectChecks() []*diagnose.Check {
	return []*diagnose.Check{
		name, nameAfter, proxyEnv,
		route, transform, ephemeral, firewallOut,
		link, vpn, firewallBridge, neighbour,
		bpf, bpfAfter, qdisc, rpFilter, neighbourIn, reply, firewallIn, replyAfter, firewallLimit, conntrackTable, tracked, ipvs,
		socket, bpfListener, unixSocket, unixAfter, resources, accept, md5After, acceptAfter, firewallElsewhere, firewallSaved,
		remote,
		backend, peers, protocol,
	}
}
