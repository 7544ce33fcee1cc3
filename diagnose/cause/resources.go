package cause

// resources: the kernel or the process has run out of something.
func resources() []Entry {
	return []Entry{
		{
			Code:    "fd-limit",
			Summary: "There are no more file descriptors",
			Means: `Every socket is a descriptor. A process may have at most RLIMIT_NOFILE of them
(getrlimit(2), EMFILE), the whole system fs.file-max (ENFILE; proc_sys_fs(5)).
The soft limit is 1024 by default for many programs; a leak reaches any limit
some day.`,
			Shows: `socket(2), accept(2) or open(2) fail with EMFILE or ENFILE, "too many open
files"; a server leaves connections waiting in its queue. The first number of
/proc/sys/fs/file-nr comes near the third when the system is meant.`,
			Mend: `Raise the limit where the program is started (LimitNOFILE= of the unit,
limits.conf for sessions), and look for the leak.

    cat /proc/PID/limits
    cat /proc/sys/fs/file-nr
    prlimit --pid PID --nofile=65536:65536`,
			See: []string{"listener-fd-limit"},
		},
		{
			Code:    "memory-pressure",
			Summary: "Memory is short, and the network suffers for it",
			Means: `TCP has a share of memory for all sockets (net.ipv4.tcp_mem, in pages). Above
its second value buffers shrink, above its third it refuses more. A
control group at its memory limit has less, and the kernel may kill the
service there or on the whole host.`,
			Shows: `Stalls, resets and timeouts under load, ENOBUFS or ENOMEM; the kernel log has
"TCP: out of memory" or "Killed process". oom_kill in memory.events counts
what was killed; after that, ECONNREFUSED.`,
			Mend: `Find who holds the memory: sockets that are not read have full queues. Raise
MemoryMax= or tcp_mem only with a reason.

    cat /proc/net/sockstat
    sysctl net.ipv4.tcp_mem
    journalctl -k -g 'out of memory|Killed process'`,
			See: []string{"syn-backlog-full"},
		},
		{
			Code:    "syn-backlog-full",
			Summary: "The queue of half-open connections is full",
			Means: `Between SYN and final ACK a connection waits in SYN-RECV. A listener has as
many of these as its backlog allows, and net.ipv4.tcp_max_syn_backlog bounds
them where SYN cookies are off. With cookies (tcp_syncookies=1) the kernel
answers on without keeping state; without them it drops. A SYN flood, or
answers that get lost, fills the queue.`,
			Shows: `ETIMEDOUT or slow connects under load. TcpExt.TCPReqQFullDrop rises without
cookies, TCPReqQFullDoCookies and SyncookiesSent with them.`,
			Mend: `Turn cookies on. If the connections stay in SYN-RECV for one peer only, look
at the way back to it.

    nstat -az 'TcpExtTCPReqQFull*' TcpExtSyncookiesSent
    ss -tn state syn-recv | wc -l
    sysctl -w net.ipv4.tcp_syncookies=1`,
			See: []string{"accept-queue-full"},
		},
		{
			Code:    "port-range-small",
			Summary: "The range of ephemeral ports is small",
			Means: `net.ipv4.ip_local_port_range, less the reserved ports, gives so few ports that
a busy client runs out: each source address can have that many connections to
one destination, counting those in TIME-WAIT for a minute. 28,232 ports are
the default. The setting is per network namespace.`,
			Shows: `Nothing at first; under load EADDRNOTAVAIL from connect, to one destination,
and it becomes slower as the range fills, because the kernel has to search.`,
			Mend: `Widen the range, or shorten the reserved list. Reuse connections in the
program.

    sysctl net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports
    sysctl -w net.ipv4.ip_local_port_range='10240 65000'`,
			See: []string{"ephemeral-exhausted"},
		},
	}
}
