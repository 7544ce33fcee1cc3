package nfttext_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nfttext"
	"github.com/portwhy/portwhy/rules/text"
)

// What people write is what nft prints of it. The rules stand in a chain of
// family inet, or in the family that is given.
func TestRules(t *testing.T) {
	for _, c := range []struct{ family, written, printed string }{
		{"", "tcp dport ssh accept", "tcp dport 22 accept"},
		{"", "tcp dport {22,80-90,\n # many\n\n 443 , } accept", "tcp dport { 22, 80-90, 443 } accept"},
		{"", "ct state established,related accept", "ct state established,related accept"},
		{"", "ct state { established, related } accept", "ct state { established, related } accept"},
		{"", "mark 5 accept", "meta mark 0x00000005 accept"},
		{"", "skuid 1000 accept", "meta skuid 1000 accept"},
		{"", "iifname eth* drop", `iifname "eth*" drop`},
		{"", "iif lo accept", `iif 1 accept`},
		{"", "meta mark and 0xff eq 1 accept", "meta mark & 0x000000ff == 0x00000001 accept"},
		{"", "ip ttl lt 5 drop", "ip ttl < 5 drop"},
		{"", "tcp flags ! syn drop", "tcp flags ! syn drop"},
		{"", "tcp flags syn / syn,ack accept", "tcp flags syn / syn,ack accept"},
		{"", "udp dport 4789 vxlan ip saddr 10.0.0.1 vxlan tcp dport { 80, 81 } drop", "udp dport 4789 vxlan ip saddr 10.0.0.1 vxlan tcp dport { 80, 81 } drop"},
		{"", "udp dport 6081 geneve vni 7 accept", "udp dport 6081 geneve vni 7 accept"},
		{"", "tcp flags 0x2 / 0x2,0x10 accept", "tcp flags syn / syn,ack accept"}, // nft -n
		{"", "tcp flags != 0x2,0x10 / 0x2,0x10 drop", "tcp flags != syn,ack / syn,ack drop"},
		{"", "tcp flags & (syn|ack) == syn accept", "tcp flags syn / syn,ack accept"},
		{"", "reject with icmpx type admin-prohibited", "reject with icmpx admin-prohibited"},
		{"", "reject with icmp type host-unreachable", "reject with icmp host-unreachable"},
		{"", "queue num 1-3 bypass", "queue flags bypass to 1-3"},
		{"", "queue flags fanout,bypass to 1-3", "queue flags bypass,fanout to 1-3"},
		{"", "limit rate over 10/second burst 7 packets drop", "limit rate over 10/second burst 7 packets drop"},
		{"", "limit rate until 10 kbytes/minute accept", "limit rate 10 kbytes/minute accept"},
		{"", `log prefix in group 2 drop`, `log prefix "in" group 2 drop`},
		{"", "add @s { ip saddr timeout 30s counter }", "add @s { ip saddr timeout 30s counter }"},
		{"", "set add ip saddr @s", "add @s { ip saddr }"},
		{"", "flow table m { ip saddr limit rate 1/second } accept", "meter m size 0 { ip saddr limit rate 1/second } accept"},
		{"", "@th,16,16 22 accept", "th dport 22 accept"},
		{"", "tcp dport vmap { 22:accept, 80 : jump other }", "tcp dport vmap { 22 : accept, 80 : jump other }"},
		{"", "tcp option mss size set rt mtu", "tcp option maxseg size set rt mtu"},
		{"", "tcp option sack-permitted missing drop", "tcp option sack-perm missing drop"},
		{"", "icmpv6 param-problem 4 accept", "icmpv6 parameter-problem 4 accept"},
		{"", "meta secpath exists accept", "meta ipsec exists accept"},
		{"", `accept comment "x \ y"`, `accept comment "x \ y"`},
		{"", "tcp dport \\\n 22 accept", "tcp dport 22 accept"},
		{"ip", "dnat 10.0.0.1:80", "meta l4proto tcp dnat to 10.0.0.1:80"},
		{"ip", "tcp dport 80 dnat to :8080", "tcp dport 80 dnat to :8080"},
		{"ip", "tcp dport 80 redirect to 8080", "tcp dport 80 redirect to :8080"},
		{"ip", "masquerade persistent,random", "masquerade random,persistent"},
		{"ip", "ip saddr { { 10.0.0.1, 10.0.0.2 }, 10.0.0.3 } accept", "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } accept"},
		{"ip6", "tcp dport 1 dnat to [::1]:80", "tcp dport 1 dnat to [::1]:80"},
	} {
		if c.family == "" {
			c.family = "inet"
		}
		if c.written == "dnat 10.0.0.1:80" {
			c.written = "meta l4proto tcp " + c.written
		}
		head := "table " + c.family + " t {\n set s { type ipv4_addr; flags dynamic,timeout; size 65535; }\n chain other { }\n chain c { type nat hook prerouting priority 0; }\n}\n"
		r := parse(t, head+"add rule "+c.family+" t c "+c.written+"\n")
		if r == nil {
			continue
		}
		table := r.Tables[0]
		chain := table.Chain("c")
		if got := text.Rule(table, chain, chain.Rules[0]); got != c.printed {
			t.Errorf("%s\n is   %s\n want %s", c.written, got, c.printed)
		}
	}
}

func parse(t *testing.T, s string) *rules.Ruleset {
	t.Helper()
	r, err := nfttext.Parse("file", s, nfttext.Options{})
	if err != nil {
		t.Errorf("%s\n%v", s, err)
		return nil
	}
	return r
}

// Each file leaves what nft prints after it was loaded.
func TestFiles(t *testing.T) {
	chain := func(rules ...string) string {
		return "table ip t {\n\tchain c {\n\t\t" + strings.Join(rules, "\n\t\t") + "\n\t}\n}\n"
	}
	base := "table ip t\nadd chain t c\nadd rule t c accept # handle 7\n"
	for _, c := range []struct{ name, file, printed string }{
		{"one command a line", base, chain("accept")},
		{"semicolons", "table t; chain t c; rule t c accept; t c drop", chain("accept", "drop")},
		{"an interpreter", "#!/usr/sbin/nft -f\n\n" + base, chain("accept")},
		{"insert", base + "insert rule t c drop\n", chain("drop", "accept")},
		{"behind a handle", base + "add rule t c drop\nadd rule t c position 7 return\n", chain("accept", "return", "drop")},
		{"in front of an index", base + "add rule t c drop\ninsert rule t c index 1 return\n", chain("accept", "return", "drop")},
		{"replace", base + "replace rule t c handle 7 drop\n", chain("drop")},
		{"delete a rule", base + "add rule t c drop\ndelete rule t c handle 7\n", chain("drop")},
		{"flush a chain", base + "add rule t c ip saddr { 10.0.0.1, 10.0.0.2 } jump { drop; }\nflush chain t c\nadd rule t c drop\n", chain("drop")},
		{"flush a table", base + "flush table t\nadd rule t c drop\n", chain("drop")},
		{"flush the ruleset", "add table ip6 x\n" + base + "flush ruleset\n" + base, chain("accept")},
		{"flush a family", "add table ip6 x\n" + base + "flush ruleset ip6\n", chain("accept")},
		{"delete a table", "table t\ndelete table t\n" + base, chain("accept")},
		{"destroy a table", "destroy table t\n" + base, chain("accept")},
		{"delete a chain", base + "add chain t d\ndelete chain t d\n", chain("accept")},
		{"rename a chain", "table t { chain d { jump e; }; chain e { }; }\nrename chain t e f\n", "table ip t {\n\tchain d {\n\t\tjump f\n\t}\n\n\tchain f {\n\t}\n}\n"},
		{"a set behind the rule that uses it", "table t { chain c { ip saddr @s accept; }; set s { type ipv4_addr; }; }\nflush set t s\n",
			"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\n\tchain c {\n\t\tip saddr @s accept\n\t}\n}\n"},
		{"elements", "table t { set s { elements = { 10.0.0.2, 10.0.0.1 }\n type ipv4_addr\n flags interval; }; }\nadd element t s { 10.0.0.3 }\n",
			"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 10.0.0.1, 10.0.0.2,\n\t\t\t     10.0.0.3 }\n\t}\n}\n"},
		{"variables", "define lan = 10.0.0.0/8\ndefine nets = { $lan, 192.168.0.0/16 }\ndefine port = 22\ntable t {\n define port = 23\n chain c { ip saddr $nets tcp dport $port accept; ip daddr { $nets, 1.1.1.1 } drop; }\n}\nadd rule t c tcp dport $port drop\n",
			chain("ip saddr { 10.0.0.0/8, 192.168.0.0/16 } tcp dport 23 accept", "ip daddr { 1.1.1.1, 10.0.0.0/8, 192.168.0.0/16 } drop", "tcp dport 22 drop")},
		{"a variable again", "define p = 22\n" + base + "redefine p = 23\nadd rule t c tcp dport $p drop\nundefine p\ndefine p = 24\nadd rule t c tcp dport $p drop\n",
			chain("accept", "tcp dport 23 drop", "tcp dport 24 drop")},
		{"variables for names", "define to = other\ndefine prio = -5\ndefine dev = \"eth0\"\ndefine pol = \"drop\"\ntable t { chain other { }; chain c { type filter hook input priority $prio; policy $pol; iifname $dev jump $to; }; }\n",
			"table ip t {\n\tchain other {\n\t}\n\n\tchain c {\n\t\ttype filter hook input priority filter - 5; policy drop;\n\t\tiifname \"eth0\" jump other\n\t}\n}\n"},
		{"variables in a log prefix", "define who = \"me\"\n" + base + "add rule t c log prefix \"$who: \"\n", chain("accept", `log prefix "me: "`)},
		{"the policy behind the chain", "table t; add chain t c { type filter hook input priority filter; }; add chain t c { policy drop; }\n",
			"table ip t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n"},
		{"flags behind a chain", "table t { chain c { }; flags dormant; comment \"x\"; }\n", "table ip t {\n\tflags dormant\n\tcomment \"x\"\n\n\tchain c {\n\t}\n}\n"},
		{"objects", "table t\nadd counter t a\nadd quota t q over 1 kbytes\nadd limit t l { rate 1/second }\nadd synproxy t y mss 1460 wscale 7 timestamp sack-perm\n",
			"table ip t {\n\tcounter a {\n\t\tpackets 0 bytes 0\n\t}\n\n\tquota q {\n\t\tover 1 kbytes\n\t}\n\n\tlimit l {\n\t\trate 1/second\n\t}\n\n\tsynproxy y {\n\t\tmss 1460\n\t\twscale 7\n\t\ttimestamp sack-perm\n\t}\n}\n"},
		{"a chain in a rule", "table t { chain c { ip saddr 10.0.0.1 jump { tcp dport 22 accept; drop; }; }; }\n",
			chain("ip saddr 10.0.0.1 jump {", "\ttcp dport 22 accept", "\tdrop", "}")},
		{"sets of one name", "table t { set s { type mark; }; set d { type mark; }; counter o { }; chain d { }; chain c { }; }\ndelete set t s\nadd set t s { type ipv4_addr; }\ndelete set t d\ndelete counter t o\ndelete chain t d\nadd rule t c accept\n",
			"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n\n\tchain c {\n\t\taccept\n\t}\n}\n"},
		{"handles", "table t { # handle 3\n set s { # handle 4\n type mark\n}\nchain d { # handle 5\n}\n chain c { # handle 6\naccept\n }\n }\ntable ip6 x\ndelete chain t handle 5\ndelete set t handle 4\ndestroy table x\ndestroy table ip6 x\n", chain("accept")},
		{"create", "create table t\ncreate chain t c\nadd rule t c accept\n", chain("accept")},
	} {
		r := parse(t, c.file)
		if r == nil {
			t.Errorf("in %s", c.name)
			continue
		}
		if got := text.Ruleset(r); got != c.printed {
			t.Errorf("%s is\n%swant\n%s", c.name, got, c.printed)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"table", "1:6: expected the name of a table, not the end of the text"},
		{"table inet x {", "1:15: expected }, not the end of the text"},
		{"table inet x { chain c { vxlan ip saddr 10.0.0.1 } }", "1:26: a rule that looks into this tunnel has to name a port of udp before"},
		{"table inet x { chain c { gre ether saddr 00:11:22:33:44:55 } }", "1:26: gre carries no link header"},
		{"table inet x { chain c { gre ip saddr set 10.0.0.1 } }", "1:26: the packet in a tunnel can't be written to"},
		{"table inet x { chain c { tcp dport vmap { 2-5 : drop, 1-2 : accept } } }", "1:43: the element overlaps another of the map"},
		{"table inet x { chain c { meta mark set tcp dport map { 2 : 1, 2 : 2 } } }", "1:63: the element overlaps another of the map"},
		{"table inet x { foo }", "1:16: expected a chain, set, map, flowtable or object, not foo"},
		{"table inet x {\n\tchain c {\n\t\ttcp dport\n\t}\n}\n", "3:12: expected a value, not the end of the line"},
		{"table inet x { chain c { tcp dprt 22 } }", "1:30: expected a field of tcp, not dprt"},
		{"table inet x { chain c { tcp dport 22 acept } }", "1:39: expected a statement, not acept"},
		{"table inet x { chain c { ct sate new } }", "1:29: expected a key of ct, not sate"},
		{"table inet x { chain c { type filter hook inpt priority 0 } }", "1:43: expected a hook of family inet, not inpt"},
		{"table inet x { chain c { type filter hook input priority foo } }", "1:58: expected a priority: a number, or a name that family inet has at hook input, not foo"},
		{"table inet x { chain c { log prefix \"x } }", `1:37: expected a second quotation mark (") before the end of the text`},
		{"table inet x { chain c { policy foo; } }", "1:33: expected accept or drop, not foo"},
		{"table x { chain c { accept } } }", "1:32: expected a command, such as table inet filter { … }, not }"},
		{"table x { set s { flags interval; } }", "1:11: expected a set with type or typeof"},
		{"table x { set s { type ipv5_addr; } }", "1:24: expected the name of a type, such as ipv4_addr, not ipv5_addr"},
		{"table x { set s { type ipv4_addr; timeout 10y; } }", "1:45: expected the end of the line or ;, not y"},
		{"table x { set s { type mark; type mark; } }", "1:30: expected this only once in a block"},
		{"table x { counter c { packets 1 } limit l { } }", "1:35: expected the end of the line or ;, not limit"},
		{"table x { limit l { } }", "1:11: expected what the limit does, in braces"},
		{"table x\nchain x c\nadd rule x c ip saddr { 1.2.3.4 5.6.7.8 }", "3:33: expected timeout, expires, comment, counter, limit, quota, last or ct count, or the end of the element, not 5.6.7.8"},
		{"add rule x c accept", "1:14: no table ip x so far"},
		{"add rule x c $y", "1:15: expected the name of a variable, and y is not defined"},
		{"add rule x c limit rate 10/fortnight", "1:28: expected second, minute, hour, day or week, not fortnight"},
		{"add rule x c limit rate 10 gbytes/second", "1:25: expected a number of bytes, kbytes or mbytes, not of gbytes"},
		{"add rule x c limit rate 18446744073709551615 mbytes/second", "1:25: expected fewer bytes"},
		{"add rule x c counter \x00", `1:22: expected a statement, not "\x00"`},
		{"add rule x c é", `1:14: expected a statement, not "\u00e9"`},
		{"add rule x c meter m { ip saddr }", "1:24: expected a key and one statement for it"},
		{"add rule x c tcp option foo exists", "1:25: expected a TCP option's name or number, not foo"},
		{"add rule x c @nh,0,0 5", "1:20: expected a length of 1 to 512 bits, not 0"},
		{"add rule x c queue flags foo", "1:26: expected bypass or fanout, not foo"},
		{"add rule x c " + strings.Repeat("(", 100), "1:79: expected at most 64 brackets or operators in one another"},
		{"add rule x c meta mark 1" + strings.Repeat("|1", 100), "1:24: expected at most 64 operators"},
		{"table x { chain c { accept counter; } }", "1:28: expected the end of the rule, not counter"},
		{"table x { chain c { tcp dport accept; } }", "1:31: expected a value, not accept"},
		{"table x { chain c { tcp dport vmap { 22 : jump d, 23 : jump d }; } }", "1:43: table x has no chain \"d\""},
		{"table x { chain c { counter name \"d\"; } }", "1:34: table x has no counter \"d\" so far"},
		{"table x { chain c { " + strings.Repeat("counter ", 129) + "; } }", "1:1045: expected at most 128 statements in a rule"},
		{"list ruleset", "1:1: expected a command that makes or changes rules, not list"},
		{"delete element x y { 1 }", "1:8: expected a command without elements: taking single ones away is not read"},
		{"delete table x", "1:14: no table ip x so far"},
		{"table x\ndelete chain x c", "2:14: table x has no such chain so far"},
		{"table x\ncreate table x", "2:14: expected a new table: this one is there already"},
		{"define x = 1\ndefine x = 2", "2:8: expected a new name: x is defined already"},
		{"undefine z", "1:10: expected the name of a variable that is defined in this block, not z"},
		{"include \"/etc/nftables/*.nft\"", `1:9: expected a text without include: "/etc/nftables/*.nft" is another file, and none is read here`},
		{"\r \n", `1:1: expected a command, such as table inet filter { … }, not "\r"`},
	} {
		_, err := nfttext.Parse("file", c.text, nfttext.Options{})
		var syntax *rules.SyntaxError
		if !errors.As(err, &syntax) || err.Error() != "file:"+c.want {
			t.Errorf("%q\n is   %v\n want file:%s", c.text, err, c.want)
		}
	}
}

func TestInclude(t *testing.T) {
	files := map[string][]nfttext.File{
		"defines.nft": {{Name: "/etc/defines.nft", Text: "define port = 22\n"}},
		"d/*.nft":     {{Name: "d/a.nft", Text: "chain a { tcp dport $port accept; }\n"}, {Name: "d/b.nft", Text: "chain b { jump a\n}"}},
		"bad.nft":     {{Name: "d/bad.nft", Text: "chain x {\n foo\n}\n"}},
		"self.nft":    {{Name: "self.nft", Text: `include "self.nft"`}},
		"none/*":      {},
	}
	o := nfttext.Options{Include: func(pattern string) ([]nfttext.File, error) {
		if list, ok := files[pattern]; ok {
			return list, nil
		}
		return nil, fmt.Errorf("%s is not there", pattern)
	}}
	r, err := nfttext.Parse("main", "include \"defines.nft\"\ninclude \"none/*\"\ntable ip t {\n include \"d/*.nft\"\n}\n", o)
	if err != nil {
		t.Fatal(err)
	}
	want := "table ip t {\n\tchain a {\n\t\ttcp dport 22 accept\n\t}\n\n\tchain b {\n\t\tjump a\n\t}\n}\n"
	if got := text.Ruleset(r); got != want {
		t.Errorf("is\n%swant\n%s", got, want)
	}
	if a := r.Tables[0].Chains[0].Rules[0]; a.About().File != "d/a.nft" || a.Line != 1 {
		t.Errorf("the rule is of %s:%d", a.About().File, a.Line)
	}
	for s, want := range map[string]string{
		"table t {\n include \"bad.nft\"\n}": "d/bad.nft:2:2: expected a statement, not foo",
		`include "self.nft"`:                 "self.nft:1:9: expected at most 16 files that include one another",
		`include "else.nft"`:                 "main:1:9: expected a file that can be included: else.nft is not there",
	} {
		if _, err := nfttext.Parse("main", s, o); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
}

// What variables stand for is counted: a few lines can't become millions of values.
func TestVariablesAreBounded(t *testing.T) {
	wide := "define a0 = { 1.1.1.1, 1.1.1.2 }\n"
	deep := "define a0 = (1)\n"
	for i := range 100 {
		wide += fmt.Sprintf("define a%d = { $a%d, $a%d }\n", i+1, i, i)
		deep += fmt.Sprintf("define a%d = ($a%d)\n", i+1, i)
	}
	for _, s := range []string{wide, deep} {
		if _, err := nfttext.Parse("file", s, nfttext.Options{}); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%.60s: %v", s, err)
		}
	}
}

// Rules that are alike have their expressions together, but for what is a rule's own.
func TestAlikeRulesShare(t *testing.T) {
	r := parse(t, "table t { chain a { }; chain c {\n counter tcp dport 22 jump a\n counter tcp dport 22 jump a\n}\n}\n")
	if r == nil {
		return
	}
	rs := r.Tables[0].Chain("c").Rules
	for i := range rs[0].Exprs.All() {
		a, b := rs[0].Exprs.All()[i], rs[1].Exprs.All()[i]
		own := a.Name() == "counter" || a.Name() == "cmp"
		if (a == b) == own {
			t.Errorf("%s is shared: %v", a.Name(), a == b)
		}
	}
}
