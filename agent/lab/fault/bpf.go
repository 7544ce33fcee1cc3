//go:build linux

package main

import (
	"flag"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hook is a place for a program and what denies there. A port makes it deny
// that TCP destination port only; port finds it in network byte order in R2, or
// jumps to "pass".
type hook struct {
	kind       ebpf.ProgramType
	attach     ebpf.AttachType
	deny, pass int32
	port       func() asm.Instructions
}

var hooks = map[string]hook{
	"xdp":         {ebpf.XDP, ebpf.AttachXDP, 1, 2, xdpPort},
	"tc-ingress":  {ebpf.SchedCLS, ebpf.AttachNone, 2, 0, skbPort},
	"tcx-ingress": {ebpf.SchedCLS, ebpf.AttachTCXIngress, 2, 0, skbPort},
	"tcx-egress":  {ebpf.SchedCLS, ebpf.AttachTCXEgress, 2, 0, skbPort},
	"connect4":    {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 0, 1, addrPort},
	"connect6":    {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect, 0, 1, addrPort},
	"bind4":       {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Bind, 0, 1, addrPort},
	"bind6":       {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Bind, 0, 1, addrPort},
	"sock-create": {ebpf.CGroupSock, ebpf.AttachCGroupInetSockCreate, 0, 1, nil},
	"skb-ingress": {ebpf.CGroupSKB, ebpf.AttachCGroupInetIngress, 0, 1, nil},
	"skb-egress":  {ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, 0, 1, nil},
}

const (
	ethernet = 14 // header length
	ipv4     = 20 // header length without options
)

// xdpPort reads struct xdp_md: data 0, data_end 4.
func xdpPort() asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R3, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R4, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R5, asm.R3),
		asm.Add.Imm(asm.R5, ethernet+ipv4+4),
		asm.JGT.Reg(asm.R5, asm.R4, "pass"),
		asm.LoadMem(asm.R2, asm.R3, ethernet+9, asm.Byte),
		asm.JNE.Imm(asm.R2, unix.IPPROTO_TCP, "pass"),
		asm.LoadMem(asm.R2, asm.R3, ethernet+ipv4+2, asm.Half),
	}
}

// skbPort reads struct __sk_buff: data 76, data_end 80.
func skbPort() asm.Instructions {
	ins := xdpPort()
	ins[0] = asm.LoadMem(asm.R3, asm.R1, 76, asm.Word)
	ins[1] = asm.LoadMem(asm.R4, asm.R1, 80, asm.Word)
	return ins
}

// addrPort reads struct bpf_sock_addr: user_port 24.
func addrPort() asm.Instructions {
	return asm.Instructions{asm.LoadMem(asm.R2, asm.R1, 24, asm.Word)}
}

// runBPF attaches a program that denies and holds it until killed.
func runBPF(fs *flag.FlagSet, args []string) error {
	at := fs.String("attach", "", "xdp, tc-ingress, tcx-ingress, tcx-egress, connect4, connect6, bind4, bind6, sock-create, skb-ingress, skb-egress")
	device := fs.String("dev", "", "network device")
	cgroup := fs.String("cgroup", "", "directory of a control group")
	port := fs.Uint("port", 0, "deny this TCP port only")
	label := fs.String("name", "lab_deny", "program name")
	if err := fs.Parse(args); err != nil {
		return err
	}
	h, ok := hooks[*at]
	if !ok {
		return fmt.Errorf("unknown hook %q", *at)
	}
	ins := asm.Instructions{}
	if *port > 0 {
		ins = append(ins, h.port()...)
		swapped := int32(*port>>8&0xff | *port&0xff<<8)
		ins = append(ins, asm.JNE.Imm(asm.R2, swapped, "pass"),
			asm.Mov.Imm(asm.R0, h.deny), asm.Return(),
			asm.Mov.Imm(asm.R0, h.pass).WithSymbol("pass"), asm.Return())
	} else {
		ins = append(ins, asm.Mov.Imm(asm.R0, h.deny), asm.Return())
	}
	attach := h.attach
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: *label, Type: h.kind, AttachType: attach, Instructions: ins, License: "GPL"})
	if err != nil {
		return fmt.Errorf("loading: %w", err)
	}
	held, err := attachProgram(prog, *at, attach, *device, *cgroup)
	if err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	err = ready()
	if held != nil {
		_ = held.Close()
	}
	return err
}

func attachProgram(prog *ebpf.Program, at string, attach ebpf.AttachType, device, cgroup string) (link.Link, error) {
	if device == "" {
		return link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: attach, Program: prog})
	}
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	switch at {
	case "xdp":
		return link.AttachXDP(link.XDPOptions{Program: prog, Interface: dev.Index})
	case "tc-ingress":
		return nil, attachClassifier(prog, dev.Index)
	}
	return link.AttachTCX(link.TCXOptions{Interface: dev.Index, Program: prog, Attach: attach})
}

// attachClassifier is the older way, as tc filter add … bpf da does it.
func attachClassifier(prog *ebpf.Program, index int) error {
	if err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index,
		Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}); err != nil {
		return fmt.Errorf("clsact: %w", err)
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:          prog.FD(), Name: "lab_deny", DirectAction: true})
}
