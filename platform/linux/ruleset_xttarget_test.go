//go:build linux

package linux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
)

// targetCase is a ruleset, one rule a line behind its table. With vague, the
// bytes that leave can't be foretold.
type targetCase struct {
	name, text string
	vague      bool
}

// What iptables' targets make of packets is what the evaluator says: which rules
// match later, whether the packet leaves and with what bytes, and what answers.
func TestTargetsAreTheKernels(t *testing.T) {
	for _, tool := range []string{"iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"} {
		t.Run(tool, func(t *testing.T) {
			if _, err := exec.LookPath(tool + "-restore"); err != nil {
				t.Skip("needs", tool)
			}
			t.Parallel()
			inOwnNamespace(t, func() { compareTargets(t, tool) })
		})
	}
}

func compareTargets(t *testing.T, tool string) {
	six := strings.HasPrefix(tool, "ip6")
	in, out, ok := tapNetwork(t)
	if !ok {
		return
	}
	defer unix.Close(in)
	defer unix.Close(out)
	h, err := Open(Options{})
	if err != nil {
		t.Error(err)
		return
	}
	cases := append(slices.Clone(targetCases), map[bool][]targetCase{false: targetCases4, true: targetCases6}[six]...)
	port := uint16(20000)
	for _, c := range cases {
		if !loadTargets(t, tool, c, six) {
			continue
		}
		again := targetFrames(six, port+10)
		for i, f := range targetFrames(six, port) {
			wrong := compareTarget(t, h, in, out, c, f)
			if len(wrong) > 0 { // once more: the kernel may have sent something of its own
				wrong = compareTarget(t, h, in, out, c, again[i])
			}
			for _, w := range wrong {
				t.Errorf("%s, %s: %s", c.name, f.name, w)
			}
		}
		port += 20
	}
}

func loadTargets(t *testing.T, tool string, c targetCase, six bool) bool {
	t.Helper()
	text := c.text
	if six {
		text = strings.NewReplacer("SELF", "2001:db8:1::1", "PEER", "2001:db8:1::99", "FAR", "2001:db8:2::2", "NEAR", "2001:db8:2::1", "ipset4", "hostport6").Replace(text)
	} else {
		text = strings.NewReplacer("SELF", "192.0.2.1", "PEER", "192.0.2.99", "FAR", "198.51.100.2", "NEAR", "198.51.100.1", "ipset4", "hostport").Replace(text)
	}
	var all strings.Builder
	for _, table := range []string{"raw", "mangle", "nat", "filter"} {
		all.WriteString("*" + table + "\n")
		for line := range strings.Lines(text) {
			if rule, ok := strings.CutPrefix(strings.TrimSpace(line), table+" "); ok {
				all.WriteString(rule + "\n")
			}
		}
		all.WriteString("COMMIT\n")
	}
	command := exec.Command(tool+"-restore", "-w", "10")
	command.Stdin = strings.NewReader(all.String())
	if out, err := command.CombinedOutput(); err != nil {
		t.Logf("left out: %s: %s", c.name, bytes.TrimSpace(out))
		return false
	}
	return true
}

func compareTarget(t *testing.T, h *Host, in, out int, c targetCase, f frame) (wrong []string) {
	t.Helper()
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	leaves(in)
	leaves(out)
	_, list := readCounted(t, h)
	before := counted(list)
	if _, err := unix.Write(in, f.bytes()); err != nil {
		bad("%v", err)
		return wrong
	}
	answers, left := leaves(in), leaves(out)
	set, list := readCounted(t, h)
	after := counted(list)
	host := tapHost()
	host.Listener = func(uint16) (bool, bool) { return false, true }
	got := eval.Compile(set, host).Trace(f.way, f.packet())
	if got.Verdict == eval.Unknown {
		if !c.vague {
			bad("unknown, %v", whys(got.Doubts))
		}
		return wrong
	}
	for i, r := range list {
		kernel, here := after[i] != before[i], slices.ContainsFunc(got.Steps, func(s eval.Step) bool { return s.Rule == r.rule })
		if kernel != here && !(r.from.Hook == rules.Output || f.way == eval.In && r.from.Hook == rules.Postrouting) {
			bad("rule %d of %s: kernel %v, here %v; verdict %q", i-r.first+1, r.chain, kernel, here, got.Verdict)
		}
	}
	if forwarded := got.Verdict == eval.Accept && got.Way == eval.Forward; forwarded != (len(left) > 0) {
		bad("verdict %q on the way %s, %d packets left", got.Verdict, got.Way, len(left))
	} else if forwarded && !c.vague && !bytes.Equal(left[0], got.Packet.Data) {
		bad("left as\n%x, here\n%x", left[0], got.Packet.Data)
	}
	if got.Verdict == eval.Reject {
		want := fmt.Sprint(got.Reject.Type, got.Reject.Code)
		if len(answers) != 1 || answerOf(answers[0]) != want {
			bad("answers %x, want %s", answers, want)
		}
	}
	return wrong
}

// leaves reads what the kernel has sent by a device but for its own reports of
// groups and neighbours.
func leaves(tap int) (list [][]byte) {
	b := make([]byte, 2048)
	for {
		n, err := unix.Read(tap, b)
		if err != nil || n < 34 {
			return list
		}
		data := b[14:n]
		if ether := binary.BigEndian.Uint16(b[12:]); ether != 0x800 && ether != 0x86dd || b[0]&1 != 0 || data[0]>>4 == 6 && data[6] == 58 && len(data) > 40 && data[40] > 129 {
			continue
		}
		list = append(list, bytes.Clone(data))
	}
}

// answerOf is an answer in the words of rules.Reject.
func answerOf(d []byte) string {
	switch {
	case d[0]>>4 == 4 && d[9] == 6, d[0]>>4 == 6 && d[6] == 6:
		return "1 0"
	case d[0]>>4 == 4 && d[9] == 1 && d[20] == 3:
		return fmt.Sprint(0, d[21])
	case d[0]>>4 == 6 && d[6] == 58 && d[40] == 1:
		return fmt.Sprint(0, d[41])
	}
	return "something else"
}

// targetFrames are packets that start flows, from a port on.
func targetFrames(six bool, port uint16) (list []frame) {
	src, dst := "192.0.2.99", map[eval.Way]string{eval.In: "192.0.2.1", eval.Forward: "198.51.100.2"}
	if six {
		src, dst = "2001:db8:1::99", map[eval.Way]string{eval.In: "2001:db8:1::1", eval.Forward: "2001:db8:2::2"}
	}
	for _, way := range []eval.Way{eval.Forward, eval.In} {
		for _, b := range []struct {
			name     string
			protocol byte
			data     []byte
		}{
			{"udp", 17, udpBytes(port, 5001, "hello port")},
			{"syn", 6, tcpBytes(port, 5001, 0xc2, []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}, "")},
			{"syn without options", 6, tcpBytes(port+1, 5001, 2, nil, "")},
		} {
			f := frame{name: fmt.Sprintf("%s %s", way, b.name), way: way}
			if six {
				f.data = ip6(src, dst[way], b.protocol, b.protocol, nil, b.data, nil)
			} else {
				f.data = ip4(src, dst[way], b.protocol, b.data, nil)
			}
			list = append(list, f)
		}
		port += 3
	}
	return list
}

// targetCases stand in both families: SELF is this host, PEER the sender, FAR the
// destination of what is forwarded, NEAR this host's address there.
var targetCases = []targetCase{
	{"nothing", ``, false},
	{"drop", `filter -A FORWARD -p udp -j DROP
		filter -A INPUT -p tcp -j DROP`, false},
	{"tcp reset", `filter -A FORWARD -p tcp -j REJECT --reject-with tcp-reset
		filter -A INPUT -p tcp -j REJECT --reject-with tcp-reset`, false},
	{"mark", `mangle -A PREROUTING -j MARK --set-mark 0x35
		mangle -A PREROUTING -j MARK --set-xmark 0x1/0x10
		filter -A FORWARD -m mark --mark 0x24
		filter -A INPUT -m mark --mark 0x24
		filter -A INPUT -m mark --mark 0x35`, false},
	{"mark by the connection", `mangle -A PREROUTING -j MARK --set-mark 0xf5
		mangle -A PREROUTING -j CONNMARK --save-mark --nfmask 0xf0 --ctmask 0xff
		mangle -A PREROUTING -j MARK --set-mark 0x3
		mangle -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff0 --ctmask 0xf0
		filter -A FORWARD -m mark --mark 0xf3
		filter -A FORWARD -m connmark --mark 0xf0
		filter -A INPUT -m mark --mark 0xf3
		filter -A INPUT -m connmark --mark 0xf0`, false},
	{"connection's mark", `mangle -A PREROUTING -j CONNMARK --set-mark 0x3
		mangle -A PREROUTING -j CONNMARK --or-mark 0x8
		mangle -A INPUT -j CONNMARK --save-mark --right-shift-mark 1
		filter -A FORWARD -m connmark --mark 0xb
		filter -A INPUT -m connmark --mark 0xb
		filter -A INPUT -m connmark --mark 0`, false},
	{"not before it is tracked", `raw -A PREROUTING -j CONNMARK --set-mark 3
		filter -A FORWARD -m connmark --mark 3
		filter -A FORWARD -m connmark --mark 0`, false},
	{"no tracking", `raw -A PREROUTING -p udp -j CT --notrack
		raw -A PREROUTING -m conntrack --ctstate UNTRACKED
		mangle -A PREROUTING -m conntrack --ctstate UNTRACKED
		mangle -A PREROUTING -m state --state UNTRACKED
		filter -A FORWARD -m conntrack --ctstate NEW
		filter -A FORWARD -m conntrack ! --ctstate NEW
		filter -A FORWARD -m connmark --mark 0`, false},
	{"a zone", `raw -A PREROUTING -j CT --zone 5
		raw -A PREROUTING -m conntrack --ctstate NEW
		raw -A PREROUTING -m state --state NEW
		filter -A FORWARD -m conntrack --ctstate NEW`, false},
	{"tos", `mangle -A PREROUTING -j TOS --set-tos 0x54/0xfc
		mangle -A FORWARD -j TOS --or-tos 0x08
		filter -A INPUT -m tos --tos 0x54/0xff`, false},
	{"dscp", `mangle -A PREROUTING -j DSCP --set-dscp 10
		filter -A FORWARD -m dscp --dscp 10`, false},
	{"mss", `mangle -A FORWARD -p tcp --syn -j TCPMSS --set-mss 500`, false},
	{"greater mss", `mangle -A FORWARD -p tcp --syn -j TCPMSS --set-mss 1461`, false},
	{"mss of the path", `mangle -A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu`, true},
	{"options stripped", `mangle -A PREROUTING -p tcp -j TCPOPTSTRIP --strip-options wscale
		filter -A FORWARD -p tcp -m tcp --tcp-option 3
		filter -A FORWARD -p tcp -m tcp --tcp-option 2`, false},
	{"mss stripped", `mangle -A PREROUTING -p tcp -j TCPOPTSTRIP --strip-options mss`, false},
	{"class", `mangle -A FORWARD -j CLASSIFY --set-class 1:1`, false},
	{"checksum", `mangle -A PREROUTING -p udp -j CHECKSUM --checksum-fill`, false},
	{"harmless", `filter -A FORWARD -j LOG --log-prefix x
		filter -A FORWARD -j NFLOG
		filter -A FORWARD -j AUDIT --type accept
		mangle -A FORWARD -j IDLETIMER --timeout 100 --label x`, false},
	{"mark by hash", `mangle -A PREROUTING -j HMARK --hmark-tuple src,dst,sport,dport,proto --hmark-mod 8 --hmark-rnd 0xcafe --hmark-offset 16
		` + hashMarks + ``, false},
	{"mark by hash of addresses", `mangle -A PREROUTING -j HMARK --hmark-tuple src,dst --hmark-mod 8 --hmark-rnd 0xcafe --hmark-offset 16
		` + hashMarks + ``, false},
	{"mark by hash of the connection", `mangle -A PREROUTING -j HMARK --hmark-tuple ct,src,dst,sport,dport --hmark-mod 8 --hmark-rnd 7 --hmark-offset 16
		` + hashMarks + ``, false},
	{"queue without a listener", `filter -A FORWARD -p udp -j NFQUEUE --queue-num 3
		filter -A FORWARD -p tcp -j NFQUEUE --queue-num 4 --queue-bypass
		filter -A FORWARD -p tcp`, false},
	{"destination mapped", `nat -A PREROUTING -p udp -j DNAT --to-destination FAR
		filter -A FORWARD -p udp -m conntrack --ctstate DNAT
		filter -A FORWARD -p udp -m conntrack --ctorigdst SELF --ctreplsrc FAR
		filter -A FORWARD -d FAR
		mangle -A POSTROUTING -m conntrack ! --ctstate DNAT`, false},
	{"redirected", `nat -A PREROUTING -p tcp -j REDIRECT --to-ports 77
		filter -A INPUT -p tcp --dport 77
		filter -A INPUT -m conntrack --ctorigdstport 5001 --ctreplsrcport 77`, false},
	{"source mapped", `nat -A POSTROUTING -o tap1 -j SNAT --to-source NEAR
		filter -A FORWARD -s PEER`, false},
	{"masqueraded", `nat -A POSTROUTING -o tap1 -j MASQUERADE`, false},
	{"masqueraded to ports", `nat -A POSTROUTING -o tap1 -p udp -j MASQUERADE --to-ports 1100`, false},
	{"mapped at random", `nat -A POSTROUTING -o tap1 -j MASQUERADE --random`, true},
	{"a set added to", `filter -A FORWARD -j SET --add-set ipset4 dst,dst
		filter -A FORWARD -p udp --dport 1`, false},
	{"socket", `mangle -A PREROUTING -m socket -j DROP`, false},
	{"label", `filter -A FORWARD -m connlabel --label 4 --set
		mangle -A POSTROUTING -m connlabel --label 4`, false},
}

const hashMarks = `filter -A FORWARD -m mark --mark 16
		filter -A FORWARD -m mark --mark 17
		filter -A FORWARD -m mark --mark 18
		filter -A FORWARD -m mark --mark 19
		filter -A FORWARD -m mark --mark 20
		filter -A FORWARD -m mark --mark 21
		filter -A FORWARD -m mark --mark 22
		filter -A FORWARD -m mark --mark 23`

var targetCases4 = []targetCase{
	{"ttl set", `mangle -A PREROUTING -j TTL --ttl-set 10
		filter -A FORWARD -m ttl --ttl-eq 9
		filter -A INPUT -m ttl --ttl-eq 10`, false},
	{"ttl up", `mangle -A PREROUTING -j TTL --ttl-inc 250`, false},
	{"ttl down", `mangle -A FORWARD -j TTL --ttl-dec 5`, false},
	{"ttl too low", `mangle -A PREROUTING -j TTL --ttl-set 1`, false},
	{"ecn removed", `mangle -A PREROUTING -p tcp -j ECN --ecn-tcp-remove
		filter -A FORWARD -p tcp -m ecn --ecn-tcp-cwr`, false},
	{"net unreachable", `filter -A FORWARD -j REJECT --reject-with icmp-net-unreachable
		filter -A INPUT -j REJECT --reject-with icmp-net-prohibited`, false},
	{"host unreachable", `filter -A FORWARD -j REJECT --reject-with icmp-host-unreachable
		filter -A INPUT -j REJECT --reject-with icmp-host-prohibited`, false},
	{"port unreachable", `filter -A FORWARD -j REJECT
		filter -A INPUT -j REJECT --reject-with icmp-proto-unreachable`, false},
	{"prohibited", `filter -A FORWARD -j REJECT --reject-with icmp-admin-prohibited`, false},
	{"network mapped", `nat -A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 198.51.100.0/30
		nat -A POSTROUTING -o tap1 -j NETMAP --to 198.51.100.0/25`, false},
	{"synproxy", `raw -A PREROUTING -p tcp --syn -j CT --notrack
		filter -A FORWARD -p tcp -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460
		filter -A FORWARD -p tcp`, false},
	{"port mapped", `nat -A PREROUTING -p udp -j DNAT --to-destination 198.51.100.2:99
		nat -A PREROUTING -p tcp -j DNAT --to-destination :98`, false},
	{"port of the source mapped", `nat -A POSTROUTING -o tap1 -p udp -j SNAT --to-source 198.51.100.77:4444
		nat -A POSTROUTING -o tap1 -p tcp -j SNAT --to-source 198.51.100.77`, false},
	{"ports shifted", `nat -A PREROUTING -p udp -j DNAT --to-destination 198.51.100.2:7000-7100/5000
		filter -A FORWARD -p udp --dport 7001`, false},
}

var targetCases6 = []targetCase{
	{"hops set", `mangle -A PREROUTING -j HL --hl-set 10
		filter -A FORWARD -m hl --hl-eq 9
		filter -A INPUT -m hl --hl-eq 10`, false},
	{"hops up", `mangle -A PREROUTING -j HL --hl-inc 250`, false},
	{"hops down", `mangle -A FORWARD -j HL --hl-dec 5`, false},
	{"no route", `filter -A FORWARD -j REJECT --reject-with icmp6-no-route
		filter -A INPUT -j REJECT --reject-with icmp6-adm-prohibited`, false},
	{"port unreachable", `filter -A FORWARD -j REJECT
		filter -A INPUT -j REJECT --reject-with icmp6-addr-unreachable`, false},
	{"policy", `filter -A FORWARD -j REJECT --reject-with icmp6-policy-fail
		filter -A INPUT -j REJECT --reject-with icmp6-reject-route`, false},
	{"network mapped", `nat -A PREROUTING -d 2001:db8:1::/64 -j NETMAP --to 2001:db8:2::/127
		nat -A POSTROUTING -o tap1 -j NETMAP --to 2001:db8:2::/120`, false},
	{"prefix of the source", `mangle -A POSTROUTING -o tap1 -j SNPT --src-pfx 2001:db8:1::/48 --dst-pfx 2001:db8:77::/48`, false},
	{"longer prefix of the source", `mangle -A POSTROUTING -o tap1 -j SNPT --src-pfx 2001:db8:1::/64 --dst-pfx 2001:db8:77:5::/64`, false},
	{"prefix of the destination", `mangle -A PREROUTING -d 2001:db8:3::/48 -j DNPT --src-pfx 2001:db8:3::/48 --dst-pfx 2001:db8:2::/48
		filter -A FORWARD -d 2001:db8:2::2`, false},
	{"port mapped", `nat -A PREROUTING -p udp -j DNAT --to-destination [2001:db8:2::2]:99`, false},
}
