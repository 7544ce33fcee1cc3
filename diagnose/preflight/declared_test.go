package preflight

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/portwhy/portwhy/diagnose/plan"
)

// want reads "service [address] ports/network [any] [xN] [>TARGET]".
func want(t testing.TB, text string) Declared {
	t.Helper()
	d := Declared{Kind: "compose", Project: "p", V6Only: true}
	for i, word := range strings.Fields(text) {
		ports, network, isPorts := strings.Cut(word, "/")
		_, err := netip.ParseAddr(word)
		switch {
		case i == 0:
			d.Service = word
		case isPorts:
			d.Network = network
			r, err := plan.ParseRange(ports)
			if err != nil {
				t.Fatal(err)
			}
			d.Ports = r
		case word == "any":
			d.Any = true
		case word[0] == 'x':
			fmt.Sscanf(word, "x%d", &d.Replicas)
		case word[0] == '>':
			fmt.Sscanf(word, ">%d", &d.Target)
		case err == nil:
			d.Address = netip.MustParseAddr(word)
		default:
			d.Named = word
		}
	}
	return d
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		all  []string
		want string
	}{
		{[]string{"web 80/tcp", "api 80/tcp"}, "0-1 80"},
		{[]string{"web 80/tcp", "api 81/tcp"}, ""},
		{[]string{"web 80/tcp", "api 80/udp"}, ""},
		{[]string{"web 80/tcp", "web 80/tcp"}, ""},
		{[]string{"web 80/tcp >80", "web 80/tcp >81"}, "0-1 80"},
		{[]string{"web 8000-8010/tcp", "api 8010-8020/tcp"}, "0-1 8010"},
		{[]string{"api 8003/tcp", "web 8000-8010/tcp"}, "0-1 8003"},
		{[]string{"web 127.0.0.1 80/tcp", "api 80/tcp"}, "0-1 80"},
		{[]string{"web 127.0.0.1 80/tcp", "api 127.0.0.2 80/tcp"}, ""},
		{[]string{"web 127.0.0.1 80/tcp", "api 0.0.0.0 80/tcp"}, "0-1 80"},
		{[]string{"web 127.0.0.1 80/tcp", "api ::1 80/tcp"}, ""},
		{[]string{"web 0.0.0.0 80/tcp", "api :: 80/tcp"}, ""}, // containers' IPv6 sockets leave IPv4 alone
		{[]string{"web db.example 80/tcp", "api db.example 80/tcp"}, "0-1 80"},
		{[]string{"web db.example 80/tcp", "api 80/tcp"}, "0-1 80"},
		{[]string{"web db.example 80/tcp", "api 10.0.0.1 80/tcp"}, ""},
		{[]string{"web 80/tcp x2"}, "0-0 80"},
		{[]string{"web 8000-8001/tcp any x2"}, ""},
		{[]string{"web 8000-8001/tcp any x3"}, "0-0 8000-8001"},
		{[]string{"web 8000-8010/tcp any", "api 8003/tcp"}, ""},
		{[]string{"web 8000-8001/tcp any", "api 7000-9000/tcp"}, "0-1 8000-8001"},
		{[]string{"web 8000-8001/tcp any", "a 8000/tcp", "b 8001/tcp"}, "2-0 8001"},
		{[]string{"web 8000-8002/tcp any", "a 8000/tcp", "b 8001/tcp"}, ""},
		{[]string{"web 8000-8002/tcp any x2", "a 8000/tcp", "b 8001/tcp"}, "2-0 8001"},
		{[]string{"a 1/tcp", "b 1/tcp", "c 1/tcp"}, "0-1 1, 0-2 1, 1-2 1"},
	} {
		var all []Declared
		for _, text := range c.all {
			all = append(all, want(t, text))
		}
		var got []string
		for _, x := range conflicts(all) {
			got = append(got, fmt.Sprintf("%d-%d %s", x.first, x.second, x.ports))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%q: %q, want %q", c.all, s, c.want)
		}
	}
}

func TestOtherKindsMeet(t *testing.T) {
	a, b := want(t, "web 0.0.0.0 80/tcp"), want(t, "api :: 80/tcp")
	a.Kind, b.Kind, b.V6Only = "nginx", "systemd", false
	if got := conflicts([]Declared{a, b}); len(got) != 1 {
		t.Errorf("[::] of a unit takes IPv4 as well: %v", got)
	}
	a.Environment, b.Environment = "dev", "prod"
	if got := conflicts([]Declared{a, b}); len(got) != 0 {
		t.Errorf("two environments: %v", got)
	}
}

// Comparing neighbours finds what comparing all with all finds.
func TestConflictsAgainstAllPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.Custom(func(t *rapid.T) Declared {
			first := rapid.Uint16Range(1, 30).Draw(t, "first")
			d := Declared{Kind: "compose"}
			d.Service, d.Network = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service"), rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "network")
			d.Ports = plan.Range{First: first, Last: first + rapid.Uint16Range(0, 5).Draw(t, "more")}
			switch a := rapid.SampledFrom([]string{"", "0.0.0.0", "::", "127.0.0.1", "::1", "name"}).Draw(t, "address"); a {
			case "":
			case "name":
				d.Named = a
			default:
				d.Address = netip.MustParseAddr(a)
			}
			return d
		})
		all := rapid.SliceOfN(gen, 0, 12).Draw(t, "all")
		pairs := 0
		for i := range all {
			for j := range i {
				_, x := clash(all[j], all[i])
				_, y := clash(all[i], all[j])
				if x != y {
					t.Fatalf("%v and %v: the order counts", all[i], all[j])
				}
				if x {
					pairs++
				}
			}
		}
		if got := conflicts(all); len(got) != pairs {
			t.Fatalf("%d conflicts, want %d", len(got), pairs)
		}
	})
}
