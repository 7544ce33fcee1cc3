package xt

import (
	"fmt"
	"math/bits"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_mark.h and xt_connmark.h.

var markMatches = []extension{
	{name: "mark", rev: 1, size: 9, options: []option{{names: []string{"--mark"}, value: markMask(0, 4), not: bits8(8, 1), shown: always, need: true}}},
	{name: "connmark", rev: 1, size: 9, options: []option{{names: []string{"--mark"}, value: markMask(0, 4), not: bits8(8, 1), shown: always, need: true}}},
}

var markTargets = []extension{
	{name: "MARK", rev: 2, size: 8, finish: oneOption, options: setMarkOptions(0, 4)},
	{name: "CONNMARK", rev: 1, size: 13, old: true, options: connmarkOptions(12)},
	{name: "CONNMARK", rev: 2, size: 15, init: func(b *blob) { b.put(4, 4, 0xffffffff); b.put(8, 4, 0xffffffff) }, finish: connmarkFinish,
		options: append(connmarkOptions(14),
			option{names: []string{"--left-shift-mark"}, value: connmarkShift(0), shown: func(b *blob) bool { return b.d[12] == 0 && b.d[13] != 0 }},
			option{names: []string{"--right-shift-mark"}, value: connmarkShift(1), shown: func(b *blob) bool { return b.d[12] == 1 && b.d[13] != 0 }})},
}

func oneOption(b *blob) error {
	if bits.OnesCount64(b.given) != 1 {
		return fmt.Errorf("it takes one option")
	}
	return nil
}

// setMarkOptions are those that MARK and CONNMARK share: the kernel clears the
// bits of the mask and inverts (xor) those of the mark.
func setMarkOptions(mark, mask int) []option {
	set := func(change func(v, m uint64) (uint64, uint64)) value {
		return value{1, func(b *blob, _ bool, w []string) error {
			v, m, err := valueMask(w[0])
			v, m = change(v, m)
			b.put(mark, 4, v)
			b.put(mask, 4, m)
			return err
		}, func(b *blob) (string, bool) {
			return fmt.Sprintf("0x%x/0x%x", b.u32(mark), b.u32(mask)), true
		}}
	}
	return []option{
		{names: []string{"--set-xmark"}, value: set(func(v, m uint64) (uint64, uint64) { return v, m }), shown: always},
		{names: []string{"--set-mark"}, value: set(func(v, m uint64) (uint64, uint64) { return v, v | m }), hidden: true},
		{names: []string{"--and-mark"}, value: set(func(v, _ uint64) (uint64, uint64) { return 0, ^v }), hidden: true},
		{names: []string{"--or-mark"}, value: set(func(v, _ uint64) (uint64, uint64) { return v, v }), hidden: true},
		{names: []string{"--xor-mark"}, value: set(func(v, _ uint64) (uint64, uint64) { return v, 0 }), hidden: true},
	}
}

// XT_CONNMARK_SET, _SAVE and _RESTORE are 0, 1 and 2.
func connmarkOptions(mode int) []option {
	set := setMarkOptions(0, 4)
	set[0].shown = equals(mode, 1, 0)
	moves := func(b *blob) bool { return b.d[mode] == 1 || b.d[mode] == 2 }
	return append(set,
		option{names: []string{"--save-mark"}, value: fixed(mode, 1, 1), shown: equals(mode, 1, 1)},
		option{names: []string{"--restore-mark"}, value: fixed(mode, 1, 2), shown: equals(mode, 1, 2)},
		option{names: []string{"--nfmask"}, value: hexInteger(8, 4), shown: moves},
		option{names: []string{"--ctmask"}, value: hexInteger(4, 4), shown: moves},
		option{names: []string{"--mask"}, value: value{words: 1, parse: func(b *blob, _ bool, w []string) error {
			v, err := number(w[0], 0, 0xffffffff)
			b.put(4, 4, v)
			b.put(8, 4, v)
			return err
		}}, hidden: true},
	)
}

func connmarkShift(direction uint64) value {
	v := integerIn(13, 1, 0, 32)
	number := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		b.put(12, 1, direction)
		return number(b, not, w)
	}
	return v
}

func connmarkFinish(b *blob) error {
	modes := 0
	for _, o := range []string{"--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark", "--save-mark", "--restore-mark"} {
		if b.gave(o) {
			modes++
		}
	}
	if modes != 1 {
		return fmt.Errorf("it takes one of --set-xmark, --save-mark and --restore-mark")
	}
	masks := b.gave("--nfmask") || b.gave("--ctmask") || b.gave("--mask")
	if masks && b.d[14] == 0 {
		return fmt.Errorf("masks are of --save-mark and --restore-mark")
	}
	return nil
}

// Mark is what the matches mark and connmark have: mark & Mask == Value.
type Mark struct {
	Value, Mask uint32
	Not         bool
}

// DecodeMark reads the matches mark and connmark.
func DecodeMark(m *rules.Match) (Mark, bool) {
	b, ok := decode(m, "mark", 1, 16)
	if !ok {
		if b, ok = decode(m, "connmark", 1, 16); !ok {
			return Mark{}, false
		}
	}
	return Mark{b.u32(0), b.u32(4), b.d[8] != 0}, true
}

// SetMark is what MARK has: the mark becomes (mark &^ Mask) ^ Value.
type SetMark struct{ Value, Mask uint32 }

// DecodeSetMark reads the target MARK.
func DecodeSetMark(t *rules.Target) (SetMark, bool) {
	b, ok := decodeTarget(t, "MARK", 2, 8)
	if !ok {
		return SetMark{}, false
	}
	return SetMark{b.u32(0), b.u32(4)}, true
}

// Connmark is what CONNMARK has. Mode is XT_CONNMARK_*: 0 sets the connection's
// mark, 1 saves the packet's to it, 2 restores the packet's from it. Right says
// to where Shift bits are shifted.
type Connmark struct {
	Value, CTMask, NFMask uint32
	Mode                  uint8
	Right                 bool
	Shift                 uint8
}

// DecodeConnmark reads the target CONNMARK.
func DecodeConnmark(t *rules.Target) (Connmark, bool) {
	if t.Rev != 1 && t.Rev != 2 {
		return Connmark{}, false
	}
	b, ok := decodeTarget(t, "CONNMARK", t.Rev, 16)
	if !ok {
		return Connmark{}, false
	}
	c := Connmark{Value: b.u32(0), CTMask: b.u32(4), NFMask: b.u32(8), Mode: b.d[12]}
	if t.Rev == 2 {
		c.Right, c.Shift, c.Mode = b.d[12] != 0, b.d[13], b.d[14]
	}
	return c, c.Mode <= 2
}
