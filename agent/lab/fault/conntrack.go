//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"

	"golang.org/x/sys/unix"
)

// runConntrackFill adds flows to the table of connection tracking until it takes no
// more. They are assured, so that none is evicted for another one
// (early_drop of net/netfilter/nf_conntrack_core.c).
func runConntrackFill(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	const batch, most = 250, 1 << 23 // as many as there are of the documentation's addresses and ports
	for n := uint32(0); n < most; n += batch {
		var b []byte
		for i := n; i < n+batch; i++ {
			b = append(b, newFlow(i)...)
		}
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		if full, err := refused(fd); full || err != nil {
			if err != nil {
				return err
			}
			return ready()
		}
	}
	return errors.New("the table takes more than this")
}

// newFlow is IPCTNL_MSG_CT_NEW for the nth flow.
func newFlow(n uint32) []byte {
	tuple := func(kind uint16, from, to byte) []byte {
		ends := attribute(unix.NLA_F_NESTED|1, attribute(1, []byte{198, 18, byte(n >> 16), from}), attribute(2, []byte{198, 18, byte(n >> 16), to}))
		ports := attribute(unix.NLA_F_NESTED|2, attribute(1, []byte{unix.IPPROTO_UDP}), attribute(2, binary.BigEndian.AppendUint16(nil, uint16(n))),
			attribute(3, binary.BigEndian.AppendUint16(nil, uint16(n))))
		return attribute(unix.NLA_F_NESTED|kind, ends, ports)
	}
	const assured, lives = 1<<1 | 1<<2 | 1<<3, 3600 // IPS_SEEN_REPLY, _ASSURED, _CONFIRMED; seconds
	body := append([]byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}, tuple(1, 1, 2)...)
	body = append(body, tuple(2, 2, 1)...)
	body = append(body, attribute(3, binary.BigEndian.AppendUint32(nil, assured))...)
	body = append(body, attribute(7, binary.BigEndian.AppendUint32(nil, lives))...)
	head := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	head = binary.NativeEndian.AppendUint16(head, unix.NFNL_SUBSYS_CTNETLINK<<8)
	head = binary.NativeEndian.AppendUint16(head, unix.NLM_F_REQUEST|unix.NLM_F_CREATE)
	return append(append(head, make([]byte, 8)...), body...)
}

func attribute(kind uint16, values ...[]byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, kind)
	for _, v := range values {
		b = append(b, v...)
	}
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	return append(b, make([]byte, -len(b)&3)...)
}

// refused reports whether the kernel has answered that the table is full; only
// errors are answered.
func refused(fd int) (bool, error) {
	var b [1 << 16]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return false, nil
	}
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return false, fmt.Errorf("an answer of %d bytes: %w", n, err)
	}
	switch no := unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:]))); no {
	case unix.ENOMEM, unix.ENFILE:
		return true, nil
	default:
		return false, no
	}
}
