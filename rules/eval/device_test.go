package eval

import (
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// A device that nobody has told is not known, which is not the same as none.
func TestDeviceNotTold(t *testing.T) {
	name := func(key uint32, s string) []rules.Expr {
		b := make([]byte, nameLen)
		copy(b, s)
		return []rules.Expr{&rules.Meta{Key: key}, &rules.Cmp{Data: b}, &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Drop}}}
	}
	head := func(h rules.IPTables) []rules.Expr {
		return []rules.Expr{&h, &rules.Immediate{Verdict: &rules.Verdict{Kind: rules.Drop}}}
	}
	for _, c := range []struct {
		what    string
		hook    rules.Hook
		way     Way
		in, out string
		exprs   []rules.Expr
		want    Verdict
	}{
		{"no input device told", rules.Input, In, "", "", name(metaIifName, "eth0"), Unknown},
		{"another input device", rules.Input, In, "eth1", "", name(metaIifName, "eth0"), Accept},
		{"no input device of iptables told", rules.Input, In, "", "", head(rules.IPTables{In: "eth0"}), Unknown},
		{"any input device of iptables", rules.Input, In, "", "", head(rules.IPTables{In: "+"}), Drop},
		{"no input device at output", rules.Output, Out, "", "eth0", name(metaIifName, ""), Drop},
		{"no output device told", rules.Output, Out, "", "", name(metaOifName, "eth0"), Unknown},
		{"no output device of iptables told", rules.Postrouting, Out, "", "", head(rules.IPTables{Out: "eth0"}), Unknown},
		{"no output device at input", rules.Input, In, "eth0", "", name(metaOifName, ""), Drop},
	} {
		set := &rules.Ruleset{Tables: []*rules.Table{{Backend: rules.NFT, Family: rules.IP, Name: "t",
			Chains: []*rules.Chain{{Name: "c", Hook: c.hook, Type: "filter", Policy: "accept", Rules: []*rules.Rule{{Exprs: rules.ListOf(c.exprs...)}}}}}}}
		p := packet()
		p.In, p.InIndex, p.Out = c.in, 0, c.out
		if got := Compile(set, Host{}).Trace(c.way, p).Verdict; got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}
