// Package rules is a host's firewall as data: what nftables, iptables on
// nftables, iptables-legacy and ipset hold, in one model and as the kernel
// keeps it, so that package eval can do with a packet what netfilter would.
//
// # How netfilter decides
//
// A packet passes hooks. One for this host meets prerouting, then input; one
// that goes through meets prerouting, forward, postrouting; one that this host
// sends meets output, then postrouting. At each hook stand base chains, which
// netfilter calls in order of their priority, whatever tool made them: those of
// nftables families ip, ip6 and inet, iptables on nftables (which is nftables
// tables that iptables wrote) and iptables-legacy, whose tables have fixed
// priorities. Of chains with the same priority the one that came last runs
// first. A verdict of accept ends only the base chain that gave it, and the
// packet goes on to the next; a drop is final. That is why a rule that accepts
// has no effect while another table drops.
//
// Before and behind these stand the hooks of devices, ingress and egress, each
// for the devices that its chain names. Loopback has both: a packet from a host
// to itself meets output, postrouting, egress, ingress, prerouting, input. A
// packet of a VLAN meets the hooks of the device below it too, with the tag on.
// A flowtable stands at ingress, and what it has taken over skips all other
// hooks.
//
// A bridge has hooks of its own, named as those of IP. A frame from port to port
// meets prerouting, forward and postrouting of family bridge; one for the host
// prerouting and input, and then, with the bridge as its device, ingress and the
// hooks of IP; one from the host output and postrouting, behind those of IP.
// Rules of IP don't see frames that are bridged, unless br_netfilter calls them
// from within the bridge's hooks (net.bridge.bridge-nf-call-iptables): then with
// the bridge as both devices. ARP has hooks input and output, of family arp.
//
// Chains of type nat are called by the NAT core, which stands at fixed places
// (-100 where destinations are changed, 100 where sources are). Their own
// priority only orders them among themselves. Only a flow's first packet comes
// to them: the rest follows the mapping that conntrack keeps.
//
// A rule of nftables is a program: expressions run in order over sixteen words
// of registers. One loads a field into a register, the next compares it. What
// doesn't compare, and a load of what the packet doesn't have, breaks the rule
// off (the next rule is tried). So `tcp dport != 22` never matches a later
// fragment, which has no ports. A miss in a set or map breaks off likewise. An
// expression may change the packet or its mark, and what follows in the same
// rule already sees the change.
//
// jump comes back behind the rule, at the end of the chain it led to or at a
// return; goto doesn't, it leaves the chain it came from for good. A return in a
// base chain, and its end, mean the policy. Dormant tables are not called.
//
// Sets are hashes, trees of borders (an interval's first key and, marked as an
// end, the first key behind it) or lists of concatenated ranges. What stands
// for everything else, the catch-all, counts only where nothing else matches.
//
// The rules that matter are those in the kernel, not their text: nft writes
// `tcp dport 22` and the kernel has a load of the protocol, a comparison, a load
// of the port and another comparison. The model holds the latter, and of a
// million rules in little memory (List): what many have they share, and what is
// a rule's own is a few bytes.
//
// # To extend it
//
// A new expression is a type in expr.go, a new object one in object.go. Package
// eval runs it, or follows both ways past it if it can't be decided; an
// expression that eval has never heard of is treated like that as well, so that
// forgetting one can't make an answer wrong. Nothing that was read may be
// dropped: what is not understood is Opaque. COVERAGE.md says of each what eval
// does with it and is held to the code by a test; a comparison with the kernel
// must meet the new expression, too.
package rules
