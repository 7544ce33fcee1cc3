package firewall_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/portwhy/portwhy/diagnose/firewall"
	"github.com/portwhy/portwhy/platform/linux"
	"github.com/portwhy/portwhy/rules"
	"github.com/portwhy/portwhy/rules/text"
)

// An ipset whose entries were not read is asked for the packet's.
func TestIPSetIsAsked(t *testing.T) {
	for _, program := range []string{"ipset", "iptables-legacy"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs", program)
		}
	}
	here(t, func(h *linux.Host) {
		for _, args := range [][]string{
			{"ipset", "create", "s", "hash:ip,port"},
			{"ipset", "add", "s", "10.0.0.9,tcp:80"},
			{"iptables-legacy", "-A", "INPUT", "-m", "set", "--match-set", "s", "src,dst", "-j", "DROP"},
		} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%q: %v: %s", args, err, out)
				return
			}
		}
		ctx := context.Background()
		fw, err := h.Firewall(ctx)
		if err != nil || len(fw.Rules.IPSets) != 1 {
			t.Errorf("%+v, %v", fw, err)
			return
		}
		sets, err := h.IPSets(ctx)
		if err != nil || len(sets) != 1 {
			t.Errorf("%+v, %v", sets, err)
			return
		}
		sets[0].Known, sets[0].Elements = false, nil // as if it were large
		for what, list := range map[string][]*rules.IPSet{"unread": fw.Rules.IPSets, "large": sets} {
			fw.Rules.IPSets = list
			tracer := firewall.NewTracer(fw.Rules, firewall.Facts(ctx, h), &text.Printer{}, "")
			for dst, want := range map[string]string{"10.0.0.5:80": "drop", "10.0.0.5:81": "accept"} {
				got, err := tracer.Trace(firewall.Packet{Proto: "tcp", Src: "10.0.0.9:1000", Dst: dst, IIF: "va"})
				if err != nil || got.Verdict != want {
					t.Errorf("%s: %s: %+v, %v, want %s", what, dst, got, err, want)
				}
			}
		}
	})
}
