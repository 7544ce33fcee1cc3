package owner

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

func TestElement(t *testing.T) {
	for _, c := range []struct{ name, set, rule, want string }{
		{"one address", "type ipv4_addr\n elements = { 10.0.0.8, 10.0.0.9 }", "ip saddr @s drop", "10.0.0.9"},
		{"with a timeout", "type ipv4_addr\n flags timeout\n elements = { 10.0.0.9 timeout 1h expires 30m }", "ip saddr @s drop", "10.0.0.9, which ends in 30m0s"},
		{"a network", "type ipv4_addr\n flags interval\n elements = { 9.0.0.0/8, 10.0.0.0/25, 11.0.0.0/8 }", "ip saddr @s drop", "10.0.0.0/25"},
		{"a range", "type ipv4_addr\n flags interval\n elements = { 10.0.0.3-10.0.0.17 }", "ip saddr @s drop", "10.0.0.3-10.0.0.17"},
		{"up to the last address", "type ipv4_addr\n flags interval\n elements = { 10.0.0.0-255.255.255.255 }", "ip saddr @s drop", "10.0.0.0-255.255.255.255"},
		{"another network", "type ipv4_addr\n flags interval\n elements = { 10.0.0.0/30 }", "ip saddr @s drop", ""},
		{"the destination", "type ipv4_addr\n elements = { 10.0.0.5 }", "ip daddr @s drop", "10.0.0.5"},
		{"not in the set", "type ipv4_addr\n elements = { 10.0.0.8 }", "ip saddr != @s drop", ""},
		{"with a comment", "type ipv4_addr\n elements = { 10.0.0.9 comment \"scans\" }", "ip saddr @s drop", "10.0.0.9"},
		{"of two fields", "type ipv4_addr . inet_service\n elements = { 10.0.0.9 . 8080 }", "ip saddr . tcp dport @s drop", ""},
		{"of the other family", "type ipv6_addr\n elements = { 2001:db8::1 }", "ip6 saddr @s drop", ""},
	} {
		set := parse(t, fmt.Sprintf("table inet f {\n set s { %s\n }\n chain c { %s\n }\n}\n", c.set, c.rule))
		o := (&Facts{Rules: set}).Of(culprit(t, set, "drop"), flow4)
		got, fix := "", ""
		if len(o.Evidence) > 0 {
			got = o.Evidence[0].Value
		}
		if len(o.Fixes) > 0 {
			fix = strings.Join(o.Fixes[0].Commands[0], " ")
		}
		want := ""
		if entry, _, _ := strings.Cut(c.want, ","); entry != "" {
			want = "nft delete element inet f s { " + entry + " }"
		}
		if got != c.want || fix != want {
			t.Errorf("%s: %q, fix %q; want %q", c.name, got, fix, c.want)
		}
	}
}

func TestIPSetEntry(t *testing.T) {
	for _, c := range []struct{ kind, entries, match, want string }{
		{"hash:ip", "10.0.0.8 10.0.0.9", "src", "10.0.0.9"},
		{"hash:net", "10.0.0.0/8 10.0.0.0/24 10.0.1.0/24", "src", "10.0.0.0/24"},
		{"hash:net", "10.0.0.5", "dst", "10.0.0.5"},
		{"hash:net", "10.0.0.5", "src", ""},
		{"hash:ip,port", "10.0.0.9,tcp:8080", "src,dst", ""},
	} {
		set := parse(t, filter("", "-A INPUT -m set --match-set s "+c.match+" -j DROP"))
		ipset := &rules.IPSet{Name: "s", Type: c.kind, Known: true}
		for e := range strings.FieldsSeq(c.entries) {
			ipset.Elements = append(ipset.Elements, rules.IPSetElement{Entry: e})
		}
		set.IPSets = []*rules.IPSet{ipset}
		o := (&Facts{Rules: set}).Of(culprit(t, set, "DROP"), flow4)
		got := ""
		if len(o.Evidence) > 0 {
			got = o.Evidence[0].Value
		}
		if got != c.want || (len(o.Fixes) > 0) != (c.want != "") {
			t.Errorf("%s of %s: %q, want %q, fixes %v", c.match, c.entries, got, c.want, o.Fixes)
		}
	}
}

// The range that is named is the one that was written, wherever in it the address is.
func TestElementRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var written []string
		var of []string
		at := uint32(0)
		for range rapid.IntRange(1, 5).Draw(t, "ranges") {
			first := at + uint32(rapid.IntRange(1, 300).Draw(t, "gap"))
			at = first + uint32(rapid.IntRange(0, 300).Draw(t, "size"))
			a, b := v4(first), v4(at)
			written = append(written, span(a.AsSlice(), b.AsSlice()))
			of = append(of, v4(first+uint32(rapid.IntRange(0, int(at-first)).Draw(t, "address"))).String())
			at++
		}
		set, err := parseSet(strings.Join(written, ", "))
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range of {
			found := inSet(set, netip.MustParseAddr(a).AsSlice())
			if found == nil || found.text != written[i] {
				t.Fatalf("%s in %v: %+v, want %s", a, written, found, written[i])
			}
		}
		if found := inSet(set, v4(at).AsSlice()); found != nil {
			t.Fatalf("%s is in none of %v: %+v", v4(at), written, found)
		}
	})
}

func v4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func parseSet(elements string) (*rules.Set, error) {
	set, err := parseRules("table inet f {\n set s { type ipv4_addr; flags interval; elements = { " + elements + " }; }\n}\n")
	if err != nil {
		return nil, err
	}
	return set.Tables[0].Sets[0], nil
}

// FuzzFiles: whatever is in the files, the line is one of the file, and there is
// no panic.
func FuzzFiles(f *testing.F) {
	for _, s := range []string{userRules, user6Rules, publicZone, "[web]\n[sshd]\nenabled = true\n", "DEFAULT_INPUT_POLICY=\"DROP\"", "table inet f {\n chain in {\n policy drop;\n ip saddr @bad drop\n }\n}\n",
		"*filter\n:INPUT DROP [0:0]\n-A INPUT -j REJECT\nCOMMIT\n", "<zone><rule><drop/>", "### tuple ### deny any any any any any in!_"} {
		f.Add(s)
	}
	live := filter("ufw-user-input f2b-web", "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n-A f2b-web -s 10.0.0.9/32 -j REJECT\n-A INPUT -j REJECT")
	iptables, err := parseRules(live)
	if err != nil {
		f.Fatal(err)
	}
	nft, err := parseRules("table inet firewalld {\n chain filter_IN_public_deny { drop\n }\n chain filter_IN_public { reject\n }\n}\ntable inet f {\n chain in { type filter hook input priority 0; policy drop; ip saddr 10.0.0.9 drop\n }\n}\n")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var list []host.File
		for _, path := range []string{"/etc/ufw/user.rules", "/etc/default/ufw", "/etc/nftables.conf", "/etc/iptables/rules.v4", "/etc/firewalld/zones/public.xml", "/etc/fail2ban/jail.local"} {
			list = append(list, host.File{Path: path, Text: s})
		}
		for _, set := range []*rules.Ruleset{iptables, nft} {
			facts := &Facts{Rules: set, Files: list}
			for _, want := range []string{"22", "10.0.0.9", "reject", "REJECT", "drop", "policy INPUT", "policy in"} {
				at, ok := find(set, want)
				if !ok {
					continue
				}
				o := facts.Of(at, flow4)
				if o.Line < 0 || o.Line > 1+strings.Count(s, "\n") {
					t.Fatalf("%s: line %d of %q", want, o.Line, s)
				}
			}
		}
	})
}
