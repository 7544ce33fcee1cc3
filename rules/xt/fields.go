package xt

import (
	"fmt"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_dscp.h, xt_DSCP.h, ipt_TTL.h, ip6t_HL.h, xt_tcpmss.h,
// ipt_ah.h, ip6t_ah.h, xt_esp.h and ip6t_frag.h: fields of headers.

var fieldMatches = []extension{
	{name: "dscp", size: 2, finish: oneOption, options: []option{
		{names: []string{"--dscp"}, value: dscp(0), not: bits8(1, 1), shown: always},
		{names: []string{"--dscp-class"}, value: dscpClass(0), not: bits8(1, 1), hidden: true}}},
	{name: "tos", rev: 1, size: 3, options: []option{{names: []string{"--tos"}, value: tosMask(1, 0), not: bits8(2, 1), shown: always, need: true}}},
	{name: "tcpmss", size: 6, options: []option{{names: []string{"--mss"}, value: span(0, 2), not: bits8(4, 1), shown: always, need: true}}},
	{name: "ah", family: rules.IP, size: 12, init: allNumbers, options: []option{numbers("--ahspi", bits8(8, 1))}},
	{name: "ah", family: rules.IP6, size: 16, init: allNumbers, options: []option{
		numbers("--ahspi", bits8(13, 1)),
		{names: []string{"--ahlen"}, value: integer(8, 4), not: bits8(13, 2), shown: either(unless(8, 4, 0), func(b *blob) bool { return b.d[13]&2 != 0 })},
		{names: []string{"--ahres"}, on: bits8(12, 1), shown: unless(12, 1, 0)}}},
	{name: "esp", size: 12, init: allNumbers, options: []option{numbers("--espspi", bits8(8, 1))}},
	{name: "frag", family: rules.IP6, size: 16, init: allNumbers, options: []option{
		fragmentNumbers(),
		{names: []string{"--fraglen"}, value: integer(8, 4), on: bits8(12, 2), not: bits8(13, 2)},
		{names: []string{"--fragres"}, on: bits8(12, 4)},
		{names: []string{"--fragfirst"}, on: bits8(12, 8)},
		{names: []string{"--fragmore"}, on: bits8(12, 16)},
		{names: []string{"--fraglast"}, on: bits8(12, 32)}}, finish: func(b *blob) error {
		if b.d[12]&48 == 48 {
			return fmt.Errorf("--fragmore and --fraglast exclude each other")
		}
		return nil
	}},
}

var fieldTargets = []extension{
	{name: "DSCP", size: 1, finish: oneOption, options: []option{
		{names: []string{"--set-dscp"}, value: dscp(0), shown: always},
		{names: []string{"--set-dscp-class"}, value: dscpClass(0), hidden: true}}},
	{name: "TOS", rev: 1, size: 2, finish: oneOption, options: []option{
		{names: []string{"--set-tos"}, value: tosMask(0, 1), shown: always},
		tosBits("--and-tos", func(v byte) (byte, byte) { return 0, ^v }),
		tosBits("--or-tos", func(v byte) (byte, byte) { return v, v }),
		tosBits("--xor-tos", func(v byte) (byte, byte) { return v, 0 })}},
	{name: "TTL", family: rules.IP, size: 2, finish: oneOption, options: setHops("--ttl-")},
	{name: "HL", family: rules.IP6, size: 2, finish: oneOption, options: setHops("--hl-")},
	{name: "TCPMSS", family: rules.IP, size: 2, finish: oneOption, options: setMSS(65515)},
	{name: "TCPMSS", family: rules.IP6, size: 2, finish: oneOption, options: setMSS(65495)},
}

// allNumbers is the range of all numbers that ah, esp and frag begin with.
func allNumbers(b *blob) { b.put(4, 4, 0xffffffff) }

func numbers(name string, not bit) option {
	return option{names: []string{name}, value: span(0, 4), not: not, shown: either(unless(0, 4, 0), unless(4, 4, 0xffffffff))}
}

func fragmentNumbers() option {
	o := numbers("--fragid", bits8(13, 1))
	o.on = bits8(12, 1)
	return o
}

func dscp(at int) value {
	return value{1, integerIn(at, 1, 0, 63).parse, func(b *blob) (string, bool) { return fmt.Sprintf("0x%02x", b.d[at]), true }}
}

var dscpClasses = []name{{"CS0", 0}, {"CS1", 8}, {"CS2", 16}, {"CS3", 24}, {"CS4", 32}, {"CS5", 40}, {"CS6", 48}, {"CS7", 56}, {"BE", 0},
	{"AF11", 10}, {"AF12", 12}, {"AF13", 14}, {"AF21", 18}, {"AF22", 20}, {"AF23", 22}, {"AF31", 26}, {"AF32", 28}, {"AF33", 30},
	{"AF41", 34}, {"AF42", 36}, {"AF43", 38}, {"EF", 46}}

func dscpClass(at int) value { return choice(at, 1, dscpClasses) }

var tosNames = []name{{"Minimize-Delay", 16}, {"Maximize-Throughput", 8}, {"Maximize-Reliability", 4}, {"Minimize-Cost", 2}, {"Normal-Service", 0}}

// tosMask is value/mask. A name stands for the six bits of it, a number without
// a mask for all eight.
func tosMask(at, mask int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		if v, err := named(tosNames, w[0]); err == nil {
			b.d[at], b.d[mask] = byte(v), 0x3f
			return nil
		}
		s, m, masked := strings.Cut(w[0], "/")
		v, err := number(s, 0, 255)
		if err != nil {
			return err
		}
		all := uint64(255)
		if masked {
			if all, err = number(m, 0, 255); err != nil {
				return err
			}
		}
		b.d[at], b.d[mask] = byte(v), byte(all)
		return nil
	}, func(b *blob) (string, bool) { return fmt.Sprintf("0x%02x/0x%02x", b.d[at], b.d[mask]), true }}
}

func tosBits(name string, change func(v byte) (value, mask byte)) option {
	return option{names: []string{name}, hidden: true, value: value{1, func(b *blob, _ bool, w []string) error {
		v, err := number(w[0], 0, 255)
		b.d[0], b.d[1] = change(byte(v))
		return err
	}, nil}}
}

// setHops: the modes set, increase and decrease are 0 to 2.
func setHops(prefix string) []option {
	mode := func(suffix string, m, low uint64) option {
		v := integerIn(1, 1, low, 255)
		number := v.parse
		v.parse = func(b *blob, not bool, w []string) error {
			b.put(0, 1, m)
			return number(b, not, w)
		}
		return option{names: []string{prefix + suffix}, value: v, shown: equals(0, 1, m)}
	}
	return []option{mode("set", 0, 0), mode("dec", 2, 1), mode("inc", 1, 1)}
}

// setMSS: 0xffff is XT_TCPMSS_CLAMP_PMTU.
func setMSS(most uint64) []option {
	return []option{
		{names: []string{"--clamp-mss-to-pmtu"}, value: fixed(0, 2, 0xffff), shown: equals(0, 2, 0xffff)},
		{names: []string{"--set-mss"}, value: integerIn(0, 2, 0, most), shown: unless(0, 2, 0xffff)}}
}
