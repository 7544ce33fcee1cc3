//go:build linux

package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules/eval"
)

// etherMarker is the type of frames that tell that what was sent before has
// been dealt with. Netfilter's families for IP don't see them.
const etherMarker = 0x88b5

// ipv6FlowInfo is IPV6_FLOWINFO of linux/in6.h.
const ipv6FlowInfo = 11

// host stands beside the peers' numbers for where a packet comes out.
const host = peers

// arrival is one of our packets where it came out.
type arrival struct {
	where   int
	data    []byte // from the network header on
	mark    uint32
	hasMark bool
}

// wire is the neighbours' and the host's sockets.
type wire struct {
	frames  [peers]int // of each neighbour
	markers [peers]int // of the host, on each device
	send4   int
	send6   int
	taken4  []int // what is delivered to the host
	taken6  []taken6
	silent  []int
	mark    [2]uint32 // of send4 and send6
	buffer  []byte
	control []byte
}

type taken6 struct {
	fd    int
	proto uint8
}

// silentPorts are those that rules and packets use: a socket takes what comes
// there without an answer.
var silentPorts = []uint16{5000, 5001, 5002, 5003, 5004, 5005, 6000, 6001, 6002, 6003}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

func newWire(spaces [peers + 1]*os.File) (*wire, error) {
	w := &wire{buffer: make([]byte, 4096), control: make([]byte, 512)}
	var err error
	for i := range peers {
		err := within(spaces[i], func() error {
			w.frames[i], err = packetSocket("p0", unix.ETH_P_ALL)
			return err
		}, spaces[peers])
		if err != nil {
			return nil, err
		}
		if w.markers[i], err = packetSocket(deviceNames[i], etherMarker); err != nil {
			return nil, err
		}
	}
	if w.send4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW); err != nil {
		return nil, err
	}
	if w.send6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW); err != nil {
		return nil, err
	}
	others := []uint8{protoTCP, protoUDP, protoGRE, protoESP, protoDCCP, protoSCTP, protoLite, protoTest}
	for _, proto := range append(others, protoICMP) {
		fd, err := rawSocket(unix.AF_INET, proto)
		if err != nil {
			return nil, err
		}
		w.taken4 = append(w.taken4, fd)
	}
	for _, proto := range append(others, protoICMP6) {
		fd, err := rawSocket(unix.AF_INET6, proto)
		if err != nil {
			return nil, err
		}
		for _, option := range []int{ipv6FlowInfo, unix.IPV6_RECVPKTINFO, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVTCLASS} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option, 1); err != nil {
				return nil, fmt.Errorf("option %d of IPv6: %w", option, err)
			}
		}
		w.taken6 = append(w.taken6, taken6{fd, proto})
	}
	return w, w.silence()
}

// receiveBuffer holds the packets, and the trace, of one batch.
const receiveBuffer = 64 << 20

func packetSocket(device string, ether uint16) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(htons(ether)))
	if err != nil {
		return 0, err
	}
	index, err := deviceIndex(fd, device)
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(ether), Ifindex: index})
}

// deviceIndex asks in the socket's namespace.
func deviceIndex(fd int, device string) (int, error) {
	request, err := unix.NewIfreq(device)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return int(request.Uint32()), nil
}

func rawSocket(family int, proto uint8) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(proto))
	if err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		return 0, err
	}
	return fd, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVMARK, 1)
}

// silence binds sockets that drop what comes.
func (w *wire) silence() error {
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	program := unix.SockFprog{Len: 1, Filter: &drop[0]}
	for _, port := range silentPorts {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
			fd, err := unix.Socket(unix.AF_INET6, kind, 0)
			if err != nil {
				return err
			}
			w.silent = append(w.silent, fd)
			if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
				return err
			}
			if err := unix.Bind(fd, &unix.SockaddrInet6{Port: int(port)}); err != nil {
				return err
			}
			if kind == unix.SOCK_STREAM {
				if err := unix.Listen(fd, 1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *wire) close() {
	all := append(append([]int{w.send4, w.send6}, w.taken4...), w.silent...)
	for i := range peers {
		all = append(all, w.frames[i], w.markers[i])
	}
	for _, t := range w.taken6 {
		all = append(all, t.fd)
	}
	for _, fd := range all {
		unix.Close(fd)
	}
}

// send sends a packet. refused says that the host's own rules did not let it out.
func (w *wire) send(p *packet) (refused bool, err error) {
	d := p.bytes()
	if p.way == eval.In || p.way == eval.Forward {
		frame := append(link(p.peer, p.dst), d...)
		_, err := unix.Write(w.frames[p.peer], frame)
		return false, err
	}
	if p.src.Is4() {
		if err := w.setMark(w.send4, &w.mark[0], p.mark); err != nil {
			return false, err
		}
		err = unix.Sendto(w.send4, d, 0, &unix.SockaddrInet4{Addr: p.dst.As4()})
	} else {
		if err := w.setMark(w.send6, &w.mark[1], p.mark); err != nil {
			return false, err
		}
		err = unix.Sendto(w.send6, d, 0, &unix.SockaddrInet6{Addr: p.dst.As16()})
	}
	switch err {
	case unix.EPERM:
		return true, nil
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EINVAL, unix.ENOBUFS, unix.ECONNREFUSED, unix.EACCES:
		// What becomes of it on a route that it was turned to, or an error of an
		// earlier one: what comes out tells.
		return false, nil
	}
	return false, err
}

func (w *wire) setMark(fd int, have *uint32, want uint32) error {
	if *have == want {
		return nil
	}
	*have = want
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(want))
}

// settle waits until all that was sent has been dealt with. A processor takes
// packets from all devices by one queue: a marker that comes out has had
// everything before it, and one more for each device that a packet may pass.
func (w *wire) settle() error {
	for range 3 {
		for i := range peers {
			frame := append(append(append([]byte{}, hostMACs[i]...), peerMACs[i]...), 0x88, 0xb5, 0, 0)
			if _, err := unix.Write(w.frames[i], frame); err != nil {
				return err
			}
			if err := w.await(w.markers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// ready waits until the devices take what is sent, either way: the kernel has
// their queues begin some time after they are up (linkwatch_do_dev), and loses
// without a word what comes before.
func (w *wire) ready() error {
	for i := range peers {
		toPeer := append(append([]byte{}, peerMACs[i]...), hostMACs[i]...)
		toHost := append(append([]byte{}, hostMACs[i]...), peerMACs[i]...)
		if err := w.passes(w.markers[i], w.frames[i], toPeer); err != nil {
			return err
		}
		if err := w.passes(w.frames[i], w.markers[i], toHost); err != nil {
			return err
		}
	}
	return nil
}

// passes sends markers until the last of them has come out.
func (w *wire) passes(from, to int, addresses []byte) error {
	for n := range uint16(1000) {
		marker := binary.BigEndian.AppendUint16(slices.Concat(addresses, []byte{0x88, 0xb5}), n)
		if _, err := unix.Write(from, marker); err != nil {
			return err
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(to), Events: unix.POLLIN}}, 10)
		came := false
		if err := drain(to, w.buffer, nil, func(d, _ []byte, _ unix.Sockaddr) {
			came = came || len(d) >= len(marker) && bytes.Equal(d[12:len(marker)], marker[12:])
		}); err != nil {
			return err
		}
		if came {
			return nil
		}
	}
	return fmt.Errorf("the devices carry nothing")
}

func (w *wire) await(fd int) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, _, err := unix.Recvfrom(fd, w.buffer, 0)
		if err == nil {
			return nil
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a marker was lost")
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
	}
}

// collect takes what has come out since the last time.
func (w *wire) collect(arrived func(id uint16, a arrival), answered func(id uint16, a answer)) error {
	take := func(where int, d []byte, mark uint32, hasMark bool) {
		if id := name(d); id != 0 {
			arrived(id, arrival{where, append([]byte(nil), d...), mark, hasMark})
		} else if id, a := readAnswer(d); id != 0 {
			answered(id, a)
		}
	}
	for i, fd := range w.frames {
		if err := drain(fd, w.buffer, nil, func(d, _ []byte, _ unix.Sockaddr) {
			if len(d) > 14 && (d[12] == 8 && d[13] == 0 || d[12] == 0x86 && d[13] == 0xdd) {
				take(i, d[14:], 0, false)
			}
		}); err != nil {
			return err
		}
	}
	for _, fd := range w.taken4 {
		if err := drain(fd, w.buffer, w.control, func(d, control []byte, _ unix.Sockaddr) {
			h := readControl(control)
			take(host, d, h.mark, true)
		}); err != nil {
			return err
		}
	}
	for _, s := range w.taken6 {
		if err := drain(s.fd, w.buffer, w.control, func(d, control []byte, from unix.Sockaddr) {
			h := readControl(control)
			take(host, h.header(d, s.proto, from), h.mark, true)
		}); err != nil {
			return err
		}
	}
	return nil
}

// drain reads what is there.
func drain(fd int, buffer, control []byte, each func(d, control []byte, from unix.Sockaddr)) error {
	for {
		n, m, _, from, err := unix.Recvmsg(fd, buffer, control, 0)
		switch err {
		case nil:
			each(buffer[:n], control[:m], from)
		case unix.EINTR:
		case unix.EAGAIN:
			return nil
		default:
			return err
		}
	}
}

// told is what a socket tells of a packet besides its bytes.
type told struct {
	mark uint32
	flow []byte // IPv6: class and label
	hops uint8
	dst  netip.Addr
}

func readControl(b []byte) (h told) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return h
	}
	h.flow = make([]byte, 4)
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_MARK:
			h.mark = binary.NativeEndian.Uint32(m.Data)
		case m.Header.Level != unix.IPPROTO_IPV6:
		case m.Header.Type == ipv6FlowInfo:
			copy(h.flow, m.Data)
		case m.Header.Type == unix.IPV6_HOPLIMIT:
			h.hops = uint8(binary.NativeEndian.Uint32(m.Data))
		case m.Header.Type == unix.IPV6_PKTINFO:
			h.dst, _ = netip.AddrFromSlice(m.Data[:16])
		}
	}
	return h
}

// header puts IPv6's header before what a raw socket gives.
func (h *told) header(d []byte, proto uint8, from unix.Sockaddr) []byte {
	b := make([]byte, 40, 40+len(d))
	copy(b, h.flow)
	b[0] |= 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(d)))
	b[6], b[7] = proto, h.hops
	if a, ok := from.(*unix.SockaddrInet6); ok {
		copy(b[8:], a.Addr[:])
	}
	if h.dst.IsValid() {
		copy(b[24:], h.dst.AsSlice())
	}
	return append(b, d...)
}
