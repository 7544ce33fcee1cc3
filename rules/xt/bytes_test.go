package xt

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/rules"
)

// anyBytes prints bytes as every extension that has as many.
func anyBytes(t *testing.T, family rules.Family, data []byte) {
	for prefix, table := range map[string]map[string][]*extension{"-m ": matches, "-j ": targets} {
		for name, list := range table {
			for _, e := range list {
				d := make([]byte, padded(e.size))
				copy(d, data)
				s, ok := text(table, prefix, family, e.kernelName(), e.rev, d, []string{"a", "b"})
				if !ok {
					continue
				}
				if !strings.HasPrefix(s, prefix+name) && !strings.HasPrefix(s, prefix+"state") && !strings.HasPrefix(s, prefix+"NOTRACK") &&
					!strings.HasPrefix(s, prefix+e.kernelName()) || strings.ContainsAny(s, "\n\x00") {
					t.Fatalf("%s from %x: %q", name, d, s)
				}
			}
		}
	}
}

// What the kernel gives may hold anything: printing it ends, in one line.
func TestTextOfAnyBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		data := make([]byte, 64+r.IntN(2000))
		for i := range data {
			switch r.IntN(4) {
			case 0:
				data[i] = byte(r.IntN(6))
			case 1:
				data[i] = byte(r.Uint32())
			}
		}
		for _, family := range []rules.Family{rules.IP, rules.IP6} {
			anyBytes(t, family, data)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(false, []byte("\x01\x00\x05\x00abc"))
	f.Fuzz(func(t *testing.T, six bool, data []byte) {
		family := rules.IP
		if six {
			family = rules.IP6
		}
		anyBytes(t, family, data)
	})
}
