package xt

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_set.h and ip_set.h. An ipset stands in them by its number,
// in text by its name: see rules.Match.Sets.

const noSet = 0xffff // IPSET_INVALID_ID

var setMatches = []extension{
	{name: "set", rev: 1, size: 4, old: true, options: setMatchOptions()[:1]},
	{name: "set", rev: 2, size: 4, old: true, options: append(setMatchOptions()[:1], option{names: []string{"--return-nomatch"}, on: bits8(3, 0x80)})},
	{name: "set", rev: 3, size: 48, old: true, options: append(setMatchOptions(), append(counterOptions("--packets", 16, 8), counterOptions("--bytes", 32, 24)...)...)},
	{name: "set", rev: 4, size: 48, init: func(b *blob) { b.put(0, 2, noSet) },
		options: append(setMatchOptions(), append(counterOptions("--packets", 8, 16), counterOptions("--bytes", 24, 32)...)...)},
}

var setTargets = []extension{
	{name: "SET", rev: 2, size: 16, old: true, options: setTargetOptions(8, 12)[:4]},
	{name: "SET", rev: 3, size: 20, init: func(b *blob) {
		for at := 0; at < 12; at += 4 {
			b.put(at, 2, noSet)
		}
		b.put(16, 4, 0xffffffff)
	}, options: setTargetOptions(12, 16), finish: func(b *blob) error {
		for len(b.sets) < 3 {
			b.sets = append(b.sets, "")
		}
		switch maps := b.u32(12)&0x700 != 0; {
		case b.sets[0] == "" && b.sets[1] == "" && b.sets[2] == "":
			return fmt.Errorf("it needs --add-set, --del-set or --map-set")
		case b.sets[0] == "" && (b.gave("--exist") || b.gave("--timeout")):
			return fmt.Errorf("--exist and --timeout are of --add-set")
		case maps != (b.sets[2] != ""):
			return fmt.Errorf("--map-set needs --map-mark, --map-prio or --map-queue")
		}
		return nil
	}},
}

// setTargetOptions: sets have no dimensions where they are not used.
func setTargetOptions(flags, timeout int) []option {
	set := func(name string, at int) option {
		return option{names: []string{name}, value: setValue(at, at/4), shown: unless(at+2, 1, 0)}
	}
	return []option{
		set("--add-set", 0),
		{names: []string{"--exist"}, on: bits32(flags, 1)},
		{names: []string{"--timeout"}, value: integerIn(timeout, 4, 0, 0xfffffffe), shown: unless(timeout, 4, 0xffffffff)},
		set("--del-set", 4), set("--map-set", 8),
		{names: []string{"--map-mark"}, on: bits32(flags, 1<<8)},
		{names: []string{"--map-prio"}, on: bits32(flags, 1<<9)},
		{names: []string{"--map-queue"}, on: bits32(flags, 1<<10)}}
}

func setMatchOptions() []option {
	return []option{
		{names: []string{"--match-set"}, value: setValue(0, 0), not: bits8(3, 1), shown: always, need: true},
		{names: []string{"--return-nomatch"}, on: bits32(40, 1<<7)},
		{names: []string{"--update-counters"}, not: bits32(40, 1<<3), value: onlyInverted, shown: func(b *blob) bool { return b.u32(40)&(1<<3) != 0 }},
		{names: []string{"--update-subcounters"}, not: bits32(40, 1<<4), value: onlyInverted, shown: func(b *blob) bool { return b.u32(40)&(1<<4) != 0 }},
	}
}

var onlyInverted = value{parse: func(*blob, bool, []string) error { return nil }}

// counterOptions: IPSET_COUNTER_EQ, NE, LT and GT.
func counterOptions(prefix string, val, op int) []option {
	o := func(suffix string, code uint64) option {
		v := integer(val, 8)
		number := v.parse
		v.parse = func(b *blob, not bool, w []string) error {
			if b.d[op] != 0 && (!not || b.d[op] != 2) {
				return fmt.Errorf("there is another comparison of %s", prefix)
			}
			b.d[op] = byte(code)
			if not {
				b.d[op] = 2
			}
			return number(b, false, w)
		}
		return option{names: []string{prefix + suffix}, value: v, shown: equals(op, 1, code)}
	}
	eq := o("-eq", 1)
	eq.shown = func(b *blob) bool { return b.d[op] == 1 || b.d[op] == 2 }
	eq.not = bit{op, 1, 2}
	return []option{eq, o("-lt", 3), o("-gt", 4)}
}

// setValue is a set's name and src or dst for each of its dimensions, in the
// xt_set_info at at, which is the structure's nth.
func setValue(at, nth int) value {
	return value{2, func(b *blob, _ bool, w []string) error {
		if w[0] == "" || len(w[0]) > 31 || strings.ContainsAny(w[0], " \t\n\"'\\") {
			return fmt.Errorf("%q is not a set's name", w[0])
		}
		sides := strings.Split(w[1], ",")
		if len(sides) > 6 {
			return fmt.Errorf("%q has more than 6 parts", w[1])
		}
		for i, s := range sides {
			switch s {
			case "src":
				b.d[at+3] |= 2 << i
			case "dst":
			default:
				return fmt.Errorf("%q is neither src nor dst", s)
			}
		}
		b.d[at+2] = byte(len(sides))
		for len(b.sets) <= nth {
			b.sets = append(b.sets, "")
		}
		b.sets[nth] = w[0]
		b.put(at, 2, noSet)
		return nil
	}, func(b *blob) (string, bool) {
		n := int(b.d[at+2])
		if nth >= len(b.sets) || b.sets[nth] == "" || n < 1 || n > 6 {
			return "", false
		}
		var sides []string
		for i := range n {
			if b.d[at+3]&(2<<i) != 0 {
				sides = append(sides, "src")
			} else {
				sides = append(sides, "dst")
			}
		}
		return b.sets[nth] + " " + strings.Join(sides, ","), true
	}}
}

// SetRef is an ipset in a match or target: by name, "" if it isn't known, and
// the kernel's number. Source has for each dimension whether it is the packet's
// source that is looked up.
type SetRef struct {
	Name   string
	Index  uint16
	Source []bool
	Not    bool
}

func (b *blob) setRef(at, nth int) (SetRef, bool) {
	r := SetRef{Index: b.u16(at), Not: b.d[at+3]&1 != 0}
	if nth < len(b.sets) {
		r.Name = b.sets[nth]
	}
	if b.d[at+2] > 6 {
		return r, false
	}
	for i := range int(b.d[at+2]) {
		r.Source = append(r.Source, b.d[at+3]&(2<<i) != 0)
	}
	return r, true
}

// SetMatch is what the match set has. Flags are IPSET_FLAG_* bits. Packets and
// Bytes are compared by an operation of IPSET_COUNTER_*: 0 not at all, 1 equal,
// 2 not equal, 3 less, 4 greater.
type SetMatch struct {
	SetRef
	Flags              uint32
	Packets, Bytes     uint64
	PacketsOp, BytesOp uint8
}

// DecodeSetMatch reads the match set.
func DecodeSetMatch(m *rules.Match) (SetMatch, bool) {
	size := map[uint8]int{1: 8, 2: 8, 3: 48, 4: 48}[m.Rev]
	b, ok := decode(m, "set", m.Rev, size)
	if !ok || size == 0 {
		return SetMatch{}, false
	}
	ref, ok := b.setRef(0, 0)
	s := SetMatch{SetRef: ref}
	switch m.Rev {
	case 2:
		s.Flags = uint32(b.d[3] & 0x80)
	case 3:
		s.Flags, s.PacketsOp, s.Packets, s.BytesOp, s.Bytes = b.u32(40), b.d[8], b.u64(16), b.d[24], b.u64(32)
	case 4:
		s.Flags, s.PacketsOp, s.Packets, s.BytesOp, s.Bytes = b.u32(40), b.d[16], b.u64(8), b.d[32], b.u64(24)
	}
	return s, ok
}
