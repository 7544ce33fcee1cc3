package ipset

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

func million() []byte {
	var b strings.Builder
	b.WriteString("create million hash:ip family inet hashsize 1024 maxelem 1000000 bucketsize 12\n")
	for i := range 1_000_000 {
		fmt.Fprintf(&b, "add million 10.%d.%d.%d\n", i>>16&0xff, i>>8&0xff, i&0xff)
	}
	return []byte(b.String())
}

// BenchmarkMillion reads a set of a million addresses and asks it once; x is
// the memory that the model and its index take, as a multiple of the text, and
// the aim is less than 3, as the text itself is one.
func BenchmarkMillion(b *testing.B) {
	text := million()
	b.SetBytes(int64(len(text)))
	var before, after runtime.MemStats
	p, q := packet(rules.IP), Question{Dim: 1, Src: [3]bool{true}}
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		list, err := Parse("f", text)
		if err != nil {
			b.Fatal(err)
		}
		sets := New(list)
		if a := sets.Contains("million", q, p); !a.Found {
			b.Fatal(a)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(sets)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(text)), "x")
	}
}

// BenchmarkContains asks a set of a million addresses.
func BenchmarkContains(b *testing.B) {
	list, err := Parse("f", million())
	if err != nil {
		b.Fatal(err)
	}
	sets, p, q := New(list), packet(rules.IP), Question{Dim: 1, Src: [3]bool{true}}
	sets.Contains("million", q, p)
	b.ReportAllocs()
	for b.Loop() {
		sets.Contains("million", q, p)
	}
}
