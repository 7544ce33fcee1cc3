package xt

// services are the ports of names that people write in rules (services(5) of
// Debian). The file of the machine that reads isn't asked: the rules may be
// another's, and what is read must not depend on where.
var services = map[string]uint16{
	"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "domain": 53, "bootps": 67,
	"bootpc": 68, "tftp": 69, "http": 80, "www": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111, "ident": 113,
	"auth": 113, "nntp": 119, "ntp": 123, "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143,
	"imap": 143, "snmp": 161, "snmp-trap": 162, "bgp": 179, "ldap": 389, "https": 443, "microsoft-ds": 445,
	"isakmp": 500, "syslog": 514, "printer": 515, "submission": 587, "ipp": 631, "ldaps": 636, "rsync": 873,
	"imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194, "ms-sql-s": 1433, "nfs": 2049, "mysql": 3306,
	"ipsec-nat-t": 4500, "sip": 5060, "sip-tls": 5061, "mdns": 5353, "postgresql": 5432, "x11": 6000,
	"redis": 6379, "http-alt": 8080, "webmin": 10000,
}

// Service is the port of a name that people write in rules, false if it is none
// of those.
func Service(name string) (uint16, bool) {
	port, ok := services[name]
	return port, ok
}
