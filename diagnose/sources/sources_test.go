package sources

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/files"
	"github.com/portwhy/portwhy/rules/ipset"
)

// box is a host with one device, eth0, and the rules of a file. Asking it anything
// else is a mistake of the test.
type box struct {
	host.Host
	rules *rules.Ruleset
	limit []host.Limit
}

func (b box) Info(context.Context) (host.Info, error) { return host.Info{At: time.Unix(1, 0)}, nil }
func (b box) Links(context.Context) ([]host.Link, error) {
	return []host.Link{{Index: 1, Name: "lo", Loopback: true, Up: true}, {Index: 2, Name: "eth0", Up: true, Carrier: true}, {Index: 3, Name: "eth1", Up: true, Carrier: true}}, nil
}

func (b box) Addresses(context.Context) ([]host.Address, error) {
	return []host.Address{{Prefix: netip.MustParsePrefix("10.0.0.1/24"), Link: 2, Device: "eth0", Scope: "global"},
		{Prefix: netip.MustParsePrefix("fd00::1/64"), Link: 2, Device: "eth0", Scope: "global"}, {Prefix: netip.MustParsePrefix("127.0.0.1/8"), Link: 1, Device: "lo", Scope: "host"}}, nil
}

func (b box) Routes(context.Context) ([]host.Route, error) {
	to := func(prefix, kind, device string, table int) host.Route {
		return host.Route{Destination: netip.MustParsePrefix(prefix), Type: kind, Table: table, Device: device}
	}
	return []host.Route{to("10.0.0.1/32", "local", "lo", 255), to("127.0.0.0/8", "local", "lo", 255), to("10.0.0.255/32", "broadcast", "eth0", 255), to("fd00::1/128", "local", "lo", 255),
		to("10.0.0.0/24", "unicast", "eth0", 254), to("fd00::/64", "unicast", "eth0", 254), to("0.0.0.0/0", "unicast", "eth0", 254), to("::/0", "unicast", "eth0", 254),
		to("10.0.3.0/24", "unicast", "eth1", 254), to("10.0.4.0/24", "unreachable", "", 254)}, nil
}

func (b box) Rules(context.Context) ([]host.RouteRule, error) {
	var list []host.RouteRule
	for _, family := range []int{4, 6} {
		for i, table := range []int{255, 254} {
			list = append(list, host.RouteRule{Priority: i, Family: family, Action: "lookup", Table: table, UIDLow: -1, UIDHigh: -1, SuppressLen: -1, SuppressGroup: -1})
		}
	}
	return list, nil
}

func (b box) RouteTo(ctx context.Context, q host.RouteQuery) (host.Route, error) {
	routes, _ := b.Routes(ctx)
	policy, _ := b.Rules(ctx)
	addresses, _ := b.Addresses(ctx)
	return host.Lookup(routes, policy, addresses, q), nil
}

func (b box) Sysctl(context.Context, string) (host.Sysctl, error) {
	return host.Sysctl{}, host.ErrUnsupported
}
func (b box) IPSetTest(context.Context, host.IPSetQuery) (bool, error) {
	return false, host.ErrUnsupported
}
func (b box) PacketQueues(context.Context) ([]uint16, error) { return nil, nil }
func (b box) Firewall(context.Context) (host.Firewall, error) {
	return host.Firewall{Rules: b.rules, Limits: b.limit}, nil
}

func hostWith(t interface{ Fatalf(string, ...any) }, text string) box {
	var o files.Options
	o.Interface = func(name string) (uint32, bool) {
		n, ok := map[string]uint32{"lo": 1, "eth0": 2, "eth1": 3}[name]
		return n, ok
	}
	set, err := files.Parse("rules", text, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return box{rules: set}
}

func query(from string) Query {
	q := Query{Network: "tcp", From: netip.MustParsePrefix(from), To: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}, Port: 22}
	return q
}

// brief is an answer in one line.
func brief(a *Answer) string {
	var parts []string
	for _, r := range a.Ranges {
		s := r.First.String()
		if r.Last != r.First {
			s += "-" + r.Last.String()
		}
		s += " " + r.Reaches.String()
		if r.Void {
			s += " void"
		}
		if r.Some && r.Reaches == Yes {
			s = strings.Replace(s, "yes", "some", 1)
		}
		if r.Reaches == Yes && r.Port > 1 {
			s += fmt.Sprint(" port ", r.Port)
		}
		parts = append(parts, s)
	}
	for range a.Limits {
		parts = append(parts, "limit")
	}
	return strings.Join(parts, ", ")
}

func nft(rules string) string {
	return "table inet t {\n set s { type ipv4_addr; flags interval; elements = { 10.0.1.0/25, 10.0.2.7-10.0.2.9 } }\n set p { type ipv4_addr . inet_service; elements = { 10.0.1.5 . 22, 10.0.1.6 . 23 } }\n" +
		" chain c { type filter hook input priority 0; policy drop;\n" + rules + "\n }\n}\n"
}

func TestAsk(t *testing.T) {
	for _, c := range []struct{ rules, from, want string }{
		{"", "10.0.1.0/24", "10.0.1.0-10.0.1.255 yes"},
		{nft(""), "10.0.1.0/24", "10.0.1.0-10.0.1.255 no"},
		{nft("accept"), "10.0.0.0/24", "10.0.0.0 yes, 10.0.0.1 no void, 10.0.0.2-10.0.0.254 yes, 10.0.0.255 no void"},
		{nft("tcp dport 22 accept"), "10.0.4.0/23", "10.0.4.0-10.0.4.255 no, 10.0.5.0-10.0.5.255 yes"},
		{nft("iifname eth1 accept"), "10.0.2.0/23", "10.0.2.0-10.0.2.255 no, 10.0.3.0-10.0.3.255 yes"},
		{nft("ip saddr 10.0.1.64/26 accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.63 no, 10.0.1.64-10.0.1.127 yes, 10.0.1.128-10.0.1.255 no"},
		{nft("ip saddr 10.0.1.3-10.0.1.5 accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.2 no, 10.0.1.3-10.0.1.5 yes, 10.0.1.6-10.0.1.255 no"},
		{nft("ip saddr @s accept"), "10.0.0.0/8", "10.0.0.0-10.0.0.0 no"},
		{nft("ip saddr . tcp dport @p accept"), "10.0.1.4/30", "10.0.1.4 no, 10.0.1.5 yes, 10.0.1.6-10.0.1.7 no"},
		{nft("ip saddr != 10.0.1.9 accept"), "10.0.1.8/30", "10.0.1.8 yes, 10.0.1.9 no, 10.0.1.10-10.0.1.11 yes"},
		{nft("ip saddr != 10.0.1.3-10.0.1.5 accept"), "10.0.1.0/29", "10.0.1.0-10.0.1.2 yes, 10.0.1.3-10.0.1.5 no, 10.0.1.6-10.0.1.7 yes"},
		{nft("tcp sport 53 accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.255 yes port 53"},
		{nft("ip saddr & 0.0.0.255 == 7 accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.255 no, limit"},
		{nft("jhash ip saddr mod 2 == 1 accept"), "10.0.1.0/30", "limit"},
		// What only stops packets can't let any in: what is stopped without it, is.
		{nft("ip saddr & 0.0.0.255 == 7 drop"), "10.0.1.0/24", "10.0.1.0-10.0.1.255 no"},
		{nft("ip saddr & 0.0.0.255 == 7 drop\nip saddr 10.0.1.0/25 accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.127 some, 10.0.1.128-10.0.1.255 no"},
		{nft("ip saddr & 0.0.0.255 == 1 drop\nip saddr 10.0.1.0/25 accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.127 unknown, 10.0.1.128-10.0.1.255 no"},
		{nft("jhash ip saddr mod 2 == 1 counter reject"), "10.0.1.0/30", "10.0.1.0-10.0.1.3 no"},
		{nft("ip saddr & 0.0.0.255 == 7 meta mark set 1 drop"), "10.0.1.0/24", "10.0.1.0-10.0.1.255 no, limit"},
		{nft("limit rate 1/minute accept"), "10.0.1.0/24", "10.0.1.0-10.0.1.255 unknown"},
		{nft("ip6 saddr fd00:1::/33 accept"), "fd00:1::/32", "fd00:1::-fd00:1:7fff:ffff:ffff:ffff:ffff:ffff yes, fd00:1:8000::-fd00:1:ffff:ffff:ffff:ffff:ffff:ffff no"},
		{nft("accept"), "127.0.0.0/8", "127.0.0.0-127.255.255.255 no void"},
		{nft("accept"), "fe80::/10", "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff unknown"},
		{"*filter\n:INPUT DROP [0:0]\n-A INPUT -s 10.0.1.0/25 -p tcp --dport 22 -j ACCEPT\n-A INPUT -m iprange --src-range 10.0.1.200-10.0.1.201 -j ACCEPT\nCOMMIT\n", "10.0.1.0/24",
			"10.0.1.0-10.0.1.127 yes, 10.0.1.128-10.0.1.199 no, 10.0.1.200-10.0.1.201 yes, 10.0.1.202-10.0.1.255 no"},
		{"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --sport 1000:2000 -j ACCEPT\nCOMMIT\n", "10.0.1.0/24", "10.0.1.0-10.0.1.255 yes port 1000"},
		// The answer is filtered, too, and may depend on the client's port.
		{"table ip t { chain o { type filter hook output priority 0; policy drop; ip daddr 10.0.1.0/25 tcp dport 5000 accept; }; }", "10.0.1.0/24",
			"10.0.1.0-10.0.1.127 yes port 5000, 10.0.1.128-10.0.1.255 no"},
	} {
		a, err := Ask(t.Context(), hostWith(t, c.rules), query(c.from))
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		got := brief(a)
		if strings.Contains(c.rules, "@s accept") { // many ranges: those that pass count
			got = "10.0.0.0-10.0.0.0 no"
			if full := brief(a); !strings.Contains(full, "10.0.1.0-10.0.1.127 yes") || !strings.Contains(full, "10.0.2.7-10.0.2.9 yes") || strings.Count(full, "yes") != 2 {
				got = full
			}
		}
		if c.want == "limit" { // which ranges there are doesn't matter
			got = got[strings.LastIndex(got, " ")+1:]
		}
		if got != c.want {
			t.Errorf("%s\nfrom %s\n got %s\nwant %s", c.rules, c.from, got, c.want)
		}
	}
}

func TestRightsAreMissing(t *testing.T) {
	a, err := Ask(t.Context(), box{limit: []host.Limit{{What: "the rules"}}}, query("10.0.0.0/8"))
	if err != nil || len(a.Limits) != 1 || len(a.Ranges) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// One address stands for all of a range: one that a host can have, if there is one.
func TestAsked(t *testing.T) {
	table := "table inet t { chain c { type filter hook input priority 0; policy drop;\n%s\n}; }"
	for _, c := range []struct{ rule, from, want string }{
		{"accept", "10.0.0.0/8", "10.0.0.0 lone, 10.0.0.1, 10.0.0.2, 10.0.0.255, 10.0.1.1, 10.0.3.1, 10.0.4.1, 10.0.5.1"},
		{"ip saddr 10.0.0.1/24 accept", "10.0.0.0/16", "10.0.0.0 lone, 10.0.0.1, 10.0.0.2, 10.0.0.255, 10.0.1.1, 10.0.3.1, 10.0.4.1, 10.0.5.1"},
		{"accept", "10.0.1.0/32", "10.0.1.0"},
		{"accept", "10.0.1.64/26", "10.0.1.65"},
		{"ip saddr 10.0.1.66-10.0.1.70 drop; accept", "10.0.1.64/26", "10.0.1.65, 10.0.1.66, 10.0.1.71"},
		{"ip saddr != 10.0.1.0 accept", "10.0.1.0/24", "10.0.1.0 lone, 10.0.1.1"},
		{"tcp sport 53 accept", "10.0.1.0/24", "10.0.1.1"},
		{"accept", "2001:db8::/64", "2001:db8::1"},
		{"ip6 saddr 2001:db8::1 drop; accept", "2001:db8::/64", "2001:db8:: lone, 2001:db8::1, 2001:db8::2"},
	} {
		a, err := Ask(t.Context(), hostWith(t, fmt.Sprintf(table, strings.ReplaceAll(c.rule, "; ", "\n"))), query(c.from))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range a.Ranges {
			words := r.Asked.String()
			if r.Lone {
				words += " lone"
			}
			got = append(got, words)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s from %s: asked %s, want %s", c.rule, c.from, s, c.want)
		}
	}
}

func TestTooMany(t *testing.T) {
	var b strings.Builder
	b.WriteString("table ip t { chain c { type filter hook input priority 0; policy drop;\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "ip saddr 10.%d.%d.0/25 tcp sport %d accept\n", i/250, i%250, 1000+2*i)
	}
	b.WriteString("}; }")
	a, err := Ask(t.Context(), hostWith(t, b.String()), query("10.0.0.0/8"))
	if err != nil || len(a.Limits) != 1 || !strings.Contains(a.Limits[0].Why, "too many") {
		t.Errorf("%s, %v", brief(a), err)
	}
}

// drawRules makes rules that tell addresses, ports and devices apart.
func drawRules(t *rapid.T) string {
	address := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("10.0.%d.%d", rapid.IntRange(0, 4).Draw(t, "net"), rapid.IntRange(0, 255).Draw(t, "host"))
	})
	network := rapid.Custom(func(t *rapid.T) string {
		p := netip.PrefixFrom(netip.MustParseAddr(address.Draw(t, "address")), rapid.IntRange(20, 32).Draw(t, "bits")).Masked()
		return p.String()
	})
	port := rapid.SampledFrom([]string{"22", "53", "1000-2000", "{ 22, 53 }", "!= 22", "> 40000"})
	match := rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 10).Draw(t, "match") {
		case 0, 1:
			return "ip saddr " + network.Draw(t, "network")
		case 2:
			return "ip saddr != " + network.Draw(t, "network")
		case 3:
			a, b := netip.MustParseAddr(address.Draw(t, "from")), netip.MustParseAddr(address.Draw(t, "to"))
			if b.Less(a) {
				a, b = b, a
			}
			if a == b {
				return "ip saddr " + a.String()
			}
			return fmt.Sprintf("ip saddr %s%s-%s", rapid.SampledFrom([]string{"", "!= "}).Draw(t, "not"), a, b)
		case 4:
			return fmt.Sprintf("ip saddr { %s, 10.9.0.0/16 }", address.Draw(t, "address"))
		case 5:
			return "tcp sport " + port.Draw(t, "sport")
		case 6:
			return "tcp dport " + port.Draw(t, "dport")
		case 7:
			return "iifname " + rapid.SampledFrom([]string{"eth0", "eth1", "lo"}).Draw(t, "device")
		case 8:
			return fmt.Sprintf("ip saddr . tcp sport { %s . 53, %s . 22 }", address.Draw(t, "a"), address.Draw(t, "b"))
		case 9:
			return "ip saddr > " + address.Draw(t, "address")
		}
		return fmt.Sprintf("ip saddr & 255.255.%d.0 == 10.0.%d.0", rapid.SampledFrom([]int{255, 254, 252}).Draw(t, "mask"), rapid.SampledFrom([]int{0, 4}).Draw(t, "is"))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "table inet t {\n chain i { type filter hook input priority 0; policy %s;\n", rapid.SampledFrom([]string{"accept", "drop"}).Draw(t, "policy"))
	for range rapid.IntRange(0, 5).Draw(t, "rules") {
		fmt.Fprintf(&b, "  %s %s\n", strings.Join(rapid.SliceOfN(match, 1, 2).Draw(t, "matches"), " "), rapid.SampledFrom([]string{"accept", "drop", "reject"}).Draw(t, "verdict"))
	}
	b.WriteString(" }\n")
	if rapid.Bool().Draw(t, "answers") {
		fmt.Fprintf(&b, " chain o { type filter hook output priority 0; policy drop;\n  %s accept\n  tcp dport %s accept\n }\n",
			strings.ReplaceAll(strings.ReplaceAll(match.Draw(t, "answer"), "saddr", "daddr"), "iifname", "oifname"), port.Draw(t, "client"))
	}
	b.WriteString("}\n")
	return b.String()
}

// What is said of a range holds for each of its addresses: each is asked alone,
// from many ports.
func TestRangesAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawRules(t)
		h := hostWith(t, text)
		q := query("10.0.0.0/22")
		a, err := Ask(context.Background(), h, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Limits) > 0 {
			t.Fatalf("%v\n%s", a.Limits, text)
		}
		next := q.From.Addr()
		for _, r := range a.Ranges {
			if r.First != next || r.Last.Less(r.First) {
				t.Fatalf("%s begins where %s should\n%s", r.First, next, text)
			}
			next = r.Last.Next()
			for _, ip := range []netip.Addr{r.First, r.Last, r.Asked, between(t, r), between(t, r)} {
				alone := asker{ctx: context.Background(), host: h, query: q, answer: &Answer{}, to: []netip.Addr{q.To[0]}, tracer: tracer(h),
					ports: []uint16{1, 21, 22, 23, 52, 53, 54, 999, 1000, 1500, 2000, 2001, 40000, 40001, 50000, uint16(rapid.IntRange(1, 65535).Draw(t, "port")), 65535}}
				one := Range{First: ip, Last: ip, Asked: ip}
				if err := alone.ask(&one); err != nil {
					t.Fatal(err)
				}
				if one.Reaches != r.Reaches {
					t.Fatalf("%s: %s, of the range %s-%s was said %s\n%s", ip, one.Reaches, r.First, r.Last, r.Reaches, text)
				}
			}
		}
		if want := last(q.From).Next(); next != want {
			t.Fatalf("ends before %s, want %s", next, want)
		}
	})
}

// Where rules look at single bits, what is said holds all the same: of a range that
// is stopped, unless there are limits, no address gets through; of one that is
// reached by some, the one that was asked does.
func TestDoubtsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := fmt.Sprintf("ip saddr & 0.0.%d.%d == 0.0.0.%d %s", rapid.IntRange(0, 1).Draw(t, "net"), rapid.SampledFrom([]int{1, 3, 5, 128}).Draw(t, "mask"), rapid.IntRange(0, 1).Draw(t, "is"),
			rapid.SampledFrom([]string{"drop", "reject", "accept", "tcp dport 22 drop", "tcp sport 53 drop"}).Draw(t, "verdict"))
		text := strings.Replace(drawRules(t), "policy drop;\n", "policy drop;\n  "+bits+"\n", 1)
		h := hostWith(t, text)
		q := query("10.0.0.0/22")
		a, err := Ask(context.Background(), h, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range a.Ranges {
			for _, ip := range []netip.Addr{r.First, r.Last, r.Asked, between(t, r), between(t, r)} {
				alone := asker{ctx: context.Background(), host: h, query: q, answer: &Answer{}, to: []netip.Addr{q.To[0]}, tracer: tracer(h),
					ports: []uint16{1, 22, 53, 1000, 1500, 2001, 40000, 40001, uint16(rapid.IntRange(1, 65535).Draw(t, "port")), 65535}}
				one := Range{First: ip, Last: ip, Asked: ip}
				if err := alone.ask(&one); err != nil {
					t.Fatal(err)
				}
				switch {
				case r.Reaches == No && len(a.Limits) == 0 && one.Reaches != No,
					r.Reaches == Yes && !r.Some && len(a.Limits) == 0 && one.Reaches != Yes,
					r.Reaches == Yes && ip == r.Asked && one.Reaches != Yes:
					t.Fatalf("%s: %s, of the range %s-%s was said %s (some: %v)\n%s", ip, one.Reaches, r.First, r.Last, r.Reaches, r.Some, text)
				}
			}
		}
	})
}

func between(t *rapid.T, r Range) netip.Addr {
	a, b := r.First.As4(), r.Last.As4()
	low, high := int(a[2])<<8|int(a[3]), int(b[2])<<8|int(b[3])
	n := rapid.IntRange(low, high).Draw(t, "between")
	return netip.AddrFrom4([4]byte{a[0], a[1], byte(n >> 8), byte(n)})
}

func tracer(h box) *firewall.Tracer {
	ctx := context.Background()
	return firewall.NewTracer(h.rules, firewall.Facts(ctx, h), firewall.Printer(ctx, h), "")
}

// Entries of ipsets, of sets that list others, and what was not read.
func TestIPSets(t *testing.T) {
	rules := "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set all src -j ACCEPT\nCOMMIT\n"
	sets := "create nets hash:net family inet\nadd nets 10.0.1.0/26\nadd nets 10.0.1.16/28 nomatch\ncreate hosts hash:ip family inet\nadd hosts 10.0.1.200\ncreate all list:set size 8\nadd all nets\nadd all hosts\n"
	h := hostWith(t, rules)
	h.rules.Merge(hostWith(t, sets).rules)
	ipset.NameSets(h.rules)
	a, err := Ask(t.Context(), h, query("10.0.1.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := brief(a), "10.0.1.0-10.0.1.15 yes, 10.0.1.16-10.0.1.31 no, 10.0.1.32-10.0.1.63 yes, 10.0.1.64-10.0.1.199 no, 10.0.1.200 yes, 10.0.1.201-10.0.1.255 no"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	h.rules.IPSet("nets").Known = false
	h.rules.IPSet("nets").Elements = nil
	if a, err = Ask(t.Context(), h, query("10.0.1.0/24")); err != nil || len(a.Limits) != 1 || !strings.Contains(a.Limits[0].Why, "ipset nets were not all read") {
		t.Errorf("%s %+v, %v", brief(a), a, err)
	}
}

// UDP has no packet that completes a connection, and ports of its own.
func TestUDP(t *testing.T) {
	h := hostWith(t, nft("udp dport 53 ip saddr 10.0.1.0/25 accept"))
	q := query("10.0.1.0/24")
	q.Network, q.Port = "udp", 53
	a, err := Ask(t.Context(), h, q)
	if err != nil || brief(a) != "10.0.1.0-10.0.1.127 yes, 10.0.1.128-10.0.1.255 no" {
		t.Errorf("%s, %v", brief(a), err)
	}
}

// A ruleset of any kind has cuts, or doubts; none makes them panic.
func FuzzCuts(f *testing.F) {
	f.Add(nft("ip saddr . tcp sport { 10.0.1.5 . 22 } accept"))
	f.Add(nft("ip6 saddr & ffff:: == fd00:: jhash ip saddr mod 3 == 1 ct original ip saddr 10.0.0.1 accept"))
	f.Add(nft("@nh,96,32 0x0a000001 @th,0,32 0x00160016 meta mark set ip saddr map { 10.0.0.1 : 1 } accept"))
	f.Add("*filter\n-A INPUT -s 10.0.0.1/255.0.255.0 -m conntrack --ctorigsrc 10.0.0.0/8 -m multiport --sports 1,2:5 -j ACCEPT\nCOMMIT\n")
	f.Add("create s hash:net,port family inet\nadd s 10.0.0.0/8,tcp:80-90\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := files.Parse("rules", text, files.Options{})
		if err != nil {
			return
		}
		c := firewall.CutsOf(set)
		for _, list := range [][]netip.Addr{c.Four, c.Six} {
			for i := 1; i < len(list); i++ {
				if !list[i-1].Less(list[i]) {
					t.Fatalf("%s before %s", list[i-1], list[i])
				}
			}
		}
	})
}
