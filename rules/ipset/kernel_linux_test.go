package ipset

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

var (
	kernelSeed  = flag.Int64("ipset-seed", 1, "seed of the sets that are compared with the kernel")
	kernelTests = flag.Int("ipset-tests", 300, "how many entries of each set are compared with the kernel")
)

// kernelKinds are the types that are compared: the create command, and whether
// the entries are of IPv6.
var kernelKinds = []string{
	"bitmap:ip range 10.0.0.0/24", "bitmap:ip range 10.0.0.0/22 netmask 30", "bitmap:ip,mac range 10.0.0.0/24",
	"bitmap:port range 70-100", "hash:ip", "hash:ip family inet6", "hash:ip netmask 28", "hash:ip netmask 124 family inet6",
	"hash:mac", "hash:ip,mac", "hash:ip,mark", "hash:ip,mark markmask 0x2",
	"hash:ip,port", "hash:ip,port family inet6", "hash:ip,port,ip", "hash:ip,port,net", "hash:ip,port,net family inet6",
	"hash:net", "hash:net family inet6", "hash:net,net", "hash:net,port", "hash:net,port family inet6", "hash:net,port,net",
	"hash:net,iface", "hash:net,iface family inet6",
}

// Random sets are made in the kernel; random entries are tested by ipset and
// looked up here, as a packet that would ask for them, in the set that is read
// from what `ipset save` writes.
func TestKernelAgrees(t *testing.T) {
	needTool(t)
	r := rand.New(rand.NewSource(*kernelSeed))
	total, in := 0, 0
	for n, create := range kernelKinds {
		typ, options, _ := strings.Cut(create, " ")
		k, v6 := kinds[typ], strings.Contains(options, "inet6")
		name := fmt.Sprintf("s%d", n)
		if out, err := tool("", "create", name, typ, options); err != nil {
			if strings.Contains(out, "not supported") {
				t.Logf("the kernel has no %s", typ)
				continue
			}
			t.Fatalf("%s: %s", create, out)
		}
		var add, test strings.Builder
		for range 60 {
			entry, extra := randomEntry(r, k, v6, true), ""
			if strings.Contains(typ, "net") && r.Intn(4) == 0 {
				extra = " nomatch"
			}
			if strings.Contains(typ, "iface") && r.Intn(4) == 0 {
				extra += " wildcard"
			}
			fmt.Fprintf(&add, "add %s %s%s\n", name, entry, extra)
		}
		tool(add.String(), "-exist", "-")
		saved, err := tool("", "save", name)
		if err != nil {
			t.Fatal(saved)
		}
		list, err := Parse("saved", []byte(saved))
		if err != nil {
			t.Fatalf("%v\n%s", err, saved)
		}
		if len(list[0].Elements) < 2 {
			t.Errorf("%s: few entries were made\n%s", create, saved)
		}
		entries := make([]string, *kernelTests)
		for i := range entries {
			entries[i] = randomEntry(r, k, v6, false)
			fmt.Fprintf(&test, "test %s %s\n", name, entries[i])
		}
		out, _ := tool(test.String(), "-")
		sets := New(list)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		for i, entry := range entries {
			if i >= len(lines) || !strings.Contains(lines[i], " in set ") {
				t.Fatalf("%s: test %s: %q", create, entry, lines[min(i, len(lines)-1)])
			}
			kernel := !strings.Contains(lines[i], "is NOT in set")
			q, p := ask(k, list[0].Family, entry)
			a := sets.Contains(name, q, p)
			if a.Found != kernel || a.Why != "" {
				t.Fatalf("%s: %s: kernel %v, here %+v, seed %d\n%s", create, entry, kernel, a, *kernelSeed, saved)
			}
			total++
			if kernel {
				in++
			}
		}
	}
	t.Logf("%d tests, %d in their sets", total, in)
	if total == 0 || in == 0 || in == total {
		t.Error("the comparison shows nothing")
	}
}

func needTool(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make sets in a network namespace")
	}
	if _, err := exec.LookPath("ipset"); err != nil {
		t.Skip("needs ipset:", err)
	}
	// The test's thread ends with it, and its namespace too.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("can't make a network namespace:", err)
	}
}

// tool runs ipset; some of the arguments are several words. The answers to
// tests stand in its standard error, without the prompts.
func tool(input string, args ...string) (string, error) {
	c := exec.Command("ipset", strings.Fields(strings.Join(args, " "))...)
	c.Stdin = strings.NewReader(input)
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &out, &wrong
	if err := c.Run(); err != nil || input != "" {
		return wrong.String(), err
	}
	return out.String(), nil
}

// randomEntry makes an entry out of few values, to add with networks or ranges
// or to test.
func randomEntry(r *rand.Rand, k *kind, v6, add bool) string {
	var parts []string
	for i, d := range k.dims {
		switch d {
		case dimIP, dimNet:
			a := fmt.Sprintf("10.0.0.%d", 1+r.Intn(40))
			if v6 {
				a = fmt.Sprintf("2001:db8::%x", 1+r.Intn(40))
			}
			switch {
			case d == dimNet && add && v6:
				a += fmt.Sprintf("/%d", 128-r.Intn(7))
			case d == dimNet && add:
				a += fmt.Sprintf("/%d", 32-r.Intn(7))
			case add && !v6 && i == 0 && !k.ranged && r.Intn(4) == 0:
				a += fmt.Sprintf("-10.0.0.%d", 1+r.Intn(40))
			}
			parts = append(parts, a)
		case dimPort:
			s := []string{"tcp:%d", "udp:%d", "sctp:%d", "udplite:%d", "gre:0", "icmp:%d/0"}[r.Intn(6)]
			if v6 {
				s = strings.Replace(s, "icmp", "icmpv6", 1)
			}
			if strings.Contains(s, "%") {
				s = fmt.Sprintf(s, 1+r.Intn(4))
			}
			if add && s[0] == 't' {
				s += fmt.Sprintf("-%d", 2+r.Intn(3))
			}
			parts = append(parts, s)
		case dimBare:
			parts = append(parts, fmt.Sprint(70+r.Intn(31)))
		case dimMAC:
			if !k.ranged || !add || r.Intn(2) == 0 {
				parts = append(parts, fmt.Sprintf("02:00:00:00:00:%02x", r.Intn(3)))
			}
		case dimMark:
			parts = append(parts, fmt.Sprint(r.Intn(4)))
		case dimDevice:
			parts = append(parts, []string{"eth", "eth0", "eth1", "e"}[r.Intn(4)])
		}
	}
	return strings.Join(parts, ",")
}

// ask is a packet that asks for an entry, as its source.
func ask(k *kind, f rules.Family, entry string) (Question, *Packet) {
	if f == 0 {
		f = rules.IP
	}
	s, err := k.parseEntry(f, entry)
	if err != nil {
		panic(err)
	}
	p := &Packet{Family: f, Protocol: s.protocol, Ports: true, SrcPort: s.port, Ethernet: s.hasMAC, SrcMAC: s.mac, Mark: s.mark, In: s.device}
	if k.dims[0] == dimBare {
		p.Protocol = protoTCP
	}
	q := Question{Dim: len(k.dims), Src: [3]bool{true, true, true}}
	p.Src = s.addresses[0].Addr()
	if len(k.dims) > 1 && (k.dims[len(k.dims)-1] == dimIP || k.dims[len(k.dims)-1] == dimNet) {
		p.Dst = s.addresses[1].Addr()
		q.Src[len(k.dims)-1] = false
	}
	if p.Src == (netip.Addr{}) {
		p.Src = netip.MustParseAddr("192.0.2.1")
	}
	return q, p
}
