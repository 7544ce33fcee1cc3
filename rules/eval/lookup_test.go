package eval

import (
	"testing"
	"time"

	"github.com/portwhy/portwhy/rules"
)

func TestFind(t *testing.T) {
	ranges := &rules.Set{KeyLen: 2, Interval: true, Elements: rules.ElementsOf([]rules.Element{
		// 20 to 29 and 10 to 19, which touch; as the kernel lists them, the last first.
		{Key: u16(30), End: true}, {Key: u16(20)}, {Key: u16(20), End: true}, {Key: u16(10)},
	}...)}
	fields := &rules.Set{KeyLen: 8, Interval: true, Concat: true, Fields: []int{4, 2}, Elements: rules.ElementsOf(
		rules.Element{Key: []byte{10, 0, 0, 0, 0, 80, 0, 0}, KeyEnd: []byte{10, 0, 0, 255, 0, 90, 0, 0}},
	)}
	for _, c := range []struct {
		name string
		set  *rules.Set
		key  []byte
		want bool
	}{
		{"below", ranges, u16(9), false},
		{"first", ranges, u16(10), true},
		{"last of the first range", ranges, u16(19), true},
		{"where two touch", ranges, u16(20), true},
		{"last", ranges, u16(29), true},
		{"above", ranges, u16(30), false},
		{"both fields inside", fields, []byte{10, 0, 0, 7, 0, 85, 0, 0}, true},
		{"second field outside", fields, []byte{10, 0, 0, 7, 0, 91, 0, 0}, false},
		{"first field outside", fields, []byte{10, 0, 1, 0, 0, 85, 0, 0}, false},
	} {
		if got := (&setIndex{set: c.set}).find(c.key) != nil; got != c.want {
			t.Errorf("%s: found %v, want %v", c.name, got, c.want)
		}
	}
}

func u16(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }

// An element that ends decides if the rules were just read and it stays for as
// long as the answer is wanted.
func TestElementEnds(t *testing.T) {
	port := &rules.Payload{Base: 2, Offset: 2, Len: 2}
	set := chains("accept", list{{port, &rules.Lookup{Set: "s"}, drop}})
	for _, c := range []struct {
		holds   time.Duration
		expires uint64
		want    Verdict
	}{{0, 3600_000, Unknown}, {10 * time.Second, 3600_000, Drop}, {10 * time.Second, 9_000, Unknown}, {10 * time.Second, 0, Unknown}} {
		set.Tables[0].Sets = []*rules.Set{{Name: "s", KeyLen: 2, Known: true, Elements: rules.ElementsOf(rules.Element{Key: []byte{0x13, 0x88}, TimeoutMS: 7200_000, ExpiresMS: c.expires})}}
		if got := Compile(set, Host{Holds: c.holds}).Trace(In, packet()).Verdict; got != c.want {
			t.Errorf("%v: %q, want %q", c, got, c.want)
		}
	}
}
