package host

import (
	"context"
	"net/netip"
)

// Names asks how names become addresses.
type Names interface {
	// Resolve resolves a host name as this host's programs would: hosts file,
	// then DNS, in the order of nsswitch.conf. A failure is an answer.
	Resolve(ctx context.Context, name string) (Resolution, error)
	// ResolveDNS asks the name servers only, past the hosts file and what the
	// resolver knows by itself. It sends a query; a failure is an answer.
	ResolveDNS(ctx context.Context, name string) (Resolution, error)
	// Resolver describes the resolver's configuration.
	Resolver(ctx context.Context) (Resolver, error)
	// User resolves a user name or number.
	User(ctx context.Context, name string) (uid uint32, err error)
}

// Resolution is the answer for one name.
type Resolution struct {
	Name      string
	Addresses []netip.Addr // in the order in which a client would try them
	// Source that answered: literal, files, dns, myhostname, builtin.
	Source string
	// Hosts are all lines of the hosts file that name it.
	Hosts []HostsLine
	// Canonical is the name that answered, if a search domain was added.
	Canonical string
	// Error is empty if it resolved; else not-found, temporary, timeout,
	// refused or the text of another failure. Server is who failed.
	Error  string
	Detail string
	Server string
}

// HostsLine is one line of the hosts file.
type HostsLine struct {
	File    string
	Line    int
	Address netip.Addr
	Names   []string
}

// Resolver is the resolver's configuration.
type Resolver struct {
	ConfFile    string // /etc/resolv.conf, links followed
	Dangling    bool   // resolv.conf is a link to nothing
	Nameservers []NameServer
	Search      []string
	NDots       int
	HostsOrder  []string // hosts: of nsswitch.conf
	HostsFile   string
	Proxy       map[string]string // proxy variables of the caller: http_proxy, no_proxy, …
}

// NameServer is one nameserver line.
type NameServer struct {
	Address netip.Addr
	Line    int
}
