//go:build linux

package linux

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/ipset"
)

const ipsetText = `create a hash:net,iface timeout 100 counters comment skbinfo
add a 10.0.0.0/8,physdev:eth0 nomatch comment "x y" skbmark 0x1/0x2 skbprio 1:2 skbqueue 3 timeout 0
add a 0.0.0.0/0,eth wildcard timeout 0
create b bitmap:ip,mac range 10.0.0.0/16
add b 10.0.0.3,01:02:03:0A:05:06
add b 10.0.0.4
create c bitmap:port range 1-100
add c 4-7
create d hash:ip,port,net family inet6
add d fe80::1,tcp:80,10::/16
add d fe80::1,icmpv6:echo-request,10::1
add d fe80::1,icmpv6:77/9,10::/16
add d fe80::1,47:0,10::/16
add d fe80::1,254:0,10::/16
create e hash:ip netmask 24 maxelem 70000
add e 1.2.3.4
create f bitmap:ip range 10.0.0.0-10.0.255.255 netmask 24
add f 10.0.5.5
create g hash:net,port
add g 10.0.0.0/8,udp:1-3
add g 1.1.1.1,icmp:3/4
create h hash:ip,port,ip
add h 1.1.1.1,sctp:3,2.2.2.2
create i hash:net
add i 10.0.0.0/8 
create many hash:ip
create l list:set size 8
add l a
add l c
`

// The same sets read from the kernel and from what ipset save writes are the
// same model; single entries are asked for as ipset test does.
func TestIPSetsLikeSave(t *testing.T) {
	if _, err := exec.LookPath("ipset"); err != nil {
		t.Skip("needs ipset")
	}
	inOwnNamespace(t, func() {
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		ctx := context.Background()
		if sets, err := h.IPSets(ctx); err != nil || len(sets) != 0 {
			t.Errorf("a new namespace has %+v, %v", sets, err)
		}
		var many strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&many, "add many 10.1.%d.%d\n", i>>8, i&0xff)
		}
		run(t, ipsetText+many.String(), "ipset", "restore")
		live, err := h.IPSets(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		saved, err := ipset.Parse("saved", run(t, "", "ipset", "save"))
		if err != nil {
			t.Error(err)
			return
		}
		if len(live) != len(saved) || len(live) != 11 {
			t.Errorf("%d sets, saved %d", len(live), len(saved))
			return
		}
		for i, s := range saved {
			s.Index = live[i].Index
			for _, set := range []*rules.IPSet{s, live[i]} {
				slices.SortFunc(set.Elements, func(a, b rules.IPSetElement) int { return strings.Compare(a.Entry, b.Entry) })
			}
			if !reflect.DeepEqual(s, live[i]) {
				t.Errorf("saved %.3000s\nlive %.3000s", fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", live[i]))
			}
		}
		heads, err := h.Firewall(ctx)
		if err != nil || len(heads.Rules.IPSets) != len(live) {
			t.Errorf("%+v, %v", heads, err)
			return
		}
		for i, s := range live {
			want := rules.IPSet{Name: s.Name, Index: s.Index, Type: s.Type, Family: s.Family, Unread: true}
			if got := *heads.Rules.IPSets[i]; !reflect.DeepEqual(got, want) {
				t.Errorf("without a look into it: %+v, want %+v", got, want)
			}
		}
		if full, err := host.WithIPSets(ctx, h, heads); err != nil || !reflect.DeepEqual(full.Rules.IPSets[0].Options, live[0].Options) {
			t.Errorf("%+v, %v", full, err)
		}
		for i, want := range map[int]error{0: host.ErrTimesOut, 4: nil} { // a, e
			entry := map[string]string{"a": "11.1.1.1,eth7", "e": "1.2.3.9"}[live[i].Name]
			if got, err := h.TestIPSet(ctx, live[i], entry, true); !errors.Is(err, want) || got != (want == nil) {
				t.Errorf("%s %s lasts: %v, %v", live[i].Name, entry, got, err)
			}
		}
		for _, c := range []struct {
			set, entry string
			want       bool
		}{
			{"a", "11.1.1.1,eth7", true}, {"a", "11.1.1.1,physdev:eth0", false}, {"a", "10.1.1.1,physdev:eth0", false},
			{"b", "10.0.0.4,01:02:03:0A:05:06", true}, {"b", "10.0.0.3,01:02:03:0A:05:07", false},
			{"c", "7", true}, {"c", "8", false},
			{"d", "fe80::1,tcp:80,10::77", true}, {"d", "fe80::1,icmpv6:1/2,10::77", false},
			{"e", "1.2.3.9", true}, {"e", "1.2.4.9", false}, {"f", "10.0.5.1", true},
			{"g", "10.7.7.7,udp:2", true}, {"g", "10.7.7.7,udp:4", false},
			{"h", "1.1.1.1,sctp:3,2.2.2.2", true}, {"i", "10.9.9.9", true}, {"many", "10.1.7.7", true}, {"many", "10.2.7.7", false},
		} {
			i := slices.IndexFunc(live, func(s *rules.IPSet) bool { return s.Name == c.set })
			if got, err := h.TestIPSet(ctx, live[i], c.entry, false); err != nil || got != c.want {
				t.Errorf("%s %s: %v, %v", c.set, c.entry, got, err)
			}
		}
		if _, err := h.TestIPSet(ctx, &rules.IPSet{Name: "nosuch", Type: "hash:ip", Family: rules.IP}, "1.1.1.1", false); err == nil {
			t.Error("a set that isn't there was tested")
		}
	})
}
