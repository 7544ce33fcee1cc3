package ipset

import (
	"errors"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

func TestParse(t *testing.T) {
	list, err := Parse("f", []byte(`# a comment
create a hash:net,iface family inet hashsize 1024 maxelem 65536 timeout 100 counters comment skbinfo bucketsize 12 initval 0xc399b1d2
add a 10.0.0.0/8,physdev:eth0 timeout 0 packets 1 bytes 2 comment "x  y" skbmark 0x1/0x2 skbprio 1:2 skbqueue 3 nomatch
create -exist p bitmap:port range 1-100
-A p 4-7
create v6 hash:ip,port family inet6
add v6 fe80::1,ipv6-icmp:echo-request
add v6 fe80::2,80
add v6 fe80::2,80 -exist
del v6 fe80::2,80
create l list:set size 4
add l a
add l p before a
create gone hash:ip
rename gone gone2
swap gone2 p
destroy p
COMMIT
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 4 || list[0].Family != rules.IP || list[1].Family != 0 || list[2].Family != rules.IP6 || list[1].Name != "gone2" {
		t.Fatalf("%+v", list)
	}
	e := list[0].Elements[0]
	if !e.NoMatch() || e.Options.Map()["comment"] != "x  y" || e.Options.Map()["skbqueue"] != "3" || list[0].Options["timeout"] != "100" || len(list[2].Elements) != 2 {
		t.Errorf("%+v %+v", e, list[2].Elements)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ text, where, message string }{
		{"foo", "1:1", "expected create"},
		{"create", "1:7", "expected the name of a set"},
		{"create a", "1:9", "expected the type"},
		{"create a hash:foo", "1:10", "expected a type of set"},
		{"create " + strings.Repeat("a", 32) + " hash:ip", "1:8", "expected a name of 1 to 31"},
		{"create a hash:ip foo", "1:18", "expected an option of create"},
		{"create a hash:ip timeout", "1:25", "expected a value of timeout"},
		{"create a hash:ip timeout x", "1:10", "expected a number for timeout"},
		{"create a hash:ip family x", "1:25", "expected a family"},
		{"create a bitmap:ip family inet6 range 1.1.1.1/24", "1:27", "expected a family"},
		{"create a bitmap:port", "1:21", "expected a range"},
		{"create a bitmap:port range x", "1:10", "expected a port"},
		{"create a hash:ip netmask 33", "1:10", "expected a netmask of 1 to 32"},
		{"create a hash:ip\ncreate a hash:ip", "2:8", "expected a new name"},
		{"add a 1.1.1.1", "1:5", "expected a set that is created above"},
		{"create a hash:ip\nadd a", "2:6", "expected an entry"},
		{"create a hash:ip\nadd a x", "2:7", "expected an IPv4 address"},
		{"create a hash:ip\nadd a ::1", "2:7", "expected an IPv4 address"},
		{"create a hash:ip\nadd a 1.1.1.1,2", "2:7", "expected no more than 1 parts"},
		{"create a hash:ip,port\nadd a 1.1.1.1", "2:7", "expected 2 parts"},
		{"create a hash:ip,port\nadd a 1.1.1.1,foo:1", "2:7", "expected a protocol"},
		{"create a hash:ip,port\nadd a 1.1.1.1,gre:1", "2:7", "expected port 0"},
		{"create a hash:ip,port\nadd a 1.1.1.1,icmp:foo", "2:7", "expected an ICMP type/code"},
		{"create a hash:ip,port\nadd a 1.1.1.1,icmpv6:1/0", "2:7", "expected a protocol of IPv4"},
		{"create a hash:mac\nadd a 01:02", "2:7", "expected a MAC address"},
		{"create a hash:ip\nadd a 1.1.1.1 foo", "2:15", "expected an option of add"},
		{"create a hash:ip\nadd a 1.1.1.1 timeout x", "2:23", "expected a number of seconds"},
		{"create a hash:ip\nadd a 1.1.1.1 comment", "2:22", "expected a value of comment"},
		{"create a hash:ip\nadd a 1.1.1.1 comment \"x", "2:23", "expected a closing quote"},
		{"create a hash:ip\ndel a 1.1.1.1", "2:7", "expected an entry of set a"},
		{"create a hash:ip\nrename a", "2:9", "expected the names of two sets"},
		{"create a hash:ip\nswap a b", "2:8", "expected the name of another set"},
		{"create a hash:ip\nrename a a", "2:10", "expected the name of no other set"},
		{"create a hash:ip\nflush a b", "2:9", "expected the end"},
		{"a\x00", "1:2", "NUL"},
	} {
		_, err := Parse("file", []byte(c.text))
		var syntax *rules.SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), "file:"+c.where+": ") || !strings.Contains(syntax.Message, c.message) {
			t.Errorf("%q: %v, want %s: %s", c.text, err, c.where, c.message)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("create a hash:net,iface timeout 1\nadd a 10.0.0.0/8,eth0 nomatch timeout 3\n")
	f.Add("create a bitmap:ip,mac range 1.0.0.0/24 netmask 30\nadd a 1.0.0.1-1.0.0.9,01:02:03:04:05:06\n")
	f.Add("create a hash:net,port,net family inet6\nadd a ::1/64,tcp:1-9,::/3\ncreate l list:set\nadd l a\nadd l l")
	f.Add("create a hash:ip,mark markmask 3 maxelem 9\nadd a 0.0.0.0-255.255.255.255,7")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse("f", []byte(text))
		var syntax *rules.SyntaxError
		if err != nil {
			if !errors.As(err, &syntax) || syntax.Line < 1 || syntax.Column < 1 {
				t.Fatal(err)
			}
			return
		}
		sets := New(list)
		for _, s := range list {
			for _, el := range s.Elements {
				k := kinds[s.Type]
				if k.dims[0] == dimSet {
					continue
				}
				sp, err := k.parseEntry(s.Family, el.Entry)
				if err != nil {
					t.Fatal(err)
				}
				one, err := k.parseEntry(s.Family, k.format(&sp.member))
				if err != nil || k.format(&one.member) != k.format(&sp.member) {
					t.Fatalf("%s: %q became %q: %v", s.Type, el.Entry, k.format(&sp.member), err)
				}
			}
			q, p := Question{Dim: 3, Src: [3]bool{true, true, true}}, packet(s.Family)
			sets.Contains(s.Name, q, p)
		}
	})
}
