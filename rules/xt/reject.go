package xt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/portwhy/portwhy/rules"
)

// Structures of ipt_REJECT.h, ip6t_REJECT.h and xt_LOG.h.

var verdictTargets = []extension{
	{name: "REJECT", family: rules.IP, size: 4, init: func(b *blob) { b.put(0, 4, 3) }, options: rejectOptions(rejectNames, rejectShort)},
	{name: "REJECT", family: rules.IP6, size: 4, init: func(b *blob) { b.put(0, 4, 4) }, options: rejectOptions(reject6Names, reject6Short)},
	{name: "LOG", size: 32, init: func(b *blob) { b.d[0] = 4 }, options: []option{
		{names: []string{"--log-prefix"}, value: quoted(2, 30), shown: unless(2, 1, 0)},
		{names: []string{"--log-level"}, value: logLevel, shown: unless(0, 1, 4)},
		{names: []string{"--log-tcp-sequence"}, on: bits8(1, 1)},
		{names: []string{"--log-tcp-options"}, on: bits8(1, 2)},
		{names: []string{"--log-ip-options"}, on: bits8(1, 4)},
		{names: []string{"--log-uid"}, on: bits8(1, 8)},
		{names: []string{"--log-macdecode"}, on: bits8(1, 32)}}},
}

var (
	rejectNames = []name{{"icmp-net-unreachable", 0}, {"icmp-host-unreachable", 1}, {"icmp-proto-unreachable", 2}, {"icmp-port-unreachable", 3},
		{"icmp-net-prohibited", 5}, {"icmp-host-prohibited", 6}, {"tcp-reset", 7}, {"icmp-admin-prohibited", 8}}
	rejectShort = []name{{"net-unreach", 0}, {"host-unreach", 1}, {"proto-unreach", 2}, {"port-unreach", 3},
		{"net-prohib", 5}, {"host-prohib", 6}, {"tcp-rst", 7}, {"admin-prohib", 8}}
	reject6Names = []name{{"icmp6-no-route", 0}, {"icmp6-adm-prohibited", 1}, {"icmp6-addr-unreachable", 3}, {"icmp6-port-unreachable", 4},
		{"tcp-reset", 6}, {"icmp6-policy-fail", 7}, {"icmp6-reject-route", 8}}
	reject6Short = []name{{"no-route", 0}, {"adm-prohibited", 1}, {"addr-unreach", 3}, {"port-unreach", 4},
		{"policy-fail", 7}, {"reject-route", 8}}
)

// rejectOptions: a name, or another short one, or the start of either.
func rejectOptions(names, short []name) []option {
	v := choice(0, 4, names)
	v.parse = func(b *blob, _ bool, w []string) error {
		for _, list := range [][]name{names, short} {
			for _, n := range list {
				if w[0] != "" && len(w[0]) <= len(n.text) && strings.EqualFold(n.text[:len(w[0])], w[0]) {
					b.put(0, 4, n.v)
					return nil
				}
			}
		}
		return fmt.Errorf("%q is not known", w[0])
	}
	return []option{{names: []string{"--reject-with"}, value: v, shown: always}}
}

var logLevels = []name{{"emerg", 0}, {"panic", 0}, {"alert", 1}, {"crit", 2}, {"error", 3}, {"warning", 4}, {"notice", 5}, {"info", 6}, {"debug", 7}}

var logLevel = value{1, func(b *blob, _ bool, w []string) error {
	v, err := number(w[0], 0, 7)
	if err != nil {
		v, err = named(logLevels, w[0])
	}
	b.d[0] = byte(v)
	return err
}, func(b *blob) (string, bool) { return strconv.Itoa(int(b.d[0])), true }}

// RejectWith is what REJECT answers with.
type RejectWith struct {
	TCPReset   bool
	Type, Code uint8 // of ICMP, or ICMPv6
}

// DecodeReject reads the target REJECT (nf_reject_ipv4.c and the types of
// ipt_REJECT.c and ip6t_REJECT.c).
func DecodeReject(family rules.Family, t *rules.Target) (RejectWith, bool) {
	b, ok := decodeTarget(t, "REJECT", 0, 8)
	if !ok {
		return RejectWith{}, false
	}
	with := b.u32(0)
	if family == rules.IP6 {
		if with == 6 {
			return RejectWith{TCPReset: true}, true
		}
		code, ok := map[uint32]uint8{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 7: 5, 8: 6}[with]
		return RejectWith{Type: 1, Code: code}, ok
	}
	if with == 7 {
		return RejectWith{TCPReset: true}, true
	}
	code, ok := map[uint32]uint8{0: 0, 1: 1, 2: 2, 3: 3, 5: 9, 6: 10, 8: 13}[with]
	return RejectWith{Type: 3, Code: code}, ok
}

// LogTo is what LOG has. Flags are XT_LOG_*.
type LogTo struct {
	Prefix       string
	Level, Flags uint8
}

// DecodeLog reads the target LOG.
func DecodeLog(t *rules.Target) (LogTo, bool) {
	b, ok := decodeTarget(t, "LOG", 0, 32)
	if !ok {
		return LogTo{}, false
	}
	return LogTo{b.string(2, 30), b.d[0], b.d[1]}, true
}
