package cause

// nat: the packet is rewritten or passed on, and is lost by it.
func nat() []Entry {
	return []Entry{
		{
			Code:    "nat-dead-target",
			Summary: "A NAT rule sends the packet to where nothing listens",
			Means: `A DNAT or REDIRECT rule rewrites the destination before the listener is looked
up, so what counts is the new address and port. A container has got another
address since, a proxy that the rule fed is gone, or the rule was meant for
another port. A live listener on the original port never sees the packet.`,
			Shows: `ECONNREFUSED at once, even though something listens on the port that was
asked; or EHOSTUNREACH after three seconds if the new host is gone. conntrack
-L shows the rewritten address.`,
			Mend: `Start what should be at the target, correct the target, or delete the rule.

    conntrack -L -p tcp --orig-port-dst PORT
    nft -a list ruleset | grep -nE 'dnat|redirect'
    iptables -t nat -S`,
			See: []string{"nat-stale-conntrack", "proxy-backend-dead"},
		},
		{
			Code:    "nat-not-for-local",
			Summary: "The NAT rule is not asked for connections from this host itself",
			Means: `What this host sends goes through the output hook and never through prerouting
(nft(8), iptables(8)). A DNAT or REDIRECT that stands only in PREROUTING works
for everybody else. Docker adds a rule to OUTPUT, but it leaves out
127.0.0.0/8 unless the userland proxy is off.`,
			Shows: `It connects from the network and is refused on the host itself, at localhost
or at its own address.`,
			Mend: `Add the same rule to OUTPUT, or let local clients connect to the target
itself.

    nft add rule ip nat output ip daddr ADDRESS tcp dport PORT dnat to TARGET:PORT
    iptables -t nat -A OUTPUT -d ADDRESS -p tcp --dport PORT -j DNAT --to TARGET:PORT`,
			See: []string{"nat-route-localnet", "nat-dead-target"},
		},
		{
			Code:    "nat-route-localnet",
			Summary: "A packet from outside is rewritten to 127.0.0.1, which the kernel refuses",
			Means: `Addresses of 127.0.0.0/8 may not come in on a real device; such a packet is
martian and dropped at routing (RFC 1122 section 3.2.1.3). A DNAT to 127.0.0.1
makes one. Nor may one leave by a device: a connection to 127.0.0.1 that a
rule in OUTPUT leads to a container keeps its source, 127.0.0.1.
net.ipv4.conf.DEVICE.route_localnet=1 allows both, for IPv4 only.`,
			Shows: `ETIMEDOUT. The NAT rule's counter rises, and hardly any counter of the kernel
does; with log_martians=1 the kernel log has a line.`,
			Mend: `Better send it to the host's own address on that network, with the service
bound there. What leaves needs masquerading as well. If route_localnet is
turned on, guard the loopback services: others on that network could then
reach them.

    sysctl net.ipv4.conf.DEVICE.route_localnet
    sysctl -w net.ipv4.conf.DEVICE.route_localnet=1`,
			See: []string{"nat-not-for-local", "nat-dead-target"},
		},
		{
			Code:    "nat-no-return",
			Summary: "The answer doesn't come back through the NAT",
			Means: `DNAT needs the answer to pass the same host, so that the address is changed
back. If client and target share a network, or the target has another way to
the client, it answers directly, from an address that the client never asked;
the client throws that away. A container that calls its own published port is
the same case (hairpin).`,
			Shows: `ETIMEDOUT, from some networks only. On the target the connection hangs in
SYN-RECV; the client's host sends resets for the SYN-ACKs it didn't expect.`,
			Mend: `Masquerade such traffic so that the target answers to this host, or let the
client use the target's own address.

    nft add rule ip nat postrouting ip daddr TARGET tcp dport PORT masquerade
    bridge link set dev VETH hairpin on`,
			See: []string{"reply-route", "nat-dead-target"},
		},
		{
			Code:    "nat-stale-conntrack",
			Summary: "An old tracking entry sends the flow to the former target",
			Means: `NAT rules are asked for the first packet of a flow only; the others follow the
tracking entry that it made. A UDP flow that keeps sending never lets its
entry run out, so a change of the rules, or a container's new address, has no
effect on it. Long TCP connections behave likewise.`,
			Shows: `New flows work, and this one, with the same source port, goes on failing:
silence, or ICMP unreachable. conntrack -L shows the old address in the reply
direction.`,
			Mend: `Delete the entry after the change; the next packet asks the rules again.

    conntrack -L -p udp --orig-port-dst PORT
    conntrack -D -p udp --orig-port-dst PORT`,
			See: []string{"nat-dead-target"},
		},
		{
			Code:    "nat-shadowed",
			Summary: "An earlier NAT rule takes the packet, and the intended one never sees it",
			Means: `The first NAT rule that matches decides the flow; a later one for the same
port is not asked. Two containers or a tool and its former version each left a
rule, or a redirect for everything stands before the one for this port.`,
			Shows: `The connection goes to the wrong target: refused, timed out, or answered by
another service. The counter of the first rule rises, that of the second
stays.`,
			Mend: `Delete the rule that is left over, or narrow it by address or interface, and
put the more specific one first.

    iptables -t nat -L PREROUTING -n -v --line-numbers
    nft -a list chain ip nat prerouting
    iptables -t nat -D PREROUTING NUMBER`,
			See: []string{"firewall-shadowed-allow", "nat-dead-target"},
		},
		{
			Code:    "docker-chains-missing",
			Summary: "Docker's firewall chains are gone while containers publish ports",
			Means: `Docker writes its rules when it starts and when a container does. A restart or
flush of the firewall (iptables -F, nft flush ruleset, a reload of firewalld
or of nftables.service) removes them, and Docker doesn't notice. Published
ports are then neither rewritten nor forwarded.`,
			Shows: `ETIMEDOUT or ECONNREFUSED from outside on published ports; with the userland
proxy localhost still works. New containers fail: "No chain/target/match by
that name".`,
			Mend: `Restart Docker; it writes its chains anew. Let the firewall's configuration
flush only its own tables, and start before Docker.

    iptables -t nat -S DOCKER
    systemctl restart docker`,
			See: []string{"firewall-forward-drop", "port-not-published"},
		},
		{
			Code:    "ip-forward-off",
			Summary: "This host doesn't forward packets",
			Means: `With net.ipv4.ip_forward=0 a packet that is not for one of the host's
addresses is dropped in routing, without an ICMP message; for IPv6 it is
net.ipv6.conf.all.forwarding. Containers, virtual machines and VPN clients
depend on it. Hardening scripts and CIS benchmarks turn it off; the setting
exists per namespace and per device.`,
			Shows: `ETIMEDOUT for everything through the host, also for ports of containers that
are published by NAT. Ip.InAddrErrors rises.`,
			Mend: `Turn it on and write it where it lasts, in a file that is read after the one
that turns it off.

    sysctl net.ipv4.ip_forward
    sysctl -w net.ipv4.ip_forward=1
    grep -rs ip_forward /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d`,
			See: []string{"firewall-forward-drop"},
		},
		{
			Code:    "ipvs-no-backend",
			Summary: "IPVS has a virtual service here, but no backend for it",
			Means: `The kernel's load balancer takes the packet for a virtual address and port
(ipvsadm(8)), in kube-proxy's IPVS mode for each Service. If no real server is
in the table, or all have weight 0, there is nobody to hand it to. No socket
listens on that port, and none needs to.`,
			Shows: `ECONNREFUSED at once, since the kernel answers with port unreachable; nothing
in the list of listeners explains it.`,
			Mend: `Add or bring back real servers: in Kubernetes look at the Service's endpoints,
its selector and the readiness of the pods; with keepalived, at its health
checks.

    cat /proc/net/ip_vs
    ipvsadm -Ln
    kubectl get endpointslices`,
			See: []string{"nat-dead-target", "no-listener"},
		},
		{
			Code:    "conntrack-full",
			Summary: "The connection tracking table is full",
			Means: `Every tracked flow needs an entry, and a network namespace may have at most
net.netfilter.nf_conntrack_max of them. When the table is full and no entry
can be evicted, the first packet of each new flow is dropped, whatever the
rules say. Scans, many short UDP flows and long timeouts fill it.`,
			Shows: `ETIMEDOUT for new connections while old ones work; EPERM for UDP on the way
out. The kernel log says "nf_conntrack: table full, dropping packet", and
drop= rises in conntrack -S.`,
			Mend: `Raise the limit together with the number of buckets, shorten the timeouts, or
exempt heavy traffic from tracking. In a namespace the limit is read-only:
change it on the host.

    sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max
    sysctl -w net.netfilter.nf_conntrack_max=524288`,
			See: []string{"ephemeral-exhausted", "firewall-drop"},
		},
	}
}
