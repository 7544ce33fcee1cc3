//go:build linux

package linux

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	maxNameServers = 3 // MAXNS of <resolv.h>: glibc asks no more
	maxSearch      = 32
	maxHostsLines  = 64
)

// resolvConf is what resolv.conf(5) says.
type resolvConf struct {
	servers []host.NameServer
	search  []string
	ndots   int
	useTCP  bool // options use-vc
}

// parseResolvConf reads resolv.conf. The last search or domain line holds; more
// name servers than are asked are listed all the same.
func parseResolvConf(data []byte) resolvConf {
	conf := resolvConf{ndots: 1}
	for number, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if address, err := netip.ParseAddr(words[1]); err == nil && len(conf.servers) < 16 {
				conf.servers = append(conf.servers, host.NameServer{Address: address, Line: number + 1})
			}
		case "domain", "search":
			list := words[1:]
			if words[0] == "domain" {
				list = words[1:2]
			}
			conf.search = nil
			for _, domain := range list {
				// "." is the root: the name as it is.
				if domain = strings.TrimSuffix(domain, "."); len(conf.search) < maxSearch && len(domain) <= 253 {
					conf.search = append(conf.search, clean(domain, 253))
				}
			}
		case "options":
			for _, option := range words[1:] {
				if digits, ok := strings.CutPrefix(option, "ndots:"); ok {
					// RES_MAXNDOTS is 15; what is no number reads as 0, as in atoi(3).
					n, _ := strconv.Atoi(digits)
					conf.ndots = min(max(n, 0), 15)
				}
				conf.useTCP = conf.useTCP || option == "use-vc"
			}
		}
	}
	return conf
}

// service is one word of nsswitch.conf's hosts line with what to do after it.
type service struct {
	name   string
	onward map[string]bool // status: whether the next service is asked
}

// parseNsswitch reads the hosts line of nsswitch.conf(5), also as words. Without
// one, glibc since 2.35 does "files dns".
func parseNsswitch(data []byte) (services []service, words []string) {
	rest := "files dns"
	for _, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		database, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(database) == "hosts" {
			rest = value
			break
		}
	}
	for rest = strings.TrimSpace(rest); rest != "" && len(services) < 32; rest = strings.TrimSpace(rest) {
		if rest[0] != '[' {
			end := strings.IndexAny(rest, " \t[")
			if end < 0 {
				end = len(rest)
			}
			name := clean(rest[:end], 64)
			services = append(services, service{name, map[string]bool{"notfound": true, "unavail": true, "tryagain": true}})
			words = append(words, name)
			rest = rest[end:]
			continue
		}
		inner, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			break
		}
		rest = after
		words = append(words, "["+clean(strings.TrimSpace(inner), 128)+"]")
		if len(services) > 0 {
			actions(services[len(services)-1].onward, inner)
		}
	}
	return services, words
}

// actions changes what happens after a status: [NOTFOUND=return !UNAVAIL=return].
func actions(onward map[string]bool, text string) {
	for _, pair := range strings.Fields(strings.ToLower(text)) {
		status, action, ok := strings.Cut(pair, "=")
		name, not := strings.CutPrefix(status, "!")
		if _, known := onward[name]; !ok || !known && name != "success" {
			continue
		}
		for each := range onward {
			if (each == name) != not {
				onward[each] = action != "return"
			}
		}
	}
}

// hostsLines finds the lines of a hosts file (hosts(5)) that name name; case
// does not matter.
func hostsLines(file string, data []byte, name string) []host.HostsLine {
	var found []host.HostsLine
	for number := 1; len(data) > 0 && len(found) < maxHostsLines; number++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		// A quick look first: such files may have 100,000 lines.
		if len(line) < len(name) || len(line) > 8192 {
			continue
		}
		line, _, _ = bytes.Cut(line, []byte("#"))
		words := strings.Fields(string(line))
		if len(words) < 2 || !slices.ContainsFunc(words[1:], func(word string) bool { return strings.EqualFold(word, name) }) {
			continue
		}
		address, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		names := words[1:min(len(words), 33)]
		for i := range names {
			names[i] = clean(names[i], 255)
		}
		found = append(found, host.HostsLine{File: file, Line: number, Address: address.Unmap(), Names: names})
	}
	return found
}

// hostsAddresses are the addresses that getaddrinfo(3) takes from those lines:
// all of them with "multi on" in host.conf(5), else the first.
func hostsAddresses(lines []host.HostsLine, multi bool) []netip.Addr {
	var list []netip.Addr
	for _, line := range lines {
		if (multi || len(list) == 0) && !slices.Contains(list, line.Address) {
			list = append(list, line.Address)
		}
	}
	return list
}

// multiOn reads host.conf(5).
func multiOn(data []byte) bool {
	on := false
	for _, line := range strings.Split(string(data), "\n") {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "multi" {
			on = words[1] == "on"
		}
	}
	return on
}

// literal reads an address as inet_aton(3) and inet_pton(3) do: also 127.1,
// 0x7f.1 and 2130706433.
func literal(s string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(s); err == nil {
		return address, true
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 || s == "" {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		if part == "" || part[0] < '0' || part[0] > '9' || strings.Contains(part, "_") ||
			len(part) > 1 && (part[1] == 'o' || part[1] == 'O' || part[1] == 'b' || part[1] == 'B') {
			return netip.Addr{}, false
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 32 - 8*i
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}
