package witness_test

import (
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/eval"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/witness"
	"github.com/portwhy/portwhy/rules/xtables"
)

// asked are rules, of nft and of iptables, for which a packet is found.
var asked = []string{
	"tcp dport 22 accept", "udp sport 53 accept", "tcp dport != 22 accept", "tcp dport > 1023 accept", "tcp dport < 1024 accept", "tcp dport 1000-2000 accept",
	"tcp dport != 1000-65535 accept", "tcp dport { 80, 443 } accept", "udp dport { 1000-2000 } accept", "ip saddr 10.0.0.0/8 accept", "ip saddr != 10.0.0.0/8 accept",
	"ip daddr { 192.168.1.1, 10.0.0.0/8 } tcp dport 22 accept", "ip saddr . tcp dport { 10.0.0.1 . 22 } accept", "ip protocol icmp accept", "meta l4proto { tcp, udp } accept",
	"iifname \"eth7\" accept", "iifname \"wg*\" accept", "iif lo accept", "meta mark 7 accept", "ct state established,related accept", "ct state new accept",
	"ct state { new, established } accept", "ip6 saddr fd00::/8 tcp dport 22 accept", "ip6 nexthdr udp accept", "meta nfproto ipv6 accept", "icmp type echo-request accept",
	"tcp flags syn accept", "ip ttl 5 accept", "ip dscp cs1 accept", "@nh,0,8 0x45 accept",
	"-p tcp --dport 22 -j ACCEPT", "-s 10.0.0.0/8 -p udp -m udp --sport 53 -j ACCEPT", "! -s 10.0.0.0/8 -j ACCEPT", "-i eth+ -p tcp -m multiport --dports 80,443 -j ACCEPT",
	"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-p tcp ! --dport 80 -j ACCEPT", "-p tcp -m tcp --tcp-flags SYN,ACK SYN -j ACCEPT", "-m mark --mark 0x10 -j ACCEPT", "-d 192.168.1.1 -p icmp -j ACCEPT",
}

// The packet that is made for a rule is matched by it.
func TestMatched(t *testing.T) {
	for _, text := range asked {
		var set *rules.Ruleset
		var err error
		if text[0] == '-' || text[0] == '!' {
			set, err = xtables.Parse("x", []byte("*filter\n:INPUT DROP [0:0]\n-A INPUT "+text+"\nCOMMIT\n"), rules.IP)
		} else {
			set, err = nfttext.Parse("x", "table inet t {\nchain c {\ntype filter hook input priority 0; policy drop;\n"+text+"\n}\n}\n", nfttext.Options{})
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var rule *rules.Rule
		for _, c := range set.Tables[0].Chains {
			if len(c.Rules) > 0 {
				rule = c.Rules[0]
			}
		}
		p := witness.Packet(set.Tables[0], rules.Input, rule)
		if p.InIndex = 2; p.In == "lo" {
			p.InIndex = 1
		}
		r := eval.Compile(set, eval.Host{}).Trace(eval.In, p)
		if !slices.ContainsFunc(r.Steps, func(s eval.Step) bool { return s.Rule == rule && s.Effect == "accept" }) {
			t.Errorf("%s: the packet %x by %q with state %d is not matched: %s %v", text, p.Data, p.In, p.State, r.Verdict, r.Doubts)
		}
	}
}

// Whatever a rule holds, a packet is made of it.
func FuzzPacket(f *testing.F) {
	for _, text := range asked {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := nfttext.Parse("x", "table inet t {\nchain c {\ntype filter hook input priority 0;\n"+text+"\n}\n}\n", nfttext.Options{})
		if err != nil {
			return
		}
		for _, table := range set.Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					for _, hook := range []rules.Hook{rules.Input, rules.Forward, rules.Output, rules.Ingress} {
						if p := witness.Packet(table, hook, r); len(p.Data) < 20 {
							t.Errorf("%s: %x", text, p.Data)
						}
					}
				}
			}
		}
	})
}
