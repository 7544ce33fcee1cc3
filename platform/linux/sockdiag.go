//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

var errBadDiag = errors.New("malformed sock_diag message")

// diagSocket is the one NETLINK_SOCK_DIAG socket of a namespace view, opened at
// first need. NETLINK_SOCK_DIAG itself is part of every kernel
// (net/core/sock_diag.c), so this loads no module.
type diagSocket struct {
	mu   sync.Mutex
	conn *netlinkConn
}

// withDiag runs f with the sock_diag socket, alone. After an error the socket
// is closed, because the rest of an answer may still be in it.
func (h *Host) withDiag(f func(*netlinkConn) error) error {
	h.diag.mu.Lock()
	defer h.diag.mu.Unlock()
	if h.diag.conn == nil {
		conn, err := h.netlink(unix.NETLINK_SOCK_DIAG)
		if err != nil {
			return err
		}
		h.diag.conn = conn
	}
	err := f(h.diag.conn)
	if err != nil {
		h.diag.conn.close()
		h.diag.conn = nil
	}
	return err
}

// diagDump asks for a list of sockets. visit is called with each answer, which
// it must not keep; reset is called before each try.
func (h *Host) diagDump(ctx context.Context, kind uint16, request []byte, reset func(), visit func([]byte) error) error {
	return h.withDiag(func(c *netlinkConn) error {
		for range dumpTries {
			reset()
			interrupted, err := c.stream(ctx, kind, request, visit)
			if err != nil {
				return err
			}
			if !interrupted {
				return nil
			}
		}
		return errTableChanged
	})
}

// stream asks for a list like dump, but hands out each entry while it is in
// the receive buffer: lists of sockets are long and each entry is read once.
func (c *netlinkConn) stream(ctx context.Context, kind uint16, body []byte, visit func([]byte) error) (interrupted bool, err error) {
	c.seq++
	b := make([]byte, 0, unix.SizeofNlMsghdr+len(body))
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, c.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, body...)
	if err := unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, fmt.Errorf("send netlink request: %w", err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, _, flags, from, err := unix.Recvmsg(c.fd, c.buf, nil, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("receive netlink answer: %w", err)
		}
		if flags&unix.MSG_TRUNC != 0 {
			return false, fmt.Errorf("%w: longer than %d bytes", errBadDiag, len(c.buf))
		}
		// Any process may send to our port; only the kernel has port 0.
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		part, err := parseAnswer(c.buf[:n], c.seq, c.port)
		if err != nil {
			return false, err
		}
		for _, r := range part.replies {
			if err := visit(r.data); err != nil {
				return false, err
			}
		}
		interrupted = interrupted || part.interrupted
		if part.done {
			return interrupted, part.refusal()
		}
	}
}

// nextDiagAttribute splits the first attribute off b (struct nlattr in
// netlink(7)); its flags are not part of kind.
func nextDiagAttribute(b []byte) (kind uint16, value, rest []byte, err error) {
	if len(b) < unix.SizeofNlAttr {
		return 0, nil, nil, fmt.Errorf("%w: attribute header of %d bytes", errBadDiag, len(b))
	}
	size := int(binary.NativeEndian.Uint16(b))
	if size < unix.SizeofNlAttr || size > len(b) {
		return 0, nil, nil, fmt.Errorf("%w: attribute length %d of %d", errBadDiag, size, len(b))
	}
	kind = binary.NativeEndian.Uint16(b[2:]) & 0x3fff // NLA_TYPE_MASK
	return kind, b[unix.SizeofNlAttr:size], b[min(align4(size), len(b)):], nil
}
