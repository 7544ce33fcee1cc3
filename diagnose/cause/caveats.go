package cause

// caveats: what limits the answer itself.
func caveats() []Entry {
	return []Entry{
		{
			Code:    "facts-missing",
			Kind:    Limits,
			Summary: "Some facts could not be read, so the answer may be incomplete",
			Means: `Reading another user's descriptors needs CAP_SYS_PTRACE, firewall rules and
some socket details need CAP_NET_ADMIN, other namespaces need CAP_SYS_ADMIN
(capabilities(7)). A container or hidepid shows less still. What was not seen
is never taken as absent: the report lists it under what could not be seen,
with what would show it.`,
			Shows: `The answer says likely or possible instead of proven, or nothing could be
determined (exit status 3).`,
			Mend: `Run it again with the rights that the list names. Reading changes nothing on
the host.

    sudo portwhy TARGET`,
			See: []string{"port-owner-hidden"},
		},
		{
			Code:    "firewall-unmodelled",
			Kind:    Limits,
			Summary: "Something on the packet's way can't be worked out",
			Means: `Rules, BPF programs, tc filters or a security module stand on the way, and
what they do with this packet isn't known here: it was not read, its effect is
decided at run time, or it is an expression that the model doesn't have. The
prediction leaves it out and says so. Where a probe was sent, the observation
still counts.`,
			Shows: `A cause that could also be such a rule's doing is called likely at most.`,
			Mend: `Ask the kernel itself: trace one packet, or watch the counters during one
attempt. Remove the trace rule afterwards.

    nft monitor trace
    nft list ruleset
    iptables-save -c
    bpftool net show`,
			See: []string{"facts-missing", "prediction-differs"},
		},
		{
			Code:    "prediction-differs",
			Kind:    Limits,
			Summary: "What was observed is not what the facts predict",
			Means: `By the facts that could be read, the attempt should have ended in another way.
Something acts that was not seen: a fact changed between reading and probing,
a part of the way is not modelled, or there is a fault in portwhy. It names no
cause in a firm voice then.`,
			Shows: `The prediction and the observation stand side by side in the report; the exit
status is 3 unless a cause explains what was observed.`,
			Mend: `Try once more, so that a passing change can be ruled out, and with more
rights. If it stays, a snapshot lets others see the same facts.

    sudo portwhy TARGET
    sudo portwhy snapshot FILE`,
			See: []string{"firewall-unmodelled", "ruleset-changed"},
		},
		{
			Code:    "ruleset-changed",
			Kind:    Limits,
			Summary: "The firewall's rules changed while they were read",
			Means: `nftables counts its changes in a generation number; a reading that begins in
one generation and ends in another mixes two rulesets (NFT_MSG_GETGEN).
Container engines, kube-proxy, fail2ban and firewall managers write whenever
something starts or stops. Several attempts to read a whole one have failed.`,
			Shows: `An answer that the next run contradicts. nft monitor shows a steady stream of
changes.`,
			Mend: `Ask again at a quieter moment, or find out who writes so often; a container
that restarts again and again is a usual source.

    nft monitor
    docker ps -a
    journalctl -u docker -n 50`,
			See: []string{"prediction-differs"},
		},
		{
			Code:    "probe-rate-limited",
			Kind:    Limits,
			Summary: "Answers may be missing because ICMP errors are rate-limited",
			Means: `The kernel sends only so many ICMP errors: net.ipv4.icmp_ratelimit
milliseconds apart for one peer after a first burst, and
net.ipv4.icmp_msgs_per_sec for the host (icmp(7)). After quick tries in a row,
a rule that rejects goes silent and looks like one that drops. Routers do the
same. TCP resets have limits of their own.`,
			Shows: `The first tries are refused at once, later ones time out, and after a pause it
is refused again. On the rejecting host Icmp.OutRateLimitHost or
OutRateLimitGlobal rises.`,
			Mend: `Leave a second between the tries and ask again. The cause is the rule that
rejects.

    sysctl net.ipv4.icmp_ratelimit net.ipv4.icmp_msgs_per_sec
    nstat -az 'IcmpOutRateLimit*'`,
			See: []string{"firewall-reject", "firewall-rate-limit"},
		},
		{
			Code:    "one-way-only",
			Kind:    Limits,
			Summary: "Only this end of the connection was seen",
			Means: `A connection is decided on both hosts and on everything in between. From here
the facts of this host are known, and whatever comes back from the other side.
Silence doesn't tell whether the packet was lost on its way there, at the far
host, or on the way back.`,
			Shows: `Causes beyond this host are named by what they look like from here, and not as
proven.`,
			Mend: `Run portwhy on the far host as well, once for the listener and once for the
way in from this address.

    portwhy :PORT
    portwhy --from ADDRESS :PORT`,
			See: []string{"remote-filtered", "firewall-upstream"},
		},
	}
}
