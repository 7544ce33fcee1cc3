//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	resolveTimeout  = 2 * time.Second
	maxResolverFile = 1 << 20
	maxHostsFile    = 64 << 20 // lists of blocked names are big
)

// Resolve resolves a name in the order of nsswitch.conf, as glibc would without
// AI_ADDRCONFIG. Two of its services are done here: files and dns. resolve and
// myhostname are done in so far as they know this host; any other (mdns, ldap,
// sss, …) is not asked, and Detail says so if the name was not found.
func (h *Host) Resolve(ctx context.Context, name string) (host.Resolution, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	r, known := unasked(name)
	if known {
		return r, nil
	}
	files := h.resolverFiles()
	if data, _, err := readRegular(files.hosts, maxHostsFile); err == nil {
		r.Hosts = hostsLines(files.hosts, data, name)
	} else if !errors.Is(err, fs.ErrNotExist) {
		r.Detail = clean(errorText(err), 200)
	}
	services, _ := parseNsswitch(files.read(files.nsswitch))
	if err := h.askServices(ctx, services, files, name, &r); err != nil {
		return host.Resolution{}, fmt.Errorf("resolve %s: %w", r.Name, err)
	}
	if len(r.Addresses) == 0 && r.Error == "" {
		r.Error = "not-found"
	}
	if len(r.Addresses) > 1 {
		order, err := h.order(ctx, r.Addresses, parseGaiConf(files.read(files.gai)))
		if err != nil {
			return host.Resolution{}, fmt.Errorf("resolve %s: %w", r.Name, err)
		}
		r.Addresses = order
	}
	return r, nil
}

// unasked answers what needs no question: an address, and what can't be a name.
func unasked(name string) (r host.Resolution, known bool) {
	r.Name = clean(name, 255)
	address, ok := literal(name)
	switch {
	case ok:
		r.Source, r.Addresses = "literal", []netip.Addr{address}
	case !validName(name):
		r.Error, r.Detail = "not-found", "not a valid host name"
	default:
		return r, false
	}
	return r, true
}

// askServices asks one service after the other until one answers or an action
// of nsswitch.conf ends it.
func (h *Host) askServices(ctx context.Context, services []service, files resolverFiles, name string, r *host.Resolution) error {
	var skipped []string
	for _, s := range services {
		status := "notfound"
		switch {
		case s.name == "files":
			if r.Addresses = hostsAddresses(r.Hosts, multiOn(files.read(files.hostConf))); len(r.Addresses) > 0 {
				status, r.Source = "success", "files"
			}
		case s.name == "myhostname":
			if r.Addresses = h.myHostname(ctx, name); len(r.Addresses) > 0 {
				status, r.Source = "success", "myhostname"
			}
		case s.name == "resolve" && !resolvedRuns():
			status = "unavail"
		case s.name == "resolve" && isLocalhost(name):
			status, r.Source, r.Addresses = "success", "builtin", localhost()
		case s.name == "dns", s.name == "resolve":
			// RFC 6761, 6.3: localhost is not for name servers to answer.
			if isLocalhost(name) {
				break
			}
			var err error
			if status, err = h.askDNS(ctx, files, name, r); err != nil {
				return err
			}
		case strings.HasPrefix(s.name, "mdns") && !strings.HasSuffix(strings.TrimSuffix(strings.ToLower(name), "."), ".local"):
			// It answers for names under .local only (nss-mdns).
			status = "unavail"
		default:
			skipped = append(skipped, s.name)
			status = "unavail"
		}
		if status == "success" {
			r.Error, r.Detail, r.Server = "", "", ""
			return nil
		}
		if !s.onward[status] {
			break
		}
	}
	if len(skipped) > 0 {
		r.Detail = strings.TrimPrefix(r.Detail+"; not asked: "+strings.Join(skipped, ", "), "; ")
	}
	if isLocalhost(name) {
		r.Source, r.Addresses, r.Error = "builtin", localhost(), ""
		r.Detail = "no line of the hosts file names it, and no service of nsswitch.conf knows it: programs that do not know it themselves ask a name server"
	}
	return nil
}

// askDNS asks the name servers for the name and what the search list makes of
// it, and returns the status in the words of nsswitch.conf(5).
func (h *Host) askDNS(ctx context.Context, files resolverFiles, name string, r *host.Resolution) (string, error) {
	if r.Error == "not-found" && r.Server != "" {
		return "notfound", nil // an earlier service asked the same servers
	}
	conf := files.resolvConf()
	client := dnsClient{in: h.inNamespace, useTCP: conf.useTCP}
	servers := nameServers(conf.servers)
	var failed dnsAnswer
	for _, candidate := range candidates(name, conf) {
		if len(candidate) > 253 {
			continue
		}
		a := client.lookup(ctx, servers, candidate)
		if a.failure == "" {
			r.Addresses, r.Source = a.addresses, "dns"
			if candidate != strings.TrimSuffix(name, ".") {
				r.Canonical = clean(candidate, 255)
			}
			return "success", nil
		}
		// A failure says more than that a longer name does not exist.
		if failed.failure == "" || failed.failure == "not-found" && a.failure != "not-found" {
			failed = a
		}
		if a.failure == "timeout" || a.failure == "refused" {
			break
		}
	}
	r.Error, r.Detail, r.Server = failed.failure, failed.detail, failed.server
	if failed.failure == "" {
		r.Error, r.Detail = "not-found", "the name is too long with any search domain"
	}
	switch r.Error {
	case "not-found":
		return "notfound", nil
	case "temporary", "timeout":
		return "tryagain", nil
	}
	return "unavail", nil
}

// Resolver describes how this view resolves names.
func (h *Host) Resolver(context.Context) (host.Resolver, error) {
	files := h.resolverFiles()
	conf := files.resolvConf()
	r := host.Resolver{
		ConfFile:    files.resolv,
		Nameservers: conf.servers,
		Search:      conf.search,
		NDots:       conf.ndots,
		HostsFile:   files.hosts,
		Proxy:       map[string]string{},
	}
	if target, err := filepath.EvalSymlinks(files.resolv); err == nil {
		r.ConfFile = clean(target, 4096)
	} else if link, linkErr := os.Readlink(files.resolv); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
		r.Dangling = true
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(files.resolv), link)
		}
		r.ConfFile = clean(link, 4096)
	}
	_, r.HostsOrder = parseNsswitch(files.read(files.nsswitch))
	for _, assignment := range os.Environ() {
		name, value, ok := host.Environment(assignment)
		if ok && strings.HasSuffix(strings.ToLower(name), "_proxy") {
			r.Proxy[name] = value
		}
	}
	return r, nil
}

// resolverFiles are the files of this view.
type resolverFiles struct {
	hosts, resolv, nsswitch, hostConf, gai string
}

// resolverFiles finds them: what /etc/netns/NAME holds stands in place of /etc
// in a view of the namespace by that name, as ip-netns(8) mounts it.
func (h *Host) resolverFiles() resolverFiles {
	files := resolverFiles{"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"}
	if h.ns == nil {
		return files
	}
	dir, name := filepath.Split(h.ns.Name())
	if dir != "/run/netns/" && dir != "/var/run/netns/" {
		return files
	}
	own := filepath.Join("/etc/netns", name)
	for _, file := range []*string{&files.hosts, &files.resolv, &files.nsswitch, &files.hostConf, &files.gai} {
		candidate := filepath.Join(own, filepath.Base(*file))
		if _, err := os.Lstat(candidate); err == nil {
			*file = candidate
		}
	}
	return files
}

// read returns a file's content, nothing if there is none: each of them has
// defaults.
func (resolverFiles) read(path string) []byte {
	data, _, err := readRegular(path, maxResolverFile)
	if err != nil {
		return nil
	}
	return data
}

// resolvConf reads resolv.conf. Without a search list the domain of the host's
// own name is searched.
func (f resolverFiles) resolvConf() resolvConf {
	conf := parseResolvConf(f.read(f.resolv))
	if conf.search == nil {
		if _, domain, ok := strings.Cut(nodeName(), "."); ok && domain != "" {
			conf.search = []string{clean(domain, 253)}
		}
	}
	return conf
}

// order sorts addresses as a client would try them.
func (h *Host) order(ctx context.Context, addresses []netip.Addr, table policy) ([]netip.Addr, error) {
	list := make([]destination, len(addresses))
	err := h.inNamespace(func() error {
		for i, address := range addresses {
			list[i] = destination{address: address, source: sourceFor(address)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Without the subnets only one rule can't be applied.
	own, _ := h.Addresses(ctx)
	for i := range list {
		for _, a := range own {
			if a.Prefix.Addr() == list[i].source {
				list[i].bits = a.Prefix.Bits()
			}
		}
	}
	sortDestinations(list, table)
	sorted := make([]netip.Addr, len(list))
	for i, d := range list {
		sorted[i] = d.address
	}
	return sorted, nil
}

// sourceFor asks the kernel which source it would take, by connecting a UDP
// socket, which sends nothing. It is not valid if there is no way.
func sourceFor(address netip.Addr) netip.Addr {
	fd, err := udpSocket(netip.AddrPortFrom(address, dnsPort))
	if err != nil {
		return netip.Addr{}
	}
	defer unix.Close(fd)
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr)
	}
	return netip.Addr{}
}

// myHostname does what nss-myhostname(8) does for localhost and for the host's
// own name: its addresses, or if it has none 127.0.0.2 and ::1.
func (h *Host) myHostname(ctx context.Context, name string) []netip.Addr {
	if isLocalhost(name) {
		return localhost()
	}
	if !strings.EqualFold(strings.TrimSuffix(name, "."), nodeName()) {
		return nil
	}
	// Without addresses, or a look at them, there is still loopback.
	addresses, _ := h.Addresses(ctx)
	var list []netip.Addr
	for _, a := range addresses {
		if !a.Prefix.Addr().IsLoopback() && (a.Scope == "global" || a.Scope == "site") && len(list) < maxAddresses {
			list = append(list, a.Prefix.Addr())
		}
	}
	if len(list) == 0 {
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 2})}
	}
	return list
}

func localhost() []netip.Addr {
	return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}

// isLocalhost knows localhost and everything below it (RFC 6761, 6.3).
func isLocalhost(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "localhost.localdomain"
}

// resolvedRuns looks for the socket of systemd-resolved, over which nss-resolve
// asks it.
func resolvedRuns() bool {
	_, err := os.Stat("/run/systemd/resolve/io.systemd.Resolve")
	return err == nil
}

// nodeName is the host's own name, as gethostname(2) tells it.
func nodeName() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Nodename[:])
}

// validName keeps out what no hosts file or name server can hold: glibc refuses
// such names too.
func validName(name string) bool {
	trimmed := strings.TrimSuffix(name, ".")
	if trimmed == "" || len(trimmed) > 253 {
		return false
	}
	return !slices.ContainsFunc(strings.Split(trimmed, "."), func(label string) bool {
		if label == "" || len(label) > 63 {
			return true
		}
		return strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		})
	})
}
