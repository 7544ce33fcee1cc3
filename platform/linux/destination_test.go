//go:build linux

package linux

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestSortDestinations has the examples of RFC 6724, 10.2, in so far as glibc's
// table agrees, and one row for each rule.
func TestSortDestinations(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		// Each pair is a destination and its source; - is no source.
		{"1: no way", "2001:db8::1 - 198.51.100.1 198.51.100.9", "198.51.100.1 2001:db8::1"},
		{"2: scope of the source", "2001:db8:1::1 fe80::1 198.51.100.121 198.51.100.117", "198.51.100.121 2001:db8:1::1"},
		{"2: link-local to link-local", "198.51.100.121 169.254.13.78 2001:db8:1::1 2001:db8:1::2", "2001:db8:1::1 198.51.100.121"},
		{"5: label", "2002:c633:6401::1 2001:db8::2 2001:db8:1::1 2001:db8:1::2", "2001:db8:1::1 2002:c633:6401::1"},
		{"6: loopback first", "127.0.0.1 127.0.0.1 ::1 ::1", "::1 127.0.0.1"},
		{"6: IPv6 first", "10.1.2.3 10.1.2.4 2001:db8:1::1 2001:db8:1::2", "2001:db8:1::1 10.1.2.3"},
		{"8: smaller scope", "2001:db8:1::1 2001:db8:1::2 fe80::1 fe80::2", "fe80::1 2001:db8:1::1"},
		{"9: longest prefix", "2001:db8:3ffe::1 2001:db8:1::2 2001:db8:1::1 2001:db8:1::2", "2001:db8:1::1 2001:db8:3ffe::1"},
		{"10: as given", "10.2.0.1 10.1.0.1 10.1.0.9 10.1.0.1", "10.2.0.1 10.1.0.9"},
	} {
		if got := sorted(t, test.in, glibcPolicy()); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	// The line that many hosts have to prefer IPv4.
	prefer := parseGaiConf([]byte("#label ::1/128 0\nprecedence ::ffff:0:0/96  100 # IPv4 first\nprecedence x/96 1\nprecedence ::/0 y\nprecedence ::/0\n"))
	if got := sorted(t, "2001:db8:1::1 2001:db8:1::2 10.1.2.3 10.1.2.4", prefer); got != "10.1.2.3 2001:db8:1::1" {
		t.Errorf("with gai.conf: %s", got)
	}
	label := parseGaiConf([]byte("label 10.0.0.0/8 7\n"))
	if got := lookup(label.label, netip.MustParseAddr("10.1.1.1")); got != 7 || len(label.label) != 1 {
		t.Errorf("label of 10.1.1.1 is %d", got)
	}
}

func sorted(t *testing.T, pairs string, table policy) string {
	t.Helper()
	var list []destination
	var address, source string
	for rest := pairs; rest != ""; {
		n, err := fmt.Sscan(rest, &address, &source)
		if n != 2 || err != nil {
			t.Fatal(err)
		}
		d := destination{address: netip.MustParseAddr(address)}
		if source != "-" {
			d.source = netip.MustParseAddr(source)
		}
		list = append(list, d)
		rest = rest[min(len(rest), len(address)+len(source)+2):]
	}
	sortDestinations(list, table)
	out := ""
	for _, d := range list {
		out += " " + d.address.String()
	}
	return out[1:]
}

func TestScope(t *testing.T) {
	for address, want := range map[string]int{"127.0.0.1": 2, "169.254.1.1": 2, "10.0.0.1": 14, "::1": 2, "fe80::1": 2, "fec0::1": 5, "2001:db8::1": 14, "ff02::1": 2, "ff05::1": 5} {
		if got := scope(netip.MustParseAddr(address)); got != want {
			t.Errorf("scope(%s) = %d, want %d", address, got, want)
		}
	}
}
