package plan

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRange(t *testing.T) {
	for _, c := range []struct {
		text string
		want Range
		ok   bool
	}{
		{"80", One(80), true}, {"8000-8010", Range{8000, 8010}, true}, {"1-65535", Range{1, 65535}, true},
		{"", Range{}, false}, {"0", Range{}, false}, {"65536", Range{}, false}, {"8010-8000", Range{}, false}, {"80-", Range{}, false},
		{"-80", Range{}, false}, {"1-2-3", Range{}, false}, {"+80", Range{}, false}, {"80 ", Range{}, false}, {"８０", Range{}, false},
	} {
		got, err := ParseRange(c.text)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("ParseRange(%q) = %v, %v", c.text, got, err)
		}
	}
}

func TestRangeIsWrittenAsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint16Min(1).Draw(t, "first")
		r := Range{first, rapid.Uint16Min(first).Draw(t, "last")}
		if got, err := ParseRange(r.String()); got != r || err != nil {
			t.Fatalf("%v: %v, %v", r, got, err)
		}
	})
}

func TestConflicts(t *testing.T) {
	at := func(address, network string, ports Range) Claim {
		c := Claim{Network: network, Ports: ports}
		if address != "*" {
			c.Address = netip.MustParseAddr(address)
		}
		return c
	}
	for _, c := range []struct {
		name string
		a, b Claim
		want Range
	}{
		{"same", at("*", "tcp", One(80)), at("*", "tcp", One(80)), One(80)},
		{"other network", at("*", "tcp", One(53)), at("*", "udp", One(53)), Range{}},
		{"other port", at("*", "tcp", One(80)), at("*", "tcp", One(81)), Range{}},
		{"ranges", at("*", "tcp", Range{8000, 8010}), at("*", "tcp", Range{8010, 8020}), One(8010)},
		{"other address", at("127.0.0.1", "tcp", One(80)), at("127.0.0.2", "tcp", One(80)), Range{}},
		{"wildcard", at("0.0.0.0", "tcp", One(80)), at("127.0.0.2", "tcp", One(80)), One(80)},
		{"wildcards of both families", at("0.0.0.0", "tcp", One(80)), at("::", "tcp", One(80)), One(80)},
		{"dual stack", at("::", "tcp", One(80)), at("10.0.0.1", "tcp", One(80)), One(80)},
		{"families", at("::1", "tcp", One(80)), at("0.0.0.0", "tcp", One(80)), Range{}},
		{"mapped", at("::ffff:10.0.0.1", "tcp", One(80)), at("10.0.0.1", "tcp", One(80)), One(80)},
	} {
		for _, pair := range [][]Claim{{c.a, c.b}, {c.b, c.a}} {
			got := Conflicts(pair)
			if len(got) == 0 && c.want == (Range{}) {
				continue
			}
			if len(got) != 1 || got[0].Ports != c.want || got[0].Second != pair[1] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
	other := at("*", "tcp", One(80))
	other.Host = "db"
	if got := Conflicts([]Claim{at("*", "tcp", One(80)), other}); len(got) != 0 {
		t.Errorf("on other hosts: %v", got)
	}
}

func TestClaimIsNamed(t *testing.T) {
	c := Claim{Network: "udp", Ports: Range{8000, 8010}, Service: "web", Name: "media"}
	if c.String() != "*:8000-8010/udp" || c.Who() != "web.media" {
		t.Errorf("%s, %s", c, c.Who())
	}
	c.Address, c.Name = netip.MustParseAddr("::1"), ""
	if c.String() != "[::1]:8000-8010/udp" || c.Who() != "web" {
		t.Errorf("%s, %s", c, c.Who())
	}
}
