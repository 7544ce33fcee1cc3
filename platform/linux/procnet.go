//go:build linux

package linux

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/platform/host"
)

// procNetLine bounds one line of /proc/net/{tcp,udp,unix}.
const procNetLine = 4 << 10

// procNetSockets reads sockets from /proc/thread-self/net: the way for kernels
// whose diag modules are not loaded, because asking them would load them.
func (h *Host) procNetSockets(list []host.Socket, name string, parse func(string) (host.Socket, error), q host.SocketQuery) ([]host.Socket, error) {
	err := h.inNamespace(func() error {
		file, err := os.Open("/proc/thread-self/net/" + name)
		if errors.Is(err, os.ErrNotExist) {
			return nil // the kernel has no such protocol, so there is no such socket
		}
		if err != nil {
			return err
		}
		defer file.Close()
		return parseProcNet(file, parse, func(s host.Socket) {
			if q.Match(s) && (len(q.States) != 0 || s.State != host.SynRecv) {
				s.Brief = true
				s.NetNS = h.netns
				list = append(list, s)
			}
		})
	})
	if err != nil {
		return list, fmt.Errorf("list sockets from /proc/net/%s: %w", name, err)
	}
	return list, nil
}

// parseProcNet reads a table with one line of headings.
func parseProcNet(r io.Reader, parse func(string) (host.Socket, error), add func(host.Socket)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, procNetLine), procNetLine)
	for number := 1; lines.Scan(); number++ {
		if number == 1 {
			continue
		}
		s, err := parse(lines.Text())
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		add(s)
	}
	return lines.Err()
}

// parseTCPLine and parseUDPLine read a line of /proc/net/{tcp,tcp6,udp,udp6}:
// sl, local and remote address, state, queues, timer, retransmissions, uid,
// timeout, inode. See net/ipv4/tcp_ipv4.c, get_tcp4_sock.
func parseTCPLine(line string) (host.Socket, error) { return parseInetLine("tcp", line) }

func parseUDPLine(line string) (host.Socket, error) { return parseInetLine("udp", line) }

func parseInetLine(network, line string) (host.Socket, error) {
	s := host.Socket{Network: network}
	f := strings.Fields(line)
	if len(f) < 10 {
		return s, fmt.Errorf("%d fields, want 10 or more: %q", len(f), line)
	}
	var err error
	if s.Local, err = parseHexAddress(f[1]); err != nil {
		return s, err
	}
	if s.Remote, err = parseHexAddress(f[2]); err != nil {
		return s, err
	}
	state, err := strconv.ParseUint(f[3], 16, 8)
	if err != nil || int(state) >= len(tcpStates) || tcpStates[state] == "" {
		return s, fmt.Errorf("state %q", f[3])
	}
	s.State = tcpStates[state]
	sent, received, _ := strings.Cut(f[4], ":")
	tx, err := strconv.ParseUint(sent, 16, 32)
	if err != nil {
		return s, fmt.Errorf("queues %q", f[4])
	}
	rx, err := strconv.ParseUint(received, 16, 32)
	if err != nil {
		return s, fmt.Errorf("queues %q", f[4])
	}
	s.Queue, s.Backlog = uint32(rx), uint32(tx)
	uid, err := strconv.ParseUint(f[7], 10, 32)
	if err != nil {
		return s, fmt.Errorf("uid %q", f[7])
	}
	s.UID = uint32(uid)
	if s.Inode, err = strconv.ParseUint(f[9], 10, 64); err != nil {
		return s, fmt.Errorf("inode %q", f[9])
	}
	return s, nil
}

// parseHexAddress reads 0100007F:1F90: 32 bit words in the machine's byte
// order, and a port.
func parseHexAddress(s string) (netip.AddrPort, error) {
	words, port, _ := strings.Cut(s, ":")
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	b, err := hex.DecodeString(words)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	address, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(address, uint16(number)), nil
}

// parseUnixLine reads a line of /proc/net/unix: number, references, protocol,
// flags, type, state, inode and, if it has one, the name.
func parseUnixLine(line string) (host.Socket, error) {
	const accepts = 1 << 16 // __SO_ACCEPTCON
	s := host.Socket{Network: "unix", State: host.Unconn}
	rest := line
	var f [7]string
	for i := range f {
		rest = strings.TrimLeft(rest, " ")
		f[i], rest, _ = strings.Cut(rest, " ")
	}
	flags, err := strconv.ParseUint(f[3], 16, 32)
	if err != nil {
		return s, fmt.Errorf("flags %q in %q", f[3], line)
	}
	state, err := strconv.ParseUint(f[5], 16, 8)
	if err != nil {
		return s, fmt.Errorf("state %q", f[5])
	}
	if s.Inode, err = strconv.ParseUint(f[6], 10, 64); err != nil {
		return s, fmt.Errorf("inode %q", f[6])
	}
	switch {
	case flags&accepts != 0:
		s.State = host.Listen
	case state == 3: // SS_CONNECTED
		s.State = host.Estab
	}
	// A name has every null byte replaced by @ (net/unix/af_unix.c).
	s.Path = host.Clean(bytes.TrimRight([]byte(rest), "\n"), unixPathMax)
	return s, nil
}
