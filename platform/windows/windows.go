//go:build windows

package windows

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/shirou/gopsutil/v4/net"
	"golang.org/x/sys/windows"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/portable"
)

// Host is this Windows machine. It is safe for concurrent use.
type Host struct {
	portable.Host
	system string // its System32 directory
}

var _ host.Host = (*Host)(nil)

// Open looks at this machine.
func Open() (*Host, error) {
	system, err := windows.GetSystemDirectory()
	if err != nil {
		return nil, fmt.Errorf("find the system directory: %w", err)
	}
	hosts := filepath.Join(system, "drivers", "etc", "hosts")
	return &Host{portable.Host{HostsFile: hosts}, system}, nil
}

// Info describes the host and the caller's rights: Privileged is an elevated
// token.
func (h *Host) Info(ctx context.Context) (host.Info, error) {
	info, err := h.Host.Info(ctx)
	info.Privileged = windows.GetCurrentProcessToken().IsElevated()
	return info, err
}

// Sockets lists TCP and UDP sockets of every user (GetExtendedTcpTable,
// GetExtendedUdpTable). Unix sockets are [host.ErrUnsupported] if asked for,
// and not listed otherwise. The list is marked as Brief.
func (h *Host) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	if q.Network == "unix" || q.Path != "" {
		return nil, fmt.Errorf("list unix sockets: %w", host.ErrUnsupported)
	}
	entries, err := table(ctx)
	if err != nil {
		return nil, err
	}
	return portable.Select(entries, q), nil
}

// Holders finds the processes that hold sockets. Descriptors have no numbers
// here: FD is -1.
func (h *Host) Holders(ctx context.Context, q host.HolderQuery) (host.Holders, error) {
	entries, err := table(ctx)
	if err != nil {
		return host.Holders{}, err
	}
	return portable.HoldersOf(ctx, entries, q, portable.Started)
}

// table is the system's table of sockets with their processes.
func table(ctx context.Context) ([]portable.Entry, error) {
	rows, err := net.ConnectionsWithContext(ctx, "inet")
	if err != nil {
		return nil, fmt.Errorf("list sockets: %w", err)
	}
	entries := make([]portable.Entry, 0, len(rows))
	for _, row := range rows {
		s := host.Socket{Network: "tcp", Brief: true}
		if row.Type == syscall.SOCK_DGRAM {
			s.Network = "udp"
		}
		six := row.Family == syscall.AF_INET6
		s.Local, s.Remote = endpointOf(row.Laddr, six), endpointOf(row.Raddr, six)
		s.State = portable.State(s.Network, row.Status)
		s.Inode = portable.Key(s)
		entries = append(entries, portable.Entry{Socket: s, PID: int(row.Pid), FD: -1})
	}
	return entries, nil
}

// endpointOf reads an address; one that is missing is the family's wildcard.
func endpointOf(a net.Addr, six bool) netip.AddrPort {
	ip, err := netip.ParseAddr(a.IP)
	switch {
	case err == nil && !six:
		ip = ip.Unmap()
	case err != nil && six:
		ip = netip.IPv6Unspecified()
	case err != nil:
		ip = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(ip, uint16(a.Port))
}

// outputMax bounds what netsh may print.
const outputMax = 4 << 20

// ExcludedPorts asks netsh for the ports that are excluded for IPv4 and those
// for IPv6.
func (h *Host) ExcludedPorts(ctx context.Context, network string) ([]host.PortRange, error) {
	if network != "tcp" && network != "udp" {
		return nil, fmt.Errorf("excluded ports of %q: %w", network, host.ErrUnsupported)
	}
	var list []host.PortRange
	for _, family := range []string{"ipv4", "ipv6"} {
		cmd := exec.CommandContext(ctx, filepath.Join(h.system, "netsh.exe"), "int", family, "show", "excludedportrange", "protocol="+network)
		var out bytes.Buffer
		cmd.Stdout = &limited{&out}
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("excluded ports of %s by netsh: %w", family, err)
		}
		ranges, err := parseExcluded(out.Bytes())
		if err != nil {
			return nil, err
		}
		for _, r := range ranges {
			if !contains(list, r) {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

func contains(list []host.PortRange, r host.PortRange) bool {
	for _, have := range list {
		if have == r {
			return true
		}
	}
	return false
}

// limited fails when there is too much.
type limited struct{ *bytes.Buffer }

// Write keeps b, or fails.
func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > outputMax {
		return 0, fmt.Errorf("prints more than %d bytes", outputMax)
	}
	return l.Buffer.Write(b)
}
