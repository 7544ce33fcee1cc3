package cause

// inTrouble: someone listens, and yet it doesn't serve.
func inTrouble() []Entry {
	return []Entry{
		{
			Code:    "listener-stopped",
			Summary: "The listening process is stopped and accepts nothing",
			Means: `The process got SIGSTOP or SIGTSTP, runs in the background of a terminal and
wants to read from it, or a debugger holds it. The kernel goes on with the TCP
handshakes by itself until the accept queue is full; nobody takes the
connections.`,
			Shows: `It connects, then there is silence. The queue of the listener grows with each
attempt, and once it is full new connections time out. The process has state
T, or t when it is traced (proc_pid_stat(5)).`,
			Mend: `Let it run on. If a debugger holds it, continue there or detach; TracerPid in
/proc/PID/status names it. In a shell, bring the job to the foreground.

    kill -CONT PID
    grep -E '^(State|TracerPid)' /proc/PID/status`,
			See: []string{"listener-frozen", "listener-not-accepting"},
		},
		{
			Code:    "listener-frozen",
			Summary: "The listening process is in a frozen control group",
			Means: `The cgroup freezer holds every process of the group, or of one of its
ancestors (cgroup-v2, cgroup.freeze). docker pause and systemctl freeze do
that, and so do tools that suspend desktop applications. The state in /proc
then looks like ordinary sleep, but the group's cgroup.events says frozen 1.`,
			Shows: `It connects, then there is silence: the kernel completes handshakes until the
accept queue is full, then new ones time out.`,
			Mend: `Thaw the group by the tool that froze it, so that the tool knows.

    docker unpause CONTAINER
    systemctl thaw UNIT
    cat /sys/fs/cgroup/PATH/cgroup.events`,
			See: []string{"listener-stopped"},
		},
		{
			Code:    "accept-queue-full",
			Summary: "The listener's accept queue is full",
			Means: `The kernel queues established connections until the process calls accept(2).
The queue holds backlog + 1 of them, where backlog is what the program gave to
listen(2), cut to net.core.somaxconn. When it is full, further SYNs and final
ACKs are dropped without a word, and clients send them again.`,
			Shows: `ETIMEDOUT, or a connect that takes whole seconds until a SYN gets through. For
a listener, ss shows more in Recv-Q than in Send-Q. TcpExt.ListenOverflows and
ListenDrops rise. net.ipv4.tcp_abort_on_overflow doesn't change the timeouts,
because the SYN is dropped first.`,
			Mend: `Find out why the process doesn't accept: it is stopped, blocked, out of
descriptors or overloaded. Only if it accepts steadily and bursts are too big,
raise the backlog in the program and somaxconn, then restart it.

    ss -ltn 'sport = :PORT'
    nstat -az TcpExtListenOverflows
    sysctl -w net.core.somaxconn=4096`,
			See: []string{"listener-not-accepting", "listener-fd-limit", "syn-backlog-full"},
		},
		{
			Code:    "listener-fd-limit",
			Summary: "The listening process has no file descriptors left",
			Means: `accept(2) needs a descriptor. When the process has reached its RLIMIT_NOFILE
(getrlimit(2)) the call fails with EMFILE and the connection stays in the
queue. Many servers then spin at full CPU or pause. Usually descriptors leak
or idle connections are never closed; sometimes the limit of 1024 is just low.`,
			Shows: `It connects, then there is silence; later ETIMEDOUT, when the queue is full.
The entries of /proc/PID/fd are as many as "Max open files" of
/proc/PID/limits. The log says "too many open files".`,
			Mend: `Raise the limit where the service is started and look for the leak. prlimit
helps a running process at once.

    prlimit --pid PID --nofile=65536:65536
    systemctl edit UNIT
    ls -l /proc/PID/fd`,
			See: []string{"fd-limit", "accept-queue-full"},
		},
		{
			Code:    "listener-not-accepting",
			Summary: "The listening process is alive but doesn't accept connections",
			Means: `The process holds the listener and is neither stopped nor out of descriptors,
yet connections wait in its queue: its only thread is busy or deadlocked, it
waits for a disk or a network file system (state D), for a lock, for a
backend, or it is in a long garbage collection.`,
			Shows: `It connects, because the kernel completes the handshake, then there is
silence. The listener's Recv-Q doesn't go back to zero. The wait channel of
the process hints at what it waits for.`,
			Mend: `Look at what it does before it is restarted, for the stack is gone afterwards.
In state D mend the storage below it; a signal doesn't reach it there.

    cat /proc/PID/wchan
    gdb -p PID -batch -ex 'thread apply all bt'
    systemctl restart UNIT`,
			See: []string{"listener-stopped", "accept-queue-full"},
		},
		{
			Code:    "listener-leaked-fd",
			Summary: "A child process holds the listening socket and never accepts",
			Means: `A descriptor without FD_CLOEXEC is inherited across fork and exec (socket(7),
SOCK_CLOEXEC). A server that starts a shell, a player or a pager hands on its
listener. When the server ends, the child still holds the socket open; the
kernel goes on queueing connections for a program that knows nothing of them.`,
			Shows: `It connects, then there is silence. To bind the port again gives EADDRINUSE,
and the owner is a program that has no business with networks, such as sleep.`,
			Mend: `End the child, then start the server again. For good, let the server set
SOCK_CLOEXEC on its sockets, or close them before it starts others.

    fuser -v -n tcp PORT
    kill PID`,
			See: []string{"port-in-use", "listener-not-accepting"},
		},
		{
			Code:    "reuseport-stuck-member",
			Summary: "One listener of a SO_REUSEPORT group takes connections and doesn't serve them",
			Means: `With SO_REUSEPORT (socket(7)) several sockets share a port, and the kernel
picks one by a hash of the connection's addresses and ports. It does not look
at whether that one is served. A stopped worker, or an old instance that was
never ended, gets its share all the same.`,
			Shows: `Some connections work and others hang, seemingly by chance; the same source
port always meets the same member. Two LISTEN lines have the same address, and
only one has a growing Recv-Q.`,
			Mend: `End or continue the stuck member. Its queued connections are lost unless
net.ipv4.tcp_migrate_req is set. Make the old instance close its socket at a
restart.

    ss -ltnp 'sport = :PORT'
    kill -CONT PID
    kill PID`,
			See: []string{"listener-not-accepting", "port-reuseport-owner"},
		},
		{
			Code:    "listener-filtered",
			Summary: "A socket filter on the listener drops its packets",
			Means: `A program can attach a BPF filter to its own socket (SO_ATTACH_FILTER,
SO_ATTACH_BPF; socket(7)). The kernel runs it for each packet to the socket,
after the firewall, and drops what it refuses. Nothing of this stands in a
ruleset.`,
			Shows: `ETIMEDOUT although the listener is there and no rule matches. The socket's own
counter of drops rises: the d value in the skmem of ss -m.`,
			Mend: `Only the program can remove the filter, unless SO_LOCK_FILTER forbids even
that. Look in its settings for an access filter, then restart it. If it got
the socket from its parent or through socket activation, look there.

    ss -ltnm 'sport = :PORT'
    systemctl restart UNIT`,
			See: []string{"listener-md5-required", "firewall-drop"},
		},
		{
			Code:    "listener-md5-required",
			Summary: "The listener demands signed TCP segments (MD5 or TCP-AO)",
			Means: `The socket has keys for peers (TCP_MD5SIG, tcp(7), RFC 2385; or TCP-AO, RFC
5925), as routers use for BGP. A SYN from such a peer without a signature, or
with a wrong one, is dropped before the handshake.`,
			Shows: `ETIMEDOUT although the listener is there and no firewall rule matches.
TcpExt.TCPMD5NotFound, TCPMD5Unexpected or TCPMD5Failure rises with each SYN,
or TCPAORequired and TCPAOBad.`,
			Mend: `Give both sides the same key, or take the peer's password out of the
listener's configuration. An ordinary client can't connect to such a port from
a peer's address, so test from another one.

    nstat -az 'TcpExtTCPMD5*' 'TcpExtTCPAO*'
    vtysh -c 'show running-config' | grep password`,
			See: []string{"listener-filtered"},
		},
		{
			Code:    "listener-defer-accept",
			Summary: "The listener waits for the client to speak first",
			Means: `With TCP_DEFER_ACCEPT (tcp(7)) the kernel hands a connection to the server
only when data has come. A client that waits for a greeting, as of SMTP, SSH
or MySQL, and a server that wants to greet then wait for each other. In nginx
it is listen … deferred, in Apache AcceptFilter.`,
			Shows: `It connects, then there is silence, and the server logs nothing. On the server
the connection stays in SYN-RECV; it ends after the option's time, or when the
client sends its first byte.`,
			Mend: `Turn the option off for protocols in which the server speaks first. For HTTP
and TLS it does no harm: send a request instead of waiting.

    ss -tn state syn-recv 'sport = :PORT'
    strace -f -e trace=setsockopt COMMAND`,
			See: []string{"listener-not-accepting", "protocol-mismatch"},
		},
		{
			Code:    "proxy-backend-dead",
			Summary: "A proxy answers here, but what it forwards to doesn't",
			Means: `The listener is only a middleman: docker-proxy, rootlessport, socat, an SSH
tunnel, systemd-socket-proxyd or a reverse proxy. It accepts first and
connects onwards afterwards. When nothing listens behind it, on that port and
address, it can only close again.`,
			Shows: `It connects, then comes an immediate end of file or ECONNRESET; an HTTP proxy
says 502 or 503. Tools that only test whether a port is open call it healthy.`,
			Mend: `Look behind the proxy. In a container the program must listen on 0.0.0.0 and
not on 127.0.0.1, and on the right-hand port of the mapping. For a tunnel,
check the far end of -L or -R.

    docker port CONTAINER
    portwhy --netns PID 127.0.0.1:PORT`,
			See: []string{"port-not-published", "nat-dead-target"},
		},
		{
			Code:    "app-denies",
			Summary: "The network is fine; the application itself says no",
			Means: `The connection stands and the program refuses the client by rules of its own:
Redis' protected mode, pg_hba.conf, MySQL's host grants, tcp wrappers
(hosts_access(5)), an allowed-hosts list, a limit of connections (sshd's
MaxStartups, max_connections of databases).`,
			Shows: `It connects, then comes an error in the application's protocol or an end of
file. Its own words say it best, such as "no pg_hba.conf entry", "DENIED Redis
is running in protected mode", HTTP 403, or "too many clients".`,
			Mend: `Change the application's rule for just this client or network, and reload it.
Opening ports in a firewall changes nothing here.

    psql -c 'SELECT * FROM pg_hba_file_rules'
    redis-cli CONFIG GET protected-mode
    journalctl -u UNIT -n 50`,
			See: []string{"protocol-mismatch"},
		},
		{
			Code:    "protocol-mismatch",
			Summary: "Client and server speak different protocols on this port",
			Means: `TCP carries anything. Plain HTTP to a port for TLS, TLS to a plain port, HTTP
to a database or to SSH, HTTP/1 where HTTP/2 is wanted, or a proxy that puts a
PROXY protocol header in front (or misses it): both sides then read nonsense
and give up.`,
			Shows: `It connects, then fails in the first bytes: "wrong version number", "first
record does not look like a TLS handshake", HTTP 400 "plain HTTP request was
sent to HTTPS port", a strange banner, a reset or an end of file.`,
			Mend: `Use the scheme or port that the server speaks. See what comes back before
changing the server.

    curl -v http://HOST:PORT
    openssl s_client -connect HOST:PORT
    nc HOST PORT`,
			See: []string{"wrong-process-answers", "certificate-invalid", "app-denies"},
		},
		{
			Code:    "certificate-invalid",
			Summary: "The server's TLS certificate is not valid for this client",
			Means: `The handshake works, but the certificate doesn't hold: it has expired, is not
valid yet, was issued for other names, or comes from an issuer that this host
doesn't trust; often the server forgot to send the intermediate certificate. A
wrong clock on either side looks the same (RFC 5280, section 6; RFC 9525 for
names).`,
			Shows: `It connects, then the client ends the handshake: "certificate has expired",
"doesn't match", "self-signed certificate" or "unable to get local issuer
certificate".`,
			Mend: `Renew or replace the certificate, reload the server so that it reads the new
one, and let it send the whole chain. For a private issuer, install its
certificate on the client instead of turning the check off.

    openssl s_client -connect HOST:PORT -servername NAME
    openssl x509 -in cert.pem -noout -dates -ext subjectAltName
    timedatectl`,
			See: []string{"protocol-mismatch"},
		},
	}
}
