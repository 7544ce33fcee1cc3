//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// bpf(2) is called here directly, not through a library: those find out what
// the kernel can by loading programs of their own, and looking must not change
// anything.

const (
	bpfAttrSize = 128
	bpfInfoSize = 128
	// bpfProgramsMax bounds the programs of one hook; the kernel allows 64.
	bpfProgramsMax = 64
	// bpfConstantMax bounds the instructions of a program that is looked at.
	bpfConstantMax = 16
	bpfInsnSize    = 8
)

// bpf is bpf(2). Buffers that attr points to must be pinned.
func bpf(command int, attr []byte) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(&attr[0])), uintptr(len(attr)))
	runtime.KeepAlive(attr)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// pointer tells the kernel where b is; pin keeps it there.
func pointer(pin *runtime.Pinner, b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	pin.Pin(&b[0])
	return uint64(uintptr(unsafe.Pointer(&b[0])))
}

// bpfQuery lists the programs at a hook (BPF_PROG_QUERY): target is a
// descriptor of a control group or namespace, or the index of a link.
func bpfQuery(target int, attach, flags uint32) ([]uint32, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	ids := make([]byte, 4*bpfProgramsMax)
	attr := make([]byte, bpfAttrSize)
	binary.NativeEndian.PutUint32(attr[0:], uint32(target))
	binary.NativeEndian.PutUint32(attr[4:], attach)
	binary.NativeEndian.PutUint32(attr[8:], flags)
	binary.NativeEndian.PutUint64(attr[16:], pointer(&pin, ids))
	binary.NativeEndian.PutUint32(attr[24:], bpfProgramsMax)
	if _, err := bpf(unix.BPF_PROG_QUERY, attr); err != nil {
		return nil, err
	}
	list := make([]uint32, min(bpfProgramsMax, binary.NativeEndian.Uint32(attr[24:])))
	for i := range list {
		list[i] = binary.NativeEndian.Uint32(ids[4*i:])
	}
	return list, nil
}

// bpfNext is the id of the next program after id (BPF_PROG_GET_NEXT_ID); ENOENT
// after the last.
func bpfNext(id uint32) (uint32, error) {
	attr := make([]byte, bpfAttrSize)
	binary.NativeEndian.PutUint32(attr, id)
	_, err := bpf(unix.BPF_PROG_GET_NEXT_ID, attr)
	return binary.NativeEndian.Uint32(attr[4:]), err
}

// bpfProgram describes a program by its id; where it is attached is not in it.
func bpfProgram(id uint32) (host.Program, error) {
	attr := make([]byte, bpfAttrSize)
	binary.NativeEndian.PutUint32(attr, id)
	fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, attr)
	if err != nil {
		return host.Program{}, err
	}
	defer unix.Close(fd)
	info, err := bpfInfo(fd, nil)
	if err != nil {
		return host.Program{}, err
	}
	p, size := parseProgram(info)
	if size > 0 && size <= bpfConstantMax*bpfInsnSize {
		code := make([]byte, size)
		if _, err := bpfInfo(fd, code); err == nil {
			p.Constant = constantOf(code)
		}
	}
	return p, nil
}

// bpfInfo reads struct bpf_prog_info (BPF_OBJ_GET_INFO_BY_FD), and the
// translated instructions where code has room for them.
func bpfInfo(fd int, code []byte) ([]byte, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	info := make([]byte, bpfInfoSize)
	binary.NativeEndian.PutUint32(info[20:], uint32(len(code)))
	binary.NativeEndian.PutUint64(info[32:], pointer(&pin, code))
	attr := make([]byte, bpfAttrSize)
	binary.NativeEndian.PutUint32(attr[0:], uint32(fd))
	binary.NativeEndian.PutUint32(attr[4:], bpfInfoSize)
	binary.NativeEndian.PutUint64(attr[8:], pointer(&pin, info))
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, attr)
	return info, err
}

// parseProgram reads struct bpf_prog_info of linux/bpf.h. size is that of the
// translated instructions, 0 if the caller may not see them.
func parseProgram(info []byte) (p host.Program, size uint32) {
	var r reader
	head, _ := r.header("bpf_prog_info", info, 80)
	p = host.Program{
		Type: bpfType(binary.NativeEndian.Uint32(head[0:])),
		ID:   binary.NativeEndian.Uint32(head[4:]),
		Tag:  hex.EncodeToString(head[8:16]),
		Name: r.text(head[64:80]),
	}
	return p, binary.NativeEndian.Uint32(head[20:])
}

// Instructions of bpf_insn: opcode, registers, offset, immediate. See
// Documentation/bpf/standardization/instruction-set.rst.
const (
	bpfMov64Imm = 0xb7
	bpfMov32Imm = 0xb4
	bpfMov64Reg = 0xbf
	bpfMov32Reg = 0xbc
	bpfExit     = 0x95
)

// constantOf is the value that a program returns, if its instructions are no
// more than moves and an exit. The kernel takes the lower 32 bits.
func constantOf(code []byte) *int64 {
	var known [16]*int32
	for ; len(code) >= bpfInsnSize; code = code[bpfInsnSize:] {
		registers := code[1]
		destination, source := registers&0xf, registers>>4
		if order[0] == 0 {
			destination, source = source, destination
		}
		immediate := int32(binary.NativeEndian.Uint32(code[4:]))
		offset := binary.NativeEndian.Uint16(code[2:])
		switch {
		case code[0] == bpfExit:
			if known[0] == nil {
				return nil
			}
			value := int64(*known[0])
			return &value
		case code[0] == bpfMov64Imm || code[0] == bpfMov32Imm:
			known[destination] = &immediate
		// An offset makes it a sign extension; the zero extension that the
		// verifier puts in has one in its immediate.
		case (code[0] == bpfMov64Reg || code[0] == bpfMov32Reg) && offset == 0:
			known[destination] = known[source]
		default:
			return nil
		}
	}
	return nil
}

// order is how this machine writes the number 1, which tells the order of the
// bit fields of an instruction as well.
var order = binary.NativeEndian.AppendUint16(nil, 1)

// bpfType names a kind of program, enum bpf_prog_type, as bpftool(8) does.
func bpfType(n uint32) string {
	names := [...]string{"unspec", "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event",
		"cgroup_skb", "cgroup_sock", "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg",
		"raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport", "flow_dissector",
		"cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops", "ext", "lsm", "sk_lookup",
		"syscall", "netfilter"}
	if int64(n) < int64(len(names)) {
		return names[n]
	}
	return strconv.FormatUint(uint64(n), 10)
}

// bpfHook is a hook of control groups, enum bpf_attach_type.
type bpfHook struct {
	number uint32
	name   string
}

// cgroupHooks are those that a connection or a bind can meet.
func cgroupHooks() []bpfHook {
	return []bpfHook{
		{unix.BPF_CGROUP_INET_SOCK_CREATE, "cgroup_inet_sock_create"},
		{unix.BPF_CGROUP_INET4_BIND, "cgroup_inet4_bind"},
		{unix.BPF_CGROUP_INET6_BIND, "cgroup_inet6_bind"},
		{unix.BPF_CGROUP_INET4_POST_BIND, "cgroup_inet4_post_bind"},
		{unix.BPF_CGROUP_INET6_POST_BIND, "cgroup_inet6_post_bind"},
		{unix.BPF_CGROUP_INET4_CONNECT, "cgroup_inet4_connect"},
		{unix.BPF_CGROUP_INET6_CONNECT, "cgroup_inet6_connect"},
		{unix.BPF_CGROUP_UDP4_SENDMSG, "cgroup_udp4_sendmsg"},
		{unix.BPF_CGROUP_UDP6_SENDMSG, "cgroup_udp6_sendmsg"},
		{unix.BPF_CGROUP_UDP4_RECVMSG, "cgroup_udp4_recvmsg"},
		{unix.BPF_CGROUP_UDP6_RECVMSG, "cgroup_udp6_recvmsg"},
		{unix.BPF_CGROUP_INET4_GETPEERNAME, "cgroup_inet4_getpeername"},
		{unix.BPF_CGROUP_INET6_GETPEERNAME, "cgroup_inet6_getpeername"},
		{unix.BPF_CGROUP_INET4_GETSOCKNAME, "cgroup_inet4_getsockname"},
		{unix.BPF_CGROUP_INET6_GETSOCKNAME, "cgroup_inet6_getsockname"},
		{unix.BPF_CGROUP_INET_EGRESS, "cgroup_inet_egress"},
		{unix.BPF_CGROUP_INET_INGRESS, "cgroup_inet_ingress"},
		{unix.BPF_CGROUP_SETSOCKOPT, "cgroup_setsockopt"},
		{unix.BPF_CGROUP_GETSOCKOPT, "cgroup_getsockopt"},
		{unix.BPF_CGROUP_SOCK_OPS, "cgroup_sock_ops"},
		{bpfCgroupUnixConnect, "cgroup_unix_connect"},
		{bpfCgroupUnixSendmsg, "cgroup_unix_sendmsg"},
	}
}

// Hooks since 6.6 that x/sys does not name.
const (
	bpfCgroupUnixConnect = 49
	bpfCgroupUnixSendmsg = 50
	bpfTCXIngress        = 46
	bpfTCXEgress         = 47
)

// bpfLimit says which programs stay unseen.
func bpfLimit(what string) host.Limit {
	return host.Limit{What: what, Why: "the kernel shows them to administrators only", Needs: "root, or CAP_SYS_ADMIN"}
}

// textOf joins names for people.
func textOf(names []string) string {
	var b bytes.Buffer
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", name)
	}
	return b.String()
}
