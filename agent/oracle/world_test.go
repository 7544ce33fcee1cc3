//go:build linux

package oracle

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/platform/linux"
	"github.com/portwhy/portwhy/rules/eval"
)

// The host under test has two neighbours, a behind its device va and b behind
// vb. The neighbours have no addresses and answer nothing: what they send and
// see is frames. The host knows their link addresses, so that it never asks.
//
// 10.3.0.0/24 and fd03::/64 are behind b; packets with bit 4 of the mark go
// there by a.
const peers = 2

var (
	deviceNames = [peers]string{"va", "vb"}
	hostMACs    = [peers][]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}}
	peerMACs    = [peers][]byte{{2, 0, 0, 0, 1, 1}, {2, 0, 0, 0, 1, 2}}
)

// markBit is what policy routing looks at.
const markBit = 4

// world is the host under test, as made for one thread, with all that is open on it.
type world struct {
	host    *linux.Host
	wire    *wire
	trace   *traceSocket
	flows   *flowSocket
	facts   eval.Host
	indexes map[string]uint32
	legacy  map[string]bool // tools of iptables-legacy that have made rules
	sets    bool            // there are ipsets
}

// newWorld makes the namespaces. The calling goroutine must be locked to its
// thread, which is left in the host's namespace and on one processor: there,
// what is sent has been dealt with in the order in which it was sent.
func newWorld(cpu int) (*world, error) {
	if err := stay(cpu); err != nil {
		return nil, fmt.Errorf("stay on one processor: %w", err)
	}
	var spaces [peers + 1]*os.File // the neighbours, then the host
	for i := range spaces {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return nil, fmt.Errorf("make a network namespace: %w", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil, err
		}
		spaces[i] = f
	}
	if err := setUp(spaces); err != nil {
		return nil, err
	}
	h, err := linux.Open(linux.Options{})
	if err != nil {
		return nil, err
	}
	w := &world{host: h, indexes: map[string]uint32{}, legacy: map[string]bool{}}
	for _, name := range []string{"lo", "va", "vb"} {
		d, err := net.InterfaceByName(name)
		if err != nil {
			return nil, err
		}
		w.indexes[name] = uint32(d.Index)
	}
	w.facts = hostFacts(w.indexes)
	if w.wire, err = newWire(spaces); err != nil {
		return nil, err
	}
	if err := w.wire.ready(); err != nil {
		return nil, err
	}
	if w.trace, err = newTraceSocket(); err != nil {
		return nil, err
	}
	if w.flows, err = newFlowSocket(); err != nil {
		return nil, err
	}
	return w, nil
}

// stay keeps the thread on one of the processors that it may use.
func stay(n int) error {
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return err
	}
	for cpu := 0; ; cpu = (cpu + 1) % 1024 {
		if !may.IsSet(cpu) {
			continue
		}
		if n--; n < 0 {
			one.Set(cpu)
			return unix.SchedSetaffinity(0, &one)
		}
	}
}

// close ends what was open; the namespaces end with the thread.
func (w *world) close() {
	w.wire.close()
	w.trace.close()
	w.flows.close()
}

var sysctls = map[string]string{
	"net/ipv4/ip_forward":                        "1",
	"net/ipv4/conf/all/rp_filter":                "0",
	"net/ipv4/conf/default/rp_filter":            "0",
	"net/ipv4/conf/all/send_redirects":           "0",
	"net/ipv4/conf/default/send_redirects":       "0",
	"net/ipv4/icmp_ratelimit":                    "0",
	"net/ipv4/icmp_msgs_per_sec":                 "100000000",
	"net/ipv4/icmp_msgs_burst":                   "100000000",
	"net/ipv4/icmp_echo_ignore_all":              "1",
	"net/ipv4/ip_default_ttl":                    "200",
	"net/ipv6/conf/all/forwarding":               "1",
	"net/ipv6/conf/default/forwarding":           "1",
	"net/ipv6/conf/default/accept_dad":           "0",
	"net/ipv6/conf/default/addr_gen_mode":        "1",
	"net/ipv6/conf/default/hop_limit":            "200",
	"net/ipv6/conf/lo/hop_limit":                 "200",
	"net/ipv6/auto_flowlabels":                   "0", // ours have their numbers there
	"net/ipv6/icmp/ratelimit":                    "0",
	"net/ipv6/icmp/echo_ignore_all":              "1",
	"net/netfilter/nf_conntrack_tcp_be_liberal":  "1", // sequence numbers count for nothing
	"net/netfilter/nf_log/2":                     "nfnetlink_log",
	"net/netfilter/nf_log/10":                    "nfnetlink_log",
	"net/ipv4/udp_early_demux":                   "0",
	"net/ipv4/tcp_early_demux":                   "0",
	"net/ipv4/ip_early_demux":                    "0",
	"net/ipv4/conf/all/accept_redirects":         "0",
	"net/ipv6/conf/all/accept_redirects":         "0",
	"net/ipv6/conf/default/router_solicitations": "0",
}

// setUp makes devices, addresses and routes, seen from the host's namespace.
func setUp(spaces [peers + 1]*os.File) error {
	for i := range peers {
		if err := within(spaces[i], func() error {
			return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		}, spaces[peers]); err != nil {
			return err
		}
	}
	for key, value := range sysctls {
		if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0); err != nil {
			return err
		}
	}
	var links, v4, v6 strings.Builder
	links.WriteString("link set lo up\naddress add 10.9.0.1/32 dev lo\n")
	for i := range peers {
		n, dev := i+1, deviceNames[i]
		mac := net.HardwareAddr(peerMACs[i])
		fmt.Fprintf(&links, "link add %s address %s type veth peer name p0 address %s netns /proc/%d/fd/%d\n",
			dev, net.HardwareAddr(hostMACs[i]), mac, os.Getpid(), spaces[i].Fd())
		fmt.Fprintf(&links, "link set %s group %d up\n", dev, n)
		fmt.Fprintf(&v4, "address add 10.%d.0.1/24 dev %s\naddress add 10.%d.0.101/24 dev %s\n", n, dev, n, dev)
		fmt.Fprintf(&v6, "address add fd0%d::1/64 dev %s nodad\n", n, dev)
		for k := 2; k < 8; k++ {
			fmt.Fprintf(&v4, "neighbour add 10.%d.0.%d lladdr %s nud permanent dev %s\n", n, k, mac, dev)
			fmt.Fprintf(&v6, "neighbour add fd0%d::%d lladdr %s nud permanent dev %s\n", n, k, mac, dev)
		}
	}
	fmt.Fprintf(&v4, "route add 10.3.0.0/24 via 10.2.0.2 realm 1\nrule add fwmark %d/%d lookup 100\nroute add 10.3.0.0/24 via 10.1.0.2 table 100\n", markBit, markBit)
	fmt.Fprintf(&v6, "route add fd03::/64 via fd02::2\nrule add fwmark %d/%d lookup 100\nroute add fd03::/64 via fd01::2 table 100\n", markBit, markBit)
	for _, batch := range []struct{ family, text string }{{"-4", links.String()}, {"-4", v4.String()}, {"-6", v6.String()}} {
		if err := command(batch.text, "ip", batch.family, "-batch", "-"); err != nil {
			return err
		}
	}
	for i := range peers {
		if err := within(spaces[i], func() error { return command("", "ip", "link", "set", "p0", "up") }, spaces[peers]); err != nil {
			return err
		}
	}
	return nil
}

// within runs f in a namespace and comes back.
func within(space *os.File, f func() error, back *os.File) error {
	if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err := f()
	if back := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); back != nil {
		return back
	}
	return err
}

// command runs a program in the thread's namespace.
func command(input string, args ...string) error {
	c := exec.Command(args[0], args[1:]...)
	c.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out.Bytes())
	}
	return nil
}

// addresses are the host's addresses, by device.
var addresses = map[string][]string{
	"lo": {"127.0.0.1/8", "10.9.0.1/32", "::1/128"},
	"va": {"10.1.0.1/24", "10.1.0.101/24", "fd01::1/64"},
	"vb": {"10.2.0.1/24", "10.2.0.101/24", "fd02::1/64"},
}

// hostFacts are what the evaluator may ask, of the world above.
func hostFacts(indexes map[string]uint32) eval.Host {
	devices := map[string]eval.Device{}
	own := map[netip.Addr]string{}
	for name, list := range addresses {
		d := eval.Device{Index: indexes[name], Type: 1, MTU: 1500, Kind: "veth"}
		switch name {
		case "lo":
			d.Type, d.MTU, d.Kind, d.MAC = 772, 65536, "", make([]byte, 6)
		case "va":
			d.Group, d.MAC = 1, hostMACs[0]
		case "vb":
			d.Group, d.MAC = 2, hostMACs[1]
		}
		for _, a := range list {
			p := netip.MustParsePrefix(a)
			d.Addresses = append(d.Addresses, p)
			own[p.Addr()] = name
		}
		devices[name] = d
	}
	isLocal := func(a netip.Addr) bool {
		return own[a] != "" || a.Is4() && a.IsLoopback()
	}
	return eval.Host{
		Route: func(q eval.Query) (eval.Route, bool) {
			r := route(q, isLocal)
			r.Realm, r.HasRealm = realm(q, r), q.In != "lo"
			return r, !q.Dst.IsMulticast() || q.Out != ""
		},
		Device: func(name string) (eval.Device, bool) {
			d, ok := devices[name]
			return d, ok
		},
		AddressType: func(a netip.Addr, device string, only bool) (uint8, bool) {
			return addressType(a, device, only, own), true
		},
		Source:   func(device string, to netip.Addr) (netip.Addr, bool) { return source(device, to), true },
		Socket:   silentSocket,
		Now:      time.Now(),
		Listener: func(uint16) (bool, bool) { return false, true },
	}
}

// silentSocket finds the socket that takes a packet: the kernel looks for one of
// any address, whatever address the packet is for.
func silentSocket(p *eval.Packet) (*eval.Socket, bool) {
	port, ok := p.Port(true)
	proto, known := p.Protocol()
	switch {
	case len(p.Data) < transportAt(p.Data)+8:
		return nil, true // it looks for no socket of a header that is cut off
	case !known || !ok && (proto == protoTCP || proto == protoUDP):
		return nil, false
	case ok && slices.Contains(silentPorts, port):
		return &eval.Socket{Wildcard: true}, true
	}
	return nil, true
}

// transportAt is where the transport header of a packet of ours stands.
func transportAt(d []byte) int {
	switch {
	case d[0]>>4 == 4:
		return int(d[0]&15) * 4
	case d[6] == 0 || d[6] == 60:
		return 48
	}
	return 40
}

// source is the address that masquerading takes.
func source(device string, to netip.Addr) netip.Addr {
	switch {
	case device != "lo" && to.Is4():
		return netip.MustParsePrefix(addresses[device][0]).Addr()
	case device != "lo":
		return netip.MustParsePrefix(addresses[device][2]).Addr()
	case to.Is4():
		return netip.MustParseAddr("10.9.0.1")
	}
	return to // of several on loopback, the one that is asked for
}

// networks are where unicast addresses lead.
type network struct{ prefix, device, gateway string }

var networks = []network{
	{"10.1.0.0/24", "va", ""}, {"10.2.0.0/24", "vb", ""}, {"10.3.0.0/24", "vb", "10.2.0.2"},
	{"fd01::/64", "va", ""}, {"fd02::/64", "vb", ""}, {"fd03::/64", "vb", "fd02::2"},
}

var (
	gateway4 = netip.MustParseAddr("10.1.0.2")
	gateway6 = netip.MustParseAddr("fd01::2")
)

// realm is that of 10.3.0.0/24, 1; in the upper half of what comes from there.
func realm(q eval.Query, r eval.Route) uint32 {
	n := uint32(0)
	if r.Gateway == netip.MustParseAddr("10.2.0.2") {
		n = 1
	}
	if q.In != "" && netip.MustParsePrefix("10.3.0.0/24").Contains(q.Src) {
		n |= 1 << 16
	}
	return n
}

func route(q eval.Query, isLocal func(netip.Addr) bool) eval.Route {
	switch {
	case q.In != "" && q.In != "lo" && (q.Dst.IsLoopback() || q.Dst.Is4() && q.Src.IsValid() && isLocal(q.Src)):
		return eval.Route{} // martian
	case isLocal(q.Dst):
		return eval.Route{Type: eval.Local, Out: "lo"}
	}
	if q.Dst.Is4() {
		switch b := q.Dst.As4(); {
		case b == [4]byte{255, 255, 255, 255} && q.In != "lo": // no route tells it, but what comes in is taken
			return eval.Route{Type: eval.Broadcast}
		case b[0] == 10 && (b[1] == 1 || b[1] == 2) && b[2] == 0 && b[3] == 255:
			return eval.Route{Type: eval.Broadcast, Out: deviceNames[b[1]-1]}
		}
	}
	if q.Dst.IsMulticast() {
		return eval.Route{Type: eval.Multicast, Out: q.Out}
	}
	for _, n := range networks {
		if !netip.MustParsePrefix(n.prefix).Contains(q.Dst) || q.Out != "" && q.Out != n.device {
			continue
		}
		if q.In == "" && q.Src.Is4() && q.Src.IsLoopback() {
			return eval.Route{} // __mkroute_output lets no such source out
		}
		r := eval.Route{Type: eval.Unicast, Out: n.device, MTU: 1500}
		if n.gateway != "" {
			r.Gateway = netip.MustParseAddr(n.gateway)
			if q.Mark&markBit != 0 {
				r.Out, r.Gateway = "va", gateway4
				if q.Dst.Is6() {
					r.Gateway = gateway6
				}
			}
		}
		return r
	}
	return eval.Route{}
}

func addressType(a netip.Addr, device string, only bool, own map[netip.Addr]string) uint8 {
	switch {
	case a.IsMulticast():
		return eval.Multicast
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return eval.Broadcast
	}
	if b := a.AsSlice(); a.Is4() && b[0] == 10 && (b[1] == 1 || b[1] == 2) && b[3] == 255 && (!only || device == deviceNames[b[1]-1]) {
		return eval.Broadcast
	}
	name := own[a]
	if a.Is4() && a.IsLoopback() {
		name = "lo"
	}
	if name != "" && (!only || name == device) {
		return eval.Local
	}
	known := func(n network) bool { return netip.MustParsePrefix(n.prefix).Contains(a) }
	if a.Is6() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() && !slices.ContainsFunc(networks, known) {
		return eval.Unreachable // IPv4 asks for no route
	}
	return eval.Unicast
}
