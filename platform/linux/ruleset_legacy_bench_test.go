//go:build linux

package linux

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkReadLegacy reads 50,000 rules of iptables-legacy and, in turns,
// lets iptables-legacy-save write them; x is our time in its time, and the aim
// is 1.
func BenchmarkReadLegacy(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root to make a network namespace")
	}
	if _, err := exec.LookPath("iptables-legacy-restore"); err != nil {
		b.Skip("needs iptables-legacy")
	}
	onThreadOfItsOwn(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			b.Errorf("make a network namespace: %v", err)
			return
		}
		var text strings.Builder
		text.WriteString("*filter\n")
		for i := range 50_000 {
			fmt.Fprintf(&text, "-A INPUT -s 10.%d.%d.%d/32 -p tcp -m tcp --dport %d -j ACCEPT\n", i>>16&0xff, i>>8&0xff, i&0xff, 1+i%60000)
		}
		text.WriteString("COMMIT\n")
		c := exec.Command("iptables-legacy-restore")
		c.Stdin = strings.NewReader(text.String())
		if out, err := c.CombinedOutput(); err != nil {
			b.Errorf("%v: %s", err, out)
			return
		}
		h, err := Open(Options{})
		if err != nil {
			b.Error(err)
			return
		}
		var ours, theirs time.Duration
		for b.Loop() {
			runtime.GC()
			start := time.Now()
			set, err := h.ReadLegacy()
			ours += time.Since(start)
			if err != nil || len(set.Tables[0].Chains[0].Rules) != 50_000 {
				b.Errorf("%v", err)
				return
			}
			start = time.Now()
			err = exec.Command("iptables-legacy-save").Run()
			theirs += time.Since(start)
			if err != nil {
				b.Error(err)
				return
			}
		}
		b.ReportMetric(float64(ours)/float64(theirs), "x")
		b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "ms/read")
	})
}
