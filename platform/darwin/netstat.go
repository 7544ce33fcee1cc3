package darwin

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/portable"
)

const rowsMax = 1 << 20

// parseNetstat reads what netstat(1) -anW -p tcp (or udp) prints: a line for
// each socket of every user, "tcp46 0 0 *.5000 *.* LISTEN". The families are
// tcp4, tcp6 (IPv6 only) and tcp46 (both). Headings are passed over; a line
// that begins like a socket and is none is an error.
func parseNetstat(b []byte) ([]portable.Entry, error) {
	var list []portable.Entry
	number := 0
	for line := range bytes.Lines(b) {
		number++
		words := strings.Fields(string(line))
		if len(words) == 0 || !strings.HasPrefix(words[0], "tcp") && !strings.HasPrefix(words[0], "udp") {
			continue
		}
		e, err := netstatRow(words)
		if err != nil {
			return nil, fmt.Errorf("netstat, line %d: %w", number, err)
		}
		if len(list) == rowsMax {
			return nil, fmt.Errorf("netstat: more than %d sockets", rowsMax)
		}
		list = append(list, e)
	}
	return list, nil
}

func netstatRow(words []string) (portable.Entry, error) {
	if len(words) < 5 {
		return portable.Entry{}, fmt.Errorf("%d columns, want 5 or more", len(words))
	}
	s := host.Socket{Network: words[0][:3]}
	family := words[0][3:]
	switch family {
	case "4", "46":
	case "6":
		s.V6Only = true
	default:
		return portable.Entry{}, fmt.Errorf("protocol %q", host.Clean([]byte(words[0]), 40))
	}
	for i, to := range []*uint32{&s.Queue, &s.Backlog} {
		n, err := strconv.ParseUint(words[1+i], 10, 32)
		if err != nil {
			return portable.Entry{}, fmt.Errorf("queue %q", host.Clean([]byte(words[1+i]), 40))
		}
		*to = uint32(n)
	}
	for i, to := range []*netip.AddrPort{&s.Local, &s.Remote} {
		a, err := netstatAddress(words[3+i], family)
		if err != nil {
			return portable.Entry{}, err
		}
		*to = a
	}
	if len(words) > 5 {
		s.State = portable.State(s.Network, words[5])
	} else {
		s.State = portable.State(s.Network, "CLOSED")
	}
	if s.Network == "udp" {
		s.State = host.Unconn
		if s.Remote.Port() != 0 {
			s.State = host.Estab
		}
	}
	s.Inode = portable.Key(s)
	return portable.Entry{Socket: s, FD: -1}, nil
}

// netstatAddress reads address.port; either may be *.
func netstatAddress(text, family string) (netip.AddrPort, error) {
	dot := strings.LastIndexByte(text, '.')
	bad := fmt.Errorf("address %q", host.Clean([]byte(text), 80))
	if dot < 0 {
		return netip.AddrPort{}, bad
	}
	port := uint64(0)
	if digits := text[dot+1:]; digits != "*" {
		var err error
		if port, err = strconv.ParseUint(digits, 10, 16); err != nil {
			return netip.AddrPort{}, bad
		}
	}
	address, err := wildcardOr(text[:dot], family != "4")
	if err != nil {
		return netip.AddrPort{}, bad
	}
	return netip.AddrPortFrom(address, uint16(port)), nil
}

// wildcardOr reads an address, * being the wildcard of its family.
func wildcardOr(text string, six bool) (netip.Addr, error) {
	switch {
	case text != "*":
		a, err := netip.ParseAddr(text)
		return a.Unmap(), err
	case six:
		return netip.IPv6Unspecified(), nil
	}
	return netip.IPv4Unspecified(), nil
}
