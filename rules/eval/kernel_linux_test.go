package eval

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
)

var (
	kernelSeed = flag.Int64("kernel-seed", 1, "seed of the rulesets that are compared with the kernel")
	kernelSets = flag.Int("kernel-rulesets", 150, "how many rulesets are compared with the kernel, with 64 packets each")
)

// Random rulesets at the input hook are loaded into a namespace, random packets
// are sent through them, and what arrives is compared with the evaluator.
func TestKernelAgrees(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to load rules into a network namespace")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft:", err)
	}
	// A test has a goroutine of its own: the thread ends with it, and the
	// thread's namespace too.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("can't make a network namespace:", err)
	}
	compare(t)
}

const kernelPackets = 64

func compare(t *testing.T) {
	command(t, "", "ip", "link", "set", "lo", "up")
	random := rand.New(rand.NewSource(*kernelSeed))
	receivers := map[uint16]*net.UDPConn{}
	for port := uint16(5000); port < 5008; port++ {
		receivers[port] = listen(t, fmt.Sprintf(":%d", port))
	}
	senders := map[uint16]*net.UDPConn{}
	for port := uint16(6000); port < 6004; port++ {
		senders[port] = listen(t, fmt.Sprintf(":%d", port))
	}
	pairs, unknown, accepted := 0, 0, 0
	for range *kernelSets {
		text, set := ruleset(random)
		command(t, text, "nft", "-f", "-")
		predicted, sent := map[uint32]Result{}, map[uint32]string{}
		for range kernelPackets {
			n := uint32(pairs + len(predicted))
			from := &net.UDPAddr{IP: net.IPv4(127, 0, 0, byte(1+random.Intn(4))), Port: 6000 + random.Intn(4)}
			to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, byte(1+random.Intn(4))), Port: 5000 + random.Intn(8)}
			body := binary.BigEndian.AppendUint32(nil, n)
			body = append(body, make([]byte, random.Intn(40))...)
			send(t, senders[uint16(from.Port)], from, to, body)
			predicted[n] = Compile(set, Host{}).Hook(rules.Input, &Packet{Family: rules.IP, Data: packetBytes(from, to, body), In: "lo", InIndex: 1})
			sent[n] = fmt.Sprintf("%v > %v, %d bytes", from, to, len(body))
		}
		arrived := collect(t, receivers, predicted)
		for id := range arrived {
			if _, ok := predicted[id]; !ok {
				t.Errorf("packet %d arrived after its ruleset was gone, seed %d", id, *kernelSeed)
			}
		}
		for n, p := range predicted {
			pairs++
			if arrived[n] {
				accepted++
			}
			if p.Verdict == Unknown {
				unknown++
				continue
			}
			if (p.Verdict == Accept) != arrived[n] {
				t.Errorf("packet %s: predicted %s, arrived %v, seed %d\n%s", sent[n], p.Verdict, arrived[n], *kernelSeed, text)
				return
			}
		}
	}
	t.Logf("%d pairs, %d accepted by the kernel, %d unknown", pairs, accepted, unknown)
	if accepted == 0 || accepted == pairs || unknown*100 > pairs {
		t.Errorf("the comparison shows little: %d of %d accepted, %d unknown", accepted, pairs, unknown)
	}
}

func command(t *testing.T, input string, args ...string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Stdin = strings.NewReader(input)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s\n%s", args, err, out, input)
	}
}

func listen(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// send gives the source address with the datagram (IP_PKTINFO).
func send(t *testing.T, c *net.UDPConn, from, to *net.UDPAddr, body []byte) {
	t.Helper()
	control := make([]byte, syscall.CmsgSpace(syscall.SizeofInet4Pktinfo))
	binary.NativeEndian.PutUint64(control, uint64(syscall.CmsgLen(syscall.SizeofInet4Pktinfo)))
	binary.NativeEndian.PutUint32(control[8:], syscall.IPPROTO_IP)
	binary.NativeEndian.PutUint32(control[12:], syscall.IP_PKTINFO)
	copy(control[20:], from.IP.To4()) // ipi_spec_dst
	if _, _, err := c.WriteMsgUDP(body, control, to); err != nil {
		t.Fatal(err)
	}
}

// collect takes what has arrived. On loopback that is mostly everything at
// once, but a busy machine may hand a packet on later: what is predicted to
// arrive is waited for.
func collect(t *testing.T, from map[uint16]*net.UDPConn, predicted map[uint32]Result) map[uint32]bool {
	arrived := map[uint32]bool{}
	for range 20 {
		for _, c := range from {
			drain(t, c, arrived)
		}
		missing := false
		for id, p := range predicted {
			missing = missing || p.Verdict == Accept && !arrived[id]
		}
		if !missing {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return arrived
}

// drain takes what is in a socket's queue.
func drain(t *testing.T, c *net.UDPConn, arrived map[uint32]bool) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	err = raw.Control(func(fd uintptr) {
		for {
			n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return
			}
			if n >= 4 {
				arrived[binary.BigEndian.Uint32(b)] = true
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ruleset makes the same rules in nft's words and in the model.
func ruleset(r *rand.Rand) (string, *rules.Ruleset) {
	var text strings.Builder
	text.WriteString("flush ruleset\n")
	set := &rules.Ruleset{}
	for i := range 1 + r.Intn(2) {
		table := &rules.Table{Backend: rules.NFT, Family: []rules.Family{rules.IP, rules.Inet}[r.Intn(2)], Name: fmt.Sprintf("t%d", i)}
		set.Tables = append(set.Tables, table)
		var body, chains strings.Builder
		for j := 3; j >= 0; j-- {
			chain := &rules.Chain{Name: fmt.Sprintf("c%d", j)}
			fmt.Fprintf(&chains, "chain c%d {\n", j)
			if j == 0 {
				chain.Hook, chain.Type, chain.Priority = rules.Input, "filter", int32(i*10-r.Intn(2)*5)
				chain.Policy = []string{"accept", "drop"}[r.Intn(2)]
				fmt.Fprintf(&chains, "type filter hook input priority %d; policy %s;\n", chain.Priority, chain.Policy)
			}
			for range 1 + r.Intn(5) {
				words, exprs := randomRule(r, table, &body, j)
				chain.Rules = append(chain.Rules, &rules.Rule{Number: len(chain.Rules) + 1, Exprs: exprs})
				fmt.Fprintf(&chains, "%s\n", words)
			}
			chains.WriteString("}\n")
			table.Chains = append(table.Chains, chain)
		}
		fmt.Fprintf(&text, "table %s %s {\n%s%s}\n", table.Family, table.Name, body.String(), chains.String())
	}
	return text.String(), set
}

// randomRule makes a rule for chain number depth, which jumps to later ones only.
func randomRule(r *rand.Rand, table *rules.Table, sets *strings.Builder, depth int) (string, []rules.Expr) {
	var words []string
	var exprs []rules.Expr
	add := func(w string, e ...rules.Expr) {
		words = append(words, w)
		exprs = append(exprs, e...)
	}
	for range r.Intn(3) {
		op, sign := uint32(r.Intn(2)), ""
		if op == 1 {
			sign = "!= "
		}
		switch r.Intn(8) {
		case 0:
			a := net.IPv4(127, 0, 0, byte(1+r.Intn(4)))
			add(fmt.Sprintf("@nh,96,32 %s0x%x", sign, []byte(a.To4())), network(12, 4), &rules.Cmp{Op: op, Data: a.To4()})
		case 1:
			port := uint16(5000 + r.Intn(8))
			add(fmt.Sprintf("@th,16,16 %s%d", sign, port), transport(2, 2), &rules.Cmp{Op: op, Data: u16(port)})
		case 2:
			from := uint16(5000 + r.Intn(6))
			to := from + 1 + uint16(r.Intn(3))
			if op == 1 {
				add(fmt.Sprintf("@th,16,16 != %d-%d", from, to), transport(2, 2), &rules.Range{Op: 1, From: u16(from), To: u16(to)})
			} else {
				add(fmt.Sprintf("@th,16,16 %d-%d", from, to), transport(2, 2), &rules.Range{From: u16(from), To: u16(to)})
			}
		case 3:
			mask, value := byte(1+r.Intn(3)), byte(r.Intn(4))
			value &= mask
			add(fmt.Sprintf("@nh,152,8 & 0x%02x %s0x%02x", mask, map[uint32]string{0: "== ", 1: "!= "}[op], value), network(19, 1),
				&rules.Bitwise{Len: 1, Mask: []byte{mask}, Xor: []byte{0}}, &rules.Cmp{Op: op, Data: []byte{value}})
		case 4:
			n := uint32(32 + r.Intn(40))
			add(fmt.Sprintf("meta length > %d", n), &rules.Meta{Key: metaLen}, &rules.Byteorder{Op: 1, Len: 4, Size: 4},
				&rules.Cmp{Op: 4, Data: binary.BigEndian.AppendUint32(nil, n)})
		case 5:
			word := []string{"lo", "eth0", "l*"}[r.Intn(3)]
			data := append([]byte(word), make([]byte, 16-len(word))...)
			if strings.HasSuffix(word, "*") {
				data = []byte(strings.TrimSuffix(word, "*"))
			}
			add(fmt.Sprintf("iifname %s%q", sign, word), &rules.Meta{Key: metaIifName}, &rules.Cmp{Op: op, Data: data})
		case 6:
			s := ports(r, table, sets)
			add(fmt.Sprintf("udp dport %s@%s", sign, s.Name), &rules.Meta{Key: metaL4}, &rules.Cmp{Data: []byte{17}},
				transport(2, 2), &rules.Lookup{Set: s.Name, Invert: op == 1})
		case 7:
			mark := uint32(r.Intn(3))
			if r.Intn(2) == 0 {
				add(fmt.Sprintf("meta mark %s%d", sign, mark), &rules.Meta{Key: metaMark},
					&rules.Cmp{Op: op, Data: binary.NativeEndian.AppendUint32(nil, mark)})
			} else {
				add(fmt.Sprintf("meta mark set %d", mark), &rules.Immediate{Data: binary.NativeEndian.AppendUint32(nil, mark)},
					&rules.Meta{Key: metaMark, Write: true})
			}
		}
	}
	kinds := []rules.VerdictKind{rules.Accept, rules.Drop, rules.Return, rules.Jump, rules.Goto}
	v := &rules.Verdict{Kind: kinds[r.Intn(len(kinds))]}
	word := map[rules.VerdictKind]string{rules.Accept: "accept", rules.Drop: "drop", rules.Return: "return"}[v.Kind]
	if word == "" {
		if depth == 3 {
			add("counter", &rules.Counter{})
			return strings.Join(words, " "), exprs
		}
		v.Chain = fmt.Sprintf("c%d", depth+1+r.Intn(3-depth))
		word = map[rules.VerdictKind]string{rules.Jump: "jump ", rules.Goto: "goto "}[v.Kind] + v.Chain
	}
	add(word, &rules.Immediate{Verdict: v})
	return strings.Join(words, " "), exprs
}

// ports adds a set of ports or, half of the time, of ranges of them.
func ports(r *rand.Rand, table *rules.Table, text *strings.Builder) *rules.Set {
	s := &rules.Set{Name: fmt.Sprintf("s%d", len(table.Sets)), KeyLen: 2, Known: true, Interval: r.Intn(2) == 0}
	table.Sets = append(table.Sets, s)
	var words []string
	for port := uint16(5000); port < 5008; port += 3 {
		switch {
		case r.Intn(3) == 0:
		case s.Interval:
			last := port + uint16(r.Intn(2))
			words = append(words, fmt.Sprintf("%d-%d", port, last))
			s.Elements = append(s.Elements, rules.Element{Key: u16(port)}, rules.Element{Key: u16(last + 1), End: true})
		default:
			words = append(words, fmt.Sprint(port))
			s.Elements = append(s.Elements, rules.Element{Key: u16(port)})
		}
	}
	flags, elements := "", ""
	if s.Interval {
		flags = "flags interval\n"
	}
	if len(words) > 0 {
		elements = "elements = { " + strings.Join(words, ", ") + " }\n"
	}
	fmt.Fprintf(text, "set %s {\ntype inet_service\n%s%s}\n", s.Name, flags, elements)
	return s
}

func network(offset, n uint32) rules.Expr   { return &rules.Payload{Base: 1, Offset: offset, Len: n} }
func transport(offset, n uint32) rules.Expr { return &rules.Payload{Base: 2, Offset: offset, Len: n} }
