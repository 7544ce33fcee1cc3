package ipset

import (
	"fmt"
	"math/rand"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/xtables"
)

// matchKinds are the types that a packet over loopback can be in. hash:mac and
// bitmap:ip,mac are there because it never is.
var matchKinds = []string{
	"bitmap:ip range 127.0.0.0/24", "bitmap:ip,mac range 127.0.0.0/24", "bitmap:port range 5000-5100", "hash:ip", "hash:ip netmask 30",
	"hash:ip,mark", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:net", "hash:net,net", "hash:net,port",
	"hash:net,port,net", "hash:net,iface", "list:set",
}

// question is one rule of the chain.
type question struct {
	set, options string
	q            Question
}

// Rules of iptables-legacy with the match set count the packets that are sent
// over loopback; each packet is asked for here as well.
func TestMatchAgrees(t *testing.T) {
	needTool(t)
	if _, err := exec.LookPath("iptables-legacy-restore"); err != nil {
		t.Skip("needs iptables-legacy:", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("can't set up loopback: %s", out)
	}
	r := rand.New(rand.NewSource(*kernelSeed))
	names := makeSets(t, r)
	saved, err := tool("", "save")
	if err != nil {
		t.Fatal(saved)
	}
	list, err := Parse("saved", []byte(saved))
	if err != nil {
		t.Fatal(err)
	}
	sets := New(list)
	if len(list) != len(names) {
		t.Errorf("%d sets, want %d", len(list), len(names))
	}
	questions := makeQuestions(t, r, list, names)
	before := counts(t)
	found := 0
	for range 150 {
		p := &Packet{Family: rules.IP, Protocol: protoUDP, Ports: true, In: "lo"}
		p.Src, p.SrcPort = netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + r.Intn(15))}), uint16(5000+r.Intn(5))
		p.Dst, p.DstPort = netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + r.Intn(15))}), uint16(5000+r.Intn(5))
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Src, p.SrcPort)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Dst, p.DstPort)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		after := counts(t)
		for i, q := range questions {
			kernel := after[i] - before[i]
			a := sets.Contains(q.set, q.q, p)
			if kernel > 1 || a.Found != (kernel == 1) || a.Why != "" {
				t.Fatalf("%v:%d > %v:%d, %s %s: kernel %d, here %+v, seed %d\n%s", p.Src, p.SrcPort, p.Dst, p.DstPort, q.set, q.options, kernel, a, *kernelSeed, saved)
			}
			if a.Found {
				found++
			}
		}
		before = after
	}
	t.Logf("%d packets, %d rules, %d matches", 150, len(questions), found)
	if found == 0 {
		t.Error("nothing matched")
	}
}

// makeSets makes a set of each type that the kernel has.
func makeSets(t *testing.T, r *rand.Rand) []string {
	var names []string
	for n, create := range matchKinds {
		typ, options, _ := strings.Cut(create, " ")
		name := fmt.Sprintf("m%d", n)
		if out, err := tool("", "create", name, typ, options); err != nil {
			if strings.Contains(out, "not supported") {
				continue
			}
			t.Fatal(out)
		}
		var add strings.Builder
		for range 25 {
			if typ == "list:set" {
				fmt.Fprintf(&add, "add %s %s\n", name, names[r.Intn(len(names))])
				continue
			}
			entry := strings.NewReplacer("10.0.0.", "127.0.0.", "tcp:", "udp:500", "udp:", "udp:500", "eth0", "lo", "-2", "-5002", "-3", "-5003", "-4", "-5004").
				Replace(randomEntry(r, kinds[typ], false, true))
			if typ == "bitmap:port" {
				entry = fmt.Sprint(5000 + r.Intn(5))
			}
			if strings.Contains(options, "netmask") {
				entry, _, _ = strings.Cut(entry, "-") // ranges are not masked on Linux 6.18
			}
			extra := ""
			if strings.Contains(typ, "net") && r.Intn(3) == 0 {
				extra = " nomatch"
			}
			fmt.Fprintf(&add, "add %s %s%s\n", name, entry, extra)
		}
		tool(add.String(), "-exist", "-")
		names = append(names, name)
	}
	return names
}

// makeQuestions puts rules into INPUT that ask the sets from all sides.
func makeQuestions(t *testing.T, r *rand.Rand, list []*rules.IPSet, names []string) []question {
	var questions []question
	text := "*filter\n"
	for range 60 {
		set := list[r.Intn(len(list))]
		q := question{set: set.Name}
		q.q.Dim = max(1, len(kinds[set.Type].dims)-r.Intn(6)/5)
		if set.Type == "list:set" {
			q.q.Dim = 1 + r.Intn(3)
		}
		var sides []string
		for i := range q.q.Dim {
			q.q.Src[i] = r.Intn(2) == 0
			sides = append(sides, map[bool]string{true: "src", false: "dst"}[q.q.Src[i]])
		}
		q.options = "--match-set " + set.Name + " " + strings.Join(sides, ",")
		if q.q.ReturnNomatch = r.Intn(3) == 0; q.q.ReturnNomatch {
			q.options += " --return-nomatch"
		}
		text += "-A INPUT -p udp -m set " + q.options + "\n"
		questions = append(questions, q)
	}
	c := exec.Command("iptables-legacy-restore")
	c.Stdin = strings.NewReader(text + "COMMIT\n")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%s", out, text)
	}
	return questions
}

// counts are how many packets each rule of INPUT has matched.
func counts(t *testing.T) []uint64 {
	out, err := exec.Command("iptables-legacy-save", "-c", "-t", "filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	set, err := xtables.Parse("iptables-legacy-save", out, rules.IP)
	if err != nil {
		t.Fatal(err)
	}
	var list []uint64
	for _, rule := range set.Tables[0].Chain("INPUT").Rules {
		list = append(list, rule.About().Packets)
	}
	return list
}
