package xt

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of xt_cpu.h, xt_devgroup.h, xt_realm.h, xt_ecn.h, xt_cgroup.h,
// xt_ipcomp.h, xt_dccp.h, xt_cluster.h, xt_connlabel.h, ip6t_mh.h,
// ip6t_ipv6header.h, ipt_ECN.h, xt_CHECKSUM.h, xt_AUDIT.h, xt_SYNPROXY.h,
// xt_TCPOPTSTRIP.h and xt_IDLETIMER.h: what few rules have.

var rareMatches = []extension{
	{name: "cpu", size: 8, options: []option{{names: []string{"--cpu"}, value: integer(0, 4), not: bits32(4, 1), shown: always, need: true}}},
	{name: "devgroup", size: 20, finish: atLeastOne, options: []option{
		{names: []string{"--src-group"}, value: namedMask(4, 8, "default"), on: bits32(0, 1), not: bits32(0, 2)},
		{names: []string{"--dst-group"}, value: namedMask(12, 16, "default"), on: bits32(0, 4), not: bits32(0, 8)}}},
	{name: "realm", family: rules.IP, size: 9, options: []option{
		{names: []string{"--realm"}, value: namedMask(0, 4, "cosmos"), not: bits8(8, 1), shown: always, need: true}}},
	{name: "ecn", size: 4, finish: atLeastOne, options: []option{
		{names: []string{"--ecn-tcp-ece"}, on: bits8(0, 0x10), not: bits8(1, 0x10)},
		{names: []string{"--ecn-tcp-cwr"}, on: bits8(0, 0x20), not: bits8(1, 0x20)},
		{names: []string{"--ecn-ip-ect"}, value: integerIn(2, 1, 0, 3), on: bits8(0, 1), not: bits8(1, 1)}}},
	{name: "cgroup", rev: 1, size: 4112, old: true, options: cgroupOptions(4096, 4100)},
	{name: "cgroup", rev: 2, size: 528, options: cgroupOptions(512, 4), finish: func(b *blob) error {
		if b.gave("--path") == b.gave("--cgroup") {
			return fmt.Errorf("it takes one of --path and --cgroup")
		}
		return nil
	}},
	{name: "ipcomp", size: 12, init: allNumbers, options: []option{
		numbers("--ipcompspi", bits8(8, 1)),
		{names: []string{"--compres"}, on: bits8(9, 1)}}},
	{name: "dccp", size: 16, options: []option{
		{names: []string{"--sport", "--source-port"}, value: ports(4, 6), on: bits16(8, 1), not: bits16(10, 1)},
		{names: []string{"--dport", "--destination-port"}, value: ports(0, 2), on: bits16(8, 2), not: bits16(10, 2)},
		{names: []string{"--dccp-types"}, value: flagList(12, 2, dccpTypes), on: bits16(8, 4), not: bits16(10, 4)},
		{names: []string{"--dccp-option"}, value: integerIn(14, 1, 1, 255), on: bits16(8, 8), not: bits16(10, 8)}}},
	{name: "cluster", size: 16, options: []option{
		{names: []string{"--cluster-local-nodemask"}, value: wideHex(4), not: bits32(12, 1), shown: always},
		{names: []string{"--cluster-local-node"}, value: clusterNode, not: bits32(12, 1), hidden: true},
		{names: []string{"--cluster-total-nodes"}, value: integerIn(0, 4, 1, 32), shown: always, need: true},
		{names: []string{"--cluster-hash-seed"}, value: wideHex(8), shown: always, need: true}}, finish: func(b *blob) error {
		if b.gave("--cluster-local-node") == b.gave("--cluster-local-nodemask") {
			return fmt.Errorf("it takes one of --cluster-local-node and --cluster-local-nodemask")
		}
		if uint64(b.u32(4)) >= 1<<b.u32(0) {
			return fmt.Errorf("there are fewer nodes")
		}
		return nil
	}},
	{name: "connlabel", size: 4, options: []option{
		{names: []string{"--label"}, value: value{1, integerIn(0, 2, 0, 127).parse, func(b *blob) (string, bool) {
			return `"` + strconv.Itoa(int(b.u16(0))) + `"`, true
		}}, not: bits16(2, 1), shown: always, need: true},
		{names: []string{"--set"}, on: bits16(2, 2)}}},
	{name: "eui64", family: rules.IP6, size: 4},
	{name: "mh", family: rules.IP6, size: 3, init: func(b *blob) { b.d[1] = 255 }, options: []option{
		{names: []string{"--mh-type"}, value: mhTypes, not: bits8(2, 1), shown: either(unless(0, 1, 0), unless(1, 1, 255))}}},
	{name: "ipv6header", family: rules.IP6, size: 3, options: []option{
		{names: []string{"--header"}, value: flagList(0, 1, headerNames), not: bits8(1, 0xff), shown: always, need: true},
		{names: []string{"--soft"}, on: bits8(2, 0xff)}}},
}

var rareTargets = []extension{
	{name: "ECN", family: rules.IP, size: 3, finish: atLeastOne, options: []option{
		{names: []string{"--ecn-tcp-remove"}, value: fixed(0, 1, 0x30), shown: removesECN},
		ecnBit("--ecn-tcp-ece", 0x10, 1), ecnBit("--ecn-tcp-cwr", 0x20, 2),
		{names: []string{"--ecn-ip-ect"}, value: integerIn(1, 1, 0, 3), on: bits8(0, 1)}}},
	{name: "CHECKSUM", size: 1, options: []option{{names: []string{"--checksum-fill"}, on: bits8(0, 1), need: true}}},
	{name: "AUDIT", size: 1, options: []option{
		{names: []string{"--type"}, value: choice(0, 1, []name{{"accept", 0}, {"drop", 1}, {"reject", 2}}), shown: always, need: true}}},
	{name: "SYNPROXY", size: 4, options: []option{
		{names: []string{"--sack-perm"}, on: bits8(0, 4)},
		{names: []string{"--timestamp"}, on: bits8(0, 8)},
		{names: []string{"--wscale"}, value: integer(1, 1), on: bits8(0, 2)},
		{names: []string{"--mss"}, value: integer(2, 2), on: bits8(0, 1)},
		{names: []string{"--ecn"}, on: bits8(0, 16)}}},
	{name: "TCPOPTSTRIP", size: 32, options: []option{{names: []string{"--strip-options"}, value: stripOptions, shown: func(b *blob) bool {
		return len(bytes.Trim(b.d, "\x00")) > 0
	}}}},
	{name: "IDLETIMER", rev: 0, size: 40, old: true, options: idleOptions()[:2]},
	{name: "IDLETIMER", rev: 1, size: 48, options: idleOptions()},
}

// namedMask is value/mask. The value 0 has a name in a file of iproute2.
func namedMask(at, mask int, zero string) value {
	v := markMask(at, mask)
	numbers := v.parse
	v.parse = func(b *blob, not bool, w []string) error {
		if w[0] == zero {
			w = []string{"0"}
		}
		return numbers(b, not, w)
	}
	print := v.print
	v.print = func(b *blob) (string, bool) {
		if b.u32(at) == 0 && b.u32(mask) == 0xffffffff {
			return zero, true
		}
		return print(b)
	}
	return v
}

func cgroupOptions(path, class int) []option {
	return []option{
		{names: []string{"--path"}, value: quoted(4, path), on: bits8(0, 1), not: bits8(2, 1)},
		{names: []string{"--cgroup"}, value: integer(class, 4), on: bits8(1, 1), not: bits8(3, 1)}}
}

var dccpTypes = []name{{"REQUEST", 1}, {"RESPONSE", 2}, {"DATA", 4}, {"ACK", 8}, {"DATAACK", 16}, {"CLOSEREQ", 32}, {"CLOSE", 64},
	{"RESET", 128}, {"SYNC", 256}, {"SYNCACK", 512}, {"INVALID", 0xfc00}}

func wideHex(at int) value {
	return value{1, integer(at, 4).parse, func(b *blob) (string, bool) { return fmt.Sprintf("0x%08x", b.u32(at)), true }}
}

var clusterNode = value{parse: func(b *blob, _ bool, w []string) error {
	n, err := number(w[0], 1, 32)
	if err == nil {
		b.put(4, 4, 1<<(n-1))
	}
	return err
}, words: 1}

var mhNames = []name{{"binding-refresh-request", 0}, {"brr", 0}, {"home-test-init", 1}, {"hoti", 1}, {"careof-test-init", 2}, {"coti", 2},
	{"home-test", 3}, {"hot", 3}, {"careof-test", 4}, {"cot", 4}, {"binding-update", 5}, {"bu", 5},
	{"binding-acknowledgement", 6}, {"ba", 6}, {"binding-error", 7}, {"be", 7}}

var mhTypes = value{1, func(b *blob, not bool, w []string) error {
	if v, err := named(mhNames, w[0]); err == nil {
		b.d[0], b.d[1] = byte(v), byte(v)
		return nil
	}
	return spanAt(0, 1, 1, ":").parse(b, not, w)
}, spanAt(0, 1, 1, ":").print}

// headerNames are those that are printed, and others that are read only.
var headerNames = []name{{"hop-by-hop", 128}, {"ipv6-opts", 64}, {"ipv6-route", 32}, {"ipv6-frag", 16}, {"ah", 8}, {"esp", 4}, {"ipv6-nonxt", 2},
	{"protocol", 1}, {"prot", 1}, {"ip", 128}, {"hop", 128}, {"hopopt", 128}, {"dst", 64}, {"route", 32}, {"frag", 16}, {"auth", 8},
	{"none", 2}, {"0", 128}, {"60", 64}, {"43", 32}, {"44", 16}, {"51", 8}, {"50", 4}, {"59", 2}, {"255", 1}}

// removesECN: both bits of TCP are cleared.
func removesECN(b *blob) bool { return b.d[0] == 0x30 && b.d[2]&3 == 0 }

func ecnBit(name string, operation, field uint64) option {
	return option{names: []string{name}, on: bits8(0, operation), value: value{1, func(b *blob, _ bool, w []string) error {
		v, err := number(w[0], 0, 1)
		b.set(bits8(2, v*field))
		return err
	}, func(b *blob) (string, bool) {
		if b.has(bits8(2, field)) {
			return "1", true
		}
		return "0", true
	}}, shown: func(b *blob) bool { return b.has(bits8(0, operation)) && !removesECN(b) }}
}

var tcpOptionNames = []name{{"wscale", 3}, {"mss", 2}, {"sack-permitted", 4}, {"sack", 5}, {"timestamp", 8}, {"md5", 19}}

// stripOptions are options of TCP, a bit for each.
var stripOptions = value{1, func(b *blob, _ bool, w []string) error {
	for s := range strings.SplitSeq(w[0], ",") {
		v, err := named(tcpOptionNames, s)
		if err != nil {
			if v, err = number(s, 0, 255); err != nil {
				return err
			}
		}
		b.set(bits32(int(v/32*4), 1<<(v%32)))
	}
	return nil
}, func(b *blob) (string, bool) {
	var list []string
	for i := range 256 {
		if b.has(bits32(i/32*4, 1<<(i%32))) {
			list = append(list, strconv.Itoa(i))
		}
	}
	return strings.Join(list, ","), true
}}

func idleOptions() []option {
	return []option{
		{names: []string{"--timeout"}, value: integer(0, 4), shown: always, need: true},
		{names: []string{"--label"}, value: word(4, 28), shown: always, need: true},
		{names: []string{"--alarm"}, on: bits8(33, 1)}}
}
