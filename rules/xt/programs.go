package xt

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_bpf.h, xt_osf.h, xt_ipvs.h, xt_nfacct.h, xt_RATEEST.h,
// xt_LED.h, xt_SECMARK.h and xt_CONNSECMARK.h: what other parts of the kernel
// decide or are told. Those of ipvs, nfacct, LED and SECMARK are as the headers
// have them, without having met a kernel that knows them.

var programMatches = []extension{
	{name: "bpf", rev: 0, size: 528, old: true, options: []option{{names: []string{"--bytecode"}, value: program(0, 4), shown: always, need: true}}},
	{name: "bpf", rev: 1, size: 528, finish: oneOption, options: []option{
		{names: []string{"--bytecode"}, value: program(2, 8), shown: equals(0, 2, 0)},
		{names: []string{"--object-pinned"}, value: pinned, shown: equals(0, 2, 1)}}},
	{name: "osf", family: rules.IP, size: 48, options: []option{
		{names: []string{"--genre"}, value: genre, not: bits32(36, 8), shown: always, need: true},
		{names: []string{"--ttl"}, value: integerIn(44, 4, 0, 2), on: bits32(36, 2)},
		{names: []string{"--log"}, value: integerIn(40, 4, 0, 2), on: bits32(36, 4)}}},
	{name: "ipvs", size: 40, finish: atLeastOne, options: []option{
		{names: []string{"--ipvs"}, on: bits8(39, 1), not: bits8(38, 1)},
		{names: []string{"--vproto"}, value: value{1, protocol(34, 1).parse, integer(34, 1).print}, on: bits8(39, 2), not: bits8(38, 2)},
		{names: []string{"--vaddr"}, value: network(0, 16), on: bits8(39, 4), not: bits8(38, 4)},
		{names: []string{"--vport"}, value: netPort(32), on: bits8(39, 8), not: bits8(38, 8)},
		{names: []string{"--vdir"}, value: direction, on: bits8(39, 16)},
		{names: []string{"--vmethod"}, value: choice(35, 1, []name{{"GATE", 3}, {"IPIP", 2}, {"MASQ", 0}}), on: bits8(39, 32), not: bits8(38, 32)},
		{names: []string{"--vportctl"}, value: netPort(36), on: bits8(39, 64), not: bits8(38, 64)}}},
	{name: "nfacct", size: 40, options: []option{{names: []string{"--nfacct-name"}, value: word(0, 32), shown: always, need: true}}},
}

var programTargets = []extension{
	{name: "RATEEST", size: 32, finish: finishEstimator, options: []option{
		{names: []string{"--rateest-name"}, value: word(0, 16), shown: always, need: true},
		{names: []string{"--rateest-interval"}, value: estimatorTime(20), shown: always, need: true},
		{names: []string{"--rateest-ewmalog"}, value: estimatorTime(24), shown: always, need: true}}},
	{name: "LED", size: 40, options: []option{
		{names: []string{"--led-trigger-id"}, value: trigger, shown: always, need: true},
		{names: []string{"--led-delay"}, value: triggerDelay, shown: unless(28, 4, 0)},
		{names: []string{"--led-always-blink"}, on: bits8(27, 1)}}},
	{name: "SECMARK", rev: 0, size: 264, old: true, options: securityOptions(8)},
	{name: "SECMARK", rev: 1, size: 264, options: securityOptions(1)},
	{name: "CONNSECMARK", size: 1, finish: oneOption, options: []option{
		{names: []string{"--save"}, value: fixed(0, 1, 1), shown: equals(0, 1, 1)},
		{names: []string{"--restore"}, value: fixed(0, 1, 2), shown: equals(0, 1, 2)}}},
}

// programMax is XT_BPF_MAX_NUM_INSTR.
const programMax = 64

// program is "COUNT,CODE JT JF K,…", its length at count and struct sock_filter
// from at on.
func program(count, at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		length, rest, _ := strings.Cut(w[0], ",")
		n, err := number(strings.TrimSpace(length), 1, programMax)
		if err != nil {
			return err
		}
		b.put(count, 2, n)
		lines := strings.Split(strings.TrimSuffix(rest, ","), ",")
		if uint64(len(lines)) != n {
			return fmt.Errorf("it has %d instructions, not %d", len(lines), n)
		}
		for i, line := range lines {
			f := strings.Fields(line)
			if len(f) != 4 {
				return fmt.Errorf("instruction %q is not four numbers", line)
			}
			for j, part := range []struct{ at, size int }{{0, 2}, {2, 1}, {3, 1}, {4, 4}} {
				v, err := strconv.ParseUint(f[j], 10, 8*part.size)
				if err != nil {
					return fmt.Errorf("instruction %q: %q is not a number of %d bits", line, f[j], 8*part.size)
				}
				b.put(at+8*i+part.at, part.size, v)
			}
		}
		return nil
	}, func(b *blob) (string, bool) {
		n := int(b.u16(count))
		s := `"` + strconv.Itoa(n)
		if n > programMax {
			return "", false
		}
		for i := range n {
			d := at + 8*i
			s += fmt.Sprintf(",%d %d %d %d", b.u16(d), b.d[d+2], b.d[d+3], b.u32(d+4))
		}
		return s + `"`, true
	}}
}

// pinned is the path of a program in a BPF file system.
var pinned = func() value {
	v := word(8, 512)
	path := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		b.put(0, 2, 1)
		return path(b, not, w)
	}
	return v
}()

// genre is the name of an operating system, with its length behind it.
var genre = func() value {
	v := word(0, 32)
	name := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		b.put(32, 4, uint64(len(w[0])))
		return name(b, not, w)
	}
	return v
}()

// direction is ORIGINAL or, inverted, REPLY.
var direction = value{1, func(b *blob, _ bool, w []string) error {
	switch w[0] {
	case "ORIGINAL":
	case "REPLY":
		b.set(bits8(38, 16))
	default:
		return fmt.Errorf("%q is not ORIGINAL or REPLY", w[0])
	}
	return nil
}, func(b *blob) (string, bool) {
	if b.has(bits8(38, 16)) {
		return "REPLY", true
	}
	return "ORIGINAL", true
}}

// netPort is a port in network order.
func netPort(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		p, err := port(w[0])
		putNet16(b.d[at:], p)
		return err
	}, func(b *blob) (string, bool) { return strconv.Itoa(int(b.net16(at))), true }}
}

// triggerPrefix is in front of what a rule calls a LED's trigger.
const triggerPrefix = "netfilter-"

var trigger = value{1, func(b *blob, _ bool, w []string) error {
	return stringOf(0, 27, true).parse(b, false, []string{triggerPrefix + w[0]})
}, func(b *blob) (string, bool) {
	s, ok := strings.CutPrefix(b.string(0, 27), triggerPrefix)
	return `"` + s + `"`, ok && !strings.ContainsAny(s, "\"\\\n")
}}

var triggerDelay = value{1, func(b *blob, _ bool, w []string) error {
	if w[0] == "inf" {
		b.put(28, 4, math.MaxUint32)
		return nil
	}
	return integer(28, 4).parse(b, false, w)
}, func(b *blob) (string, bool) {
	if b.u32(28) == math.MaxUint32 {
		return "inf", true
	}
	return integer(28, 4).print(b)
}}

func securityOptions(at int) []option {
	v := word(at, 256)
	context := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		b.d[0] = 1 // SECMARK_MODE_SEL
		return context(b, not, w)
	}
	return []option{{names: []string{"--selctx"}, value: v, shown: always, need: true}}
}

// estimatorTime is a time in microseconds, kept at at until finishEstimator makes
// of both what the kernel takes. It is printed from that.
func estimatorTime(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error {
		scale, digits := 1.0, w[0]
		for _, unit := range []struct {
			name  string
			scale float64
		}{{"usecs", 1}, {"usec", 1}, {"us", 1}, {"msecs", 1e3}, {"msec", 1e3}, {"ms", 1e3}, {"secs", 1e6}, {"sec", 1e6}, {"s", 1e6}} {
			if s, ok := strings.CutSuffix(digits, unit.name); ok {
				digits, scale = s, unit.scale
				break
			}
		}
		v, err := strconv.ParseFloat(digits, 64)
		if v *= scale; err != nil || !(v > 0 && v <= math.MaxUint32) {
			return fmt.Errorf("%q is not a time, such as 250ms", w[0])
		}
		b.put(at, 4, uint64(v))
		return nil
	}, func(b *blob) (string, bool) {
		interval, log := int8(b.d[16]), b.d[17]
		if interval < -2 || interval > 3 || log > 30 {
			return "", false
		}
		us := 250e3 * math.Pow(2, float64(interval)+2)
		if at == 24 {
			us *= math.Pow(2, float64(log))
		}
		if us >= 1e6 {
			return fmt.Sprintf("%.1fs", us/1e6), true
		}
		return fmt.Sprintf("%.1fms", us/1e3), true
	}}
}

// finishEstimator is RATEEST_final: the interval by its power of two of a quarter
// of a second, the time that rates are averaged over by how slowly they fade.
func finishEstimator(b *blob) error {
	interval, average := float64(b.u32(20)), float64(b.u32(24))
	b.put(20, 4, 0)
	b.put(24, 4, 0)
	step := 0
	for step <= 5 && interval > 250e3*math.Pow(2, float64(step)) {
		step++
	}
	if step > 5 {
		return fmt.Errorf("--rateest-interval is more than 8s")
	}
	log := 1
	for log < 31 && interval/-math.Log(1-1/math.Pow(2, float64(log))) <= average {
		log++
	}
	if log--; log == 0 || log == 30 {
		return fmt.Errorf("--rateest-ewmalog doesn't go with --rateest-interval")
	}
	b.d[16], b.d[17] = byte(step-2), byte(log)
	return nil
}
