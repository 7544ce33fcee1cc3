package diagnose

import (
	"slices"
	"strings"
	"sync"
)

type scheme struct {
	port  uint16
	speak string // the protocol to speak, in the words of host.ConnectQuery.Speak
}

// schemes are the URL schemes and service names whose protocol can be spoken.
var schemes = map[string]scheme{
	"http": {80, "http"}, "https": {443, "https"}, "ws": {80, "http"}, "wss": {443, "https"},
	"tls": {443, "tls"}, "ssh": {22, "ssh"}, "redis": {6379, "redis"}, "postgres": {5432, "postgresql"},
	"postgresql": {5432, "postgresql"}, "mysql": {3306, "mysql"}, "smtp": {25, "smtp"}, "ftp": {21, "ftp"},
	"memcached": {11211, "memcached"},
}

func schemeNames() []string {
	names := make([]string, 0, len(schemes))
	for n := range schemes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// services maps well-known service names to ports: the IANA registry's entries
// that people type. /etc/services is not read: a target means the same everywhere.
var services = sync.OnceValue(func() map[string]uint16 {
	return map[string]uint16{
		"amqp": 5672, "amqps": 5671, "bgp": 179, "cassandra": 9042, "consul": 8500, "docker": 2375, "domain": 53, "dns": 53,
		"elasticsearch": 9200, "etcd": 2379, "ftp": 21, "git": 9418, "grafana": 3000, "http": 80, "http-alt": 8080, "https": 443,
		"imap": 143, "imaps": 993, "ipp": 631, "irc": 6667, "kafka": 9092, "kerberos": 88, "ldap": 389, "ldaps": 636,
		"memcached": 11211, "memcache": 11211, "mongodb": 27017, "mosquitto": 1883, "mqtt": 1883, "ms-sql-s": 1433, "mssql": 1433,
		"munin": 4949, "mysql": 3306, "nats": 4222, "nfs": 2049, "ntp": 123, "openvpn": 1194, "oracle": 1521, "pop3": 110,
		"pop3s": 995, "postgres": 5432, "postgresql": 5432, "prometheus": 9090, "rabbitmq": 5672, "rdp": 3389, "redis": 6379,
		"rsync": 873, "rtsp": 554, "sip": 5060, "smb": 445, "smtp": 25, "smtps": 465, "snmp": 161, "socks": 1080, "ssh": 22,
		"submission": 587, "sunrpc": 111, "syslog": 514, "telnet": 23, "tftp": 69, "vnc": 5900, "wireguard": 51820, "zookeeper": 2181,
	}
})

// ServicePort returns the port of a service name, 0 if it is not known.
func ServicePort(name string) uint16 {
	name = strings.ToLower(name)
	if p := services()[name]; p != 0 {
		return p
	}
	return schemes[name].port
}

// programs lists the processes that usually serve a port, by comm.
var programs = sync.OnceValue(func() map[uint16][]string {
	return map[uint16][]string{
		22: {"sshd"}, 25: {"master", "exim4", "sendmail"}, 53: {"named", "dnsmasq", "unbound", "systemd-resolve"},
		80: {"nginx", "apache2", "httpd", "caddy", "lighttpd", "haproxy", "traefik"}, 443: {"nginx", "apache2", "httpd", "caddy", "haproxy", "traefik"},
		631: {"cupsd"}, 1883: {"mosquitto"}, 2379: {"etcd"}, 3000: {"grafana", "node"}, 3306: {"mysqld", "mariadbd"},
		5432: {"postgres"}, 5672: {"beam.smp"}, 6379: {"redis-server", "valkey-server"}, 8080: {"java"}, 9090: {"prometheus"},
		9200: {"java"}, 11211: {"memcached"}, 27017: {"mongod"},
	}
})

// ProgramsFor returns the names of programs that usually serve the port.
func ProgramsFor(port uint16) []string { return programs()[port] }

// KnownPrograms returns the programs that usually serve each known port.
func KnownPrograms() map[uint16][]string { return programs() }
