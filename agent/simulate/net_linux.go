package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/thread"
	"github.com/portwhy/portwhy/rules/files"
)

// Net is a router with hosts around it.
type Net struct {
	router  *space
	hosts   map[string]*space
	closers []func() error
}

// space is a network namespace.
type space struct {
	file   *os.File
	handle *netlink.Handle
}

// The gateways of all hosts: the router has them on each link.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

// Privileged says whether this process may make network namespaces. If not,
// [Again] runs it in a user namespace in which it may.
func Privileged() bool {
	var caps [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]); err != nil {
		return false
	}
	const needed = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return caps[0].Effective&needed == needed
}

// Again runs this very command line in a user namespace of its own and returns
// its exit status.
func Again(ctx context.Context, stdin *os.File) (status int, err error) {
	// By its path: the stand-ins are told by the name that the process has.
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("running in a user namespace: %w", err)
	}
	return 0, nil
}

// New makes the net. It must be closed.
func New(hosts []Host) (n *Net, err error) {
	n = &Net{hosts: map[string]*space{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	if n.router, err = n.space(); err != nil {
		return n, fmt.Errorf("making the router: %w", err)
	}
	if err := in(n.router, routes); err != nil {
		return n, fmt.Errorf("making the router: %w", err)
	}
	for i, h := range hosts {
		s, err := n.space()
		if err != nil {
			return n, fmt.Errorf("making host %s: %w", h.Name, err)
		}
		n.hosts[h.Name] = s
		if len(h.Addresses) == 0 {
			continue
		}
		if err := n.connect(s, fmt.Sprintf("host%d", i), h.Addresses); err != nil {
			return n, fmt.Errorf("connecting host %s: %w", h.Name, err)
		}
	}
	return n, nil
}

// routes makes a router of the namespace it runs in.
func routes() error {
	for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := sysctl(key, "1"); err != nil {
			return err
		}
	}
	return nil
}

// sysctl writes a setting of the calling thread's namespace. A kernel without
// IPv6 has none of its settings.
func sysctl(key, value string) error {
	err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(key, "ipv6/") {
		return nil
	}
	return err
}

// space makes a network namespace with its loopback up.
func (n *Net) space() (*space, error) {
	s := &space{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		var err error
		if s.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		// Duplicates can't be found here, and looking for them takes a second.
		for _, which := range []string{"all", "default"} {
			if err := sysctl("ipv6/conf/"+which+"/accept_dad", "0"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	n.closers = append(n.closers, s.file.Close)
	if s.handle, err = netlink.NewHandleAt(netns.NsHandle(s.file.Fd())); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	n.closers = append(n.closers, func() error { s.handle.Close(); return nil })
	lo, err := s.handle.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	return s, s.handle.LinkSetUp(lo)
}

// connect joins a host to the router.
func (n *Net) connect(s *space, device string, addresses []netip.Addr) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	if err := s.handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: device, PeerNamespace: netlink.NsFd(n.router.file.Fd())}); err != nil {
		return fmt.Errorf("veth: %w", err)
	}
	inner, err := s.handle.LinkByName("eth0")
	if err != nil {
		return err
	}
	outer, err := n.router.handle.LinkByName(device)
	if err != nil {
		return err
	}
	for _, up := range []struct {
		s *space
		l netlink.Link
	}{{s, inner}, {n.router, outer}} {
		if err := up.s.handle.LinkSetUp(up.l); err != nil {
			return fmt.Errorf("link up: %w", err)
		}
	}
	for _, a := range addresses {
		gateway := gateway4
		if a.Is6() {
			gateway = gateway6
		}
		if err := errors.Join(
			address(s, inner, netip.PrefixFrom(a, a.BitLen())),
			address(n.router, outer, netip.PrefixFrom(gateway, gateway.BitLen())),
			n.router.handle.RouteReplace(&netlink.Route{LinkIndex: outer.Attrs().Index, Dst: network(a), Scope: netlink.SCOPE_LINK}),
			s.handle.RouteReplace(&netlink.Route{LinkIndex: inner.Attrs().Index, Gw: gateway.AsSlice(), Dst: anywhere(a), Flags: int(netlink.FLAG_ONLINK)}),
		); err != nil {
			return fmt.Errorf("%s: %w", a, err)
		}
	}
	return nil
}

func address(s *space, l netlink.Link, p netip.Prefix) error {
	err := s.handle.AddrReplace(l, &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}, Flags: unix.IFA_F_NODAD})
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	return nil
}

func network(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func anywhere(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: make([]byte, a.BitLen()/8), Mask: net.CIDRMask(0, a.BitLen())}
}

// Path names a host's namespace for --netns of this process.
func (n *Net) Path(host string) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.hosts[host].file.Fd())
}

// Listen starts a stand-in: it takes each connection and closes it, and answers
// each datagram with itself. An address that isn't valid is the wildcard.
func (n *Net) Listen(host, network string, at netip.Addr, port uint16) error {
	where := fmt.Sprintf(":%d", port)
	if at.IsValid() {
		where = netip.AddrPortFrom(at, port).String()
	}
	if at == netip.IPv4Unspecified() {
		network += "4"
	}
	err := in(n.hosts[host], func() error {
		if strings.HasPrefix(network, "udp") {
			c, err := net.ListenPacket(network, where)
			if err != nil {
				return err
			}
			n.closers = append(n.closers, c.Close)
			go echo(c)
			return nil
		}
		l, err := net.Listen(network, where)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, l.Close)
		go accept(l)
		return nil
	})
	if err != nil {
		return fmt.Errorf("listening on host %s: %w", host, err)
	}
	return nil
}

func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.Close()
		}
	}
}

func echo(c net.PacketConn) {
	b := make([]byte, 1<<16)
	for {
		size, from, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			// Whether it arrives is the question, not whether it could be sent.
			_, _ = c.WriteTo(b[:size], from)
		}
	}
}

// Load gives a host the rules of a saved file, by the tool that wrote it.
func (n *Net) Load(ctx context.Context, host, file string, rules []byte) error {
	argv, err := restorer(rules)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if argv == nil {
		return nil
	}
	return in(n.hosts[host], func() error {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdin = bytes.NewReader(rules)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %s: %w: %s", file, argv[0], err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// restorer is the command that reads such a file on standard input; nil: there is
// nothing to read.
func restorer(rules []byte) ([]string, error) {
	switch kind := files.Detect(string(rules)); kind {
	case files.Empty:
		return nil, nil
	case files.NFTText:
		return []string{"nft", "-f", "-"}, nil
	case files.NFTJSON:
		return []string{"nft", "-j", "-f", "-"}, nil
	case files.IPSetSave:
		return []string{"ipset", "restore"}, nil
	case files.IPTablesSave:
		if v6(rules) {
			return []string{"ip6tables-restore"}, nil
		}
		return []string{"iptables-restore"}, nil
	default:
		return nil, fmt.Errorf("no tool loads what %s writes", kind)
	}
}

// v6 tells ip6tables-save by its first line.
func v6(rules []byte) bool { return bytes.HasPrefix(rules, []byte("# Generated by ip6tables-save")) }

// Close takes the net down.
func (n *Net) Close() error {
	var failed []error
	for _, c := range n.closers {
		failed = append(failed, c())
	}
	n.closers = nil
	return errors.Join(failed...)
}

// in runs f in a namespace.
func in(s *space, f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that ends with it, so that no other goroutine ever
// runs in its namespace.
func onThread(f func() error) (err error) {
	thread.Beside(func() { err = f() })
	return err
}
