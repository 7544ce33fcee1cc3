package firewall_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/linux"
	"github.com/portwhy/portwhy/rules/text"
)

// traps are what models of netfilter get wrong, by name. Each ruleset is loaded,
// a datagram is sent, and the kernel and the evaluator must say the same of it,
// which is what stands here.
var traps = []struct {
	name     string
	nft      string
	iptables string // lines for iptables-legacy
	ip       string // what ip adds, and takes away again
	src, dst string // 10.0.0.9 is the far host, 10.0.0.5 this one
	arrives  bool
}{
	{name: "accept is final for its own chain only", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority -10; udp dport 5001 accept; }
		}
		table ip b { chain c { type filter hook input priority 10; policy drop; }
		}`},
	{name: "drop is final for all", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 10; accept; }
		}
		table ip b { chain c { type filter hook input priority -10; udp dport 5001 drop; }
		}`},
	{name: "chains of ip and inet run by priority", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table inet a { chain c { type filter hook input priority 5; meta mark 7 drop; }
		}
		table ip b { chain c { type filter hook input priority 4; meta mark set 7; }
		}`},
	{name: "and not the other way round", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table inet a { chain c { type filter hook input priority 4; meta mark 7 drop; }
		}
		table ip b { chain c { type filter hook input priority 5; meta mark set 7; }
		}`},
	{name: "NAT runs where NAT stands, whatever its priority says", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a {
			chain n { type nat hook prerouting priority -150; udp dport 5001 redirect to :5002; }
			chain f { type filter hook prerouting priority -120; udp dport 5001 drop; }
		}`},
	{name: "the first mapping stands", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a {
			chain n { type nat hook prerouting priority -110; udp dport 5001 redirect to :5002; }
			chain m { type nat hook prerouting priority -100; meta l4proto udp redirect to :9; }
		}`},
	{name: "both backends must accept", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; udp dport 5001 accept; }
		}`,
		iptables: "-A INPUT -p udp --dport 5001 -j DROP"},
	{name: "goto doesn't come back", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a {
			chain side { return; }
			chain c { type filter hook input priority 0; policy drop; goto side; accept; }
		}`},
	{name: "jump does", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a {
			chain side { return; }
			chain c { type filter hook input priority 0; policy drop; jump side; accept; }
		}`},
	{name: "return in a base chain is its policy", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; policy drop; return; accept; }
		}`},
	{name: "a dormant table sleeps", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { flags dormant; chain c { type filter hook input priority 0; policy drop; }
		}`},
	{name: "a map without the key goes on with the next rule", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; udp dport vmap { 1 : accept, 2 : accept } accept; drop; }
		}`},
	{name: "a field that isn't there doesn't match, negated or not", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook input priority 0; tcp dport != 22 drop; }
		}`},
	{name: "a mark counts at once", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; meta mark set 1 meta mark 1 drop; }
		}`},
	{name: "no state at raw from outside", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook prerouting priority -300; ct state new drop; }
		}`},
	{name: "a state at raw over loopback", src: "10.0.0.5", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook prerouting priority -300; ct state new drop; }
		}`},
	{name: "notrack has no effect on a flow that is tracked", src: "10.0.0.5", dst: "10.0.0.5:5001",
		nft: `table ip a {
			chain c { type filter hook prerouting priority -300; notrack; }
			chain i { type filter hook input priority 0; ct state new drop; }
		}`},
	{name: "what this host sends to itself passes no prerouting NAT", src: "10.0.0.5", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain n { type nat hook prerouting priority -100; udp dport 5001 redirect to :9; }
		}`},
	{name: "what this host sends to itself comes in by lo", src: "10.0.0.5", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; iif lo drop; }
		}`},
	{name: "after mapping a filter sees the new port", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a {
			chain n { type nat hook prerouting priority -100; udp dport 5001 redirect to :5002; }
			chain c { type filter hook input priority 0; udp dport 5002 drop; }
		}`},
	{name: "and the original one in conntrack", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a {
			chain n { type nat hook prerouting priority -100; udp dport 5001 redirect to :5002; }
			chain c { type filter hook input priority 0; meta l4proto udp ct original proto-dst 5001 drop; }
		}`},
	{name: "redirect at output leads to loopback", src: "10.0.0.5", dst: "10.0.0.9:5001",
		nft: `table ip a {
			chain n { type nat hook output priority -100; udp dport 5001 redirect to :5002; }
			chain c { type filter hook input priority 0; ip daddr 127.0.0.1 drop; }
		}`},
	{name: "a mapped destination is routed anew", src: "10.0.0.5", dst: "192.0.2.1:5001", arrives: true,
		nft: `table ip a {
			chain n { type nat hook output priority -100; ip daddr 192.0.2.1 dnat to 10.0.0.5; }
			chain c { type filter hook output priority 0; oif != lo counter; }
		}`},
	{name: "states are bits", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; ct state new,established drop; }
		}`},
	{name: "a set of states is a look-up", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; ct state { new, established } drop; }
		}`},
	{name: "numbers of the host compare as numbers", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; meta mark set 0x100 meta mark > 0xff drop; }
		}`},
	{name: "ends of ranges belong to them", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { set s { type inet_service; flags interval; elements = { 4000-5001, 6000-7000 }; }
			chain c { type filter hook input priority 0; udp dport @s drop; }
		}`},
	{name: "what follows a range doesn't", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { set s { type inet_service; flags interval; elements = { 4000-5000, 5002-7000 }; }
			chain c { type filter hook input priority 0; udp dport @s drop; }
		}`},
	{name: "each field of a concatenation has its range", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { set s { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/28 . 5000-5001 }; }
			chain c { type filter hook input priority 0; ip saddr . udp dport @s drop; }
		}`},
	{name: "the catch-all is for the rest", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook input priority 0; udp dport vmap { 5001 : accept, * : drop }; }
		}`},
	{name: "no input device at output is another than any", src: "10.0.0.5", dst: "10.0.0.9:5001",
		nft: `table ip a { chain c { type filter hook output priority 0; iifname != "x" drop; }
		}`},
	{name: "inet rules are for both families", src: "fd00::9", dst: "[fd00::5]:5001",
		nft: `table inet a { chain c { type filter hook input priority 0; udp dport 5001 drop; }
		}`},
	{name: "an address of one family says nothing of the other", src: "fd00::9", dst: "[fd00::5]:5001", arrives: true,
		nft: `table inet a { chain c { type filter hook input priority 0; ip saddr != 10.0.0.1 drop; }
		}`},
	{name: "a rule of iptables that negates an address", src: "10.0.0.9", dst: "10.0.0.5:5001",
		iptables: "-A INPUT ! -s 10.0.0.8 -p udp -j DROP"},
	{name: "a policy of iptables is behind its rules", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		iptables: "-P INPUT DROP\n-A INPUT -p udp -m udp --dport 5001 -j ACCEPT"},
	{name: "a mark of conntrack can't be read before conntrack", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook prerouting priority -300; ct mark != 7 drop; }
		}`},
	{name: "but behind it", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook prerouting priority -150; ct mark != 7 drop; }
		}`},
	{name: "a flow that is not tracked has no mark", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a {
			chain r { type filter hook prerouting priority -300; notrack; }
			chain c { type filter hook input priority 0; ct mark != 7 drop; }
		}`},
	{name: "redirect at output leads to loopback in IPv6, too", src: "fd00::5", dst: "[fd00::9]:5001",
		nft: `table ip6 a {
			chain n { type nat hook output priority -100; udp dport 5001 redirect to :5002; }
			chain c { type filter hook input priority 0; ip6 daddr ::1 drop; }
		}`},
	{name: "a chain of type route is asked for the way anew", src: "10.0.0.5", dst: "10.0.0.9:5001", arrives: true,
		nft: `table ip a {
			chain r { type route hook output priority -150; meta mark set 7; }
			chain c { type filter hook postrouting priority 0; meta mark != 7 drop; }
		}`},
	{name: "jumps may lie deep", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: "table ip a {" + deepChains + `
			chain c { type filter hook input priority 0; jump c1; }
		}`},
	{name: "an element that has a long time left is there", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { set s { type inet_service; flags timeout; elements = { 5001 timeout 1h }; }
			chain c { type filter hook input priority 0; udp dport @s drop; }
		}`},
	{name: "no input device at output has no group", src: "10.0.0.5", dst: "10.0.0.9:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook output priority 0; meta iifgroup != 7 drop; }
		}`},
	{name: "no output device at input has no kind", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook input priority 0; meta oifkind != "x" drop; }
		}`},
	{name: "a name of a device is compared by its start", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; iifname "v*" drop; }
		}`},
	{name: "and else as a whole", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook input priority 0; iifname "v" drop; }
		}`},
	{name: "the next hop of what is near is the far host", src: "10.0.0.5", dst: "10.0.0.9:5001",
		nft: `table ip a { chain c { type filter hook output priority 0; rt nexthop 10.0.0.9 drop; }
		}`},
	{name: "and in IPv6", src: "fd00::5", dst: "[fd00::9]:5001",
		nft: `table ip6 a { chain c { type filter hook output priority 0; rt nexthop fd00::9 drop; }
		}`},
	{name: "what has just arrived has no route", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { chain c { type filter hook prerouting priority 0; rt classid 0 drop; }
		}`},
	{name: "what comes in has the realm of its source", src: "10.0.0.9", dst: "10.0.0.5:5001", ip: "route add 10.0.0.9 dev va realm 3/7",
		nft: `table ip a { chain c { type filter hook input priority 0; rt classid 0x70000 drop; }
		}`},
	{name: "and so to iptables", src: "10.0.0.9", dst: "10.0.0.5:5001", ip: "route add 10.0.0.9 dev va realm 3/7",
		iptables: "-A INPUT -m realm --realm 0x70000/0xffff0000 -j DROP"},
	{name: "no other", src: "10.0.0.9", dst: "10.0.0.5:5001", ip: "route add 10.0.0.9 dev va realm 3/7", arrives: true,
		iptables: "-A INPUT -m realm --realm 7/0xffff -j DROP"},
	{name: "what goes out has the realms of its route", src: "10.0.0.5", dst: "10.0.0.9:5001", ip: "route add 10.0.0.9 dev va realm 3/7",
		nft: `table ip a { chain c { type filter hook output priority 0; rt classid 0x30007 drop; }
		}`},
	{name: "or of the policy rule", src: "10.0.0.5", dst: "10.0.0.9:5001", ip: "rule add to 10.0.0.9 realms 5/6 table main",
		iptables: "-A OUTPUT -m realm --realm 6/0xffff -j DROP"},
	{name: "a route without has realm 0", src: "10.0.0.5", dst: "10.0.0.9:5001",
		nft: `table ip a { chain c { type filter hook output priority 0; rt classid 0 drop; }
		}`},
	{name: "which is all that IPv6 has", src: "fd00::5", dst: "[fd00::9]:5001",
		nft: `table ip6 a { chain c { type filter hook output priority 0; rt classid 0 drop; }
		}`},
	{name: "outside of a VRF no device is below", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a { chain c { type filter hook input priority 0; meta sdifname != "x" drop; }
		}`},
	{name: "Ethernet goes out by a device of Ethernet", src: "10.0.0.5", dst: "10.0.0.9:5001",
		nft: `table ip a { chain c { type filter hook output priority 0; meta oiftype ether drop; }
		}`},
	{name: "a prefix is mapped to a prefix", src: "10.0.0.9", dst: "10.0.0.5:5001",
		nft: `table ip a {
			chain n { type nat hook prerouting priority -100; dnat ip prefix to ip daddr map { 10.0.0.0/29 : 127.0.0.0/29 }; }
			chain c { type filter hook input priority 0; drop; }
		}`},
	{name: "a helper and a timeout change nothing", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		nft: `table ip a { ct helper h { type "ftp" protocol tcp; }
			ct timeout u { protocol udp; policy = { unreplied : 5 }; }
			chain c { type filter hook prerouting priority -150; ct helper set "h"; ct timeout set "u"; }
		}`},
	{name: "a queue that nobody reads loses the packet", src: "10.0.0.9", dst: "10.0.0.5:5001",
		iptables: "-A INPUT -p udp -j NFQUEUE --queue-num 9"},
	{name: "unless it may pass by", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		iptables: "-A INPUT -p udp -j NFQUEUE --queue-num 9 --queue-bypass"},
	{name: "a rule of iptables that goes doesn't come back", src: "10.0.0.9", dst: "10.0.0.5:5001", arrives: true,
		iptables: "-N side\n-A side -j RETURN\n-A INPUT -g side\n-A INPUT -j DROP"},
	{name: "a rule of iptables that jumps does", src: "10.0.0.9", dst: "10.0.0.5:5001",
		iptables: "-N side\n-A side -j RETURN\n-A INPUT -j side\n-A INPUT -j DROP"},
}

// deepChains are chains that jump to one another, as deep as the kernel lets them.
var deepChains = func() string {
	s := "chain c14 { drop; }\n"
	for i := 13; i > 0; i-- {
		s += fmt.Sprintf("chain c%d { jump c%d; }\n", i, i+1)
	}
	return s
}()

func TestTraps(t *testing.T) {
	wire(t, func(h *linux.Host, far *netNS) {
		ctx := context.Background()
		for _, c := range traps {
			script(t, c.nft, "nft", "-f", "-")
			if c.ip != "" {
				script(t, "", append([]string{"ip"}, strings.Fields(c.ip)...)...)
			}
			for line := range strings.Lines(c.iptables) {
				script(t, "", append([]string{"iptables-legacy"}, strings.Fields(line)...)...)
			}
			fw, err := h.Firewall(ctx)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			src, dst := netip.MustParseAddr(c.src), netip.MustParseAddrPort(c.dst)
			packet := firewall.Packet{Proto: "udp", Src: netip.AddrPortFrom(src, sourcePort).String(), Dst: c.dst}
			trace, err := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "").Trace(packet)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			// What should arrive may take its time on a busy machine.
			wait := map[bool]time.Duration{true: 3 * time.Second, false: 60 * time.Millisecond}[c.arrives]
			arrived := delivered(t, far, src, dst, wait)
			if arrived != c.arrives {
				t.Errorf("%s: with the kernel, arrives is %v, want %v", c.name, arrived, c.arrives)
			}
			if want := map[bool]string{true: "accept", false: "drop"}[arrived]; trace.Verdict != want {
				t.Errorf("%s: the evaluator says %s, the kernel %s; unknown: %v", c.name, trace.Verdict, want, trace.Unknown)
			}
			script(t, "flush ruleset", "nft", "-f", "-")
			if c.ip != "" {
				script(t, "", append([]string{"ip"}, strings.Fields(strings.Replace(c.ip, " add ", " del ", 1))...)...)
			}
			if c.iptables != "" {
				script(t, "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", "iptables-legacy-restore")
			}
		}
	})
}

// netNS is a network namespace whose sockets are made on a thread of its own.
type netNS struct{ do chan func() }

func newNetNS(t *testing.T) *netNS {
	n := &netNS{make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread()
		ready <- syscall.Unshare(syscall.CLONE_NEWNET)
		for f := range n.do {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.do) })
	return n
}

func (n *netNS) run(f func()) {
	done := make(chan struct{})
	n.do <- func() { defer close(done); f() }
	<-done
}

func script(t *testing.T, input string, args ...string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Stdin = strings.NewReader(input)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %v: %s%s", args, err, out, input)
	}
}

// wire runs f on a host that has a cable to a far one.
func wire(t *testing.T, f func(*linux.Host, *netNS)) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	for _, tool := range []string{"nft", "iptables-legacy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs", tool)
		}
	}
	near, far := newNetNS(t), newNetNS(t)
	tid := 0
	far.run(func() { tid = unix.Gettid() })
	near.run(func() {
		for _, line := range []string{"ip link set lo up", fmt.Sprintf("ip link add va type veth peer name vb netns /proc/%d/task/%d/ns/net", os.Getpid(), tid),
			"ip address add 10.0.0.5/24 dev va", "ip address add fd00::5/64 dev va nodad", "ip link set va up", "ip route add default via 10.0.0.9"} {
			if strings.HasPrefix(line, "ip route") {
				far.run(func() {
					for _, line := range []string{"ip link set lo up", "ip address add 10.0.0.9/24 dev vb", "ip address add fd00::9/64 dev vb nodad", "ip link set vb up"} {
						script(t, "", strings.Fields(line)...)
					}
				})
			}
			script(t, "", strings.Fields(line)...)
		}
		h, err := linux.Open(linux.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		f(h, far)
	})
}

const sourcePort = 6001

// delivered sends a datagram and tells whether it came to port 5001 or 5002 of
// the host that it is for, or of this one.
func delivered(t *testing.T, far *netNS, src netip.Addr, dst netip.AddrPort, wait time.Duration) bool {
	got := make(chan bool, 4)
	var open []*net.UDPConn
	listen := func() {
		for _, port := range []int{5001, 5002} {
			c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
			if err != nil {
				t.Error(err)
				return
			}
			open = append(open, c)
			go func() {
				n, _, err := c.ReadFromUDP(make([]byte, 16))
				got <- err == nil && n == 5
			}()
		}
	}
	send := func() {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, sourcePort)), net.UDPAddrFromAddrPort(dst))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = c.Write([]byte("hello")) // a drop at output is an error, too
	}
	listen()
	far.run(listen)
	if src == netip.MustParseAddr("10.0.0.9") || src == netip.MustParseAddr("fd00::9") {
		far.run(send)
	} else {
		send()
	}
	arrived := false
	select {
	case arrived = <-got:
	case <-time.After(wait):
	}
	for _, c := range open {
		c.Close()
	}
	return arrived
}
