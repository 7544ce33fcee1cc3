//go:build linux

package linux

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkReadIPSets reads a set of 100,000 addresses and, in turns, lets ipset
// save write it; x is our time in its time.
func BenchmarkReadIPSets(b *testing.B) {
	inNamespaceWithSet(b, 100_000, func(h *Host) {
		var ours, theirs time.Duration
		for b.Loop() {
			start := time.Now()
			sets, err := h.IPSets(context.Background())
			ours += time.Since(start)
			if err != nil || len(sets) != 1 || len(sets[0].Elements) != 100_000 {
				b.Errorf("%v", err)
				return
			}
			start = time.Now()
			err = exec.Command("ipset", "save").Run()
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

// BenchmarkTestIPSet asks for one entry of a set of a million; the aim is 1 ms.
func BenchmarkTestIPSet(b *testing.B) {
	inNamespaceWithSet(b, 1_000_000, func(h *Host) {
		sets, err := h.IPSets(context.Background())
		if err != nil || len(sets) != 1 || sets[0].Known || len(sets[0].Elements) > 0 {
			b.Errorf("%d sets, %v", len(sets), err)
			return
		}
		for b.Loop() {
			if found, err := h.TestIPSet(context.Background(), sets[0], "10.1.2.3", true); err != nil || !found {
				b.Errorf("%v, %v", found, err)
				return
			}
		}
	})
}

func inNamespaceWithSet(b *testing.B, n int, f func(*Host)) {
	if os.Geteuid() != 0 {
		b.Skip("needs root to make a network namespace")
	}
	if _, err := exec.LookPath("ipset"); err != nil {
		b.Skip("needs ipset")
	}
	onThreadOfItsOwn(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			b.Errorf("make a network namespace: %v", err)
			return
		}
		var text strings.Builder
		fmt.Fprintf(&text, "create s hash:ip maxelem %d\n", n)
		for i := range n {
			fmt.Fprintf(&text, "add s 10.%d.%d.%d\n", i>>16&0xff, i>>8&0xff, i&0xff)
		}
		c := exec.Command("ipset", "restore")
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
		f(h)
	})
}
