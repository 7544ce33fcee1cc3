//go:build darwin

package darwin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/platform/portable"
)

// Host is this Mac. It is safe for concurrent use.
type Host struct {
	portable.Host
}

var _ host.Host = (*Host)(nil)

// Open looks at this Mac.
func Open() *Host {
	return &Host{portable.Host{HostsFile: "/etc/hosts"}}
}

// Info describes the host and the caller's rights.
func (h *Host) Info(ctx context.Context) (host.Info, error) {
	info, err := h.Host.Info(ctx)
	info.UID = uint32(os.Geteuid())
	info.Privileged = info.UID == 0
	return info, err
}

// Sockets lists TCP and UDP sockets of every user by netstat(1). Unix sockets
// are [host.ErrUnsupported] if asked for, and not listed otherwise. The list is
// marked as Brief.
func (h *Host) Sockets(ctx context.Context, q host.SocketQuery) ([]host.Socket, error) {
	if q.Network == "unix" || q.Path != "" {
		return nil, fmt.Errorf("list unix sockets: %w", host.ErrUnsupported)
	}
	var entries []portable.Entry
	for _, network := range []string{"tcp", "udp"} {
		if q.Network != "" && q.Network != network {
			continue
		}
		out, err := run(ctx, "/usr/sbin/netstat", "-anW", "-p", network)
		if err != nil {
			return nil, fmt.Errorf("list %s sockets: %w", network, err)
		}
		list, err := parseNetstat(out)
		if err != nil {
			return nil, fmt.Errorf("list %s sockets: %w", network, err)
		}
		entries = append(entries, list...)
	}
	sockets := portable.Select(entries, q)
	for i := range sockets {
		sockets[i].Brief = true
	}
	return sockets, nil
}

// Holders finds the processes that hold sockets by lsof(8), which without root
// shows the caller's own only: then Unreadable counts the other processes.
func (h *Host) Holders(ctx context.Context, q host.HolderQuery) (host.Holders, error) {
	out, err := run(ctx, "/usr/sbin/lsof", "-nP", "-iTCP", "-iUDP", "-F", "pftPnT")
	// It exits with 1 if it found nothing, or not all of it.
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return host.Holders{}, fmt.Errorf("find holders: %w", err)
	}
	entries, err := parseLsof(out)
	if err != nil {
		return host.Holders{}, fmt.Errorf("find holders: %w", err)
	}
	holders, err := portable.HoldersOf(ctx, entries, q, portable.Started)
	if err == nil && os.Geteuid() != 0 {
		holders.Unreadable, err = h.others(ctx)
	}
	return holders, err
}

// others counts the processes of other users.
func (h *Host) others(ctx context.Context) (int, error) {
	list, err := h.Processes(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range list {
		if p.UID != uint32(os.Geteuid()) {
			n++
		}
	}
	return n, nil
}

// User resolves a user name or number.
func (h *Host) User(_ context.Context, name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil && n != 1<<32-1 {
		return uint32(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
			err = host.ErrNotFound
		}
		return 0, fmt.Errorf("user %q: %w", host.Clean([]byte(name), 255), err)
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user %q has number %q: %w", host.Clean([]byte(name), 255), u.Uid, err)
	}
	return uint32(n), nil
}

// outputMax bounds what a program may print.
const outputMax = 64 << 20

// run runs a program of the system in an empty environment, by its full path:
// the caller's PATH is not trusted.
func run(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"LC_ALL=C"}
	var out bytes.Buffer
	cmd.Stdout = &limited{&out}
	err := cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", program, err)
	}
	return out.Bytes(), err
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
