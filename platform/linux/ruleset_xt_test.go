//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// extensionChains are the chains that a rule is tried in, by a letter.
var extensionChains = map[byte][2]string{
	'r': {"raw", "PREROUTING"}, 'm': {"mangle", "PREROUTING"}, 'i': {"filter", "INPUT"}, 'f': {"filter", "FORWARD"}, 'p': {"mangle", "POSTROUTING"},
	'w': {"raw", "OUTPUT"}, 'o': {"filter", "OUTPUT"},
}

// The rules that iptables has made of matches count what they match of packets
// that come by a tap device, to this host or through it, and of those that this
// test sends. Each counter is compared with the evaluator, which reads the same
// rules from the kernel.
func TestMatchesAreTheKernels(t *testing.T) {
	for _, tool := range []string{"iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool + "-restore"); err != nil {
				t.Skip("needs", tool)
			}
			for name, stateful := range map[string]bool{"tracked": true, "untracked": false} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					inOwnNamespace(t, func() { compareMatches(t, tool, stateful) })
				})
			}
		})
	}
}

// comparer compares the counters of a ruleset's rules with the evaluator.
type comparer struct {
	*testing.T
	reader           *Host
	facts            eval.Host
	set              *rules.Ruleset
	list             []countedRule
	specs            map[string][]string
	whole            *eval.Machine
	alone            []*eval.Machine // by rule
	before           []uint64
	unknown, matched map[string]int
}

// newComparer reads the rules; nil if they can't be read.
func newComparer(t *testing.T, facts eval.Host, specs map[string][]string) *comparer {
	t.Helper()
	c := &comparer{T: t, facts: facts, specs: specs, unknown: map[string]int{}, matched: map[string]int{}}
	var err error
	if c.reader, err = Open(Options{}); err != nil {
		t.Error(err)
		return nil
	}
	if c.set, c.list = readCounted(t, c.reader); len(c.list) == 0 {
		return nil
	}
	c.whole, c.alone, c.before = eval.Compile(c.set, facts), make([]*eval.Machine, len(c.list)), counted(c.list)
	return c
}

func compareMatches(t *testing.T, tool string, stateful bool) {
	six := strings.HasPrefix(tool, "ip6")
	in, out, ok := tapNetwork(t)
	if !ok {
		return
	}
	defer unix.Close(in)
	defer unix.Close(out)
	cases, packets := append(slices.Clone(matchCases), matchCases4...), frames4(stateful)
	if six { // the kernel reports groups by itself
		cases, packets = append([]string{"pwo -p icmpv6 -d ff00::/8 -j ACCEPT"}, append(matchCases, matchCases6...)...), frames6(stateful)
	}
	c := newComparer(t, tapHost(), loadMatches(t, tool, cases, stateful))
	if c == nil {
		return
	}
	packets = append(packets, changed(packets, six, stateful)...)
	for _, f := range packets {
		if _, err := unix.Write(in, f.bytes()); err != nil {
			t.Errorf("%s: %v", f.name, err)
			return
		}
		c.compare(f.name, f.way, f.packet())
	}
	for _, p := range sendFar(t, out, six) {
		c.compare(fmt.Sprintf("sent %x", p.Data), eval.Out, p)
	}
	c.report(len(packets))
}

// hooksOf are the hooks on a way; answers leave by others.
var hooksOf = map[eval.Way][]rules.Hook{
	eval.In:      {rules.Prerouting, rules.Input},
	eval.Forward: {rules.Prerouting, rules.Forward, rules.Postrouting},
	eval.Out:     {rules.Output, rules.Postrouting},
	eval.Bridged: {rules.Prerouting, rules.Forward, rules.Postrouting},
}

// compare is for a packet that has just passed.
func (c *comparer) compare(name string, way eval.Way, p *eval.Packet) {
	_, now := readCounted(c.T, c.reader)
	after, got := counted(now), c.whole.Trace(way, p)
	for i, r := range c.list {
		spec := c.specs[r.chain][i-r.first]
		// Whether a match that loses the packet counts depends on how it is inverted.
		if d := got.Decided; d != nil && d.Rule == r.rule && d.Effect == "drop" {
			continue
		}
		if strings.HasSuffix(spec, "-j ACCEPT") || !slices.Contains(hooksOf[way], r.from.Hook) {
			continue
		}
		kernel, here := after[i] != c.before[i], slices.ContainsFunc(got.Steps, func(s eval.Step) bool {
			return s.Rule == r.rule && (s.Effect == "continue" || s.Effect == "set")
		})
		if kernel {
			c.matched[spec]++
		}
		if c.alone[i] == nil {
			c.alone[i] = onlyRule(c.set, r, c.facts)
		}
		if c.alone[i].Trace(way, p).Verdict == eval.Unknown {
			// Ports of DCCP and GRE are not known to conntrack, nor sockets of ICMP.
			protocol := p.Data[9]
			if p.Family == rules.IP6 {
				protocol = p.Data[6]
			}
			if protocol != 33 && protocol != 47 && !(strings.Contains(spec, "-m socket") && (protocol == 1 || protocol == 58)) {
				c.unknown[spec]++
			}
			continue
		}
		if kernel != here {
			c.Errorf("%s: %s of %s: kernel %v, here %v; verdict %q, doubts %v\n%x", name, spec, r.chain, kernel, here, got.Verdict, whys(got.Doubts), p.Data)
		}
	}
	c.before = after
}

func (c *comparer) report(packets int) {
	for spec, n := range c.unknown {
		if !slices.ContainsFunc(unknownExtensions, func(s string) bool { return strings.Contains(spec, s) }) {
			c.Errorf("%s is unknown for %d packets in chains", spec, n)
		}
	}
	never := 0
	for _, list := range c.specs {
		for _, spec := range list {
			if c.matched[spec] == 0 {
				never++
				c.Logf("never matched: %s", spec)
			}
		}
	}
	c.Logf("%d rules, %d packets, %d rules never matched", len(c.list), packets, never)
}

// sendFar sends packets to the neighbour behind tap1, one at a time, and gives
// each as it left: rules without a target change nothing.
func sendFar(t *testing.T, out int, six bool) func(yield func(int, *eval.Packet) bool) {
	return func(yield func(int, *eval.Packet) bool) {
		local, far, family := "198.51.100.1", "198.51.100.2", rules.IP
		if six {
			local, far, family = "2001:db8:2::1", "2001:db8:2::2", rules.IP6
		}
		leaves(out)
		for i, body := range []string{"", "hello port", strings.Repeat("x", 90)} {
			c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(local), Port: 7000 + i}, &net.UDPAddr{IP: net.ParseIP(far), Port: 5000 + i})
			if err != nil {
				t.Error(err)
				return
			}
			_, err = c.Write([]byte(body))
			left := leaves(out)
			c.Close()
			if err != nil || len(left) != 1 {
				t.Errorf("%d packets left, %v", len(left), err)
				return
			}
			if !yield(i, &eval.Packet{Family: family, Data: left[0], Out: "tap1", OutIndex: 3, HasOwner: true}) {
				return
			}
		}
	}
}

func whys(doubts []eval.Doubt) (list []string) {
	for _, d := range doubts {
		list = append(list, d.Expression+": "+d.Why)
	}
	return list
}

// loadMatches gives iptables the rules, leaving out those that this kernel
// lacks, and lists what each chain has.
func loadMatches(t *testing.T, tool string, cases []string, stateful bool) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	for _, c := range cases {
		where, spec, _ := strings.Cut(c, " ")
		if !stateful && statefulCase.MatchString(spec) {
			continue
		}
		for i := range len(where) {
			place := extensionChains[where[i]]
			lines[place[0]] = append(lines[place[0]], "-A "+place[1]+" "+spec)
		}
	}
	specs := map[string][]string{}
	number := regexp.MustCompile(`line:? (\d+)`)
	for _, table := range []string{"raw", "mangle", "filter"} {
		list := lines[table]
		for {
			text := "*" + table + "\n" + strings.Join(list, "\n") + "\nCOMMIT\n"
			c := exec.Command(tool+"-restore", "-w", "10")
			c.Stdin = strings.NewReader(text)
			out, err := c.CombinedOutput()
			if err == nil {
				break
			}
			m := number.FindSubmatch(out)
			n := len(list) + 2
			if m != nil {
				n, _ = strconv.Atoi(string(m[1]))
			}
			if n < 2 || n > len(list)+1 {
				// The kernel refuses one of them at the end: each is tried by itself.
				list = loadable(t, tool, table, list)
				continue
			}
			t.Logf("left out: %s: %s", list[n-2], bytes.TrimSpace(out))
			list = slices.Delete(list, n-2, n-1)
		}
		for _, l := range list {
			chain, spec, _ := strings.Cut(strings.TrimPrefix(l, "-A "), " ")
			specs[table+" "+chain] = append(specs[table+" "+chain], spec)
		}
	}
	return specs
}

// loadable are the rules that the kernel takes.
func loadable(t *testing.T, tool, table string, list []string) (good []string) {
	for _, l := range list {
		c := exec.Command(tool+"-restore", "-w", "10")
		c.Stdin = strings.NewReader("*" + table + "\n" + l + "\nCOMMIT\n")
		if out, err := c.CombinedOutput(); err != nil {
			t.Logf("left out: %s: %s", l, bytes.TrimSpace(out))
			continue
		}
		good = append(good, l)
	}
	return good
}

// countedRule is a live rule and where it stands.
type countedRule struct {
	table *rules.Table
	from  *rules.Chain
	rule  *rules.Rule
	chain string
	first int // of the chain's in the list
}

func readCounted(t *testing.T, h *Host) (*rules.Ruleset, []countedRule) {
	t.Helper()
	set, err := everything(h)
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	var list []countedRule
	for _, table := range set.Tables {
		for _, c := range table.Chains {
			first := len(list)
			for _, r := range c.Rules {
				list = append(list, countedRule{table, c, r, table.Name + " " + c.Name, first})
			}
		}
	}
	return set, list
}

func counted(list []countedRule) []uint64 {
	n := make([]uint64, len(list))
	for i, r := range list {
		n[i] = r.rule.About().Packets
	}
	return n
}

// onlyRule is a machine with one rule of a ruleset, which drops what it matches.
// What the others make the kernel do, they still do.
func onlyRule(set *rules.Ruleset, r countedRule, facts eval.Host) *eval.Machine {
	alone := &rules.Ruleset{IPSets: set.IPSets}
	for _, table := range set.Tables {
		copied := *table
		copied.Chains = nil
		for _, c := range table.Chains {
			others := *c
			others.Name, others.Hook = c.Name+" of others", ""
			copied.Chains = append(copied.Chains, &others)
		}
		if table == r.table {
			own := *r.from
			drop := *r.rule
			drop.Exprs = rules.ListOf(append(slices.Clone(r.rule.Exprs.All()), &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Drop}})...)
			own.Rules = []*rules.Rule{&drop}
			copied.Chains = append(copied.Chains, &own)
		}
		alone.Tables = append(alone.Tables, &copied)
	}
	return eval.Compile(alone, facts)
}

// tapNetwork makes the devices: tap0, by which packets come, and tap1 for those
// that are forwarded.
func tapNetwork(t *testing.T) (in, out int, ok bool) {
	t.Helper()
	var ends [2]int
	for i, name := range []string{"tap0", "tap1"} {
		f, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			t.Log("skipped: there is no /dev/net/tun")
			return 0, 0, false
		}
		if err != nil {
			t.Error(err)
			return 0, 0, false
		}
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			t.Error(err)
			return 0, 0, false
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(f, unix.TUNSETIFF, ifr); err != nil {
			t.Error(err)
			return 0, 0, false
		}
		ends[i] = f
	}
	for _, line := range strings.Split(strings.TrimSpace(tapSetup), "\n") {
		run(t, "", strings.Fields(line)...)
	}
	run(t, ipsetSetup, "ipset", "restore")
	return ends[0], ends[1], !t.Failed()
}

const tapSetup = `
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
sysctl -qw net.ipv4.conf.tap0.rp_filter=0 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.tap0.accept_dad=0 net.ipv6.conf.tap1.accept_dad=0
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
ip link set lo up
ip link set tap0 address 02:00:00:00:00:01 group 7 arp off up
ip link set tap1 address 02:00:00:00:00:02 group 8 arp off up
ip addr add 192.0.2.1/24 brd + dev tap0
ip addr add 198.51.100.1/24 brd + dev tap1
ip addr add 2001:db8:1::1/64 dev tap0 nodad
ip addr add 2001:db8:2::1/64 dev tap1 nodad
`

const ipsetSetup = `create host hash:ip
add host 192.0.2.1
create host6 hash:ip family inet6
add host6 2001:db8:1::1
create hostport hash:ip,port counters
add hostport 192.0.2.1,udp:5001
add hostport 198.51.100.2,tcp:5001
create hostport6 hash:ip,port family inet6 counters
add hostport6 2001:db8:1::1,udp:5001
create nets hash:net
add nets 192.0.2.0/24
add nets 192.0.2.99 nomatch
create netdev hash:net,iface
add netdev 192.0.2.0/24,tap0
create lists list:set
add lists host
`

// tapHost tells what tapNetwork has made.
func tapHost() eval.Host {
	local := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:2::1")}
	devices := map[string]eval.Device{
		"lo":   {Index: 1, Type: 772, MTU: 65536},
		"tap0": {Index: 2, Type: 1, Group: 7, Kind: "tun", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(local[0], 24), netip.PrefixFrom(local[2], 64)}},
		"tap1": {Index: 3, Type: 1, Group: 8, Kind: "tun", MTU: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(local[1], 24), netip.PrefixFrom(local[3], 64)}},
	}
	kind := func(a netip.Addr) (uint8, string) {
		for name, d := range devices {
			for _, p := range d.Addresses {
				switch {
				case p.Addr() == a:
					return eval.Local, name
				case p.Contains(a) && a.Is4() && a.As4()[3] == 255:
					return eval.Broadcast, name
				case p.Contains(a):
					return eval.Unicast, name
				}
			}
		}
		switch {
		case a.IsLoopback():
			return eval.Local, "lo"
		case a.IsMulticast():
			return eval.Multicast, "tap0"
		case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return eval.Broadcast, "tap0"
		}
		return 0, ""
	}
	return eval.Host{
		Device: func(name string) (eval.Device, bool) {
			d, ok := devices[name]
			return d, ok
		},
		AddressType: func(a netip.Addr, device string, only bool) (uint8, bool) {
			k, name := kind(a)
			if a.Is4() && (k == 0 || only && name != device) {
				return eval.Unicast, true
			}
			if a.Is6() && k == 0 {
				return eval.Unreachable, true
			}
			return k, true
		},
		Route: func(q eval.Query) (eval.Route, bool) {
			k, name := kind(q.Dst)
			return eval.Route{Type: k, Out: name, HasRealm: true}, true
		},
		Source: func(device string, to netip.Addr) (netip.Addr, bool) {
			for _, p := range devices[device].Addresses {
				if p.Addr().Is4() == to.Is4() {
					return p.Addr(), true
				}
			}
			return netip.Addr{}, true
		},
		Socket: func(*eval.Packet) (*eval.Socket, bool) { return nil, true },
		Now:    time.Now(),
	}
}

// frame is a packet in a link header.
type frame struct {
	name string
	way  eval.Way
	link []byte // nil: from the neighbour to tap0
	data []byte
}

func (f frame) header() []byte {
	if f.link != nil {
		return f.link
	}
	h := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x99, 8, 0}
	if f.data[0]>>4 == 6 {
		h[12], h[13] = 0x86, 0xdd
	}
	return h
}

func (f frame) bytes() []byte { return append(slices.Clone(f.header()), f.data...) }

func (f frame) packet() *eval.Packet {
	p := &eval.Packet{Family: rules.IP, Data: slices.Clone(f.data), Link: f.header(), In: "tap0", InIndex: 2}
	if f.data[0]>>4 == 6 {
		p.Family = rules.IP6
	}
	if f.way == eval.Forward {
		p.Out, p.OutIndex = "tap1", 3
	}
	return p
}

// sum is the internet's checksum over parts of even length but for the last.
func sum(parts ...[]byte) uint16 {
	var n uint32
	for i, b := range bytes.Join(parts, nil) {
		if i%2 == 0 {
			n += uint32(b) << 8
		} else {
			n += uint32(b)
		}
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}

func put16(b []byte, at int, v uint16) []byte {
	binary.BigEndian.PutUint16(b[at:], v)
	return b
}
