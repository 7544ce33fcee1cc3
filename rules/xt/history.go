package xt

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_recent.h and xt_connlimit.h: what was seen before.

var historyMatches = []extension{
	{name: "recent", rev: 0, size: 212, old: true, options: recentOptions()},
	{name: "recent", rev: 1, size: 228, init: func(b *blob) {
		copy(b.d[10:], "DEFAULT")
		copy(b.d[212:228], bytes.Repeat([]byte{0xff}, 16))
	}, options: recentV1Options(), finish: func(b *blob) error {
		op := b.d[8] & 15
		if bits.OnesCount8(op) != 1 {
			return fmt.Errorf("it takes one of --set, --rcheck, --update and --remove")
		}
		if b.d[8]&32 != 0 && b.u32(0) == 0 {
			return fmt.Errorf("--reap needs --seconds")
		}
		if op&(2|8) != 0 && (b.given&(1<<4|1<<5|1<<6|1<<7) != 0) {
			return fmt.Errorf("--seconds, --reap, --hitcount and --rttl are of --rcheck and --update")
		}
		return nil
	}},
	{name: "connlimit", rev: 1, size: 32, init: func(b *blob) { copy(b.d, bytes.Repeat([]byte{0xff}, 16)) }, options: []option{
		{names: []string{"--connlimit-upto"}, value: connLimit(false), shown: func(b *blob) bool { return b.d[20]&1 != 0 }, either: true},
		{names: []string{"--connlimit-above"}, value: connLimit(true), shown: func(b *blob) bool { return b.d[20]&1 == 0 }, either: true},
		{names: []string{"--connlimit-mask"}, value: value{1, func(b *blob, _ bool, w []string) error {
			n, err := number(w[0], 0, uint64(8*b.addressLen()))
			if err != nil {
				return err
			}
			clear(b.d[:16])
			copy(b.d, prefixMask(int(n), b.addressLen()))
			return nil
		}, func(b *blob) (string, bool) {
			n, ok := prefixLen(b.d[:b.addressLen()])
			return strconv.Itoa(n), ok
		}}, shown: always},
		{names: []string{"--connlimit-saddr"}, shown: func(b *blob) bool { return b.d[20]&2 == 0 }},
		{names: []string{"--connlimit-daddr"}, on: bits32(20, 2)},
	}, finish: func(b *blob) error {
		if b.gave("--connlimit-upto") == b.gave("--connlimit-above") {
			return fmt.Errorf("it takes one of --connlimit-upto and --connlimit-above")
		}
		return nil
	}},
}

func recentOptions() []option {
	flag := func(name string, f uint64, not bit) option {
		return option{names: []string{name}, on: bits8(8, f), not: not}
	}
	inv := bits8(9, 1)
	return []option{
		flag("--set", 2, inv), flag("--rcheck", 1, inv), flag("--update", 4, inv), flag("--remove", 8, inv),
		{names: []string{"--seconds"}, value: integerIn(0, 4, 1, 0xffffffff), shown: unless(0, 4, 0)},
		flag("--reap", 32, bit{}),
		{names: []string{"--hitcount"}, value: integer(4, 4), shown: unless(4, 4, 0)},
		flag("--rttl", 16, bit{}),
		{names: []string{"--name"}, value: recentName, shown: unless(10, 1, 0)},
	}
}

// recentName overwrites the default's beginning only, as iptables does: what
// stands behind the NUL stays.
var recentName = value{1, func(b *blob, _ bool, w []string) error {
	if len(w[0]) >= 200 {
		return fmt.Errorf("a name of %d bytes is too long, 199 is the most", len(w[0]))
	}
	b.d[10+copy(b.d[10:], w[0])] = 0
	return nil
}, word(10, 200).print}

func recentV1Options() []option {
	mask := value{1, func(b *blob, _ bool, w []string) error {
		clear(b.d[212:228])
		return b.putAddress(212, w[0])
	}, func(b *blob) (string, bool) { return b.addressText(212), true }}
	return append(recentOptions(),
		option{names: []string{"--mask"}, value: mask, shown: always},
		option{names: []string{"--rsource"}, value: fixed(210, 1, 0), shown: equals(210, 1, 0)},
		option{names: []string{"--rdest"}, value: fixed(210, 1, 1), shown: equals(210, 1, 1)})
}

// connLimit: the kernel's flag inverts "more than"; "!" inverts once more.
func connLimit(above bool) value {
	v := integer(16, 4)
	number := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		if above == not {
			b.set(bits32(20, 1))
		}
		return number(b, not, w)
	}
	return v
}

// ConnLimit is what connlimit has: it matches more than Limit connections of an
// address under Mask (of the first 4 bytes in IPv4), Not those up to it.
type ConnLimit struct {
	Mask  [16]byte
	Limit uint32
	Not   bool
	Dest  bool // counted by destination
}

// DecodeConnLimit reads the match connlimit.
func DecodeConnLimit(m *rules.Match) (ConnLimit, bool) {
	b, ok := decode(m, "connlimit", 1, 32)
	if !ok {
		return ConnLimit{}, false
	}
	return ConnLimit{[16]byte(b.d[:16]), b.u32(16), b.d[20]&1 != 0, b.d[20]&2 != 0}, true
}

// Recent is what recent has. Op is XT_RECENT_*: 1 check, 2 set, 4 update, 8
// remove, with 16 for the TTL and 32 for reaping.
type Recent struct {
	Name          string
	Seconds, Hits uint32
	Op            uint8
	Not, Dest     bool
	Mask          [16]byte
}

// DecodeRecent reads the match recent.
func DecodeRecent(m *rules.Match) (Recent, bool) {
	b, ok := decode(m, "recent", 1, 232)
	old, ok0 := decode(m, "recent", 0, 216)
	if ok0 {
		b = old
	}
	if !ok && !ok0 {
		return Recent{}, false
	}
	r := Recent{Name: b.string(10, 200), Seconds: b.u32(0), Hits: b.u32(4), Op: b.d[8], Not: b.d[9] != 0, Dest: b.d[210] != 0}
	copy(r.Mask[:], bytes.Repeat([]byte{0xff}, 16))
	if ok {
		copy(r.Mask[:], b.d[212:228])
	}
	return r, true
}
