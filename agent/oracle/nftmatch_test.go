//go:build linux

package oracle

import (
	"fmt"
	"strings"
)

// match makes one test of a packet.
func (g *nftTable) match() string {
	if g.onDevice() && g.chance(25) {
		return pick(g.dice, "ether type ip", "ether type ip6", "ether saddr 02:00:00:00:01:01", "ether daddr != 02:00:00:00:00:01", "meta protocol ip", "vlan id 1", "ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00")
	}
	return g.pickOf([]weighed{
		{14, g.addressMatch},
		{14, g.portMatch},
		{6, g.protocolMatch},
		{6, g.tcpMatch},
		{6, g.headerMatch},
		{9, g.markMatch},
		{8, g.deviceMatch},
		{6, g.metaMatch},
		{12, g.flowMatch},
		{4, g.fibMatch},
		{4, g.rawMatch},
		{7, g.concatenation},
		{5, g.intervals},
		{4, g.lessCommon},
		{3, g.seldom},
	})
}

func (g *nftTable) addressMatch() string {
	v := g.version()
	field := g.ip() + pick(g.dice, " saddr", " daddr")
	switch g.Intn(7) {
	case 0:
		return joined(field, g.not(30), g.address(g.v6))
	case 1:
		return joined(field, g.not(30), pick(g.dice, nets[v]...))
	case 2:
		return joined(field, g.not(30), pick(g.dice, ranges[v]...))
	case 3:
		return joined(field, g.not(30), g.list(append(near[v][0], own[v]...)))
	case 4:
		return joined(field, g.not(30), g.list([]string{nets[v][0], near[v][1][0], nets[v][4], ranges[v][1][:strings.IndexByte(ranges[v][1], '-')]}))
	case 5:
		if g.v6 {
			return joined(field, "& ::3", pick(g.dice, "==", "!="), pick(g.dice, "::1", "::2", "::"))
		}
		return joined(field, "& 0.0.0.3", pick(g.dice, "==", "!="), pick(g.dice, "0.0.0.1", "0.0.0.2", "0.0.0.0"))
	}
	return joined(field, g.not(30), "@"+g.addressSet())
}

// addressSet adds a named set of addresses.
func (g *nftTable) addressSet() string {
	v := g.version()
	kind := "ipv4_addr"
	if g.v6 {
		kind = "ipv6_addr"
	}
	parts := []*node{line("type " + kind + ";")}
	members := append(near[v][0], near[v][1]...)
	if g.chance(50) {
		parts = append(parts, line("flags interval;"))
		members = []string{nets[v][3], near[v][1][0], ranges[v][0][strings.IndexByte(ranges[v][0], '-')+1:] + "0", own[v][0]}
		members[2] = near[v][0][2]
		if g.chance(30) {
			parts = append(parts, line("auto-merge;"))
		}
	} else if g.chance(20) {
		parts = append(parts, line("timeout 1h;"))
	}
	elements := g.list(members)
	if g.chance(10) {
		elements = "{ * }"
	}
	name := g.setName()
	g.first = append(g.first, block("set "+name, append(parts, line("elements = "+elements+";"))...))
	return name
}

func (g *nftTable) portMatch() string {
	field := g.l4() + pick(g.dice, " dport", " dport", " sport")
	if g.chance(20) {
		field = "th" + field[3:]
	}
	low := 5000 + g.Intn(5)
	if strings.HasSuffix(field, "sport") {
		low = 1024 + g.Intn(60000)
	}
	switch g.Intn(6) {
	case 0:
		return joined(field, g.not(30), number(low))
	case 1:
		return joined(field, pick(g.dice, "<", ">", "<=", ">="), number(low))
	case 2:
		return joined(field, g.not(30), fmt.Sprintf("%d-%d", low, low+1+g.Intn(4)))
	case 3:
		return joined(field, g.not(30), g.list([]string{"5000", "5001", "5003", number(low)}))
	case 4:
		return joined(field, g.not(30), g.list([]string{"5000-5001", "5003", "6000-6003", "30000-60000"}))
	}
	name := g.setName()
	parts := []*node{line("type inet_service;")}
	members := []string{"5000", "5002", "5004"}
	if g.chance(60) {
		parts = append(parts, line("flags interval;"))
		members = []string{"5000-5001", "5002", "5003-5004", "10240-30000"}
	}
	g.first = append(g.first, block("set "+name, append(parts, line("elements = "+g.list(members)+";"))...))
	return joined(field, g.not(30), "@"+name)
}

func (g *nftTable) protocolMatch() string {
	if g.proto != "icmp" {
		return pick(g.dice, "meta l4proto "+g.proto, "meta l4proto "+g.proto, "meta l4proto != icmp",
			map[bool]string{false: "ip protocol ", true: "ip6 nexthdr "}[g.v6]+g.proto)
	}
	icmp := "icmp type " + pick(g.dice, "echo-request", "!= echo-request", "{ echo-request, echo-reply }", "echo-reply")
	if g.v6 {
		icmp = "icmpv6 type " + pick(g.dice, "echo-request", "!= echo-request", "{ echo-request, nd-neighbor-solicit }", "echo-reply")
	}
	return pick(g.dice, "meta l4proto != tcp", "meta l4proto { tcp, icmp, ipv6-icmp }", icmp, icmp)
}

func (g *nftTable) tcpMatch() string {
	if g.proto != "tcp" {
		return g.portMatch()
	}
	return pick(g.dice, "tcp flags syn", "tcp flags & (syn|ack) == syn", "tcp flags & (fin|syn|rst|ack) != syn", "tcp flags != ack",
		"tcp flags { syn, syn | ack, ack }", "tcp flags & rst == 0", "tcp flags syn,ack", "tcp window 1000", "tcp doff > 5",
		"tcp option maxseg size 1460", "tcp option maxseg exists", "tcp option sack-perm missing", "tcp option maxseg size > 1400",
		"tcp flags ! syn", "tcp flags syn / syn,ack,fin,rst", "tcp ackseq 0", "tcp option timestamp exists")
}

func (g *nftTable) headerMatch() string {
	n := number(30 + g.Intn(40))
	if g.v6 {
		return pick(g.dice, "ip6 hoplimit > "+n, "ip6 hoplimit "+n, "ip6 dscp cs1", "ip6 dscp != 0", "ip6 length > "+n, "ip6 version 6", "ip6 hoplimit { 30-40, 50, 60-70 }",
			"ip6 dscp { 0-8, 40-50 }", "exthdr frag exists", "exthdr frag missing")
	}
	return pick(g.dice, "ip ttl > "+n, "ip ttl "+n, "ip dscp cs1", "ip dscp != 0", "ip length > "+number(20+g.Intn(80)), "ip version 4", "ip hdrlength 5", "ip ttl { 30-40, 50, 60-70 }",
		"ip dscp { 0-8, 40-50 }", "ip frag-off & 0x1fff != 0", "ip frag-off & 0x1fff == 0", "ip id > 1000", "ip option rr exists", "ip dscp & 0x38 == 0x08")
}

func (g *nftTable) markMatch() string {
	n := number(g.mark())
	if !g.onDevice() && g.chance(35) {
		return pick(g.dice, "ct mark "+n, "ct mark != "+n, "ct mark & 1 == 1", "ct mark { 0, 1-3 }", "ct mark > 1")
	}
	return pick(g.dice, "meta mark "+n, "meta mark != "+n, "meta mark & 3 == 1", "meta mark & 4 != 0", "meta mark { 0, 2, 5 }", "meta mark 1-3", "meta mark != 1-3", "meta mark < 3", "meta mark >= 2")
}

func (g *nftTable) deviceMatch() string {
	field := pick(g.dice, "iifname", "oifname")
	if g.chance(40) {
		field = pick(g.dice, "iif", "oif")
		return joined(field, g.not(30), pick(g.dice, `"va"`, `"vb"`, `"lo"`, `{ "va", "lo" }`))
	}
	return joined(field, g.not(30), pick(g.dice, `"va"`, `"vb"`, `"lo"`, `"v*"`, `"eth0"`, `{ "va", "lo" }`, `{ "v*", "eth0" }`))
}

func (g *nftTable) metaMatch() string {
	n := number(40 + g.Intn(60))
	switch {
	case g.family == "inet" && g.chance(10):
		return pick(g.dice, "meta nfproto ipv4", "meta nfproto ipv6")
	case g.chance(4) && (g.hook == "input" || g.hook == "forward"):
		return "meta sdif 0"
	}
	return pick(g.dice, "meta length > "+n, "meta length <= "+n, "meta length { 20-60, 70 }", "meta protocol "+g.ip(), "meta protocol { ip, ip6 }",
		"meta pkttype host", "meta pkttype { broadcast, multicast }", "meta skuid 0", "meta skuid != 0", "meta skgid 0-10", "meta priority 1", "meta priority != 0",
		"meta iiftype ether", "meta oiftype ether", "meta iiftype loopback", "meta iifgroup 1", "meta oifgroup 2", "meta oifgroup != 2", "meta iifkind \"veth\"", "meta oifkind \"veth\"")
}

func (g *nftTable) flowMatch() string {
	if g.onDevice() { // too early, or too late, for conntrack
		return g.metaMatch()
	}
	v := g.version()
	state := pick(g.dice, "new", "established", "related", "invalid", "untracked", "new,established", "established,related", "invalid,untracked")
	return pick(g.dice, "ct state "+state, "ct state "+state, "ct state != "+state, "ct state { new, untracked }", "ct direction original", "ct direction reply", "ct direction != reply",
		"ct status dnat", "ct status snat", "ct status confirmed", "ct status ! dnat", "ct status & (dnat|snat) == 0", "ct zone 0", "ct zone != 0",
		"ct original "+g.ip()+" saddr "+g.address(g.v6), "ct original "+g.ip()+" daddr "+pick(g.dice, nets[v]...), "meta l4proto "+g.l4()+" ct original proto-dst 5000-5002", "meta l4proto "+g.l4()+" ct original proto-src > 30000",
		"ct original protocol tcp", "ct original l3proto ipv4", "ct l3proto ipv6", "ct protocol { tcp, udp }", "ct label 1", "ct label 5", "ct reply "+g.ip()+" saddr "+g.address(g.v6), "meta l4proto "+g.l4()+" ct reply proto-dst > 20000",
		"ct helper \"ftp\"", "meta l4proto "+g.l4()+" ct reply proto-src 5000-5003")
}

func (g *nftTable) fibMatch() string {
	kind := pick(g.dice, "local", "unicast", "!= local", "{ local, broadcast }")
	if g.hook == "egress" {
		return "meta oifname \"va\""
	}
	early := g.hook == "prerouting" || g.hook == "input" || g.hook == "forward"
	if early && g.chance(50) {
		if g.hook == "forward" {
			return pick(g.dice, "fib saddr . iif oif missing", "fib saddr . mark . iif oif exists", "fib daddr oifname \"va\"", "fib daddr . mark oif \"vb\"", "fib saddr oif \"va\"")
		}
		return pick(g.dice, "fib saddr . iif oif missing", "fib saddr . iif oif exists", "fib saddr oif missing", "fib daddr . iif type "+kind, "fib saddr . mark oifname \"va\"", "fib saddr oif \"vb\"", "fib daddr oif exists")
	}
	if !early && g.hook != "prerouting" && g.chance(20) {
		return "fib daddr . oif type " + kind
	}
	return pick(g.dice, "fib daddr type ", "fib saddr type ") + kind
}

func (g *nftTable) rawMatch() string {
	if g.chance(10) {
		return joined("@nh,4,4", pick(g.dice, "==", "!=", ">"), pick(g.dice, "5", "0"))
	}
	return joined(pick(g.dice, "@nh,0,4", "@nh,64,8", "@nh,72,8", "@nh,96,32", "@th,16,16", "@th,0,16", "@th,64,32", "@ll,0,48", "@ll,96,16", "@th,104,8", "@ih,0,8", "@th,400,8"),
		pick(g.dice, "==", "!=", ">"), pick(g.dice, "4", "6", "2", "0", "8"))
}

// concatenation looks several fields up at once.
func (g *nftTable) concatenation() string {
	v := g.version()
	port := g.l4() + " dport"
	address := g.ip() + pick(g.dice, " saddr", " daddr")
	name, kind := g.setName(), "ipv4_addr"
	if g.v6 {
		kind = "ipv6_addr"
	}
	var members []string
	for range 3 + g.Intn(4) {
		members = append(members, fmt.Sprintf("%s . %d", g.address(g.v6), g.dport()))
	}
	parts := []*node{line("type " + kind + " . inet_service;")}
	key := address + " . " + port
	switch g.Intn(5) {
	case 0, 1: // ranges
		parts = append(parts, line("flags interval;"))
		members = nil
		for i := range 1 + g.Intn(3) { // they must not overlap
			low := 5000 + 2*i
			members = append(members, fmt.Sprintf("%s . %d-%d", pick(g.dice, append(nets[v], ranges[v]...)...), low, low+g.Intn(2)))
		}
	case 2:
		parts = []*node{line("type ifname . mark;")}
		key = pick(g.dice, "iifname", "oifname") + " . meta mark"
		members = []string{`"va" . 0`, `"vb" . 1`, `"lo" . 0`, `"vb" . 0`}
	case 3: // a verdict map
		var pairs []string
		for _, m := range unique(members) {
			pairs = append(pairs, m+" : "+g.verdictOf())
		}
		if g.chance(30) {
			pairs = append(pairs, "* : "+g.verdictOf())
		}
		return key + " vmap { " + strings.Join(pairs, ", ") + " }"
	}
	g.first = append(g.first, block("set "+name, append(parts, line("elements = { "+strings.Join(unique(members), ", ")+" };"))...))
	return joined(key, g.not(30), "@"+name)
}

// intervals looks a number up in a set of random ranges, which may touch.
func (g *nftTable) intervals() string {
	field, low, high := g.l4()+" dport", 4990, 5012
	switch g.Intn(4) {
	case 0:
		field, low, high = g.l4()+" sport", 1024, 65000
	case 1:
		field, low, high = "meta length", 30, 110
	case 2:
		field, low, high = "meta mark", 0, 9
	}
	var members []string
	for low < high && len(members) < 12 {
		from := low + g.Intn(max(1, (high-low)/4))
		to := from + g.Intn(max(1, (high-low)/4))
		members = append(members, map[bool]string{true: number(from), false: fmt.Sprintf("%d-%d", from, to)}[from == to])
		low = to + 1
	}
	if g.chance(30) {
		for i := range members {
			members[i] += " : " + g.verdictOf()
		}
		return field + " vmap { " + strings.Join(members, ", ") + " }"
	}
	return joined(field, g.not(30), "{ "+strings.Join(members, ", ")+" }")
}

// lessCommon makes tests of what rules seldom ask for but a packet tells.
func (g *nftTable) lessCommon() string {
	if g.onDevice() {
		return g.portMatch()
	}
	v := g.version()
	switch g.proto {
	case "icmp":
		if g.v6 {
			return pick(g.dice, "icmpv6 code 0", "icmpv6 id > 30000", "icmpv6 type . icmpv6 code { echo-request . 0 }", "ip6 nexthdr . ip6 hoplimit { ipv6-icmp . 50, udp . 40 }", "exthdr hbh exists", "exthdr dst missing", "hbh nexthdr 58", "dst nexthdr != 6")
		}
		return pick(g.dice, "icmp code 0", "icmp id > 30000", "icmp sequence > 100", "icmp type . icmp code { echo-request . 0 }", "ip protocol . ip ttl { icmp . 50, udp . 40 }", "ip option rr missing")
	case "tcp":
		return pick(g.dice, "meta l4proto sctp sctp dport 5000", "tcp dport & 1 == 1", "tcp sport & 0xf000 != 0x1000", "sctp chunk init exists", "meta l4proto { sctp, 253, gre }", "tcp urgptr 0",
			"tcp dport . meta mark { 5000 . 0, 5001 . 1, 5002 . 2 }", g.ip()+" saddr . "+g.ip()+" daddr . tcp dport { "+near[v][0][0]+" . "+near[v][1][0]+" . 5000, "+near[v][0][1]+" . "+own[v][0]+" . 5001 }",
			"iifname . oifname { \"va\" . \"vb\", \"vb\" . \"va\" }", "ct state . "+g.ip()+" saddr { new . "+near[v][0][0]+", new . "+own[v][0]+" }")
	}
	return pick(g.dice, "udp length > 30", "udp checksum != 0", "udp dport . ct mark { 5000 . 0, 5001 . 1 }", "meta l4proto . th dport { udp . 5000-5002, tcp . 5001, sctp . 5003 }",
		g.ip()+" daddr . meta l4proto { "+nets[v][0]+" . udp, "+own[v][0]+" . tcp }", "ct direction . ct state { original . new }", "ct original "+g.ip()+" daddr . udp dport { "+own[v][0]+" . 5000 }")
}

func unique(list []string) []string {
	seen := map[string]bool{}
	var kept []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}

// seldom makes tests of which most can't be known from a packet.
func (g *nftTable) seldom() string {
	if g.onDevice() {
		return "limit rate over 1/day"
	}
	if (g.hook == "prerouting" || g.hook == "input") && g.chance(20) {
		return "socket transparent 1"
	}
	return pick(g.dice, "limit rate over 1/day", "numgen inc mod 2 1", "jhash "+g.ip()+" saddr mod 4 seed 0x1 > 1", "quota over 100 mbytes", "rt classid 0", "rt classid 1", "rt classid 65536",
		"jhash "+g.ip()+" saddr . "+g.ip()+" daddr mod 8 seed 0xabc < 4", "meta time > 0", "meta hour \"00:00\"-\"23:59\"", "ct expiration > 1s", "ct packets > 5")
}
