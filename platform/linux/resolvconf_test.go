//go:build linux

package linux

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
)

func TestParseResolvConf(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"usual", "# by hand\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nsearch a.example b.example.\noptions ndots:2 edns0 use-vc\n", "[10.0.0.1@2 fe80::1%eth0@3] [a.example b.example] 2 true"},
		{"the last search holds", "search a b\ndomain c d\n", "[] [c] 1 false"},
		{"empty", "", "[] [] 1 false"},
		{"bad address", "nameserver x\nnameserver\nnameserver 1.2.3\n", "[] [] 1 false"},
		{"bad option", "options ndots:99 ndots:\noptions\n", "[] [] 0 false"},
		{"ndots is capped", "options ndots:99\n", "[] [] 15 false"},
		{"ndots below zero", "options ndots:-1\n", "[] [] 0 false"},
		{"comments", "; nameserver 1.1.1.1\n#nameserver 1.1.1.1\n", "[] [] 1 false"},
		{"root", "search .\n", "[] [] 1 false"},
	} {
		conf := parseResolvConf([]byte(test.in))
		var servers []string
		for _, s := range conf.servers {
			servers = append(servers, fmt.Sprintf("%s@%d", s.Address, s.Line))
		}
		got := fmt.Sprintf("%v %v %d %v", servers, conf.search, conf.ndots, conf.useTCP)
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestParseNsswitch(t *testing.T) {
	for _, test := range []struct{ name, in, want, words string }{
		{"default", "passwd: files\n", "files(+++) dns(+++)", "files dns"},
		{"Debian desktop", "hosts:          files mdns4_minimal [NOTFOUND=return] dns\n", "files(+++) mdns4_minimal(-++) dns(+++)", "files mdns4_minimal [NOTFOUND=return] dns"},
		{"Fedora", "hosts: files myhostname resolve [!UNAVAIL=return] dns # x\n", "files(+++) myhostname(+++) resolve(-+-) dns(+++)", "files myhostname resolve [!UNAVAIL=return] dns"},
		{"no space", "hosts:files[notfound=return unavail=return]dns", "files(--+) dns(+++)", "files [notfound=return unavail=return] dns"},
		{"continue again", "hosts: a [!UNAVAIL=return TRYAGAIN=continue] b", "a(-++) b(+++)", "a [!UNAVAIL=return TRYAGAIN=continue] b"},
		{"bad action", "hosts: [X=return] a [ODD=return foo] b [unclosed", "a(+++) b(+++)", "[X=return] a [ODD=return foo] b"},
		{"nothing", "hosts:\n", "", ""},
	} {
		services, words := parseNsswitch([]byte(test.in))
		var parts []string
		for _, s := range services {
			flags := ""
			for _, status := range []string{"notfound", "unavail", "tryagain"} {
				if s.onward[status] {
					flags += "+"
				} else {
					flags += "-"
				}
			}
			parts = append(parts, s.name+"("+flags+")")
		}
		if got := strings.Join(parts, " "); got != test.want || strings.Join(words, " ") != test.words {
			t.Errorf("%s: %s, %v; want %s, %s", test.name, got, words, test.want, test.words)
		}
	}
}

func TestHostsLines(t *testing.T) {
	const file = `127.0.0.1	localhost
# 10.0.0.9 db
10.0.0.1 db1 DB.example.org	db # 10.0.0.8 db
::1 localhost ip6-localhost
bad db
10.0.0.2
10.0.0.3 xdb dbx
::ffff:10.0.0.4 db
10.0.0.5 DB
`
	var got []string
	for _, l := range hostsLines("/etc/hosts", []byte(file), "db") {
		got = append(got, fmt.Sprintf("%d %s %v", l.Line, l.Address, l.Names))
	}
	want := []string{"3 10.0.0.1 [db1 DB.example.org db]", "8 10.0.0.4 [db]", "9 10.0.0.5 [DB]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := hostsLines("h", []byte(strings.Repeat("10.0.0.1 db\n", 100)), "db"); len(got) != maxHostsLines {
		t.Errorf("%d lines", len(got))
	}
}

func TestHostsAddresses(t *testing.T) {
	line := func(s string) host.HostsLine { return host.HostsLine{Address: netip.MustParseAddr(s)} }
	lines := []host.HostsLine{line("10.0.0.1"), line("10.0.0.2"), line("10.0.0.1"), line("::1"), line("2001:db8::1")}
	if got := fmt.Sprint(hostsAddresses(lines, true)); got != "[10.0.0.1 10.0.0.2 ::1 2001:db8::1]" {
		t.Error(got)
	}
	if got := fmt.Sprint(hostsAddresses(lines, false)); got != "[10.0.0.1]" {
		t.Error(got)
	}
	if !multiOn([]byte("order hosts\nmulti on\n")) || multiOn([]byte("multi on\nmulti off\n")) || multiOn([]byte("multi\n")) || multiOn(nil) {
		t.Error("multi is misread")
	}
}

func TestLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "127.1": "127.0.0.1", "0x7f.1": "127.0.0.1", "2130706433": "127.0.0.1", "017700000001": "127.0.0.1",
		"10.0.258": "10.0.1.2", "::1": "::1", "fe80::1%eth0": "fe80::1%eth0", "0": "0.0.0.0",
		"": "", "1.2.3.4.5": "", "256.1": "", "1.2.3.256": "", "08": "", "1_0.1": "", "0b1": "", "0o7": "", "a": "", "1..2": "", "-1": "", "4294967296": "", "x.1": "",
	} {
		got, ok := literal(in)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("literal(%q) = %v, %v; want %q", in, got, ok, want)
		}
	}
}

func TestCandidates(t *testing.T) {
	conf := resolvConf{ndots: 2, search: []string{"a.example", "", "b.example"}}
	for name, want := range map[string]string{
		"db":        "[db.a.example db.b.example db]",
		"db.x":      "[db.x.a.example db.x.b.example db.x]",
		"db.x.y":    "[db.x.y db.x.y.a.example db.x.y.b.example]",
		"db.":       "[db]",
		"db.x.y.z.": "[db.x.y.z]",
	} {
		if got := fmt.Sprint(candidates(name, conf)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a.b": true, "a.": true, "_srv._tcp.x": true, strings.Repeat("a", 63) + ".b": true,
		"": false, ".": false, "a..b": false, "a b": false, "a/b": false, "ä": false, "\x1b[0m": false, "*.x": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 126) + "a": true, strings.Repeat("a.", 126) + "aa": false,
	} {
		if validName(name) != want {
			t.Errorf("validName(%q) = %v", name, !want)
		}
	}
}

func FuzzResolverFiles(f *testing.F) {
	for _, seed := range []string{"nameserver ::1\nsearch a\noptions ndots:x", "hosts: a [!B=return] c", "::1 localhost\n1.2.3.4 db", "multi on", "precedence ::1/128 50\nlabel ::/0 1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		conf := parseResolvConf(data)
		if conf.ndots < 0 || conf.ndots > 15 || len(conf.search) > maxSearch {
			t.Fatalf("%+v", conf)
		}
		_, words := parseNsswitch(data)
		for _, word := range append(words, conf.search...) {
			if word != host.Clean([]byte(word), len(word)) {
				t.Fatalf("not clean: %q", word)
			}
		}
		for _, l := range hostsLines("h", data, "db") {
			if !l.Address.IsValid() || l.Line < 1 {
				t.Fatalf("%+v", l)
			}
		}
		multiOn(data)
		policy := parseGaiConf(data)
		lookup(policy.label, netip.IPv6Loopback())
		if a, ok := literal(string(data)); ok && !a.IsValid() {
			t.Fatal("a literal that is none")
		}
	})
}
