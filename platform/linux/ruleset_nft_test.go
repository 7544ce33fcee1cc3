//go:build linux

package linux

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/nft"
)

const nftText = `
table inet f {
	set plain { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 }; }
	set ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
	chain side { counter packets 3 bytes 4 return; }
	chain in {
		type filter hook input priority -5; policy drop;
		tcp dport { 22, 80-90 } accept comment "a rule"
		ip saddr @plain drop
		meta mark set meta mark & 0xff | 0x100
		tcp dport vmap { 23 : jump side }
	}
}
table ip6 asleep { flags dormant; chain c { ip6 saddr ::1 drop; }; }
`

// What nft loads is read whole.
func TestReadNFT(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		run(t, nftText, "nft", "-f", "-")
		h, err := Open(Options{})
		if err != nil {
			t.Error(err)
			return
		}
		set, err := everything(h)
		if err != nil || len(set.Tables) != 2 {
			t.Errorf("%+v, %v", set, err)
			return
		}
		f, asleep := set.Tables[0], set.Tables[1]
		if f.Family != rules.Inet || f.Dormant() || asleep.Family != rules.IP6 || !asleep.Dormant() {
			t.Errorf("tables %+v, %+v", f, asleep)
		}
		in := f.Chain("in")
		if in == nil || in.Hook != rules.Input || in.Priority != -5 || in.Policy != "drop" || len(in.Rules) != 4 {
			t.Errorf("chain %+v", in)
			return
		}
		for i, r := range in.Rules {
			if int(r.Number) != i+1 || r.About().Handle == 0 || len(r.Exprs.All()) == 0 {
				t.Errorf("rule %+v", r)
			}
			for _, e := range r.Exprs.All() {
				if o, opaque := e.(*rules.Opaque); opaque {
					t.Errorf("rule %d: %s is opaque: %s", r.Number, o.Kind, o.Why)
				}
			}
		}
		if in.Rules[0].About().Comment != "a rule" {
			t.Errorf("comment %q", in.Rules[0].About().Comment)
		}
		if s := f.Set("plain"); s == nil || !s.Known || s.Elements.Len() != 2 {
			t.Errorf("set %+v", s)
		}
		side := f.Chain("side")
		if side == nil || len(side.Rules) != 1 || !side.Rules[0].About().Counted || side.Rules[0].About().Packets != 3 || side.Rules[0].About().Bytes != 4 {
			t.Errorf("chain %+v", side)
		}
	})
}

// Of kernels that don't count the elements of a set a large one is not listed
// either, and what comes after it is.
func TestUncountedSets(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	inOwnNamespace(t, func() {
		var text strings.Builder
		text.WriteString("table ip t {\n set large { type ipv4_addr; elements = {")
		for i := range nftListMax + 2000 {
			fmt.Fprintf(&text, "10.%d.%d.%d,", i>>16, i>>8&255, i&255)
		}
		text.WriteString("}; }\n set small { type ipv4_addr; elements = { 10.0.0.1 }; }\n}\n")
		run(t, text.String(), "nft", "-f", "-")
		h, ctx := openHost(t), context.Background()
		set, err := h.ReadNFT(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		if s := set.Tables[0].Set("large"); s.Known || s.Elements.Len() > 0 {
			t.Errorf("%d elements were listed", s.Elements.Len())
		}
		open := func() (*netlinkConn, error) { return h.netlink(unix.NETLINK_NETFILTER) }
		c, err := open()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.close()
		d := nft.NewDecoder()
		for _, kind := range []uint16{nft.GetTable, nft.GetSet} {
			if err := c.nftList(ctx, d, kind, nfgen(unix.NFPROTO_UNSPEC)); err != nil {
				t.Error(err)
			}
		}
		table := d.Tables()[0]
		for name, known := range map[string]bool{"large": false, "small": true} {
			s := table.Set(name)
			s.Count = -1
			if err := c.nftElements(ctx, d, table, s, open); err != nil || s.Known != known || known != (s.Elements.Len() > 0) {
				t.Errorf("%s: %d elements, known: %v, %v", name, s.Elements.Len(), s.Known, err)
			}
		}
		if _, err := c.nftGeneration(ctx); err != nil {
			t.Error(err)
		}
	})
}
