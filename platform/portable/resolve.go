package portable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

const (
	hostsMax     = 16 << 20 // of the hosts file, in bytes
	hostsLineMax = 8192
	hostsFound   = 100 // lines that name it
	nameMax      = 255
)

// Resolve asks this system's own resolver. Which source answered is told by
// comparing with the hosts file.
func (h *Host) Resolve(ctx context.Context, name string) (host.Resolution, error) {
	r := host.Resolution{Name: host.Clean([]byte(name), nameMax)}
	if a, err := netip.ParseAddr(name); err == nil {
		r.Addresses, r.Source = []netip.Addr{a.Unmap()}, "literal"
		return r, nil
	}
	var err error
	if r.Hosts, err = h.hostsLines(name); err != nil {
		return r, fmt.Errorf("resolve %q: %w", r.Name, err)
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if ctx.Err() != nil {
		return r, fmt.Errorf("resolve %q: %w", r.Name, ctx.Err())
	}
	if err != nil {
		r.Error, r.Detail, r.Server = lookupError(err)
		return r, nil
	}
	r.Source = "dns"
	for _, a := range addresses {
		a = a.Unmap()
		r.Addresses = append(r.Addresses, a)
		for _, line := range r.Hosts {
			if line.Address == a.WithZone("") {
				r.Source = "files"
			}
		}
	}
	return r, nil
}

// lookupError tells a failure in the words of [host.Resolution].
func lookupError(err error) (kind, detail, server string) {
	detail = host.Clean([]byte(err.Error()), 300)
	e, ok := errors.AsType[*net.DNSError](err)
	if !ok {
		return detail, detail, ""
	}
	server = host.Clean([]byte(e.Server), nameMax)
	switch {
	case e.IsNotFound:
		return "not-found", detail, server
	case e.IsTimeout:
		return "timeout", detail, server
	case e.IsTemporary:
		return "temporary", detail, server
	}
	return host.Clean([]byte(e.Err), 300), detail, server
}

// hostsLines finds the lines of this system's hosts file that name name.
func (h *Host) hostsLines(name string) ([]host.HostsLine, error) {
	file, err := os.Open(h.HostsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines, err := parseHosts(io.LimitReader(file, hostsMax), name)
	for i := range lines {
		lines[i].File = h.HostsFile
	}
	return lines, err
}

// parseHosts reads hosts(5), which Windows keeps in the same form. Lines that
// are not in it are passed over.
func parseHosts(r io.Reader, name string) ([]host.HostsLine, error) {
	name = strings.TrimSuffix(name, ".")
	var found []host.HostsLine
	in := bufio.NewReaderSize(r, hostsLineMax)
	for number := 1; len(found) < hostsFound; number++ {
		line, tooLong, err := in.ReadLine()
		text := string(line)
		for tooLong && err == nil {
			_, tooLong, err = in.ReadLine()
			text = ""
		}
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("line %d: %w", number, err)
		}
		text, _, _ = strings.Cut(text, "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		address, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		entry := host.HostsLine{Line: number, Address: address.Unmap().WithZone("")}
		named := false
		for _, word := range words[1:] {
			named = named || strings.EqualFold(word, name)
			entry.Names = append(entry.Names, host.Clean([]byte(word), nameMax))
		}
		if named {
			found = append(found, entry)
		}
	}
	return found, nil
}
