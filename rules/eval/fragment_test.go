package eval

import (
	"net"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// What becomes of a fragment is known only where nothing puts it together with
// the others before the rules see it.
func TestFragments(t *testing.T) {
	at := func(hook rules.Hook, priority int32, exprs ...rules.Expr) *rules.Chain {
		return &rules.Chain{Name: string(hook), Hook: hook, Priority: priority, Type: "filter", Policy: "accept", Rules: []*rules.Rule{{Number: 1, Exprs: rules.ListOf(exprs...)}}}
	}
	early := at(rules.Prerouting, -300, drop)
	tracks := at(rules.Forward, 0, &rules.CT{Key: ctState})
	counts := at(rules.Forward, 0, &rules.Dynset{Set: "s", Exprs: []rules.Expr{&rules.ConnLimit{Count: 100}}})
	diverts := at(rules.Forward, 0, &rules.TProxy{})
	for _, c := range []struct {
		name   string
		chains []*rules.Chain
		set    []rules.Expr
		want   Verdict
	}{
		{"nothing asks for whole packets", []*rules.Chain{early}, nil, Drop},
		{"conntrack", []*rules.Chain{early, tracks}, nil, Unknown},
		{"a count of connections for each element that a rule adds", []*rules.Chain{early, counts}, nil, Unknown},
		{"a count of connections for each element of a set", []*rules.Chain{early}, []rules.Expr{&rules.ConnLimit{Count: 100}}, Unknown},
		{"tproxy", []*rules.Chain{early, diverts}, nil, Unknown},
		{"before they are put together", []*rules.Chain{at(rules.Prerouting, -450, drop), tracks}, nil, Drop},
		{"at input they always are whole", []*rules.Chain{at(rules.Input, 0, drop)}, nil, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := &rules.Table{Family: rules.IP, Name: "t", Chains: c.chains, Sets: []*rules.Set{{Name: "s", KeyLen: 4, Known: true, Exprs: c.set}}}
			p := packet()
			p.Data[7] = 1
			if got := Compile(&rules.Ruleset{Tables: []*rules.Table{table}}, Host{}).Trace(In, p); got.Verdict != c.want {
				t.Errorf("verdict %q, want %q", got.Verdict, c.want)
			}
		})
	}
}

// A packet that its device can't carry whole meets the rules behind in pieces.
func TestPiecesAreNotGuessed(t *testing.T) {
	p := packet()
	p.Data = packetBytes(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6000}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000}, make([]byte, 3000))
	device := func(mtu uint32) Host {
		return Host{Device: func(string) (Device, bool) { return Device{Index: 1, MTU: mtu}, true }}
	}
	for _, c := range []struct {
		host Host
		want Verdict
	}{{device(65536), Accept}, {device(1500), Unknown}, {Host{}, Unknown}} {
		if got := Compile(chains("accept", list{}), c.host).Trace(Through, p); got.Verdict != c.want {
			t.Errorf("verdict %q, want %q", got.Verdict, c.want)
		}
	}
}

// Which day it is depends on the kernel's time zone.
func TestDayIsNotGuessed(t *testing.T) {
	set := chains("accept", list{{&rules.Meta{Key: metaTimeDay}, &rules.Cmp{Data: []byte{1}}, drop}})
	if got := Compile(set, Host{}).Hook(rules.Input, packet()); got.Verdict != Unknown || len(got.Doubts) != 1 {
		t.Errorf("verdict %q, doubts %v", got.Verdict, got.Doubts)
	}
}
