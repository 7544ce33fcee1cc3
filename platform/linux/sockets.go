//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// A socketTable is one of the kernel's tables of sockets.
type socketTable struct {
	network string
	module  string // what answers sock_diag for it
	files   []string
	line    func(string) (host.Socket, error)
	diag    func(*Host, context.Context, []host.Socket, host.SocketQuery) ([]host.Socket, error)
}

var socketTables = []socketTable{
	{"tcp", "tcp_diag", []string{"tcp", "tcp6"}, parseTCPLine, (*Host).tcpSockets},
	{"udp", "udp_diag", []string{"udp", "udp6"}, parseUDPLine, (*Host).udpSockets},
	{"unix", "unix_diag", []string{"unix"}, parseUnixLine, (*Host).unixSockets},
}

// Sockets lists sockets by sock_diag(7), and from /proc/net where that would
// load a module; those are marked as Brief. Asking only for BoundInactive is
// [host.ErrUnsupported] where the kernel does not tell of such sockets.
func (h *Host) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	var list []host.Socket
	for _, table := range socketTables {
		if q.Network != "" && q.Network != table.network {
			continue
		}
		if table.network == "unix" && (q.Port != 0 || q.RemotePort != 0) || table.network != "unix" && q.Path != "" {
			continue
		}
		var err error
		if list, err = h.socketTable(ctx, list, table, q); err != nil {
			return nil, err
		}
	}
	h.nameDevices(list)
	h.found.remember(list)
	return list, nil
}

func (h *Host) socketTable(ctx context.Context, list []host.Socket, table socketTable, q host.SocketQuery) ([]host.Socket, error) {
	onlyBound := len(q.States) > 0 && !slices.ContainsFunc(q.States, func(s host.State) bool { return s != host.BoundInactive })
	if onlyBound && table.network == "tcp" && !tellsBound(kernelRelease()) {
		return list, fmt.Errorf("list bound sockets: %w: Linux before 6.8 does not tell them", host.ErrUnsupported)
	}
	if h.modules.mayAsk(table.module) {
		out, err := table.diag(h, ctx, list, q)
		// The kernel was built without it, or a sandbox forbids netlink.
		if err == nil || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPROTONOSUPPORT) && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, os.ErrPermission) {
			return out, err
		}
	}
	if onlyBound && table.network == "tcp" {
		return list, fmt.Errorf("list bound sockets: %w: it needs the kernel's %s", host.ErrUnsupported, table.module)
	}
	for _, file := range table.files {
		var err error
		if list, err = h.procNetSockets(list, file, table.line, q); err != nil {
			return list, err
		}
	}
	return list, ctx.Err()
}

// tellsBound: Linux lists sockets that are bound only since 6.8
// (net/ipv4/inet_diag.c, TCPF_BOUND_INACTIVE).
func tellsBound(release string) bool {
	major, rest, _ := strings.Cut(release, ".")
	minor := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = rest[:i]
	}
	a, err := strconv.Atoi(major)
	if err != nil {
		return false
	}
	b, err := strconv.Atoi(minor)
	return err == nil && (a > 6 || a == 6 && b >= 8)
}

// hints remember where a socket of a short list came from, so that the search
// for its holders begins there. They change the order of the search only.
type hints struct {
	mu     sync.Mutex
	cgroup map[uint64]uint64 // by socket inode
}

// hintsMax bounds both the lists that are worth it and what is kept.
const hintsMax = 256

func (t *hints) remember(list []host.Socket) {
	if len(list) > hintsMax {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cgroup == nil || len(t.cgroup) > 16*hintsMax {
		t.cgroup = make(map[uint64]uint64)
	}
	for _, s := range list {
		if s.Inode != 0 && s.CgroupID != 0 {
			t.cgroup[s.Inode] = s.CgroupID
		}
	}
}

// cgroups are those of the sockets, each once.
func (t *hints) cgroups(inodes []uint64) []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []uint64
	for _, inode := range inodes {
		if id := t.cgroup[inode]; id != 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
