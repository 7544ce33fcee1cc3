package xt

import (
	"fmt"
	"math"
	"strconv"
)

// Structures of xt_statistic.h, xt_quota.h and xt_connbytes.h: how many of the
// packets.

var amountMatches = []extension{
	{name: "statistic", size: 24, options: []option{
		{names: []string{"--mode"}, value: choice(0, 2, []name{{"random", 0}, {"nth", 1}}), shown: always, need: true},
		{names: []string{"--probability"}, value: probability, not: bits16(2, 1), shown: equals(0, 2, 0)},
		{names: []string{"--every"}, value: every, not: bits16(2, 1), shown: equals(0, 2, 1)},
		{names: []string{"--packet"}, value: integer(8, 4), shown: equals(0, 2, 1)}}, finish: func(b *blob) error {
		nth := b.u16(0) == 1
		if b.gave("--probability") == nth || b.gave("--every") != nth || b.gave("--packet") && !nth {
			return fmt.Errorf("random needs --probability, nth --every and --packet")
		}
		if nth && b.u32(8) > b.u32(4) {
			return fmt.Errorf("--packet is from 0 to below --every")
		}
		b.put(12, 4, uint64(b.u32(4)-b.u32(8)))
		return nil
	}},
	{name: "quota", size: 24, options: []option{{names: []string{"--quota"}, value: integer(8, 8), not: bits32(0, 1), shown: always, need: true}}},
	{name: "connbytes", size: 24, options: []option{
		{names: []string{"--connbytes"}, value: connBytes, shown: func(b *blob) bool { return b.u64(0) <= b.u64(8) }, need: true, either: true},
		{names: []string{"! --connbytes"}, value: connBytes, shown: func(b *blob) bool { return b.u64(0) > b.u64(8) }}, // only printed
		{names: []string{"--connbytes-mode"}, value: choice(16, 1, []name{{"packets", 0}, {"bytes", 1}, {"avgpkt", 2}}), shown: always, need: true},
		{names: []string{"--connbytes-dir"}, value: choice(17, 1, []name{{"original", 0}, {"reply", 1}, {"both", 2}}), shown: always, need: true}},
	},
}

// probability is a part of 1<<31.
var probability = value{1, func(b *blob, _ bool, w []string) error {
	v, err := strconv.ParseFloat(w[0], 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is not a probability", w[0])
	}
	b.put(4, 4, uint64(math.Round(v*(1<<31))))
	return nil
}, func(b *blob) (string, bool) { return strconv.FormatFloat(float64(b.u32(4))/(1<<31), 'f', 11, 64), true }}

// every is one more than what the kernel has.
var every = value{1, func(b *blob, _ bool, w []string) error {
	v, err := number(w[0], 1, 0xffffffff)
	b.put(4, 4, v-1)
	return err
}, func(b *blob) (string, bool) { return strconv.FormatUint(uint64(b.u32(4))+1, 10), true }}

// connBytes is from[:to]; inverted, the kernel has the larger first.
var connBytes = value{1, func(b *blob, not bool, w []string) error {
	v := spanAt(0, 8, 8, ":")
	if err := v.parse(b, not, w); err != nil {
		return err
	}
	if n, err := number(w[0], 0, math.MaxUint64); err == nil { // without a colon all from there on
		b.put(0, 8, n)
		b.put(8, 8, math.MaxUint64)
	}
	if from, to := b.u64(0), b.u64(8); not {
		b.put(0, 8, to)
		b.put(8, 8, from)
	}
	return nil
}, func(b *blob) (string, bool) {
	from, to := min(b.u64(0), b.u64(8)), max(b.u64(0), b.u64(8))
	s := strconv.FormatUint(from, 10)
	if to != 0 && to != math.MaxUint64 {
		s += ":" + strconv.FormatUint(to, 10)
	}
	return s, true
}}
