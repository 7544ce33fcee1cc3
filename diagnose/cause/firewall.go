package cause

// firewall: a rule, a policy or a BPF program stops the packet.
func firewall() []Entry {
	return []Entry{
		{
			Code:    "firewall-drop",
			Summary: "A firewall rule on the way in drops the packet",
			Means: `A rule of nftables or iptables on the way to the listener (prerouting, input)
has the verdict drop. The packet vanishes without an answer, and the sender
can't tell it from a host that is off (nft(8), iptables-extensions(8)). The
rule may stand in a chain that another one jumps to, so that the input chain
itself looks clean.`,
			Shows: `ETIMEDOUT: the client sends its SYN again for about two minutes. The rule's
counter, if it has one, rises by one for each try.`,
			Mend: `Put an accept for just this port and source before the rule, through the tool
that manages the rules, or it is lost at its next reload. Deleting the rule
opens all that it closed.

    nft -a list ruleset
    iptables-save -c
    nft insert rule inet filter input tcp dport PORT accept
    iptables -I INPUT -p tcp --dport PORT -j ACCEPT`,
			See: []string{"firewall-policy-drop", "firewall-set-drop", "firewall-upstream"},
		},
		{
			Code:    "firewall-reject",
			Summary: "A firewall rule on the way in rejects the packet",
			Means: `A rule has the verdict reject: the host sends an error back. Its kind decides
what the client reads: port-unreachable, the default, or a TCP reset looks
like a port where nobody listens; host-prohibited and admin-prohibited look
like a routing fault, though routing is well (RFC 792, RFC 1812, RFC 4443).`,
			Shows: `At once: ECONNREFUSED for port-unreachable and tcp-reset, EHOSTUNREACH "no
route to host" for host-prohibited, host-unreachable and admin-prohibited,
ENETUNREACH for the net ones, ENOPROTOOPT for proto-unreachable.`,
			Mend: `Allow the port before the rule. On images that end INPUT with a reject, an
appended rule comes too late: insert it above.

    nft -a list ruleset
    iptables -I INPUT 1 -p tcp --dport PORT -j ACCEPT
    firewall-cmd --permanent --add-port=PORT/tcp
    firewall-cmd --reload`,
			See: []string{"firewall-drop", "remote-rejected", "no-listener"},
		},
		{
			Code:    "firewall-policy-drop",
			Summary: "No rule allows the packet, and the chain's policy drops it",
			Means: `A base chain has a policy for what no rule decides. With policy drop
everything must be allowed by name, and here nothing names this port. ufw
works so by default; so does what is left when somebody flushes the rules and
the policy stays.`,
			Shows: `ETIMEDOUT, on the loopback address too if nothing allows it. No rule's counter
moves, only that of the policy, which iptables -L -v prints in the chain's
heading.`,
			Mend: `Add a rule for the port. If the chain is empty by mistake, restore its rules,
or set the policy to accept first and flush afterwards: the other order cuts
off an SSH session.

    ufw allow PORT/tcp
    nft add rule inet filter input tcp dport PORT accept
    iptables -P INPUT ACCEPT`,
			See: []string{"firewall-drop", "firewall-loopback"},
		},
		{
			Code:    "firewall-set-drop",
			Summary: "The address or port is in a set that a rule drops",
			Means: `The rule matches against a set (nft sets and maps, ipset(8)), and this
address, network or port is an element of it. Sets are filled by programs at
run time: fail2ban, CrowdSec, a blocklist, a rule that adds addresses by
itself. Elements may run out by a timeout.`,
			Shows: `ETIMEDOUT, or ECONNREFUSED where the rule rejects, from one source only, while
others connect. It begins by itself, after failed logins for instance, and may
end by itself.`,
			Mend: `Let the program that put the address in take it out again, and put a trusted
address on its list of exceptions. An element that is deleted by hand comes
back.

    fail2ban-client set JAIL unbanip ADDRESS
    cscli decisions delete --ip ADDRESS
    ipset test SET ADDRESS
    nft get element inet TABLE SET '{ ADDRESS }'`,
			See: []string{"firewall-drop", "firewall-rate-limit"},
		},
		{
			Code:    "firewall-shadowed-allow",
			Summary: "A rule allows this packet, but an earlier one has already decided",
			Means: `Rules are asked in order, and the first verdict ends the chain. An allow that
was appended after a drop or reject for everything is never reached. iptables
-A and nft add put a rule at the end, and images with a final REJECT make this
the most frequent slip of all.`,
			Shows: `A timeout or a refusal although the list of rules shows the allow. The counter
of the earlier rule rises, that of the allow stays at zero.`,
			Mend: `Move the allow in front of the rule that decides. Look at the numbers first,
and save the result.

    iptables -L INPUT -n -v --line-numbers
    iptables -I INPUT NUMBER -p tcp --dport PORT -j ACCEPT
    nft insert rule inet filter input handle HANDLE tcp dport PORT accept`,
			See: []string{"firewall-drop", "firewall-policy-drop"},
		},
		{
			Code:    "firewall-other-table",
			Summary: "One table accepts the packet, and another one drops it",
			Means: `In nftables an accept ends only its own base chain; the packet goes on to the
next chain of the same hook, by priority, and any drop is final (nft(8)). The
same holds between nftables, iptables-nft and iptables-legacy: each has its
say. An allow in ufw doesn't help against a drop in a table of your own, or of
a VPN client.`,
			Shows: `A timeout or a refusal, while the counter of the accept rises. nft list
ruleset shows nothing of iptables-legacy; that has tables of its own.`,
			Mend: `Allow the packet in the table that drops it, or keep to one backend and empty
the other.

    nft list chains
    cat /proc/net/ip_tables_names
    iptables-legacy-save -c`,
			See: []string{"firewall-shadowed-allow", "firewall-drop"},
		},
		{
			Code:    "firewall-loopback",
			Summary: "The firewall blocks the host's own loopback traffic",
			Means: `A connection from the host to itself, to 127.0.0.1 or to its own address,
passes output and then input on lo. A strict ruleset without a rule that
accepts lo blocks it there. Resolvers, databases and proxies on the same host
break with it.`,
			Shows: `ETIMEDOUT or a refusal on 127.0.0.1 and ::1, at every port. From outside an
allowed port connects, while its own host can't.`,
			Mend: `Accept lo at the top of the input chain, and of the output chain if that is
strict. This opens nothing to others.

    nft insert rule inet filter input iif lo accept
    iptables -I INPUT 1 -i lo -j ACCEPT`,
			See: []string{"firewall-policy-drop"},
		},
		{
			Code:    "firewall-output-drop",
			Summary: "A rule or policy on this host's way out drops the packet",
			Means: `The packet is dropped in the output or postrouting hook before it leaves: a
kill switch of a VPN, a strict egress policy, a rule for one user (meta skuid,
-m owner). TCP doesn't pass the firewall's error to the caller, it simply
sends again; UDP does pass it.`,
			Shows: `For TCP ETIMEDOUT, as with a drop far away; for UDP EPERM from sendto(2) at
once. Nothing of it is seen on the wire.`,
			Mend: `Allow it on the way out, for the destination that is needed. After a VPN
client has crashed, its chains may be left over: start it and stop it
properly.

    nft add rule inet filter output ip daddr ADDRESS tcp dport PORT accept
    iptables -I OUTPUT -d ADDRESS -p tcp --dport PORT -j ACCEPT`,
			See: []string{"firewall-output-reject", "firewall-drop"},
		},
		{
			Code:    "firewall-output-reject",
			Summary: "A rule on this host's way out rejects the packet",
			Means: `A rule in the output hook has the verdict reject. The kernel makes the error
itself and gives it to the socket, so it looks like an answer from far away,
although no packet has left the host.`,
			Shows: `At once, and faster than the network could answer: ECONNREFUSED for
port-unreachable or a reset, EHOSTUNREACH for host- or admin-prohibited. An
ICMP error's sender is an address of this host. Another user or group may get
through if the rule asks for the owner.`,
			Mend: `Allow the destination before that rule, in the tool that made it.

    nft -a list chain inet filter output
    iptables -I OUTPUT 1 -d ADDRESS -p tcp --dport PORT -j ACCEPT`,
			See: []string{"firewall-output-drop", "firewall-reject"},
		},
		{
			Code:    "firewall-reply-blocked",
			Summary: "The request passes, but the firewall blocks the answer",
			Means: `A connection needs both directions. The SYN gets through, and the SYN-ACK is
dropped: by an output rule on the server's side, or by the client's own input
chain, which lacks the usual rule that accepts established and related
connections.`,
			Shows: `ETIMEDOUT. On the server the connection is in SYN-RECV and
TcpExt.TCPSynRetrans or its retransmissions rise; on a client with that fault,
every connection out fails.`,
			Mend: `Accept what belongs to a connection, at the top of both chains; new ones stay
filtered as before.

    ss -tn state syn-recv
    nft insert rule inet filter input ct state established,related accept
    iptables -I INPUT 1 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
			See: []string{"firewall-untracked", "firewall-output-drop"},
		},
		{
			Code:    "firewall-invalid-state",
			Summary: "A rule drops the packet because its connection state is invalid",
			Means: `Connection tracking calls a packet invalid if it fits no connection that it
knows: it saw only one direction because the way back differs, the entry ran
out or was flushed, or the sequence numbers are outside the window. The rule
ct state invalid drop then takes it.`,
			Shows: `Connections that hang after some time, or at once on asymmetric ways: the
counter of the invalid rule rises, and so does invalid= in conntrack -S.`,
			Mend: `Mend the asymmetry, or don't track traffic that this host sees only half of.
As a stopgap, let tracking be lenient with windows.

    conntrack -S
    sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1
    sysctl -w net.netfilter.nf_conntrack_log_invalid=6`,
			See: []string{"firewall-untracked", "firewall-reply-blocked"},
		},
		{
			Code:    "firewall-untracked",
			Summary: "The packet is exempt from tracking, but the rules count on its state",
			Means: `A notrack rule in a raw chain takes the packet out of connection tracking
(nft(8); iptables-extensions(8), CT --notrack). Its state is then untracked,
which is neither new nor established, so rules that accept only those don't
match and the policy decides. Bridged or offloaded traffic can be meant by
such a rule and catch others.`,
			Shows: `ETIMEDOUT, although a rule seems to accept the port. The counter of the
notrack rule rises; conntrack -L has no entry.`,
			Mend: `Accept the untracked packets by port in both directions, or remove the notrack
rule.

    nft list ruleset | grep -n notrack
    nft insert rule inet filter input ct state untracked tcp dport PORT accept`,
			See: []string{"firewall-invalid-state", "firewall-raw-drop"},
		},
		{
			Code:    "firewall-forward-drop",
			Summary: "The firewall drops the packet on its way through this host",
			Means: `A packet for a container, a virtual machine or another network passes the
forward hook, not input. Docker sets the policy of iptables' FORWARD chain to
drop and allows only its own, so bridges of libvirt, LXD or a router's
networks stop working. A DNAT rule alone doesn't allow the forwarding.`,
			Shows: `ETIMEDOUT through the host, while connections to the host itself work. The nat
rule's counter rises, then that of the policy.`,
			Mend: `Allow just this way: with Docker in DOCKER-USER, which it leaves to you.

    iptables -I DOCKER-USER -i IF -o IF -j ACCEPT
    nft insert rule inet filter forward ct status dnat accept
    ufw route allow proto tcp to ADDRESS port PORT`,
			See: []string{"ip-forward-off", "docker-chains-missing", "firewall-bridge"},
		},
		{
			Code:    "firewall-bridge",
			Summary: "The firewall filters traffic inside a bridge",
			Means: `Frames between two ports of a bridge are not routed, yet with br_netfilter
loaded and net.bridge.bridge-nf-call-iptables=1 they pass the IP forward
chain, where a policy of drop takes them. Tables of family bridge or arp, and
ebtables, filter frames by themselves.`,
			Shows: `ETIMEDOUT between guests of the same bridge; EHOSTUNREACH after three seconds
where ARP is filtered. Guests and host may still reach each other.`,
			Mend: `Turn that call off if nothing needs it (Kubernetes does), or accept what comes
in and leaves by the same bridge.

    sysctl net.bridge.bridge-nf-call-iptables
    iptables -I FORWARD -i BRIDGE -o BRIDGE -j ACCEPT
    nft list tables bridge`,
			See: []string{"firewall-forward-drop", "neighbour-failed"},
		},
		{
			Code:    "firewall-ingress-drop",
			Summary: "A netdev chain drops the packet as it comes in from the device",
			Means: `Chains of family netdev at the ingress hook belong to a device and run before
everything that iptables shows: before prerouting, before tracking, before
routing (nft(8)). Few tools use them, mostly against floods, so one that is
left over is easily missed.`,
			Shows: `ETIMEDOUT. All counters of the usual chains stand still, as if the packet
never came, while tcpdump on the device does see it.`,
			Mend: `List the netdev tables and delete the rule, or the table if its owner is gone.

    nft list tables netdev
    nft -a list table netdev TABLE
    nft delete rule netdev TABLE CHAIN handle HANDLE`,
			See: []string{"bpf-xdp-drop", "bpf-tc-drop", "firewall-raw-drop"},
		},
		{
			Code:    "firewall-raw-drop",
			Summary: "A rule in a raw or early prerouting chain drops the packet",
			Means: `Chains at prerouting with a priority of raw (-300) see the packet before
tracking, NAT and the filter chains. Docker puts drops there since version 28,
so that nobody reaches a container's address except through its own bridge;
accepts in DOCKER-USER come too late for it. Anti-spoofing rules stand there
as well.`,
			Shows: `ETIMEDOUT, from other networks or a VPN straight to a container's address,
while its published port works.`,
			Mend: `Use the published port. If direct routing is wanted, tell Docker so for that
network or interface rather than delete its rule.

    nft -a list chain ip raw PREROUTING
    iptables -t raw -L PREROUTING -n -v
    docker network create -o com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected NAME`,
			See: []string{"firewall-drop", "firewall-ingress-drop"},
		},
		{
			Code:    "firewall-nd-blocked",
			Summary: "The firewall blocks neighbour discovery or ARP",
			Means: `IPv6 finds the neighbour's hardware address by ICMPv6 messages 135 and 136
(RFC 4861), and routers by 133 and 134. A ruleset that drops ICMPv6, or allows
only echo, cuts IPv6 off on that link. They belong to no connection, so that a
rule for what is established doesn't accept them. IPv4 has ARP, which rules of
IP don't see, but tables of family arp and arptables do.`,
			Shows: `IPv6 gives EHOSTUNREACH after three seconds, or a timeout, while IPv4 works
(or the reverse, for ARP). The neighbour's entry is INCOMPLETE or FAILED. It
may work for a while after each packet from the other side.`,
			Mend: `Accept the messages of neighbour discovery in input and output (RFC 4890 lists
what must pass).

    ip neigh
    nft list tables arp
    nft insert rule inet filter input icmpv6 type '{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }' accept
    ip6tables -I INPUT -p icmpv6 -j ACCEPT`,
			See: []string{"neighbour-failed", "firewall-one-family"},
		},
		{
			Code:    "firewall-rate-limit",
			Summary: "A rule limits how often one may connect",
			Means: `Rules with limit, hashlimit, connlimit, recent or ct count let a certain
number through and drop or reject the rest; ufw limit denies an address that
tried six times within thirty seconds. Whether a packet is over the limit
depends on those before it, so nobody can tell it from the rules alone.`,
			Shows: `It works, then it doesn't, and after a pause it works again. Monitoring,
deployment scripts and clients behind one NAT address hit it first.`,
			Mend: `Raise the limit, or accept trusted sources before the rule. Wait before you
measure again.

    ufw status verbose
    cat /proc/net/xt_recent/*
    nft list meters`,
			See: []string{"probe-rate-limited", "firewall-set-drop"},
		},
		{
			Code:    "firewall-queue-unread",
			Summary: "A rule hands packets to a program that is not there",
			Means: `The queue verdict (NFQUEUE) lets a program in user space decide: an intrusion
detector, opensnitch, portmaster. If none reads that queue the packet is
dropped, unless the rule says bypass. A program that hangs fills its queue,
with the same result.`,
			Shows: `ETIMEDOUT, for everything that the rule matches, since the program ended or
crashed. /proc/net/netfilter/nfnetlink_queue has no line for the number, or
its counters of drops rise.`,
			Mend: `Start the program, or remove its rules if it was uninstalled. Let the rule
bypass an absent reader if traffic matters more than the inspection.

    cat /proc/net/netfilter/nfnetlink_queue
    nft -a list ruleset | grep -n queue
    systemctl start UNIT`,
			See: []string{"firewall-drop"},
		},
		{
			Code:    "firewall-zone",
			Summary: "firewalld treats this traffic by another zone than expected",
			Means: `firewalld sorts a packet into a zone: by its source address first, then by the
interface it came in on, else into the default zone (firewalld.zones(5)). A
port that is open in public stays shut when the interface is in another zone,
or when a source-based zone comes first. Policies between zones count for
forwarded traffic.`,
			Shows: `EHOSTUNREACH at once, since zones reject with admin-prohibited by default;
ETIMEDOUT where the zone's target is DROP.`,
			Mend: `Find the zone that counts and open the port there, or move the interface or
source.

    firewall-cmd --get-active-zones
    firewall-cmd --permanent --zone=ZONE --add-port=PORT/tcp
    firewall-cmd --reload`,
			See: []string{"firewall-reject", "firewall-not-persistent"},
		},
		{
			Code:    "firewall-not-persistent",
			Kind:    Limits,
			Summary: "The rules in the kernel are not the saved ones",
			Means: `What the kernel works with and what is loaded at boot are two things.
firewalld keeps a runtime and a permanent configuration; nft and iptables
commands change only the kernel; /etc/nftables.conf and /etc/iptables/rules.v4
are read at boot. Where they differ, the answer of today ends at the next
reload or reboot.`,
			Shows: `Nothing now. After a reload the port is open or shut again, differently from
what was tested; or a change that was saved shows no effect because nobody
loaded it.`,
			Mend: `Save what works, or load what is saved.

    firewall-cmd --runtime-to-permanent
    firewall-cmd --reload
    netfilter-persistent save
    nft list ruleset > /etc/nftables.conf`,
			See: []string{"firewall-zone"},
		},
		{
			Code:    "firewall-one-family",
			Summary: "The firewall treats IPv4 and IPv6 differently here",
			Means: `iptables and ip6tables are separate, and so are nftables' families ip and ip6;
only inet holds for both. A port that was opened for IPv4 stays shut for IPv6,
or a service thought closed is open by the other family. Names with both
addresses meet it first.`,
			Shows: `One family connects, the other times out or is refused. A client that tries
IPv6 first is slow: some hundred milliseconds with happy eyeballs (RFC 8305),
whole timeouts without.`,
			Mend: `Write the rule for both families, or use table inet. Don't forget neighbour
discovery for IPv6.

    ip6tables -I INPUT -p tcp --dport PORT -j ACCEPT
    nft add rule inet filter input tcp dport PORT accept`,
			See: []string{"firewall-nd-blocked", "listener-other-family"},
		},
		{
			Code:    "bpf-xdp-drop",
			Summary: "An XDP program on the device drops the packet",
			Means: `XDP runs a BPF program in the driver, before the kernel has made a packet of
the frame. What it drops is seen by no firewall, no counter of netfilter and
no tcpdump on this host. Load balancers, DDoS filters and Cilium attach such
programs.`,
			Shows: `ETIMEDOUT, as if the packet never came, while the sender's tcpdump shows it
leave and the switch shows it delivered. ip link prints xdp and the program's
id for the device.`,
			Mend: `Ask its owner, by the program's name and the pinned path. Detach it only if
its owner is gone.

    ip -d link show dev DEVICE
    bpftool net show
    bpftool prog show id ID
    ip link set dev DEVICE xdp off`,
			See: []string{"bpf-tc-drop", "firewall-ingress-drop"},
		},
		{
			Code:    "bpf-tc-drop",
			Summary: "A BPF program at the device's tc hook drops the packet",
			Means: `Programs of type sched_cls hang at a device's ingress or egress: through
clsact (tc-bpf(8)) or, since Linux 6.6, as tcx links. They run before
prerouting on the way in, and after postrouting on the way out. Cilium and
other container networks work with them; old tc and bpftool don't list tcx.`,
			Shows: `ETIMEDOUT. tcpdump on the device sees the SYN come in, but no netfilter
counter moves.`,
			Mend: `Find the owner by the program's name. Remove a filter or link only if that is
left over.

    bpftool net show
    tc filter show dev DEVICE ingress
    tc qdisc del dev DEVICE clsact`,
			See: []string{"bpf-xdp-drop", "firewall-ingress-drop", "qdisc-drop"},
		},
		{
			Code:    "bpf-cgroup-deny",
			Summary: "A BPF program of the control group denies the traffic",
			Means: `Programs attached to a cgroup or any of its ancestors hold for its processes:
connect4/connect6 and sock_create refuse the call itself; cgroup_skb drops
packets. systemd makes the latter from IPAddressDeny= and
RestrictNetworkInterfaces= (systemd.resource-control(5)), also from a slice
above the unit.`,
			Shows: `EPERM at once where connect or socket is refused. With cgroup_skb, TCP ends in
ETIMEDOUT, UDP and ping in EPERM. A shell outside the unit connects without
trouble.`,
			Mend: `Allow the address in the unit, or in the slice that denies it. Try from within
the group to see the same.

    bpftool cgroup tree
    systemctl show -p IPAddressDeny,IPAddressAllow UNIT
    systemctl edit UNIT`,
			See: []string{"bind-denied-bpf", "socket-denied-seccomp"},
		},
		{
			Code:    "firewall-upstream",
			Summary: "The packet leaves this host and no answer comes: it is blocked beyond",
			Means: `Nothing here stops it. A security group or network ACL of a cloud, a router, a
provider, or the far host's own firewall drops it in silence; or the far
host's answer goes another way. From one end that can't be told apart.`,
			Shows: `ETIMEDOUT after many tries, while the SYN is seen leaving. Seen from the
server: no counter moves, not even at the earliest hook, so the packet never
arrived.`,
			Mend: `Look from the other end, or at the cloud's console for both directions. A path
trace by TCP shows the last router that answers.

    traceroute -T -p PORT HOST
    tcpdump -ni DEVICE 'tcp port PORT'`,
			See: []string{"remote-filtered", "firewall-drop"},
		},
	}
}
