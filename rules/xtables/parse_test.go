package xtables

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

func parse(t *testing.T, text string) *rules.Table {
	t.Helper()
	set, err := Parse("f", []byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	return set.Tables[0]
}

func TestRule(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"-A INPUT", "{}"},
		{"-A INPUT -s 10.1.2.3/8 -j ACCEPT", "{src 0a000000/ff000000} accept"},
		{"-A INPUT ! -d 10.1.2.3 -i eth+ -j DROP", "{dst 0a010203/ffffffff in eth+ inv 10} drop"},
		{"-A INPUT -s 0.0.0.0/0 ! -i eth0 -f -j RETURN", "{in eth0 inv 1 flags 1} return"},
		{"-AOUTPUT --out-interface lo -p udp -g c", "{out lo proto 17 flags 2} goto c"},
		{"-A INPUT -p tcp --dport 22 -j c", "{proto 6} tcp jump c"},
		{"-A INPUT -p tcp -m mark --mark 1 --dport 22 -j c", "{proto 6} mark tcp jump c"},
		{"--append=INPUT -p tcp -m tcp --dport=22 ! --sport=1:2", "{proto 6} tcp"},
		{"-A INPUT ! -p TCP -j QUEUE", "{proto 6 inv 40} queue"},
		{"-A INPUT -m account --aaddr 1.2.3.4/8 ! -p 6 -j c", "{proto 6 inv 40} match:account jump c"},
		{"-A INPUT -s 10,11/8 -j ECHO", "{src 0a000000/ffffffff} target:ECHO | {src 0b000000/ff000000} target:ECHO"},
		{"-I INPUT -s 10,11/8 -j ECHO", "{src 0b000000/ff000000} target:ECHO | {src 0a000000/ffffffff} target:ECHO"},
		{"-A INPUT -j c -m mark -p udp --mark 5 --sport 7", "{proto 17} mark udp jump c"},
		{"-A INPUT -s 10.0.0.1/255.0.255.0", "{src 0a000000/ff00ff00}"},
	} {
		table := parse(t, "*filter\n:c -\n"+c.line+"\nCOMMIT\n")
		var got []string
		for _, chain := range table.Chains {
			for i, r := range chain.Rules {
				got = append(got, describe(r))
				if int(r.Number) != i+1 || r.Line != 3 || r.Text != c.line || r.About().File != "f" {
					t.Errorf("%s: number %d, line %d, text %q", c.line, r.Number, r.Line, r.Text)
				}
			}
		}
		if s := strings.Join(got, " | "); s != c.want {
			t.Errorf("%s: %s, want %s", c.line, s, c.want)
		}
	}
}

// describe is a rule in few words.
func describe(r *rules.Rule) string {
	var list []string
	for _, e := range r.Exprs.All() {
		switch e := e.(type) {
		case *rules.IPTables:
			list = append(list, "{"+describeHead(e)+"}")
		case *rules.Match:
			list = append(list, e.Ext)
		case *rules.Immediate:
			kind := map[rules.VerdictKind]string{rules.Accept: "accept", rules.Drop: "drop", rules.Return: "return",
				rules.Queue: "queue", rules.Jump: "jump", rules.Goto: "goto"}[e.Verdict.Kind]
			list = append(list, strings.TrimSpace(kind+" "+e.Verdict.Chain))
		default:
			list = append(list, e.Name())
		}
	}
	return strings.Join(list, " ")
}

func describeHead(h *rules.IPTables) string {
	var s []string
	add := func(show bool, format string, args ...any) {
		if show {
			s = append(s, fmt.Sprintf(format, args...))
		}
	}
	add(h.SrcMask != nil, "src %x/%x", h.Src, h.SrcMask)
	add(h.DstMask != nil, "dst %x/%x", h.Dst, h.DstMask)
	add(h.In != "", "in %s", h.In)
	add(h.Out != "", "out %s", h.Out)
	add(h.Proto != 0, "proto %d", h.Proto)
	add(h.Inv != 0, "inv %x", h.Inv)
	add(h.Flags != 0, "flags %x", h.Flags)
	return strings.Join(s, " ")
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		text, where, message string
	}{
		{"-A INPUT", "1:1", "expected a table"},
		{"*filtre\nCOMMIT", "1:2", "expected a table: raw"},
		{"*filter\n-A INPUT", "3:1", "expected COMMIT"},
		{"*filter\n*nat", "2:1", "expected COMMIT"},
		{"*filter\nCOMMIT\n*filter\nCOMMIT", "3:2", "table filter is there twice"},
		{"*filter\n:INPUT", "2:7", "expected a policy"},
		{"*filter\n:INPUT REJECT", "2:8", "expected a policy"},
		{"*filter\n:c ACCEPT", "2:4", "expected -"},
		{"*filter\n:c - [1:]", "2:6", "expected counters"},
		{"*filter\n:c - [1:1] x", "2:12", "expected the end"},
		{"*filter\n:" + strings.Repeat("c", 29) + " -", "2:2", "expected a chain's name of at most 28"},
		{"*filter\n-N c\n-N c", "3:4", "chain c is there already"},
		{"*filter\nfoo", "2:1", "expected a command"},
		{"*filter\n[1:1]", "2:6", "expected a command"},
		{"*filter\n[1:x] -A INPUT", "2:1", "expected counters"},
		{"*filter\n-A", "2:3", "expected a chain's name"},
		{"*filter\n-A c", "2:4", "expected a chain of table filter"},
		{"*filter\n-A INPUT -j c", "2:13", "expected a target, or a chain"},
		{"*filter\n-A INPUT -j INPUT", "2:13", "expected a chain of the user"},
		{"*filter\n-A INPUT -g ACCEPT", "2:13", "expected a target, or a chain"},
		{"*filter\n-A INPUT -s", "2:12", "expected a value behind -s"},
		{"*filter\n-A INPUT -s host", "2:13", "not an IPv4 address"},
		{"*filter\n-A INPUT -s 1.2.3.4/33", "2:13", "not a mask"},
		{"*filter\n-A INPUT ! -s 1,2", "2:15", "expected one address behind !"},
		{"*filter\n-A INPUT -s 1 -s 2", "2:15", "-s is there twice"},
		{"*filter\n-A INPUT -j ACCEPT -g c", "2:20", "-g is there twice"},
		{"*filter\n-A INPUT -p nosuch", "2:13", "expected a protocol"},
		{"*filter\n-A INPUT -o eth0", "2:13", "expected no -o"},
		{"*filter\n-A INPUT -i 1234567890123456", "2:13", "expected a device's name"},
		{"*filter\n-A INPUT ! -j ACCEPT", "2:12", "expected no !"},
		{"*filter\n-A INPUT !", "2:10", "expected an option behind !"},
		{"*filter\n-A INPUT --dport 22", "2:10", "expected an option"},
		{"*filter\n-A INPUT -p tcp --dport 70000", "2:17", "70000"},
		{"*filter\n-A INPUT -m mark", "2:13", "mark"},
		{"*filter\n-A INPUT -m nosuch", "2:13", "expected a match of iptables-extensions(8)"},
		{"*filter\n-A INPUT -m comment --comment \"a", "2:31", "expected a closing quote"},
		{"*filter\n-A INPUT -c 1", "2:14", "expected a number of bytes"},
		{"*filter\n-I INPUT 2", "2:10", "expected the number of a rule, 1 to 1"},
		{"*filter\n-D INPUT 1", "2:10", "expected the number of a rule"},
		{"*filter\n-D INPUT -j ACCEPT", "2:1", "expected a rule that is in chain INPUT"},
		{"*filter\n:c -\n-A INPUT -j c\n-X c", "4:4", "expected an empty chain"},
		{"*filter\n-P INPUT x", "2:10", "expected a policy"},
		{"*filter\n-F INPUT x", "2:10", "expected the end"},
		{"*filter\n-A INPUT\x00", "2:9", "NUL"},
	} {
		_, err := Parse("file", []byte(c.text), 0)
		var syntax *rules.SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), "file:"+c.where+": ") || !strings.Contains(syntax.Message, c.message) {
			t.Errorf("%q: %v, want %s: %s", c.text, err, c.where, c.message)
		}
	}
}

func TestFamily(t *testing.T) {
	const empty = "*filter\nCOMMIT\n"
	for _, c := range []struct {
		file, text string
		family     rules.Family
		want       rules.Family
		backend    rules.Backend
	}{
		{"f", empty, 0, rules.IP, rules.IptablesLegacy},
		{"/etc/iptables/rules.v6", empty, 0, rules.IP6, rules.IptablesLegacy},
		{"/etc/ufw/before6.rules", empty, 0, rules.IP6, rules.IptablesLegacy},
		{"host6.rules", empty, 0, rules.IP, rules.IptablesLegacy},
		{"srv6.txt", empty, 0, rules.IP, rules.IptablesLegacy},
		{"f", empty, rules.IP6, rules.IP6, rules.IptablesLegacy},
		{"f", "# Generated by ip6tables-save v1.8.9 on Tue\n" + empty, 0, rules.IP6, rules.IptablesLegacy},
		{"rules.v6", "# Generated by iptables-save v1.8.9 (nf_tables) on Tue\n" + empty, 0, rules.IP, rules.IptablesNFT},
		{"f", "# Generated by iptables-nft-save v1.8.9 (nf_tables) on Tue\n" + empty, 0, rules.IP, rules.IptablesNFT},
		{"f", "# Generated by Shorewall6 5\n*filter\n-A INPUT -s fe80::1\nCOMMIT\n", 0, rules.IP6, rules.IptablesLegacy},
		{"f", "*filter\n-A INPUT -p ipv6-icmp\nCOMMIT\n", 0, rules.IP6, rules.IptablesLegacy},
		{"rules.v6", "*filter\n-A INPUT -d 10.0.0.1/32\nCOMMIT\n", 0, rules.IP, rules.IptablesLegacy},
	} {
		set, err := Parse(c.file, []byte(c.text), c.family)
		if err != nil || set.Tables[0].Family != c.want || set.Tables[0].Backend != c.backend {
			t.Errorf("%+v: %+v, %v", c, set, err)
		}
	}
	both := "# Generated by iptables-save v1\n" + empty + "# Generated by ip6tables-save v1\n" + empty + "# Generated by iptables-save v1 (nf_tables)\n" + empty
	if set, err := Parse("f", []byte(both), 0); err != nil || len(set.Tables) != 3 || set.Tables[1].Family != rules.IP6 {
		t.Errorf("%+v, %v", set, err)
	}
	if _, err := Parse("f", []byte(both), rules.IP); err == nil || !strings.HasPrefix(err.Error(), "f:4:1: expected rules of family ip") {
		t.Error(err)
	}
	if _, err := Parse("f", []byte(empty), rules.Bridge); err == nil {
		t.Error("family bridge is read")
	}
}

func TestOtherFamilysRules(t *testing.T) {
	table := parse(t, "*filter\n-4 -A INPUT -j ACCEPT\n-6 -A INPUT -s ::1\n--ipv6 -A INPUT\nCOMMIT\n")
	if n := len(table.Chain("INPUT").Rules); n != 1 {
		t.Errorf("%d rules", n)
	}
}

func TestCommands(t *testing.T) {
	table := parse(t, `*filter
:INPUT DROP [1:2]
-N a
:b - [0:0]
:c - [0:0]
-A a -j ACCEPT
-A a -j DROP
-I a -j RETURN
-I a 2 -j b
-D a 1
-D a -j DROP
-R a 1 -j c
-A b -j DROP
-F b
-X b
[5:6] -A c -j DROP
-Z c
-P FORWARD DROP
COMMIT
`)
	var got []string
	for _, c := range table.Chains {
		for _, r := range c.Rules {
			got = append(got, c.Name+" "+describe(r))
		}
	}
	if s := strings.Join(got, "; "); s != "a {} jump c; a {} accept; c {} drop" {
		t.Error(s)
	}
	if in := table.Chain("INPUT"); in.Policy != "drop" || in.Packets != 1 || in.Bytes != 2 || table.Chain("FORWARD").Policy != "drop" || table.Chain("b") != nil {
		t.Errorf("%+v", in)
	}
	if r := table.Chain("c").Rules[0]; !r.About().Counted || r.About().Packets != 0 {
		t.Errorf("%+v", r)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("*filter\n:INPUT DROP [1:2]\n:c - [0:0]\n[3:4] -A INPUT -s 10.0.0.0/8 -p tcp -m tcp ! --dport 22 -j c\nCOMMIT\n")
	f.Add("*nat\n-I PREROUTING -i eth+ -m comment --comment \"a \\\" b\" -g c\nCOMMIT")
	f.Add("*mangle\n-N c\n-A c -s ::1,fe80::/10 -d 2001:db8::1\n-D c 1\n-X\n-F\n-Z\nCOMMIT")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := Parse("f", []byte(text), 0)
		var syntax *rules.SyntaxError
		if err != nil {
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Column < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, table := range set.Tables {
			for _, c := range table.Chains {
				for i, r := range c.Rules {
					if int(r.Number) != i+1 || len(r.Exprs.All()) == 0 || r.Line == 0 {
						t.Fatalf("rule %+v", r)
					}
				}
			}
		}
	})
}
