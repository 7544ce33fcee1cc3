package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structure of xt_hashlimit.h, revision 3: limits by address or port. The time
// for one packet is in 1/1000000 of a second; of bytes the kernel has a cost.

const hashScale = 1000000

// XT_HASHLIMIT_* modes.
const (
	hashInvert    = 16
	hashBytes     = 32
	hashRateMatch = 64
)

var hashMatches = []extension{hashLimit(rules.IP, 32), hashLimit(rules.IP6, 128)}

func hashLimit(family rules.Family, maskBits uint64) extension {
	number := func(name string, at int, unlessIs uint64) option {
		return option{names: []string{name}, value: integer(at, 4), shown: unless(at, 4, unlessIs)}
	}
	mask := func(name string, at int) option {
		return option{names: []string{name}, value: integerIn(at, 1, 0, maskBits), shown: unless(at, 1, maskBits)}
	}
	bytes := func(b *blob) bool { return b.u32(272)&hashBytes != 0 }
	above := func(b *blob) bool { return b.u32(272)&hashInvert != 0 }
	matching := func(b *blob) bool { return b.u32(272)&hashRateMatch != 0 }
	return extension{name: "hashlimit", rev: 3, family: family, size: 312, init: func(b *blob) {
		b.put(264, 8, 5)
		b.put(284, 4, 1000)
		b.put(296, 1, maskBits)
		b.put(297, 1, maskBits)
	}, options: []option{
		{names: []string{"--hashlimit-upto", "--hashlimit"}, value: hashRate(false), shown: func(b *blob) bool { return !above(b) }, either: true},
		{names: []string{"--hashlimit-above"}, value: hashRate(true), shown: above, either: true},
		{names: []string{"--hashlimit-burst"}, value: hashBurst, shown: func(b *blob) bool { return !bytes(b) || b.u64(264) != 0 }},
		{names: []string{"--hashlimit-mode"}, value: hashMode, shown: func(b *blob) bool { return b.u32(272)&15 != 0 }},
		{names: []string{"--hashlimit-name"}, value: word(0, 255), shown: always, need: true},
		number("--hashlimit-htable-size", 276, 0),
		number("--hashlimit-htable-max", 280, 0),
		number("--hashlimit-htable-gcinterval", 284, 1000),
		{names: []string{"--hashlimit-htable-expire"}, value: integer(288, 4), shown: func(b *blob) bool { return uint64(b.u32(288)) != hashExpiry(b) }},
		mask("--hashlimit-srcmask", 296),
		mask("--hashlimit-dstmask", 297),
		{names: []string{"--hashlimit-rate-match"}, on: bits32(272, hashRateMatch)},
		{names: []string{"--hashlimit-rate-interval"}, value: integer(292, 4), shown: func(b *blob) bool { return matching(b) && b.u32(292) != 1 }},
	}, finish: func(b *blob) error {
		if b.gave("--hashlimit-upto") == b.gave("--hashlimit-above") {
			return fmt.Errorf("it takes one of --hashlimit-upto and --hashlimit-above")
		}
		if matching(b) || b.gave("--hashlimit-rate-interval") {
			return fmt.Errorf("a rate that is matched is %w", ErrUnknown)
		}
		if !bytes(b) {
			if b.u64(264) == 0 || b.u64(264) > hashScale {
				return fmt.Errorf("--hashlimit-burst is from 1 to %d", hashScale)
			}
			return nil
		}
		if !b.gave("--hashlimit-burst") {
			b.put(264, 8, 0)
			return nil
		}
		one := costBytes(b.u64(256))
		if one == 0 || b.u64(264) < one { // iptables itself divides by it
			return fmt.Errorf("--hashlimit-burst is at least %d bytes", one)
		}
		b.put(264, 8, (b.u64(264)+one-1)/one)
		if !b.gave("--hashlimit-htable-expire") {
			b.put(288, 4, 60000)
		}
		return nil
	}}
}

// costBytes and bytesCost are cost_to_bytes and bytes_to_cost of libxt_hashlimit.
func costBytes(cost uint64) uint64 {
	r := uint64(0xffffffff)
	if cost != 0 {
		r /= cost
	}
	return (r - 1) << 4
}

func bytesCost(bytes uint64) uint64 {
	r := uint32(bytes>>4) + 1
	if r == 0 {
		return 0
	}
	return 0xffffffff / uint64(r)
}

// hashExpiry is the milliseconds for which iptables has an entry kept unless it is
// told.
func hashExpiry(b *blob) uint64 {
	switch {
	case b.u32(272)&hashBytes != 0 && b.u64(264) == 0:
		return 15000
	case b.u32(272)&hashBytes != 0:
		return 60000
	case b.u64(256) == 0:
		return 0
	}
	_, seconds := rateUnit(b.u64(256), hashScale)
	return seconds * 1000
}

// byteUnits are the units of rates in bytes.
var byteUnits = []struct {
	name  string
	bytes uint64
}{{"m", 1 << 20}, {"k", 1 << 10}, {"", 1}}

// hashRate is packets by time, or bytes as 512kb/s.
func hashRate(above bool) value {
	return value{1, func(b *blob, not bool, w []string) error {
		if above != not {
			b.set(bits32(272, hashInvert))
		}
		v, seconds := uint64(0), uint64(15)
		if s, ok := strings.CutSuffix(w[0], "b/s"); ok && s != "" {
			bytes, err := byteAmount(s)
			if err != nil {
				return err
			}
			if v = bytesCost(bytes); bytes == 0 || v == 0 {
				return fmt.Errorf("%q is not a rate", w[0])
			}
			b.set(bits32(272, hashBytes))
		} else {
			var err error
			if v, seconds, err = period(w[0], hashScale); err != nil {
				return err
			}
		}
		b.put(256, 8, v)
		if !b.gave("--hashlimit-htable-expire") {
			b.put(288, 4, seconds*1000)
		}
		return nil
	}, func(b *blob) (string, bool) {
		v := b.u64(256)
		if b.u32(272)&hashBytes == 0 {
			return periodText(v, hashScale)
		}
		r := costBytes(v)
		for _, u := range byteUnits {
			if u.bytes == 1 || r >= u.bytes && bytesCost(r&^(u.bytes-1)) == v {
				return strconv.FormatUint(r/u.bytes, 10) + u.name + "b/s", true
			}
		}
		return "", false
	}}
}

// byteAmount is a number with k or m.
func byteAmount(s string) (uint64, error) {
	factor := uint64(1)
	for _, u := range byteUnits[:2] {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			s, factor = n, u.bytes
			break
		}
	}
	v, err := strconv.ParseUint(s, 10, 40)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of bytes", s)
	}
	return v * factor, nil
}

// hashBurst is packets, or bytes as 1mb; the kernel has them in units of the rate.
var hashBurst = value{1, func(b *blob, _ bool, w []string) error {
	v, err := byteAmount(strings.TrimSuffix(w[0], "b"))
	b.put(264, 8, v)
	return err
}, func(b *blob) (string, bool) {
	v := b.u64(264)
	if b.u32(272)&hashBytes == 0 {
		return strconv.FormatUint(v, 10), true
	}
	r := costBytes(b.u64(256)) * v
	for _, u := range byteUnits {
		if r >= u.bytes || u.bytes == 1 {
			return strconv.FormatUint(r/u.bytes, 10) + u.name + "b", true
		}
	}
	return "", false
}}

var hashModes = []name{{"srcip", 4}, {"srcport", 8}, {"dstip", 1}, {"dstport", 2}}

var hashMode = value{1, func(b *blob, _ bool, w []string) error {
	for s := range strings.SplitSeq(w[0], ",") {
		v, err := named(hashModes, s)
		if err != nil {
			return err
		}
		b.set(bits32(272, v))
	}
	return nil
}, func(b *blob) (string, bool) { return flagText(hashModes, uint64(b.u32(272)&15)) }}
