package cause

// remote: the answer came from beyond this host, or none came.
func remote() []Entry {
	return []Entry{
		{
			Code:    "remote-refused",
			Summary: "The far host refuses the connection",
			Means: `A TCP reset or port unreachable came back from the target's own address.
Mostly nothing listens there on that port and address; a firewall there that
rejects by a reset, or one on the way that resets in the target's name, looks
exactly the same from here.`,
			Shows: `ECONNREFUSED after one round trip. The time tells whether it came from as far
as the target is: an answer that is much too fast came from nearer.`,
			Mend: `Look on the far host: is the service up, and does it listen on more than
127.0.0.1?

    portwhy :PORT
    ss -ltn 'sport = :PORT'

The first line is to be run there.`,
			See: []string{"no-listener", "firewall-reject", "remote-rejected"},
		},
		{
			Code:    "remote-filtered",
			Summary: "No answer comes from the far host or from anyone on the way",
			Means: `The SYN left this host and nothing came back: neither a reset nor an ICMP
message. A firewall in between or on the far host drops it, a cloud's security
group doesn't allow it, the host is off, or its answers take another way and
are lost.`,
			Shows: `ETIMEDOUT, about two minutes by default (tcp_syn_retries, tcp(7)). If other
ports of the host answer, it is up and this port is filtered.`,
			Mend: `Ask on the far host whether the SYN arrives. If it does, the cause is there;
if not, it is in between: security groups, routers, VPN.

    tcpdump -ni DEVICE 'tcp port PORT and host ADDRESS'
    traceroute -T -p PORT HOST`,
			See: []string{"firewall-upstream", "remote-rejected", "one-way-only"},
		},
		{
			Code:    "remote-rejected",
			Summary: "Somebody on the way answers that the packet may not pass",
			Means: `An ICMP error came back, and its sender is the one who decided: a router or
firewall on the way, or the far host. "Administratively prohibited" (3/13,
3/9, 3/10; ICMPv6 1/1) is a filter; others tell of missing routes or hosts
behind that router (RFC 792, RFC 1812, RFC 4443).`,
			Shows: `EHOSTUNREACH or ENETUNREACH within a round trip, "no route to host", though
this host has a route. The kernel keeps the sender in the socket's error queue
(IP_RECVERR, ip(7)).`,
			Mend: `Turn to whoever runs the sender's address. On a host with firewalld or a final
REJECT, open the port there.

    firewall-cmd --permanent --add-port=PORT/tcp
    tcpdump -nvi DEVICE icmp or icmp6`,
			See: []string{"remote-refused", "firewall-reject"},
		},
		{
			Code:    "remote-unreachable",
			Summary: "The far network or host can't be reached from a router on the way",
			Means: `A router answered that it has no route to the network, or that the last hop
doesn't answer for the host (ICMP 3/0, 3/1; ICMPv6 1/0, 1/3). The way from
here to that router works. The host is off, its address is wrong or moved, or
routing between the networks is broken.`,
			Shows: `ENETUNREACH or EHOSTUNREACH; often after some seconds, for the router first
waits for the neighbour. The ICMP message's sender is that router. TCP may
also go on trying and end in ETIMEDOUT.`,
			Mend: `See whether the host is up and has that address, then look at that router's
routes.

    traceroute HOST
    ping HOST`,
			See: []string{"no-route", "neighbour-failed", "remote-rejected"},
		},
	}
}
