package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_NFLOG.h, xt_NFQUEUE.h, xt_CT.h, xt_TPROXY.h, xt_TEE.h,
// xt_CLASSIFY.h, xt_helper.h and xt_socket.h: who else deals with a packet.

var handoffMatches = []extension{
	{name: "helper", size: 34, options: []option{{names: []string{"--helper"}, value: quoted(4, 30), not: bits32(0, 1), shown: always, need: true}}},
	{name: "socket", rev: 1, size: 1, old: true, options: socketOptions()[:1]},
	{name: "socket", rev: 2, size: 1, old: true, options: socketOptions()[:2]},
	{name: "socket", rev: 3, size: 1, options: socketOptions()},
}

var handoffTargets = []extension{
	{name: "NFLOG", size: 76, options: []option{
		{names: []string{"--nflog-prefix"}, value: quoted(12, 64), shown: unless(12, 1, 0)},
		{names: []string{"--nflog-group"}, value: integer(4, 2), shown: unless(4, 2, 0)},
		{names: []string{"--nflog-size"}, value: integer(0, 4), on: bits16(8, 1)},
		{names: []string{"--nflog-range"}, value: integer(0, 4), shown: func(b *blob) bool { return b.u16(8)&1 == 0 && b.u32(0) != 0 }},
		{names: []string{"--nflog-threshold"}, value: integer(6, 2), shown: unless(6, 2, 0)}}, finish: func(b *blob) error {
		if b.gave("--nflog-size") && b.gave("--nflog-range") {
			return fmt.Errorf("--nflog-size and --nflog-range exclude each other")
		}
		return nil
	}},
	{name: "NFQUEUE", rev: 0, size: 2, old: true, options: []option{{names: []string{"--queue-num"}, value: integer(0, 2), shown: always}}},
	{name: "NFQUEUE", rev: 1, size: 4, old: true, options: queueOptions()[:2]},
	{name: "NFQUEUE", rev: 2, size: 6, old: true, options: queueOptions()[:3]},
	{name: "NFQUEUE", rev: 3, size: 6, init: func(b *blob) { b.put(2, 2, 1) }, options: queueOptions(), finish: func(b *blob) error {
		if b.gave("--queue-num") && b.gave("--queue-balance") {
			return fmt.Errorf("--queue-num and --queue-balance exclude each other")
		}
		if b.gave("--queue-cpu-fanout") && !b.gave("--queue-balance") {
			return fmt.Errorf("--queue-cpu-fanout needs --queue-balance")
		}
		return nil
	}},
	{name: "CT", rev: 0, size: 40, old: true, options: trackOptions(0)},
	{name: "CT", rev: 1, size: 72, old: true, options: trackOptions(1)},
	{name: "CT", rev: 2, size: 72, options: trackOptions(2), is: func(b *blob) bool { return b.u16(0)&untrackedAlias == 0 }},
	// The target NOTRACK is CT with a flag that makes it print as such.
	{name: "NOTRACK", ext: "CT", rev: 2, size: 72, init: func(b *blob) { b.put(0, 2, untracked|untrackedAlias) },
		is: func(b *blob) bool { return b.u16(0)&untrackedAlias != 0 }},
	{name: "TPROXY", rev: 0, family: rules.IP, size: 14, old: true, options: proxyOptions(12)},
	{name: "TPROXY", rev: 1, size: 28, options: proxyOptions(24)},
	{name: "TEE", rev: 1, size: 40, options: []option{
		{names: []string{"--gateway"}, value: address(0), shown: always, need: true},
		{names: []string{"--oif"}, value: word(16, 16), shown: unless(16, 1, 0)}}},
	{name: "CLASSIFY", size: 4, options: []option{{names: []string{"--set-class"}, value: trafficClass, shown: always, need: true}}},
	{name: "TRACE"},
}

func socketOptions() []option {
	return []option{
		{names: []string{"--transparent"}, on: bits8(0, 1)},
		{names: []string{"--nowildcard"}, on: bits8(0, 2)},
		{names: []string{"--restore-skmark"}, on: bits8(0, 4)}}
}

// queueOptions are a queue, or from which on how many, and NFQ_FLAG_*.
func queueOptions() []option {
	several := func(b *blob) bool { return b.u16(2) > 1 }
	balance := value{1, func(b *blob, _ bool, w []string) error {
		from, to, _ := strings.Cut(w[0], ":")
		first, err := number(from, 0, 65534)
		if err != nil {
			return err
		}
		last, err := number(to, 0, 65534)
		if err != nil {
			return err
		}
		if first >= last {
			return fmt.Errorf("%s ends before it starts", w[0])
		}
		b.put(0, 2, first)
		b.put(2, 2, last-first+1)
		return nil
	}, func(b *blob) (string, bool) {
		first := int(b.u16(0))
		return strconv.Itoa(first) + ":" + strconv.Itoa(first+int(b.u16(2))-1), true
	}}
	return []option{
		{names: []string{"--queue-balance"}, value: balance, shown: several},
		{names: []string{"--queue-num"}, value: integer(0, 2), shown: func(b *blob) bool { return !several(b) }},
		{names: []string{"--queue-bypass"}, on: bits16(4, 1)},
		{names: []string{"--queue-cpu-fanout"}, on: bits16(4, 2)}}
}

// XT_CT_* flags.
const (
	untracked = 1 << iota
	untrackedAlias
	zoneOriginal
	zoneReply
	zoneMark
)

var trackEvents = []name{{"new", 1}, {"related", 2}, {"destroy", 4}, {"reply", 8}, {"assured", 16}, {"protoinfo", 32},
	{"helper", 64}, {"mark", 128}, {"natseqinfo", 256}, {"secmark", 512}}

func trackOptions(rev int) []option {
	zone := func(flags uint64, names string) option {
		both := uint16(zoneOriginal | zoneReply)
		return option{names: []string{names}, value: value{1, func(b *blob, _ bool, w []string) error {
			b.set(bits16(0, flags))
			if strings.EqualFold(w[0], "mark") {
				b.set(bits16(0, zoneMark))
				return nil
			}
			n, err := number(w[0], 0, 0xffff)
			b.put(2, 2, n)
			return err
		}, func(b *blob) (string, bool) {
			if b.u16(0)&zoneMark != 0 {
				return "mark", b.u16(2) == 0
			}
			return strconv.Itoa(int(b.u16(2))), true
		}}, shown: func(b *blob) bool {
			f := b.u16(0) & both
			if f == both {
				f = 0
			}
			return f == uint16(flags) && (b.u16(2) != 0 || b.u16(0)&zoneMark != 0)
		}}
	}
	o := []option{
		{names: []string{"--notrack"}, on: bits16(0, untracked)},
		{names: []string{"--helper"}, value: word(12, 16), shown: unless(12, 1, 0)}}
	if rev > 0 {
		o = append(o, option{names: []string{"--timeout"}, value: word(28, 32), shown: unless(28, 1, 0)})
	}
	return append(o,
		option{names: []string{"--ctevents"}, value: flagList(4, 4, trackEvents), shown: unless(4, 4, 0)},
		option{names: []string{"--expevents"}, value: flagList(8, 4, trackEvents[:1]), shown: unless(8, 4, 0)},
		zone(0, "--zone"), zone(zoneOriginal, "--zone-orig"), zone(zoneReply, "--zone-reply"))
}

func proxyOptions(portAt int) []option {
	p := value{1, func(b *blob, _ bool, w []string) error {
		v, err := port(w[0])
		putNet16(b.d[portAt:], v)
		return err
	}, func(b *blob) (string, bool) { return strconv.Itoa(int(b.net16(portAt))), true }}
	mark := markMask(4, 0)
	mark.print = func(b *blob) (string, bool) { return fmt.Sprintf("0x%x/0x%x", b.u32(4), b.u32(0)), true }
	return []option{
		{names: []string{"--on-port"}, value: p, shown: always, need: true},
		{names: []string{"--on-ip"}, value: address(8), shown: always},
		{names: []string{"--tproxy-mark"}, value: mark, shown: always}}
}

// address is one of the family.
func address(at int) value {
	return value{1, func(b *blob, _ bool, w []string) error { return b.putAddress(at, w[0]) },
		func(b *blob) (string, bool) { return b.addressText(at), true }}
}

// trafficClass is major:minor in hexadecimal.
var trafficClass = value{1, func(b *blob, _ bool, w []string) error {
	major, minor, _ := strings.Cut(w[0], ":")
	hi, err1 := strconv.ParseUint(major, 16, 16)
	lo, err2 := strconv.ParseUint(minor, 16, 16)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%q is not a class", w[0])
	}
	b.put(0, 4, hi<<16|lo)
	return nil
}, func(b *blob) (string, bool) { return fmt.Sprintf("%04x:%04x", b.u32(0)>>16, b.u32(0)&0xffff), true }}
