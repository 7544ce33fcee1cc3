//go:build linux

package oracle

import (
	"fmt"
	"strings"
)

// xtables makes random tables for one of iptables' tools.
type xtables struct {
	dice
	r     *ruleset
	tool  string
	v6    bool
	table string
	chain string   // that the rule stands in, or that leads to it
	later []string // chains that may be jumped to
	proto string   // that the rule is about
}

var xtablesHooks = map[string][]string{
	"raw":      {"PREROUTING", "OUTPUT"},
	"mangle":   {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
	"nat":      {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"filter":   {"INPUT", "FORWARD", "OUTPUT"},
	"security": {"INPUT", "FORWARD", "OUTPUT"},
}

// xtablesRules makes rules of iptables, of one backend or of both.
func (d dice) xtablesRules() *ruleset {
	r := &ruleset{tables: map[string][]*node{}}
	if d.chance(50) {
		r.sets = d.ipsets()
	}
	backend := pick(d, "legacy", "nft", "legacy", "nft", "both")
	for _, tool := range tools {
		if backend != "both" && !strings.HasSuffix(tool, backend) || backend == "both" && d.chance(30) {
			continue
		}
		x := &xtables{dice: d, r: r, tool: tool, v6: strings.HasPrefix(tool, "ip6")}
		for _, table := range []string{"raw", "mangle", "nat", "filter", "security"} {
			if d.chance(55) {
				x.table = table
				r.tables[tool] = append(r.tables[tool], x.fill())
			}
		}
	}
	return r
}

// ipsets makes sets that the match set asks.
func (d dice) ipsets() []*node {
	var all []*node
	add := func(words ...string) { all = append(all, line(words...)) }
	for v, family := range []string{"inet", "inet6"} {
		addresses := append(append([]string{}, near[v][0]...), append(near[v][1], own[v]...)...)
		host := fmt.Sprintf("h%d", v)
		add("create", host, "hash:ip", "family", family)
		network := fmt.Sprintf("n%d", v)
		add("create", network, "hash:net", "family", family)
		add("create", fmt.Sprintf("w%d", v), "hash:ip", "family", family) // that rules write to, and none asks
		port := fmt.Sprintf("p%d", v)
		add("create", port, "hash:ip,port", "family", family)
		for _, a := range addresses {
			if d.chance(30) {
				add("add", host, a)
			}
			if d.chance(20) {
				add("add", port, a+","+pick(d, "tcp", "udp")+":"+number(d.dport()))
			}
		}
		for _, n := range nets[v] {
			if d.chance(30) {
				words := []string{"add", network, n}
				if d.chance(20) {
					words = append(words, "nomatch")
				}
				add(words...)
			}
		}
	}
	add("create", "b", "bitmap:port", "range", "0-65535")
	for range 3 {
		add("add", "b", number(d.dport()), "-exist")
	}
	return all
}

func (x *xtables) fill() *node {
	var chains, rules []*node
	var own []string
	for _, c := range xtablesHooks[x.table] {
		policy := "ACCEPT"
		if x.table != "nat" && x.chance(8) {
			policy = "DROP"
		}
		chains = append(chains, line(":"+c, policy, "[0:0]"))
	}
	for _, c := range xtablesHooks[x.table] {
		if !x.chance(60) {
			continue
		}
		x.chain, x.later = c, nil
		for range x.Intn(3) {
			name := fmt.Sprintf("c%d", len(own))
			own = append(own, name)
			chains = append(chains, line(":"+name, "-", "[0:0]"))
			rules = append(rules, x.rules(name)...)
			x.later = append(x.later, name)
		}
		rules = append(rules, x.rules(c)...)
	}
	return block("*"+x.table, append(chains, rules...)...)
}

func (x *xtables) rules(chain string) []*node {
	var all []*node
	for range 1 + x.Intn(4) {
		x.proto = pick(x.dice, "tcp", "tcp", "udp", "icmp", "")
		words := []string{"-A " + chain}
		if x.proto != "" {
			words = append(words, "-p "+x.protocol())
		}
		used := map[string]bool{}
		for range pick(x.dice, 0, 1, 1, 2, 2) {
			// No match may stand twice.
			if m := x.match(); m != "" && !used[matchName(m)] {
				used[matchName(m)] = true
				words = append(words, m)
			}
		}
		if t := x.target(); t != "" {
			words = append(words, t)
		}
		all = append(all, line(words...))
	}
	return all
}

// matchName is the option or the match that a rule has but once.
func matchName(m string) string {
	words := strings.Fields(strings.TrimPrefix(m, "! "))
	if words[0] == "-m" {
		return words[1]
	}
	return words[0]
}

func (x *xtables) version() int {
	if x.v6 {
		return 1
	}
	return 0
}

func (x *xtables) protocol() string {
	if x.proto == "icmp" && x.v6 {
		return "icmpv6"
	}
	return x.proto
}

func (x *xtables) not(percent int) string {
	if x.chance(percent) {
		return "!"
	}
	return ""
}

func (x *xtables) at(hooks ...string) bool {
	for _, h := range hooks {
		if h == x.chain {
			return true
		}
	}
	return false
}

func (x *xtables) match() string {
	v := x.version()
	return x.pickOf([]weighed{
		{12, func() string {
			return joined(x.not(25), pick(x.dice, "-s", "-d"), pick(x.dice, append(nets[v], x.address(x.v6))...))
		}},
		{8, x.deviceMatch},
		{16, x.portMatch},
		{10, x.flowMatch},
		{6, func() string {
			return joined("-m mark", x.not(30), "--mark", pick(x.dice, "1", "2", "0", "4/4", "0x1/0x3", "0/2"))
		}},
		{3, func() string { return joined("-m connmark", x.not(30), "--mark", pick(x.dice, "1", "0", "1/1", "0/4")) }},
		{5, x.typeMatch},
		{4, func() string {
			return joined("-m iprange", x.not(30), pick(x.dice, "--src-range", "--dst-range"), pick(x.dice, ranges[v]...))
		}},
		{3, func() string {
			return joined("-m length", x.not(30), "--length", pick(x.dice, "20:60", "40", "70:", ":60"))
		}},
		{3, x.hopsMatch},
		{3, func() string {
			return pick(x.dice, joined("-m dscp", x.not(30), pick(x.dice, "--dscp 8", "--dscp-class CS1", "--dscp 0")), joined("-m tos", x.not(30), "--tos 0x20/0xe0"))
		}},
		{3, func() string {
			return "-m pkttype " + pick(x.dice, "--pkt-type unicast", "! --pkt-type broadcast", "--pkt-type multicast")
		}},
		{5, x.setMatch},
		{4, x.seldom},
	})
}

func (x *xtables) deviceMatch() string {
	side := "-i"
	if x.at("OUTPUT", "POSTROUTING") || x.at("FORWARD") && x.chance(50) {
		side = "-o"
	}
	return joined(x.not(30), side, pick(x.dice, "va", "vb", "lo", "v+", "eth0"))
}

func (x *xtables) portMatch() string {
	side := pick(x.dice, "--dport", "--dport", "--sport")
	ports := pick(x.dice, "5000", "5001:5003", ":5002", "5004:", "30000:60000")
	switch x.proto {
	case "tcp":
		switch x.Intn(5) {
		case 0:
			return pick(x.dice, "-m tcp --syn", "-m tcp ! --syn", "-m tcp --tcp-flags SYN,ACK SYN", "-m tcp --tcp-flags ALL NONE", "-m tcp ! --tcp-flags RST RST", "-m tcp --tcp-option 2", "-m tcp ! --tcp-option 8",
				"-m tcpmss --mss 1400:1500", "-m tcpmss ! --mss 1000")
		case 1:
			return joined("-m multiport", x.not(30), pick(x.dice, "--dports", "--ports", "--sports"), pick(x.dice, "5000,5002", "5000:5001,5004", "6000:60000"))
		}
		return joined("-m tcp", x.not(30), side, ports)
	case "udp":
		if x.chance(20) {
			return joined("-m multiport", x.not(30), pick(x.dice, "--dports", "--ports"), pick(x.dice, "5000,5002", "5000:5001,5004"))
		}
		return joined("-m udp", x.not(30), side, ports)
	case "icmp":
		if x.v6 {
			return joined("-m icmp6", x.not(30), "--icmpv6-type", pick(x.dice, "echo-request", "echo-reply", "128/0", "1"))
		}
		return joined("-m icmp", x.not(30), "--icmp-type", pick(x.dice, "echo-request", "echo-reply", "8/0", "any", "3"))
	}
	return ""
}

func (x *xtables) flowMatch() string {
	v := x.version()
	states := pick(x.dice, "NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "UNTRACKED", "NEW,INVALID")
	return pick(x.dice, joined("-m state", "--state", states), joined("-m conntrack", x.not(30), "--ctstate", states), joined("-m conntrack", x.not(30), "--ctstate", pick(x.dice, "DNAT", "SNAT", "NEW,DNAT")),
		joined("-m conntrack", x.not(30), "--ctproto", pick(x.dice, "6", "17")), joined("-m conntrack", x.not(30), "--ctorigsrc", pick(x.dice, nets[v]...)), joined("-m conntrack", x.not(30), "--ctorigdst", pick(x.dice, nets[v]...)),
		joined("-m conntrack", x.not(30), "--ctreplsrc", pick(x.dice, nets[v]...)), "-m conntrack --ctdir ORIGINAL", "-m conntrack --ctdir REPLY", joined("-m conntrack", x.not(30), "--ctstatus", pick(x.dice, "NONE", "CONFIRMED", "SEEN_REPLY", "ASSURED")),
		joined("-m conntrack --ctorigdstport", pick(x.dice, "5000:5002", "5004")))
}

func (x *xtables) typeMatch() string {
	side := pick(x.dice, "--dst-type", "--src-type")
	limit := ""
	if x.chance(20) && !x.v6 {
		switch {
		case x.at("PREROUTING", "INPUT", "FORWARD"):
			limit = "--limit-iface-in"
		case x.at("POSTROUTING", "OUTPUT"):
			limit = "--limit-iface-out"
		}
	}
	other := "LOCAL,BROADCAST"
	if x.v6 {
		other = "LOCAL,MULTICAST"
	}
	return joined("-m addrtype", x.not(30), side, pick(x.dice, "LOCAL", "UNICAST", other, "MULTICAST"), limit)
}

func (x *xtables) hopsMatch() string {
	n := number(30 + x.Intn(40))
	if x.v6 {
		return "-m hl " + pick(x.dice, "--hl-eq ", "--hl-lt ", "--hl-gt ") + n
	}
	return "-m ttl " + pick(x.dice, "--ttl-eq ", "--ttl-lt ", "--ttl-gt ") + n
}

func (x *xtables) setMatch() string {
	if x.r.sets == nil {
		return ""
	}
	v := x.version()
	switch x.Intn(4) {
	case 0:
		return joined("-m set", x.not(30), fmt.Sprintf("--match-set h%d", v), pick(x.dice, "src", "dst"))
	case 1:
		return joined("-m set", x.not(30), fmt.Sprintf("--match-set n%d", v), pick(x.dice, "src", "dst"))
	case 2:
		return joined("-m set", x.not(30), fmt.Sprintf("--match-set p%d", v), pick(x.dice, "src,dst", "dst,dst", "src,src"))
	}
	return joined("-m set", x.not(30), "--match-set b", pick(x.dice, "src", "dst"))
}

func (x *xtables) seldom() string {
	all := []string{"-m limit --limit 10000/sec", "-m comment --comment \"why not\"", "-m statistic --mode nth --every 2 --packet 0", "-m u32 --u32 \"4&0xFFFF=0x100:0xFFFF\"",
		"-m string --algo bm --hex-string \"|0102|\"", "-m devgroup --src-group 1", "-m cpu --cpu 0", "-m time --timestart 00:00 --timestop 23:59:59", "-m helper --helper ftp", "-m connlabel --label 1"}
	switch {
	case x.at("OUTPUT", "POSTROUTING") && x.chance(50):
		return pick(x.dice, "-m owner --uid-owner 0", "-m owner ! --uid-owner 0", "-m owner --gid-owner 0-10", "-m owner --socket-exists")
	case x.at("PREROUTING") && x.table != "nat" && x.table != "filter" && x.chance(30):
		return "-m rpfilter " + pick(x.dice, "", "--loose", "--invert", "--validmark")
	case x.at("PREROUTING", "INPUT", "FORWARD") && x.chance(30):
		return joined("-m mac", x.not(30), "--mac-source", pick(x.dice, "02:00:00:00:01:01", "02:00:00:00:01:02"))
	case x.proto == "tcp" && !x.v6 && x.chance(30):
		return "-m ecn " + pick(x.dice, "--ecn-tcp-cwr", "! --ecn-tcp-ece", "--ecn-ip-ect 0")
	case x.v6 && x.at("PREROUTING", "INPUT", "FORWARD") && x.chance(30):
		return pick(x.dice, "-m ipv6header --header prot --soft", "-m ipv6header --header frag --soft", "-m eui64", "-m frag --fragmore")
	case x.at("PREROUTING", "INPUT") && x.table != "nat" && x.chance(20):
		return pick(x.dice, "-m socket", "-m socket --transparent", "-m socket --nowildcard")
	}
	m := pick(x.dice, all...)
	if strings.HasPrefix(m, "-m devgroup") && !x.at("PREROUTING", "INPUT", "FORWARD") {
		return "-m devgroup --dst-group 2"
	}
	return m
}

func (x *xtables) target() string {
	if x.table == "nat" && x.chance(60) {
		return x.mapping()
	}
	if x.chance(30) {
		if t := x.change(); t != "" {
			return t
		}
	}
	switch n := x.Intn(100); {
	case n < 30:
		return "-j ACCEPT"
	case n < 40 && x.table != "nat":
		return "-j DROP"
	case n < 50:
		return "-j RETURN"
	case n < 80 && len(x.later) > 0:
		return pick(x.dice, "-j ", "-j ", "-g ") + pick(x.dice, x.later...)
	case n < 86 && x.table == "filter":
		if x.proto == "tcp" && x.chance(50) {
			return "-j REJECT --reject-with tcp-reset"
		}
		if x.v6 {
			return "-j REJECT --reject-with " + pick(x.dice, "icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-no-route", "icmp6-addr-unreachable")
		}
		return "-j REJECT --reject-with " + pick(x.dice, "icmp-port-unreachable", "icmp-host-prohibited", "icmp-admin-prohibited", "icmp-net-unreachable", "icmp-proto-unreachable")
	}
	return ""
}

func (x *xtables) mapping() string {
	v := x.version()
	port := ""
	to := pick(x.dice, append(append([]string{}, near[v][0]...), append(near[v][1], own[v]...)...)...)
	from := pick(x.dice, own[v]...)
	if x.proto == "tcp" || x.proto == "udp" {
		port = ":" + pick(x.dice, "5000", "5003", "6000", "6000-6003")
		if x.v6 {
			to, from = "["+to+"]", "["+from+"]"
		}
	}
	if x.at("PREROUTING", "OUTPUT") {
		switch {
		case port != "" && x.chance(30):
			return "-j REDIRECT --to-ports " + pick(x.dice, "5001", "5000-5003")
		case x.chance(15):
			return "-j REDIRECT"
		case x.chance(15):
			return "-j NETMAP --to " + pick(x.dice, nets[v][:2]...)
		}
		return "-j DNAT --to-destination " + to + port
	}
	if x.at("POSTROUTING") && x.chance(35) {
		if port != "" {
			return "-j MASQUERADE" + pick(x.dice, "", " --to-ports 6000", " --to-ports 6000-6003", " --random")
		}
		return "-j MASQUERADE"
	}
	return "-j SNAT --to-source " + from + port
}

func (x *xtables) change() string {
	mark := number(x.mark())
	switch x.table {
	case "mangle":
		hops := "-j TTL " + pick(x.dice, "--ttl-set 55", "--ttl-dec 1", "--ttl-inc 2")
		if x.v6 {
			hops = "-j HL " + pick(x.dice, "--hl-set 55", "--hl-dec 1", "--hl-inc 2")
		}
		all := []string{"-j MARK --set-mark " + mark, "-j MARK --set-xmark " + mark + "/3", "-j MARK --or-mark 1", "-j MARK --and-mark 6", "-j MARK --xor-mark " + mark, "-j CONNMARK --save-mark", "-j CONNMARK --restore-mark",
			"-j CONNMARK --set-mark " + mark, "-j DSCP --set-dscp " + pick(x.dice, "8", "0", "46"), "-j TOS --set-tos " + pick(x.dice, "0x10", "0x20/0xe0"), hops, "-j LOG --log-prefix x"}
		if x.at("FORWARD", "OUTPUT", "POSTROUTING") {
			all = append(all, "-j CLASSIFY --set-class 0:2")
		}
		if x.proto == "tcp" {
			all = append(all, "-j TCPOPTSTRIP --strip-options mss,sack-permitted")
			if x.chance(50) {
				return "-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss " + pick(x.dice, "1000", "1460", "9000")
			}
			if !x.v6 {
				all = append(all, "-j ECN --ecn-tcp-remove")
			}
		}
		return pick(x.dice, all...)
	case "raw":
		return pick(x.dice, "-j CT --notrack", "-j NOTRACK", "-j MARK --set-mark "+mark, "-j CT --zone 3", "-j NFLOG --nflog-prefix y")
	}
	all := []string{"-j LOG --log-prefix x", "-j NFLOG --nflog-prefix y", "-j MARK --set-mark " + mark, "-j CONNMARK --set-mark " + mark}
	if x.r.sets != nil && x.table == "filter" {
		all = append(all, fmt.Sprintf("-j SET --add-set w%d src --exist", x.version()))
	}
	return pick(x.dice, all...)
}
