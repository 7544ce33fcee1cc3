//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/portwhy/portwhy/platform/host"
	"github.com/portwhy/portwhy/rules"
)

// Single elements are found in every kind of set, as the kernel's own lookup
// would.
func TestSetElement(t *testing.T) {
	inOwnNamespace(t, func() {
		run(t, `table ip t {
			set hash { type inet_service; elements = { 10, 20 }; }
			set ranges { type inet_service; flags interval; elements = { 10-20, 21-30, 60, 65000-65535 }; }
			map verdicts { type inet_service : verdict; flags interval; elements = { 10-20 : drop, 21-30 : accept, * : continue }; }
			map values { type inet_service : mark; elements = { 10 : 7 }; }
			set fields { type inet_service . inet_service; flags interval; elements = { 10-20 . 5-6 }; }
		}`, "nft", "-f", "-")
		h := openHost(t)
		for _, c := range []struct {
			set  string
			key  []uint16
			want string
		}{
			{"hash", []uint16{10}, "[0 10]"}, {"hash", []uint16{11}, "none"},
			{"ranges", []uint16{9}, "none"}, {"ranges", []uint16{10}, "[0 10]"}, {"ranges", []uint16{20}, "[0 10]"}, {"ranges", []uint16{21}, "[0 21]"},
			{"ranges", []uint16{31}, "none"}, {"ranges", []uint16{60}, "[0 60]"}, {"ranges", []uint16{61}, "none"}, {"ranges", []uint16{65535}, "[253 232]"},
			{"verdicts", []uint16{15}, "[0 10] verdict 0"}, {"verdicts", []uint16{21}, "[0 21] verdict 1"}, {"verdicts", []uint16{31}, "catch-all verdict -1"},
			{"values", []uint16{10}, "[0 10] value 7"}, {"values", []uint16{11}, "none"},
			{"fields", []uint16{15, 5}, "[0 10 0 0 0 5 0 0]"}, {"fields", []uint16{15, 7}, "none"},
			{"gone", []uint16{1}, "none"},
		} {
			var key []byte
			for _, k := range c.key {
				key = binary.BigEndian.AppendUint16(key, k)
				if len(c.key) > 1 {
					key = append(key, 0, 0)
				}
			}
			e, err := h.SetElement(context.Background(), host.SetQuery{Family: rules.IP, Table: "t", Set: c.set, Key: key})
			if err != nil {
				t.Errorf("%s %v: %v", c.set, c.key, err)
				continue
			}
			if got := elementWords(e); got != c.want {
				t.Errorf("%s %v: %s, want %s", c.set, c.key, got, c.want)
			}
		}
	})
}

func elementWords(e *rules.Element) string {
	if e == nil {
		return "none"
	}
	s := fmt.Sprint(e.Key)
	if e.CatchAll {
		s = "catch-all"
	}
	if e.Verdict != nil {
		s += fmt.Sprint(" verdict ", int32(e.Verdict.Kind))
	}
	if len(e.Data) == 4 {
		s += fmt.Sprint(" value ", binary.NativeEndian.Uint32(e.Data))
	}
	return s
}

// BenchmarkSetElement asks for one element of a set of a million addresses; the
// aim is 1 ms.
func BenchmarkSetElement(b *testing.B) {
	inOwnNamespace(b, func() {
		var text strings.Builder
		text.WriteString("table ip t {\n set s { type ipv4_addr; size 2000000; }\n}\n")
		for i := 0; i < 1_000_000; i += 1000 {
			text.WriteString("add element ip t s { ")
			for j := i; j < i+1000; j++ {
				fmt.Fprintf(&text, "10.%d.%d.%d, ", j>>16, j>>8&255, j&255)
			}
			text.WriteString("}\n")
		}
		run(b, text.String(), "nft", "-f", "-")
		h := openHost(b)
		q := host.SetQuery{Family: rules.IP, Table: "t", Set: "s", Key: []byte{10, 7, 7, 7}}
		for b.Loop() {
			if e, err := h.SetElement(context.Background(), q); err != nil || e == nil {
				b.Fatal(e, err)
			}
		}
	})
}
