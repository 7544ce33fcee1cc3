package xt

import (
	"fmt"
	"strings"
)

// Structure of xt_policy.h: up to four elements of the packet's IPsec policy,
// each with addresses and masks of 16 bytes, then the flags and their number.
const (
	policyElement = 76
	policyMost    = 4
	policyFlags   = 304
	policyCount   = 306
)

// XT_POLICY_MATCH_* flags.
const (
	policyIn = 1 << iota
	policyOut
	policyNone
	policyStrict
)

// What of an element counts (struct xt_policy_spec), as bits of the byte at 74;
// those at 75 invert.
const (
	policySource = 1 << iota
	policyDest
	policyProto
	policyMode
	policySPI
	policyID
)

var policyProtos = []name{{"esp", 50}, {"ah", 51}, {"ipcomp", 108}}

var policyModes = []name{{"transport", 0}, {"tunnel", 1}}

// policyFields are the options of an element in the order in which they are
// printed, with their places in it.
var policyFields = []struct {
	name string
	bit  byte
	at   func(element int) value
}{
	{"--reqid", policyID, func(d int) value { return integer(d+68, 4) }},
	{"--spi", policySPI, func(d int) value { return hexInteger(d+64, 4) }},
	{"--proto", policyProto, func(d int) value {
		v := choice(d+72, 1, policyProtos)
		v.parse = func(b *blob, _ bool, w []string) error {
			p, err := named(policyProtos, w[0])
			if n, wrong := number(w[0], 0, 255); wrong == nil {
				_, ok := nameOf(policyProtos, n)
				if p, err = n, nil; !ok {
					err = fmt.Errorf("%q is not of IPsec", w[0])
				}
			}
			b.put(d+72, 1, p)
			return err
		}
		return v
	}},
	{"--mode", policyMode, func(d int) value { return choice(d+73, 1, policyModes) }},
	{"--tunnel-dst", policyDest, func(d int) value { return network(d+32, d+48) }},
	{"--tunnel-src", policySource, func(d int) value { return network(d, d+16) }},
}

var policyMatches = []extension{{name: "policy", size: 308, options: policyOptions(), finish: policyFinish, print: policyText}}

func policyOptions() []option {
	flags := func(long string, words []name) option {
		return option{names: []string{long}, hidden: true, value: value{1, func(b *blob, _ bool, w []string) error {
			for _, x := range words {
				if strings.EqualFold(w[0], x.text) {
					b.set(bits16(policyFlags, x.v))
					return nil
				}
			}
			return fmt.Errorf("%q is not known", w[0])
		}, nil}}
	}
	list := []option{
		flags("--dir", []name{{"in", policyIn}, {"out", policyOut}}),
		flags("--pol", []name{{"none", policyNone}, {"ipsec", 0}}),
		{names: []string{"--strict"}, on: bits16(policyFlags, policyStrict), hidden: true},
		{names: []string{"--next"}, again: true, hidden: true, value: value{parse: func(b *blob, _ bool, _ []string) error {
			if b.u16(policyCount) == policyMost-1 {
				return fmt.Errorf("there are more than %d", policyMost)
			}
			b.put(policyCount, 2, uint64(b.u16(policyCount))+1)
			return nil
		}}}}
	for _, f := range policyFields {
		list = append(list, option{names: []string{f.name}, again: true, either: true, hidden: true, value: value{1, func(b *blob, not bool, w []string) error {
			d := int(b.u16(policyCount)) * policyElement
			if b.d[d+74]&f.bit != 0 {
				return fmt.Errorf("it is given twice")
			}
			b.d[d+74] |= f.bit
			if not {
				b.d[d+75] |= f.bit
			}
			return f.at(d).parse(b, false, w)
		}, nil}})
	}
	return list
}

func policyFinish(b *blob) error {
	flags, n := b.u16(policyFlags), int(b.u16(policyCount))
	if flags&(policyIn|policyOut) == 0 {
		return fmt.Errorf("--dir is missing")
	}
	if flags&policyNone != 0 {
		if flags&policyStrict != 0 || n > 0 {
			return fmt.Errorf("--pol none has no policy")
		}
		return nil
	}
	if n > 0 && flags&policyStrict == 0 {
		return fmt.Errorf("--next needs --strict")
	}
	for i := range n + 1 {
		d := i * policyElement
		tunnel := b.d[d+74]&(policySource|policyDest) != 0
		switch {
		case flags&policyStrict != 0 && b.d[d+74] == 0:
			return fmt.Errorf("--strict needs something of each policy")
		case tunnel && (b.d[d+73] == 1) == (b.d[d+75]&policyMode != 0):
			return fmt.Errorf("only tunnels have ends")
		}
	}
	b.put(policyCount, 2, uint64(n)+1)
	return nil
}

func policyText(b *blob) (string, bool) {
	flags, n := b.u16(policyFlags), int(b.u16(policyCount))
	if n > policyMost {
		return "", false
	}
	s := " --dir out"
	if flags&policyIn != 0 {
		s = " --dir in"
	}
	if flags&policyNone != 0 {
		s += " --pol none"
	} else {
		s += " --pol ipsec"
	}
	if flags&policyStrict != 0 {
		s += " --strict"
	}
	for i := range n {
		if i > 0 {
			s += " --next"
		}
		d := i * policyElement
		for _, f := range policyFields {
			if b.d[d+74]&f.bit == 0 {
				continue
			}
			if b.d[d+75]&f.bit != 0 {
				s += " !"
			}
			v, ok := f.at(d).print(b)
			if !ok {
				return "", false
			}
			s += " " + f.name + " " + v
		}
	}
	return s, true
}
