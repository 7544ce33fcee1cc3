package cause

// names: the name or the environment leads elsewhere.
func names() []Entry {
	return []Entry{
		{
			Code:    "name-unresolved",
			Summary: "The name has no address",
			Means: `The resolver works and says that the name doesn't exist, or has no address of
the wanted family. It is spelt wrong, it exists only inside a VPN or a
container network, a search domain is missing (resolv.conf(5)), or the
container that gave the name is not running or in another network.`,
			Shows: `"Name or service not known" (EAI_NONAME) or "no address associated with
hostname", at once. No packet goes to the target.`,
			Mend: `Try the full name with its domain, and ask the name server that should know
it. In a container network, look whether both are in the same one.

    getent ahosts NAME
    resolvectl query NAME
    docker network inspect NETWORK`,
			See: []string{"resolver-down", "hosts-file-override"},
		},
		{
			Code:    "name-resolves-elsewhere",
			Summary: "The name stands for another host than the one that is meant",
			Means: `The name resolves, but to an address where the service is not: an old DNS
record or one that caches still hold, a search domain that completes the name,
a wildcard record, or a name server that answers differently inside and
outside. An alias in the client's own configuration (ssh_config) does the
same.`,
			Shows: `Refused, timed out, or answered by someone else, while the address itself
connects. Different hosts get different answers.`,
			Mend: `Compare what this host gets with what the domain's own name server says; mend
the record, and wait for its TTL to run out.

    getent ahosts NAME
    dig +trace NAME
    resolvectl flush-caches`,
			See: []string{"hosts-file-override", "wrong-process-answers"},
		},
		{
			Code:    "localhost-ipv6-first",
			Kind:    Tells,
			Summary: "localhost means ::1 first, then 127.0.0.1",
			Means: `localhost has an address in each family. By RFC 6724, gai.conf(5) and the
hosts file, most resolvers give ::1 first. A program that tries only the first
one, as Node.js did from version 17 on, ends at ::1 even if the service
listens on IPv4. Clients with happy eyeballs try both and don't notice.`,
			Shows: `ECONNREFUSED for ::1 and then a connection to 127.0.0.1, or an error that
names ::1:PORT.`,
			Mend: `Let the service listen on both, or write 127.0.0.1 in the client.

    getent ahosts localhost
    portwhy localhost:PORT`,
			See: []string{"listener-other-family"},
		},
		{
			Code:    "hosts-file-override",
			Summary: "A line of the hosts file decides what this name means",
			Means: `With "files" first in the hosts line of nsswitch.conf(5), a name in /etc/hosts
(hosts(5)) never reaches DNS. An entry from a test, a migration or a tool goes
on pointing to where the service was. A container has a file of its own; sudo
and services see the same one as everybody.`,
			Shows: `Refused or timed out at an old address, on this host only, while others
connect. dig and nslookup show the right address, because they don't read that
file.`,
			Mend: `Correct or delete the line.

    grep -n NAME /etc/hosts
    getent ahosts NAME
    dig +short NAME`,
			See: []string{"name-resolves-elsewhere"},
		},
		{
			Code:    "proxy-environment",
			Summary: "A proxy set in the environment catches the request",
			Means: `http_proxy, https_proxy and all_proxy, in either case, make many clients send
the request to a proxy instead of the target, even for localhost unless
no_proxy names it. The proxy then connects to its own localhost, or refuses.
Programs differ in what they understand in no_proxy: networks and wildcards
often not.`,
			Shows: `HTTP 502, 503 or 403 from a server that isn't the target, or ECONNREFUSED at
the proxy's port, while a plain TCP connection works.`,
			Mend: `Name the target in no_proxy, or unset the variables for that program. A
service has an environment of its own.

    env | grep -i proxy
    export no_proxy=localhost,127.0.0.1,::1
    curl --noproxy '*' http://localhost:PORT
    systemctl show -p Environment UNIT`,
			See: []string{"name-resolves-elsewhere", "proxy-backend-dead"},
		},
		{
			Code:    "resolver-down",
			Summary: "The name server doesn't answer",
			Means: `The host asks the servers of resolv.conf(5) and none answers: it is down,
filtered, behind a VPN that is off, or the local stub (127.0.0.53 of
systemd-resolved, dnsmasq) isn't running. If /etc/resolv.conf is a link to a
file that doesn't exist, programs ask 127.0.0.1.`,
			Shows: `"Temporary failure in name resolution" (EAI_AGAIN), at once where the server
refuses, after five seconds and more for each one that is silent. Addresses
connect without trouble.`,
			Mend: `Start the stub or name a server that can be reached; mend the link. Where
another program took port 53, one of them must give way.

    cat /etc/resolv.conf
    resolvectl status
    portwhy udp://ADDRESS:53
    systemctl restart systemd-resolved`,
			See: []string{"name-unresolved"},
		},
	}
}
