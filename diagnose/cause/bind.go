package cause

// bind: why a process can't have a port or an address.
func bind() []Entry {
	return []Entry{
		{
			Code:    "port-in-use",
			Summary: "Another process has this port",
			Means: `A TCP port on an address belongs to one listener. A bind conflicts with every
socket on the same port whose address overlaps: the wildcard overlaps all
addresses, a specific address only itself and the wildcard (bind(2),
net/ipv4/inet_connection_sock.c). SO_REUSEADDR doesn't help against a
listener.`,
			Shows: `EADDRINUSE from bind(2), rarely from listen(2) when two sockets with
SO_REUSEADDR were bound before. Docker says "port is already allocated", also
for a container that is only created. The holder is often an older instance of
the same program, or one program that names the port twice.`,
			Mend: `Stop the holder by what started it, the unit or the container, or it comes
back. Or take another port.

    portwhy bind :PORT
    systemctl stop UNIT
    docker stop CONTAINER`,
			See: []string{"port-in-use-dual-stack", "wrong-process-answers", "port-held-unlistened"},
		},
		{
			Code:    "port-declared-twice",
			Summary: "Two services are declared to listen on the same port",
			Means: `A plan, a compose file or a configuration gives the same port of overlapping
addresses to two services that run on one host, or to several copies of one.
The second that starts gets EADDRINUSE. The wildcard overlaps every address,
and [::] takes IPv4 as well.`,
			Shows: `Nothing is wrong yet, or one of the two runs and the other one fails at its
start, by turns, with "address already in use" or "port is already allocated".`,
			Mend: `Give one of them another port, or each an address of its own.

    portwhy plan next`,
			See: []string{"port-in-use"},
		},
		{
			Code:    "port-in-use-dual-stack",
			Summary: "A listener on [::] has the port for IPv4 as well",
			Means: `A socket on the IPv6 wildcard without IPV6_V6ONLY takes IPv4 connections too
(ipv6(7)), so the kernel treats it as overlapping with 0.0.0.0 and every IPv4
address. Often it is the same program that binds both in turn, or another that
listens on [::] by default.`,
			Shows: `EADDRINUSE for 0.0.0.0 or an IPv4 address, although the list shows only an
IPv6 listener on that port, and no v6only beside it.`,
			Mend: `Let one socket serve both, or set IPV6_V6ONLY on the IPv6 socket. In nginx,
that is ipv6only=on, its default since 1.3.4. If it is another program, stop
it or bind it to one address.

    ss -lten 'sport = :PORT'
    nginx -T | grep listen`,
			See: []string{"port-in-use", "listener-v6only"},
		},
		{
			Code:    "port-held-unlistened",
			Summary: "A process has bound the port and doesn't listen",
			Means: `bind(2) alone reserves the port. A socket between bind and listen, or one that
is bound for an outgoing connection not made yet, is in none of the kernel's
usual lists: /proc/net/tcp and netstat don't have it. Since Linux 6.8 the
kernel shows it when asked for TCP_BOUND_INACTIVE.`,
			Shows: `EADDRINUSE, although ss -tan shows nothing on the port, and ECONNREFUSED for
those who connect. ss -B (iproute2 6.8) shows it; before, only a look at each
process's descriptors does.`,
			Mend: `End or restart the holder. If it is your own server, it hangs or failed
between bind and listen; its log says where.

    portwhy bind :PORT
    ss -tnB 'sport = :PORT'
    kill PID`,
			See: []string{"port-held-by-connection", "port-in-use"},
		},
		{
			Code:    "port-held-by-connection",
			Summary: "An outgoing connection has taken this port",
			Means: `Every connection out needs a local port, and the kernel hands them out from
net.ipv4.ip_local_port_range (ip(7)). A server whose port lies in that range
can find it taken by a client of any program on the host. Such a socket lacks
SO_REUSEADDR mostly, so a bind with it fails too.`,
			Shows: `EADDRINUSE, although nothing listens: ss -l is empty, and ss -tan shows an
established connection with this local port. It comes and goes by chance,
mostly after a reboot or a restart.`,
			Mend: `Move the server below the range, or reserve its port so that the kernel
doesn't hand it out. For now, end the connection's process.

    ss -tanp 'sport = :PORT'
    sysctl -w net.ipv4.ip_local_reserved_ports=PORT`,
			See: []string{"port-in-ephemeral-range", "port-self-connected"},
		},
		{
			Code:    "port-self-connected",
			Summary: "A client is connected to itself on this port",
			Means: `A program that tries again and again to connect to a dead port of this host in
the ephemeral range gets, some day, this very port as its own source. TCP
allows both ends to be the same (simultaneous open, RFC 9293 section 3.5), so
the connection succeeds with no server there.`,
			Shows: `The client is connected and reads back what it writes, while the server can't
start: EADDRINUSE. In ss the connection's local and remote address are the
same.`,
			Mend: `End the client, then start the server. To keep it from happening, use a port
outside the range, reserve it, or bind the client's source port.

    ss -tanp 'sport = :PORT'
    sysctl -w net.ipv4.ip_local_reserved_ports=PORT`,
			See: []string{"port-held-by-connection"},
		},
		{
			Code:    "port-time-wait",
			Summary: "Closed connections keep the port in TIME-WAIT",
			Means: `The side that closes first keeps the connection for 60 seconds, so that late
segments can't reach a new one (RFC 9293 section 3.6.1; TCP_TIMEWAIT_LEN in
include/net/tcp.h, not tunable). A server that closed first and starts again
meets these remains if it doesn't set SO_REUSEADDR.`,
			Shows: `EADDRINUSE without SO_REUSEADDR, success with it. ss shows TIME-WAIT lines
with this local port and no process, because none has them any more.`,
			Mend: `Set SO_REUSEADDR before bind; nearly all servers do. Otherwise wait a minute.
It is safe to wait: nothing holds the port beyond that.

    ss -tan state time-wait 'sport = :PORT'`,
			See: []string{"port-lingering-connections"},
		},
		{
			Code:    "port-lingering-connections",
			Summary: "Connections of an earlier server still hold the port",
			Means: `When a listener closes, the connections that it accepted live on with the same
local port in whichever process has them: a worker that was not ended, or one
that doesn't read the end of file (CLOSE-WAIT). SO_REUSEADDR lets a new bind
pass only if the old sockets had it too.`,
			Shows: `EADDRINUSE even with SO_REUSEADDR. ss shows ESTAB, CLOSE-WAIT or FIN-WAIT-2
lines with this local port; the process beside them is the culprit.`,
			Mend: `End that process, or only its connections. CLOSE-WAIT that stays for minutes
is an error of the program: it has not closed its descriptor.

    ss -tanp 'sport = :PORT'
    kill PID
    ss -K 'sport = :PORT'`,
			See: []string{"port-time-wait", "listener-leaked-fd"},
		},
		{
			Code:    "port-socket-activated",
			Summary: "systemd holds the port for a socket unit",
			Means: `A .socket unit makes process 1 listen, and starts its service only when
someone connects (systemd.socket(5)). The port is taken even while the service
doesn't run. The service gets the socket as a descriptor, and its own setting
for the port has no effect; ssh.socket is the usual example.`,
			Shows: `EADDRINUSE, and the holder is systemd, pid 1, by itself or together with the
service.`,
			Mend: `Change the port in the socket unit: an empty ListenStream= first, then the new
one. Or disable the socket unit and let the service listen by itself.

    systemctl list-sockets
    systemctl edit NAME.socket
    systemctl disable --now NAME.socket`,
			See: []string{"port-in-use", "unit-needs-reload"},
		},
		{
			Code:    "port-reuseport-owner",
			Summary: "The port is shared by SO_REUSEPORT, but by another user's process",
			Means: `Sockets may share a port by SO_REUSEPORT (socket(7)) only if all have set it
before bind and all belong to the same effective user. That keeps others from
taking a part of a service's connections. A service that was started once as
root and once as its own user falls into it.`,
			Shows: `EADDRINUSE although both programs set SO_REUSEPORT. The uid of the socket in
ss -e is not that of the one who tries.`,
			Mend: `Run both as the same user, or stop the first one.

    ss -lten 'sport = :PORT'
    systemctl show -p User UNIT
    ps -o user,pid,args -p PID`,
			See: []string{"port-in-use", "reuseport-stuck-member"},
		},
		{
			Code:    "port-kernel-owned",
			Summary: "The kernel itself holds the port; no process does",
			Means: `Some services run in the kernel: the NFS server and lockd, WireGuard and other
UDP tunnels such as VXLAN, ksmbd, SCTP or TIPC bearers. Their sockets have no
descriptor in any process, so no tool can name a pid, not even as root.`,
			Shows: `EADDRINUSE with a listener, or a UDP socket, that nobody owns. The port gives
a hint: 2049 NFS, 51820 WireGuard, 4789 VXLAN, 445 SMB.`,
			Mend: `Turn it off with the tool that set it up. Without root the same picture means
only that the owner can't be seen.

    cat /proc/fs/nfsd/portlist
    wg show
    ip -d link show type vxlan
    systemctl stop nfs-server`,
			See: []string{"port-owner-hidden"},
		},
		{
			Code:    "port-owner-hidden",
			Summary: "The port is taken, but by whom can't be seen with these rights",
			Means: `The kernel tells everybody that a socket exists and which uid made it. Which
process has it stands in /proc/PID/fd, and that may be read only by the same
user, or with CAP_SYS_PTRACE (proc_pid_fd(5), ptrace access check). hidepid on
/proc hides even the processes (proc(5)), and a container sees only its own.`,
			Shows: `EADDRINUSE, and a listener without a process beside it.`,
			Mend: `Ask again as root, on the host and not in the container. The uid is a hint
already.

    sudo portwhy bind :PORT
    sudo ss -ltnp 'sport = :PORT'
    findmnt -o OPTIONS /proc`,
			See: []string{"port-kernel-owned", "facts-missing"},
		},
		{
			Code:    "port-privileged",
			Summary: "This user may not bind a port this low",
			Means: `Ports below net.ipv4.ip_unprivileged_port_start, 1024 by default, need
CAP_NET_BIND_SERVICE (capabilities(7)) in the user namespace that owns the
network namespace. It counts for IPv6 too. A file capability is lost when the
file is replaced, on a nosuid mount, or under NoNewPrivileges; root of a
rootless container doesn't have it on the host's network.`,
			Shows: `EACCES from bind(2), whether the port is free or not.`,
			Mend: `Give just this right, or use a higher port behind a proxy or a redirect. A
socket unit can bind the port for a service that has no rights.

    systemctl edit UNIT
    setcap cap_net_bind_service=+ep /PATH/PROGRAM
    sysctl -w net.ipv4.ip_unprivileged_port_start=80

In the unit's override, [Service] gets
AmbientCapabilities=CAP_NET_BIND_SERVICE.`,
			See: []string{"bind-denied-lsm", "bind-denied-bpf"},
		},
		{
			Code:    "address-not-local",
			Summary: "The address is not on this host",
			Means: `A socket can be bound only to an address that one of the host's devices has,
in this network namespace. Usual reasons: a typing error, the host's address
used in a container, the public address of a cloud machine that only its
router knows, a virtual IP that another host has now, or a service that starts
before the network is up.`,
			Shows: `EADDRNOTAVAIL from bind(2). At boot only, and not afterwards, it is the order
of start.`,
			Mend: `Use an address of the host, or the wildcard. At boot wait for the network, or
let the socket bind early with FreeBind=true in a socket unit; for a virtual
IP allow it for the host.

    ip -br address
    systemctl edit UNIT
    sysctl -w net.ipv4.ip_nonlocal_bind=1

In the unit's override, [Unit] gets Wants= and After=network-online.target.`,
			See: []string{"listener-address-gone", "address-tentative"},
		},
		{
			Code:    "address-tentative",
			Summary: "The IPv6 address is not ready: duplicate detection runs or has failed",
			Means: `A new IPv6 address is tentative until duplicate address detection has heard no
objection (RFC 4862 section 5.4), for one or two seconds. Until then it can't
be bound. If another host has the address, it stays marked dadfailed and
unusable. Without a carrier detection may not end.`,
			Shows: `EADDRNOTAVAIL from bind(2), although ip address lists the address, with the
word tentative or dadfailed. A try some seconds later works unless detection
failed.`,
			Mend: `Wait for it before the service starts, or turn detection off where no
duplicate can exist. After dadfailed, find the other host.

    ip -6 address show tentative
    ip -6 address add ADDRESS/64 dev DEVICE nodad`,
			See: []string{"address-not-local"},
		},
		{
			Code:    "ipv6-disabled",
			Summary: "IPv6 is turned off here",
			Means: `net.ipv6.conf.DEVICE.disable_ipv6=1 takes the IPv6 addresses from a device, lo
included; containers often have it so. With ipv6.disable=1 on the kernel's
command line the family doesn't exist at all
(Documentation/networking/ipv6.rst).`,
			Shows: `::1 gives EADDRNOTAVAIL at once, to bind and to connect, or EAFNOSUPPORT when
the family is missing. Servers with a listen [::] line fail to start.`,
			Mend: `Take the IPv6 line out of the service's configuration, or turn IPv6 on for
that device. Find the file that sets it, else it comes back.

    sysctl net.ipv6.conf.lo.disable_ipv6
    grep -rs disable_ipv6 /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d
    sysctl -w net.ipv6.conf.lo.disable_ipv6=0`,
			See: []string{"address-not-local", "listener-other-family"},
		},
		{
			Code:    "ephemeral-exhausted",
			Summary: "No ephemeral port is left for this destination",
			Means: `A connection out takes a local port of net.ipv4.ip_local_port_range. The four
of source, source port, destination and port must be unique, so one source
address has at most as many connections to one destination as the range has
ports. TIME-WAIT counts for 60 seconds, and reserved ports count as taken.`,
			Shows: `EADDRNOTAVAIL from connect(2) at once, to one destination only while others
work; EADDRINUSE from a bind to port 0. It hits proxies and load generators
first.`,
			Mend: `Reuse connections (keep-alive, a pool); that is the cure. Widen the range, use
several source addresses, or set IP_BIND_ADDRESS_NO_PORT (ip(7)) where a
program binds its source address.

    ss -tan 'dst ADDRESS:PORT' | wc -l
    sysctl -w net.ipv4.ip_local_port_range='10240 65000'`,
			See: []string{"port-range-small", "port-time-wait"},
		},
		{
			Code:    "port-in-ephemeral-range",
			Kind:    Tells,
			Summary: "The kernel may hand this port to a client before the service gets it",
			Means: `The port lies within net.ipv4.ip_local_port_range (32768 to 60999 by default),
from which the kernel takes source ports for connections out. Nothing keeps it
for a server that is not running. IANA's dynamic range, 49152 to 65535 (RFC
6335), is another one; systems differ.`,
			Shows: `Nothing is wrong now. Some day the server fails to start with EADDRINUSE and
nobody listens, or a client meets itself.`,
			Mend: `Choose a port below the range, or reserve this one and write it into
/etc/sysctl.d so that it lasts.

    sysctl net.ipv4.ip_local_port_range
    sysctl -w net.ipv4.ip_local_reserved_ports=PORT`,
			See: []string{"port-held-by-connection", "port-self-connected"},
		},
		{
			Code:    "port-excluded",
			Summary: "Windows has reserved a range that includes this port",
			Means: `Windows sets ranges of ports aside for Hyper-V, WSL and containers, and after
an update they may lie anywhere above 1024. Nobody listens on them, and no
program may bind them except by the reservation. They are chosen anew at each
boot unless the dynamic range is moved out of the way.`,
			Shows: `WSAEACCES (10013) from bind, "access forbidden by its access permissions",
while netstat shows nobody on the port.`,
			Mend: `Look whether the port lies in one of the ranges. Either use another one, or
stop winnat, reserve your port for good, and start it again, as administrator.

    netsh int ipv4 show excludedportrange protocol=tcp
    net stop winnat
    netsh int ipv4 add excludedportrange protocol=tcp startport=PORT numberofports=1
    net start winnat`,
			See: []string{"port-in-use", "port-privileged"},
		},
		{
			Code:    "bind-denied-bpf",
			Summary: "A BPF program of the control group forbids the bind",
			Means: `Programs of type cgroup/bind4, cgroup/bind6 or cgroup/post_bind, attached to a
cgroup or an ancestor, are asked at each bind. systemd makes them from
SocketBindDeny= and SocketBindAllow= (systemd.resource-control(5)); Cilium has
its own for host ports. The deny holds for every process in the group, root
too.`,
			Shows: `EPERM from bind(2) at once. A privileged port or an LSM gives EACCES instead.`,
			Mend: `Allow the port in the unit, or detach what belongs to a tool that is gone.
bpftool shows what is attached where.

    bpftool cgroup tree
    systemctl show -p SocketBindDeny,SocketBindAllow UNIT
    systemctl edit UNIT`,
			See: []string{"bpf-cgroup-deny", "bind-denied-lsm"},
		},
		{
			Code:    "bind-denied-lsm",
			Summary: "A security module forbids the bind",
			Means: `SELinux lets a confined service bind only ports of certain types (name_bind),
AppArmor only what its profile's network rules name, and Landlock
(landlock(7), from ABI 4) only the TCP ports in the sandbox's rules. They ask
nothing of the usual rights: root in a confined domain is refused as well.`,
			Shows: `EACCES from bind(2), for a high port too. The audit log has the line: AVC
denied name_bind, apparmor="DENIED", or a LANDLOCK record.`,
			Mend: `Let the policy know the port instead of turning the module off.

    ausearch -m AVC -ts recent
    semanage port -a -t http_port_t -p tcp PORT
    aa-status
    journalctl -k -g DENIED`,
			See: []string{"port-privileged", "bind-denied-bpf", "socket-denied-seccomp"},
		},
		{
			Code:    "socket-denied-seccomp",
			Summary: "A sandbox doesn't even let the process make the socket",
			Means: `RestrictAddressFamilies= of a unit (systemd.exec(5)), a container's seccomp
profile or a browser's sandbox filters socket(2) by family. The process is
refused before an address or a port comes in, and the filter can't be taken
off again (seccomp(2)).`,
			Shows: `EAFNOSUPPORT under systemd, EPERM under most other profiles, from socket(2),
at once. Seccomp: 2 in /proc/PID/status says that there is a filter, not what
it forbids.`,
			Mend: `Name the families that the service needs, AF_INET and AF_INET6 mostly,
AF_NETLINK for those that look at interfaces, and restart it.

    systemctl show -p RestrictAddressFamilies UNIT
    systemctl edit UNIT
    strace -f -e trace=socket COMMAND`,
			See: []string{"bind-denied-lsm"},
		},
		{
			Code:    "unix-socket-stale",
			Summary: "The unix socket's file is left over from a process that is gone",
			Means: `bind(2) makes a file for the socket, and closing the socket doesn't remove it
(unix(7)). After a crash the file points to nothing, and the next bind to the
same path fails because a file is there. Programs that don't unlink it first
stumble over it.`,
			Shows: `ECONNREFUSED from connect(2) at once, EADDRINUSE from bind(2). ss -lx has no
listener whose inode belongs to that file.`,
			Mend: `Make sure that nothing listens there, then remove the file. RuntimeDirectory=
in a unit, or the program's own unlink, keeps it from coming back.

    ss -lx src PATH
    rm PATH
    systemctl restart UNIT`,
			See: []string{"unix-socket-denied", "no-listener"},
		},
		{
			Code:    "unix-socket-denied",
			Summary: "The permissions of the unix socket don't let this user in",
			Means: `To connect needs write permission on the socket's file, and search permission
on each directory above it; to bind needs write permission on the directory
(unix(7)). Services mostly admit a group: docker, www-data, postgres. A
membership counts only for sessions that began after it was given. A security
module may refuse as well.`,
			Shows: `EACCES, "permission denied", at once. The same call as root works.`,
			Mend: `Put the user into the group and log in anew, or give the socket another mode
in the service's configuration. Membership of docker is as much as root.

    namei -l PATH
    usermod -aG GROUP USER
    id`,
			See: []string{"unix-socket-stale", "app-denies"},
		},
	}
}
