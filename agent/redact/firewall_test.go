package redact

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/ipset"
)

// both parses saved rules twice and redacts one of them.
func both(t rapid.TB, key []byte, saved ...string) (plain, redacted *rules.Ruleset, r *Redactor) {
	t.Helper()
	parse := func() *rules.Ruleset {
		all := &rules.Ruleset{}
		for i, text := range saved {
			set, err := files.Parse(fmt.Sprint("rules", i), text, files.Options{})
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			all.Merge(set)
		}
		ipset.NameSets(all)
		// As a recording has it: what parsers share is apart there.
		var read rules.Ruleset
		text, err := json.Marshal(all)
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil {
			t.Fatal(err)
		}
		return &read
	}
	plain, redacted, r = parse(), parse(), New(All, key)
	for _, m := range []mode{seeing, changing} {
		w := walker{Redactor: r, mode: m}
		w.ruleset(redacted, 0)
		w.value(reflect.ValueOf(redacted), text)
		r.prepare()
	}
	return plain, redacted, r
}

// packet is a TCP segment between two addresses.
func packet(src, dst netip.Addr, port uint16) *eval.Packet {
	segment := []byte{0x9c, 0x40, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(segment[2:], port)
	if src.Is4() {
		b := []byte{0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0}
		b = append(append(append(b, src.AsSlice()...), dst.AsSlice()...), segment...)
		return &eval.Packet{Family: rules.IP, Data: b, In: "eth0", State: 8}
	}
	b := []byte{0x60, 0, 0, 0, 0, 20, 6, 64}
	b = append(append(append(b, src.AsSlice()...), dst.AsSlice()...), segment...)
	return &eval.Packet{Family: rules.IP6, Data: b, In: "eth0", State: 8}
}

// ends are the addresses of a packet.
func ends(p *eval.Packet) (src, dst netip.Addr) {
	at, n := 12, 4
	if p.Family == rules.IP6 {
		at, n = 8, 16
	}
	src, _ = netip.AddrFromSlice(p.Data[at : at+n])
	dst, _ = netip.AddrFromSlice(p.Data[at+n : at+2*n])
	return src, dst
}

// told is what a trace comes to, without addresses.
func told(x eval.Result) string {
	s := string(x.Verdict)
	if d := x.Decided; d != nil {
		s += " by " + d.Table.Name + " " + d.Chain.Name
		if d.Rule != nil {
			s += fmt.Sprint(" rule ", d.Rule.Number, " handle ", d.Rule.About().Handle)
		}
	}
	for _, step := range x.Steps {
		s += ", " + step.Effect
	}
	return s
}

// same runs packets through both rulesets.
func same(t rapid.TB, plain, redacted *rules.Ruleset, r *Redactor, hook rules.Hook, packets [][2]netip.Addr) {
	t.Helper()
	one, other := eval.Compile(plain, eval.Host{}), eval.Compile(redacted, eval.Host{})
	mapped := map[netip.Addr]netip.Addr{}
	for _, p := range packets {
		mapped[p[0]], mapped[p[1]] = r.addresses.addr(p[0]), r.addresses.addr(p[1])
	}
	for _, p := range packets {
		src, dst := p[0], p[1]
		if src.BitLen() != dst.BitLen() {
			continue
		}
		before := one.Hook(hook, packet(src, dst, 80))
		after := other.Hook(hook, packet(mapped[src], mapped[dst], 80))
		if told(before) != told(after) {
			t.Errorf("%s to %s: %s\nredacted %s to %s: %s", src, dst, told(before), r.addresses.addr(src), r.addresses.addr(dst), told(after))
			continue
		}
		s1, d1 := ends(before.Packet)
		s2, d2 := ends(after.Packet)
		if s1 == src && d1 == dst && s2 == mapped[src] && d2 == mapped[dst] {
			continue
		}
		if r.addresses.addr(s1) != s2 || r.addresses.addr(d1) != d2 {
			t.Errorf("%s to %s is then from %s to %s; redacted it should be from %s to %s, and is from %s to %s", src, dst, s1, d1, r.addresses.addr(s1), r.addresses.addr(d1), s2, d2)
		}
	}
}

// around are the addresses in a text, and those next to them.
func around(text string) (list []netip.Addr) {
	for _, l := range literals(text) {
		if !l.addr.IsValid() {
			continue
		}
		list = append(list, l.addr, l.addr.Next(), l.addr.Prev())
		if l.bits >= 0 {
			last, _ := netip.AddrFromSlice(func() []byte { b := lastOf(netip.PrefixFrom(l.addr, l.bits)); return b[:l.addr.BitLen()/8] }())
			list = append(list, last, last.Next())
		}
	}
	out := list[:0]
	for _, a := range list {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// pairs are most of two addresses each.
func pairs(list []netip.Addr) (out [][2]netip.Addr) {
	if most := 70; len(list) > most {
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:most]
	}
	for _, a := range list {
		for _, b := range list {
			out = append(out, [2]netip.Addr{a, b})
		}
	}
	return out
}

// The firewall says the same of the same packet, whatever way addresses are in it.
func TestFirewallSaysTheSame(t *testing.T) {
	nft := func(rest string) string { return "table inet f {\n" + rest + "\n}\n" }
	for name, c := range map[string]struct {
		hook  rules.Hook
		saved []string
	}{
		"nft": {rules.Input, []string{nft(`
			set named { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.2.0.5-10.2.0.9, 192.168.7.1 } }
			set exact { type ipv4_addr; elements = { 10.3.0.1, 10.3.0.2 } }
			set six { type ipv6_addr; flags interval; elements = { fd00:1::/64, fd00:2::5-fd00:2::9 } }
			set pairs { type ipv4_addr . inet_service . ipv4_addr; flags interval; elements = { 10.4.0.0/24 . 80 . 10.5.0.7, 10.4.1.3-10.4.1.8 . 70-90 . 10.5.0.0/28 } }
			map verdicts { type ipv4_addr : verdict; flags interval; elements = { 10.6.0.0/24 : drop, 10.6.1.5-10.6.1.7 : accept } }
			chain input { type filter hook input priority 0; policy drop;
				ip saddr 10.0.0.0/8 ip daddr 172.16.0.3 accept
				ip saddr 192.168.1.0/24 accept
				ip saddr 192.168.2.5 ip daddr != 192.168.2.0/25 accept
				ip saddr 10.9.0.5-10.9.0.17 accept
				ip saddr @named accept
				ip saddr @exact accept
				ip6 saddr @six accept
				ip6 daddr fd00:3::/48 accept
				ip6 saddr != { fd00:4::1, fd00:5::/32 } ip6 daddr fd00:6::1 accept
				ip saddr . tcp dport . ip daddr @pairs accept
				ip saddr . ip daddr { 10.7.0.1 . 10.7.0.2, 10.7.0.3 . 10.7.0.4 } accept
				ip saddr vmap @verdicts
				ip saddr { 10.8.0.0/24, 10.8.2.3-10.8.2.77 } accept
			}`)}},
		"nft masks": {rules.Input, []string{nft(`
			chain input { type filter hook input priority 0; policy drop;
				ip saddr & 0.0.0.255 == 0.0.0.77 accept
				ip saddr & 255.0.255.0 == 10.0.3.0 ip daddr 10.1.2.3 drop
				ip saddr < 10.0.0.9 drop
				ip daddr >= 10.200.3.9 accept
				ip saddr 10.3.4.0/22 drop
			}`)}},
		"nft NAT": {rules.Prerouting, []string{"table ip n {\n" + `
			map to { type ipv4_addr : ipv4_addr; elements = { 10.1.0.1 : 10.2.0.1, 10.1.0.2 : 10.2.0.9 } }
			chain prerouting { type nat hook prerouting priority -100;
				ip daddr 10.3.0.1 dnat to 10.4.0.1
				ip daddr 10.3.0.2 dnat to 10.4.0.7:8080
				dnat to ip daddr map @to
				ip daddr 10.5.0.0/24 dnat to ip daddr map { 10.5.0.1 : 10.6.0.1, 10.5.0.2 : 192.168.9.9 }
			}` + "\n}\n"}},
		"iptables": {rules.Input, []string{"*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" +
			"-A INPUT -s 10.0.0.0/8 -d 172.16.0.3/32 -j ACCEPT\n-A INPUT ! -s 192.168.0.0/16 -d 192.168.1.1/32 -j REJECT --reject-with icmp-port-unreachable\n" +
			"-A INPUT -s 10.0.3.0/255.0.255.0 -j ACCEPT\n-A INPUT -m iprange --src-range 192.168.3.5-192.168.3.17 -j ACCEPT\n" +
			"-A INPUT -m iprange ! --dst-range 192.168.4.0-192.168.4.200 -s 192.168.5.5/32 -j ACCEPT\n-A INPUT -m set --match-set blocked src -j DROP\nCOMMIT\n",
			"create blocked hash:net family inet hashsize 1024 maxelem 65536\nadd blocked 192.168.6.0/24\nadd blocked 192.168.7.7\n"}},
		"ip6tables": {rules.Input, []string{"*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" +
			"-A INPUT -s fd00:1::/64 -j ACCEPT\n-A INPUT ! -s fd00:2::1/128 -d fd00:3::1/128 -j ACCEPT\n-A INPUT -m iprange --src-range fd00:4::5-fd00:4::77 -j ACCEPT\nCOMMIT\n"}},
		"iptables NAT": {rules.Prerouting, []string{"*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" +
			"-A PREROUTING -d 10.3.0.1/32 -p tcp -j DNAT --to-destination 10.4.0.1:8080\n-A PREROUTING -d 10.5.0.0/24 -j NETMAP --to 10.6.0.0/24\nCOMMIT\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			for key := range byte(3) {
				plain, redacted, r := both(t, bytes.Repeat([]byte{key}, KeySize), c.saved...)
				same(t, plain, redacted, r, c.hook, pairs(around(strings.Join(c.saved, "\n"))))
			}
		})
	}
}

// Random rules about few addresses.
func TestRandomRulesSayTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		address := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("10.%d.%d.%d", rapid.IntRange(0, 2).Draw(t, "b"), rapid.IntRange(0, 2).Draw(t, "c"), rapid.IntRange(0, 255).Draw(t, "d"))
		})
		network := rapid.Custom(func(t *rapid.T) string {
			a := netip.MustParseAddr(address.Draw(t, "address"))
			return netip.PrefixFrom(a, rapid.IntRange(8, 32).Draw(t, "bits")).Masked().String()
		})
		span := rapid.Custom(func(t *rapid.T) string {
			a, b := netip.MustParseAddr(address.Draw(t, "from")), netip.MustParseAddr(address.Draw(t, "to"))
			if b.Less(a) {
				a, b = b, a
			}
			if a == b {
				b = b.Next()
			}
			return a.String() + "-" + b.String()
		})
		value := rapid.OneOf(address, network, span)
		side := rapid.SampledFrom([]string{"ip saddr", "ip daddr"})
		var b strings.Builder
		for range rapid.IntRange(1, 6).Draw(t, "rules") {
			verdict := rapid.SampledFrom([]string{"accept", "drop", "continue"}).Draw(t, "verdict")
			not := rapid.SampledFrom([]string{"", "!= "}).Draw(t, "not")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				fmt.Fprintf(&b, "%s %s{ %s } %s\n", side.Draw(t, "side"), not, address.Draw(t, "a")+", "+address.Draw(t, "b"), verdict)
			case 1:
				// Ranges of one set must not overlap.
				fmt.Fprintf(&b, "%s %s{ 10.0.%d.%d-10.0.3.%d, 10.1.0.0/%d } %s\n", side.Draw(t, "side"), not, rapid.IntRange(0, 3).Draw(t, "c"), rapid.IntRange(0, 9).Draw(t, "d"),
					rapid.IntRange(10, 255).Draw(t, "e"), rapid.IntRange(16, 31).Draw(t, "bits"), verdict)
			case 2:
				fmt.Fprintf(&b, "ip saddr & %d.%d.%d.%d == 0.0.0.0 %s\n", rapid.IntRange(0, 0).Draw(t, "m1"), rapid.SampledFrom([]int{0, 255, 7}).Draw(t, "m2"),
					rapid.SampledFrom([]int{0, 255, 3}).Draw(t, "m3"), rapid.SampledFrom([]int{255, 15, 128}).Draw(t, "m4"), verdict)
			case 3:
				fmt.Fprintf(&b, "ip saddr . ip daddr { %s . %s, %s . %s } %s\n", address.Draw(t, "a"), network.Draw(t, "n"), span.Draw(t, "s"), address.Draw(t, "b"), verdict)
			case 4:
				fmt.Fprintf(&b, "ip saddr %s %s %s\n", rapid.SampledFrom([]string{"<", ">", "<=", ">="}).Draw(t, "op"), address.Draw(t, "a"), verdict)
			default:
				fmt.Fprintf(&b, "%s %s%s %s\n", side.Draw(t, "side"), not, value.Draw(t, "value"), verdict)
			}
		}
		saved := "table inet f {\nchain c { type filter hook input priority 0; policy accept;\n" + b.String() + "}\n}\n"
		plain, redacted, r := both(t, someKey(t), saved)
		list := around(saved)
		for range 20 {
			list = append(list, netip.MustParseAddr(address.Draw(t, "other")))
		}
		if len(list) > 24 {
			list = list[len(list)-24:]
		}
		same(t, plain, redacted, r, rules.Input, pairs(list))
	})
}
