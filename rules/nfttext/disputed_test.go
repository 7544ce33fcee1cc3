package nfttext

import (
	"strconv"
	"strings"
	"testing"
)

// Elements that nft refuses, because a key has two answers, are not known; such that say
// the same twice are.
func TestDisputedElements(t *testing.T) {
	for _, c := range []struct {
		set   string
		count int
	}{
		{"map s { type inet_service : verdict; flags interval; elements = { 1-3 : accept, 3-5 : drop } }", -1},
		{"map s { type inet_service : verdict; flags interval; elements = { 1-3 : accept, 1-3 : drop } }", -1},
		{"map s { type inet_service : verdict; flags interval; elements = { 1-3 : accept, 1-3 : accept } }", 3},
		{"map s { type inet_service : verdict; elements = { 1 : accept, 2 : drop, 1 : drop } }", -1},
		{"map s { type inet_service : mark; elements = { 1 : 2, 2 : 3, 1 : 2 } }", 3},
		{"map s { type inet_service : mark; elements = { 1 : 2, * : 3 } }", 2},
		{"map s { type inet_service : verdict; flags interval; elements = { 1-3 : accept, 4-5 : drop } }", 5},
		{"set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 10.1.0.0/16 } }", -1},
		{"set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 10.0.0.0/8 } }", 3},
		{"set s { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8, 10.1.0.0/16 } }", 3},
		{"set s { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.1 } }", 2},
		{"chain c { tcp dport vmap { 1-3 : accept, 1-3 : accept, 4 : drop, * : drop } }", 5},
		{"chain c { ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept, 10.0.0.2 . 80 : drop } }", 2},
		{"chain c { ip saddr . tcp dport vmap { 10.0.0.1 . 22 : accept, 10.0.0.1 . 22 : drop } }", -1},
		{"chain c { ip saddr { 10.0.0.0/8, 10.1.0.0/16 } }", 3},
	} {
		set, err := Parse("f", "table ip t {\n"+c.set+"\n}\n", Options{})
		if err != nil {
			t.Errorf("%s: %v", c.set, err)
			continue
		}
		if s := set.Tables[0].Sets[0]; s.Count != c.count || s.Known != (c.count >= 0) {
			t.Errorf("%s: %d elements, known: %v; want %d", c.set, s.Count, s.Known, c.count)
		} else if why := set.Tables[0].SetDoubts[s.Name]; (why == "elements of it overlap, which nft refuses") != (c.count < 0) {
			t.Errorf("%s: not known as %q", c.set, why)
		}
	}
}

// Declaring a set or flowtable again adds to it, if it is the same.
func TestDeclaredAgain(t *testing.T) {
	for _, c := range []struct{ first, again, err, want string }{
		{"set s { type ipv4_addr; elements = { 10.0.0.1 } }", "set s { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }", "", "2"},
		{"set s { type ipv4_addr; counter; }", "set s { type ipv4_addr; counter; elements = { 10.0.0.2 } }", "", "1"},
		{"set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }", "set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 11.0.0.1 } }", "", "5"},
		{"map s { type mark : verdict; elements = { 1 : drop } }", "map s { type mark : verdict; elements = { 1 : accept } }", "", "-1"},
		{"set s { type ipv4_addr; }", "set s { type ipv6_addr; }", "2:1: set s is there already, and not of this kind", ""},
		{"set s { type ipv4_addr; }", "set s { type ipv4_addr; counter; }", "2:1: set s is there already, and not of this kind", ""},
		{"flowtable f { hook ingress priority 0; devices = { a }; }", "flowtable f { hook ingress priority 0; devices = { a, b }; }", "", "a b"},
	} {
		set, err := Parse("f", "table ip t { "+c.first+"\n"+c.again+"\n}\n", Options{})
		if c.err != "" {
			if err == nil || err.Error() != "f:"+c.err {
				t.Errorf("%s: %v, want %s", c.again, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.again, err)
			continue
		}
		got := ""
		for _, s := range set.Tables[0].Sets {
			got += strconv.Itoa(s.Count)
		}
		for _, f := range set.Tables[0].Flowtables {
			got += strings.Join(f.Devices, " ")
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.again, got, c.want)
		}
	}
}
