package cause

// nothingThere: no one listens at the place that was asked.
func nothingThere() []Entry {
	return []Entry{
		{
			Code:    "no-listener",
			Summary: "Nothing listens on this port",
			Means: `No socket of this network namespace accepts connections for the address and
port. The kernel finds none and answers a TCP SYN with a reset (RFC 9293,
section 3.10.7.1), a UDP datagram with ICMP port unreachable. No program is
asked, and no firewall is needed for that.`,
			Shows: `ECONNREFUSED within a round trip, below a millisecond on the same host.
Tcp.OutRsts rises by one at each attempt. A UDP client learns of it only if
its socket is connected; otherwise it waits for nothing.`,
			Mend: `Start what should be here, or ask for the port on which it really listens. A
number from the ephemeral range was often printed by a tool that has ended
since; start that tool again to get its new port.

    portwhy ls
    systemctl status UNIT
    journalctl -u UNIT -n 50`,
			See: []string{"listener-other-port", "listener-other-netns", "remote-refused"},
		},
		{
			Code:    "listener-other-port",
			Summary: "The service listens on another port nearby",
			Means: `Nothing listens on the port that was asked, but the same program, or one that
usually serves this port, listens on a number that looks like it: two digits
swapped, one more or less, the default of a second instance (5433 beside
5432), or the plain port instead of the one for TLS.`,
			Shows: `ECONNREFUSED at once on this port, while the other one connects. Databases
take the next number when a second cluster is installed; development servers
move on when their port is taken and say so in one line of their output.`,
			Mend: `Use the other port in the client, or give the service the port that the client
expects. Look for the number where the client got it: a URL, an environment
variable, a compose file.

    portwhy PORT
    grep -rn PORT /etc/UNIT.d .env compose.yaml`,
			See: []string{"no-listener", "config-not-applied"},
		},
		{
			Code:    "listener-other-address",
			Summary: "The service listens, but not on the address that was asked",
			Means: `A socket that is bound to one address gets only packets for that address: the
lookup compares both address and port (net/ipv4/inet_hashtables.c). 127.0.0.1
is for this host alone, 127.0.1.1 or 127.0.0.2 are addresses of their own, and
an address of one network card does not serve another's.`,
			Shows: `ECONNREFUSED at once from outside, while the same port connects on the host
itself, or the other way round. The listener's line shows the address that it
is bound to.`,
			Mend: `Bind to the address that clients use, or to 0.0.0.0 or [::] for all of them.
That opens the port to every network the host is in; a reverse proxy or an SSH
tunnel to the loopback address opens less. Check that a name in the
configuration doesn't resolve to 127.0.1.1.

    ss -ltn 'sport = :PORT'
    grep -n 127.0.1.1 /etc/hosts`,
			See: []string{"listener-other-family", "listener-address-gone", "port-not-published"},
		},
		{
			Code:    "listener-too-open",
			Kind:    Tells,
			Summary: "The service listens where more can reach it than it is meant for",
			Means: `A plan says who is meant to reach a port: this host's programs (loopback), also
its containers (host), its own networks (lan), or anybody. The address that the
service binds lets more in: the wildcard takes connections on every address of
the host. A firewall may still keep them out; then it is the only thing that
does.`,
			Shows: `The service works. In a list of listeners its address is 0.0.0.0, * or [::], or
one that others have a route to.`,
			Mend: `Bind the address that is meant, or say in the plan that more may reach it.

    portwhy ls --port PORT
    portwhy --from ADDRESS :PORT`,
			See: []string{"listener-other-address"},
		},
		{
			Code:    "listener-other-family",
			Summary: "The service listens on the other IP family only",
			Means: `IPv4 and IPv6 are separate: a socket on 127.0.0.1 doesn't serve ::1, nor the
reverse. localhost stands for both, and which one a program tries first
depends on its resolver (RFC 6724) and its runtime. A server that binds the
first address of localhost may get only ::1.`,
			Shows: `ECONNREFUSED at once for one family, a connection for the other. A client that
tries both addresses works and hides it; one that takes the first address
fails.`,
			Mend: `Make the service listen on both, or name the address literally in the client.
Development servers usually take an option such as --host.

    curl -4 http://localhost:PORT
    curl -6 http://localhost:PORT`,
			See: []string{"listener-v6only", "localhost-ipv6-first"},
		},
		{
			Code:    "listener-v6only",
			Summary: "The service listens on [::] for IPv6 only, not for IPv4",
			Means: `A socket on the IPv6 wildcard takes IPv4 connections too, as ::ffff:a.b.c.d,
unless IPV6_V6ONLY is set on it (ipv6(7), RFC 3493 section 5.3). The default
comes from net.ipv6.bindv6only; nginx and many runtimes set the option
themselves.`,
			Shows: `ECONNREFUSED at once on any IPv4 address although a listener on [::] is there.
ss -e prints v6only:1 for it.`,
			Mend: `Let the service listen on IPv4 as well, or clear the option. In nginx that is
a second line listen 80; beside listen [::]:80; other programs have a setting
of their own. If the default was changed for the host, set it back and restart
the service.

    ss -lten 'sport = :PORT'
    sysctl net.ipv6.bindv6only`,
			See: []string{"listener-other-family", "port-in-use-dual-stack"},
		},
		{
			Code:    "listener-on-device",
			Summary: "The service listens, but only on one network device",
			Means: `The listener is bound to a device by SO_BINDTODEVICE (socket(7)) or belongs to
a VRF. It gets only packets that came in there, whatever its address says. A
connection from the host to itself comes in through lo, even for the address
of a real card.`,
			Shows: `ECONNREFUSED at once from elsewhere, while clients behind the device connect.
ss prints the device after a percent sign: 0.0.0.0%eth0:53. In a VRF,
net.ipv4.tcp_l3mdev_accept decides whether an unbound listener may serve all
of them.`,
			Mend: `Take the device out of the service's configuration (bind-interfaces and
interface= of dnsmasq, BindToDevice= of a socket unit), or connect through
that device. For a VRF, run the client in it.

    ss -ltn 'sport = :PORT'
    ip vrf exec VRF COMMAND`,
			See: []string{"listener-other-address"},
		},
		{
			Code:    "listener-other-netns",
			Summary: "The service listens in another network namespace",
			Means: `Each network namespace has its own addresses, ports and routes
(network_namespaces(7)); 127.0.0.1 in a container is the container itself. A
process that runs and listens there is not to be reached here unless something
forwards the port. PrivateNetwork= and NetworkNamespacePath= do the same to a
unit.`,
			Shows: `ECONNREFUSED at once, although the process is up and its own log says that it
listens. ss shows it only from within its namespace.`,
			Mend: `Publish the port of the container, connect to the namespace's address, or look
from inside. From within a container, reach a service of the host by the
host's address on the bridge, not by localhost.

    portwhy --netns PID PORT
    nsenter -t PID -n ss -ltn
    docker run -p PORT:PORT IMAGE`,
			See: []string{"port-not-published", "no-listener"},
		},
		{
			Code:    "listener-unix-only",
			Summary: "The service listens on a unix socket only",
			Means: `The program accepts connections on a socket in the file system (unix(7)) and
has no TCP port. That is the default of dockerd and php-fpm, and of MySQL with
skip_networking or Redis with port 0. It is a choice, not a fault: file
permissions then say who may connect.`,
			Shows: `ECONNREFUSED at once on TCP, while the program's own client works on this
host, because it takes the socket when no host is given.`,
			Mend: `Give the client the socket's path. If it must be TCP, turn on the port in the
service's configuration, bind it to 127.0.0.1 unless others need it, and
restart.

    ss -lx
    portwhy unix:///PATH
    mysql --socket=PATH`,
			See: []string{"listener-other-port"},
		},
		{
			Code:    "listener-address-gone",
			Summary: "The service is bound to an address that this host doesn't have",
			Means: `A listener keeps its address when that address is taken away from the card by
DHCP, a moved virtual IP or a renumbered network. With
net.ipv4.ip_nonlocal_bind=1 or IP_FREEBIND (ip(7)) it may bind an address that
was never here, so a typing error passes unnoticed.`,
			Shows: `The listener is in the list, yet nobody connects: a packet for that address is
routed elsewhere or finds no host, so the client sees a timeout or
EHOSTUNREACH; on the host's new address it is ECONNREFUSED.`,
			Mend: `Bind the address that the host has now, or the wildcard, and restart the
service. If the address is a virtual one, find out why it is not here.

    ip address
    systemctl restart UNIT`,
			See: []string{"address-not-local", "listener-other-address"},
		},
		{
			Code:    "unit-failed",
			Summary: "The unit that should listen here has failed",
			Means: `systemd tried to run the service and it ended: with an error code, a signal, a
timeout, for lack of memory, or too often in a short time (start-limit-hit).
The port is only where it shows; the reason stands in the unit's result and in
the last lines of its journal (systemd.service(5)).`,
			Shows: `ECONNREFUSED at once. systemctl shows failed and a Result. While a unit is
restarted again and again, it connects for moments and is refused in between.`,
			Mend: `Read the last lines of its log, mend what they say (a line of the
configuration, a missing file, a port that is taken), then start it. After
start-limit-hit reset the counter first.

    journalctl -u UNIT -n 50
    systemctl reset-failed UNIT
    systemctl start UNIT`,
			See: []string{"unit-inactive", "no-listener"},
		},
		{
			Code:    "unit-inactive",
			Summary: "The unit that should listen here is not running",
			Means: `The configuration on this host gives the port to a service that is stopped:
nobody started it, somebody stopped it, it ended by itself with success, or a
condition of the unit (ConditionPathExists= and the like) was not met. A unit
that is not enabled doesn't come back after a reboot.`,
			Shows: `ECONNREFUSED at once. systemctl status shows inactive (dead); its Condition
line names a condition that failed.`,
			Mend: `Start it, and enable it if it should start at boot. If it was stopped on
purpose, another service may have taken its place on another port.

    systemctl status UNIT
    systemctl enable --now UNIT`,
			See: []string{"unit-failed", "unit-masked"},
		},
		{
			Code:    "unit-activating",
			Summary: "The unit that should listen here is still starting",
			Means: `systemd has begun to start the service but it is not ready: an ExecStartPre=
command is running, a Type=notify service has not said READY=1 (sd_notify(3)),
or it waits for its next try after a failure (auto-restart). Until it calls
listen, the kernel refuses its port.`,
			Shows: `ECONNREFUSED at once, and later a connection. systemctl shows activating with
a substate: start-pre, start, or auto-restart.`,
			Mend: `Wait for it, and let clients try again with a pause; an order of start alone
doesn't mean readiness. If it doesn't end, look at what the start waits for. A
value of NRestarts that rises means that it fails again and again.

    systemctl show -p SubState,NRestarts,Result UNIT
    journalctl -fu UNIT`,
			See: []string{"unit-failed"},
		},
		{
			Code:    "unit-masked",
			Summary: "The unit that should listen here is masked",
			Means: `The unit's name is linked to /dev/null, so systemd refuses to start it by
hand, at boot or as a dependency (systemctl(1), mask). Someone did that on
purpose, a package's script did, or it replaced the service by another one.`,
			Shows: `ECONNREFUSED at once. systemctl status says Loaded: masked, and an attempt to
start it ends in "Unit is masked".`,
			Mend: `Find out who masked it and why; often another program was meant to own the
port. If it should run, unmask and start it. A mask under /run is gone after a
reboot, one under /etc stays.

    systemctl status UNIT
    systemctl unmask UNIT
    systemctl enable --now UNIT`,
			See: []string{"unit-inactive"},
		},
		{
			Code:    "unit-needs-reload",
			Summary: "The unit's file changed, but systemd still works with the old one",
			Means: `systemd keeps units in memory. After a change of the file or of a drop-in it
goes on with what it read before, until it is told to read again:
NeedDaemonReload is then yes. For a socket unit that means the old port stays
open and the new one is refused.`,
			Shows: `ECONNREFUSED at once on the new port, while the old one may still connect.
systemctl status warns that the unit file changed on disk.`,
			Mend: `Let systemd read its files, then restart the unit. Restart a socket unit
itself, not only the service behind it.

    systemctl daemon-reload
    systemctl restart UNIT
    systemctl cat UNIT`,
			See: []string{"config-not-applied"},
		},
		{
			Code:    "config-not-applied",
			Summary: "The configuration names this port, but the running process listens on another",
			Means: `A file gives the port to a service that runs and listens elsewhere. It was
changed after the process started, another file or a drop-in has the last
word, an environment variable or an option on the command line overrides it,
or a reload failed and the old configuration stayed. With ssh.socket, systemd
owns the port and the Port line of sshd_config has no effect.`,
			Shows: `ECONNREFUSED at once on the documented port; the service answers on the other.
The file is newer than the process, or not the one that it reads.`,
			Mend: `Check the configuration with the program's own test, then reload or restart
it, and see which settings it really uses.

    nginx -T
    sshd -T
    systemctl restart UNIT`,
			See: []string{"unit-needs-reload", "listener-other-port"},
		},
		{
			Code:    "port-not-published",
			Summary: "A container serves this port, but it is not published here",
			Means: `A container has a network of its own. EXPOSE in its image only documents a
port; a published port (-p, ports: in a compose file) makes the engine forward
it. A port published on 127.0.0.1 serves this host alone, and the left number
of a mapping is the host's, the right one the container's.`,
			Shows: `ECONNREFUSED at once on the host, or from outside if it is published on the
loopback address only. The container itself is up, and its address may even
answer.`,
			Mend: `Publish the port and make the container anew: mappings can't be added to a
running one. Leave out the 127.0.0.1 only if others shall connect, for a
published port passes by most host firewalls.

    docker port CONTAINER
    docker run -p 8080:80 IMAGE
    docker compose up -d`,
			See: []string{"listener-other-netns", "proxy-backend-dead"},
		},
		{
			Code:    "wrong-process-answers",
			Summary: "Another process than the expected one answers on this port",
			Means: `More than one process can own a port number: one on 127.0.0.1 and one on the
wildcard (the more specific address wins), one on IPv4 and one on IPv6, or
several in a SO_REUSEPORT group. A local database then answers instead of the
container's, or an old instance instead of the new one.`,
			Shows: `It connects, and then the answer is wrong: an unknown user, another version, a
certificate of another name. localhost and the host's address may lead to
different programs.`,
			Mend: `Find both owners. Stop the one that shouldn't be there, or move it to a port
of its own.

    portwhy ls --port PORT
    systemctl stop UNIT`,
			See: []string{"port-in-use", "listener-other-family"},
		},
	}
}
