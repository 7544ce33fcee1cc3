package redact

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// constants are the bytes that rules compare, in order.
func constants(set *rules.Ruleset) (list [][]byte) {
	for _, table := range set.Tables {
		for _, c := range table.Chains {
			for _, rule := range c.Rules {
				for _, e := range rule.Exprs.All() {
					if cmp, ok := e.(*rules.Cmp); ok && len(cmp.Data) >= 3 {
						list = append(list, cmp.Data)
					}
				}
			}
		}
	}
	return list
}

// Addresses of links and of ARP are known where they stand in their headers.
func TestLinkAddressesInRules(t *testing.T) {
	plain, redacted, r := both(t, make([]byte, KeySize), `table bridge f {
	chain c { type filter hook input priority 0; policy accept;
		ether saddr 52:54:00:12:34:56 drop
		ether daddr & ff:ff:ff:00:00:00 == 52:54:00:00:00:00 drop
		ether type arp arp saddr ip 10.1.2.3 drop
		ether type ip ip saddr 10.1.2.3 drop
		ether type ip6 ip6 saddr fd00::5 drop
	}
}
`, "table arp f {\nchain c { type filter hook input priority 0; policy accept;\narp daddr ether 52:54:00:12:34:56 drop\n}\n}\n")
	link := func(s string) []byte {
		mac, err := net.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return r.addresses.hardware(mac)
	}
	ip := func(s string) []byte { return r.addresses.addr(netip.MustParseAddr(s)).AsSlice() }
	whole := link("52:54:00:12:34:56")
	want := [][]byte{whole, append(bytes.Clone(whole[:3]), 0, 0, 0), ip("10.1.2.3"), ip("10.1.2.3"), ip("fd00::5"), whole}
	before, after := constants(plain), constants(redacted)
	if len(after) != len(want) {
		t.Fatalf("%d constants: %x, before %x; want %d", len(after), after, before, len(want))
	}
	for i := range want {
		// A comparison with a part may be of as many bytes only.
		if !bytes.Equal(after[i], want[i][:len(after[i])]) || bytes.Equal(after[i], before[i]) {
			t.Errorf("constant %d was %x and became %x, want %x", i, before[i], after[i], want[i])
		}
	}
}

// A key that was looked up in a set is mapped as the set's elements are.
func TestElementsThatWereAskedFor(t *testing.T) {
	in := []byte(`{"schema":"portwhy.snapshot/v1","answers":[{"view":0,"question":"info","args":null,"answer":{"OS":"linux"}},
		{"view":0,"question":"firewall","args":null,"answer":{"Rules":{"Tables":[{"Backend":"nft","Family":2,"Name":"t","Chains":[{"Name":"c","Rules":[
			{"Exprs":[{"payload":{"Base":1,"Offset":12,"Len":4}},{"lookup":{"Set":"s"}}]}]}],"Sets":[{"Name":"s","KeyLen":4}]}]}}},
		{"view":0,"question":"set-element","args":{"Family":2,"Table":"t","Set":"s","Key":"CgECAw=="},"answer":{"Key":"CgECAw==","Comment":"password=hunter2x"}},
		{"view":0,"question":"set-element","args":{"Family":2,"Table":"t","Set":"other","Key":"CgECAw=="},"answer":null}]}`)
	r := testRedactor()
	out, err := r.Snapshot(in)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("hunter2x")) {
		t.Errorf("a comment still has a secret:\n%s", out)
	}
	// What is in a set that no rule and no type tells of stays, and is said.
	if n := bytes.Count(out, []byte("CgECAw==")); n != 1 {
		t.Errorf("the address is there %d times, want once:\n%s", n, out)
	}
	if kept := r.Summary().Kept; len(kept) != 1 || kept[0].Count != 1 {
		t.Errorf("kept: %+v", kept)
	}
}
