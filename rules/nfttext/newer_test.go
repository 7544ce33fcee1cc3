package nfttext_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nfttext"
)

// What nft 1.0.9 and later write, and 1.0.6 doesn't know, refuses no file: it is
// either right, as nftables' own tests have it, or opaque.
func TestNewer(t *testing.T) {
	const icmpv6 = "meta load nfproto => reg 1 | cmp eq reg 1 0x0000000a | meta load l4proto => reg 1 | cmp eq reg 1 0x0000003a | payload load 1b @ transport header + 0 => reg 1 | "
	for _, c := range []struct{ rule, want string }{
		{"icmpv6 type nd-neighbor-solicit icmpv6 taddr 2001:db8::133",
			icmpv6 + "cmp eq reg 1 0x00000087 | payload load 16b @ transport header + 8 => reg 1 | cmp eq reg 1 0xb80d0120 0x00000000 0x00000000 0x33010000"},
		{"icmpv6 taddr 2001:db8::133",
			icmpv6 + "lookup reg 1 set __set%d | payload load 16b @ transport header + 8 => reg 1 | cmp eq reg 1 0xb80d0120 0x00000000 0x00000000 0x33010000"},
		{"icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } icmpv6 taddr 2001:db8::133",
			icmpv6 + "lookup reg 1 set __set%d | payload load 16b @ transport header + 8 => reg 1 | cmp eq reg 1 0xb80d0120 0x00000000 0x00000000 0x33010000"},
		{"icmpv6 daddr 2001:db8::133",
			icmpv6 + "cmp eq reg 1 0x00000089 | payload load 16b @ transport header + 24 => reg 1 | cmp eq reg 1 0xb80d0120 0x00000000 0x00000000 0x33010000"},
		{"icmpv6 type { nd-neighbor-solicit, echo-request } icmpv6 taddr ::1", icmpv6 + "lookup reg 1 set __set%d | opaque payload"},
		{"meta mark set ip dscp | 0x40 accept", "opaque bitwise | immediate reg 0 accept"},
		{"ct mark set ip6 dscp | 0xff000000", "opaque bitwise"},
		{"tunnel id 10", "opaque tunnel"},
		{"tunnel path exists", "opaque tunnel"},
		{"tunnel name \"v\"", "objref type 6 name v"},
		{"limit rate over 1025 bytes/ second", "limit rate 1025/second burst 0 type bytes flags 0x1"},
		{"tcp option mptcp subtype . tcp dport { mp-join . 100 }", "meta load l4proto => reg 1 | cmp eq reg 1 0x00000006 | exthdr load tcpopt 1b @ 30 + 2 => reg 1 | " +
			"bitwise reg 1 = ( reg 1 & 0x000000f0 ) ^ 0x00000000 | bitwise reg 1 = ( reg 1 >> 0x00000004 ) | payload load 2b @ transport header + 2 => reg 9 | lookup reg 1 set __set%d"},
		{"fib saddr oifname @devices", "fib saddr oifname => reg 1 | lookup reg 1 set devices"},
		{"meta l4proto @protocols tproxy to :1088", "meta load l4proto => reg 1 | lookup reg 1 set protocols | immediate reg 1 0x00004004 | tproxy port reg 1"},
		{"udp dport 4789 vxlan ip saddr @inside", "meta load l4proto => reg 1 | cmp eq reg 1 0x00000011 | payload load 2b @ transport header + 2 => reg 1 | cmp eq reg 1 0x0000b512 | " +
			"inner type 1 hdrsize 8 flags f [ meta load protocol => reg 1 ] | cmp eq reg 1 0x00000008 | inner type 1 hdrsize 8 flags f [ payload load 4b @ network header + 12 => reg 1 ] | lookup reg 1 set inside"},
		{"queue flags bypass to ip saddr map @queues", "meta load nfproto => reg 1 | cmp eq reg 1 0x00000002 | payload load 4b @ network header + 12 => reg 1 | lookup reg 1 set queues dreg 1 | queue sreg_qnum 1 bypass"},
	} {
		text := `table inet t {
	set devices { type ifname; }
	set protocols { typeof meta l4proto; elements = { tcp, udp }; }
	set inside { typeof vxlan ip saddr; elements = { 10.0.0.1 }; }
	map queues { typeof ip saddr : queue; elements = { 10.0.0.1 : 7 }; }
	map tunnels { typeof ip saddr : tunnel; elements = { 10.0.0.1 : "v" }; }
	tunnel v {
		id 20
		vxlan {
			gbp 200
		}
	}
	chain c {
		` + c.rule + `
	}
}
`
		set, err := nfttext.Parse("f", text, nfttext.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		table := set.Tables[0]
		if len(table.SetDoubts) > 0 {
			t.Error(table.SetDoubts)
		}
		var got []string
		for _, e := range table.Chain("c").Rules[0].Exprs.All() {
			if o, ok := e.(*rules.Opaque); ok {
				got = append(got, "opaque "+o.Kind)
			} else {
				got = append(got, bytecode(table, e))
			}
		}
		if !slices.Equal(got, strings.Split(c.want, " | ")) {
			t.Errorf("%s:\n got  %s\n want %s", c.rule, strings.Join(got, " | "), c.want)
		}
	}
}
