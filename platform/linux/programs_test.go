//go:build linux

package linux

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	vnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/host"
)

// load loads a program that returns one value.
func load(t *testing.T, name string, kind ebpf.ProgramType, attach ebpf.AttachType, value int32) *ebpf.Program {
	t.Helper()
	return loadCode(t, name, kind, attach, asm.Instructions{asm.Mov.Imm(asm.R0, value), asm.Return()})
}

func loadCode(t *testing.T, name string, kind ebpf.ProgramType, attach ebpf.AttachType, code asm.Instructions) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: kind, AttachType: attach, License: "GPL", Instructions: code})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// hold keeps a link to a program until the test ends.
func hold(t *testing.T) func(l link.Link, err error) {
	return func(l link.Link, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

// brief tells a program without what a run chooses.
func brief(p host.Program) string {
	constant := "decides"
	if p.Constant != nil {
		constant = fmt.Sprint("returns ", *p.Constant)
	}
	return fmt.Sprintf("%s %s at %s device %q cgroup %q %s", p.Name, p.Type, p.Attach, p.Device, p.Cgroup, constant)
}

func TestLinkPrograms(t *testing.T) {
	name, h := labNetNS(t, "bpf")
	inLab(t, name, `
		link add near type veth peer name far
		link set near up
		link set far up`)
	err := h.inNamespace(func() error {
		near, err := net.InterfaceByName("near")
		if err != nil {
			return err
		}
		keep := hold(t)
		keep(link.AttachXDP(link.XDPOptions{Program: load(t, "h2_xdp", ebpf.XDP, ebpf.AttachXDP, 1), Interface: near.Index, Flags: link.XDPGenericMode}))
		keep(link.AttachTCX(link.TCXOptions{Program: load(t, "h2_in", ebpf.SchedCLS, ebpf.AttachTCXIngress, 2), Interface: near.Index, Attach: ebpf.AttachTCXIngress}))
		keep(link.AttachTCX(link.TCXOptions{Program: load(t, "h2_out", ebpf.SchedCLS, ebpf.AttachTCXEgress, -1), Interface: near.Index, Attach: ebpf.AttachTCXEgress}))
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer own.Close()
		lookup, err := link.AttachNetNs(int(own.Fd()), load(t, "h2_lookup", ebpf.SkLookup, ebpf.AttachSkLookup, 1))
		keep(lookup, err)
		classifier := loadCode(t, "h2_tc", ebpf.SchedCLS, 0, asm.Instructions{
			asm.LoadMem(asm.R0, asm.R1, 0, asm.Word), asm.Return()})
		return addClassifier(near.Index, classifier)
	})
	if err != nil {
		t.Fatal(err)
	}
	command(t, "tc", "-n", name, "filter", "add", "dev", "near", "egress", "protocol", "ip", "u32", "match", "u32", "0", "0", "classid", "1:1")
	programs, err := h.Programs(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range programs.List {
		if strings.HasPrefix(p.Name, "h2_") {
			got = append(got, brief(p))
		}
		if p.ID == 0 || len(p.Tag) != 16 {
			t.Errorf("%+v", p)
		}
	}
	want := []string{
		`h2_xdp xdp at xdp device "near" cgroup "" returns 1`,
		`h2_tc sched_cls at tc_ingress device "near" cgroup "" decides`,
		`h2_in sched_cls at tcx_ingress device "near" cgroup "" returns 2`,
		`h2_out sched_cls at tcx_egress device "near" cgroup "" returns -1`,
		`h2_lookup sk_lookup at sk_lookup device "" cgroup "" returns 1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	find(t, "a limit for u32", programs.Limits, func(l host.Limit) bool {
		return strings.Contains(l.What, "u32") && strings.Contains(l.What, "tc_egress of near")
	})
}

// addClassifier attaches a program as tc(8) does, in the calling thread's
// namespace.
func addClassifier(index int, p *ebpf.Program) error {
	handle, err := vnetlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	if err := handle.QdiscAdd(&vnetlink.Clsact{QdiscAttrs: vnetlink.QdiscAttrs{LinkIndex: index,
		Handle: vnetlink.MakeHandle(0xffff, 0), Parent: vnetlink.HANDLE_CLSACT}}); err != nil {
		return err
	}
	return handle.FilterAdd(&vnetlink.BpfFilter{FilterAttrs: vnetlink.FilterAttrs{LinkIndex: index,
		Parent: vnetlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd: p.FD(), Name: "h2_tc", DirectAction: true})
}

func TestCgroupPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a control group")
	}
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	mount := h.cgroupMounts().unified
	if mount.path == "" {
		t.Skip("no unified hierarchy of control groups is mounted")
	}
	top := fmt.Sprintf("/h2-%d", os.Getpid())
	inner := top + "/inner"
	for _, group := range []string{top, inner} {
		if err := os.Mkdir(mount.dir(group), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(mount.dir(group)) })
	}
	keep := hold(t)
	keep(link.AttachCgroup(link.CgroupOptions{Path: mount.dir(top), Attach: ebpf.AttachCGroupInet4Connect,
		Program: load(t, "h2_deny", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 0)}))
	keep(link.AttachCgroup(link.CgroupOptions{Path: mount.dir(inner), Attach: ebpf.AttachCGroupInet4Connect,
		Program: load(t, "h2_pass", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 1)}))
	keep(link.AttachCgroup(link.CgroupOptions{Path: mount.dir(top), Attach: ebpf.AttachCGroupInetEgress,
		Program: load(t, "h2_egress", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, 1)}))
	keep(link.AttachCgroup(link.CgroupOptions{Path: mount.dir(inner), Attach: ebpf.AttachCGroupInetSockCreate,
		Program: load(t, "h2_create", ebpf.CGroupSock, ebpf.AttachCGroupInetSockCreate, 1)}))

	deny := fmt.Sprintf("h2_deny cgroup_sock_addr at cgroup_inet4_connect device \"\" cgroup %q returns 0", top)
	pass := fmt.Sprintf("h2_pass cgroup_sock_addr at cgroup_inet4_connect device \"\" cgroup %q returns 1", inner)
	egress := fmt.Sprintf("h2_egress cgroup_skb at cgroup_inet_egress device \"\" cgroup %q returns 1", top)
	create := fmt.Sprintf("h2_create cgroup_sock at cgroup_inet_sock_create device \"\" cgroup %q returns 1", inner)
	for group, want := range map[string][]string{
		inner:              {create, deny, egress, pass},
		top:                {deny, egress},
		"":                 {create, deny, egress, pass},
		inner + "/no/such": {create, deny, egress, pass},
		"/":                nil,
	} {
		programs, err := h.Programs(t.Context(), group)
		if err != nil {
			t.Errorf("%q: %v", group, err)
			continue
		}
		var got []string
		for _, p := range programs.List {
			if strings.HasPrefix(p.Name, "h2_") {
				got = append(got, brief(p))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q: got\n%s\nwant\n%s", group, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if len(programs.Limits) > 0 {
			t.Errorf("%q: %+v", group, programs.Limits)
		}
	}
	if programs, err := h.Programs(t.Context(), "/../x"); err != nil || len(programs.Limits) == 0 {
		t.Errorf("outside: %+v, %v", programs, err)
	}
}

// TestNetworkWithoutRights asks with no capabilities, as an ordinary user would be
// told.
func TestNetworkWithoutRights(t *testing.T) {
	h, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	// With a program somewhere, so that there is something not to be seen.
	if os.Geteuid() == 0 {
		load(t, "h2_some", ebpf.XDP, ebpf.AttachXDP, 2)
	}
	onThreadOfItsOwn(func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		ctx := t.Context()
		fw, err := h.Firewall(ctx)
		if err != nil || len(fw.Rules.Tables) != 0 || len(fw.Limits) == 0 || fw.Limits[0].Needs == "" {
			t.Errorf("firewall: %+v, %v", fw, err)
		}
		programs, err := h.Programs(ctx, "/")
		if err != nil || len(programs.List) != 0 || len(programs.Limits) != 1 {
			t.Errorf("programs: %+v, %v", programs, err)
		}
		if _, err := h.Transforms(ctx); !isPermission(err) {
			t.Errorf("transforms: %v", err)
		}
		for what, err := range map[string]error{
			"links": second(h.Links(ctx)), "addresses": second(h.Addresses(ctx)), "routes": second(h.Routes(ctx)),
			"rules": second(h.Rules(ctx)), "neighbours": second(h.Neighbours(ctx)), "qdiscs": second(h.Qdiscs(ctx)),
			"route": second(h.RouteTo(ctx, query("127.0.0.1"))), "counters": second(h.Counters(ctx)),
			"sysctl": second(h.Sysctl(ctx, "net.ipv4.ip_forward")), "namespaces": second(h.Namespaces(ctx)),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

func TestConstantOf(t *testing.T) {
	code := func(ins ...asm.Instruction) []byte {
		var b strings.Builder
		var native binary.ByteOrder = binary.LittleEndian
		if order[0] == 0 {
			native = binary.BigEndian
		}
		if err := asm.Instructions(ins).Marshal(&b, native); err != nil {
			t.Fatal(err)
		}
		return []byte(b.String())
	}
	value := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		code []byte
		want *int64
	}{
		"64 bits":           {code(asm.Mov.Imm(asm.R0, 2), asm.Return()), value(2)},
		"32 bits, negative": {code(asm.Mov.Imm32(asm.R0, -1), asm.Return()), value(-1)},
		"by a register":     {code(asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R2, 7), asm.Mov.Reg(asm.R0, asm.R2), asm.Return()), value(7)},
		"the context":       {code(asm.Mov.Reg(asm.R0, asm.R1), asm.Return()), nil},
		"nothing":           {nil, nil},
		"no exit":           {code(asm.Mov.Imm(asm.R0, 2)), nil},
		"only exit":         {code(asm.Return()), nil},
		"loads":             {code(asm.LoadMem(asm.R0, asm.R1, 0, asm.Word), asm.Return()), nil},
		"jumps":             {code(asm.Mov.Imm(asm.R0, 2), asm.JEq.Imm(asm.R1, 0, "x"), asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol("x")), nil},
		"half":              {[]byte{0xb7, 0, 0}, nil},
	} {
		got := constantOf(c.code)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzConstantOf(f *testing.F) {
	f.Add([]byte{0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if constantOf(b) != nil && len(b) < 2*bpfInsnSize {
			t.Errorf("%x", b)
		}
		parseProgram(b)
	})
}
