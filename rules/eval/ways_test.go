package eval

import (
	"maps"
	"slices"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// anywhere is a ruleset with an expression of each kind at every hook.
func anywhere(pick byte) *rules.Ruleset {
	all := expressions()
	list := slices.Sorted(maps.Keys(all))
	hooks := map[rules.Family][]rules.Hook{
		rules.IP:     {rules.Prerouting, rules.Input, rules.Forward, rules.Output, rules.Postrouting},
		rules.ARP:    {rules.Input, rules.Output, rules.Forward},
		rules.Netdev: {rules.Ingress, rules.Egress},
	}
	hooks[rules.IP6], hooks[rules.Bridge] = hooks[rules.IP], hooks[rules.IP]
	set := &rules.Ruleset{}
	n := int(pick)
	for _, family := range []rules.Family{rules.IP, rules.IP6, rules.ARP, rules.Netdev, rules.Bridge} {
		for _, hook := range hooks[family] {
			n++
			t := onDevices(standAt(family, hook, int32(n%3-1), append(slices.Clone(all[list[n%len(list)]]), drop)...), "p1", "p2", "br0", "lo")
			t.Chains[0].Rules = append(t.Chains[0].Rules,
				&rules.Rule{Exprs: rules.ListOf(&rules.Payload{Base: uint32(n % 4), Offset: uint32(n % 30), Len: 4}, &rules.Payload{Base: 0, Offset: 6, Len: 6, Write: true})},
				&rules.Rule{Exprs: rules.ListOf(&rules.Inner{Type: uint32(n % 5), Flags: uint32(n % 16), HdrSize: 8, Exprs: rules.Exprs{&rules.Payload{Base: uint32(n % 5), Len: 4}}})})
			t.Sets = []*rules.Set{{Name: "s", KeyLen: 4, Known: true}}
			set.Tables = append(set.Tables, t)
		}
	}
	return set
}

// Whatever comes along any way, the walk ends with an answer, and an unknown one
// has a reason.
func FuzzWays(f *testing.F) {
	f.Add(byte(0), byte(0), byte(0), make([]byte, 14), packet().Data)
	f.Add(byte(3), byte(1), byte(4), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 1, 8, 0}, tcp4(2))
	f.Add(byte(9), byte(4), byte(2), []byte(nil), []byte{0, 1, 8, 0, 6, 4, 0, 1})
	f.Fuzz(func(t *testing.T, pick, kind, state byte, link, data []byte) {
		families := []rules.Family{rules.IP, rules.IP6, rules.ARP, rules.Bridge}
		states := []uint32{0, Invalid, Established, Related, New, Untracked}
		p := &Packet{Family: families[int(kind)%len(families)], Data: data, Link: link, State: states[int(state)%len(states)],
			In: "br0", Out: "br0", InPort: "p1", OutPort: "p2"}
		host := switchHost(map[string]string{"net/bridge/bridge-nf-call-iptables": string('0' + state%2), "net/bridge/bridge-nf-call-arptables": "1"})
		m := Compile(anywhere(pick), host)
		for _, way := range []Way{In, Forward, Out, Through, Bridged} {
			c := *p
			if way == Through {
				c.In, c.Out, c.InPort, c.OutPort = "", "lo", "", ""
			}
			got := m.Trace(way, &c)
			if got.Packet == nil || got.Verdict == Unknown && len(got.Doubts) == 0 {
				t.Errorf("%s: verdict %q, doubts %v", way, got.Verdict, got.Doubts)
			}
		}
	})
}
