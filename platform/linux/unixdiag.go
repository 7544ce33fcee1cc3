//go:build linux

package linux

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// Sizes and numbers of include/uapi/linux/unix_diag.h.
const (
	unixDiagRequest = 24 // struct unix_diag_req
	unixDiagMessage = 16 // struct unix_diag_msg

	unixDiagName = 0
	unixDiagVFS  = 1
	unixDiagPeer = 2
	unixDiagRQ   = 4
	unixDiagUID  = 7

	unixShow = 1 | 2 | 4 | 0x10 | 0x40 // name, vfs, peer, queue lengths, uid

	unixPathMax = 108 // sun_path
)

func unixMask(states []host.State) uint32 {
	if len(states) == 0 {
		return 1<<1 | 1<<7 | 1<<10
	}
	var mask uint32
	for _, state := range states {
		switch state {
		case host.Estab:
			mask |= 1 << 1
		case host.Unconn:
			mask |= 1 << 7
		case host.Listen:
			mask |= 1 << 10
		}
	}
	return mask
}

// unixSockets lists unix sockets. The kernel lists those of the namespace that
// they were made in.
func (h *Host) unixSockets(ctx context.Context, list []host.Socket, q host.SocketQuery) ([]host.Socket, error) {
	mask := unixMask(q.States)
	if mask == 0 {
		return list, nil
	}
	request := make([]byte, unixDiagRequest)
	request[0] = unix.AF_UNIX
	binary.NativeEndian.PutUint32(request[4:], mask)
	binary.NativeEndian.PutUint32(request[12:], unixShow)
	start := len(list)
	err := h.diagDump(ctx, unix.SOCK_DIAG_BY_FAMILY, request,
		func() { list = list[:start] },
		func(b []byte) error {
			s, err := parseUnixDiag(b)
			if err != nil {
				return err
			}
			if q.Match(s) {
				s.NetNS = h.netns
				list = append(list, s)
			}
			return nil
		})
	if err != nil {
		return list[:start], fmt.Errorf("list unix sockets by sock_diag: %w", err)
	}
	return list, nil
}

// parseUnixDiag reads struct unix_diag_msg and its attributes.
func parseUnixDiag(b []byte) (host.Socket, error) {
	if len(b) < unixDiagMessage {
		return host.Socket{}, fmt.Errorf("%w: unix_diag_msg of %d bytes", errBadDiag, len(b))
	}
	s := host.Socket{
		Network: "unix",
		State:   host.Unconn,
		Inode:   uint64(binary.NativeEndian.Uint32(b[4:])),
		Cookie:  uint64(binary.NativeEndian.Uint32(b[8:])) | uint64(binary.NativeEndian.Uint32(b[12:]))<<32,
	}
	switch b[2] {
	case 1:
		s.State = host.Estab
	case 10:
		s.State = host.Listen
	}
	for b = b[unixDiagMessage:]; len(b) > 0; {
		kind, v, rest, err := nextDiagAttribute(b)
		if err != nil {
			return host.Socket{}, err
		}
		b = rest
		want := 0
		switch kind {
		case unixDiagName:
			s.Path = unixPath(v)
		case unixDiagVFS, unixDiagRQ:
			want = 8
		case unixDiagPeer, unixDiagUID:
			want = 4
		}
		if len(v) < want {
			return host.Socket{}, fmt.Errorf("%w: attribute %d of %d bytes", errBadDiag, kind, len(v))
		}
		switch kind {
		case unixDiagVFS:
			s.FileInode = uint64(binary.NativeEndian.Uint32(v)) // udiag_vfs_ino
		case unixDiagRQ:
			s.Queue = binary.NativeEndian.Uint32(v)
			s.Backlog = binary.NativeEndian.Uint32(v[4:])
		case unixDiagPeer:
			s.Peer = uint64(binary.NativeEndian.Uint32(v))
		case unixDiagUID:
			s.UID = binary.NativeEndian.Uint32(v)
		}
	}
	return s, nil
}

// unixPath is a socket's name as ss(8) writes it: an abstract one begins with
// @ for its null byte (unix(7)); its further null bytes are kept.
func unixPath(v []byte) string {
	if len(v) == 0 {
		return ""
	}
	if v[0] == 0 {
		return "@" + host.Clean(v[1:], unixPathMax)
	}
	if end := bytes.IndexByte(v, 0); end >= 0 {
		v = v[:end]
	}
	return host.Clean(v, unixPathMax)
}
