//go:build linux

package linux

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// errTableChanged means that a table changed while the kernel listed it, at
// every try (NLM_F_DUMP_INTR), so that the list may lack or repeat entries.
var errTableChanged = errors.New("the table kept changing while it was read")

// dumpTries is how often an interrupted list is asked for again.
const dumpTries = 5

// netlinkBuffer is the size of one receive. The kernel fills up to 32 KiB for
// a list; what is longer is an error.
const netlinkBuffer = 64 << 10

// netlinkConn is a netlink(7) socket. It belongs to the network namespace in
// which it was opened, whatever thread uses it later. It serves one request at
// a time.
//
// It is our own because the one of vishvananda/netlink gives up when a message
// comes from another sender than the kernel, which lets anybody in the same
// user namespace disturb a reader.
type netlinkConn struct {
	fd   int
	seq  uint32
	port uint32
	buf  []byte
}

// netlink opens a netlink socket of this view's namespace; close it after use.
func (h *Host) netlink(protocol int) (*netlinkConn, error) {
	var c *netlinkConn
	err := h.inNamespace(func() (err error) {
		c, err = dialNetlink(protocol)
		return err
	})
	return c, err
}

// nfnetlink opens nfnetlink to ask a part of netfilter, by its module, where
// asking loads none. The error wraps [host.ErrUnsupported] if the part isn't there.
func (h *Host) nfnetlink(module string) (*netlinkConn, error) {
	if err := h.netlinkServed(unix.NETLINK_NETFILTER); err != nil {
		return nil, err
	}
	root := os.DirFS("/")
	if !noAutoload(root) {
		switch findModule(root, kernelRelease(), module) {
		case moduleAbsent:
			return nil, host.ErrUnsupported
		case moduleUnknown:
			return nil, errModuleUnknown
		}
	}
	return h.netlink(unix.NETLINK_NETFILTER)
}

// netlinkServed tells whether the kernel serves a netlink protocol now:
// opening one that it doesn't makes it look for a module to load. The error
// wraps [host.ErrUnsupported] if not.
func (h *Host) netlinkServed(protocol int) error {
	return h.inNamespace(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netlink")
		if err != nil {
			return err
		}
		if !netlinkListed(b, protocol) {
			return fmt.Errorf("netlink protocol %d: %w", protocol, host.ErrUnsupported)
		}
		return nil
	})
}

// netlinkListed looks in /proc/net/netlink for the kernel's own socket of a
// protocol, which has port 0: columns sk, Eth, Pid, … of netlink_seq_show in
// net/netlink/af_netlink.c.
func netlinkListed(b []byte, protocol int) bool {
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) > 2 && string(f[1]) == strconv.Itoa(protocol) && string(f[2]) == "0" {
			return true
		}
	}
	return false
}

// dialNetlink opens a netlink socket in the calling thread's namespace.
func dialNetlink(protocol int) (*netlinkConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket %d: %w", protocol, err)
	}
	c := &netlinkConn{fd: fd, buf: make([]byte, netlinkBuffer)}
	if err := c.setup(); err != nil {
		c.close()
		return nil, fmt.Errorf("set up netlink socket %d: %w", protocol, err)
	}
	return c, nil
}

func (c *netlinkConn) setup() error {
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return err
	}
	own, ok := name.(*unix.SockaddrNetlink)
	if !ok {
		return unix.EAFNOSUPPORT
	}
	c.port = own.Pid
	// The kernel answers at once; a bound keeps a fault from hanging us.
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	// A kernel before 4.20 has no strict checks and ignores what it doesn't know.
	_ = unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return nil
}

func (c *netlinkConn) close() { unix.Close(c.fd) }

// reply is one message of an answer: its type and what follows its header.
type reply struct {
	kind uint16
	data []byte
}

// dump asks for a whole table. It asks again if the table changed meanwhile.
func (c *netlinkConn) dump(ctx context.Context, kind uint16, body []byte) ([]reply, error) {
	for range dumpTries {
		list, interrupted, err := c.exchange(ctx, kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, body)
		if err != nil {
			return nil, err
		}
		if !interrupted {
			return list, nil
		}
	}
	return nil, errTableChanged
}

// ask asks for one thing. The kernel's refusal is a [unix.Errno].
func (c *netlinkConn) ask(ctx context.Context, kind uint16, body []byte) ([]reply, error) {
	list, _, err := c.exchange(ctx, kind, unix.NLM_F_REQUEST, body)
	return list, err
}

func (c *netlinkConn) exchange(ctx context.Context, kind, flags uint16, body []byte) (list []reply, interrupted bool, err error) {
	if err := c.send(ctx, kind, flags, body); err != nil {
		return nil, false, err
	}
	for {
		b, err := c.receive(ctx)
		if err != nil {
			return nil, false, err
		}
		part, err := parseAnswer(bytes.Clone(b), c.seq, c.port)
		if err != nil {
			return nil, false, err
		}
		list = append(list, part.replies...)
		interrupted = interrupted || part.interrupted
		if part.done {
			return list, interrupted, part.refusal()
		}
	}
}

// each asks for a whole table and gives each of its messages, whose bytes are
// there only during the call, to take. It reports whether the table changed
// meanwhile: then what was given may lack or repeat entries. If take says
// errEnough it ends at once, and the connection is of no more use.
func (c *netlinkConn) each(ctx context.Context, kind uint16, body []byte, take func(reply) error) (interrupted bool, err error) {
	if err := c.send(ctx, kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, body); err != nil {
		return false, err
	}
	var failed error
	for {
		b, err := c.receive(ctx)
		if err != nil {
			return false, err
		}
		part, err := parseAnswer(b, c.seq, c.port)
		if err != nil {
			return false, err
		}
		interrupted = interrupted || part.interrupted
		// The rest is received in any other case: the kernel gives no other list before.
		for i := 0; i < len(part.replies) && failed == nil; i++ {
			if failed = take(part.replies[i]); failed == errEnough {
				return interrupted, failed
			}
		}
		if part.done {
			return interrupted, cmp.Or(part.refusal(), failed)
		}
	}
}

func (c *netlinkConn) send(ctx context.Context, kind, flags uint16, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.seq++
	message := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(message[0:], uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(message[4:], kind)
	binary.NativeEndian.PutUint16(message[6:], flags)
	binary.NativeEndian.PutUint32(message[8:], c.seq)
	message = append(message, body...)
	if err := unix.Sendto(c.fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send netlink request: %w", err)
	}
	return nil
}

// receive waits for what the kernel sends next, which is there until the next call.
func (c *netlinkConn) receive(ctx context.Context) ([]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, _, flags, from, err := unix.Recvmsg(c.fd, c.buf, nil, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receive netlink answer: %w", err)
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, fmt.Errorf("netlink answer is longer than %d bytes", len(c.buf))
		}
		// Only the kernel has port 0; anybody else's message is not an answer.
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return c.buf[:n], nil
		}
	}
}

// netlinkAnswer is what one receive brought.
type netlinkAnswer struct {
	replies     []reply
	errno       unix.Errno
	interrupted bool
	done        bool
}

func (a netlinkAnswer) refusal() error {
	if a.errno == 0 {
		return nil
	}
	return a.errno
}

var errMalformed = errors.New("malformed netlink message")

// parseAnswer takes apart what one receive brought, keeping what answers the
// request seq of port. See netlink(7) for the headers.
func parseAnswer(b []byte, seq, port uint32) (netlinkAnswer, error) {
	var a netlinkAnswer
	for len(b) > 0 && !a.done {
		if len(b) < unix.SizeofNlMsghdr {
			return a, fmt.Errorf("%w: %d bytes left for a header", errMalformed, len(b))
		}
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return a, fmt.Errorf("%w: length %d of %d", errMalformed, length, len(b))
		}
		kind := binary.NativeEndian.Uint16(b[4:])
		flags := binary.NativeEndian.Uint16(b[6:])
		ours := binary.NativeEndian.Uint32(b[8:]) == seq && binary.NativeEndian.Uint32(b[12:]) == port
		data := b[unix.SizeofNlMsghdr:length]
		b = b[min(align4(length), len(b)):]
		if !ours {
			continue
		}
		if flags&unix.NLM_F_DUMP_INTR != 0 {
			a.interrupted = true
		}
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if len(data) >= 4 {
				code := int32(binary.NativeEndian.Uint32(data))
				// Beyond 4095 are the errors of ipset's own.
				if code < 0 && code > -8192 {
					a.errno = unix.Errno(-code)
				}
			}
			a.done = true
		case unix.NLMSG_NOOP:
		case unix.NLMSG_OVERRUN:
			return a, fmt.Errorf("%w: data lost", errMalformed)
		default:
			a.replies = append(a.replies, reply{kind, data})
			a.done = flags&unix.NLM_F_MULTI == 0
		}
	}
	return a, nil
}

func align4(n int) int { return (n + 3) &^ 3 }
