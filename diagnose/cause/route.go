package cause

// route: the packet finds no way, or takes the wrong one.
func route() []Entry {
	return []Entry{
		{
			Code:    "no-route",
			Summary: "There is no route to the address",
			Means: `The kernel looked through its tables by the order of ip rule and found no way,
not even a default route (ip-route(8)). The address of a device gives a route
to its own network only. For IPv6 the default route mostly comes from a
router's advertisement, which a host that forwards ignores unless accept_ra is
2.`,
			Shows: `ENETUNREACH, "network is unreachable", at once. Nothing leaves the host.`,
			Mend: `Add the route, or the default route, and make it last in the network's
configuration. Check that the device is up and has its address.

    ip route get ADDRESS
    ip route add default via GATEWAY dev DEVICE
    sysctl -w net.ipv6.conf.DEVICE.accept_ra=2`,
			See: []string{"route-unreachable", "link-down", "loopback-down"},
		},
		{
			Code:    "route-unreachable",
			Summary: "A route of type unreachable stands for this address",
			Means: `Somebody put in a route that says no: ip route add unreachable, or an ip rule
with that action. Routing daemons, VPN clients and Kubernetes networks use it
to keep traffic for a network from leaking by the default route when the real
way is down.`,
			Shows: `EHOSTUNREACH, "no route to host", at once; a missing neighbour would take
three seconds. Hosts behind this router get ICMP host unreachable from it.`,
			Mend: `Bring back the way that it guards (the tunnel, the peer), or delete it if it
is left over.

    ip route get ADDRESS
    ip route show table all type unreachable
    ip route del unreachable PREFIX`,
			See: []string{"no-route", "firewall-reject", "route-prohibit"},
		},
		{
			Code:    "route-prohibit",
			Summary: "A route or rule of type prohibit forbids this address",
			Means: `A route of type prohibit, or an ip rule with that action (ip-rule(8)), refuses
the destination as forbidden. It may hold for one source address, one mark or
one user only, so that others on the same host connect.`,
			Shows: `EACCES, "permission denied", from connect at once, which looks like missing
rights but is routing. Hosts behind this router get ICMP "communication
administratively prohibited".`,
			Mend: `Find the rule or route, and who made it, before deleting it.

    ip rule
    ip route show table all type prohibit
    ip route get ADDRESS uid UID
    ip route del prohibit PREFIX`,
			See: []string{"route-unreachable", "bind-denied-lsm"},
		},
		{
			Code:    "route-blackhole",
			Summary: "A blackhole route swallows packets for this address",
			Means: `A route of type blackhole discards without a word: against an attack, as a
guard around a larger network, or for a blocked address. The kernel answers a
local program with an error that nobody expects, and forwarded packets with
silence. A rule at OUTPUT that sets a mark can lead packets there.`,
			Shows: `EINVAL, "invalid argument", from connect on this host at once; ETIMEDOUT for
those behind it, and for TCP if a mark leads there. No firewall counter moves.`,
			Mend: `Delete the route if it is left over. If a routing daemon or a ban tool put it
in, it must be taken out there.

    ip route show table all type blackhole
    ip route del blackhole PREFIX`,
			See: []string{"route-unreachable", "firewall-drop"},
		},
		{
			Code:    "neighbour-failed",
			Summary: "The next host on the link doesn't answer ARP or neighbour discovery",
			Means: `To send a packet, the kernel asks for the hardware address of the destination,
or of the gateway, three times, a second apart (arp(7), RFC 826; RFC 4861 for
IPv6). No answer means: the host is off or not on this link, the netmask or
VLAN is wrong, the gateway is down, or the link isolates its ports. A host also
leaves ARP unanswered by its settings arp_ignore, arp_filter and a strict
rp_filter (ip-sysctl).`,
			Shows: `EHOSTUNREACH, "no route to host", after about three seconds. That is no
firewall: a reject comes at once. The neighbour's entry is INCOMPLETE, then
FAILED.`,
			Mend: `Check the address, the prefix length and the cable or VLAN; try another host
of the same network.

    ip neigh show ADDRESS
    ip route get ADDRESS
    arping -I DEVICE ADDRESS`,
			See: []string{"link-no-carrier", "firewall-nd-blocked", "neighbour-wrong"},
		},
		{
			Code:    "neighbour-wrong",
			Summary: "The neighbour table has the wrong hardware address",
			Means: `Packets go out, but to a card that isn't the right one: a PERMANENT entry from
before a card was changed, a virtual IP that moved without announcing itself,
or two hosts with the same address that take turns. The kernel trusts a
permanent entry and never asks.`,
			Shows: `ETIMEDOUT, not EHOSTUNREACH, because the address is thought to be known. With
two hosts of one address it works now and then.`,
			Mend: `Delete the entry and let the kernel ask; look at who answers. Two different
answers mean a duplicate address.

    ip neigh show ADDRESS
    ip neigh del ADDRESS dev DEVICE
    arping -D -I DEVICE ADDRESS`,
			See: []string{"neighbour-failed"},
		},
		{
			Code:    "link-no-carrier",
			Summary: "The device is up but has no carrier",
			Means: `The device is turned on (IFF_UP), yet nothing is at its other end: no cable, a
switch port that is off, the other half of a veth pair down or gone with its
namespace, a bridge without an active port (netdevice(7), IFF_LOWER_UP). Its
addresses and routes stay, so routing still points there.`,
			Shows: `EHOSTUNREACH after about three seconds. ip link shows NO-CARRIER and LOWER_UP
is missing; the route has the flag linkdown.`,
			Mend: `Mend the other end. For containers, start them again; for a bridge, look at
what is attached.

    ip -br link
    ip link set dev PEER up
    ethtool DEVICE`,
			See: []string{"link-down", "neighbour-failed"},
		},
		{
			Code:    "link-down",
			Summary: "The device is turned off",
			Means: `The device lacks IFF_UP: nobody brought it up, somebody took it down, or the
network service gave it up. When a device goes down the kernel removes its
routes, and IPv6 addresses too, so packets take another way or none. To bring
it up again doesn't bring back routes that were set by hand.`,
			Shows: `ENETUNREACH at once, if no other route is left; otherwise a timeout on the
wrong way. ip link shows state DOWN and no UP in the flags.`,
			Mend: `Bring it up through whatever manages it, so that routes and addresses come
with it.

    ip link set dev DEVICE up
    networkctl status DEVICE
    nmcli device connect DEVICE`,
			See: []string{"link-no-carrier", "no-route"},
		},
		{
			Code:    "loopback-down",
			Summary: "The loopback device is down",
			Means: `A new network namespace begins with lo turned off, and everything that the
host sends to itself goes through lo: 127.0.0.1, ::1, and its own addresses on
other devices as well. ip netns add and unshare --net leave it so; container
engines and systemd's PrivateNetwork= turn it on by themselves.`,
			Shows: `In a fresh namespace 127.0.0.1 gives ENETUNREACH and ::1 EADDRNOTAVAIL, at
once. If lo was up before and taken down, connections to own addresses end in
ETIMEDOUT.`,
			Mend: `Turn it on, in that namespace.

    ip link set dev lo up
    ip -n NAMESPACE link set dev lo up`,
			See: []string{"link-down", "no-route"},
		},
		{
			Code:    "local-route-missing",
			Summary: "The host has the address, but no local route for it",
			Means: `For each address of a device the kernel keeps a route of type local in the
table local (ip-route(8)); it is what makes packets for that address end here.
If a script or a daemon that flushes tables deleted it, the address is still
shown but the host doesn't take itself as its owner.`,
			Shows: `ETIMEDOUT or EHOSTUNREACH to the host's own address, from here and from
others, although ip address lists it.`,
			Mend: `Take the address off and put it on again: that makes the route anew. Keep the
script away from the table local.

    ip route show table local
    ip address del ADDRESS/LEN dev DEVICE
    ip address add ADDRESS/LEN dev DEVICE`,
			See: []string{"address-not-local", "no-route"},
		},
		{
			Code:    "rp-filter",
			Summary: "The reverse path filter drops packets from this source",
			Means: `With net.ipv4.conf.DEVICE.rp_filter=1 the kernel drops a packet if its own
route back to the sender doesn't lead out of the same device (RFC 3704). The
higher value of all and DEVICE counts. Hosts with two cards, VPNs or policy
routing meet it. With src_valid_mark=1 the route back is looked up with the mark
that a rule has given the packet, without it with none. firewalld has a rule of
its own for IPv6.`,
			Shows: `ETIMEDOUT from some sources only; tcpdump sees the SYN come in.
TcpExt.IPReversePathFilter rises with each packet.`,
			Mend: `Make the route back symmetric, or relax the filter to loose (2), which only
asks whether there is any route.

    nstat -az TcpExtIPReversePathFilter
    ip route get ADDRESS
    sysctl -w net.ipv4.conf.DEVICE.rp_filter=2`,
			See: []string{"reply-route", "firewall-drop"},
		},
		{
			Code:    "reply-route",
			Summary: "The request arrives, but the answer is routed elsewhere",
			Means: `The answer's route is looked up by its own source and destination: an ip rule
for that source, a mark or a table without the needed route sends it to the
wrong device, into a blackhole or nowhere. The mark is the listener's (SO_MARK),
that of a rule at OUTPUT, or the packet's: with net.ipv4.tcp_fwmark_accept=1 for
TCP, with net.ipv4.fwmark_reflect=1 for resets and ICMP errors. As a note: it
leaves by another device, and what sees one direction only may drop it.`,
			Shows: `ETIMEDOUT. The server has the connection in SYN-RECV and sends its SYN-ACK
again and again, or can't send it at all.`,
			Mend: `Add the missing route to the table that the rule chooses, or mend the rule.

    ip rule
    ip route get CLIENT from ADDRESS mark MARK
    ip route add CLIENT via GATEWAY table TABLE`,
			See: []string{"rp-filter", "nat-no-return", "route-through-vpn"},
		},
		{
			Code:    "route-through-vpn",
			Summary: "The way to this address leads through a VPN",
			Means: `The route, or a policy rule before it, sends the packet into a tunnel. A full
tunnel (AllowedIPs = 0.0.0.0/0 in WireGuard, redirect-gateway in OpenVPN)
takes everything, and two networks with the same private range collide. At its
far end nobody knows the local network.`,
			Shows: `ETIMEDOUT while the VPN is up, and it works when it is down. ip route get
names the tunnel's device for an address that is next door.`,
			Mend: `Leave the local network out of the tunnel, by AllowedIPs or by a more specific
route.

    ip route get ADDRESS
    ip rule
    ip route add PREFIX dev DEVICE`,
			See: []string{"route-subnet-overlap", "firewall-output-drop"},
		},
		{
			Code:    "route-subnet-overlap",
			Summary: "Two networks with overlapping addresses; the packet goes into the wrong one",
			Means: `A Docker or libvirt bridge, a VPN or a second card has a range that contains
this address too, so the more specific or cheaper route wins, and it leads
there. Docker takes 172.17.0.0/16 and its neighbours, which many companies use
as well.`,
			Shows: `EHOSTUNREACH after three seconds, as nobody there has the address;
ECONNREFUSED or a wrong answer if somebody has. Other hosts of that network
can be reached.`,
			Mend: `Give the bridge another range, and make its networks anew.

    ip route get ADDRESS
    docker network ls
    docker network rm NETWORK

In /etc/docker/daemon.json, default-address-pools sets the ranges.`,
			See: []string{"route-through-vpn", "neighbour-failed"},
		},
		{
			Code:    "mtu-black-hole",
			Summary: "Large packets vanish on the way (path MTU black hole)",
			Means: `A link on the way takes only smaller packets, and the ICMP message that should
tell the sender (fragmentation needed, RFC 1191; packet too big, RFC 8201) is
filtered. Tunnels, PPPoE and clouds with jumbo frames inside are the usual
places. TCP sends the same large segment over and over.`,
			Shows: `It connects, small answers come, and anything large hangs: TLS stops after the
first message, SSH at the key exchange, a page loads by half. ss -ti shows
retransmissions with an unchanged pmtu.`,
			Mend: `Let that ICMP message pass; clamp the MSS at the tunnel, lower the device's
MTU, or let the kernel probe (RFC 4821).

    ping -M do -s 1472 HOST
    sysctl -w net.ipv4.tcp_mtu_probing=1
    nft add rule inet filter forward tcp flags syn tcp option maxseg size set rt mtu`,
			See: []string{"qdisc-drop"},
		},
		{
			Code:    "qdisc-drop",
			Summary: "The queueing discipline of the device drops packets",
			Means: `Everything that leaves a device goes through its qdisc (tc(8)). netem with a
loss, left over from a test, drops at random or altogether; tbf, police and
full queues drop what is too much. Its counters tell how much.`,
			Shows: `Connections that are slow, that fail now and then, or that all end in
ETIMEDOUT. The dropped value of tc -s rises with each try.`,
			Mend: `Take off what a test has left; for a shaper give it a fitting rate. A deleted
root qdisc is replaced by the default one.

    tc -s qdisc show dev DEVICE
    tc qdisc del dev DEVICE root`,
			See: []string{"bpf-tc-drop", "mtu-black-hole"},
		},
		{
			Code:    "xfrm-block",
			Summary: "An IPsec policy blocks the traffic",
			Means: `The kernel's security policy database (ip-xfrm(8)) has an entry for these
addresses that blocks, or that demands encryption for which no security
association exists, because the tunnel isn't up. Plain packets that come in
against a policy are dropped. VPN daemons use both as a guard against leaks.`,
			Shows: `EPERM at once where a policy for out blocks; ETIMEDOUT while an association is
missing, or where the blocking policy is for in. XfrmOutPolBlock,
XfrmOutNoStates or XfrmInPolBlock in /proc/net/xfrm_stat rise.`,
			Mend: `Bring the tunnel up, or remove the policy by the daemon that set it.

    ip xfrm policy
    cat /proc/net/xfrm_stat
    swanctl --list-sas`,
			See: []string{"firewall-output-drop"},
		},
	}
}
