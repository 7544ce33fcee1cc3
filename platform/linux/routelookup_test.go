//go:build linux

package linux

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

// fibWorld makes random routing tables. Destinations overlap a lot, so that
// prefixes, tables and rules compete.
type fibWorld struct {
	*rand.Rand
	six bool
}

func (w fibWorld) pick(list ...string) string { return list[w.IntN(len(list))] }

func (w fibWorld) prefix() string {
	if w.six {
		return w.pick("2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:1::5/128", "2001:db8::/32", "2001:db8:2::/48", "::/0", "2001:db8:a::1/128")
	}
	return w.pick("10.1.0.0/16", "10.1.1.0/24", "10.1.1.5/32", "10.0.0.0/8", "10.2.0.0/16", "0.0.0.0/0", "10.77.1.1/32", "127.5.0.0/16")
}

func (w fibWorld) destination() string {
	if w.six {
		return w.pick("2001:db8:1:1::5", "2001:db8:1:1::6", "2001:db8:1:9::1", "2001:db8:2::9", "2001:db9::1", "2001:db8:a::1", "2001:db8:b::2", "::1", "fe80::99")
	}
	return w.pick("10.1.1.5", "10.1.1.6", "10.1.9.1", "10.2.2.2", "10.99.0.1", "192.0.2.1", "10.77.1.1", "10.77.1.9", "10.77.2.1",
		"127.0.0.1", "127.5.0.1", "10.77.1.255", "224.0.0.9", "255.255.255.255", "0.0.0.0")
}

func (w fibWorld) source() string {
	if w.six {
		return w.pick("2001:db8:a::1", "2001:db8:b::1", "2001:db8:77::1")
	}
	return w.pick("10.77.1.1", "10.77.2.1", "10.77.9.9", "127.0.0.1", "127.0.0.5")
}

func (w fibWorld) gateway(device string) string {
	number := strings.TrimPrefix(device, "d")
	if w.six {
		return "2001:db8:" + map[string]string{"1": "a", "2": "b"}[number] + "::99"
	}
	return "10.77." + number + ".99"
}

func (w fibWorld) table() string { return w.pick("main", "main", "100", "200", "local", "default") }

// route is one "ip route add" command.
func (w fibWorld) route() string {
	s := "route add "
	kind := w.IntN(9)
	if kind < 4 {
		s += w.pick("blackhole ", "unreachable ", "prohibit ", "throw ")
	}
	s += w.prefix()
	switch device := w.pick("d1", "d2"); {
	case kind < 4:
	case kind == 4:
		s += " nexthop via " + w.gateway("d1") + " dev d1 nexthop via " + w.gateway("d2") + " dev d2"
	case kind < 7:
		s += " via " + w.gateway(device) + " dev " + device
	default:
		s += " dev " + device
	}
	if w.IntN(3) == 0 {
		s += fmt.Sprint(" metric ", 1+w.IntN(3))
	}
	if !w.six && w.IntN(9) == 0 {
		s += " tos 8"
	}
	return s + " table " + w.table()
}

// rule is one "ip rule add" command.
func (w fibWorld) rule() string {
	s := fmt.Sprint("rule add pref ", 1+w.IntN(40000))
	if w.IntN(5) == 0 {
		s = strings.Replace(s, "add", "add not", 1)
	}
	if w.IntN(4) == 0 {
		s += " from " + w.pick(w.source(), w.prefix())
	}
	if w.IntN(3) == 0 {
		s += " to " + w.prefix()
	}
	for i, selector := range []string{" iif lo", " iif d1", " oif d2", " fwmark 7", " fwmark 0x10/0x30", " uidrange 1000-2000",
		" ipproto tcp", " ipproto udp", " dport 400-500", " sport 1234", " tos 8"} {
		if w.IntN(12) == 0 && (i < 6 || w.IntN(2) == 0) {
			s += selector
		}
	}
	switch w.IntN(8) {
	case 0:
		return s + " " + w.pick("blackhole", "unreachable", "prohibit")
	case 1:
		return s + fmt.Sprint(" goto ", 32766)
	case 2:
		return s + " nop"
	case 3:
		return s + " lookup " + w.table() + fmt.Sprint(" suppress_prefixlength ", w.IntN(33))
	}
	return s + " lookup " + w.table()
}

func (w fibWorld) query() host.RouteQuery {
	q := host.RouteQuery{Destination: netip.MustParseAddr(w.destination())}
	if w.IntN(4) == 0 {
		return w.incoming(q)
	}
	uid := uint32(w.IntN(2) * 1500)
	q.UID = &uid
	if w.IntN(3) == 0 {
		q.Source = netip.MustParseAddr(w.source())
	}
	if w.IntN(3) == 0 {
		q.Mark = uint32([]int{7, 0x10, 0x30}[w.IntN(3)])
	}
	if w.IntN(4) == 0 {
		q.OutDevice = w.pick("d1", "d2", "lo")
	}
	if w.IntN(3) == 0 {
		q.Protocol, q.DestinationPort = 6+11*w.IntN(2), uint16(443+w.IntN(2)*1000)
		q.SourcePort = uint16(1234 * w.IntN(2))
	}
	return q
}

// incoming makes a packet come in from elsewhere. What is for everyone or for
// the loopback network is refused there before any table is asked.
func (w fibWorld) incoming(q host.RouteQuery) host.RouteQuery {
	for q.Destination.IsMulticast() || q.Destination.IsLoopback() || q.Destination.IsUnspecified() ||
		q.Destination.IsLinkLocalUnicast() || q.Destination == netip.MustParseAddr("255.255.255.255") {
		q.Destination = netip.MustParseAddr(w.destination())
	}
	q.InputDevice, q.Source = w.pick("d1", "d2"), netip.MustParseAddr("198.51.100.7")
	if w.six {
		q.Source = netip.MustParseAddr("2001:db8:77::7")
	}
	if w.IntN(3) == 0 {
		q.Mark = 7
	}
	return q
}

// TestLookupIsTheKernels compares host.Lookup with what the kernel answers, over random
// tables, rules and packets.
func TestLookupIsTheKernels(t *testing.T) {
	worlds, queries := 24, 80
	if testing.Short() {
		worlds = 8
	}
	for world := range worlds {
		t.Run(fmt.Sprint(world), func(t *testing.T) {
			w := fibWorld{rand.New(rand.NewPCG(7, uint64(world))), world%2 == 1}
			lookupWorld(t, w, world, queries)
		})
	}
}

func lookupWorld(t *testing.T, w fibWorld, world, queries int) {
	name, h := labNetNS(t, fmt.Sprint("fib", world))
	inLab(t, name, `
		link add d1 type veth peer name e1
		link add d2 type veth peer name e2
		addr add 10.77.1.1/24 dev d1
		addr add 10.77.2.1/24 dev d2
		addr add 2001:db8:a::1/64 dev d1 nodad
		addr add 2001:db8:b::1/64 dev d2 nodad
		link set d1 addrgenmode none up
		link set d2 addrgenmode none up
		link set e1 addrgenmode none up
		link set e2 addrgenmode none up`)
	// Forwarding, and whatever comes from wherever, so that only tables decide.
	err := h.inNamespace(func() error {
		for _, file := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+file, []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	family := "-4"
	if w.six {
		family = "-6"
	}
	var script []string
	for range 12 {
		script = append(script, w.route())
	}
	// Every fourth world has no rule of its own: its tables are merged.
	if world%4 > 1 {
		for range 5 {
			script = append(script, w.rule())
		}
	}
	for _, line := range script {
		// What the kernel refuses, a duplicate for instance, isn't there.
		exec.Command("ip", append([]string{"-n", name, family}, strings.Fields(line)...)...).Run()
	}
	routes, err := h.Routes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := h.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := h.Addresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range queries {
		q := w.query()
		want, err := h.RouteTo(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		got := host.Lookup(routes, rules, addresses, q)
		// While the tables are one, the kernel tells main for both.
		if world%4 < 2 && !w.six {
			got.Table, want.Table = 0, 0
		}
		if a, b := comparable(got), comparable(want); a != b {
			t.Errorf("%+v\nlookup %s\nkernel %s", q, a, b)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(script, "\n"))
		t.Log(command(t, "ip", "-n", name, family, "rule"))
		t.Log(command(t, "ip", "-n", name, family, "route", "show", "table", "all"))
	}
}

// comparable tells what of a route is not a matter of chance.
func comparable(r host.Route) string {
	if r.Errno != "" {
		return r.Errno
	}
	if len(r.Multipath) > 0 {
		// The kernel spreads packets over the ways.
		r.Device, r.Gateway, r.Source = "multipath", netip.Addr{}, netip.Addr{}
	}
	return fmt.Sprintf("%s %s dev %s via %s src %s table %d metric %d", r.Type, r.Destination, r.Device, r.Gateway, r.Source, r.Table, r.Metric)
}
