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

// parseLsof reads what lsof(8) -nP -iTCP -iUDP -F pftPnT prints: a letter and a
// value on each line ("OUTPUT FOR OTHER PROGRAMS"). p begins a process, f one
// of its descriptors. Without root it shows the caller's own processes only.
func parseLsof(b []byte) ([]portable.Entry, error) {
	var list []portable.Entry
	pid := 0
	var file map[byte]string
	end := func() error {
		if file == nil {
			return nil
		}
		e, ok, err := lsofEntry(pid, file)
		if ok && len(list) < rowsMax {
			list = append(list, e)
		}
		file = nil
		return err
	}
	number := 0
	for line := range bytes.Lines(b) {
		number++
		text := strings.TrimRight(string(line), "\n")
		if text == "" {
			continue
		}
		var err error
		switch key, value := text[0], text[1:]; key {
		case 'p':
			if err = end(); err == nil {
				pid, err = strconv.Atoi(value)
			}
		case 'f':
			err = end()
			file = map[byte]string{'f': value}
		case 'T':
			// Several of them: TST=LISTEN is the state, the others are queues.
			if state, ok := strings.CutPrefix(value, "ST="); ok && file != nil {
				file['T'] = state
			}
		default:
			if file != nil {
				file[key] = value
			}
		}
		if err != nil {
			return nil, fmt.Errorf("lsof, line %d: %w", number, err)
		}
	}
	if err := end(); err != nil {
		return nil, fmt.Errorf("lsof, at the end: %w", err)
	}
	return list, nil
}

// lsofEntry makes an entry of one descriptor; ok is false if it is no socket
// with an address.
func lsofEntry(pid int, file map[byte]string) (e portable.Entry, ok bool, err error) {
	s := host.Socket{Network: strings.ToLower(file['P'])}
	six := file['t'] == "IPv6"
	if s.Network != "tcp" && s.Network != "udp" || !six && file['t'] != "IPv4" || file['n'] == "" {
		return e, false, nil
	}
	local, remote, connected := strings.Cut(file['n'], "->")
	if s.Local, err = lsofAddress(local, six); err != nil {
		return e, false, err
	}
	s.Remote, _ = lsofAddress("*:*", six)
	if connected {
		if s.Remote, err = lsofAddress(remote, six); err != nil {
			return e, false, err
		}
	}
	s.State = portable.State(s.Network, file['T'])
	if s.Network == "udp" && connected {
		s.State = host.Estab
	}
	s.Inode = portable.Key(s)
	fd, err := strconv.Atoi(file['f'])
	if err != nil {
		fd = -1
	}
	return portable.Entry{Socket: s, PID: pid, FD: fd}, pid > 0, nil
}

// lsofAddress reads address:port, IPv6 in brackets; either may be *.
func lsofAddress(text string, six bool) (netip.AddrPort, error) {
	bad := fmt.Errorf("address %q", host.Clean([]byte(text), 80))
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return netip.AddrPort{}, bad
	}
	port := uint64(0)
	if digits := text[colon+1:]; digits != "*" {
		var err error
		if port, err = strconv.ParseUint(digits, 10, 16); err != nil {
			return netip.AddrPort{}, bad
		}
	}
	address := strings.TrimSuffix(strings.TrimPrefix(text[:colon], "["), "]")
	a, err := wildcardOr(address, six)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	return netip.AddrPortFrom(a, uint16(port)), nil
}
