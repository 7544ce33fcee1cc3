//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// bridgeSetup makes bridge br0 of the ports p1 and p2, whose other ends are va
// and vb, in one namespace: what is sent by va comes to p1.
const bridgeSetup = `link set lo up
link add br0 address 02:00:00:00:00:10 type bridge
link add name va address 02:00:00:00:00:0a type veth peer name p1 address 02:00:00:00:00:11
link add name vb address 02:00:00:00:00:0b type veth peer name p2 address 02:00:00:00:00:12
link set p1 master br0
link set p2 master br0
link set va up
link set vb up
link set p1 up
link set p2 up
link set br0 up
addr add 10.9.0.1/24 dev br0
neigh add 10.9.0.3 lladdr 02:00:00:00:00:99 dev br0 nud permanent
`

var (
	macBridge = []byte{2, 0, 0, 0, 0, 0x10}
	macSender = []byte{2, 0, 0, 0, 0, 0xaa}
	macOther  = []byte{2, 0, 0, 0, 0, 0x99} // a host behind vb
)

// bridgeHost is what is known of that namespace.
func bridgeHost(call bool) eval.Host {
	devices := map[string]eval.Device{
		"lo":  {Index: 1, Type: 772},
		"br0": {Index: 2, Type: 1, Kind: "bridge", MAC: macBridge, MTU: 1500, Bridge: &eval.Bridge{VLANProtocol: 0x8100}, Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}},
		"p1":  {Index: 3, Type: 1, Kind: "veth", Master: "br0", MAC: []byte{2, 0, 0, 0, 0, 0x11}, MTU: 1500},
		"va":  {Index: 4, Type: 1, Kind: "veth", MTU: 1500},
		"p2":  {Index: 5, Type: 1, Kind: "veth", Master: "br0", MAC: []byte{2, 0, 0, 0, 0, 0x12}, MTU: 1500},
		"vb":  {Index: 6, Type: 1, Kind: "veth", MTU: 1500},
	}
	return eval.Host{
		Device: func(name string) (eval.Device, bool) { d, ok := devices[name]; return d, ok },
		Sysctl: func(key string) (string, bool) {
			switch key {
			case "net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables", "net/bridge/bridge-nf-call-arptables":
				if call {
					return "1", true
				}
				return "0", true
			}
			return "", false
		},
		AddressType: func(a netip.Addr, _ string, _ bool) (uint8, bool) {
			if a == netip.MustParseAddr("10.9.0.1") {
				return eval.Local, true
			}
			return eval.Unicast, true
		},
		Route: func(q eval.Query) (eval.Route, bool) {
			if q.Dst == netip.MustParseAddr("10.9.0.1") {
				return eval.Route{Type: eval.Local, Out: "lo"}, true
			}
			return eval.Route{Type: eval.Unicast, Out: "br0"}, true
		},
	}
}

// bridgeCases are rulesets, the way of a packet (see sendAlong) and whether
// br_netfilter is called.
var bridgeCases = []struct {
	name string
	way  eval.Way
	call bool
	text string
}{
	{"nothing", eval.Bridged, false, ``},
	{"nothing, to the host", eval.In, false, ``},
	{"nothing, from the host", eval.Out, false, ``},
	{"forward", eval.Bridged, false, `table bridge t { chain f { type filter hook forward priority -200; udp dport 5001 drop; }; }`},
	{"forward by ports", eval.Bridged, false, `table bridge t { chain f { type filter hook forward priority -200; iifname "p1" oifname "p2" drop; }; }`},
	{"forward is not for the host", eval.In, false, `table bridge t { chain f { type filter hook forward priority -200; drop; }; }`},
	{"input is for the host", eval.In, false, `table bridge t { chain i { type filter hook input priority -200; iifname "p1" drop; }; }`},
	{"input is not for others", eval.Bridged, false, `table bridge t { chain i { type filter hook input priority -200; drop; }; }`},
	{"input has no device out", eval.In, false, `table bridge t { chain i { type filter hook input priority -200; oif 0 drop; }; }`},
	{"prerouting", eval.Bridged, false, `table bridge t { chain p { type filter hook prerouting priority -300; ether saddr 02:00:00:00:00:aa drop; }; }`},
	{"prerouting by type", eval.Bridged, false, `table bridge t { chain p { type filter hook prerouting priority -300; ether type ip drop; }; }`},
	{"postrouting has no device in", eval.Bridged, false, `table bridge t { chain p { type filter hook postrouting priority 300; iif 0 oifname "p2" drop; }; }`},
	{"a mark lasts through the bridge", eval.Bridged, false, `table bridge t {
		chain p { type filter hook prerouting priority -300; mark set 7; }
		chain f { type filter hook forward priority 300; mark 7 drop; }
	}`},
	{"a mark lasts up to the host", eval.In, false, `table bridge t {
		chain p { type filter hook prerouting priority -300; mark set 7; }
	}
	table ip u { chain i { type filter hook input priority 0; iifname "br0" mark 7 drop; }; }`},
	{"output of the bridge", eval.Out, false, `table bridge t { chain o { type filter hook output priority -200; iif 0 oifname "p2" udp dport 5001 drop; }; }`},
	{"postrouting of the bridge for the host's own", eval.Out, false, `table bridge t { chain o { type filter hook postrouting priority 0; oifname "p2" drop; }; }`},
	{"output's link header", eval.Out, false, `table bridge t { chain o { type filter hook output priority -200; ether saddr 02:00:00:00:00:10 ether type ip drop; }; }`},
	{"the IP rules don't see bridged frames", eval.Bridged, false, `table ip t { chain f { type filter hook forward priority 0; iifname "br0" drop; }; }`},
	{"unless br_netfilter shows them", eval.Bridged, true, `table ip t { chain f { type filter hook forward priority 0; iifname "br0" oifname "br0" drop; }; }`},
	{"prerouting of a bridged frame", eval.Bridged, true, `table ip t { chain p { type filter hook prerouting priority 0; iifname "br0" udp dport 5001 drop; }; }`},
	{"postrouting of a bridged frame has no device in", eval.Bridged, true, `table ip t { chain p { type filter hook postrouting priority 0; iif 0 oifname "br0" udp dport 5001 drop; }; }`},
	{"the type of device at a bridged forward is the port's", eval.Bridged, true, `table ip t { chain p { type filter hook forward priority 0; meta iiftype ether drop; }; }`},
	{"prerouting is not met twice", eval.In, true, `table ip t {
		chain p { type filter hook prerouting priority 0; mark 1 drop; iifname "br0" mark set 1; }
	}`},
	{"prerouting of the bridge before br_netfilter", eval.Bridged, true, `
	table bridge b { chain p { type filter hook prerouting priority -1; mark set 5; }; }
	table ip t { chain p { type filter hook prerouting priority 0; mark 5 drop; }; }`},
	{"prerouting of the bridge behind br_netfilter", eval.Bridged, true, `
	table bridge b { chain p { type filter hook prerouting priority 1; mark 5 drop; }; }
	table ip t { chain p { type filter hook prerouting priority 0; iifname "br0" mark set 5; }; }`},
	{"forward of the bridge behind br_netfilter", eval.Bridged, true, `
	table bridge b { chain p { type filter hook forward priority 1; mark 5 drop; }; }
	table ip t { chain p { type filter hook forward priority 0; mark set 5; }; }`},
	{"conntrack of a bridged frame", eval.Bridged, true, `table ip t { chain f { type filter hook forward priority 0; ct state new drop; }; }`},
	{"a mapped destination goes to the host", eval.Bridged, true, `
	table ip t { chain n { type nat hook prerouting priority -100; udp dport 5001 dnat to 10.9.0.1:5002; }
		chain i { type filter hook input priority 0; udp dport 5002 drop; }; }`},
	{"ingress of the port", eval.Bridged, false, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; udp dport 5001 drop; }; }`},
	{"ingress of the port, for the host", eval.In, false, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; iifname "p1" udp dport 5001 drop; }; }`},
	{"ingress of the bridge is not for bridged frames", eval.Bridged, false, `table netdev t { chain i { type filter hook ingress device "br0" priority 0; drop; }; }`},
	{"ingress of the bridge", eval.In, false, `table netdev t { chain i { type filter hook ingress device "br0" priority 0; iifname "br0" udp dport 5001 drop; }; }`},
	{"several devices", eval.Bridged, false, `table netdev t { chain i { type filter hook ingress devices = { "br0", "p1" } priority 0; iifname "p1" drop; }; }`},
	{"another device", eval.Bridged, false, `table netdev t { chain i { type filter hook ingress device "p2" priority 0; drop; }; }`},
	{"egress of the port", eval.Bridged, false, `table netdev t { chain e { type filter hook egress device "p2" priority 0; iif 0 udp dport 5001 drop; }; }`},
	{"egress of the bridge is not for bridged frames", eval.Bridged, false, `table netdev t { chain e { type filter hook egress device "br0" priority 0; drop; }; }`},
	{"egress of the bridge, from the host", eval.Out, false, `table netdev t { chain e { type filter hook egress device "br0" priority 0; ether saddr 02:00:00:00:00:10 drop; }; }`},
	{"egress of the port, from the host", eval.Out, false, `table netdev t { chain e { type filter hook egress device "p2" priority 0; drop; }; }`},
	{"length at egress has the link header", eval.Out, false, `table netdev t { chain e { type filter hook egress device "p2" priority 0; meta length 48 drop; }; }`},
	{"length at ingress has not", eval.In, false, `table netdev t { chain e { type filter hook ingress device "p1" priority 0; meta length 34 drop; }; }`},
	{"length in the bridge has not", eval.Out, false, `table bridge t { chain e { type filter hook postrouting priority 0; meta length 34 drop; }; }`},
	{"forwarded by a rule", eval.Bridged, false, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; fwd to "lo"; }; }`},
	{"copied by a rule", eval.Bridged, false, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; dup to "lo"; }; }`},
	{"accept at ingress is for that chain only", eval.In, false, `table netdev t { chain i { type filter hook ingress device "p1" priority 0; accept; }; }
	table ip u { chain i { type filter hook input priority 0; udp dport 5001 drop; }; }`},
	{"inet ingress", eval.In, false, `table inet t { chain i { type filter hook ingress device "p1" priority 0; meta nfproto ipv4 udp dport 5001 drop; }; }`},
	{"a changed link header", eval.Bridged, false, `table bridge t {
		chain p { type filter hook prerouting priority -300; ether saddr set 02:00:00:00:00:77; }
		chain f { type filter hook forward priority 0; ether saddr 02:00:00:00:00:77 drop; }
	}`},
	{"a frame for another", eval.Bridged, false, `table bridge t { chain f { type filter hook forward priority 0; meta pkttype other drop; }; }`},
	{"a frame for the host", eval.In, false, `table bridge t { chain f { type filter hook input priority 0; meta pkttype host drop; }; }`},
	{"reading beyond the link header", eval.Bridged, false, `table bridge t { chain f { type filter hook forward priority 0; @ll,112,8 0x45 drop; }; }`},
	{"arp doesn't see IP", eval.In, false, `table arp t { chain i { type filter hook input priority 0; drop; }; }`},
}

// What the rules of bridges and devices decide is what the kernel does.
func TestBridgeVerdictsAreTheKernels(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		if !makeBridge(t) {
			return
		}
		for _, c := range bridgeCases {
			number := "0"
			if c.call {
				number = "1"
			}
			run(t, "", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables="+number)
			set, ok := loadRules(t, c.name, c.text)
			if !ok {
				continue
			}
			got := eval.Compile(set, bridgeHost(c.call)).Trace(c.way, along(c.way))
			arrived := sendAlong(t, c.way, got.Verdict)
			if got.Verdict == eval.Unknown || (got.Verdict == eval.Accept) != arrived {
				t.Errorf("%s: the verdict is %q, arrived: %v, doubts: %v", c.name, got.Verdict, arrived, got.Doubts)
			}
		}
	})
}

func loadRules(t *testing.T, name, text string) (*rules.Ruleset, bool) {
	t.Helper()
	run(t, "flush ruleset\n"+text, "nft", "-f", "-")
	h, err := Open(Options{})
	if err != nil {
		t.Error(err)
		return nil, false
	}
	set, err := everything(h)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return set, err == nil
}

func makeBridge(t *testing.T) bool {
	t.Helper()
	run(t, "", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	run(t, bridgeSetup, "ip", "-batch", "-")
	run(t, "", "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.br0.rp_filter=0", "net.ipv4.ip_forward=0")
	for range 100 { // until the ports forward
		if out := run(t, "", "bridge", "link", "show"); bytes.Count(out, []byte("state forwarding")) == 2 {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the bridge doesn't forward")
	return false
}

// udp is a packet of UDP to port 5001, with a body of six bytes.
func udp(from, to string) []byte {
	d := make([]byte, 28, 34)
	d[0], d[8], d[9] = 0x45, 64, 17
	d = append(d, "bridge"...)
	binary.BigEndian.PutUint16(d[2:], uint16(len(d)))
	copy(d[12:], netip.MustParseAddr(from).AsSlice())
	copy(d[16:], netip.MustParseAddr(to).AsSlice())
	binary.BigEndian.PutUint16(d[20:], 6001)
	binary.BigEndian.PutUint16(d[22:], 5001)
	binary.BigEndian.PutUint16(d[24:], uint16(len(d)-20))
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(d[i:]))
	}
	binary.BigEndian.PutUint16(d[10:], ^uint16(sum+sum>>16))
	return d
}

func header(to, from []byte, kind uint16) []byte {
	return binary.BigEndian.AppendUint16(append(bytes.Clone(to), from...), kind)
}

// along is a packet through the bridge: from va to what is behind vb, from va
// to the host, or from the host to what is behind vb.
func along(way eval.Way) *eval.Packet {
	p := &eval.Packet{Family: rules.IP}
	switch way {
	case eval.Bridged:
		p.In, p.Out, p.InPort, p.OutPort = "br0", "br0", "p1", "p2"
		p.Link, p.Data = header(macOther, macSender, 0x800), udp("10.9.0.2", "10.9.0.3")
	case eval.In:
		p.In, p.InPort = "br0", "p1"
		p.Link, p.Data = header(macBridge, macSender, 0x800), udp("10.9.0.2", "10.9.0.1")
	default:
		p.Out, p.OutPort, p.Data = "br0", "p2", udp("10.9.0.1", "10.9.0.3")
	}
	return p
}

// waitFor is how long a packet is waited for.
func waitFor(v eval.Verdict) time.Duration {
	if v == eval.Accept {
		return 2 * time.Second
	}
	return 30 * time.Millisecond
}

// sendAlong sends a packet along a way and tells whether it came.
func sendAlong(t *testing.T, way eval.Way, v eval.Verdict) bool {
	t.Helper()
	p := along(way)
	if way == eval.In {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 5001})
		if err != nil {
			t.Error(err)
			return false
		}
		defer c.Close()
		transmit(t, "va", append(bytes.Clone(p.Link), p.Data...))
		c.SetReadDeadline(time.Now().Add(waitFor(v)))
		_, err = c.Read(make([]byte, 64))
		return err == nil
	}
	return receive(t, "vb", waitFor(v), func(frame []byte) bool { return bytes.HasSuffix(frame, []byte("bridge")) }, func() {
		if way == eval.Bridged {
			transmit(t, "va", append(bytes.Clone(p.Link), p.Data...))
			return
		}
		s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 9, 0, 1), Port: 6001})
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		_, _ = s.WriteToUDP([]byte("bridge"), &net.UDPAddr{IP: net.IPv4(10, 9, 0, 3), Port: 5001}) // a drop may be an error
	})
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// onDevice opens a packet socket that is bound to a device.
func onDevice(t *testing.T, name string) (int, bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		t.Error(err)
		return 0, false
	}
	dev, err := net.InterfaceByName(name)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: dev.Index})
	}
	if err != nil {
		unix.Close(fd)
		t.Error(fmt.Errorf("%s: %w", name, err))
		return 0, false
	}
	return fd, true
}

func transmit(t *testing.T, device string, frame []byte) {
	t.Helper()
	fd, ok := onDevice(t, device)
	if !ok {
		return
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, frame); err != nil {
		t.Errorf("send by %s: %v", device, err)
	}
}

// receive tells whether a frame that is wanted comes to a device after send.
func receive(t *testing.T, device string, wait time.Duration, want func([]byte) bool, send func()) bool {
	t.Helper()
	fd, ok := onDevice(t, device)
	if !ok {
		return false
	}
	defer unix.Close(fd)
	send()
	b := make([]byte, 2048)
	for end := time.Now().Add(wait); time.Now().Before(end); {
		left := int(time.Until(end).Milliseconds())
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(left, 1)); err != nil || n == 0 {
			continue
		}
		n, from, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			continue
		}
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype != unix.PACKET_OUTGOING && want(b[:n]) {
			return true
		}
	}
	return false
}
