//go:build linux

package oracle

import (
	"fmt"
	"strings"
)

// nftRules makes random tables of nftables.
func (d dice) nftRules(families ...string) *ruleset {
	r := &ruleset{tables: map[string][]*node{}}
	for i := range 1 + d.Intn(3) {
		family := pick(d, families...)
		g := &nftTable{dice: d, family: family, block: block(fmt.Sprintf("table %s t%d", family, i))}
		g.fill()
		r.nft = append(r.nft, g.block)
	}
	return r
}

// nftTable makes one table.
type nftTable struct {
	dice
	family string
	block  *node
	sets   int
	first  []*node // sets and maps, which stand before the chains
	chains int

	// where the rule that is made stands
	hook, kind string
	later      []string // chains that may be jumped to
	v6         bool     // what the rule is about, in table inet by chance
	proto      string   // likewise: tcp, udp or icmp, as nft refuses rules that can't match
}

var hooksOf = map[string][]string{
	"filter": {"prerouting", "input", "forward", "output", "postrouting"},
	"route":  {"output"},
	"nat":    {"prerouting", "input", "output", "postrouting"},
}

func (g *nftTable) fill() {
	var chains []*node
	if g.chance(3) {
		chains = append(chains, line("flags dormant;"))
	}
	for range 1 + g.Intn(4) {
		g.kind = pick(g.dice, "filter", "filter", "filter", "filter", "nat", "nat", "route")
		g.hook = pick(g.dice, hooksOf[g.kind]...)
		switch {
		case g.family == "netdev":
			g.kind, g.hook = "filter", pick(g.dice, "ingress", "ingress", "egress")
		case g.family == "inet" && g.chance(7):
			g.kind, g.hook = "filter", "ingress"
		}
		chains = append(chains, g.group()...)
	}
	g.block.parts = append(g.first, chains...)
}

// group makes a base chain, and chains that only it leads to. Those that are
// jumped to stand first, as nft asks.
func (g *nftTable) group() []*node {
	g.later = nil
	var all []*node
	for range g.Intn(3) {
		name := fmt.Sprintf("c%d", g.chains)
		g.chains++
		all = append(all, block("chain "+name, g.rules()...))
		g.later = append(g.later, name)
	}
	priority := pick(g.dice, -350, -300, -250, -150, -10, 0, 0, 5, 50, 150)
	switch {
	case g.kind == "nat" && (g.hook == "input" || g.hook == "postrouting"):
		priority = pick(g.dice, 100, 100, 90, 110)
	case g.kind == "nat":
		priority = pick(g.dice, -100, -100, -110, -90)
	}
	if priority += g.Intn(3); g.kind != "nat" && g.chance(2) {
		priority = pick(g.dice, -200, -100, 100) // where conntrack and NAT stand
	}
	device := ""
	if g.onDevice() {
		device = pick(g.dice, ` device "va"`, ` device "vb"`, ` device "lo"`, ` devices = { "va", "vb" }`)
	}
	head := fmt.Sprintf("type %s hook %s%s priority %d;", g.kind, g.hook, device, priority)
	if g.chance(12) {
		head += " policy drop;"
	}
	name := fmt.Sprintf("b%d", g.chains)
	g.chains++
	parts := []*node{line(head)}
	if g.onDevice() {
		parts = append(parts, line("meta protocol 0x88b5 accept")) // the marker that ends a batch
	}
	return append(all, block("chain "+name, append(parts, g.rules()...)...))
}

// onDevice reports whether the chain stands at a device.
func (g *nftTable) onDevice() bool { return g.hook == "ingress" || g.hook == "egress" }

func (g *nftTable) rules() []*node {
	var all []*node
	for range 1 + g.Intn(4) {
		all = append(all, g.rule())
	}
	return all
}

func (g *nftTable) rule() *node {
	g.v6 = g.family == "ip6" || (g.family == "inet" || g.family == "netdev") && g.chance(40)
	g.proto = pick(g.dice, "tcp", "tcp", "udp", "icmp")
	var words []string
	for range pick(g.dice, 0, 1, 1, 1, 2, 2) {
		words = append(words, g.match())
	}
	for range pick(g.dice, 0, 0, 0, 1) {
		words = append(words, g.change())
	}
	if g.chance(15) {
		words = append(words, "counter")
	}
	verdict := g.verdict()
	if verdict == "" && len(words) == 0 {
		verdict = "counter"
	}
	if verdict != "" {
		words = append(words, verdict)
	}
	return line(words...)
}

func (g *nftTable) verdict() string {
	if g.kind == "nat" && g.chance(60) {
		return g.mapping()
	}
	if g.family == "netdev" && g.hook == "ingress" && g.chance(5) {
		return "fwd to \"vb\""
	}
	switch n := g.Intn(100); {
	case n < 18:
		return "accept"
	case n < 25:
		return "drop"
	case n < 31:
		return "return"
	case n < 34:
		return "continue"
	case n < 58 && len(g.later) > 0:
		return pick(g.dice, "jump ", "jump ", "goto ") + pick(g.dice, g.later...)
	case n < 68:
		return g.verdictMap()
	case n < 73 && g.kind != "nat":
		return g.reject()
	}
	return ""
}

func (g *nftTable) reject() string {
	if g.kind == "route" || g.hook == "postrouting" || g.hook == "egress" || g.family == "inet" && g.hook == "ingress" {
		return "drop"
	}
	switch g.Intn(3) {
	case 0:
		if g.proto == "tcp" {
			return "meta l4proto tcp reject with tcp reset"
		}
		return "reject"
	case 1:
		switch {
		case g.family == "inet" || g.family == "netdev":
			return "reject with icmpx " + pick(g.dice, "no-route", "port-unreachable", "host-unreachable", "admin-prohibited")
		case g.v6:
			return "reject with icmpv6 " + pick(g.dice, "no-route", "port-unreachable", "addr-unreachable", "admin-prohibited", "policy-fail", "reject-route")
		}
		return "reject with icmp " + pick(g.dice, "net-unreachable", "host-unreachable", "port-unreachable", "prot-unreachable", "net-prohibited", "host-prohibited", "admin-prohibited")
	}
	return "reject"
}

// verdictOf makes a verdict for an element of a map.
func (g *nftTable) verdictOf() string {
	if len(g.later) > 0 && g.chance(40) {
		return pick(g.dice, "jump ", "goto ") + pick(g.dice, g.later...)
	}
	return pick(g.dice, "accept", "accept", "drop", "return", "continue")
}

func (g *nftTable) verdictMap() string {
	var key string
	var keys []string
	switch g.Intn(4) {
	case 0:
		key = g.l4() + " dport"
		keys = pick(g.dice, []string{"5000", "5001", "5002", "5004"}, []string{"5000-5001", "5002", "5003-5009"}, []string{"4000-4999", "5000", "5001-5003"})
	case 1:
		key = g.ip() + pick(g.dice, " saddr", " daddr")
		keys = pick(g.dice, near[g.version()][0], nets[g.version()][:2], ranges[g.version()][:2])
	case 2:
		key, keys = "meta mark", pick(g.dice, []string{"0", "1", "2", "3"}, []string{"0-1", "2", "3-9"})
	default:
		key = "ct state"
		keys = []string{"new", "invalid", "established", "untracked"}
		if g.onDevice() || g.chance(50) {
			key, keys = "iifname", []string{`"va"`, `"vb"`, `"lo"`}
		}
	}
	var elements []string
	for _, k := range keys {
		if g.chance(70) {
			elements = append(elements, k+" : "+g.verdictOf())
		}
	}
	if g.chance(25) {
		elements = append(elements, "* : "+g.verdictOf())
	}
	if len(elements) == 0 {
		return ""
	}
	return key + " vmap { " + strings.Join(elements, ", ") + " }"
}

func (g *nftTable) version() int {
	if g.v6 {
		return 1
	}
	return 0
}

func (g *nftTable) ip() string {
	if g.v6 {
		return "ip6"
	}
	return "ip"
}

// mapping makes a statement that maps addresses.
func (g *nftTable) mapping() string {
	v := g.version()
	family := ""
	if g.family == "inet" {
		family = g.ip() + " "
	}
	port := func(word string) string {
		if v == 1 {
			return "[" + word + "]"
		}
		return word
	}
	proto := "meta l4proto { tcp, udp } "
	if g.proto != "icmp" && g.chance(50) {
		proto = "meta l4proto " + g.proto + " "
	}
	if g.hook == "prerouting" || g.hook == "output" {
		to := pick(g.dice, append(append([]string{}, near[v][0]...), append(near[v][1], own[v]...)...)...)
		switch g.Intn(10) {
		case 8:
			return "dnat " + family + "to " + g.ip() + " saddr map { " + nets[v][3] + " : " + near[v][1][0] + ", " + near[v][0][2] + " : " + own[v][0] + " }"
		case 9:
			return "dnat " + family + "to " + g.ip() + " daddr . " + g.l4() + " dport map { " + near[v][1][0] + " . 5000 : " + near[v][1][1] + " . 5003, " + own[v][0] + " . 5001 : " + near[v][0][0] + " . 5005 }"
		case 0, 1:
			return "dnat " + family + "to " + to
		case 2, 3:
			return proto + "dnat " + family + "to " + port(to) + ":" + number(5000+g.Intn(6))
		case 4:
			return proto + "redirect to :" + number(5000+g.Intn(6))
		case 5:
			return "redirect"
		case 6:
			return "dnat " + family + "to " + g.l4() + " dport map { 5000 : " + near[v][0][0] + ", 5001 : " + near[v][1][1] + " }"
		}
		return proto + "redirect to :5000-5003"
	}
	from := pick(g.dice, own[v]...)
	if g.hook == "input" {
		from = pick(g.dice, near[v][0]...)
		return pick(g.dice, "snat "+family+"to "+from, proto+"snat "+family+"to "+port(from)+":6001")
	}
	switch g.Intn(6) {
	case 0, 1:
		return "snat " + family + "to " + from
	case 2:
		return proto + "snat " + family + "to " + port(from) + ":" + pick(g.dice, "6000", "6000-6003", "1024-65535")
	case 3:
		return "masquerade"
	case 4:
		return proto + "masquerade to :" + pick(g.dice, "6000", "6000-6003")
	}
	return "snat " + family + "to " + port(own[v][0]) + "-" + port(own[v][1]) + pick(g.dice, "", " persistent", " random")
}

// change makes a statement that changes the packet, or what is kept of it.
func (g *nftTable) change() string {
	if g.onDevice() && g.chance(25) {
		return pick(g.dice, "ether saddr set 02:00:00:00:09:09", "ip dscp set cs1", "meta pkttype set host", "meta mark set 3")
	}
	if g.onDevice() && g.chance(50) {
		return pick(g.dice, "meta mark set "+number(g.mark()), "meta mark set meta mark or 1", "meta priority set 2", g.ip()+" dscp set ef", "log prefix \"x\"")
	}
	if g.onDevice() {
		return g.l4() + " dport set " + number(5000+g.Intn(6))
	}
	return g.pickOf([]weighed{
		{10, func() string { return "meta mark set " + number(g.mark()) }},
		{3, func() string {
			return "meta mark set meta mark " + pick(g.dice, "and", "or", "xor") + " " + number(g.mark())
		}},
		{2, func() string { return "meta mark set ct mark" }},
		{4, func() string { return "ct mark set " + pick(g.dice, "meta mark", number(g.mark())) }},
		{2, func() string { return "meta mark set " + g.l4() + " dport map { 5000 : 1, 5001 : 2, 5002-5003 : 4 }" }},
		{2, func() string { return "meta priority set " + number(g.Intn(4)) }},
		{2, g.notrack},
		{2, func() string { return "log prefix \"x\"" }},
		{2, func() string { return g.ip() + " dscp set " + pick(g.dice, "cs1", "ef", "0") }},
		{2, func() string {
			return map[bool]string{false: "ip ttl set ", true: "ip6 hoplimit set "}[g.v6] + number(20+g.Intn(60))
		}},
		{2, func() string { return g.l4() + " dport set " + number(5000+g.Intn(6)) }},
		{1, func() string { return g.l4() + " sport set 6002" }},
		{1, g.readdress},
		{1, g.clamp},
		{2, g.mapped},
		{1, func() string { return "meta mark set meta mark " + pick(g.dice, "<< 1", ">> 1", "<< 3") }},
		{1, func() string { return "meta mark set jhash " + g.ip() + " saddr mod 4 seed 0x5" }},
		{1, func() string { return "ct mark set ct mark " + pick(g.dice, "or 1", "and 2", "xor 3") }},
		{1, g.zone},
		{1, g.counter},
		{1, func() string {
			return pick(g.dice, "add", "update", "delete") + " @" + g.dynamic() + " { " + g.ip() + " saddr }"
		}},
		{1, func() string { return "ct label set " + number(1+g.Intn(9)) }},
		{1, func() string { return "ct event set new" }},
		{1, func() string { return "limit rate 1000000/second" }},
	})
}

// mapped sets a mark by a map.
func (g *nftTable) mapped() string {
	v := g.version()
	return pick(g.dice, "meta mark set "+g.ip()+" saddr map { "+nets[v][3]+" : 1, "+near[v][0][2]+" : 2, "+nets[v][1]+" : 4 }",
		"meta mark set meta l4proto map { tcp : 1, udp : 2, icmp : 3 }", "ct mark set "+g.l4()+" dport map { 5000-5001 : 1, 5002 : 2, 5004-5009 : 3, * : 7 }",
		"meta mark set iifname map { \"va\" : 1, \"vb\" : 2 }", "meta mark set "+g.ip()+" daddr . "+g.l4()+" dport map { "+near[v][1][0]+" . 5000 : 1, "+own[v][0]+" . 5001 : 2 }")
}

// zone has the packet tracked in one of its own, where it isn't yet.
func (g *nftTable) zone() string {
	if g.kind == "filter" && (g.hook == "prerouting" || g.hook == "output") {
		return "ct zone set " + number(1+g.Intn(3))
	}
	return "counter"
}

// counter counts in an object.
func (g *nftTable) counter() string {
	name := g.setName()
	g.first = append(g.first, block("counter "+name, line("comment \"x\"")))
	return "counter name " + name
}

// l4 is the protocol with ports that the rule is about.
func (g *nftTable) l4() string {
	if g.proto == "icmp" {
		g.proto = pick(g.dice, "tcp", "udp")
	}
	return g.proto
}

// readdress writes an address: a destination only where routing comes after, as
// a neighbour would be asked for elsewhere.
func (g *nftTable) readdress() string {
	side := pick(g.dice, " daddr set ", " saddr set ")
	if g.hook != "prerouting" && g.hook != "input" && g.kind != "route" {
		side = " saddr set "
	}
	return g.ip() + side + g.address(g.v6)
}

func (g *nftTable) clamp() string {
	if g.proto != "tcp" {
		return "counter"
	}
	if g.chance(30) {
		return "reset tcp option " + pick(g.dice, "maxseg", "sack-perm", "timestamp")
	}
	return "tcp option maxseg size set " + pick(g.dice, "1000", "1460", "9000")
}

func (g *nftTable) notrack() string {
	if g.kind == "filter" && (g.hook == "prerouting" || g.hook == "output") {
		return "notrack"
	}
	return "counter"
}

// dynamic adds a set that rules write to.
func (g *nftTable) dynamic() string {
	kind := "ipv4_addr"
	if g.v6 {
		kind = "ipv6_addr"
	}
	name := g.setName()
	g.first = append(g.first, block("set "+name, line("type "+kind+";"), line("size 1000;"), line("flags dynamic;")))
	return name
}

func (g *nftTable) setName() string {
	g.sets++
	return fmt.Sprintf("s%d", g.sets)
}
